"""cli/train_app: the commands under `longtake train` and their options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from longtake.cli import options as opt
from longtake.cli.output import say, say_json

Recipe = Annotated[str | None, typer.Option("--recipe", "-r", help="A TOML file; recipes/ has some to begin with.")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Files, folders or globs to train on; world draws some. Repeatable."),
]
MoreData = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="More of --data, as a shell spells a glob out.", show_default=False),
]
Pictures = Annotated[str | None, typer.Option("--pictures", help="The folder that the data's pictures are in.")]
From = Annotated[
    str | None, typer.Option("--from", help="The folder to continue: a Hugging Face language model or a nano.")
]
AlignedModel = Annotated[str | None, typer.Option("--model", "-m", help="The model to align: a name or a folder.")]
Media = Annotated[str | None, typer.Option("--media", help="The folder that the data's pictures and videos are in.")]
PreferringModel = Annotated[str | None, typer.Option("--model", "-m", help="The model to teach: a name or a folder.")]
OnBadRow = Annotated[
    Literal["error", "skip"] | None,
    typer.Option("--on-bad", help="Rows that cannot be used: an error, or left out, counted and told."),
]
OnBad = Annotated[
    Literal["error", "skip"] | None,
    typer.Option("--on-bad", help="Samples whose pictures cannot be seen: an error, or left out, counted and told."),
]
RunSeed = Annotated[int | None, typer.Option("--seed", help="Of first weights and order.", min=0)]
RunFolder = Annotated[str, typer.Option("--output", "-o", help="Where the training keeps and leaves its files.")]
RecipeSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the recipe, also stages.0.steps=20; repeatable."),
]
Ring = Annotated[
    int | None,
    typer.Option(
        "--ring", help="Ranks that share each row, where torchrun starts several; others read other rows.", min=1
    ),
]
Plan = Annotated[bool, typer.Option("--plan", help="Time a few steps, say what it would take, and stop.")]

Controls = Annotated[
    str | None,
    typer.Option("--controls", metavar="a,b,c", help="Train these of nano's controls, beside the nano in --output."),
]
Card = Annotated[
    bool, typer.Option("--card", help="Only write the card anew, with the V-NIAH sweeps that --output/niah holds.")
]

train_app = typer.Typer(
    help="Train models; what was stopped goes on where it was.", no_args_is_help=True, rich_markup_mode="rich"
)


@train_app.command()
def nano(
    output: opt.TrainFolder = "runs/nano",
    share: opt.Share = 1.0,
    seed: opt.Seed = 0,
    questions: opt.ExamQuestions = 800,
    controls: Controls = None,
    card: Card = False,
    as_json: opt.AsJson = False,
) -> None:
    """Train the model that longtake ships, from nothing; goes on where it was stopped."""
    from longtake.cli.training import train_nano, train_nano_controls, write_nano_card

    if controls is not None and card:
        raise typer.BadParameter("give either, not both", param_hint="--controls, --card")
    if controls is not None:
        models = train_nano_controls(output, controls, share=share, seed=seed, questions=questions)
        if as_json:
            say_json({"models": models})
        else:
            say(f"the controls are in {', '.join(models)}")
    elif card:
        write_nano_card(output, as_json=as_json)
    else:
        train_nano(output, share=share, seed=seed, questions=questions, as_json=as_json)


@train_app.command()
def text(
    more_data: MoreData = None,
    recipe: Recipe = None,
    data: Data = None,
    start: From = None,
    output: RunFolder = "runs/text",
    seed: RunSeed = None,
    device: opt.Device = "auto",
    ring: Ring = None,
    settings: RecipeSettings = None,
    plan: Plan = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a language model on long text, from scratch or further; goes on where it was stopped."""
    from longtake.cli.training import Told, train_on_text

    given = {"start": start, "seed": seed, "ring": ring}
    told = Told(recipe, (*(data or ()), *(more_data or ())), given, tuple(settings or ()))
    train_on_text(told, output, device=device, plan=plan, show=opt.Show(as_json, quiet))


@train_app.command()
def meet(
    language: Annotated[
        str, typer.Argument(metavar="LANGUAGE", help="A Qwen2: a folder or a name of the hub.", show_default=False)
    ],
    tower: Annotated[
        str,
        typer.Argument(metavar="TOWER", help="A CLIP vision tower: a folder or a name of the hub.", show_default=False),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The checkpoint's folder.")] = "runs/start",
    seed: opt.Seed = 0,
    as_json: opt.AsJson = False,
) -> None:
    """Put a language model, a vision tower and an untrained projector together, for `train align` to begin with."""
    from longtake.cli.training import bring_together_and_print

    bring_together_and_print(language, tower, output, seed=seed, as_json=as_json)


@train_app.command()
def align(
    more_data: MoreData = None,
    recipe: Recipe = None,
    data: Data = None,
    pictures: Pictures = None,
    model: AlignedModel = None,
    on_bad: OnBad = None,
    output: RunFolder = "runs/align",
    seed: RunSeed = None,
    device: opt.Device = "auto",
    settings: RecipeSettings = None,
    plan: Plan = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Align a model with pictures and conversations about them; goes on where it was stopped."""
    from longtake.cli.training import Told, align_with_pictures

    given = {"pictures": pictures, "model": model, "on_bad": on_bad, "seed": seed}
    told = Told(recipe, (*(data or ()), *(more_data or ())), given, tuple(settings or ()))
    align_with_pictures(told, output, device=device, plan=plan, show=opt.Show(as_json, quiet))


@train_app.command()
def dpo(
    more_data: MoreData = None,
    recipe: Recipe = None,
    data: Data = None,
    media: Media = None,
    model: PreferringModel = None,
    on_bad: OnBadRow = None,
    output: RunFolder = "runs/dpo",
    seed: RunSeed = None,
    device: opt.Device = "auto",
    settings: RecipeSettings = None,
    plan: Plan = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Teach a model which of two answers about videos is preferred (DPO); goes on where it was stopped."""
    from longtake.cli.training import Told, teach_preferences

    given = {"media": media, "model": model, "on_bad": on_bad, "seed": seed}
    told = Told(recipe, (*(data or ()), *(more_data or ())), given, tuple(settings or ()))
    teach_preferences(told, output, device=device, plan=plan, show=opt.Show(as_json, quiet))


def with_train(app: typer.Typer) -> typer.Typer:
    """`app` with the commands of this file under `train`."""
    app.add_typer(train_app, name="train")
    return app
