"""cli/training: the command that trains."""

from __future__ import annotations

from pathlib import Path

from longtake.cli.output import say, say_json, table
from longtake.errors import ErrorCode, LongtakeError, writing


def train_nano(output: str, *, share: float, seed: int, questions: int, as_json: bool) -> None:
    """`longtake train nano`: train, then print how many held-out questions the model gets right, by kind."""
    from longtake.train.nano import Recipe, train

    try:
        recipe = Recipe(share=share, seed=seed, questions=questions)
    except ValueError as error:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", str(error), "see longtake train --help") from error
    with writing(output):
        figures = train(Path(output), recipe)
    if as_json:
        say_json(figures)
        return
    rows = [("kind", "asked", "right", "blank video", "another's video")]
    for kind, asked in figures["asked"].items():
        rows.append((kind, str(asked), *(f"{figures[column][kind]:.3f}" for column in ("own", "blank", "other"))))
    say(table(rows))
    say(f"the model is in {Path(output) / 'model'}; ask with --model {Path(output) / 'model'}")
