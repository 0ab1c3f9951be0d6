"""train/entropy: a loss made in blocks is the plain one, with its gradients, also where the original's is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from longtake.train import entropy
from longtake.train.entropy import IGNORED, counted, cross_entropy, losses_of, token_losses

M, V, D = 50, 97, 16


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that neither tokens nor words are a multiple of them."""
    monkeypatch.setattr(entropy, "BLOCK_WORDS", 13)
    monkeypatch.setattr(entropy, "BLOCK_TOKENS", 7)
    monkeypatch.setattr(entropy, "LOGITS_AT_ONCE", 7 * V)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(tokens: int = M, words: int = V) -> torch.Tensor:
    """Some of them ignored, the first and last words among them."""
    found = torch.randint(0, words, (tokens,), generator=torch.Generator().manual_seed(3))
    found[:3] = torch.tensor([0, words - 1, IGNORED])
    found[10:20] = IGNORED
    return found


def head(bias: bool = True) -> nn.Linear:
    made = nn.Linear(D, V, bias=bias)
    with torch.no_grad():
        made.weight.copy_(drawn(V, D, seed=1))
        if bias:
            made.bias.copy_(drawn(V, seed=2))
    return made


def plain(hidden: torch.Tensor, ids: torch.Tensor, to_logits: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(to_logits(hidden).float(), ids, ignore_index=IGNORED, reduction="none")


def with_gradients(losses: Any, hidden: torch.Tensor, ids: torch.Tensor, to_logits: nn.Module) -> list[torch.Tensor]:
    """Losses, and the gradients of hidden states and parameters where every token has a weight of its own."""
    hidden = hidden.clone().requires_grad_()
    found = losses(hidden, ids, to_logits)
    weights = torch.linspace(-1, 2, len(ids))
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), [hidden, *to_logits.parameters()])]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("bias", [True, False])
def test_losses_and_gradients_are_the_plain_ones(bias: bool) -> None:
    # Large logits: only differences to the largest may be raised to a power.
    for scale, error in ((1.0, 1e-6), (300.0, 1e-4)):
        ours = with_gradients(losses_of, scale * drawn(M, D), labels(), head(bias))
        theirs = with_gradients(plain, scale * drawn(M, D), labels(), head(bias))
        for one, other in zip(ours, theirs, strict=True):
            assert (one - other).norm() < error * other.norm()
        assert ours[0][labels() == IGNORED].eq(0).all() and ours[1][labels() == IGNORED].eq(0).all()


@pytest.mark.usefixtures("small_blocks")
def test_under_autocast_products_are_made_in_bfloat16_as_a_plain_heads_are() -> None:
    for cast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            ours = with_gradients(losses_of, drawn(M, D), labels(), head())
            theirs = with_gradients(plain, drawn(M, D), labels(), head())
        exact = with_gradients(plain, drawn(M, D), labels(), head())
        assert torch.equal(ours[0].bfloat16(), exact[0].bfloat16()) is not cast
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype == torch.float32
            assert (one - other).norm() / other.norm() < (1e-2 if cast else 1e-6)


@pytest.mark.usefixtures("small_blocks")
def test_a_model_of_bfloat16_gets_gradients_of_bfloat16() -> None:
    ours = with_gradients(losses_of, drawn(M, D).bfloat16(), labels(), head().bfloat16())
    theirs = with_gradients(plain, drawn(M, D).bfloat16(), labels(), head().bfloat16())
    assert [tensor.dtype for tensor in ours] == [torch.float32, *[torch.bfloat16] * 3]
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).float().norm() / other.float().norm() < 2e-2


@pytest.mark.usefixtures("small_blocks")
def test_a_head_tied_to_the_embeddings_gets_both_gradients() -> None:
    found = []
    for losses in (losses_of, plain):
        embeddings, tied = nn.Embedding(V, D), head(bias=False)
        embeddings.weight = tied.weight
        losses(embeddings(torch.arange(M)), labels(), tied).sum().backward()
        found.append(tied.weight.grad)
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("small_blocks")
def test_what_is_frozen_gets_no_gradient_and_the_rest_gets_its_own() -> None:
    whole = with_gradients(losses_of, drawn(M, D), labels(), head())
    frozen, hidden = head().requires_grad_(False), drawn(M, D).requires_grad_()
    (losses_of(hidden, labels(), frozen) * torch.linspace(-1, 2, M)).sum().backward()
    assert frozen.weight.grad is None and torch.equal(hidden.grad, whole[1])  # type: ignore[arg-type]
    learning = head()
    (losses_of(drawn(M, D), labels(), learning) * torch.linspace(-1, 2, M)).sum().backward()
    assert torch.equal(learning.weight.grad, whole[2])  # type: ignore[arg-type]
    assert not losses_of(drawn(M, D), labels(), frozen).requires_grad


