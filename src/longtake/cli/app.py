"""cli/app: the commands and their options; each hands what it is given to one function of this room."""

from __future__ import annotations

import dataclasses

import typer

from longtake.cli import options as opt
from longtake.cli.eval_app import with_eval
from longtake.cli.opening import Way
from longtake.cli.plan_train_app import TwoWords, with_plan_train
from longtake.cli.store_app import with_store
from longtake.cli.train_app import with_train

app = with_store(
    with_eval(
        with_train(
            with_plan_train(
                typer.Typer(
                    name="longtake",
                    cls=TwoWords,
                    help="Ask questions about hour-long videos, on your own machine.",
                    add_completion=False,
                    rich_markup_mode="rich",
                    pretty_exceptions_enable=False,
                    context_settings={"help_option_names": ["-h", "--help"]},
                )
            )
        )
    )
)


@app.callback()
def longtake(version: opt.Version = False) -> None:
    """Ask questions about hour-long videos, on your own machine."""


@app.command()
def ask(
    words: opt.AskedWords,
    questions: opt.QuestionsFile = None,
    model: opt.ModelName = "nano",
    sampler: opt.SamplerName = None,
    layout: opt.LayoutName = None,
    rope: opt.RopeName = None,
    method: opt.MethodName = None,
    reader: opt.ReaderName = None,
    look_again: opt.LookAgain = False,
    evidence: opt.EvidenceSheet = None,
    no_evidence: opt.NoEvidence = False,
    choices: opt.Choices = None,
    template: opt.TemplateName = None,
    frames: opt.FrameCount = None,
    start: opt.Start = None,
    end: opt.End = None,
    stream: opt.Stream = None,
    on_corrupt: opt.OnCorrupt = "error",
    deinterlace: opt.Interlaced = "off",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    max_new_tokens: opt.MaxNewTokens = 64,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    kv: opt.KeyValues = "auto",
    ranks: opt.RankCount = None,
    tower: opt.Tower = "torch",
    settings: opt.SettingsWithMethod = None,
    beyond_trained_context: opt.BeyondTrainedContext = False,
    store: opt.StoreFolder = None,
    no_store: opt.NoStore = False,
    manifest: opt.ManifestFile = None,
    fit: opt.Fit = None,
    device_memory: opt.DeviceMemory = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Answer a question, or many, about a video, a picture or several of them."""
    from longtake.cli.asking import Asked, Choice, Drawing, Road, ask_and_print
    from longtake.cli.keeping import Keeping
    from longtake.cli.resting import Evidence
    from longtake.cli.several import ask_all_and_print, asked_all, asked_words

    files, question = asked_words(words, questions)
    way = Way(stream, on_corrupt, deinterlace, tuple(limits or ()), isolate, hash_pixels=manifest is not None)
    set_by_part = opt.settings_by_part(settings, opt.WITH_METHOD)
    looked_at = [opt.Looked(path, sampler, frames, start, end, set_by_part, way) for path in files]
    keeping = Keeping(store, no_store)
    means = (fit, device_memory, ranks)
    choice = Choice(model, layout, rope, template, device, dtype, tower, beyond_trained_context, kv, keeping, *means)
    drawing = Drawing(max_new_tokens, temperature, seed)
    road = Road(opt.method_named(method, look_again=look_again), reader, Evidence(evidence, no_evidence))
    show = opt.Show(as_json, quiet, manifest)
    if questions is not None:
        several = asked_all(questions, road, choices=bool(choices), manifest=manifest)
        ask_all_and_print(looked_at, several, drawing, choice, show=show)
        return
    asked = Asked(question, tuple(choices or ()), drawing)
    ask_and_print(looked_at, asked, choice, road=road, show=show)


@app.command()
def watch(
    files: opt.AskedFiles,
    model: opt.ModelName = "nano",
    sampler: opt.SamplerName = None,
    layout: opt.LayoutName = None,
    rope: opt.RopeName = None,
    template: opt.TemplateName = None,
    frames: opt.FrameCount = None,
    start: opt.Start = None,
    end: opt.End = None,
    stream: opt.Stream = None,
    on_corrupt: opt.OnCorrupt = "error",
    deinterlace: opt.Interlaced = "off",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tower: opt.Tower = "torch",
    kv: opt.KeyValues = "auto",
    settings: opt.Settings = None,
    beyond_trained_context: opt.BeyondTrainedContext = False,
    keep_prefix: opt.KeepPrefix = False,
    store: opt.StoreFolder = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Look at videos and pictures now, and keep what was made of them for whoever asks later."""
    from longtake.cli.asking import Choice
    from longtake.cli.keeping import Keeping, watch_and_print

    # Whoever asks for a manifest later will want the hashes.
    way = Way(stream, on_corrupt, deinterlace, tuple(limits or ()), isolate, hash_pixels=True)
    set_by_part = opt.settings_by_part(settings)
    looked_at = [opt.Looked(path, sampler, frames, start, end, set_by_part, way) for path in files]
    keeping = Keeping(store, prefixes=keep_prefix)
    choice = Choice(model, layout, rope, template, device, dtype, tower, beyond_trained_context, kv, keeping)
    watch_and_print(looked_at, choice, show=opt.Show(as_json, quiet))


@app.command()
def chat(
    files: opt.AskedFiles,
    model: opt.ModelName = "nano",
    sampler: opt.SamplerName = None,
    layout: opt.LayoutName = None,
    rope: opt.RopeName = None,
    template: opt.TemplateName = None,
    frames: opt.FrameCount = None,
    start: opt.Start = None,
    end: opt.End = None,
    stream: opt.Stream = None,
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
    settings: opt.Settings = None,
    beyond_trained_context: opt.BeyondTrainedContext = False,
    store: opt.StoreFolder = None,
    no_store: opt.NoStore = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Watch a video, a picture or several once, then answer questions, each in the light of those before it.

    Questions are typed, or come one a line from a pipe. /new forgets what was said but not the video, /help tells more.
    """
    from longtake.cli.asking import Choice, Drawing
    from longtake.cli.chatting import chat_and_print
    from longtake.cli.keeping import Keeping

    way = Way(stream, on_corrupt, deinterlace, tuple(limits or ()), isolate=isolate)
    set_by_part = opt.settings_by_part(settings)
    looked_at = [opt.Looked(path, sampler, frames, start, end, set_by_part, way) for path in files]
    keeping = Keeping(store, no_store)
    choice = Choice(model, layout, rope, template, device, dtype, tower, beyond_trained_context, kv, keeping)
    chat_and_print(looked_at, choice, Drawing(max_new_tokens, temperature, seed), show=opt.Show(as_json, quiet))


@app.command()
def verify(
    manifest: opt.ToldManifest,
    video: opt.ToldVideos = None,
    model: opt.ToldModel = None,
    media_only: opt.MediaOnly = False,
    device: opt.ToldDevice = "auto",
    dtype: opt.ToldDtype = "auto",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Hold an answer's manifest against its files again: bytes, frames, times, pixels, weights and the answer."""
    from longtake.cli.verifying import Again, verify_and_print

    again = Again(tuple(video or ()), model, media_only, device, dtype, tuple(limits or ()), isolate)
    verify_and_print(manifest, again, show=opt.Show(as_json, quiet))


@app.command()
def plan(
    files: opt.PlannedFiles = None,
    question: opt.PlannedQuestion = None,
    model: opt.ModelName = "nano",
    sampler: opt.SamplerName = None,
    layout: opt.LayoutName = None,
    rope: opt.RopeName = None,
    template: opt.TemplateName = None,
    frames: opt.FrameCount = None,
    fit: opt.Fit = None,
    device_memory: opt.DeviceMemory = None,
    duration: opt.Duration = None,
    size: opt.FrameSize = "1280x720",
    start: opt.Start = None,
    end: opt.End = None,
    stream: opt.Stream = None,
    limits: opt.LimitSettings = None,
    max_new_tokens: opt.MaxNewTokens = 64,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tower: opt.Tower = "torch",
    kv: opt.KeyValues = "auto",
    settings: opt.Settings = None,
    beyond_trained_context: opt.BeyondTrainedContext = False,
    calibrate: opt.Calibrate = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tell what asking would take, in tokens, memory and time, and how many frames fit. Loads and reads nothing."""
    from longtake.cli.asking import Choice, Drawing
    from longtake.cli.keeping import Keeping
    from longtake.cli.means import Absent
    from longtake.cli.planning import Wish, plan_and_print

    way = Way(stream, "error", "off", tuple(limits or ()), isolate=False)
    looked_at = opt.Looked("", sampler, frames, start, end, opt.settings_by_part(settings), way)
    means = (fit, device_memory)
    choice = Choice(model, layout, rope, template, device, dtype, tower, beyond_trained_context, kv, Keeping(), *means)
    wish = Wish(question, Drawing(max_new_tokens, 0.0, 0), Absent(duration, size), calibrate)
    looks = [dataclasses.replace(looked_at, path=path) for path in files or ("",)]
    plan_and_print(looks, choice, wish=wish, show=opt.Show(as_json, quiet))


@app.command()
def info(
    video: opt.VideoFile,
    stream: opt.Stream = None,
    on_corrupt: opt.OnCorrupt = "error",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    as_json: opt.AsJson = False,
) -> None:
    """Tell what a video file really is: streams, true frame count and times, rotation, gaps."""
    from longtake.cli.looking import print_info

    print_info(video, Way(stream, on_corrupt, "off", tuple(limits or ()), isolate=isolate), as_json=as_json)


@app.command()
def frames(
    video: opt.VideoFile,
    output: opt.SheetFile,
    sampler: opt.SamplerName = "uniform",
    model: opt.EyesName = None,
    frames: opt.FrameCount = None,
    start: opt.Start = None,
    end: opt.End = None,
    stream: opt.Stream = None,
    on_corrupt: opt.OnCorrupt = "error",
    deinterlace: opt.Interlaced = "off",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    settings: opt.SamplerSettings = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw a contact sheet of the frames that would be seen, with their times."""
    from longtake.cli.looking import save_sheet

    way = Way(stream, on_corrupt, deinterlace, tuple(limits or ()), isolate=isolate)
    looked_at = opt.Looked(video, sampler, frames, start, end, opt.settings_by_part(settings, ("sampler",)), way)
    save_sheet(looked_at, output, model=model, show=opt.Show(as_json, quiet))


@app.command("list")
def list_parts(models: opt.ListModels = False, as_json: opt.AsJson = False) -> None:
    """List the parts that can be named, with their options; or the models."""
    if models:
        from longtake.cli.models import print_models

        print_models(as_json=as_json)
        return
    from longtake.cli.looking import print_parts

    print_parts(as_json=as_json)


@app.command()
def doctor(
    model: opt.DoctorModel = None,
    run: opt.RunModel = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.AsJson = False,
) -> None:
    """Examine this machine and installation, or a model without loading it, and say what to do about what is wrong."""
    from longtake.cli.looking import Running, print_doctor

    print_doctor(model, Running(run, device, dtype), as_json=as_json)


@app.command()
def demo(output: opt.DemoFolder = "demo_output", quiet: opt.Quiet = False) -> None:
    """Ask the bundled hour-long film its questions."""
    from longtake.cli.playing import play_demo

    play_demo(output, show=opt.Show(as_json=False, quiet=quiet))


@app.command()
def niah(
    haystack: opt.Haystack,
    frames: opt.HaystackFrames = opt.FRAMES_RANGE,
    depths: opt.Depths = "0:1:0.2",
    needles: opt.NeedleSet = None,
    needle: opt.NeedleName = None,
    trials: opt.Trials = None,
    task: opt.NeedleTask = "find",
    kind: opt.NeedleKind = "value",
    distractors: opt.Distractors = 0.0,
    text: opt.InText = False,
    tokens: opt.HaystackTokens = opt.TOKENS_RANGE,
    every_frame: opt.EveryFrame = False,
    model: opt.ModelName = "nano",
    layout: opt.LayoutName = None,
    rope: opt.RopeName = None,
    settings: opt.Settings = None,
    output: opt.NiahFolder = "niah_output",
    plan: opt.PlanOnly = False,
    seed: opt.Seed = 0,
    on_corrupt: opt.OnCorrupt = "error",
    limits: opt.LimitSettings = None,
    isolate: opt.Isolate = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    ranks: opt.RankCount = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Hide pictures among the frames of long videos and ask for them: the visual needle in a haystack (V-NIAH)."""
    from longtake.cli.hiding import Hay, Needles, Seeker, Task, hide_and_seek
    from longtake.cli.hiding_text import TextHay, hide_in_text, is_text

    way = Way(None, on_corrupt, "off", tuple(limits or ()), isolate=isolate)
    sought = Needles(needles, tuple(needle or ()), trials, seed, Task(task, kind, distractors))
    seeker = Seeker(model, layout, rope, opt.settings_by_part(settings), device, dtype, ranks)
    folder, show = None if plan else output, opt.Show(as_json, quiet)
    if is_text(text, tokens):
        hide_in_text(
            TextHay(tuple(haystack), tokens, depths, frames, every_frame, way), sought, seeker, output=folder, show=show
        )
    else:
        hide_and_seek(Hay(tuple(haystack), every_frame, frames, depths, way), sought, seeker, output=folder, show=show)


@app.command("niah-compare")
def niah_compare(
    folders: opt.NiahFolders,
    output: opt.HeatmapFile = "niah.png",
    title: opt.RunTitle = None,
    score: opt.ComparedScore = "forced",
    common: opt.CommonCells = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw several runs of niah side by side, and print their means in one table."""
    from longtake.cli.comparing import Comparison, compare_runs

    compared = Comparison(tuple(folders), tuple(title or ()), score, common)
    compare_runs(compared, output, show=opt.Show(as_json, quiet))
