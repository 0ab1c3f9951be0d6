"""train/nano: an empty folder in, a trained nano out: two lanes side by side, one for words and one for eyes.

words   base   language model: short films in text       long   the same: haystacks over 16,384 positions
eyes    see    tower + projector: captions    meet   in the word vectors that `base` ended with
        align  projector alone, through the base language model: questions about one to four pictures
then    exam   held-out questions about real video files, through the same code as any user's

No picture ever trains the language model: what it does with thousands of frames it learned from text. The controls
branch from the same base and look through the same eyes; they differ in what came after `base` alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from longtake.checkpoint import CONFIG, TOKENIZER, WEIGHTS, write_sums
from longtake.errors import ErrorCode, LongtakeError
from longtake.families.nano import TEMPLATE, NanoModules, build, encoder, write_checkpoint
from longtake.loading import load
from longtake.parallel.joining import joined
from longtake.prompt import HubTokenizer
from longtake.train.align import MOST_PICTURES, PULL, SHARPNESS, Aligning, make_album
from longtake.train.card import model_card
from longtake.train.conversations import TOKENS_A_FRAME, Writer
from longtake.train.exam import GRADED, REPORTED, Mark, by_length, examine, shares
from longtake.train.lanes import Lane, progress_bars, run_lanes
from longtake.train.loop import Manner, Rates, Stage, load_module, logged, run, spent_s
from longtake.train.pictures import draw_pool, read_pool
from longtake.train.read import LONG, LONG_CUT_SHORT, SHORT, Diet, Reading
from longtake.train.saving import kept
from longtake.train.see import Seeing, Sight
from longtake.train.spread import ONE, Spread, heard, spread_over
from longtake.train.start import language_config, word_vectors, write_copying_heads
from longtake.train.vocabulary import build_tokenizer, word_ids
from longtake.world.vocabulary import COLOURS, PLACES, SHAPES, WORDS

SIDE_PX = 96
TOWER_WIDTH = 128
WIDTH = 128
PROJECTOR_WIDTH = 2048
"""Wide enough to hold the vectors of 1,200 values: with 512 they came out at a cosine of 0.8 to their words."""
LAYERS = 4
BASE_THETA = 1e4
"""RoPE's base while short films are read."""
LONG_THETA = 3e7
"""RoPE's base from then on: the slowest pairs turn less than once in 16,384 positions."""
DEFAULT_FRAMES = 64
SHARDS = 2
"""Files that the training pictures are drawn into, each by a process of its own; one more holds the held-out ones."""
MINUTES = 75
"""On two cores with bfloat16 matrix units. Measured once: 4 to draw, 62 for the stages, 6 for the exam."""
BASE_STEPS = 1_600


@dataclass(frozen=True)
class Branch:
    """What becomes of the language model after `base`.

    Attributes:
        name: of the stage, and of the folder that the model is written to.
        theta: RoPE's base from here on.
        diet: what is read.
        steps: of as many tokens each.
        from_stage: whose weights it begins with.
        context: positions that it is then trained to read.
    """

    name: str
    theta: float
    diet: Diet
    steps: int
    context: int
    from_stage: str = "base"


SHORT_CONTEXT = 256
NANO = Branch("long", LONG_THETA, LONG, 3_000, LONG.span)
SHORT_ONLY = Branch("control_a", BASE_THETA, LONG_CUT_SHORT, 3_000, SHORT_CONTEXT)
WIDER_BASE_AT_TEST = Branch("control_b", LONG_THETA, LONG_CUT_SHORT, 0, SHORT_CONTEXT, from_stage="control_a")
SHORT_AT_WIDER_BASE = Branch("control_c", LONG_THETA, LONG_CUT_SHORT, 3_000, SHORT_CONTEXT)
STAGES = ("base", NANO.name, "see", "meet", "align")
CONTROLS = (SHORT_ONLY, WIDER_BASE_AT_TEST, SHORT_AT_WIDER_BASE)


@dataclass(frozen=True)
class Recipe:
    """How much of everything; `share` of 1 makes the shipped weights.

    Attributes:
        share: of every number of steps and pictures; a hundredth learns nothing, but everything runs.
        seed: of data and first weights.
        questions: graded questions of the exam.
    """

    share: float = 1.0
    seed: int = 0
    questions: int = 800

    def __post_init__(self) -> None:
        if not 0.01 <= self.share <= 10:  # of fewer pictures none may show what a text tells of
            raise ValueError(f"share is {self.share}; want at least 0.01 and at most 10")

    def part(self, whole: int) -> int:
        """`share` of `whole`, at least 4."""
        return max(4, round(whole * self.share))


