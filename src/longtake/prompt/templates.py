"""prompt/templates: a name in, the conversation format that a released model was taught out. Knows no tokenizer.

Beside each stands the name that LongVA's code (L), SlowFast-LLaVA's (S) or LongVA's V-NIAH script (N) has for it. Every
prompt that these recorded is compared in tests/test_templates.py. What ends an answer by its spelling rather than by a
control token ("###" of `llava_v0`) is not told here: such an answer ends at `</s>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import Beginning, ChatTemplate, ChoiceStyle, Control, Segment, chatml

START, END = Control("<|im_start|>"), Control("<|im_end|>")
BOS, EOS = Control("<s>"), Control("</s>")

POLITE = "The assistant gives helpful, detailed, and polite answers to the {asker}'s questions."
VICUNA = f"A chat between a curious user and an artificial intelligence assistant. {POLITE.format(asker='user')}"
LLAVA = f"A chat between a curious human and an artificial intelligence assistant. {POLITE.format(asker='human')}"
SEES = (
    " able to understand the visual content that the user provides, and assist the user with a variety of tasks using"
    " natural language."
)
MARKED = (
    f"A chat between a curious user and an artificial intelligence assistant. The assistant is{SEES}"
    "The visual content will be provided with the following format: <Image>visual content</Image>."
)
MPT = "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers."
LLAMA_2 = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe. "
    " Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content."
    " Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something"
    " not correct. If you don't know the answer to a question, please don't share false information."
)
KEY_FRAMES = "The input consists of a sequence of key frames from a video."
CONCISELY = (
    " Answer concisely with overall content and context of the video, highlighting any significant events, characters,"
    " or objects that appear throughout the video."
)
SELECT = "You are a helpful expert in video analysis. Select the best option to answer the question."
OPEN_ANSWER = "Answer: In the video,"
CHOSEN_ANSWER = "Answer: Best option:("
LETTER_ONLY = "Only give the best option. "

LINES = ChoiceStyle(lead="\nOptions:\n", mark=" ", end="\n")
"""One option a line, `(A) yes` (S: get_option_prompt, v4)."""
INLINE = ChoiceStyle(lead="\nOptions:\n", mark=":", end=" ")
"""All options on one line, `(A):yes (B):no ` (S: get_option_prompt, default). No released template takes it."""


def words(opening: str, closing: str, *, between: str = "\n", later: str = "") -> ChatTemplate:
    """A template without control tokens but the ends: `<s>` where the tokenizer puts one, `</s>` after an answer.

    Args:
        later: begins a later question; "" where there is none.
    """
    start: tuple[Segment, ...] = (Beginning(), opening) if opening else (Beginning(),)
    return ChatTemplate(start, (between,), (closing,), (EOS.token,), later=(later,) if later else ())


def direct(system: str) -> ChatTemplate:
    """ChatML without line breaks between the turns."""
    return ChatTemplate(
        opening=(Beginning(), START, f"system\n{system}", END, START, "user\n"),
        between=("\n",),
        closing=(END, START, "assistant\n"),
        stop=(END.token,),
        later=(START, "user\n"),
    )


def begun(template: ChatTemplate) -> ChatTemplate:
    """The same, after what the tokenizer begins a prompt with."""
    return replace(template, opening=(Beginning(), *template.opening))


def yi_frames(system: str, between: str, closing: str, answer: str) -> ChatTemplate:
    """SlowFast-LLaVA's ChatML for Yi-34B, with spaces at the inner edges of the turns; it takes one question."""
    opening: tuple[Segment, ...] = (Beginning(), START, f"system\n {system} ", END, "\n", START, "user\n ")
    return ChatTemplate(opening, (between,), (closing, END, "\n", START, f"assistant\n{answer}"), (END.token,))


def held(template: ChatTemplate, joint: str) -> ChatTemplate:
    """As transformers' processors read a prompt, who hold the place of a picture by a control token."""
    return replace(template, joint=joint, inside_after_visual=True)


def llama_2(system: str) -> ChatTemplate:
    """Llama 2's: the system's words stand inside the first question."""
    return words(f"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n", " [/INST]")


def human(system: str) -> ChatTemplate:
    """LLaVA's first: turns begin with `###`."""
    return words(f"{system}###Human: ", "###Assistant:")


def user(system: str) -> ChatTemplate:
    """Vicuna's: `USER:` and `ASSISTANT:`."""
    return words(f"{system} USER: ", " ASSISTANT:", later="USER: ")


