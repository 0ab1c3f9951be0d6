"""What ranks compute together in tests/test_ring.py, and the same without ranks: attention, and a whole tiny Qwen2.

Each function runs in every rank; what it returns is the same on all of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from longtake.parallel import Ranks
from longtake.parallel.attending import RING, WAYS, attending_together, reading
from longtake.parallel.order import gathered, share, zigzag
from longtake.parallel.row import row_of

VOCABULARY, WIDTH = 60, 16


@dataclass(frozen=True)
class Attention:
    """Attention of a whole row that ranks share.

    Attributes:
        heads: of queries, and of keys and values.
        documents: to which each position belongs, for each row of the batch; none for two rows of one document.
    """

    length: int
    heads: tuple[int, int] = (4, 2)
    documents: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32
    how: str = RING

    def drawn(self) -> list[torch.Tensor]:
        """Queries, keys, values and the gradient of what comes out: (batch, heads, length, WIDTH)."""
        generator = torch.Generator().manual_seed(self.length)
        batch, heads = len(self.documents) or 2, (self.heads[0], self.heads[1], self.heads[1], self.heads[0])
        return [torch.randn(batch, count, self.length, WIDTH, generator=generator).to(self.dtype) for count in heads]

    def documents_BL(self) -> torch.Tensor | None:
        return numbers(self.documents)


@dataclass(frozen=True)
class Training:
    """The loss of a tiny Qwen2 on a row, and the gradients of all its parameters.

    Attributes:
        again: whether layers are computed once more in the gradient, and how.
        documents: as in `Attention`, for one row.
        half: under autocast.
    """

    length: int
    how: str = RING
    again: str = ""
    documents: str = ""
    half: bool = False


Found = dict[str, torch.Tensor]


def numbers(documents: tuple[str, ...]) -> torch.Tensor | None:
    return torch.tensor([[ord(letter) for letter in row] for row in documents]) if documents else None


def attended_alone(case: Attention) -> Found:
    """Every product written out, in double precision."""
    query, key, value, gradient = (one.double() for one in case.drawn())
    inputs = [one.requires_grad_() for one in (query, key, value)]
    key, value = (one.repeat_interleave(query.shape[1] // key.shape[1], 1) for one in (key, value))
    sees = torch.ones(case.length, case.length, dtype=torch.bool).tril()[None, None]
    documents = case.documents_BL()
    if documents is not None:
        sees = sees & (documents[:, None, :, None] == documents[:, None, None])
    products = (query @ key.mT * WIDTH**-0.5).masked_fill(~sees, float("-inf"))
    out = products.softmax(-1) @ value
    out.backward(gradient)
    return _told(out, [one.grad for one in inputs])


def attended(ranks: Ranks, case: Attention) -> Found:
    """By all ranks together. Padding is no number at all, so that who sees it is found out."""
    *inputs, gradient = case.drawn()
    inputs = [one.requires_grad_() for one in inputs]
    shares = [share(one, ranks, dim=2, pad=float("nan")) for one in inputs]
    row = row_of(ranks, case.length, case.documents_BL())
    out = WAYS[case.how](*shares, row, None)
    out.backward(share(gradient, ranks, dim=2, pad=float("nan")))
    whole = gathered(out.detach(), ranks, case.length, dim=2)
    return _told(whole, [_summed(ranks, one.grad) for one in inputs])


def tiny() -> torch.nn.Module:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",
    )
    return Qwen2ForCausalLM(config).train()


def text(case: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids, (1, length), and what comes next, of which the ends of documents and some others do not count."""
    ids = torch.randint(VOCABULARY, (1, case.length), generator=torch.Generator().manual_seed(case.length))
    after = torch.cat([ids[:, 1:], torch.full((1, 1), -100)], 1)
    after[:, 3:6] = -100
    documents = numbers((case.documents,) if case.documents else ())
    if documents is not None:
        after[:, :-1][documents.diff(dim=1) != 0] = -100
    return ids, after


