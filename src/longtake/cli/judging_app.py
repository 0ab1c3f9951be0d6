"""cli/judging_app: the commands of judges under `longtake eval`, and their options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from longtake.cli import options as opt

Measured = Annotated[
    str, typer.Argument(metavar="OUT", help="The folder of a run: the --out of a longtake eval.", show_default=False)
]
MeasuredTwo = Annotated[
    list[str],
    typer.Argument(metavar="OUT...", help="The folder of a run; or two, one for each judge.", show_default=False),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="An OpenAI-compatible address, like http://localhost:8000/v1; its key is in OPENAI_API_KEY. Without it "
        "the model is loaded here.",
    ),
]
JudgeModel = Annotated[str, typer.Option("--judge-model", metavar="NAME", help="The judge, as it is called there.")]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Its file is judge-NAME.jsonl; without it the model's name."),
]
Templates = Annotated[
    str | None,
    typer.Option(
        "--templates", metavar="FILE", help="TOML with other words for what is asked, like the released ones."
    ),
]
AtOnce = Annotated[int, typer.Option("--parallel", help="Requests that wait for their replies together.", min=1)]
Tries = Annotated[int, typer.Option("--tries", help="Of each request: 429, 5xx and time-outs are tried again.", min=1)]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For one reply.", min=0.01)]
Patience = Annotated[
    float,
    typer.Option(
        "--patience", metavar="SECONDS", help="For all tries of one request and the pauses between.", min=0.01
    ),
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", help="A reply ends here at the latest.", min=1)]
PriceIn = Annotated[
    float | None, typer.Option("--price-in", metavar="PRICE", help="Of a million tokens that it reads.", min=0)
]
PriceOut = Annotated[
    float | None, typer.Option("--price-out", metavar="PRICE", help="Of a million tokens that it says.", min=0)
]
MostTokens = Annotated[
    int | None, typer.Option("--most-tokens", help="Ask nothing more that could take more than these in all.", min=1)
]
MostCost = Annotated[
    float | None,
    typer.Option("--most-cost", metavar="MONEY", help="The same in the money of the prices.", min=0),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell requests, tokens and costs; ask nothing.")]
Again = Annotated[bool, typer.Option("--again", help="Ask once more for what has a reply without marks.")]
Counted = Annotated[
    Literal["strict", "released"],
    typer.Option("--scoring", help="`released` tells beside it what the papers' scripts make of the same replies."),
]
Judges = Annotated[
    tuple[str, str] | None,
    typer.Option("--judges", metavar="A B", help="Their names; not needed with two folders that have one judge each."),
]


def judge(
    folder: Measured,
    judge_model: JudgeModel,
    endpoint: Endpoint = None,
    name: Name = None,
    templates: Templates = None,
    parallel: AtOnce = 4,
    tries: Tries = 6,
    timeout: Timeout = 120.0,
    patience: Patience = 600.0,
    max_new_tokens: MaxNewTokens = 256,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    most_tokens: MostTokens = None,
    most_cost: MostCost = None,
    again: Again = False,
    dry_run: DryRun = False,
    scoring: Counted = "strict",
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Have a model mark the answers of a run that only a judge can mark; what was asked before is not asked again."""
    from longtake.cli.judging import Asked, Costs, Waiting, Who, judge_run

    who = Who(judge_model, endpoint, (max_new_tokens, temperature, seed), (device, dtype))
    costs = Costs((price_in, price_out), most_tokens, most_cost)
    asked = Asked(folder, who, name, templates, Waiting(parallel, tries, timeout, patience), costs, again)
    judge_run(asked, dry_run=dry_run, released=scoring == "released", show=opt.Show(as_json, quiet))


def agreement(
    folders: MeasuredTwo, judges: Judges = None, as_json: opt.AsJson = False, quiet: opt.Quiet = False
) -> None:
    """Tell how far two judges agree about the same answers."""
    from longtake.cli.agreeing import print_agreement

    print_agreement(folders, judges, show=opt.Show(as_json, quiet))


def add_to(app: typer.Typer) -> None:
    """Adds these commands to `app`."""
    app.command()(judge)
    app.command()(agreement)
