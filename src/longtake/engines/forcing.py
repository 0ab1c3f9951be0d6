"""engines: a prefix, a question and a given answer in; how likely a model finds that answer, token by token, out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from transformers.cache_utils import Cache

from longtake.engines import Forced
from longtake.engines.kept import KeptPrefix
from longtake.engines.noticing import Notice


class Reader(Protocol):
    """What is used of an engine."""

    @property
    def stop_ids(self) -> tuple[int, ...]: ...
    @property
    def chunk_tokens(self) -> int: ...
    def asked(
        self, kept: KeptPrefix, token_ids: Sequence[int], notice: Notice | None = None
    ) -> AbstractContextManager[tuple[Cache, torch.Tensor]]: ...
    def hidden(
        self, cache: Cache, ids_C: torch.Tensor, visual_ND: torch.Tensor, *, whole_tokens: int
    ) -> torch.Tensor: ...
    def logits(self, hidden_CD: torch.Tensor) -> torch.Tensor: ...


@torch.inference_mode()
def forced(
    reader: Reader, kept: KeptPrefix, token_ids: Sequence[int], answer_ids: Sequence[int], notice: Notice | None
) -> Forced:
    """Teacher forcing: question and answer are read after what was kept, and `notice` attends to what it will.

    Raises:
        LongtakeError: `model.nonfinite` if logits are not finite.
    """
    found, likeliest = [torch.zeros(0)], [torch.zeros(0, dtype=torch.int64)]
    with reader.asked(kept, token_ids, notice) as (cache, last_hidden_1D):
        for start in range(0, len(answer_ids), reader.chunk_tokens):
            chunk_A = torch.tensor(answer_ids[start : start + reader.chunk_tokens])
            hidden_AD = reader.hidden(cache, chunk_A, last_hidden_1D[:0], whole_tokens=0)
            logits_AV = reader.logits(torch.cat([last_hidden_1D, hidden_AD[:-1]]))
            found.append(logits_AV.log_softmax(-1).gather(1, chunk_A[:, None])[:, 0])
            likeliest.append(logits_AV.argmax(-1))
            last_hidden_1D = hidden_AD[-1:]
        behind = int(reader.logits(last_hidden_1D).argmax())
    return Forced(torch.cat(found), torch.cat(likeliest), ends=behind in reader.stop_ids)
