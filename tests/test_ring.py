"""Ranks that attend together find what one alone finds: attention, its gradients, and those of a whole model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from longtake.parallel import ALONE, Ranks
from longtake.parallel.attending import RING, ULYSSES, WAYS, attending_together, reading
from longtake.parallel.products import OnProcessor, WrittenOut, products
from longtake.parallel.row import row_of
from longtake.parallel.ulysses import ulysses
from ranks import run_ranks
from together import Attention, Training, all_together, attended_alone, tiny, trained_alone

SIZES = (1, 2, 4)
ROWS: dict[str, dict[str, Any]] = {
    "even": {"length": 48},
    "uneven, one head of keys for all": {"length": 37, "heads": (4, 1)},
    "as many heads of keys": {"length": 30, "heads": (4, 4)},
    "more padding than row": {"length": 3},
    "documents": {"length": 41, "documents": ("a" * 13 + "b" + "c" * 8 + "d" * 19,)},
    "other documents in each row": {"length": 29, "documents": ("a" * 4 + "b" * 25, "a" * 17 + "b" * 5 + "c" * 7)},
    "documents of one token": {"length": 18, "documents": ("abcdefghijklmnopqr",)},
}
PRECISIONS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
ATTENTIONS = {
    f"{how}, {dtype}, {name}": Attention(how=how, dtype=dtype, **row)
    for how in WAYS
    for dtype in PRECISIONS
    for name, row in ROWS.items()
}
TRAININGS = {
    "ring": Training(37),
    "ring, documents": Training(40, documents="a" * 17 + "b" * 3 + "c" * 20),
    "ring, layers once more": Training(37, again="reentrant"),
    "ring, layers once more, documents": Training(29, again="not reentrant", documents="a" * 11 + "b" * 18),
    "ring, half": Training(37, half=True),
    "ulysses": Training(37, how=ULYSSES),
    "ulysses, documents": Training(40, how=ULYSSES, documents="a" * 17 + "b" * 3 + "c" * 20),
    "ulysses, layers once more": Training(29, how=ULYSSES, again="not reentrant"),
}


@pytest.fixture(scope="module", params=SIZES)
def found(request: pytest.FixtureRequest) -> dict[Any, Any]:
    """What ranks found; the first of them tells, for it is the same on all. They start once for all tests."""
    asked = (list(ATTENTIONS.values()), list(TRAININGS.values()))
    size: int = request.param
    told = all_together(ALONE, *asked) if size == 1 else run_ranks(all_together, size, *asked)[0]
    return {"size": size, **told}


def assert_as_near(tolerance: float, ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Every number within the tolerance of 1, or of the largest number where that is more."""
    assert ours.keys() == theirs.keys()
    for name, one in theirs.items():
        far = (ours[name].double() - one.double()).abs().max() / max(1.0, float(one.abs().max()))
        assert float(far) <= tolerance, f"{name}: {float(far):.1e}"


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_and_its_gradients_are_those_of_one_alone(found: dict[Any, Any], name: str) -> None:
    case = ATTENTIONS[name]
    assert_as_near(PRECISIONS[case.dtype], found[case], attended_alone(case))


@pytest.mark.parametrize("name", TRAININGS)
def test_a_models_loss_and_all_its_gradients_are_those_of_one_alone(found: dict[Any, Any], name: str) -> None:
    case = TRAININGS[name]
    assert_as_near(1e-2 if case.half else 1e-5, found[case], trained_alone(case))


def test_nobody_holds_more_than_a_share(found: dict[Any, Any]) -> None:
    """The largest tensor anywhere: keys and values of one rank, for some heads with the queries; never of the row."""
    assert found[f"largest {RING}"] == 1
    assert found[f"largest {ULYSSES}"] == 1.5


def test_the_gradient_of_what_is_gathered_is_the_sum_of_all_ranks(found: dict[Any, Any]) -> None:
    weights = sum(range(1, found["size"] + 1))
    assert found["gathered"].tolist() == [[weights * place for place in range(1, 6)]]


