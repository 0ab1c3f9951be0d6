"""train text, how documents come: apart in one row, more of the long ones, streamed; and how far positions reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import tiny
from longtake import load
from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import Prompt
from longtake.train import corpus as corpus_file
from longtake.train.corpus import Corpus, Document, find_files, mixed, read_documents
from longtake.train.language import Shape, Turning, from_folder, from_scratch, turned
from longtake.train.lengths import MoreLong
from longtake.train.packing import Packer, Rows, documents_of, places_in
from longtake.train.reading_on import ReadingOn, by_position, examined, next_losses
from longtake.train.recipes import read_recipe
from longtake.train.schedule import Schedule
from longtake.train.showing import Teller
from longtake.train.text import train_text
from longtake.train.text_recipe import TextRecipe

END = 96


def test_documents_end_with_their_token_and_count_from_nothing() -> None:
    rows = torch.tensor([[1, 2, END, 3, END, END, 4, 5], [END, 1, 2, 3, 4, 5, 6, END]])
    documents = documents_of(rows, END)
    assert documents.tolist() == [[0, 0, 0, 1, 1, 2, 3, 3], [0, 1, 1, 1, 1, 1, 1, 1]]
    assert places_in(documents).tolist() == [[0, 1, 2, 0, 1, 0, 0, 1], [0, 0, 1, 2, 3, 4, 5, 6]]


SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "initializer_range": 0.3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}


def qwen() -> Any:
    torch.manual_seed(1)
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, **HEADS, rope_parameters={"rope_type": "default", "rope_theta": 1e4}))


def llama() -> Any:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS))


def rows_of_documents() -> tuple[torch.Tensor, list[list[tuple[int, int]]]]:
    """Two rows cut at other places, one of them through a document; and where documents begin and end."""
    ids = torch.randint(0, END, (2, 24), generator=torch.Generator().manual_seed(0))
    ends = [[6, 7, 15], [11, 23]]
    for row, places in enumerate(ends):
        ids[row, places] = END
    bounds = [[0, *(place + 1 for place in places), 24] for places in ends]
    return ids, [[(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b] for edges in bounds]


@pytest.mark.parametrize("make", [qwen, llama])
def test_documents_apart_lose_what_each_loses_alone_and_teach_the_same(make: Callable[[], Any]) -> None:
    ids, bounds = rows_of_documents()
    together, alone = make().train(), make().train()
    losses = next_losses(together, ids, half=False, end_id=END)
    losses.sum().backward()
    expected = torch.zeros(2, 23)
    for row, documents in enumerate(bounds):
        for start, end in documents:
            if end - start > 1:
                expected[row, start : end - 1] = next_losses(alone, ids[row : row + 1, start:end], half=False)[0]
    expected.sum().backward()
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)
    assert losses.eq(0).nonzero().tolist() == [[0, 6], [0, 7], [0, 15], [1, 11]]
    for one, other in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)
    assert (next_losses(together, ids, half=False) - losses)[0, 9:].abs().max() > 0.1, "else they see one another"


def test_a_stage_divides_by_the_tokens_that_are_asked() -> None:
    ids, _ = rows_of_documents()
    rows = Rows(lambda: iter(ids.tolist()))
    rates = Schedule(1, 1, 10, 0.5, "constant")
    stage = ReadingOn("x", 1, rates, qwen(), rows, 2, 0, 2, half=False, exam_NL=ids, end_id=END)
    losses = next_losses(stage.module, ids, half=False, end_id=END)
    expected = losses.sum().item() / (2 * 23 - 4)
    asked = stage.loss(np.random.default_rng(0))
    assert len(asked) == 2 * 23 - 4
    assert asked.mean().item() == pytest.approx(expected, rel=1e-6)
    held_out = examined(stage.module, ids, half=False, end_id=END)
    assert held_out.isnan().nonzero().tolist() == [[0, 6], [0, 7], [0, 15], [1, 11]]
    assert stage.figures()["held_out_loss"] == pytest.approx(expected, rel=1e-6)
    first_eight = (losses[:, :8].sum() / (16 - 2)).item()
    assert by_position(held_out, first=8)["0-8"] == pytest.approx(first_eight, abs=1e-4)


def texts(folder: Path, sizes: list[int]) -> None:
    """A file of documents of so many characters, no two alike."""
    folder.mkdir()
    names = (f"{folder.name} {number} " for number in range(len(sizes)))
    lines = [json.dumps({"text": (name * size)[:size]}) for name, size in zip(names, sizes, strict=True)]
    (folder / "a.jsonl").write_text("\n".join(lines[::2]))
    (folder / "b.jsonl").write_text("\n".join(lines[1::2]))


@pytest.fixture
def shelves(tmp_path: Path) -> Corpus:
    """Letters are short, one in ten is long; every other book is; notes are all short. Notes are a fifth of it all."""
    rng = np.random.default_rng(0)
    texts(tmp_path / "books", [int(rng.integers(2000, 6000) if n % 2 else rng.integers(400, 900)) for n in range(60)])
    texts(tmp_path / "letters", [int(rng.integers(1500, 2500) if n % 10 == 0 else 300) for n in range(300)])
    texts(tmp_path / "notes", [100 + n for n in range(250)])
    return Corpus(find_files([str(tmp_path)]), held_out_share=0.1, buffer=16)


def taken(source: MoreLong | Corpus, characters: int, seed: int = 0) -> list[Document]:
    found: list[Document] = []
    for document in source.training([seed, 1]):
        found.append(document)
        characters -= len(document.text)
        if characters <= 0:
            return found
    raise AssertionError("a source never ends")


def by_folder(documents: list[Document]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for document in documents:
        found.setdefault(Path(document.place).parent.name, []).append(len(document.text))
    return found


def test_each_folder_gives_more_long_documents_and_as_much_of_the_whole_as_before(shelves: Corpus) -> None:
    shelves = replace(shelves, held_out_share=0.0)
    came = by_folder(taken(shelves, 2_000_000))
    now = by_folder(taken(MoreLong(shelves, 1000, 0.7), 2_000_000))
    assert came.keys() == now.keys() == {"books", "letters", "notes"}
    long_before = {name: sum(n for n in sizes if n >= 1000) / sum(sizes) for name, sizes in came.items()}
    long_now = {name: sum(n for n in sizes if n >= 1000) / sum(sizes) for name, sizes in now.items()}
    assert long_before["letters"] < 0.5 and long_before["books"] > 0.8
    assert long_now == {"books": pytest.approx(0.7, abs=0.02), "letters": pytest.approx(0.7, abs=0.02), "notes": 0.0}
    mix_before = {name: sum(sizes) / 2_000_000 for name, sizes in came.items()}
    mix_now = {name: sum(sizes) / 2_000_000 for name, sizes in now.items()}
    assert mix_now == {name: pytest.approx(share, abs=0.03) for name, share in mix_before.items()}


def test_the_order_follows_from_the_seed_and_nothing_comes_twice_in_a_round_nor_what_is_held_out(
    shelves: Corpus,
) -> None:
    source = MoreLong(shelves, 1000, 0.7)
    first, again, other = (taken(source, 60_000, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({document.text for document in first}) == len(first)
    kept = {document.text for document in source.held_out()}
    assert kept == {document.text for document in shelves.held_out()} and len(kept) > 20
    assert not kept & {document.text for document in taken(source, 2_000_000)}
    assert source.told() == shelves.told()


def test_a_folder_of_nothing_to_train_on_is_passed_over_and_one_alone_is_refused(tmp_path: Path) -> None:
    texts(tmp_path / "a", [50] * 40)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "blank.txt").write_text("  \n")
    source = MoreLong(Corpus(find_files([str(tmp_path)]), held_out_share=0.0), 1000, 0.5)
    assert by_folder(taken(source, 10_000)).keys() == {"a"}
    with pytest.raises(LongtakeError, match="no document to train on") as caught:
        next(MoreLong(Corpus(find_files([str(tmp_path / "b")])), 1000, 0.5).training([0]))
    assert caught.value.code is ErrorCode.DATA_BAD


@pytest.mark.parametrize("long_characters", [10, 1000])
def test_a_source_of_one_kind_gives_its_first_early_and_all_in_a_round(tmp_path: Path, long_characters: int) -> None:
    """All are long, or all short; the other kind is met in no round."""
    texts(tmp_path / "a", [50] * 205)
    read: list[str] = []

    class Read(Corpus):
        def round(self, seed: Sequence[int], number: int) -> Iterator[Document]:
            for document in super().round(seed, number):
                read.append(document.text)
                yield document

    source = MoreLong(Read(find_files([str(tmp_path)]), held_out_share=0.0), long_characters, 0.5)
    documents = source.training([0])
    found = [next(documents)]
    assert len(read) <= 16
    found += [next(documents) for _ in range(409)]
    for part in (found[:205], found[205:]):
        assert len({document.text for document in part}) == 205
    assert read == [document.text for document in found]


def test_a_long_text_file_is_several_documents_cut_after_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_file, "WHOLE_BYTES", 100)
    text = "".join(f"zwölf Zeilen, die {number}.\n" for number in range(40)) + "x" * 250 + "ö" * 60
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "b.txt").write_text("short", encoding="utf-8")
    parts = list(read_documents(tmp_path / "a.txt", "text"))
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= 100 for part in parts)
    assert all(part.text.endswith("\n") for part in parts[:9])
    assert [part.place for part in parts[:2]] == [f"{tmp_path / 'a.txt'}: part {n}" for n in (1, 2)]
    assert [part.place for part in read_documents(tmp_path / "b.txt", "text")] == [str(tmp_path / "b.txt")]
    (tmp_path / "c.txt").write_bytes(text.encode() + b"\xc3")
    with pytest.raises(LongtakeError, match=r"c\.txt"):
        list(read_documents(tmp_path / "c.txt", "text"))


def test_only_so_much_text_waits_to_be_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_file, "MIXED_CHARACTERS", 50)
    read: list[int] = []

    def reading() -> Any:
        for number in range(100):
            read.append(number)
            yield Document(f"{number:010}", "")

    ahead = []
    out = []
    for document in mixed(reading(), np.random.default_rng(0), 1000):
        out.append(int(document.text))
        ahead.append(len(read) - len(out))
    assert sorted(out) == list(range(100)) and out != list(range(100))
    assert max(ahead) == 5


STREAMED = """
import re, sys
from longtake.train import corpus as file
from longtake.train.corpus import Corpus, find_files
from longtake.train.lengths import MoreLong
file.WHOLE_BYTES, file.MIXED_CHARACTERS = 2**20, 2**22
# Not ru_maxrss, which begins with that of whoever started this process.
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
for share in (0.0, 0.5):
    corpus = Corpus(find_files([sys.argv[1]]), held_out_share=0.0)
    source = MoreLong(corpus, 5_000, share) if share else corpus
    before, read = peak(), 0
    for document in source.training([0]):
        read += len(document.text)
        if read > 70_000_000:
            break
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's peak of memory there")
@pytest.mark.parametrize("name", ["large.txt", "large.jsonl"])
def test_files_are_streamed_whatever_their_size(tmp_path: Path, name: str) -> None:
    line = "a line of a book that is longer than memory. " * 200
    record = json.dumps({"text": line}) if name.endswith("jsonl") else line
    with (tmp_path / name).open("w") as file:
        for _ in range(60_000_000 // len(record)):
            file.write(record + "\n")
    script = [sys.executable, "-c", STREAMED, str(tmp_path / name)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    # 4 MiB wait to be mixed, a few more behind that; the file is 60 MB, which is read more than once.
    assert all(int(grown) < 24 * 2**20 for grown in done.stdout.split()), done.stdout


def test_rows_are_made_before_a_long_document_ends() -> None:
    packer, heard = Packer(tiny.tokenizer(), end_id=2), 0
    text = "\n".join(["red star"] * 300_000)

    class Counting:
        def encode(self, piece: str) -> list[int]:
            nonlocal heard
            heard += len(piece)
            return packer.tokenizer.encode(piece)

    counting: Any = Counting()
    first = next(replace(packer, tokenizer=counting).rows(iter([Document(text, "")]), 8))
    assert len(first) == 8 and heard < len(text) / 5


TOML = """
vocabulary = 300
step_tokens = 256
tokens_at_once = 128
tokens = 6000
[model]
width = 32
layers = 1
[[stages]]
length = 32
share = 0.5
[[stages]]
length = 64
share = 0.5
theta = 100000.0
scaling = "yarn"
"""


def recipe(folder: Path, *settings: str) -> TextRecipe:
    (folder / "recipe.toml").write_text(TOML)
    return read_recipe(TextRecipe, str(folder / "recipe.toml"), settings, {"data": [str(folder / "data")]})


def trained(told: TextRecipe, folder: Path) -> dict[str, Any]:
    return train_text(told, folder, device="cpu", plan_only=False, teller=Teller(quiet=True))


def test_a_training_apart_and_with_more_long_documents_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    texts(tmp_path / "data", [40 + 7 * (n % 40) for n in range(300)])
    told = recipe(tmp_path, "apart=true", "long_share=0.8", "long_characters=200", "save_every=10")
    summary = trained(told, tmp_path / "whole")
    # The budget: 6,000 tokens are 23.4 steps of 256; each stage takes the nearest to its half.
    assert summary["tokens"] == 2 * 12 * 256
    assert summary["held_out"]["after"]["loss"] < summary["held_out"]["before"]["loss"]
    (tmp_path / "part").mkdir()
    for name in ("recipe.json", "tokenizer.json", "before.json", "text-1.pt", "text-1.jsonl"):
        (tmp_path / "part" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    trained(told, tmp_path / "part")
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert weights[0] == weights[1]
    with pytest.raises(LongtakeError, match=r"long_share was 0\.8 and is 0\.5"):
        trained(replace(told, long_share=0.5), tmp_path / "part")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["long_share=1.0"], "long_share is at least 0, less than 1"),
        (["long_share=0.5", 'data=["world"]'], "long_share is for files"),
        (["apart=true", "stages.1.span=512"], "apart counts each document's positions from 0"),
    ],
)
def test_a_recipe_that_asks_for_two_things_at_once_is_refused(tmp_path: Path, settings: list[str], told: str) -> None:
    with pytest.raises(LongtakeError, match=told):
        recipe(tmp_path, *settings)


