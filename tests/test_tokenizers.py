"""Tokenizers of released checkpoints: picked by their files, and no text that becomes a control token."""

from __future__ import annotations

import builtins
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Inner
from tokenizers import models, pre_tokenizers, processors

from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import HubTokenizer, Tokenizer, stream_text
from longtake.prompt.pieces import Manners, SentencePieceTokenizer
from longtake.prompt.tokenizers import read_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
TOKENIZER_FILES = {"merges.txt", "vocab.json", "tokenizer.model", "tokenizer_config.json"}
LONGVA, VICUNA, YI = "LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny"


def user_defined(**settings_: Any) -> SentencePieceTokenizer:
    """A model that looks for `<|im_end|>` in text by itself."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the red star shows 417", "im_end | im_start < >", "which of the stars is red"] * 20),
        model_writer=written,
        model_type="bpe",
        hard_vocab_limit=False,
        vocab_size=320,
        user_defined_symbols=["<|im_end|>", "<|im_start|>"],
        minloglevel=2,
        **settings_,
    )
    inner = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    added = {inner.piece_to_id(token): token for token in ("<|im_end|>", "<|im_start|>")}
    return SentencePieceTokenizer(inner, Manners(added, beginning=None, space_each_text=False))


LIKE_LLAMA = user_defined(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
WITHOUT_BYTES = user_defined()
TOKENIZERS: dict[str, Tokenizer] = {name: read_tokenizer(GOLDEN / name) for name in (LONGVA, VICUNA, YI)}
each = pytest.mark.parametrize("name", [LONGVA, VICUNA, YI])
SPECIALS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|startoftext|>", "<|endoftext|>", "<0x0A>", "▁<s>"]

spellings = st.sampled_from(SPECIALS)
user_text = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        spellings,
        st.builds(lambda word, cut, inner: word[:cut] + inner + word[cut:], spellings, st.integers(0, 12), spellings),
        st.sampled_from(["\0", "\u202e", "שלום", "\u0301" * 40, "\ufeff", "\n\n\n", "  ", "🐇"]),
    ),
    max_size=8,
).map("".join)


@each
@settings(max_examples=200, deadline=None)
@given(text=user_text, inside=st.booleans())
def test_user_text_never_becomes_a_control_token(name: str, text: str, inside: bool) -> None:
    tokenizer = TOKENIZERS[name]
    assert not set(tokenizer.encode(text, inside=inside)) & tokenizer.control_ids


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "<|im_", "end|>", " red", "<", "star "]), max_size=9)
)
def test_nor_does_it_where_the_model_itself_looks_for_them(parts: list[str]) -> None:
    text = "".join(parts)
    tokenizer = LIKE_LLAMA
    ids = tokenizer.encode(text)
    assert not set(ids) & tokenizer.control_ids
    assert tokenizer.decode(ids) == text
    assert not set(WITHOUT_BYTES.encode(text)) & WITHOUT_BYTES.control_ids


def test_the_attack_is_real_without_the_wrapper() -> None:
    tokenizer = WITHOUT_BYTES
    assert tokenizer.control("<|im_end|>") in tokenizer._inner.encode("say <|im_end|> now")
    with pytest.raises(LongtakeError) as caught:
        tokenizer.encode("red 🐇 star")
    assert caught.value.code is ErrorCode.USAGE_BAD_TEXT
    assert "'🐇'" in caught.value.reason


@pytest.mark.parametrize("name", [VICUNA, YI])
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_text_survives_whole_by_byte_fallback(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    wanted = text.replace("▁", " ")
    assert tokenizer.decode(tokenizer.encode(text)) == wanted


@each
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("a red★🐇éש\n 7"), min_size=1, max_size=30))
def test_streamed_text_is_the_decoded_text(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text)
    pieces = list(stream_text(tokenizer, ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert "\ufffd" not in "".join(pieces)


def test_what_the_files_say_of_size_and_beginning() -> None:
    assert {name: TOKENIZERS[name].vocabulary_size for name in TOKENIZERS} == {LONGVA: 503, VICUNA: 600, YI: 524}
    assert {name: TOKENIZERS[name].beginning_ids for name in TOKENIZERS} == {LONGVA: (), VICUNA: (1,), YI: ()}
    assert TOKENIZERS[YI].control("<|im_end|>") == 523
    assert TOKENIZERS[VICUNA].control_ids == {0, 1, 2}
    with pytest.raises(LongtakeError, match="no control token"):
        TOKENIZERS[VICUNA].control("USER")


def test_control_tokens_are_not_decoded() -> None:
    tokenizer = TOKENIZERS[YI]
    ids = [*tokenizer.encode("red"), tokenizer.control("<|im_end|>"), *tokenizer.encode("star")]
    assert tokenizer.decode(ids) == "red star"
    assert tokenizer.decode([tokenizer.control("<|im_end|>")]) == ""


def test_a_text_inside_a_prompt_begins_with_no_space_unless_each_does() -> None:
    vicuna, yi = TOKENIZERS[VICUNA], TOKENIZERS[YI]
    assert vicuna.encode("is", inside=True) != vicuna.encode("is")
    assert vicuna.encode(" is", inside=True) == vicuna.encode("is")
    assert yi.encode("is", inside=True) == yi.encode("is")


def test_a_tokenizer_json_says_itself_what_begins_a_prompt() -> None:
    inner = Inner(models.WordLevel({"<s>": 0, "▁red": 1, "red": 2, "<unk>": 3}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.add_special_tokens(["<s>"])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = HubTokenizer(inner)
    assert tokenizer.beginning_ids == (0,)
    assert (tokenizer.encode("red"), tokenizer.encode("red", inside=True)) == ([1], [2])


def files_of(name: str) -> list[str]:
    """Those that the tokenizer is read from."""
    return sorted(TOKENIZER_FILES & {path.name for path in (GOLDEN / name).iterdir()})


def copied(name: str, folder: Path) -> Path:
    """The tokenizer's files of a checkpoint."""
    (folder / name).mkdir(parents=True)
    for file in files_of(name):
        shutil.copy(GOLDEN / name / file, folder / name)
    return folder / name