def train(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Train a nano into `folder`/model, going on from what `folder` holds; returns the exam's figures.

    One process trains words and eyes in two lanes. Ranks that torchrun started take every stage together, each its part
    of every step.

    Raises:
        LongtakeError: `usage.bad_option` if `folder` holds a training of another recipe; `model.nonfinite`.
    """
    with joined(torch.device("cpu")) as ranks:
        spread = spread_over(ranks, ring=1, hold="whole")
        spread.led(lambda: _drawn(folder, recipe))
        if spread.ranks.group is None:
            _run_lanes(folder, recipe)
        else:
            _run_together(folder, recipe, spread)
        return spread.led(lambda: _finished(folder, recipe))


def _run_together(folder: Path, recipe: Recipe, spread: Spread) -> None:
    try:
        with heard(spread, str(folder)):
            for job in (_base, partial(_branch, branch=NANO), _see, _meet, _align):
                job(folder, recipe, spread=spread)
    except FloatingPointError as error:
        advice = "take another --seed and --output"
        raise LongtakeError(ErrorCode.MODEL_NONFINITE, str(folder), str(error), advice) from error


def _drawn(folder: Path, recipe: Recipe) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _keep_recipe(folder, recipe)
    console = Console(stderr=True)
    console.print(f"About {max(1.0, MINUTES * recipe.share):.0f} min on two cores. Stop and start again as you like.")
    with progress_bars(console) as bars:
        draws = [
            Lane((partial(_draw, folder, recipe, shard=shard),), (f"draw {shard}",)) for shard in range(SHARDS + 1)
        ]
        run_lanes(folder, bars, *draws)


def _run_lanes(folder: Path, recipe: Recipe) -> None:
    with progress_bars(Console(stderr=True)) as bars:
        words = Lane(
            (partial(_base, folder, recipe), partial(_branch, folder, recipe, branch=NANO)), ("base", NANO.name)
        )
        eyes = Lane(tuple(partial(job, folder, recipe) for job in (_see, _meet, _align)), ("see", "meet", "align"))
        run_lanes(folder, bars, words, eyes)


def _finished(folder: Path, recipe: Recipe) -> dict[str, Any]:
    write_model(folder, recipe, NANO, folder / "model")
    with progress_bars(Console(stderr=True)) as bars:
        marks = _examined(folder, recipe, bars)
    return write_card(folder, _figures(folder, recipe, marks))


def write_card(folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Write figures.json and README.md of the model in `folder`, with the V-NIAH sweeps that `folder`/niah holds."""
    sweeps = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("niah/*/summary.json"))}
    figures["niah"] = {name: _kept(summary) for name, summary in sweeps.items()}
    (folder / "model" / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / "model" / "README.md").write_text(model_card(figures))
    return figures


def _kept(summary: dict[str, Any]) -> dict[str, Any]:
    """What the card needs of a sweep's summary; of the films their names, for folders are nobody's business."""
    haystack = summary["haystack"]
    files = [{**file, "path": Path(file["path"]).name} for file in haystack.get("files", ())]
    told = {key: value for key, value in haystack.items() if key not in ("files", "notes")}
    return {key: summary[key] for key in ("asked", "failed", "mean", "frames")} | {"haystack": told | {"files": files}}


def train_controls(folder: Path, recipe: Recipe, wanted: Sequence[Branch] = CONTROLS) -> None:
    """Train controls into `folder`/control_a and so on, beside the nano that `train` made there; and what they need.

    Raises:
        LongtakeError: `usage.bad_option` if there is no nano, or one of another recipe; `model.nonfinite`.
    """
    for stage in ("base", "meet", "align"):
        if not logged(folder, stage):
            reason = f"holds no stage {stage}: the controls branch from a nano"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(folder), reason, "run longtake train nano first")
    _keep_recipe(folder, recipe)
    with progress_bars(Console(stderr=True)) as bars:
        needed = {branch.name if branch.steps else branch.from_stage for branch in wanted}
        trained = [branch for branch in CONTROLS if branch.name in needed]
        jobs = [(partial(_branch, folder, recipe, branch=branch), branch.name) for branch in trained]
        run_lanes(folder, bars, *[Lane((job,), (name,)) for job, name in jobs])
    for branch in wanted:
        write_model(folder, recipe, branch, folder / branch.name)


