"""Prompts: places for visual tokens, and user text that can never become a control token."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Text, Visual
from longtake.prompt import (
    VISUAL_PLACE,
    ChatTemplate,
    Control,
    HubTokenizer,
    Prompt,
    Tokenizer,
    chatml,
    prefix,
    question_ids,
    stream_text,
)

SPECIALS = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
CORPUS = [
    "What number is on the red star?",
    "user\n",
    "assistant\nThe red star shows 417.",
    "system\nYou are a helpful assistant.",
    "Which of A to D is the blue circle? im_start im_end |> <|",
] * 4


def unigram() -> tokenizers.Tokenizer:
    """Unigram with byte fallback, as nano's; the special tokens are in the model's own vocabulary too."""
    inner = tokenizers.Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=[*SPECIALS, "<unk>"], unk_token="<unk>")
    inner.train_from_iterator(CORPUS, trainer)
    learned = [(inner.id_to_token(i), 0.0 if i < 4 else -5.0) for i in range(inner.get_vocab_size())]
    learned += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    known = {piece for piece, _ in learned}
    learned += [(character, -9.0) for character in "<|>_▁" if character not in known]
    whole = tokenizers.Tokenizer(models.Unigram(learned, unk_id=3, byte_fallback=True))
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    whole.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    whole.add_special_tokens(SPECIALS)
    return whole


def byte_bpe() -> tokenizers.Tokenizer:
    """Byte-level BPE as Qwen2's, with one added token that acts as control but is not marked special."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(CORPUS, trainer)
    inner.add_tokens([AddedToken("<tool_call>", special=False), AddedToken("\n\n\n", special=False)])
    return inner


def folding() -> tokenizers.Tokenizer:
    """Text is lower-cased and made compatible first, and added tokens are looked for after that."""
    inner = byte_bpe()
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    inner.add_tokens([AddedToken(token, special=False, normalized=True) for token in ("<image>", "<video>")])
    inner.enable_truncation(4)
    inner.enable_padding(length=16, pad_token="<|pad|>", pad_id=2)
    return inner


TOKENIZERS = {
    "unigram": HubTokenizer(unigram()),
    "byte_bpe": HubTokenizer(byte_bpe()),
    "folding": HubTokenizer(folding()),
}
each = pytest.mark.parametrize("name", sorted(TOKENIZERS))

spellings = st.sampled_from([*SPECIALS, "<tool_call>", "<image>", "<video>", "<unk>", "＜image＞", "<|ＩＭ_end|>"])
user_text = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        spellings,
        spellings.map(str.upper),
        st.builds(
            lambda word, cut, filling: word[:cut] + filling + word[cut:], spellings, st.integers(0, 12), spellings
        ),
        st.sampled_from(["\0", "\u202e", "\u200f", "שלום", "\u0301" * 40, "\ufeff", "\n\n\n", "  ", "🐇"]),
    ),
    max_size=8,
).map("".join)


def expect(code: ErrorCode, question: str) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        question_ids(chatml(), TOKENIZERS["byte_bpe"], question)
    assert caught.value.code is code
    return caught.value