TEMPLATES: Mapping[str, ChatTemplate] = MappingProxyType(
    {
        # L qwen_1_5, N qwen2
        "chatml": begun(chatml("You are a helpful assistant.")),
        # L and S chatml_direct
        "chatml_direct": direct("Answer the questions."),
        # L and S mpt
        "mpt": direct(MPT),
        # N yi
        "yi": begun(chatml("Answer the questions.")),
        # L and S vicuna_v1
        "vicuna": user(VICUNA),
        # S llava_v1
        "llava_v1": user(LLAVA),
        # L and S llava_v0
        "llava_v0": human(LLAVA),
        # S v1_mmtag
        "vicuna_marked": user(MARKED),
        # S v0_mmtag
        "llava_v0_marked": human(MARKED),
        # L and S plain
        "plain": words("", "\n"),
        # L and S llama_2
        "llama_2": llama_2(LLAMA_2),
        # L llava_llama_2
        "llava_llama_2": llama_2(f"You are a helpful language and vision assistant. You are{SEES}"),
        # L and S mistral_instruct
        "mistral": words("[INST] ", " [/INST]", later="[INST] "),
        # L mistral_zephyr
        "zephyr": ChatTemplate(
            opening=(Beginning(), "<|system|>\nYou are a helpful AI assistant.", EOS, "<|user|>\n"),
            between=("\n",),
            closing=(EOS, "<|assistant|>\n"),
            stop=(EOS.token,),
            later=("<|user|>\n",),
        ),
        # L gemma_instruct
        "gemma": ChatTemplate(
            opening=(Beginning(), Control("<start_of_turn>"), "user\n"),
            between=("\n",),
            closing=(Control("<end_of_turn>"), "\n", Control("<start_of_turn>"), "model\n"),
            stop=("<end_of_turn>",),
            later=("\n", Control("<start_of_turn>"), "user\n"),
        ),
        # S image_seq_v3
        "slowfast": words("USER: ", f" \nASSISTANT:\n{OPEN_ANSWER}", between=f"\n{KEY_FRAMES}{CONCISELY} Question: "),
        # S image_seq_34b_v3
        "slowfast_yi": yi_frames("Answer the question.", f"\n{KEY_FRAMES}{CONCISELY} Question: ", " ", OPEN_ANSWER),
        # S multiple_choice_allvideo_v4
        "slowfast_choice": replace(
            words(
                f"{SELECT} USER: ",
                f"{LETTER_ONLY}\nASSISTANT:\n{CHOSEN_ANSWER}",
                between=f"\n{KEY_FRAMES}\nQuestion: ",
            ),
            choices=LINES,
        ),
        # S multiple_choice_allvideo_34b_v4
        "slowfast_choice_yi": replace(
            yi_frames(SELECT, f"\n{KEY_FRAMES} Question: ", LETTER_ONLY, CHOSEN_ANSWER), choices=LINES
        ),
        # Those of transformers' own layout (-hf), as their repositories' chat templates spell them on the hub:
        # llava-hf/llava-v1.6-vicuna-7b-hf, llava-hf/LLaVA-NeXT-Video-7B-hf, LanguageBind/Video-LLaVA-7B-hf
        "user_assistant": held(words("USER: ", " ASSISTANT:", later="USER: "), "\n"),
        # llava-hf/llava-v1.6-mistral-7b-hf
        "mistral_hf": held(words("[INST] ", " [/INST]", later="[INST] "), "\n"),
        # llava-hf/llava-v1.6-34b-hf, with the system turn of its documentation
        "chatml_direct_hf": held(direct("Answer the questions."), "\n"),
        # llava-hf/llava-onevision-qwen2-7b-ov-hf: a blank after `user`, no system turn, no line break between turns
        "onevision": ChatTemplate(
            opening=(START, "user "),
            between=("\n",),
            closing=(END, START, "assistant\n"),
            stop=(END.token,),
            joint="",
            later=(START, "user \n"),
            inside_after_visual=True,
        ),
        # N mistral, vicuna, llama3: their BOS is part of the template; the question brings its own line break.
        "needle_mistral": ChatTemplate((BOS, "[INST]"), ("\n",), (" [/INST]",), (EOS.token,)),
        "needle_vicuna": ChatTemplate((BOS, f"{LLAVA} USER:"), ("\n",), ("ASSISTANT:",), (EOS.token,)),
        "needle_llama3": ChatTemplate(
            opening=(
                *(Control("<|begin_of_text|>"), Control("<|start_header_id|>"), "system", Control("<|end_header_id|>")),
                f"\n\nYou are a helpful language and vision assistant. You are{SEES}",
                *(Control("<|eot_id|>"), Control("<|start_header_id|>"), "user", Control("<|end_header_id|>"), "\n\n"),
            ),
            between=("\n",),
            closing=(
                *(Control("<|eot_id|>"), Control("<|start_header_id|>"), "assistant", Control("<|end_header_id|>")),
                "\n\n",
            ),
            stop=("<|eot_id|>",),
        ),
    }
)

REFUSED: Mapping[str, str] = MappingProxyType(
    {"llava_v1_mmtag": "the original names it and has no such format; take vicuna_marked"}
)
"""Names of the originals that lead nowhere there, with the reason."""


def find_template(name: str) -> ChatTemplate:
    """The template of this name.

    Raises:
        LongtakeError: `usage.bad_option`, listing the names.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    reason = REFUSED.get(name, "there is no such template")
    advice = f"take one of {', '.join(sorted(TEMPLATES))}"
    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"template {name}", reason, advice)


def name_of(template: ChatTemplate) -> str | None:
    """The name that finds a template; None for one that has none."""
    return next((name for name, known in TEMPLATES.items() if known == template), None)


def as_text(template: ChatTemplate) -> ChatTemplate:
    """The template for a tokenizer that has none of its control tokens: they are spelled out as literal text.

    The originals do so in silence wherever format and tokenizer do not belong together. An answer then ends by no
    control token: `stop` is empty, and no conversation is continued.
    """
    return replace(
        template,
        opening=_spelled(template.opening),
        between=_spelled(template.between),
        closing=_spelled(template.closing),
        stop=(),
        later=(),
    )


def _spelled(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    return tuple(segment.token if isinstance(segment, Control) else segment for segment in segments)


def with_picture_marks(template: ChatTemplate) -> ChatTemplate:
    """The template of a checkpoint with `mm_use_im_start_end`: a control token before the picture and one after it.

    Only prompts of one picture were recorded so; several are refused.
    """
    start, end = Control("<im_start>"), Control("<im_end>")
    return replace(template, opening=(*template.opening, start), between=(end, *template.between), joint=None)
