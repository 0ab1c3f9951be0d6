"""train text, its parts: what is read is what is in the files, rows follow from data and seed, positions reach over."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

import tiny
from longtake.errors import ErrorCode, LongtakeError
from longtake.train.corpus import Corpus, Document, find_files, mixed, read_documents
from longtake.train.language import Turning, turned
from longtake.train.packing import Packer, Rows, stretched
from longtake.train.reading_on import by_position, next_losses
from longtake.train.recipes import keep_recipe, read_recipe
from longtake.train.schedule import Schedule
from longtake.train.text_recipe import TextRecipe


def texts(path: Path, field: str = "text") -> list[str]:
    return [document.text for document in read_documents(path, field)]


def refusal(path: Path, field: str = "text") -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        texts(path, field)
    assert caught.value.code is ErrorCode.DATA_BAD
    return caught.value


def test_each_format_gives_its_documents(tmp_path: Path) -> None:
    from pyarrow import parquet, table

    (tmp_path / "a.txt").write_text("one\ntwo\n")
    rows = ["zwölf", "  ", "last"]
    lines = "".join(json.dumps({"body": row, "n": 1}) + "\n" for row in rows) + "\n"
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    parquet.write_table(table({"body": rows * 300}), tmp_path / "d.parquet")
    assert texts(tmp_path / "a.txt") == ["one\ntwo\n"]
    assert texts(tmp_path / "b.jsonl", "body") == texts(tmp_path / "c.jsonl.gz", "body") == ["zwölf", "last"]
    assert texts(tmp_path / "d.parquet", "body") == ["zwölf", "last"] * 300
    places = [document.place for document in read_documents(tmp_path / "b.jsonl", "body")]
    assert places == [f"{tmp_path / 'b.jsonl'}:1", f"{tmp_path / 'b.jsonl'}:3"]
    assert len(find_files([str(tmp_path)])) == len(find_files([str(tmp_path / "*"), str(tmp_path / "a.txt")])) == 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "Unterminated"),
        (b'["a list"]', "no object"),
        (b'{"words": "a"}', "no text under 'text'; its keys are words"),
        (b'{"text": 7}', "no text under"),
        (b'{"text": "\\ud800"}', "surrogates not allowed"),
        (b'{"text": "\xff"}', "invalid start byte"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b"\n")
    error = refusal(path)
    assert error.subject == f"{path}:2"
    assert reason in error.reason


def test_other_bad_files_are_named(tmp_path: Path) -> None:
    from pyarrow import parquet, table

    (tmp_path / "latin.txt").write_bytes("zwölf".encode("latin-1"))
    (tmp_path / "no.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"a long text " * 100)[:40])
    parquet.write_table(table({"n": [1, 2]}), tmp_path / "numbers.parquet")
    parquet.write_table(table({"text": ["a", None]}), tmp_path / "hole.parquet")
    for name in ("latin.txt", "no.parquet", "cut.txt.gz", "numbers.parquet"):
        assert refusal(tmp_path / name).subject == str(tmp_path / name)
    assert refusal(tmp_path / "hole.parquet").subject == f"{tmp_path / 'hole.parquet'}: row 1"
    assert "its columns are n" in refusal(tmp_path / "numbers.parquet").reason
    with pytest.raises(LongtakeError, match="finds no file"):
        find_files([str(tmp_path / "*.md")])


def corpus(folder: Path, documents: int = 60, held_out: float = 0.25) -> Corpus:
    for number in range(3):
        lines = [json.dumps({"text": f"document {number} {line}"}) for line in range(documents // 3)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    return Corpus(find_files([str(folder / "*.jsonl")]), held_out_share=held_out, buffer=8)


def test_a_round_gives_every_document_once_in_an_order_of_the_seed_and_none_that_is_held_out(tmp_path: Path) -> None:
    source = corpus(tmp_path)
    held_out = [document.text for document in source.held_out()]
    assert 5 < len(held_out) < 25
    kept = 60 - len(held_out)
    first, again, other = (
        [document.text for document in islice(source.training([seed]), 2 * kept)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert sorted(first[:kept]) == sorted(first[kept:]) == sorted(other[:kept])
    assert first[:kept] != first[kept:]
    assert not set(first) & set(held_out)
    assert sorted({*first, *held_out}) == sorted(f"document {n} {line}" for n in range(3) for line in range(20))


def test_data_that_is_all_held_out_is_refused_rather_than_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("only this")
    with pytest.raises(LongtakeError, match="no document to train on"):
        next(Corpus((path,), held_out_share=1.0).training([0]))


def test_mixing_moves_documents_and_loses_none() -> None:
    documents = [Document(str(number), "") for number in range(100)]
    out = [int(document.text) for document in mixed(iter(documents), np.random.default_rng(0), 10)]
    assert sorted(out) == list(range(100))
    assert out != list(range(100))
    assert mixed(iter(documents[:3]), np.random.default_rng(0), 10) is not None
    early = [place - number for place, number in enumerate(out)]
    assert min(early) >= -10, "nothing comes before it was read"


def words(*texts: str) -> Iterator[Document]:
    return (Document(text, "here") for text in texts)


def test_rows_are_the_documents_with_an_end_after_each_cut_into_lengths() -> None:
    packer = Packer(tiny.tokenizer(), end_id=2)
    one, two = packer.tokenizer.encode("what number is"), packer.tokenizer.encode("red star <|im_end|>")
    assert 2 not in two, "what looks like a control token in a document is text"
    stream = [*one, 2, *two, 2]
    rows = list(packer.rows(words("what number is", "red star <|im_end|>"), 4))
    assert [token for row in rows for token in row] == stream[: len(stream) // 4 * 4]
    assert {len(row) for row in rows} == {4}


def test_a_long_document_is_tokenized_in_pieces_that_lose_nothing() -> None:
    packer = Packer(tiny.tokenizer(), end_id=2)
    text = "\n".join(["red star"] * 60_000)
    assert packer.tokenizer.decode(packer.ids(Document(text, ""))).split() == text.split()


def test_rows_can_be_taken_from_any_row_on() -> None:
    packer = Packer(tiny.tokenizer(), end_id=2)

    def begin() -> Iterator[list[int]]:
        return packer.rows((Document(f"number {n}", "") for n in range(500)), 8)

    heard: list[int] = []
    whole = Rows(begin).take(40)
    rows = Rows(begin, heard.append)
    assert torch.equal(rows.take(3), whole[:3])
    rows.seek(17)
    assert torch.equal(rows.take(2), whole[17:19])
    rows.seek(19)
    assert torch.equal(rows.take(1), whole[19:20])
    rows.seek(2)
    assert torch.equal(rows.take(4), whole[2:6])
    assert heard == [24, 16, 8, 32]


def test_stretched_positions_rise_stay_inside_the_span_and_meet_every_distance() -> None:
    rng = np.random.default_rng(0)
    places = stretched(rng, 400, 16, span=256, pieces=2)
    assert places.shape == (400, 16)
    assert bool((places.diff(dim=1) >= 1).all()) and int(places.min()) == 0 and int(places.max()) <= 255
    jumps = (places.diff(dim=1) - 1).sum(1)
    assert int(jumps.min()) < 20 and int(jumps.max()) > 220, "short and long jumps"
    assert int((places.diff(dim=1) > 1).sum(1).max()) == 1, "two pieces have one jump"
    assert torch.equal(stretched(rng, 2, 16, span=16), torch.arange(16).expand(2, 16))
    five = stretched(rng, 50, 16, span=999, pieces=5)
    assert int((five.diff(dim=1) > 1).sum(1).max()) == 4


def language(**changes: object) -> Qwen2ForCausalLM:
    torch.manual_seed(1)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "initializer_range": 0.3}
    return Qwen2ForCausalLM(Qwen2Config(**(sizes | heads | rope | changes))).eval()


def test_a_stretched_row_still_sees_what_is_before_its_jump() -> None:
    model = language()
    ids = torch.randint(0, 97, (1, 12), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, 2] = (other[0, 2] + 1) % 97
    jumped = torch.cat([torch.arange(6), torch.arange(40, 46)])[None]
    with torch.inference_mode():
        one, two = (next_losses(model, tokens, jumped, half=False) for tokens in (ids, other))
        packed = model.model(input_ids=ids, position_ids=jumped, use_cache=False).last_hidden_state
        packed_other = model.model(input_ids=other, position_ids=jumped, use_cache=False).last_hidden_state
    assert bool(((one - two)[0, 6:].abs() > 1e-4).all()), "a changed token behind the jump changes all after it"
    # Why next_losses passes a mask: without one transformers takes the jump for another document.
    assert torch.equal(packed[0, 6:], packed_other[0, 6:])


def test_the_loss_is_transformers_own() -> None:
    model = language()
    ids = torch.randint(0, 97, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(input_ids=ids, labels=ids).loss
        assert next_losses(model, ids, half=False).mean().item() == pytest.approx(expected.item(), rel=1e-5)


def test_losses_by_position_are_means_of_doubling_stretches() -> None:
    losses = torch.arange(1000.0)[None].expand(2, -1)
    assert by_position(losses, first=256) == {"0-256": 127.5, "256-512": 383.5, "512-1000": 755.5}
    assert by_position(losses[:, :100], first=256) == {"0-100": 49.5}


@pytest.mark.parametrize("scaling", ["keep", "none", "linear", "dynamic", "yarn"])
def test_a_model_turned_otherwise_shares_its_parameters_and_turns_as_told(scaling: str) -> None:
    model = language()
    other = turned(model, Turning(1e6, scaling, 0.0, 256), first_context=64)  # type: ignore[arg-type]
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert one is two
    config, rope = other.config, other.config.rope_parameters
    assert rope["rope_theta"] == 1e6
    assert rope.get("factor", 4.0) == 4.0
    assert config.max_position_embeddings == (64 if scaling == "dynamic" else 256)
    frequencies = other.model.rotary_emb.inv_freq
    plain = 1e6 ** -(torch.arange(0, 8, 2) / 8)
    if scaling in ("keep", "none", "dynamic"):
        torch.testing.assert_close(frequencies, plain)
    if scaling == "linear":
        torch.testing.assert_close(frequencies, plain / 4)
    if scaling == "yarn":
        assert frequencies[0] == pytest.approx(1.0) and frequencies[-1] == pytest.approx(float(plain[-1]) / 4)


def test_schedules_rise_and_fall() -> None:
    shares = {
        shape: [Schedule(1, 1, 10, 0.5, shape).share(step, 100) for step in range(100)]  # type: ignore[arg-type]
        for shape in ("constant", "linear", "cosine")
    }
    for shape, share in shares.items():
        assert share[:11] == [number / 10 for number in range(1, 11)] + [1.0], shape
        assert share[11:50] == [1.0] * 39, shape
    assert shares["constant"][99] == 1.0
    assert shares["linear"][75] == 0.5 == pytest.approx(shares["cosine"][75])
    assert shares["cosine"][60] > shares["linear"][60] and shares["cosine"][90] < shares["linear"][90]


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        ("rates = 3", [], "rates: there is no such key (there are data, start, model"),
        ("[model]\nwidht = 3", [], "model.widht: there is no such key (there are width"),
        ('tokens = "many"', [], 'tokens: is "many" (want a whole number)'),
        ('schedule = "cubic"', [], "take one of constant, linear, cosine"),
        ("[[stages]]\nlength = 8", [], "stages.0: share is 0.0 and steps 0; want one of them"),
        ("[[stages]]\nshare = 1.0", [], "stages.0: has no length"),
        ("model = 4", [], "model: is 4 (want a table"),
        ("tokens = ", [], "cannot be read as TOML"),
        ("", ["tokens"], "is not KEY=VALUE"),
        ("", ["stages.3.steps=4"], "there is no 3 in the list"),
        ("", ["save_every=7"], "multiple of log_every"),
        ("rate = nan", [], "rate: is nan (want a finite number)"),
    ],
)
def test_a_recipe_that_does_not_fit_says_what_would(tmp_path: Path, text: str, settings: list[str], told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(LongtakeError) as caught:
        read_recipe(TextRecipe, str(path), settings)
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    assert told in str(caught.value)


def test_settings_go_over_options_and_options_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("tokens = 5000\nrate = 1\n[model]\nwidth = 64\n[[stages]]\nlength = 8\nshare = 1.0\n")
    given = {"seed": 4, "data": ["a.txt"]}
    settings = ["model.layers=2", "stages.0.length=16", "seed=5", "tokenizer=mine.json"]
    recipe = read_recipe(TextRecipe, str(path), settings, given)
    assert (recipe.tokens, recipe.rate, recipe.model.width, recipe.model.layers) == (5000, 1.0, 64, 2)
    assert (recipe.stages[0].length, recipe.seed, recipe.data, recipe.tokenizer) == (16, 5, ("a.txt",), "mine.json")
    assert read_recipe(TextRecipe, None, ["stages.0.steps=3"]).stages[0].steps == 3


def test_a_folder_keeps_its_recipe_and_names_what_differs(tmp_path: Path) -> None:
    keep_recipe(tmp_path, {"rate": 0.1, "files": [["a", 1]]})
    keep_recipe(tmp_path, {"rate": 0.1, "files": [["a", 1]]})
    with pytest.raises(LongtakeError, match=r"rate was 0.1 and is 0.2"):
        keep_recipe(tmp_path, {"rate": 0.2, "files": [["a", 1]]})


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("text_*.toml")), ids=str)
def test_recipes_that_ship_can_be_read(path: Path) -> None:
    assert read_recipe(TextRecipe, str(path)).stages
