"""cli/options: what the options of the commands are called, what they take and what their help says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from longtake import __version__
from longtake.cli.opening import Way
from longtake.cli.output import say
from longtake.errors import ErrorCode, LongtakeError


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"longtake {__version__}")
        raise typer.Exit


PARTS_WITH_SETTINGS = ("sampler", "layout", "rope")
WITH_METHOD = (*PARTS_WITH_SETTINGS, "method")

VideoFile = Annotated[str, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False)]
AskedWords = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE... QUESTION", help="Videos and pictures, in order, and a question about them.", show_default=False
    ),
]
AskedFiles = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Videos and pictures, in order.", show_default=False)
]
QuestionsFile = Annotated[
    str | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="Instead of QUESTION: a text file with a question in each line, all answered together; - for standard "
        "input.",
    ),
]
KeyValues = Annotated[
    str,
    typer.Option(
        "--kv",
        metavar="HOW",
        help="How keys and values of what was read are kept: auto; int8, in half the memory; in `memory` or on `disk` "
        "where the device is too small; or two, like int8,disk.",
    ),
]

ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A bundled model, the folder of a checkpoint, or a model of the hub.")
]
EyesName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Who looks, where the sampler looks before it chooses (distinct). Else: nano."),
]
DoctorModel = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="A model, named as for ask; none: this machine and installation.", show_default=False
    ),
]
RunModel = Annotated[
    bool,
    typer.Option("--run", help="Load the MODEL too, ask it about drawn films, and say whether it sees and speaks."),
]
ListModels = Annotated[
    bool, typer.Option("--models", help="Published models instead: context, tokens a frame, memory, licence.")
]
SamplerName = Annotated[
    str | None, typer.Option("--sampler", help="Which frames are looked at; see `longtake list`. nano: uniform.")
]
LayoutName = Annotated[
    str | None, typer.Option("--layout", help="How they become tokens; see `longtake list`. nano: grid.")
]
RopeName = Annotated[
    str | None,
    typer.Option("--rope", help="How positions are turned to read further than trained; see `longtake list`."),
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--method", help="Answer another way than from all frames at once: captions, tree, again; see `longtake list`."
    ),
]
LookAgain = Annotated[
    bool,
    typer.Option("--look-again", help="First a coarse look, then more frames around its evidence: --method again."),
]
EvidenceSheet = Annotated[
    str | None,
    typer.Option(
        "--evidence", metavar="FILE", help="Draw the frames that the answer rests on, with their times: evidence.png."
    ),
]
NoEvidence = Annotated[bool, typer.Option("--no-evidence", help="Do not look for the times that the answer rests on.")]
ReaderName = Annotated[
    str | None,
    typer.Option(
        "--reader",
        metavar="READER",
        help="With --method: who reads the captions; another model, or one behind an OpenAI-compatible address, like "
        "http://localhost:8000/v1#qwen2.5-7b (its key in OPENAI_API_KEY).",
    ),
]
Choices = Annotated[
    list[str] | None,
    typer.Option("--choice", metavar="TEXT", help="A possible answer: one of them is given. Repeatable, 2 to 26."),
]
TemplateName = Annotated[
    str | None, typer.Option("--template", help="The prompt's format, for another than the model's; `longtake list`.")
]
FrameCount = Annotated[
    int | None, typer.Option("--frames", "-n", help="How many frames the sampler picks. nano: 64.", min=1)
]
Start = Annotated[str | None, typer.Option("--start", help="Look from here on: seconds or h:mm:ss.")]
End = Annotated[str | None, typer.Option("--end", help="Look up to here: seconds or h:mm:ss.")]
Stream = Annotated[
    int | None, typer.Option("--stream", help="Which stream of the file; else the default or largest.", min=0)
]
OnCorrupt = Annotated[
    Literal["error", "skip"],
    typer.Option("--on-corrupt", help="Frames that cannot be decoded: an error, or left out and told."),
]
Interlaced = Annotated[
    Literal["off", "auto"],
    typer.Option("--deinterlace", help="auto: make interlaced frames whole from their first field."),
]
LimitSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        help="What may be paid for a file: bytes, pixels, frames, duration; with --isolate also deadline and memory. "
        "Repeatable.",
    ),
]
Isolate = Annotated[
    bool, typer.Option("--isolate/--no-isolate", help="Decode in a process apart, that may crash or hang.")
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", help="The answer ends here at the latest.", min=1)]
Temperature = Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token; more draws.", min=0)]
Seed = Annotated[int, typer.Option("--seed", help="The same seed draws the same again.", min=0)]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:1, mps; or several, with limits for weights: cuda:0=20GiB,cuda:1,cpu."
    ),
]
RankCount = Annotated[
    int | None,
    typer.Option(
        "--ranks",
        metavar="N",
        help="So many processes read and keep one video together, each on a graphics card of its own or with its share "
        "of the processor; all of several machines are started by torchrun.",
        min=1,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype", help="auto (bfloat16 where the device has it), float32, bfloat16, float16 or int8 weights."
    ),
]
TowerName = Literal["torch", "openvino", "openvino-int8"]
Tower = Annotated[
    TowerName,
    typer.Option("--tower", help="What computes the vision tower; openvino is faster on a processor, and an extra."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PART.OPTION=VALUE", help="An option of the sampler, layout or rope; repeatable."),
]
SamplerSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="sampler.OPTION=VALUE", help="An option of the sampler; repeatable."),
]
SettingsWithMethod = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PART.OPTION=VALUE", help="Of sampler, layout, rope or method; repeatable."),
]
PlannedFiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE...]", help="Videos and pictures, in order; none with --duration.", show_default=False
    ),
]
PlannedQuestion = Annotated[
    str | None, typer.Option("--question", help="What will be asked; else room is kept for 64 tokens.")
]
Fit = Annotated[
    str | None,
    typer.Option("--fit", metavar="memory=SIZE|time=TIME", help="Take the most frames that fit: 16GiB, 10min."),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option("--device-memory", metavar="SIZE", help="So much may be used, like 80GiB; else what there is."),
]
Calibrate = Annotated[bool, typer.Option("--calibrate", help="Measure anew how fast this machine computes.")]
Duration = Annotated[str | None, typer.Option("--duration", help="Of a video that is not at hand, like 2:00:00.")]
FrameSize = Annotated[str, typer.Option("--size", metavar="WxH", help="Its size in pixels.")]
BeyondTrainedContext = Annotated[
    bool,
    typer.Option("--beyond-trained-context", help="Go on where there are more tokens than the model was trained on."),
]
StoreFolder = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="FOLDER", help="Where what is made of videos is kept; else LONGTAKE_STORE, or the cache."
    ),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep nothing, and look for nothing that was kept.")]
KeepPrefix = Annotated[
    bool, typer.Option("--keep-prefix", help="Keep the keys and values of the whole prompt too: large, and fast.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, also when something goes wrong.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")]
ManifestFile = Annotated[
    str | None,
    typer.Option("--manifest", metavar="FILE", help="Write here all that the answer rests on, for longtake verify."),
]
ToldManifest = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="What `longtake ask --manifest` wrote.", show_default=False)
]
ToldVideos = Annotated[
    list[str] | None,
    typer.Option("--video", metavar="FILE", help="Where a file lies now; repeatable, in the manifest's order."),
]
ToldModel = Annotated[
    str | None, typer.Option("--model", "-m", help="Where the model lies now; else as the manifest names it.")
]
MediaOnly = Annotated[bool, typer.Option("--media-only", help="Look at the files alone: load no model, ask nothing.")]
ToldDevice = Annotated[str, typer.Option("--device", help="auto: as told, if there is such a one here.")]
ToldDtype = Annotated[str, typer.Option("--dtype", help="auto: as told.")]
SheetFile = Annotated[str, typer.Option("--output", "-o", help="The picture to write, e.g. sheet.png.")]
Haystack = Annotated[
    list[str],
    typer.Argument(
        metavar="HAYSTACK...",
        help="Video files whose frames hide the needles; with --text text files, or `world` for captions.",
        show_default=False,
    ),
]
HaystackFrames = Annotated[
    str, typer.Option("--frames", "-n", metavar="RANGE", help="Lengths of the haystack: START:STOP:STEP or a list.")
]
FRAMES_RANGE, TOKENS_RANGE = "200:3000:200", "800:12000:800"
"""Lengths of a haystack unless others are typed."""
Depths = Annotated[str, typer.Option("--depths", metavar="RANGE", help="Where the needle goes: 0 first, 1 last.")]
NeedleSet = Annotated[
    str | None,
    typer.Option(
        "--needles",
        metavar="PATH",
        help="A dataset.json as LongVA's, or its folder, or a parquet file with image, question and answer. Else "
        "needles are drawn.",
    ),
]
NeedleName = Annotated[
    list[str] | None, typer.Option("--needle", metavar="NAME", help="Take this one of --needles; repeatable.")
]
Trials = Annotated[
    int | None, typer.Option("--trials", help="How many needles a cell; 20 are drawn, or all of --needles.", min=1)
]
NeedleTask = Annotated[
    Literal["find", "several", "order", "count", "clip"],
    typer.Option("--task", help="Drawn needles: find one, read two, tell which came first, count, see one move."),
]
NeedleKind = Annotated[
    Literal["value", "colour", "shape", "letter"], typer.Option("--kind", help="What --task find asks for.")
]
Distractors = Annotated[
    float,
    typer.Option(
        "--distractors",
        metavar="SHARE",
        help="So much of the haystack shows other scenes; with --text FILES so many other sentences.",
        min=0,
    ),
]
InText = Annotated[bool, typer.Option("--text", help="Hide sentences in text, not pictures among frames.")]
HaystackTokens = Annotated[
    str, typer.Option("--tokens", metavar="RANGE", help="With --text: lengths of the haystack, as --frames.")
]
EveryFrame = Annotated[bool, typer.Option("--every-frame", help="Take all frames, not one a second.")]
NiahFolder = Annotated[str, typer.Option("--output", "-o", help="Where rows, heatmap and summary go.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Say what it would read and how long that takes, and stop.")]
NiahFolders = Annotated[
    list[str], typer.Argument(metavar="FOLDER...", help="What `longtake niah` left: its --output.", show_default=False)
]
HeatmapFile = Annotated[str, typer.Option("--output", "-o", help="The picture to write.")]
RunTitle = Annotated[
    list[str] | None, typer.Option("--title", help="Of each run, in their order; else the folders' names. Repeatable.")
]
ComparedScore = Annotated[
    Literal["forced", "generated"],
    typer.Option("--score", help="forced: each token of the answer, the right ones before it given; generated: all."),
]
CommonCells = Annotated[bool, typer.Option("--common", help="Only lengths, depths and needles that every run asked.")]
DemoFolder = Annotated[str, typer.Option("--output", "-o", help="Where the contact sheet goes.")]
TrainFolder = Annotated[str, typer.Option("--output", "-o", help="Where the training keeps and leaves its files.")]
Share = Annotated[float, typer.Option("--share", help="Do this share of all steps; 1 makes the weights that ship.")]
ExamQuestions = Annotated[int, typer.Option("--questions", help="Graded questions of the exam.", min=1)]
Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)]


@dataclass(frozen=True)
class Looked:
    """Which frames of which video are looked at, as the user put it.

    Attributes:
        path: the video file.
        sampler: a sampler's name, None for the model's own.
        frames: short for the setting `sampler.frames`.
        start, end: times as typed.
        settings: for each part, option -> value as typed.
        way: how the file is read.
    """

    path: str
    sampler: str | None
    frames: int | None
    start: str | None
    end: str | None
    settings: Mapping[str, Mapping[str, str]]
    way: Way

    @property
    def sampler_settings(self) -> dict[str, str]:
        """The sampler's options, `--frames` among them.

        Raises:
            LongtakeError: `usage.bad_option` if the number of frames is given twice.
        """
        if self.frames is None:
            return dict(self.settings["sampler"])
        if "frames" in self.settings["sampler"]:
            reason = "--frames says the same"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--set sampler.frames", reason, "give one of the two")
        return {**self.settings["sampler"], "frames": str(self.frames)}


@dataclass(frozen=True)
class Show:
    """How much is printed besides the result, and where the manifest goes, if one is wanted."""

    as_json: bool
    quiet: bool
    manifest: str | None = None

    @property
    def talks(self) -> bool:
        """Whether standard error gets progress and closing line."""
        return not (self.quiet or self.as_json)


def method_named(method: str | None, *, look_again: bool) -> str | None:
    """The method that the user named, by either option.

    Raises:
        LongtakeError: `usage.bad_option` for both.
    """
    if look_again and method is not None:
        reason, advice = "is --method again, and a method is named", "leave one of the two out"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--look-again", reason, advice)
    return "again" if look_again else method


def settings_by_part(
    settings: Sequence[str] | None, parts: Sequence[str] = PARTS_WITH_SETTINGS
) -> dict[str, dict[str, str]]:
    """`["layout.slow_frames=8"]` as `{"sampler": {}, "layout": {"slow_frames": "8"}}`, with all `parts`.

    Raises:
        LongtakeError: `usage.bad_option` if one is not PART.OPTION=VALUE.
    """
    found: dict[str, dict[str, str]] = {part: {} for part in parts}
    for setting in settings or ():
        place, equals, value = setting.partition("=")
        part, dot, option = place.partition(".")
        if not (equals and dot and part in found):
            reason = "is not PART.OPTION=VALUE with PART one of " + ", ".join(found)
            advice = f"write it like --set {'layout.slow_frames=8' if 'layout' in found else 'sampler.seconds=2'}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--set {setting}", reason, advice)
        found[part][option] = value
    return found