@pytest.mark.usefixtures("small_blocks")
def test_padding_of_the_vocabulary_is_never_said_and_learns_nothing() -> None:
    padded, hidden, ids = head(), drawn(M, D).requires_grad_(), labels(words=70)
    losses = token_losses(hidden, ids, padded.weight, padded.bias, vocabulary=70)
    losses.sum().backward()
    expected = plain(drawn(M, D), ids, lambda h: nn.functional.linear(h, padded.weight[:70], padded.bias[:70]))
    torch.testing.assert_close(losses, expected)
    assert padded.weight.grad is not None and padded.bias.grad is not None
    assert padded.weight.grad[70:].eq(0).all() and padded.bias.grad[70:].eq(0).all()
    assert padded.weight.grad[:70].ne(0).any(1).all()
    with pytest.raises(ValueError, match="want 0 to 69"):
        token_losses(hidden, labels(), padded.weight, vocabulary=70)


class Adapted(nn.Module):
    """A head that is more than its matrix, as LoRA's are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.low = head(), nn.Parameter(drawn(V, 2, seed=5))
        self.weight = self.inner.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(hidden) + hidden[..., :2] @ self.low.T
        return logits


@pytest.mark.usefixtures("small_blocks")
def test_a_head_that_is_no_plain_matrix_is_asked_itself() -> None:
    ours = with_gradients(losses_of, drawn(M, D), labels(), Adapted())
    theirs = with_gradients(plain, drawn(M, D), labels(), Adapted())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_reductions() -> None:
    ids, weights, linear = labels(), torch.linspace(0, 1, M), head()
    each = plain(drawn(M, D), ids, linear)
    asked = ids != IGNORED
    torch.testing.assert_close(cross_entropy(drawn(M, D), ids, linear, reduction="sum"), each.sum())
    torch.testing.assert_close(cross_entropy(drawn(M, D), ids, linear), each[asked].mean())
    weighted = cross_entropy(drawn(M, D), ids, linear, weights_M=weights)
    torch.testing.assert_close(weighted, (each * weights).sum() / weights[asked].sum())
    torch.testing.assert_close(cross_entropy(drawn(M, D), ids, linear, reduction="none"), each)
    assert int(counted(ids)) == M - 11


@pytest.mark.parametrize("asked", [0, M])
def test_where_nothing_is_asked_the_loss_is_nothing_and_so_are_its_gradients(asked: int) -> None:
    linear, hidden = head(), drawn(asked, D).requires_grad_()
    loss = cross_entropy(hidden, torch.full((asked,), IGNORED), linear)
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad is not None and hidden.grad.eq(0).all()
    assert linear.weight.grad is not None and linear.weight.grad.eq(0).all()


@pytest.mark.usefixtures("small_blocks")
def test_uneven_shards_of_which_one_asks_nothing_add_up_to_the_whole() -> None:
    ids, whole, parts = labels(), head(), head()
    cross_entropy(drawn(M, D), ids, whole).backward()
    count, total = counted(ids), torch.zeros(())
    for shard in (slice(0, 10), slice(10, 20), slice(20, M)):
        loss = cross_entropy(drawn(M, D)[shard], ids[shard], parts, reduction="sum") / count
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, cross_entropy(drawn(M, D), ids, whole).detach())
    torch.testing.assert_close(parts.weight.grad, whole.weight.grad)


class Largest(TorchDispatchMode):
    """The most numbers that any one tensor made meanwhile holds."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_no_tensor_is_larger_than_a_block_or_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy, "BLOCK_WORDS", 200)
    monkeypatch.setattr(entropy, "BLOCK_TOKENS", 100)
    linear, hidden = nn.Linear(8, 3000), drawn(600, 8).requires_grad_()
    for losses, bound in ((losses_of, 3000 * 8), (plain, 3000 * 600)):
        with Largest() as largest:
            losses(hidden, labels(600, 3000), linear).sum().backward()
        assert largest.numbers == bound


