"""What was recorded of the originals, and which test holds it: docs/parity.md is written from this by docs/generate.py.

The whole runs are told by tests/originals.py, from which their tests are made. tests/test_parity.py keeps the rest
honest: every recorded file has its row, every row its file, its count and tests that exist and read it, and
`python tests/tampering.py` sees that they fail where a file holds other numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
SECTIONS = {
    "a_frames": "Which frames are looked at",
    "b_preproc": "Pictures to pixel values",
    "c_unires": "Features to visual tokens: LongVA",
    "d_slowfast": "Features to visual tokens: SlowFast-LLaVA, LLaVA-1.6",
    "e_prompts": "Prompts",
    "f_e2e": "Whole models",
    "g_vniah": "V-NIAH",
    "h_eval": "Marking answers",
}
EXACT, PIXELS = "exact", "1e-6"


@dataclass(frozen=True)
class Held:
    """One recorded file.

    Attributes:
        file: in tests/golden.
        what: it holds.
        cases: how many.
        tolerance: how close our numbers are.
        tests: `file.py::function` that hold it.
        others: files that belong to it.
        refused: what of it is not done as recorded, and why; "" where all is.
    """

    file: str
    what: str
    cases: int
    tolerance: str
    tests: tuple[str, ...]
    others: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Quirk:
    """Something that the released code does and hardly anybody would want, or that one has to know to be equal.

    Attributes:
        theirs: what it does.
        ours: what is done here.
        option: that does as they do; "" where there is none.
        tests: that hold it.
    """

    theirs: str
    ours: str
    option: str = ""
    tests: tuple[str, ...] = ()


PICTURE_TILES = "test_pictures_asked.py::test_a_picture_and_its_tiles_are_the_originals"
GRIDS = "test_pictures_asked.py::test_every_picture_gets_the_recorded_grid_of_tiles"
RUN = "test_originals.py::test_an_original_is_reproduced"
STAGE = "test_originals.py::test_a_recorded_stage_is_reproduced"
CELL = "test_niah_originals.py::test_every_cell_says_what_the_original_said"
SWEPT = "test_niah_originals.py::test_a_whole_sweep_scores_as_the_original"

HELD = (
    Held(
        "a_frames/longva_linspace.json",
        "LongVA's evenly spread frames, for lengths and numbers of frames",
        70,
        EXACT,
        (
            "test_samplers.py::test_evenly_spread_is_longva_to_the_frame",
            "test_samplers.py::test_uniform_is_longva_without_its_repeats",
        ),
    ),
    Held(
        "a_frames/sf_seq_frames.json",
        "SlowFast-LLaVA's middles of segments",
        74,
        EXACT,
        (
            "test_samplers.py::test_segment_middles_is_slowfast_llava_to_the_frame",
            "test_samplers.py::test_middles_is_slowfast_llava_where_there_are_frames_enough",
        ),
    ),
    Held(
        "a_frames/vniah_fps.json",
        "V-NIAH's one frame a second, for lengths and rates (here with long lists cut after ten)",
        12,
        EXACT,
        ("test_niah.py::test_one_frame_a_second_is_the_originals",),
        refused="2 of them, of half a frame a second and less, raise in the original; here each of their frames is "
        "taken",
    ),
    Held(
        "a_frames/sf_chunks.json",
        "how SlowFast-LLaVA's evaluation deals a list of videos out to processes",
        27,
        EXACT,
        (),
        refused="all: longtake deals videos out to shards one by one (measure.grouping), not in runs of a list",
    ),
    Held(
        "b_preproc/inputs.safetensors",
        "six pictures, the inputs of the rows below",
        6,
        EXACT,
        ("test_pixels.py::test_exact_gives_the_originals_numbers", PICTURE_TILES),
    ),
    Held(
        "b_preproc/longva.npz",
        "LongVA's pixels: padded (and the padded squares), cropped, AnyRes tiles, frames of a video",
        15,
        PIXELS,
        (
            "test_pixels.py::test_exact_gives_the_originals_numbers",
            "test_pixels.py::test_exact_gives_the_originals_numbers_on_video_frames",
            "test_pixels.py::test_padding_makes_the_originals_square",
            "test_train_align.py::test_tiles_are_longvas_number_for_number",
            PICTURE_TILES,
        ),
    ),
    Held(
        "b_preproc/longva_anyres_grids.json",
        "the grid of tiles that each picture gets, LongVA's tiny checkpoint",
        6,
        EXACT,
        (GRIDS, "test_train_align.py::test_tiles_are_longvas_number_for_number"),
    ),
    Held(
        "b_preproc/sf.npz",
        "SlowFast-LLaVA's pixels: padded, squeezed into a square, AnyRes tiles",
        6,
        PIXELS,
        ("test_pixels.py::test_exact_gives_the_originals_numbers", PICTURE_TILES),
    ),
    Held(
        "b_preproc/sf_anyres_grids.json",
        "the grid of tiles that each picture gets, LLaVA-1.6's tiny checkpoint",
        6,
        EXACT,
        (GRIDS,),
    ),
    Held(
        "b_preproc/anyres_grid_select_336.json",
        "the grid of tiles for many sizes, by the real lists of LongVA and LLaVA-1.6",
        192,
        EXACT,
        ("test_train_align.py::test_longvas_grids_are_chosen_for_every_recorded_size",),
    ),
    Held(
        "c_unires/cases.json",
        "UniRes: videos at several pools and sides, pictures in tiles",
        11,
        PIXELS,
        (
            "test_layouts.py::test_grid_makes_longvas_video_sequence",
            "test_layouts_pictures.py::test_unires_image_is_longvas",
            "test_train_align.py::test_tokens_of_a_picture_are_longvas",
        ),
        others=("c_unires/unires.safetensors",),
    ),
    Held(
        "d_slowfast/cases.json",
        "aggregations: slow and fast pathways, the others that the paper compares, strings that do not parse",
        50,
        PIXELS,
        (
            "test_layouts.py::test_slowfast_makes_the_released_sequence",
            "test_layouts.py::test_without_an_aggregation_the_original_shows_the_first_frame_and_we_show_all",
            "test_layouts.py::test_where_the_original_raises_there_is_no_string_to_mistype_and_no_square_is_wanted",
            "test_layouts.py::test_every_case_is_tried_somewhere",
        ),
        others=("d_slowfast/slowfast.safetensors",),
        refused="12 of them raise in the original: 10 strings that do not parse (here options are values, checked one "
        "by one), 2 of features that are no square (here any height and width will do)",
    ),
    Held(
        "d_slowfast/slow_indices.json",
        "which frames the slow pathway shows, for 2,048 pairs of numbers",
        2048,
        EXACT,
        ("test_layouts.py::test_slow_indices_are_the_released_ones",),
    ),
    Held(
        "d_slowfast/spatial_unpad_cases.json",
        "LLaVA-1.6's pictures: `spatial_unpad`, `spatial` and `flat`",
        9,
        PIXELS,
        ("test_layouts_pictures.py::test_anyres_is_llava_nexts",),
        others=("d_slowfast/spatial_unpad_images.safetensors",),
    ),
    Held(
        "e_prompts/longva_prompts.json",
        "LongVA's conversation formats: text and ids, several pictures and turns",
        24,
        EXACT,
        ("test_templates.py::test_longva_prompts", "test_templates.py::test_three_pictures_and_a_second_question"),
    ),
    Held(
        "e_prompts/sf_prompts.json",
        "SlowFast-LLaVA's prompts: open questions, multiple choice, lists of options, for two tokenizers",
        112,
        EXACT,
        (
            "test_templates.py::test_slowfast_llava_prompts",
            "test_templates.py::test_option_lists",
            "test_templates.py::test_what_the_original_cannot_do_is_refused_with_a_reason",
        ),
        refused="20 of them raise in the original (a format that it names and does not have; options for formats that "
        "ask open questions); here they are refused with `usage.bad_option`, which says what to take",
    ),
    Held(
        "e_prompts/vniah_prompts.json",
        "V-NIAH's five formats, three questions and their answers, and the sampling script's prompt",
        9,
        EXACT,
        ("test_templates.py::test_needle_templates", "test_templates.py::test_needle_questions"),
    ),
    Held(
        "g_vniah/cells.json",
        "V-NIAH, ChatML: 20 cells of three needles; tokens predicted at each place of the answer, depths, scores",
        60,
        EXACT,
        (CELL, SWEPT, "test_niah.py::test_cells_scores_and_their_mean_are_the_originals"),
        others=("g_vniah/cells.safetensors",),
    ),
    Held(
        "g_vniah/cells_rope.json",
        "the same with Vicuna's format and another RoPE base (`--rope theta`): 6 cells",
        18,
        EXACT,
        (CELL, SWEPT),
        others=("g_vniah/cells_rope.safetensors",),
    ),
    Held(
        "g_vniah/depth_rounding.json",
        "depths, reported depths and the needle's place, for other intervals",
        5,
        EXACT,
        ("test_niah.py::test_depths_places_and_reported_depths_are_the_originals",),
    ),
    Held(
        "g_vniah/double_newline.json",
        "an option of the script that writes a double newline as two tokens",
        4,
        EXACT,
        ("test_niah_originals.py::test_double_newlines_stay_as_the_tokenizer_writes_them",),
        refused="all: text stays as the model's own tokenizer writes it",
    ),
    Held(
        "h_eval/mc_table.json",
        "answers of multiple choice, and the letter that the released rule takes them for",
        41,
        EXACT,
        ("test_evals_released.py::test_every_answer_is_taken_for_the_recorded_option",),
    ),
    Held(
        "h_eval/mc_files.json",
        "whole runs of that script",
        4,
        EXACT,
        ("test_evals_released.py::test_every_run_of_multiple_choice_prints_the_recorded_numbers",),
    ),
    Held(
        "h_eval/judge_table.json",
        "replies of a judge: what is stored, and what is printed of it with one more reply",
        31,
        EXACT,
        ("test_evals_released.py::test_every_reply_of_a_judge_is_stored_and_counted_as_recorded",),
    ),
    Held(
        "h_eval/judge_files.json",
        "whole runs of the scripts that ask a judge",
        4,
        EXACT,
        ("test_evals_released.py::test_every_whole_run_of_a_judge_prints_the_recorded_numbers",),
    ),
    Held(
        "h_eval/qa_file_prep.json",
        "IG-VLM's tables as the released scripts turn them into questions and answers",
        6,
        EXACT,
        ("test_evals_released.py::test_ig_vlms_rows_become_what_the_released_scripts_make_of_them",),
    ),
)

QUIRKS = (
    Quirk(
        "In multiple choice `Because he is tired` counts as option B, `unknown` as a `no` of a judge, a score of 99 as "
        "99; an empty answer ends the whole script, and so does a judge that replies with a Python set.",
        "an answer that names no option, or several, is unreadable and counted as that; a reply that is not just what "
        "was asked for is no score",
        "`evals.released`",
        (
            "test_evals_released.py::test_every_answer_is_taken_for_the_recorded_option",
            "test_evals_letters.py::test_an_answer_that_names_none_or_several_is_unreadable",
            "test_evals_released.py::test_the_strict_rule_takes_no_reply_for_a_score_that_is_none",
        ),
    ),
    Quirk(
        "SlowFast-LLaVA pools rows of features as one flat line, so that windows run across row ends where a row has"
        " an odd number of features",
        "rows end where they end",
        "`SlowFast(as_released=True)`, `--set layout.as_released=true`",
        (
            "test_layouts.py::test_row_pooling_runs_over_row_ends_only_as_released",
            "test_layouts.py::test_slowfast_makes_the_released_sequence",
        ),
    ),
    Quirk(
        "a video of fewer frames than the slow pathway wants shows some of them repeatedly",
        "each once",
        "`SlowFast(as_released=True)`",
        ("test_layouts.py::test_a_short_video_shows_each_slow_frame_once_unless_as_released",),
    ),
    Quirk(
        "slow frames are chosen in float32, so that they are not always int(k x T / n)",
        "the same",
        tests=("test_layouts.py::test_slow_indices_are_the_released_ones",),
    ),
    Quirk(
        "LongVA's and SlowFast-LLaVA's samplers repeat frames where a video has fewer than are asked for",
        "each frame once",
        tests=(
            "test_samplers.py::test_uniform_is_longva_without_its_repeats",
            "test_samplers.py::test_middles_takes_all_frames_of_a_short_video_once",
        ),
    ),
    Quirk(
        "without an aggregation, SlowFast-LLaVA's language model gets the first frame only, and nothing is said",
        "all frames are shown",
        "`--frames 1`",
        (
            "test_originals.py::test_all_frames_are_shown_where_the_original_shows_the_first",
            "test_layouts.py::test_without_an_aggregation_the_original_shows_the_first_frame_and_we_show_all",
        ),
    ),
    Quirk(
        "a prompt longer than `tokenizer_model_max_length` is cut off there, in the middle of the frames or of the"
        " question, and nothing is said",
        "refused with `limit.context` before anything is decoded, with the number of frames that fit",
        tests=("test_originals.py::test_what_the_original_cuts_off_is_refused",),
    ),
    Quirk(
        "with dynamic RoPE, a prompt past the trained length leaves its base behind, and a short prompt after it is "
        "turned by that: the same question gets another answer",
        "each prompt is turned by its own length, whatever came before, however it is cut into chunks and however "
        "much of it was kept from an earlier question",
        tests=(
            "test_originals.py::test_nothing_leaks_from_a_long_prompt_into_a_short_one",
            "test_originals.py::test_what_leaks_in_the_original_is_the_base_of_its_last_step",
            "test_ropes.py::test_a_kept_prefix_answers_every_question_as_if_it_were_the_first",
        ),
    ),
    Quirk(
        "past the trained length, each new token of an answer is turned by a base grown once more, and what was read "
        "before is not",
        "the same, generated or read at once (teacher forcing)",
        tests=(RUN, "test_ropes.py::test_teacher_forcing_is_what_generating_would_have_said"),
    ),
    Quirk(
        "SlowFast-LLaVA's paper says linear RoPE scaling x 2, its code sets dynamic",
        "neither unless asked for: `--rope linear` or `--rope dynamic`",
        tests=(RUN, "test_ropes.py::test_a_chosen_rope_is_transformers_own"),
    ),
    Quirk(
        "checkpoints carry a tuned vision tower beside the name of the one that it began as",
        "the checkpoint's own weights are taken, as there",
        tests=(STAGE,),
    ),
    Quirk(
        "LongVA's loader cuts embedding and output down to the tokenizer's words; V-NIAH's does not, and counts ids "
        "that no word belongs to as predictions",
        "what no word belongs to is never said; `vocabulary_size=None` of the engine lets it",
        "`replace(engine, vocabulary_size=None)`",
        (RUN, CELL),
    ),
    Quirk(
        "LongVA's pictures lose their first view (the whole), and tiles are pooled 2 x 2 whatever the configured pool",
        "the same: layout `unires_image`",
        tests=("test_layouts_pictures.py::test_unires_image_is_longvas",),
    ),
    Quirk(
        "V-NIAH rounds every embedding to bfloat16",
        "numbers stay as they are; with rounded ones (the tests do it to the embeddings) every prediction is the same",
        tests=(CELL, "test_niah_originals.py::test_rounding_to_bfloat16_is_no_needle_found_or_lost"),
    ),
    Quirk(
        "V-NIAH pads behind the answer, with a full block where nothing needs padding",
        "nothing is padded; no position sees what is behind it, so nothing changes",
        tests=(CELL,),
    ),
    Quirk(
        "V-NIAH encodes the question apart from what follows it",
        "one text; in all that was recorded these are the same tokens",
        tests=(CELL, "test_templates.py::test_needle_questions"),
    ),
    Quirk(
        "V-NIAH reports depths rounded to the nearest ten per cent, halves to the even one: 25 % as 20",
        "rows and heatmaps tell the depth itself",
        "`longtake.niah.ranges.reported_depth`",
        (CELL, "test_niah.py::test_depths_places_and_reported_depths_are_the_originals"),
    ),
    Quirk(
        "V-NIAH's loader embeds up to 64 frames more than are asked for, and fails at half a frame a second and below",
        "as many frames as are asked for, at any rate",
        tests=("test_niah.py::test_one_frame_a_second_is_the_originals",),
    ),
    Quirk(
        "LongVA's chunked cross-entropy drops what is left when the length is divided by the chunks, takes the mean of "
        "the chunks' means, so that ignored labels weigh, and gives other gradients, or fails, where a label is -100",
        "every asked token weighs the same, in losses and gradients, whatever the length",
        tests=(
            "test_train_entropy.py::test_the_recorded_losses_and_gradients_are_ours_where_the_original_is_right",
            "test_train_entropy.py::test_what_the_original_computes_instead_is_known",
        ),
    ),
    Quirk(
        "the original takes a question without any picture",
        "equal from the engine on; `longtake ask` refuses, for it answers about files",
        tests=(RUN, "test_originals.py::test_a_question_without_a_file_is_refused"),
    ),
    Quirk(
        "a row whose length is no multiple of twice the ranks cannot be shared in zigzag order: putting it back raises",
        "rows of any length are padded, and nobody sees the padding",
        tests=("test_parallel_order.py::test_where_the_original_fails_a_row_of_any_length_is_shared",),
    ),
    Quirk(
        "V-NIAH over several ranks adds a whole block of padding where the length fits already",
        "none",
        tests=("test_parallel_order.py::test_no_block_of_padding_where_a_row_is_even_as_the_original_adds",),
    ),
)


def recorded_files() -> list[str]:
    """Every recorded file of the sections but whole runs, and the checkpoints that they were made with."""
    return sorted(f"{section}/{path.name}" for section in SECTIONS for path in (GOLDEN / section).iterdir())


def count_in(file: str) -> int:
    """How many cases a recorded file has."""
    path = GOLDEN / file
    if path.suffix == ".npz":
        return sum(not name.startswith("video_frames") for name in np.load(path).files)
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return len(load_file(path))
    told = json.loads(path.read_text())
    if isinstance(told, list):
        return len(told)
    if all(isinstance(one, dict) and "replies" in one for one in told.values()):
        return len(told)
    if "cells" in told:
        return sum(len(cell["needles"]) for cell in told["cells"])
    if "templates" in told:
        return len(told["templates"]) + len(told["needle_questions"]) + 1
    return len(told["rows"] if "rows" in told else told["grids"])


def page() -> str:
    """docs/parity.md, but for its first line."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    from originals import REFUSED, SAME

    yield "# Equal to the originals\n"
    yield (
        "What LongVA's code (commit f4c8781) and SlowFast-LLaVA's (commit bea0f73) did was recorded on CPU in float32"
        "\n([tests/golden](../tests/golden/README.md)), whole runs on tiny random checkpoints of the released layout."
        "\nNo released weights were at hand. This page is written from the registry that the tests are made from and"
        "\nheld against (`tests/parity.py`, `tests/originals.py`); a checkout and `make test` are all that it takes to"
        "\nprove it.\n"
    )
    for section, title in SECTIONS.items():
        yield f"## {section}: {title}\n"
        if section == "f_e2e":
            yield from _runs(SAME, REFUSED)
            continue
        yield "| recorded | what | cases | tolerance | held by | not done, and why |"
        yield "|---|---|---|---|---|---|"
        for row in HELD:
            if row.file.startswith(f"{section}/"):
                name = row.file.partition("/")[2]
                cells = (f"`{name}`", row.what, f"{row.cases:,}", row.tolerance, _told(row.tests), row.refused)
                yield f"| {' | '.join(cells)} |"
        yield ""
    yield "## What the released code does that one may not expect\n"
    yield "| there | here | to do as they do | held by |"
    yield "|---|---|---|---|"
    for quirk in QUIRKS:
        yield f"| {' | '.join((quirk.theirs, quirk.ours, quirk.option, _told(quirk.tests)))} |"
    yield ""


def _runs(same: object, refused: object) -> Iterator[str]:
    from originals import Case

    assert isinstance(same, list) and isinstance(refused, list)
    yield (
        "Ids of the prompt exact, embeddings 1e-4, logits behind the prompt and log-probabilities of all 16 steps 1e-3,"
        "\nall 16 greedy tokens exact; where recorded, pixels 1e-6, the tower's and the projector's features 1e-4. Held"
        f"\nby `{RUN}` and\n`{STAGE}`.\n"
    )
    yield "| run | what | tokens read | equal | what differs, and why |"
    yield "|---|---|---|---|---|"
    for equal, cases in (("yes", same), ("**refused**", refused)):
        for case in cases:
            assert isinstance(case, Case)
            read = case.told["prompt_len_embeds"]
            yield f"| `{case.name}` | {case.what} | {read:,} | {equal} | {case.quirk} |"
    yield ""


def _told(tests: tuple[str, ...]) -> str:
    return "<br>".join(f"`{test}`" for test in tests)
