"""train/vocabulary: the words of the world in, nano's tokenizer out.

One token for each word of the world's captions and questions; whatever else a user types falls back to bytes.
"""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from longtake.world.questions import COUNT_WORDS, LETTERS, NOT_SHOWN, WORDINGS
from longtake.world.scenes import SCENERY
from longtake.world.vocabulary import COLOURS, NOWHERE, NUMBERS, PLACES, SHAPES, SIDES, WORDS

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
SPACE = "▁"
"""How the tokenizer writes the space before a word."""


def words() -> list[str]:
    """Every word that nano has a token for, in a fixed order, lower case, without punctuation."""
    wordings = " ".join(text for texts in WORDINGS.values() for text in texts)
    plain = re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", wordings).lower())
    more = ("user", "assistant", "many", *COUNT_WORDS, *NOT_SHOWN.split(), *(letter.lower() for letter in LETTERS))
    return list(dict.fromkeys([*COLOURS, *SHAPES, *NUMBERS, *WORDS, *PLACES, *SCENERY, *SIDES, NOWHERE, *more, *plain]))


def build_tokenizer() -> Tokenizer:
    """A unigram tokenizer with one piece for each of `words()`, punctuation marks, and all bytes."""
    marks = [mark for mark in "?.!,:;" if mark not in words()]
    pieces = [(PAD, 0.0), (START, 0.0), (END, 0.0)]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [
        (SPACE, -12.0),
        (SPACE + "\n", -1.0),
        *((mark, -2.0) for mark in marks),
        *((SPACE + word, -1.0) for word in words()),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"[?.!,:;]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace(replacement=SPACE, prepend_scheme="always"),
            decoders.Fuse(),
            *(decoders.Replace(letter.lower(), letter) for letter in LETTERS),
        ]
    )
    tokenizer.add_special_tokens([PAD, START, END])
    return tokenizer


def word_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The token of each of `words()`."""
    vocabulary = tokenizer.get_vocab()
    return {word: vocabulary[SPACE + word] for word in words()}
