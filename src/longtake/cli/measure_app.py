"""cli/measure_app: `longtake eval BENCHMARK` and its options; and how a command comes to have many names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from longtake.cli import options as opt
from longtake.cli.opening import Way

ANY = "BENCHMARK"
"""How the command is listed whose name is that of a benchmark."""
WITH_BENCHMARK = (*opt.WITH_METHOD, "benchmark")

Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="PATH",
        help="The benchmark's files (docs/evals.md): their folder, or the one to read; subtitles are looked for there.",
        show_default=False,
    ),
]
VideosFolder = Annotated[
    str | None, typer.Option("--videos", metavar="FOLDER", help="The videos, at any depth; else below --data.")
]
OutFolder = Annotated[
    str | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the rows go; a run goes on from there.")
]
PromptWording = Annotated[
    Literal["published", "plain", "brief", "template"],
    typer.Option(
        "--prompt",
        help="How questions are put: as the benchmark's protocol has it, in longtake's words, shortly, or with options "
        "as the model's template offers them.",
    ),
]
Scored = Annotated[
    Literal["letter", "likelihood", "both"],
    typer.Option("--scoring", help="Multiple choice by what the model says, by how likely it holds each option; both."),
]
SplitName = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Refuse files that are not of this split (val, test).")
]
MostItems = Annotated[
    int | None, typer.Option("--limit-items", metavar="N", help="Only the first questions of the files.", min=1)
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="K/N", help="Ask one of several parts, by video; all may write into one --out."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count what is there, what is missing and what it takes; ask nothing.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Ask again what has failed before.")]
ForceNew = Annotated[
    bool, typer.Option("--force-new", help="Throw away what this run (or this shard of it) has left in --out.")
]
MostFailed = Annotated[
    int | None, typer.Option("--max-failed", metavar="N", help="Stop when more questions than these failed.", min=0)
]


class Benchmarks(TyperGroup):
    """Commands, and one more that is called by the name of any benchmark: `longtake eval next_qa`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of that name; else the one for benchmarks, which finds its name in the context."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return args[0], self.commands[ANY], args[1:]
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Names the benchmarks too."""
        from longtake import parts

        self.epilog = f"{ANY} is one of {', '.join(parts.names('evals.benchmarks'))}, or package.module:Class."
        super().format_help(ctx, formatter)


def add_to(app: typer.Typer) -> None:
    """Give `app`, a group of Benchmarks, the command of this file."""

    @app.command(ANY)
    def measure(
        context: typer.Context,
        data: Data,
        videos: VideosFolder = None,
        out: OutFolder = None,
        model: opt.ModelName = "nano",
        sampler: opt.SamplerName = None,
        layout: opt.LayoutName = None,
        rope: opt.RopeName = None,
        method: opt.MethodName = None,
        reader: opt.ReaderName = None,
        template: opt.TemplateName = None,
        frames: opt.FrameCount = None,
        prompt: PromptWording = "published",
        scoring: Scored = "letter",
        split: SplitName = None,
        limit_items: MostItems = None,
        shard: Shard = None,
        dry_run: DryRun = False,
        retry_failed: RetryFailed = False,
        force_new: ForceNew = False,
        max_failed: MostFailed = None,
        on_corrupt: opt.OnCorrupt = "error",
        deinterlace: opt.Interlaced = "off",
        limits: opt.LimitSettings = None,
        isolate: opt.Isolate = False,
        max_new_tokens: opt.MaxNewTokens = 64,
        temperature: opt.Temperature = 0.0,
        seed: opt.Seed = 0,
        device: opt.Device = "auto",
        dtype: opt.Dtype = "auto",
        tower: opt.Tower = "torch",
        kv: opt.KeyValues = "auto",
        settings: opt.SettingsWithMethod = None,
        beyond_trained_context: opt.BeyondTrainedContext = False,
        store: opt.StoreFolder = None,
        no_store: opt.NoStore = False,
        as_json: opt.AsJson = False,
        quiet: opt.Quiet = False,
    ) -> None:
        """Ask a model the questions of a benchmark; a row for each is kept, and a run that was stopped goes on."""
        from longtake.cli.asking import Choice, Drawing, Road
        from longtake.cli.keeping import Keeping
        from longtake.cli.measuring import Going, Measure, Wanted

        way = Way(None, on_corrupt, deinterlace, tuple(limits or ()), isolate)
        set_by_part = opt.settings_by_part(settings, WITH_BENCHMARK)
        choice = Choice(
            model, layout, rope, template, device, dtype, tower, beyond_trained_context, kv, Keeping(store, no_store)
        )
        Measure(
            Wanted(str(context.info_name), data, videos, split, limit_items, prompt, scoring),
            Going(out, shard, retry_failed, force_new, max_failed),
            opt.Looked("", sampler, frames, None, None, set_by_part, way),
            choice,
            Drawing(max_new_tokens, temperature, seed),
            Road(method, reader),
        ).carry_out(dry=dry_run, show=opt.Show(as_json, quiet))
