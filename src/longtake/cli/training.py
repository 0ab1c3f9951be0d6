"""cli/training: the commands that train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.errors import ErrorCode, LongtakeError, writing


def train_nano(output: str, *, share: float, seed: int, questions: int, as_json: bool) -> None:
    """`longtake train nano`: train, then print how many held-out questions the model gets right, by kind."""
    from longtake.started import leads
    from longtake.train.nano import train

    recipe = _nano_recipe(share, seed, questions)
    with writing(output):
        figures = train(Path(output), recipe)
    if not leads():
        return
    if as_json:
        say_json(figures)
        return
    lengths = figures["by_length"]
    rows = [("kind", "asked", "right", *(f"{frames} frames" for frames in lengths), "blank video", "another's video")]
    for kind, asked in figures["asked"].items():
        shares = [figures["own"][kind], *(of_length[kind] for of_length in lengths.values())]
        shares += [figures["blank"][kind], figures["other"][kind]]
        rows.append((kind, str(asked), *(f"{share:.3f}" for share in shares)))
    say(table(rows))
    say(f"the model is in {Path(output) / 'model'}; ask with --model {Path(output) / 'model'}")


def train_nano_controls(output: str, wanted: str, *, share: float, seed: int, questions: int) -> list[str]:
    """`longtake train nano --controls a,b,c`: what short text alone would have made of the same base; their folders.

    Raises:
        LongtakeError: `usage.bad_option` for a control that there is not, where there is no nano, or under torchrun.
    """
    from longtake.started import alone
    from longtake.train.nano import train_controls
    from longtake.train.nano_recipe import CONTROLS

    alone("train nano --controls")
    known = {branch.name.removeprefix("control_"): branch for branch in CONTROLS}
    names = [name.strip() for name in wanted.split(",")]
    if not set(names) <= set(known):
        advice = f"name some of {','.join(known)}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--controls {wanted}", "there is no such control", advice)
    chosen = [branch for name, branch in known.items() if name in names]
    with writing(output):
        train_controls(Path(output), _nano_recipe(share, seed, questions), chosen)
    return [str(Path(output) / branch.name) for branch in chosen]


def write_nano_card(output: str, *, as_json: bool) -> None:
    """`longtake train nano --card`: the card and its figures, with every sweep that is there by now."""
    from longtake.started import alone
    from longtake.train.nano import write_card

    alone("train nano --card")
    kept = Path(output) / "model" / "figures.json"
    if not kept.exists():
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION, str(kept), "is not there", "let longtake train nano end, then come back"
        )
    with writing(output):
        figures = write_card(Path(output), json.loads(kept.read_text(encoding="utf-8")))
    if as_json:
        say_json(figures)
    else:
        say(f"the card is {kept.parent / 'README.md'}")


def _nano_recipe(share: float, seed: int, questions: int) -> Any:
    from longtake.train.nano_recipe import Recipe

    try:
        return Recipe(share=share, seed=seed, questions=questions)
    except ValueError as error:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", str(error), "see longtake train nano --help") from error


@dataclass(frozen=True)
class Told:
    """A recipe as the user put it.

    Attributes:
        path: its file, None for the defaults.
        data: what to train on, in place of the recipe's.
        given: other keys that have an option of their own; None where it was not given.
        settings: `KEY=VALUE` as typed.
    """

    path: str | None
    data: tuple[str, ...]
    given: Mapping[str, object]
    settings: tuple[str, ...]

    def read(self, kind: type[Any]) -> Any:
        """The recipe, as a frozen dataclass of `kind`.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.train.recipes import read_recipe

        over = {key: value for key, value in self.given.items() if value is not None}
        return read_recipe(kind, self.path, self.settings, over | ({"data": list(self.data)} if self.data else {}))


def train_on_text(told: Told, output: str, *, device: str, plan: bool, show: Show) -> None:
    """`longtake train text`: train, then print what held-out text lost, by position."""
    from longtake.started import leads
    from longtake.train.showing import Teller
    from longtake.train.text import train_text
    from longtake.train.text_recipe import TextRecipe

    recipe = told.read(TextRecipe)
    summary = train_text(recipe, Path(output), device=device, plan_only=plan, teller=Teller(quiet=not show.talks))
    if not leads():
        return
    if show.as_json:
        say_json(summary)
    elif not plan:
        _print_summary(summary)


def bring_together_and_print(language: str, tower: str, output: str, *, seed: int, as_json: bool) -> None:
    """`longtake train meet`: write the checkpoint, then say what to do with it."""
    from longtake.train.meeting import bring_together

    found = bring_together(language, tower, Path(output), seed=seed)
    if as_json:
        say_json(found)
    else:
        say(f"{found['model']}: an untrained projector of {found['projector']:,} parameters")
        say(f"longtake train align --model {found['model']}")


def align_with_pictures(told: Told, output: str, *, device: str, plan: bool, show: Show) -> None:
    """`longtake train align`: train, then print what held-out answers lost."""
    from longtake.started import leads
    from longtake.train.align_recipe import AlignRecipe
    from longtake.train.alignment import train_align
    from longtake.train.showing import Teller

    recipe = told.read(AlignRecipe)
    summary = train_align(recipe, Path(output), device=device, plan_only=plan, teller=Teller(quiet=not show.talks))
    if not leads():
        return
    if show.as_json:
        say_json(summary)
    elif not plan:
        _print_summary(summary)
        say(f"ask with --model {summary['model']}")


def teach_preferences(told: Told, output: str, *, device: str, plan: bool, show: Show) -> None:
    """`longtake train dpo`: train, then print what held-out pairs say."""
    from longtake.started import leads
    from longtake.train.dpo import train_dpo
    from longtake.train.dpo_recipe import DpoRecipe
    from longtake.train.showing import Teller

    recipe = told.read(DpoRecipe)
    summary = train_dpo(recipe, Path(output), device=device, plan_only=plan, teller=Teller(quiet=not show.talks))
    if not leads():
        return
    if show.as_json:
        say_json(summary)
    elif not plan:
        before, after = summary["held_out"]["before"], summary["held_out"]["after"]
        if before:
            rows = [("held-out pairs", "before", "after")]
            say(table([*rows, *((name, f"{before[name]:.3f}", f"{after[name]:.3f}") for name in before)]))
        else:
            say("nothing was held out: too few prompts for the share of them that held_out asks for")
        _print_end(summary)
        say(f"ask with --model {summary['model']}")


def _print_summary(summary: Mapping[str, Any]) -> None:
    held_out = summary["held_out"]
    if held_out["before"]:
        rows = [("held-out tokens", "loss before", "after")]
        before, after = held_out["before"], held_out["after"]
        for span, loss in before.get("by_position", {}).items():
            rows.append((span, f"{loss:.3f}", f"{after['by_position'][span]:.3f}"))
        rows.append(("all", f"{before['loss']:.3f}", f"{after['loss']:.3f}"))
        say(table(rows))
    else:
        say("nothing was held out: too little data for the share of it that held_out asks for")
    _print_end(summary)


def _print_end(summary: Mapping[str, Any]) -> None:
    for note in summary.get("notes", ()):
        say(note)
    say(f"{summary['tokens']:,} tokens seen")
    if summary["curves"]:
        say(f"curves: {summary['curves']}")
    else:
        say("no curves: drawing needs matplotlib (pip install 'longtake[plots]')")
    say(f"the model is in {summary['model']}")
