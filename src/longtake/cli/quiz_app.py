"""cli/quiz_app: commands under `longtake eval` for benchmarks that are made or asked here, and their options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from longtake.cli import options as opt

Made = Annotated[Literal["worldqa"], typer.Argument(metavar="BENCHMARK", help="What is made: worldqa.")]
MadeInto = Annotated[
    str, typer.Option("--out", "-o", metavar="FOLDER", help="Where films and questions go; making goes on from there.")
]
Questions = Annotated[int, typer.Option("--questions", help="How many at least; five a film.", min=1)]
Lengths = Annotated[
    str,
    typer.Option("--lengths", metavar="LIST", help="Of the films, in whole seconds from 8 up, separated by commas."),
]
Fps = Annotated[int, typer.Option("--fps", help="Pictures a second.", min=1, max=60)]
Foresee = Annotated[bool, typer.Option("--dry-run", help="Tell what it costs; make nothing.")]
FoundIn = Annotated[str, typer.Argument(metavar="FOLDER", help="The --output of a longtake niah.", show_default=False)]
TakenInto = Annotated[
    str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the run goes.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Give `app` the commands of this file."""

    @app.command()
    def make(
        benchmark: Made,
        out: MadeInto,
        seed: opt.Seed = 0,
        questions: Questions = 1000,
        lengths: Lengths = "8,32,128,512",
        fps: Fps = 1,
        dry_run: Foresee = False,
        as_json: opt.AsJson = False,
        quiet: opt.Quiet = False,
    ) -> None:
        """Draw a benchmark from a seed: films of the drawn world, and questions about them in five kinds."""
        from longtake.cli.quizzing import Asked, make_quiz

        make_quiz(Asked(out, seed, questions, lengths, fps), dry=dry_run, show=opt.Show(as_json, quiet))

    @app.command()
    def vniah(folder: FoundIn, out: TakenInto, as_json: opt.AsJson = False, quiet: opt.Quiet = False) -> None:
        """Take in what `longtake niah` found, as a run among the others: the visual needle in a haystack."""
        from longtake.cli.quizzing import take_needles

        take_needles("vniah", folder, out, show=opt.Show(as_json, quiet))

    @app.command()
    def textneedle(folder: FoundIn, out: TakenInto, as_json: opt.AsJson = False, quiet: opt.Quiet = False) -> None:
        """Take in what `longtake niah --text` found, as a run among the others: the needle in a haystack of text."""
        from longtake.cli.quizzing import take_needles

        take_needles("textneedle", folder, out, show=opt.Show(as_json, quiet))