@pytest.mark.parametrize("wrong", [-1, V, -99])
def test_a_label_that_is_no_word_is_refused(wrong: int) -> None:
    ids = labels()
    ids[4] = wrong
    with pytest.raises(ValueError, match=f"want 0 to {V - 1}, or -100"):
        losses_of(drawn(M, D), ids, head())


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden \(50, 15\), labels \(50,\)"):
        losses_of(drawn(M, D - 1), labels(), head())


def recorded(golden: Path) -> list[tuple[dict[str, Any], dict[str, torch.Tensor]]]:
    """The released loss: what it was given, what it gave, and what a plain loss gave."""
    folder = golden / "i_longtext"
    tensors = load_file(folder / "low_mem_cross_ent.safetensors")
    cases = json.loads((folder / "low_mem_cross_ent.json").read_text())
    return [
        (case, {name.partition(".")[2]: tensors[name] for name in tensors if name.startswith(f"{case['name']}.")})
        for case in cases
    ]


WRONG = {"remainder_dropped", "ignore_some", "ignore_wrong_gradient"}


@pytest.mark.usefixtures("small_blocks")
def test_the_recorded_losses_and_gradients_are_ours_where_the_original_is_right(golden: Path) -> None:
    seen = set()
    for case, told in recorded(golden):
        hidden = told["x"].flatten(0, 1).requires_grad_()
        weight = nn.Linear(*told["weight"].T.shape, bias=False)
        with torch.no_grad():
            weight.weight.copy_(told["weight"])
        loss = cross_entropy(hidden, told["labels"].flatten(), weight)
        of_hidden, of_weight = torch.autograd.grad(loss, [hidden, weight.weight])
        # What is true; and the same as what the original says, but for three cases.
        torch.testing.assert_close(loss, told["loss_normal"])
        torch.testing.assert_close(of_hidden.view_as(told["x"]), told["dx_normal"], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(of_weight, told["dw_normal"], rtol=1e-5, atol=1e-7)
        right = abs(case["loss_low_mem"] - loss.item()) < 1e-6 * abs(loss.item()) and "dx_low_mem" in told
        right = right and torch.allclose(of_hidden.view_as(told["x"]), told["dx_low_mem"], rtol=1e-5, atol=1e-7)
        right = right and torch.allclose(of_weight, told["dw_low_mem"], rtol=1e-5, atol=1e-7)
        assert right is (case["name"] not in WRONG), case["name"]
        seen.add(case["name"])
    assert seen == WRONG | {"even", "sp1", "sp16"}


def test_what_the_original_computes_instead_is_known(golden: Path) -> None:
    cases = {case["name"]: (case, told) for case, told in recorded(golden)}
    case, told = cases["remainder_dropped"]
    shards, length = case["sp"], case["seq"]
    logits, ids = told["x"][0] @ told["weight"].T, told["labels"][0]
    kept = length - length % shards
    assert kept < length
    without_the_rest = nn.functional.cross_entropy(logits[:kept], ids[:kept])
    torch.testing.assert_close(without_the_rest, told["loss_low_mem"])
    for name in ("ignore_some", "ignore_wrong_gradient"):
        case, told = cases[name]
        logits, ids = told["x"][0] @ told["weight"].T, told["labels"][0]
        means = [
            nn.functional.cross_entropy(*both)
            for both in zip(logits.chunk(case["sp"]), ids.chunk(case["sp"]), strict=True)
        ]
        # A mean of means: a shard that asks little weighs as much as one that asks all; one that asks nothing is nan.
        torch.testing.assert_close(torch.stack(means).mean(), told["loss_low_mem"])
    assert nn.functional.cross_entropy(logits[:4], torch.full((4,), IGNORED)).isnan()


def test_smoke_of_the_benchmark() -> None:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "entropy.py"
    done = subprocess.run([sys.executable, str(path), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"}
    assert max(told["figures"]["errors"].values()) < told["targets"]["errors"]
    assert [row["side"] for row in told["figures"]["rows"]] == ["longtake", "plain", "longtake", "longtake"]
