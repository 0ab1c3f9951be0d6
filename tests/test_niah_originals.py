"""V-NIAH cell by cell: needle's place, reported depth, predicted tokens and scores are the original script's."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longtake.families import Model
from longtake.loading import load
from longtake.niah import Cell, Grid, Insertion, Row, Trial
from longtake.niah.looking import Eye, Haystack, Laid
from longtake.niah.ranges import depths, frame_counts, reported_depth
from longtake.niah.scoring import SCORES, share_of
from longtake.niah.sweep import Asking, SharedReading, sweep
from longtake.prompt.templates import as_text, find_template
from longtake.ropes.theta import Theta
from originals import CHECKPOINTS

GOLDEN = Path(__file__).parent / "golden" / "g_vniah"

TEMPLATES = {"qwen2": find_template("chatml"), "vicuna": as_text(find_template("needle_vicuna"))}
"""The script's name for a prompt, and ours. The script encodes the question apart from what follows; in all that was
recorded these are the same tokens.
"""
PICTURE = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Recorded:
    """One recorded run of the script: its settings and cells, and what it read, as our niah room takes them."""

    name: str

    @cached_property
    def told(self) -> dict[str, Any]:
        return dict(json.loads((GOLDEN / f"{self.name}.json").read_text()))

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(GOLDEN / f"{self.name}.safetensors")

    @property
    def trials(self) -> list[Trial]:
        asked = zip(self.told["questions"], self.told["answers"], strict=True)
        return [
            Trial(f"{number}", (Insertion((PICTURE,)),), question.removeprefix("\n"), answer)
            for number, (question, answer) in enumerate(asked)
        ]

    @property
    def cells(self) -> list[Cell]:
        lengths = f"{self.told['min_frame_num']}:{self.told['max_frame_num']}:{self.told['frame_interval']}"
        grid = Grid(frame_counts(lengths), depths(f"0:1:{self.told['depth_interval']}"))
        return grid.cells(self.trials)

    def one(self, cell: Cell) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was recorded of a length and depth, and of this needle there."""
        (found,) = [
            one
            for one in self.told["cells"]
            if (one["Num. Frame"], one["depth_value"]) == (cell.frames, pytest.approx(cell.depth))
        ]
        return found, found["needles"][int(cell.trial.name)]

    def laid(self, model: Model) -> Laid:
        """Haystack and needles as they were embedded, rounded to bfloat16 as the script rounds everything."""
        kept_THWD = self.tensors["haystack_bf16"].float()[:, None]
        haystack = Haystack(kept_THWD, np.arange(len(kept_THWD)), {})
        needles = {name: [self.tensors[f"needle_{name}"].bfloat16().float()[None, None]] for name in "012"}
        return Laid(Eye(model), haystack, needles)

    def model(self) -> Model:
        """LongVA-tiny as the script runs it: all 544 ids may be said, and text is rounded to bfloat16 too."""
        model = load(str(CHECKPOINTS / "LongVA-tiny"), device="cpu", dtype="float32")
        language: Any = copy.deepcopy(model.engine.language)  # type: ignore[attr-defined]
        embedding = language.get_input_embeddings()
        with torch.no_grad():
            embedding.weight.copy_(embedding.weight.bfloat16().float())
        engine = replace(model.engine, language=language, vocabulary_size=None)  # type: ignore[type-var]
        theta = self.told["rope_theta_override"]
        engine = engine if theta is None else engine.with_rope(Theta(theta))
        template = TEMPLATES[self.told["prompt_template"]]
        return replace(model, engine=engine, template=template, beyond_trained_context=True)


@pytest.mark.parametrize("name", ["cells", "cells_rope"])
def test_every_cell_says_what_the_original_said(name: str) -> None:
    recorded = Recorded(name)
    model = recorded.model()
    laid, reading = recorded.laid(model), SharedReading(model)
    cells = recorded.cells
    assert len(cells) == 3 * len(recorded.told["cells"])
    for cell in cells:
        one, asked = recorded.one(cell)
        assert (cell.places, reported_depth(cell.depth)) == ((one["needle_frame_index"],), one["Frame Depth"])
        asking = Asking(model, cell.trial)
        prefix = reading.read(asking.after(laid.prompt(cell)))
        assert (prefix.length, asking.answer_ids) == (asked["prompt_len"], asked["answer_ids"])
        # What the script pads behind the answer is read by nobody: a position sees only those before it.
        length = prefix.length + len(asking.answer_ids)
        assert asked["padded_len"] == length + 2 - length % 2
        assert model.engine.force(prefix, [], asking.answer_ids).likeliest_A.tolist() == asked["pred"]


@pytest.mark.parametrize("name", ["cells", "cells_rope"])
def test_a_whole_sweep_scores_as_the_original(name: str) -> None:
    """The room's own loop, in its own order, from the prompts' shared beginnings."""
    recorded = Recorded(name)
    model = recorded.model()
    rows = list(sweep(model, recorded.cells, recorded.laid(model).prompt))
    assert [row.error for row in rows] == [None] * len(rows)
    shares = []
    for one in recorded.told["cells"]:
        own = [row for row in rows if (row.frames, row.depth) == (one["Num. Frame"], one["depth_value"])]
        share = share_of(own, SCORES["forced"]).share
        assert len(own) == 3 and share == pytest.approx(one["Score"])
        shares.append(share)
    assert sum(shares) / len(shares) == pytest.approx(recorded.told["average_score"])
    assert len({row.forced for row in rows}) == 2, "some are right and some are wrong, or equality shows little"


def test_rounding_to_bfloat16_is_no_needle_found_or_lost() -> None:
    """Without the rounding, as we read by ourselves, no score of these cells moves."""
    recorded = Recorded("cells")
    rounded = recorded.model()
    language = load(str(CHECKPOINTS / "LongVA-tiny"), device="cpu", dtype="float32").engine.language  # type: ignore[attr-defined]
    exact = replace(rounded, engine=replace(rounded.engine, language=language))  # type: ignore[type-var]

    def forced(model: Model) -> list[bool | None]:
        rows: list[Row] = list(sweep(model, recorded.cells, recorded.laid(model).prompt))
        return [row.forced for row in rows]

    assert forced(exact) == forced(rounded)


def test_double_newlines_stay_as_the_tokenizer_writes_them() -> None:
    """The script has an option that makes two tokens of Qwen2's one for a double newline: none of ours does."""
    for case in json.loads((GOLDEN / "double_newline.json").read_text()):
        after = [token_id for each in case["ids"] for token_id in ([198, 198] if each == 271 else [each])]
        assert after == case["ids_after"], "that is all that the option does"
    model = Recorded("cells").model()
    asked = Asking(model, Trial("0", (), "one\n\ntwo", "three"))
    assert "\none\n\ntwo" in model.tokenizer.decode(asked.question_ids)
    spelled = model.tokenizer.encode("\none\n\ntwo")
    assert asked.question_ids[: len(spelled)] == spelled
