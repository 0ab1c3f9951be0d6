"""What a run takes: counted by hand where that can be done; and the same for real tensors as for hollow ones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.cache_utils import DynamicCache

import tiny
from longtake import parts
from longtake.checkpoint import without_weights
from longtake.costs.counting import Counter
from longtake.costs.fitting import Case, most_frames, with_frames
from longtake.costs.imagined import ImaginedVideo
from longtake.costs.machine import _cgroup_bytes, memory_room
from longtake.costs.outlining import outline_of
from longtake.costs.rehearsing import Rehearsal, Unrehearsed
from longtake.costs.work import Watching
from longtake.engines import GenerateOptions, Keeping
from longtake.errors import LongtakeError
from longtake.families import Model
from longtake.families.nano import NanoModules
from longtake.loading import load

FILM = ImaginedVideo(3600.0, 640, 360)
MIB = 2**20


def test_work_by_hand() -> None:
    """Ten rows of 30 by a matrix of 30 x 20; the product lives, its double and its half do not."""
    rows, matrix = torch.ones(10, 30), torch.ones(20, 30)
    with torch.inference_mode(), Watching() as watching:
        product = torch.nn.functional.linear(rows, matrix)
        doubled = product + product
        del doubled
        halved = product * 0.5
        del halved
    assert watching.work.amounts["multiply small float32"] == 2 * 10 * 30 * 20
    assert watching.work.amounts["calls"] == 3
    assert watching.peak_bytes == 2 * 10 * 20 * 4
    assert product.shape == (10, 20)


def test_rehearsed_as_run() -> None:
    """nano with its weights, watched, and without them, rehearsed: the same operations, the same bytes alive."""
    real, outline = load("nano", device="cpu"), outline_of("nano", device="cpu")
    rehearsal = Rehearsal(outline.model, outline.made)
    pixels = torch.zeros(5, 3, 96, 96, dtype=torch.uint8)
    with torch.inference_mode(), Watching() as seen:
        real.encoder.seen(pixels)  # type: ignore[attr-defined]
    step = rehearsal.views(outline.model.encoder, 5)
    assert (step.peak_bytes, dict(step.work.amounts)) == (seen.peak_bytes, dict(seen.work.amounts))

    language = real.engine.language  # type: ignore[attr-defined]
    embedded = torch.zeros(1, 48, language.config.hidden_size)
    with torch.inference_mode(), Watching() as read:
        language.model(inputs_embeds=embedded, past_key_values=DynamicCache(), use_cache=True)
    chunk = rehearsal.chunk(48, 0).work.amounts
    for kind in ("multiply small float32", "attend float32", "curve float32"):
        assert chunk[kind] == pytest.approx(read.work.amounts[kind])


def test_without_weights_nothing_is_read(tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with without_weights() as made:
        model = load(str(folder), device="cpu")
    assert made.weights_bytes == [sum(tensor.nbytes for tensor in _tensors(tiny.modules()))]
    assert model.tokenizer.encode("what")
    with pytest.raises(LongtakeError, match="bad_checkpoint"):
        load(str(folder), device="cpu")


def _tensors(modules: NanoModules) -> list[torch.Tensor]:
    """Tied ones once."""
    stored = [module.state_dict(keep_vars=True).values() for module in modules.named().values()]
    return list({id(tensor): tensor for some in stored for tensor in some}.values())


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter.of(outline_of("nano", device="cpu"), None)


def memory(counter: Counter, model: Model, frames: int) -> int:
    case = Case([FILM], "What?", GenerateOptions())
    return case.cost(counter, with_frames(model, frames)).memory_bytes


@pytest.mark.parametrize("layout", parts.names("layouts"))
def test_more_frames_never_take_less(counter: Counter, layout: str) -> None:
    model = replace(counter.outline.model, layout=parts.find("layouts", layout)())
    found = []
    for frames in (1, 2, 7, 31, 32, 33, 64, 100, 191, 192, 193, 300, 1000):
        try:
            found.append(memory(counter, model, frames))
        except LongtakeError:
            continue  # a layout may refuse so small a grid; it does so for any number of frames
    # Which frames are picked decides how many wait in the decoder: that moves some kB up and down.
    assert all(fewer <= more * 1.0001 for fewer, more in itertools.pairwise(found))
    assert found[-1] > found[0]


@pytest.mark.parametrize("layout", ["grid", "slowfast", "every_token"])
def test_the_most_that_fits(counter: Counter, layout: str) -> None:
    model = replace(counter.outline.model, layout=parts.find("layouts", layout)())
    room = memory(counter, model, 700)
    case = Case([FILM], "What?", GenerateOptions())
    most = most_frames(model, case, lambda one: case.cost(counter, one).memory_bytes <= room)
    assert most >= 700
    assert memory(counter, model, most) <= room < memory(counter, model, most + 1)


def test_kept_numbers_may_be_narrower_or_elsewhere(counter: Counter) -> None:
    """In eight bits each value has a step of its own in each head of each layer beside it; on disk nothing is left."""
    model = with_frames(counter.outline.model, 400)
    case = Case([FILM], "What?", GenerateOptions())
    keys, fewer, none = (
        next(
            stage.bytes["key-values"]
            for stage in case.cost(replace(counter, keeping=keeping), model).stages
            if stage.name == "prefill"
        )
        for keeping in (Keeping(), Keeping("int8"), Keeping("auto", "disk"))
    )
    rehearsal = counter.rehearsal
    steps = 4 * rehearsal.layers * rehearsal.key_value_heads
    assert fewer * 4 * rehearsal.key_value_numbers == keys * (rehearsal.key_value_numbers + steps)
    assert none == 0


def test_a_layout_that_looks_at_numbers_is_still_counted(counter: Counter) -> None:
    """Such a one may ask whether a feature is positive; without numbers nobody can say."""
    from looking_layout import Looking

    shape = counter.outline.model.encoder.shape_of(10, (360, 640), tiled=False)
    step, tokens_bytes = counter.rehearsal.arranged(Looking(), shape)
    assert tokens_bytes == Looking().count(shape) * counter.rehearsal.width * 4
    assert step.peak_bytes == 2 * tokens_bytes
    with pytest.raises(Unrehearsed):
        counter.rehearsal._arrange(Looking(), shape)


def test_least_limit_of_a_control_group(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    inner = tmp_path / "groups" / "outer" / "inner"
    inner.mkdir(parents=True)
    assert _cgroup_bytes(own, tmp_path / "groups") is None
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text(f"{300 * MIB}\n")
    assert _cgroup_bytes(own, tmp_path / "groups") == 300 * MIB
    (inner / "memory.max").write_text(f"{200 * MIB}\n")
    assert _cgroup_bytes(own, tmp_path / "groups") == 200 * MIB


def test_least_limit_of_the_first_version(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:cpu:/x\n4:memory:/box\n")
    (tmp_path / "groups" / "memory" / "box").mkdir(parents=True)
    (tmp_path / "groups" / "memory" / "box" / "memory.limit_in_bytes").write_text(str(100 * MIB))
    assert _cgroup_bytes(own, tmp_path / "groups") == 100 * MIB
    assert _cgroup_bytes(tmp_path / "none", tmp_path) is None


def test_limit_of_the_process() -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are told where there is `resource`")
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = 2**41 if before[1] == resource.RLIM_INFINITY else before[1]
    machine = memory_room().bytes
    assert 2**28 < machine < 2**50
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        assert memory_room().bytes == min(machine, limit)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
