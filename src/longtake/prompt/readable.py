"""prompt/readable: a user's text in, a refusal of what cannot be read out. Knows nothing of tokens."""

from __future__ import annotations

import unicodedata

from longtake.errors import ErrorCode, LongtakeError

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp"})
"""Unicode general categories without ink: controls, format marks, unassigned, private, surrogates, separators."""

INVISIBLE_CHARACTERS = frozenset(
    ["\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0"]
    + [chr(point) for point in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))]
)
"""Letters, marks and symbols that draw nothing all the same: fillers, the blank Braille cell, variation selectors
(from Unicode's Default_Ignorable_Code_Point)."""


def refuse_unreadable(question: str) -> None:
    """Check a user's text.

    Raises:
        LongtakeError: `usage.bad_text` for lone surrogates, `usage.blank_question` where nothing would show.
    """
    try:
        question.encode()
    except UnicodeEncodeError as error:
        reason = f"character {error.start + 1} of the question is half of a surrogate pair"
        raise LongtakeError(ErrorCode.USAGE_BAD_TEXT, "", reason, "write the question as valid Unicode text") from error
    if not any(_shows(character) for character in question):
        came = "holds nothing visible" if question else "is empty"
        raise LongtakeError(ErrorCode.USAGE_BLANK_QUESTION, "", f"the question {came}", "ask something in words")


def _shows(character: str) -> bool:
    return unicodedata.category(character) not in INVISIBLE_CATEGORIES and character not in INVISIBLE_CHARACTERS
