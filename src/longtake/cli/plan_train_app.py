"""cli/plan_train_app: `longtake plan train` and its options; and how a command comes to have a name of two words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from longtake.cli import options as opt
from longtake.cli.train_app import RecipeSettings
from longtake.errors import ErrorCode, LongtakeError

Recipe = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe of `longtake train`; recipes/ has some.", show_default=False),
]
Kind = Annotated[
    Literal["text", "align", "dpo"] | None,
    typer.Option("--kind", help="The command that the recipe is for; else the one that its keys fit."),
]
PlannedModel = Annotated[
    str | None,
    typer.Option("--model", "-m", help="In place of the recipe's: a name, or a folder; config.json is enough."),
]
RankCount = Annotated[int, typer.Option("--ranks", help="Devices, with a process each.", min=1)]
RingSize = Annotated[
    int | None,
    typer.Option("--ring", help="So many of them share a row, each some positions; else as the recipe says.", min=1),
]
Attending = Annotated[
    Literal["ring", "ulysses"] | None,
    typer.Option(
        "--attending",
        help="How they attend to all of it: keys and values go round, or heads change for positions. "
        "Else as the recipe says.",
    ),
]
Weights = Annotated[
    Literal["whole", "sharded", "aside"] | None,
    typer.Option(
        "--weights",
        help="How ranks hold weights and what belongs to them: whole on each; each a part; each a part in main memory. "
        "Else as the recipe says.",
    ),
]
Recompute = Annotated[
    bool | None,
    typer.Option("--recompute/--no-recompute", help="Keep only each layer's input; else as the recipe says."),
]
DeviceFlops = Annotated[
    float,
    typer.Option("--device-flops", help="That a device can do in a second; 312e12: an A100 in bfloat16.", min=1.0),
]
Utilisation = Annotated[
    float,
    typer.Option(
        "--utilisation",
        help="The share of them that is used; 0.5: as in LongVA's training of two days.",
        min=0.001,
        max=1,
    ),
]
SampleCount = Annotated[int, typer.Option("--samples", help="Of the data, where a stage goes through all.", min=0)]
SampleTokens = Annotated[
    int, typer.Option("--sample-tokens", help="Of a usual sample with pictures; else the longest there may be.", min=0)
]


class TwoWords(TyperGroup):
    """Commands whose name may be two words: `plan train` is one, and a video named train is planned as ./train."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Those of two words stand behind that of their first."""
        names = super().list_commands(ctx)
        places = {name: place for place, name in enumerate(names)}
        return sorted(names, key=lambda name: (places.get(name.split()[0], places[name]), len(name.split())))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first words name, and what is left of them."""
        if (name := " ".join(args[:2])) in self.commands:
            args = [name, *args[2:]]
        return super().resolve_command(ctx, args)


def with_plan_train(app: typer.Typer) -> typer.Typer:
    """`app` with the command of this file; `app` is a group of TwoWords."""

    @app.command("plan train")
    def plan_train(
        recipe: Recipe = None,
        kind: Kind = None,
        model: PlannedModel = None,
        ranks: RankCount = 1,
        ring: RingSize = None,
        attending: Attending = None,
        weights: Weights = None,
        recompute: Recompute = None,
        device_memory: opt.DeviceMemory = None,
        device_flops: DeviceFlops = 312e12,
        utilisation: Utilisation = 0.5,
        samples: SampleCount = 0,
        sample_tokens: SampleTokens = 0,
        settings: RecipeSettings = None,
        as_json: opt.AsJson = False,
    ) -> None:
        """Tell what training by a recipe would take: memory of each device, bytes sent, hours. Trains nothing."""
        from longtake.cli.plan_train import Course, Machines, plan_train_and_print

        if recipe is None:
            advice = "name a file such as recipes/text_small.toml; a video called train is planned as ./train"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", "no RECIPE", advice)
        course = Course(recipe, kind, model, tuple(settings or ()), samples, sample_tokens)
        machines = Machines(ranks, ring, attending, weights, recompute, device_memory, device_flops, utilisation)
        plan_train_and_print(course, machines, show=opt.Show(as_json, quiet=False))

    return app
