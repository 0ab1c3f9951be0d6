"""cli/eval_app: the commands under `longtake eval` and their options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from longtake.cli import judging_app, measure_app, quiz_app, reporting_app
from longtake.cli import options as opt

Reader = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A Hugging Face language model or a nano: a name or a folder.", show_default=False
    ),
]
Texts = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Text, jsonl or parquet: files, folders or globs; `world` alone draws some.",
        show_default=False,
    ),
]
Length = Annotated[int, typer.Option("--length", help="Tokens of a window; may be more than was trained.", min=2)]
Stride = Annotated[
    int | None,
    typer.Option("--stride", help="Tokens from one window to the next; without it they do not overlap.", min=1),
]
MostWindows = Annotated[int | None, typer.Option("--windows", help="Read so many at most.", min=1)]
Join = Annotated[
    bool, typer.Option("--join", help="Documents follow one another in a window, as in training; else each by itself.")
]
TextField = Annotated[str, typer.Option("--text-field", help="Key or column that holds the text.")]
Computed = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="What is computed in.")]
Plot = Annotated[str | None, typer.Option("--plot", metavar="PNG", help="Draw the losses by position here.")]

eval_app = typer.Typer(
    cls=measure_app.Benchmarks, help="Measure models.", no_args_is_help=True, rich_markup_mode="rich"
)


@eval_app.callback()
def measures() -> None:
    """Measure models."""


@eval_app.command()
def perplexity(
    model: Reader,
    files: Texts,
    length: Length = 4096,
    stride: Stride = None,
    windows: MostWindows = None,
    join: Join = False,
    text_field: TextField = "text",
    plot: Plot = None,
    device: opt.Device = "auto",
    dtype: Computed = "float32",
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tell how well a language model foresees the next token of some text, by how much it has read before."""
    from longtake.cli.foreseeing import Asked, Cut, print_perplexity

    asked = Asked(model, tuple(files), text_field, Cut(length, stride, windows, join), device, dtype)
    print_perplexity(asked, plot, show=opt.Show(as_json, quiet))


def with_eval(app: typer.Typer) -> typer.Typer:
    """`app` with the commands of this file, and of those beside it, under `eval`."""
    measure_app.add_to(eval_app)
    judging_app.add_to(eval_app)
    reporting_app.add_to(eval_app)
    quiz_app.add_to(eval_app)
    app.add_typer(eval_app, name="eval")
    return app
