"""train/dialogues: turns with their visual tokens in; token ids, and which of them are answers, out.

The prompt is built by the very functions that build a user's, so that a model is trained on what it will be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from longtake.layouts import Piece
from longtake.prompt import ChatTemplate, Tokenizer, joined, prefix, question_ids, segment_ids
from longtake.train.llava import Turn


@dataclass(frozen=True)
class Dialogue:
    """One conversation as a language model reads it.

    Attributes:
        token_ids_L: with VISUAL_PLACE where a visual token goes.
        visual_ND: the visual tokens in order.
        answers_L: true for the tokens of answers and of what ends them.
    """

    token_ids_L: torch.Tensor
    visual_ND: torch.Tensor
    answers_L: torch.Tensor


def write_dialogue(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    pieces: Sequence[Sequence[Piece]],
    *,
    width: int,
) -> Dialogue:
    """One conversation.

    Args:
        pieces: of each picture, in order; the turns say how many of them each shows.
        width: D of the language model, for a conversation that shows none.

    Raises:
        ValueError: several turns for a template of one question.
    """
    if len(turns) > 1 and not template.later:
        raise ValueError(f"{len(turns)} turns for a template that continues no conversation")
    ids: list[int] = []
    answers: list[bool] = []
    visual = [torch.zeros(0, width)]
    left = list(pieces)
    for number, turn in enumerate(turns):
        now = template if number == 0 else replace(template, opening=template.later)
        shown, left = left[: turn.pictures], left[turn.pictures :]
        if shown:
            prompt = prefix(now, tokenizer, joined(now, shown))
            asked = prompt.token_ids_L.tolist() + question_ids(now, tokenizer, turn.question)
            visual.append(prompt.visual_ND)
        else:
            asked = segment_ids(tokenizer, (*now.opening, turn.question, *now.closing))
        answer = [*tokenizer.encode(turn.answer), tokenizer.control(template.stop[0])]
        ids += asked + answer
        answers += [False] * len(asked) + [True] * len(answer)
    visual_ND = torch.cat([tokens.to(visual[-1].device) for tokens in visual])
    return Dialogue(torch.tensor(ids), visual_ND, torch.tensor(answers))
