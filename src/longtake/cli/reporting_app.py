"""cli/reporting_app: the commands `longtake eval report` and `eval compare` and their options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from longtake.cli import options as opt

RunFolders = Annotated[
    list[str], typer.Argument(metavar="DIR...", help="The --out of longtake eval, of one run or several.")
]
FirstRun = Annotated[str, typer.Argument(metavar="A", help="The --out of one run.", show_default=False)]
SecondRun = Annotated[
    str, typer.Argument(metavar="B", help="The --out of another over the same questions.", show_default=False)
]
MarkdownFile = Annotated[str | None, typer.Option("--markdown", metavar="FILE", help="Write the tables here too.")]
CsvFile = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="Write here a line for each figure of each run.")
]
PlotFolder = Annotated[
    str | None,
    typer.Option("--plots", metavar="DIR", help="Draw here: by frames, by visual tokens, by category, with intervals."),
]
Beside = Annotated[
    bool, typer.Option("--published", help="Beside them what the two papers report, which was not run here.")
]
Rules = Annotated[
    Literal["right", "released", "both"],
    typer.Option("--scoring", help="longtake's rules, the papers' released ones, or both and how many items differ."),
]
OneRule = Annotated[
    Literal["right", "released"], typer.Option("--scoring", help="By longtake's rules or released ones.")
]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="NAME", help="Take the marks of this judge; repeatable. Else: of each."),
]
OneJudge = Annotated[
    str | None, typer.Option("--judge", metavar="NAME", help="Whose marks, where several judged both.")
]
By = Annotated[
    Literal["letter", "likelihood"] | None,
    typer.Option("--by", help="Multiple choice by the letter that was read, or by the options' likelihoods."),
]
Common = Annotated[bool, typer.Option("--common", help="Leave out the questions that not both were asked.")]


def add_to(app: typer.Typer) -> None:
    """Puts `report` and `compare` under `app`."""

    @app.command()
    def report(
        folders: RunFolders,
        markdown: MarkdownFile = None,
        csv: CsvFile = None,
        plots: PlotFolder = None,
        published: Beside = False,
        scoring: Rules = "right",
        judges: Judges = None,
        as_json: opt.AsJson = False,
        quiet: opt.Quiet = False,
    ) -> None:
        """Sum up runs: every figure with its interval, what failed or has no score, and what papers report."""
        from longtake.cli.reporting import Wanted, report_runs

        wanted = Wanted(tuple(folders), scoring, tuple(judges or ()), published, markdown, csv, plots)
        report_runs(wanted, show=opt.Show(as_json, quiet))

    @app.command()
    def compare(
        first: FirstRun,
        second: SecondRun,
        common: Common = False,
        scoring: OneRule = "right",
        by: By = None,
        judge: OneJudge = None,
        seed: opt.Seed = 0,
        as_json: opt.AsJson = False,
        quiet: opt.Quiet = False,
    ) -> None:
        """Hold two runs over the same questions against each other, question by question."""
        from longtake.cli.reporting_pairs import compare_and_print
        from longtake.reports.pairing import Terms

        terms = Terms(common, scoring, by, judge or "", seed)
        compare_and_print(first, second, terms, show=opt.Show(as_json, quiet))