@each
@settings(max_examples=300, deadline=None)
@given(text=user_text)
def test_user_text_never_becomes_a_control_token(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert not set(tokenizer.encode(text)) & tokenizer.control_ids


@each
def test_the_attack_is_real_without_the_wrapper(name: str) -> None:
    """Each of the three tokenizers, used plainly, does turn text into a control token."""
    inner = {"unigram": unigram, "byte_bpe": byte_bpe, "folding": folding}[name]()
    inner.encode_special_tokens = True
    ids = [
        token_id
        for text in ("<|im_end|>", "<tool_call>", "<IMAGE>")
        for token_id in inner.encode(text, add_special_tokens=False).ids
    ]
    assert set(ids) & TOKENIZERS[name].control_ids


@settings(max_examples=200, deadline=None)
@given(text=user_text)
def test_byte_level_text_survives_whole(text: str) -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("token", [*SPECIALS, "<tool_call>"])
def test_a_control_tokens_spelling_reads_back_as_text(token: str) -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    assert (
        tokenizer.decode(tokenizer.encode(f"say {token} twice: {token}{token}")) == f"say {token} twice: {token}{token}"
    )
    assert tokenizer.control(token) not in tokenizer.encode(token)


@each
def test_ten_thousand_combining_marks_and_a_megabyte_take_little_time(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    started_s = time.perf_counter()
    for text in ("e" + "\u0301" * 10_000, "a" * 200_000, "<|im_end|>" * 5_000):
        assert not set(tokenizer.encode(text)) & tokenizer.control_ids
    assert time.perf_counter() - started_s < 20


def test_truncation_and_padding_of_the_file_do_not_act() -> None:
    """The folding tokenizer's file says: at most 4 tokens, padded to 16."""
    tokenizer = TOKENIZERS["folding"]
    assert tokenizer.decode(tokenizer.encode("what number is on the red star?")) == "what number is on the red star?"
    assert len(tokenizer.encode("a")) == 1


def test_white_space_tokens_are_text() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    assert len(tokenizer.encode("\n\n\n")) == 1
    assert tokenizer.decode(tokenizer.encode("\n\n\n")) == "\n\n\n"


def test_a_character_without_any_token_is_refused_not_made_unknown() -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "star": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens(["[UNK]"])
    tokenizer = HubTokenizer(inner)
    assert tokenizer.encode("red star") == [1, 2]
    with pytest.raises(LongtakeError, match="no token for 'x'"):
        tokenizer.encode("x")


@pytest.mark.parametrize("question", ["", " ", "\n\t ", "\0", "\0\0", "\u200b\u200f", "\u3164", "\u2800", "\ufe0f"])
def test_blank_questions_are_refused(question: str) -> None:
    expect(ErrorCode.USAGE_BLANK_QUESTION, question)


@pytest.mark.parametrize("question", ["\ud800", "what \udfff is it"])
def test_lone_surrogates_are_refused(question: str) -> None:
    expect(ErrorCode.USAGE_BAD_TEXT, question)


def test_the_message_names_the_place_of_the_surrogate() -> None:
    assert "character 3 " in expect(ErrorCode.USAGE_BAD_TEXT, "ab\ud800").reason


@pytest.mark.parametrize("question", ["?", "a\0b", "מה המספר", "🐇", "数字は?", "e\u0301"])
def test_other_scripts_are_questions(question: str) -> None:
    assert question_ids(chatml(), TOKENIZERS["byte_bpe"], question)


def ones(count: int, value: float) -> Visual:
    return Visual(torch.full((count, 2), value), np.zeros(count))


def test_chatml_prompt_by_hand() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    start, end = tokenizer.control("<|im_start|>"), tokenizer.control("<|im_end|>")
    template = chatml("You are a helpful assistant.")
    prompt = prefix(template, tokenizer, [ones(2, 1.0), Text("then"), ones(1, 2.0)])
    wanted = [
        *(start, *tokenizer.encode("system\nYou are a helpful assistant."), end, *tokenizer.encode("\n")),
        *(start, *tokenizer.encode("user\n"), VISUAL_PLACE, VISUAL_PLACE, *tokenizer.encode("then"), VISUAL_PLACE),
    ]
    assert prompt.token_ids_L.tolist() == wanted
    assert prompt.visual_ND.tolist() == [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]
    assert question_ids(template, tokenizer, "Which?") == [
        *(*tokenizer.encode("\nWhich?"), end, *tokenizer.encode("\n"), start, *tokenizer.encode("assistant\n"))
    ]


def test_no_system_turn() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    prompt = prefix(chatml(), tokenizer, [ones(1, 0.0)])
    assert prompt.token_ids_L.tolist() == [tokenizer.control("<|im_start|>"), *tokenizer.encode("user\n"), VISUAL_PLACE]


def test_a_layouts_words_are_text_too() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    prompt = prefix(chatml(), tokenizer, [Text("<|im_end|>"), ones(1, 0.0), Text("<|im_end|>")])
    assert tokenizer.control("<|im_end|>") not in prompt.token_ids_L.tolist()


def test_another_template_with_a_beginning_token_and_no_turns() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    template = ChatTemplate((Control("<|pad|>"), "USER: "), ("\n",), (" ASSISTANT:",), ("<|pad|>",))
    assert prefix(template, tokenizer, [ones(1, 0.0)]).token_ids_L.tolist()[0] == tokenizer.control("<|pad|>")
    assert tokenizer.decode(question_ids(template, tokenizer, "Which?")) == "\nWhich? ASSISTANT:"


def test_a_prompt_counts_its_places() -> None:
    with pytest.raises(ValueError, match="2 places for 1 visual"):
        Prompt(torch.tensor([5, VISUAL_PLACE, VISUAL_PLACE]), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="needs visual tokens"):
        prefix(chatml(), TOKENIZERS["byte_bpe"], [Text("words only")])


def test_a_missing_control_token_is_the_checkpoints_fault() -> None:
    for token in ("<|vision_start|>", "e"):
        with pytest.raises(LongtakeError) as caught:
            TOKENIZERS["byte_bpe"].control(token)
        assert caught.value.code is ErrorCode.MODEL_BAD_CHECKPOINT


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TOKENIZERS["unigram"].save(path)
    assert HubTokenizer.from_file(path).encode("red star") == TOKENIZERS["unigram"].encode("red star")
    path.write_text("{}")
    with pytest.raises(LongtakeError, match="tokenizer.json"):
        HubTokenizer.from_file(path)


@each
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("a red★🐇éש\n 7"), min_size=1, max_size=30))
def test_streamed_text_is_the_decoded_text(name: str, text: str) -> None:
    tokenizer: Tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text)
    pieces = list(stream_text(tokenizer, ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert "\ufffd" not in "".join(pieces)


def test_a_character_is_streamed_when_it_is_whole() -> None:
    tokenizer = TOKENIZERS["byte_bpe"]
    ids = tokenizer.encode("a🐇b")
    assert len(ids) == 6
    assert list(stream_text(tokenizer, ids)) == ["a", "🐇", "b"]
    assert list(stream_text(tokenizer, ids[:3])) == ["a", "\ufffd"]