def first_modules(recipe: Recipe, theta: float = BASE_THETA) -> tuple[dict[str, Any], NanoModules, HubTokenizer]:
    """The configuration, the untrained networks, and the tokenizer."""
    tokenizer = build_tokenizer()
    language = language_config(
        tokenizer.get_vocab_size(), width=WIDTH, layers=LAYERS, theta=theta, context=SHORT_CONTEXT
    )
    config = {
        "vision": {"side_px": SIDE_PX, "width": TOWER_WIDTH, "layers": 2, "heads": 4},
        "projector": {"in_width": TOWER_WIDTH, "hidden_width": PROJECTOR_WIDTH, "out_width": WIDTH},
        "language": language.to_diff_dict(),
        "trained_context": SHORT_CONTEXT,
        "frames": DEFAULT_FRAMES,
    }
    torch.manual_seed(recipe.seed)
    modules = build(config)
    write_copying_heads(modules.language, seed=recipe.seed)
    return config, modules, HubTokenizer(tokenizer)


def write_model(folder: Path, recipe: Recipe, branch: Branch, into: Path) -> None:
    """Put the eyes and the branch's language model together and write them as a model that `longtake.load` takes."""
    config, modules, tokenizer = first_modules(recipe, branch.theta)
    load_module(folder, branch.name if branch.steps else branch.from_stage, modules.language)
    load_module(folder, "meet", Sight(modules.vision, modules.projector, tower_width=TOWER_WIDTH))
    load_module(folder, "align", modules.projector)
    config["trained_context"] = config["language"]["max_position_embeddings"] = branch.context
    write_checkpoint(into, config, modules, tokenizer=tokenizer, dtype=torch.bfloat16)
    write_sums(into, [CONFIG, TOKENIZER, WEIGHTS])


def _keep_recipe(folder: Path, recipe: Recipe) -> None:
    kept = folder / "recipe.json"
    mine = asdict(recipe)
    if kept.exists() and json.loads(kept.read_text()) != mine:
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION,
            str(folder),
            f"holds a training of another recipe: {kept.read_text().strip()}",
            "give its options again, or an empty folder",
        )
    kept.write_text(json.dumps(mine) + "\n")


def _writer(tokenizer: HubTokenizer) -> Writer:
    return Writer(TEMPLATE, tokenizer, word_ids(build_tokenizer()))


def _draw(folder: Path, recipe: Recipe, *, shard: int) -> None:
    _, modules, _ = first_modules(recipe)
    held_out = shard == SHARDS
    draw_pool(
        folder / f"pictures{shard}.npz",
        recipe.part(1_500 if held_out else 30_000),
        recipe=encoder(modules).recipe,
        seed=recipe.seed * 1_000 + shard,
        held_out=held_out,
    )


def _seeing(folder: Path, recipe: Recipe, modules: NanoModules, words_VD: torch.Tensor) -> Seeing:
    pools = [folder / f"pictures{shard}.npz" for shard in range(SHARDS + 1)]
    return Seeing(
        Sight(modules.vision, modules.projector, tower_width=TOWER_WIDTH),
        words_VD,
        word_ids(build_tokenizer()),
        recipe=encoder(modules).recipe,
        pool=read_pool(pools[:-1]),
        held_out=read_pool(pools[-1:]),
        steps=recipe.part(6_000),
    )


