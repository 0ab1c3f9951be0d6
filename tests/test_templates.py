"""Conversation formats against every prompt that the original implementations recorded; no row is left out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Visual
from longtake.prompt import (
    VISUAL_PLACE,
    Beginning,
    ChatTemplate,
    Control,
    Exchange,
    Segment,
    Tokenizer,
    conversation_ids,
    joined,
    prefix,
    question_ids,
    segment_ids,
)
from longtake.prompt.choices import letters_text, options_text, with_choices
from longtake.prompt.templates import INLINE, LINES, TEMPLATES, as_text, find_template, with_picture_marks
from longtake.prompt.tokenizers import read_tokenizer

GOLDEN = Path(__file__).parent / "golden"
PICTURE = -200
"""Stands for a picture in the recorded ids."""

LONGVA, VICUNA, YI = "LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny"
NAMES = {
    "qwen_1_5": "chatml",
    "chatml_direct": "chatml_direct",
    "mpt": "mpt",
    "vicuna_v1": "vicuna",
    "llava_v1": "llava_v1",
    "llava_v0": "llava_v0",
    "v1_mmtag": "vicuna_marked",
    "v0_mmtag": "llava_v0_marked",
    "plain": "plain",
    "llama_2": "llama_2",
    "llava_llama_2": "llava_llama_2",
    "mistral_instruct": "mistral",
    "mistral_zephyr": "zephyr",
    "gemma_instruct": "gemma",
    "image_seq_v3": "slowfast",
    "image_seq_34b_v3": "slowfast_yi",
    "multiple_choice_allvideo_v4": "slowfast_choice",
    "multiple_choice_allvideo_34b_v4": "slowfast_choice_yi",
}
NEEDLE_NAMES = {
    "mistral": "needle_mistral",
    "vicuna": "needle_vicuna",
    "llama3": "needle_llama3",
    "qwen2": "chatml",
    "yi": "yi",
}
OF_TRANSFORMERS = {"user_assistant", "mistral_hf", "chatml_direct_hf", "onevision"}
"""Held against released chat templates in tests/test_released.py."""
FOREIGN = {
    LONGVA: {"gemma", "zephyr", "needle_mistral", "needle_vicuna", "needle_llama3"},
    VICUNA: {"chatml_direct", "mpt", "slowfast_yi", "slowfast_choice_yi"},
    YI: set[str](),
}
"""Formats that were recorded with a tokenizer that has none of their control tokens."""


def recorded(name: str) -> Any:
    return json.loads((GOLDEN / "e_prompts" / name).read_text(encoding="utf-8"))


@cache
def tokenizer_of(name: str) -> Tokenizer:
    if name != LONGVA:
        pytest.importorskip("sentencepiece")
    return read_tokenizer(GOLDEN / "checkpoints" / name)


def template_of(name: str, tokenizer: str) -> ChatTemplate:
    return as_text(find_template(name)) if name in FOREIGN[tokenizer] else find_template(name)


def picture() -> Visual:
    return Visual(torch.zeros(1, 2), np.zeros(1))


def opening_ids(template: ChatTemplate, tokenizer: Tokenizer, pictures: int = 1) -> list[int]:
    ids = prefix(template, tokenizer, joined(template, [[picture()]] * pictures)).token_ids_L.tolist()
    return [PICTURE if token_id == VISUAL_PLACE else token_id for token_id in ids]


def ids_of(template: ChatTemplate, tokenizer: Tokenizer, question: str) -> list[int]:
    return opening_ids(template, tokenizer) + question_ids(template, tokenizer, question)


def written(template: ChatTemplate, question: str) -> str:
    """The prompt as the originals print it: control tokens spelled, the tokenizer's own beginning left out."""

    def spelled(segments: tuple[Segment, ...]) -> str:
        shown = (part.token if isinstance(part, Control) else part for part in segments if part != Beginning())
        return "".join(str(part) for part in shown)

    return f"{spelled(template.opening)}<image>{spelled(template.between)}{question}{spelled(template.closing)}"