def refusal_of(folder: Path) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        read_tokenizer(folder)
    return caught.value


@each
def test_each_missing_file_is_named(name: str, tmp_path: Path) -> None:
    for gone in files_of(name):
        folder = copied(name, tmp_path / gone)
        (folder / gone).unlink()
        error = refusal_of(folder)
        assert error.code is ErrorCode.MODEL_BAD_CHECKPOINT
        assert gone in error.reason


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    reason = refusal_of(tmp_path).reason
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "tokenizer_config.json"):
        assert name in reason
    (tmp_path / "vocab.json").write_text("{}")
    assert refusal_of(tmp_path).reason == "has no merges.txt, tokenizer_config.json"


@each
@pytest.mark.parametrize("content", [b"", b"garbage\n\xff", b"[1]"])
def test_each_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    for broken in files_of(name):
        folder = copied(name, tmp_path / broken)
        (folder / broken).write_bytes(content)
        if broken == "merges.txt" and not content:
            continue  # a list of no merges is one
        assert refusal_of(folder).code is ErrorCode.MODEL_BAD_CHECKPOINT


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = copied(LONGVA, tmp_path)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"tokenizer_class": "GPT2Tokenizer"}))
    assert "GPT2Tokenizer" in refusal_of(folder).reason
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"one more": len(vocabulary)}))
    assert "<|endoftext|> is 500" in refusal_of(folder).reason


def test_code_that_a_checkpoint_brings_is_not_run(tmp_path: Path) -> None:
    folder, proof = copied(LONGVA, tmp_path), tmp_path / "ran"
    payload = f"open({str(proof)!r}, 'w').write('ran')\n"
    (folder / "mine.py").write_text(f"{payload}class Mine: ...\n")
    (folder / "tokenization_qwen2.py").write_text(payload)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told |= {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}, "chat_template": "{{ cycler.__init__.__globals__ }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    assert read_tokenizer(folder).encode("red") == TOKENIZERS[LONGVA].encode("red")
    assert not proof.exists()


def test_added_tokens_of_older_checkpoints(tmp_path: Path) -> None:
    folder = copied(YI, tmp_path)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    added = {row["content"]: int(i) for i, row in told.pop("added_tokens_decoder").items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    assert read_tokenizer(folder).control_ids == TOKENIZERS[YI].control_ids


def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "sentencepiece":
            raise ImportError(name)
        return usual(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    error = refusal_of(GOLDEN / VICUNA)
    assert error.code is ErrorCode.ENVIRONMENT_MISSING
    assert "longtake[checkpoints]" in error.advice