def _see(folder: Path, recipe: Recipe, *, spread: Spread = ONE) -> None:
    _, modules, _ = first_modules(recipe)
    words_VD = word_vectors(modules.language.config.vocab_size, WIDTH, seed=recipe.seed)
    seen = _seeing(folder, recipe, modules, words_VD)
    _run(replace(seen, pictures=seen.pictures // spread.data_ranks), folder, recipe, spread)


def _base(folder: Path, recipe: Recipe, *, spread: Spread = ONE) -> None:
    _, modules, tokenizer = first_modules(recipe)
    stage = Reading(modules.language, _writer(tokenizer), steps=recipe.part(BASE_STEPS), name="base")
    _run(replace(stage, tokens=stage.tokens // spread.data_ranks), folder, recipe, spread)


def _branch(folder: Path, recipe: Recipe, *, branch: Branch, spread: Spread = ONE) -> None:
    """Read on from `base`; the word vectors stay as they are, so that the same eyes serve every branch."""
    _, modules, tokenizer = first_modules(recipe, branch.theta)
    load_module(folder, branch.from_stage, modules.language)
    modules.language.model.embed_tokens.weight.requires_grad_(False)
    rates = Rates(matrices=5e-3, others=7e-4, hold=0.4)
    stage = Reading(
        modules.language,
        _writer(tokenizer),
        steps=recipe.part(branch.steps),
        diet=branch.diet,
        as_film=True,
        name=branch.name,
        rates=rates,
    )
    _run(replace(stage, tokens=stage.tokens // spread.data_ranks), folder, recipe, spread)


def _run(stage: Stage, folder: Path, recipe: Recipe, spread: Spread) -> None:
    """Each rank reads one batch of a step."""
    run(stage, folder, seed=recipe.seed, manner=Manner(batches=spread.data_ranks, spread=spread))


def _wait_for(folder: Path, name: str, steps: int) -> None:
    """The other lane makes it, a checkpoint before its log's row; should it die, this process is ended with it."""
    while (found := kept(folder, name)) is None or found[1] != steps:
        time.sleep(1.0)


def _meet(folder: Path, recipe: Recipe, *, spread: Spread = ONE) -> None:
    _wait_for(folder, "base", recipe.part(BASE_STEPS))
    _, modules, _ = first_modules(recipe)
    load_module(folder, "base", modules.language)
    words_VD = modules.language.model.embed_tokens.weight.detach()
    seen = _seeing(folder, recipe, modules, words_VD)
    load_module(folder, "see", seen.module)
    pixels_TCHW = seen.recipe.normalise(torch.from_numpy(seen.pool.pixels_NCHW[:256]))
    seen.module.shorten(pixels_TCHW, float(words_VD.norm(dim=-1).mean()))
    rates = Rates(matrices=1e-2, others=1.5e-3, hold=0.3)
    stage = replace(seen, name="meet", steps=recipe.part(5_000), sharpness=SHARPNESS, pull=PULL, rates=rates)
    _run(replace(stage, pictures=stage.pictures // spread.data_ranks), folder, recipe, spread)


def _align(folder: Path, recipe: Recipe, *, spread: Spread = ONE) -> None:
    _, modules, tokenizer = first_modules(recipe)
    load_module(folder, "meet", Sight(modules.vision, modules.projector, tower_width=TOWER_WIDTH))
    load_module(folder, "base", modules.language)
    modules.vision.eval()
    modules.language.eval().requires_grad_(False)
    pool = read_pool([folder / f"pictures{shard}.npz" for shard in range(SHARDS)])
    album = make_album(modules.vision, pool, encoder(modules).recipe)
    stage = Aligning(modules.projector, modules.language, _writer(tokenizer), album, steps=recipe.part(400))
    _run(replace(stage, tokens=stage.tokens // spread.data_ranks), folder, recipe, spread)


def _examined(folder: Path, recipe: Recipe, bars: Progress) -> list[Mark]:
    """The marks of the model in `folder`; an exam that was taken is not taken again."""
    kept = folder / "exam.jsonl"
    if kept.exists():
        return [Mark(**json.loads(line)) for line in kept.read_text().splitlines()]
    task = bars.add_task("exam", total=None)
    marks = examine(
        load(str(folder / "model"), dtype="float32"),
        questions=recipe.questions,
        progress=lambda done, total: bars.update(task, completed=done, total=total),
    )
    kept.write_text("".join(json.dumps(asdict(mark)) + "\n" for mark in marks))
    return marks


def _figures(folder: Path, recipe: Recipe, marks: list[Mark]) -> dict[str, Any]:
    config, modules, _ = first_modules(recipe)
    parameters = sum(p.numel() for module in modules.named().values() for p in module.parameters())
    facts = {
        "colours": len(COLOURS),
        "shapes": len(SHAPES),
        "words": len(WORDS),
        "places": len(PLACES),
        "side_px": SIDE_PX,
        "layers": LAYERS,
        "width": WIDTH,
        "parameters": parameters,
        "context": NANO.context,
        "most_frames": NANO.context // TOKENS_A_FRAME,
        "base_frames": SHORT.most_frames,
        "base_theta": BASE_THETA,
        "long_frames": LONG.most_frames,
        "long_theta": LONG_THETA,
        "most_pictures": MOST_PICTURES,
        "minutes": round(_stage_seconds(folder) / 60),
        "seed": recipe.seed,
    }
    asked = {kind: sum(mark.kind == kind for mark in marks) for kind in (*GRADED, *REPORTED)}
    right = {column: shares(marks, column) for column in ("own", "blank", "other")}
    logs = {stage: logged(folder, stage) | {"seconds": spent_s(folder, stage)} for stage in STAGES}
    weights = hashlib.sha256((folder / "model" / WEIGHTS).read_bytes()).hexdigest()
    return {"weights_sha256": weights, "asked": asked, **right, "by_length": by_length(marks), "facts": facts, **logs}


def _stage_seconds(folder: Path) -> float:
    """What the stages took, stops and new starts included: two lanes ran side by side."""
    seconds = {stage: spent_s(folder, stage) for stage in STAGES}
    return max(seconds["see"] + seconds["meet"] + seconds["align"], seconds["base"] + seconds[NANO.name])