def trained_alone(case: Training) -> Found:
    """transformers' own attention; each document by itself, but at the places where it stands in the row."""
    language, (ids, after), summed = tiny(), text(case), torch.zeros(())
    documents = case.documents or "a" * case.length
    for document in sorted(set(documents)):
        first, stop = documents.index(document), documents.rindex(document) + 1
        with torch.autocast("cpu", torch.bfloat16, enabled=case.half):
            logits = language(ids[:, first:stop], position_ids=torch.arange(first, stop)[None]).logits
        summed = summed + F.cross_entropy(logits[0].float(), after[0, first:stop], reduction="sum")
    loss = summed / (after != -100).sum()
    loss.backward()
    return {"loss": loss.detach(), **{name: one.grad for name, one in language.named_parameters()}}


def trained(ranks: Ranks, case: Training) -> Found:
    """By all ranks together. The gradient is taken outside of `reading` and, where layers are computed once more, on
    another thread: nothing but what a layer was told can tell it which row it reads.
    """
    language, (ids, after) = attending_together(tiny(), case.how), text(case)
    if case.again:
        once_more = {"use_reentrant": case.again == "reentrant"}
        language.activation_checkpointing_enable(once_more)
    documents = numbers((case.documents,) if case.documents else ())
    with reading(ranks, case.length, documents), torch.autocast("cpu", torch.bfloat16, enabled=case.half):
        logits = language(share(ids, ranks), position_ids=zigzag(case.length, ranks)[None], use_cache=False).logits
    mine = F.cross_entropy(logits[0].float(), share(after, ranks, pad=-100)[0], reduction="sum")
    loss = mine / (after != -100).sum()
    with reading(replace(ranks, size=1, rank=0), 3):
        if case.again:
            thread = threading.Thread(target=loss.backward)
            thread.start()
            thread.join()
        else:
            loss.backward()
    gradients = {name: _summed(ranks, one.grad) for name, one in language.named_parameters()}
    return {"loss": _summed(ranks, loss.detach()), **gradients}


class Largest(TorchDispatchMode):
    """The largest tensor that was made, in numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, torch.Tensor):
                self.numel = max(self.numel, one.untyped_storage().nbytes() // one.element_size())
        return made


def largest(ranks: Ranks, length: int, how: str) -> float:
    """The largest tensor of attention and its gradient, over this rank's share of keys and values together."""
    shape = (1, 4, length // ranks.size, WIDTH)
    query, key, value = (torch.randn(shape, requires_grad=True) for _ in range(3))
    watched = Largest()
    with watched:
        WAYS[how](query, key, value, row_of(ranks, length), None).sum().backward()
    return watched.numel / (key.numel() + value.numel())


def gathered_gradient(ranks: Ranks) -> torch.Tensor:
    """Each rank weighs a row of 5 by its number + 1; the gradient of all of it together."""
    x = torch.zeros(1, 5, requires_grad=True)
    whole = gathered(share(x, ranks, pad=7.0), ranks, 5)
    (whole * torch.arange(1.0, 6.0) * (ranks.rank + 1)).sum().backward()
    return _summed(ranks, x.grad)


def in_pairs(ranks: Ranks, case: Attention) -> Found:
    """Ranks 0 and 1 work together, and 2 and 3: the second pair, whose ranks in it are others than in all."""
    groups = [dist.new_group([first, first + 1]) for first in (0, 2)]
    pair = Ranks(ranks.rank % 2, 2, ranks.device, groups[ranks.rank // 2])
    return attended(pair, case)


def all_together(ranks: Ranks, attentions: list[Attention], trainings: list[Training]) -> dict[object, object]:
    """Everything that one set of processes is asked, so that they start but once."""
    found: dict[object, object] = {case: attended(ranks, case) for case in attentions}
    found |= {case: trained(ranks, case) for case in trainings}
    found |= {f"largest {how}": largest(ranks, 64 * ranks.size, how) for how in WAYS}
    found["gathered"] = gathered_gradient(ranks)
    if ranks.size == 4:
        found["in pairs"] = in_pairs(ranks, attentions[0])
    return found


def _told(out: torch.Tensor, gradients: list[torch.Tensor | None]) -> Found:
    named = zip(("out", "query", "key", "value"), (out.detach(), *gradients), strict=True)
    return {name: one for name, one in named if one is not None}


def _summed(ranks: Ranks, x: torch.Tensor | None) -> torch.Tensor:
    assert x is not None
    if ranks.size > 1:
        dist.all_reduce(x, group=ranks.group)
    return x