@pytest.mark.parametrize("scaling", ["linear", "dynamic", "yarn"])
def test_what_is_written_is_turned_by_transformers_as_it_was_in_training(tmp_path: Path, scaling: Any) -> None:
    first = Turning(1e4, "keep", 0.0, 32)
    start = from_scratch(Shape(width=32, layers=2), tiny.tokenizer(), first, seed=0, device=torch.device("cpu"))
    further = turned(start.language, Turning(1e5, scaling, 0.0, 128), first_context=32).eval()
    start.write(tmp_path / "model", further, None, 128)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    rope = theirs.config.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == (scaling, 4.0, 1e5)
    assert rope.get("original_max_position_embeddings") == (32 if scaling == "yarn" else None)
    ids = torch.randint(3, 200, (1, 100), generator=torch.Generator().manual_seed(0))
    ours: Any = further
    with torch.inference_mode():
        expected = ours(input_ids=ids).logits
        torch.testing.assert_close(theirs(input_ids=ids).logits, expected)
        again: Any = from_folder(tmp_path / "model", torch.device("cpu")).language.eval()
        torch.testing.assert_close(again(input_ids=ids).logits, expected)
        unscaled: Any = turned(start.language, Turning(1e5, "none", 0.0, 128), first_context=32).eval()
        assert (unscaled(input_ids=ids).logits - expected).abs().max() > 1e-4, "else nothing was scaled"


def test_a_nano_that_was_turned_by_yarn_answers_as_it_was_trained(tmp_path: Path) -> None:
    start = from_folder(tiny.checkpoint(tmp_path / "nano"), torch.device("cpu"))
    further: Any = turned(start.language, Turning(1e5, "yarn", 0.0, 1024), first_context=256).eval()
    start.write(tmp_path / "further", further, None, 1024)
    model = load(str(tmp_path / "further"))
    assert model.engine.trained_context == 1024
    ids = torch.randint(3, 200, (400,), generator=torch.Generator().manual_seed(0))
    prefix = model.engine.prefill(Prompt(ids[:1], torch.zeros(0, 32)))
    told = model.engine.logprobs(prefix, (), ids[1:].tolist())
    with torch.inference_mode():
        expected = further(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
    torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-4)