def slot_of(template: ChatTemplate, row: dict[str, Any]) -> str:
    """The words of the question's slot. No choices at all are refused for users, and compared by hand."""
    if "candidates" not in row:
        return str(row["question"])
    if row["candidates"]:
        return with_choices(template, row["question"], row["candidates"])
    refused(ErrorCode.USAGE_BAD_OPTION, lambda: with_choices(template, row["question"], []))
    assert template.choices is not None
    return f"{row['question']}{template.choices.lead}"


def refused(code: ErrorCode, act: Any) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        act()
    assert caught.value.code is code
    return caught.value


def kind_of(row: dict[str, Any]) -> str:
    if "function" in row:
        return "options"
    if "turns" in row:
        return "turns"
    return str(row.get("error", "prompt"))


def rows_of(name: str, kind: str) -> list[dict[str, Any]]:
    return [row for row in recorded(name) if kind_of(row) == kind]


def test_every_row_is_of_a_kind_that_is_compared_below() -> None:
    counts = {name: {} for name in ("longva_prompts.json", "sf_prompts.json")}
    for name, found in counts.items():
        for row in recorded(name):
            found[kind_of(row)] = found.get(kind_of(row), 0) + 1
    assert counts["longva_prompts.json"] == {"prompt": 23, "turns": 1}
    assert counts["sf_prompts.json"] == {"prompt": 84, "KeyError": 4, "ValueError": 16, "options": 8}
    modes = {row["conv_mode"] for name in counts for row in recorded(name) if "ids" in row and "conv_mode" in row}
    assert modes == set(NAMES)
    assert set(TEMPLATES) == set(NAMES.values()) | set(NEEDLE_NAMES.values()) | OF_TRANSFORMERS


@pytest.mark.parametrize("number", range(23))
def test_longva_prompts(number: int) -> None:
    row = rows_of("longva_prompts.json", "prompt")[number]
    question = row.get("question", "Describe the image in details.")
    template = template_of(NAMES[row.get("conv_mode", "qwen_1_5")], LONGVA)
    assert written(template, question) == row["prompt"]
    assert ids_of(template, tokenizer_of(LONGVA), question) == row["ids"]


@pytest.mark.parametrize("number", range(84))
def test_slowfast_llava_prompts(number: int) -> None:
    row = rows_of("sf_prompts.json", "prompt")[number]
    template = template_of(NAMES[row["conv_mode"]], row["tokenizer"])
    if row.get("mm_use_im_start_end"):
        template = as_text(with_picture_marks(template))
    slot = slot_of(template, row)
    assert written(template, slot) == row["prompt"]
    assert ids_of(template, tokenizer_of(row["tokenizer"]), slot) == row["ids"]


def test_what_the_original_cannot_do_is_refused_with_a_reason() -> None:
    for row in rows_of("sf_prompts.json", "KeyError"):
        error = refused(ErrorCode.USAGE_BAD_OPTION, lambda row=row: find_template(row["conv_mode"]))
        assert "vicuna_marked" in error.reason
    for row in rows_of("sf_prompts.json", "ValueError"):
        template = find_template(NAMES[row["conv_mode"]])
        error = refused(
            ErrorCode.USAGE_BAD_OPTION,
            lambda row=row, template=template: with_choices(template, row["question"], row["candidates"]),
        )
        assert "open questions" in error.reason


def test_option_lists() -> None:
    for row in rows_of("sf_prompts.json", "options"):
        style = {"default": INLINE, "v4": LINES}[row["version"]]
        assert options_text(style, row["candidates"]) == row["option_prompt"]
        assert letters_text(row["candidates"]) == row["options"]


