"""prompt/choices: a question and what may be answered in, the words for the question's slot out. Knows no tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import ChatTemplate, ChoiceStyle, refuse_unreadable

ASKED = ChoiceStyle(lead="\nOptions:\n", mark=" ", end="\n", request="Answer with the letter of the best option alone.")
"""For models whose template says nothing of choices."""


def options_text(style: ChoiceStyle, choices: Sequence[str]) -> str:
    """All options, each with its letter: `(A) yes`, `(B) no`."""
    return "".join(
        f"{style.start}({letter}){style.mark}{choice}{style.end}"
        for letter, choice in zip(ascii_uppercase, choices, strict=False)
    )


def letters_text(choices: Sequence[str]) -> str:
    """The letters that may be answered: `(A,B)`."""
    return f"({','.join(ascii_uppercase[: len(choices)])})"


def with_choices(template: ChatTemplate, question: str, choices: Sequence[str]) -> str:
    """The question with its options, to be given to `question_ids` as the question.

    Raises:
        LongtakeError: `usage.bad_option` for a template that asks open questions, and unless there are 2 to 26
            different choices with words; `usage.blank_question`, `usage.bad_text`.
    """
    refuse_unreadable(question)
    if template.choices is None:
        reason, advice = "this template asks open questions", "take slowfast_choice or slowfast_choice_yi"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "choices", reason, advice)
    if not 2 <= len(choices) <= len(ascii_uppercase):
        reason, advice = f"{len(choices)} given", f"give 2 to {len(ascii_uppercase)}, one for each letter"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "choices", reason, advice)
    for letter, choice in zip(ascii_uppercase, choices, strict=False):
        _refuse_wordless(letter, choice)
    word, times = Counter(" ".join(choice.split()).casefold() for choice in choices).most_common(1)[0]
    if times > 1:
        reason, advice = f"{word!r} is given {times} times", "give each choice once"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "choices", reason, advice)
    style = template.choices
    return f"{question}{style.lead}{options_text(style, choices)}{style.request}"


def choosing(template: ChatTemplate) -> ChatTemplate:
    """The same template; one that asks open questions offers choices in ASKED."""
    return replace(template, choices=template.choices or ASKED)


def letters_of(choices: Sequence[str]) -> tuple[str, ...]:
    """One letter for each."""
    return tuple(ascii_uppercase[: len(choices)])


def _refuse_wordless(letter: str, choice: str) -> None:
    try:
        refuse_unreadable(choice)
    except LongtakeError as error:
        reason = error.reason.replace("the question", "it")
        raise LongtakeError(error.code, f"choice {letter}", reason, "give each choice some words") from error