def test_ranks_of_a_group_are_counted_in_it(found: dict[Any, Any]) -> None:
    if found["size"] == 4:
        case = ATTENTIONS[next(iter(ATTENTIONS))]
        assert_as_near(1e-5, found["in pairs"], attended_alone(case))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("triangle", [True, False])
def test_products_written_out_are_the_kernels(dtype: torch.dtype, triangle: bool) -> None:
    """Forward and backward, over more rows than are written out at a time; also of a part of what rows see."""
    rows, heads = 300, (6, 2)
    query, gradient = torch.randn(2, 2, heads[0], rows, 8, dtype=dtype)
    key, value = torch.randn(2, 2, heads[1], rows, 8, dtype=dtype)
    kernel, written = OnProcessor(0.4, triangle), WrittenOut(0.4, triangle)
    assert isinstance(products(query, 0.4, triangle=triangle), OnProcessor)
    ours, theirs = written.attend(query, key, value), kernel.attend(query, key, value)
    torch.testing.assert_close(ours, theirs)
    whole = (theirs[0], theirs[1] + 0.5)
    inputs = (query, key, value)
    assert_close = torch.testing.assert_close
    assert_close(
        written.gradients(inputs, gradient, whole), kernel.gradients(inputs, gradient, whole), rtol=1e-4, atol=1e-5
    )


def attention(language: Any, how: str, named: dict[str, Any], *, held: int = 4, batch: int = 1) -> None:
    """One layer's attention to a share of `held` positions."""
    from transformers import AttentionInterface

    attending_together(language, how)
    states = [torch.zeros(batch, heads, held, 8) for heads in (4, 2, 2)]
    mask = named.pop("attention_mask", None)
    AttentionInterface()[how](language.model.layers[0].self_attn, *states, mask, **named)


@pytest.mark.parametrize("how", WAYS)
def test_what_ranks_do_not_do_is_refused(how: str) -> None:
    language, two = tiny(), Ranks(0, 2, torch.device("cpu"))
    with pytest.raises(ValueError, match="asks for sliding_window, dropout besides"):
        attention(language, how, {"sliding_window": 8, "dropout": 0.1})
    with reading(two, 9), pytest.raises(ValueError, match="take no mask"):
        attention(language, how, {"attention_mask": torch.ones(1, 1, 4, 4)})
    with reading(two, 9), pytest.raises(ValueError, match="1 x 4 queries and 4 keys came, and 2 ranks want any x 6"):
        attention(language, how, {})
    documents = torch.zeros(3, 8)
    with reading(two, 8, documents), pytest.raises(ValueError, match="want 3 x 4 of both: a share of 8 positions"):
        attention(language, how, {}, batch=2)
    with pytest.raises(ValueError, match="'sdpa' is no way to attend together: longtake_ring, longtake_ulysses are"):
        attending_together(language, "sdpa")


def test_heads_that_cannot_be_dealt_out_are_refused() -> None:
    row = row_of(Ranks(0, 4, torch.device("cpu")), 8)
    with pytest.raises(ValueError, match="14 heads on 2 of keys and values cannot be dealt out to 4 ranks"):
        ulysses(torch.zeros(1, 14, 2, 8), torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 2, 8), row)


def test_outside_of_a_row_that_is_shared_one_attends_alone() -> None:
    """Also with keys from before, as when tokens are generated: the same tokens as by transformers' own attention."""
    ids = torch.randint(1, 60, (1, 9), generator=torch.Generator().manual_seed(3))
    kept = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    theirs = tiny().eval().generate(ids, **kept)
    language = attending_together(tiny().eval(), RING)
    assert torch.equal(language.generate(ids, **kept), theirs)
    with pytest.raises(ValueError, match="take no mask"):
        language(ids, attention_mask=torch.arange(9)[None] > 1)