def test_three_pictures_and_a_second_question() -> None:
    (row,) = rows_of("longva_prompts.json", "turns")
    first, answer, second = row["turns"]
    template, tokenizer = find_template("chatml"), tokenizer_of(LONGVA)
    asked = first.removeprefix("<image> <image> <image>\n")
    ids = opening_ids(template, tokenizer, pictures=3)
    assert ids + conversation_ids(template, tokenizer, [Exchange(asked, answer)], second) == row["ids"]
    assert conversation_ids(template, tokenizer, [], asked) == question_ids(template, tokenizer, asked)


def test_a_second_question_to_vicuna_by_hand() -> None:
    """Vicuna's answer ends with `</s>`, after which no space begins the text (its tokenizer is not `legacy`)."""
    tokenizer = tokenizer_of(VICUNA)
    ids = conversation_ids(find_template("vicuna"), tokenizer, [Exchange("Is it red?", "Yes.")], "And blue?")
    end = tokenizer.control("</s>")
    assert ids == [
        *tokenizer.encode("\nIs it red? ASSISTANT:Yes."),
        end,
        *tokenizer.encode("USER: And blue? ASSISTANT:", inside=True),
    ]


def test_one_question_only_and_one_picture_only_are_told() -> None:
    template = find_template("slowfast")
    history = [Exchange("Who?", "A man.")]
    refused(ErrorCode.USAGE_BAD_OPTION, lambda: conversation_ids(template, tokenizer_of(LONGVA), history, "Why?"))
    marked = with_picture_marks(find_template("vicuna"))
    refused(ErrorCode.USAGE_BAD_OPTION, lambda: joined(marked, [[picture()], [picture()]]))
    assert len(joined(marked, [[picture()]])) == 1


def test_marks_around_a_picture_are_control_tokens_where_a_checkpoint_has_them() -> None:
    marked = with_picture_marks(find_template("vicuna"))
    error = refused(ErrorCode.MODEL_BAD_CHECKPOINT, lambda: ids_of(marked, tokenizer_of(LONGVA), "What is it?"))
    assert "<im_start>" in error.reason
    assert marked.opening[-1] == Control("<im_start>")
    assert marked.between[0] == Control("<im_end>")


@pytest.mark.parametrize("name", sorted(NEEDLE_NAMES))
def test_needle_templates(name: str) -> None:
    """The script encodes what is before the frames and after the question apart, by the tokenizer of LongVA."""
    row = recorded("vniah_prompts.json")["templates"][name]
    template, tokenizer = template_of(NEEDLE_NAMES[name], LONGVA), tokenizer_of(LONGVA)
    assert segment_ids(tokenizer, template.opening) == row["preprompt_ids"]
    assert segment_ids(tokenizer, template.closing) == row["postprompt_ids"]


def test_needle_questions() -> None:
    file = recorded("vniah_prompts.json")
    template, tokenizer = find_template("chatml"), tokenizer_of(LONGVA)
    after = file["templates"]["qwen2"]["postprompt_ids"]
    assert len(file["needle_questions"]) == 3
    for row in file["needle_questions"]:
        asked = row["question"].removeprefix("\n")
        assert question_ids(template, tokenizer, asked) == row["question_ids"] + after
        assert tokenizer.encode(row["answer"]) == row["answer_ids"]
    sampling = file["sampling_prompt"]
    asked = file["needle_questions"][0]["question"].removeprefix("\n")
    assert written(template, asked) == sampling["prompt"]
    assert ids_of(template, tokenizer, asked) == sampling["ids"]


def test_an_unknown_template_lists_the_names() -> None:
    error = refused(ErrorCode.USAGE_BAD_OPTION, lambda: find_template("alpaca"))
    assert all(name in error.advice for name in TEMPLATES)


@pytest.mark.parametrize("choices", [["only one"], ["yes", " "], ["yes", "\ud800"], [str(n) for n in range(27)]])
def test_choices_that_cannot_be_asked(choices: list[str]) -> None:
    with pytest.raises(LongtakeError, match="choice"):
        with_choices(find_template("slowfast_choice"), "Which?", choices)
