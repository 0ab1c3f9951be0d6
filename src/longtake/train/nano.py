"""train/nano: an empty folder in, a trained nano out: two lanes side by side, one for words and one for eyes.

words   base   language model: short films in text, twice where once is not enough
        long   the same: haystacks over 16,384 positions
eyes    see    tower + projector: captions    meet   in the word vectors that `base` ended with
        align  projector alone, through the base language model: questions about one to four pictures
then    exam   held-out questions about real video files, through the same code as any user's

No picture ever trains the language model: what it does with thousands of frames it learned from text. The controls
branch from the same base and look through the same eyes; they differ in what came after `base` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
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
from longtake.train import base
from longtake.train.align import MOST_PICTURES, PULL, SHARPNESS, Aligning, make_album
from longtake.train.card import model_card
from longtake.train.conversations import TOKENS_A_FRAME, Writer
from longtake.train.exam import GRADED, REPORTED, Mark, by_length, examine, shares
from longtake.train.lanes import Lane, progress_bars, run_lanes
from longtake.train.loop import Manner, Rates, Stage, load_module, logged, run, spent_s
from longtake.train.nano_recipe import (
    BASE_THETA,
    CONTROLS,
    DEFAULT_FRAMES,
    LAYERS,
    LONG_THETA,
    MINUTES,
    MINUTES_AGAIN,
    NANO,
    PROJECTOR_WIDTH,
    SHARDS,
    SHORT_CONTEXT,
    SIDE_PX,
    STAGES,
    TOWER_WIDTH,
    WIDTH,
    Branch,
    Recipe,
)
from longtake.train.pictures import draw_pool, read_pool
from longtake.train.read import LONG, SHORT, Reading
from longtake.train.see import Seeing, Sight
from longtake.train.spread import ONE, Spread, heard, spread_over
from longtake.train.start import language_config, word_vectors, write_copying_heads
from longtake.train.vocabulary import build_tokenizer, word_ids
from longtake.world.vocabulary import COLOURS, PLACES, SHAPES, WORDS


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
    minutes, again = (max(1.0, whole * recipe.share) for whole in (MINUTES, MINUTES_AGAIN))
    more = f"{again:.0f} more if short films have to be read again"
    console.print(f"About {minutes:.0f} min on two cores, {more}. Stop and start again as you like.")
    with progress_bars(console) as bars:
        draws = [
            Lane((partial(_draw, folder, recipe, shard=shard),), (f"draw {shard}",)) for shard in range(SHARDS + 1)
        ]
        run_lanes(folder, bars, *draws)


def _run_lanes(folder: Path, recipe: Recipe) -> None:
    with progress_bars(Console(stderr=True)) as bars:
        words = Lane(
            (partial(_base, folder, recipe), partial(_branch, folder, recipe, branch=NANO)),
            (base.BASE, base.AGAIN, NANO.name),
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
    for stage in (base.BASE, "meet", "align"):
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
    load_module(folder, branch.name if branch.steps else _stage_of(folder, branch), modules.language)
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
    stage = Reading(modules.language, _writer(tokenizer), steps=recipe.part(base.STEPS), name=base.BASE)
    stage = replace(stage, tokens=stage.tokens // spread.data_ranks)
    base.read_base(stage, folder, partial(_run, folder=folder, recipe=recipe, spread=spread), spread=spread)


def _branch(folder: Path, recipe: Recipe, *, branch: Branch, spread: Spread = ONE) -> None:
    """Read on from `base`; the word vectors stay as they are, so that the same eyes serve every branch."""
    _, modules, tokenizer = first_modules(recipe, branch.theta)
    load_module(folder, _stage_of(folder, branch), modules.language)
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


def _stage_of(folder: Path, branch: Branch) -> str:
    """Whose weights `branch` begins with."""
    return base.ended_by(folder) if branch.from_stage == base.BASE else branch.from_stage


def _run(stage: Stage, folder: Path, recipe: Recipe, spread: Spread) -> None:
    """Each rank reads one batch of a step."""
    run(stage, folder, seed=recipe.seed, manner=Manner(batches=spread.data_ranks, spread=spread))


def _meet(folder: Path, recipe: Recipe, *, spread: Spread = ONE) -> None:
    base.wait_for_base(folder, recipe.part(base.STEPS))
    _, modules, _ = first_modules(recipe)
    load_module(folder, base.ended_by(folder), modules.language)
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
    load_module(folder, base.ended_by(folder), modules.language)
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
        "base_steps": sum(logged(folder, stage).get("step", 0) for stage in (base.BASE, base.AGAIN)),
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
    logs = {stage: logged(folder, stage) | {"seconds": spent_s(folder, stage)} for stage in _taken(folder)}
    weights = hashlib.sha256((folder / "model" / WEIGHTS).read_bytes()).hexdigest()
    return {"weights_sha256": weights, "asked": asked, **right, "by_length": by_length(marks), "facts": facts, **logs}


def _stage_seconds(folder: Path) -> float:
    """What the stages took, stops and new starts included: two lanes ran side by side."""
    seconds = {stage: spent_s(folder, stage) for stage in _taken(folder)}
    eyes = seconds["see"] + seconds["meet"] + seconds["align"]
    return max(eyes, sum(seconds.values()) - eyes)


def _taken(folder: Path) -> list[str]:
    return [stage for stage in STAGES if logged(folder, stage)]
