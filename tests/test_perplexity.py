"""longtake eval perplexity: windows lose what transformers says, told by position, also beyond what was trained."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

import tiny
from longtake.train import perplexity
from longtake.train.corpus import Document
from longtake.train.language import Shape, Start, Turning, from_folder, from_scratch, turned
from longtake.train.packing import Packer
from longtake.train.perplexity import Windows, losses_of_window, measure
from longtake.train.reading_on import by_position, examined
from running import ONE_LINE, Cli

WORDS = "what number is on the red star ? user assistant blue".split()
TRAINED = 100


def text(words: int, seed: int = 0) -> str:
    drawn = torch.randint(0, len(WORDS), (words,), generator=torch.Generator().manual_seed(seed))
    return " ".join(WORDS[int(word)] for word in drawn)


def start() -> Start:
    turning = Turning(1e4, "keep", 0.0, TRAINED)
    found = from_scratch(Shape(width=32, layers=2), tiny.tokenizer(), turning, seed=0, device=torch.device("cpu"))
    with torch.no_grad():
        for parameter in found.language.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    found.language.eval()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder that was trained to read 100 positions."""
    found, folder = start(), tmp_path_factory.mktemp("reader") / "small"
    found.write(folder, found.language, None, TRAINED)
    return folder


def test_windows_read_every_token_and_count_it_once() -> None:
    ids = list(range(10))
    assert list(Windows(4).cut(ids)) == [([0, 1, 2, 3], 4), ([4, 5, 6, 7], 4), ([8, 9], 2)]
    assert list(Windows(4, 2).cut(ids)) == [
        ([0, 1, 2, 3], 4),
        ([2, 3, 4, 5], 2),
        ([4, 5, 6, 7], 2),
        ([6, 7, 8, 9], 2),
    ]
    assert list(Windows(4, 3).cut(ids[:6])) == [([0, 1, 2, 3], 4), ([3, 4, 5], 2)]
    assert list(Windows(4).cut(ids[:5], [99])) == [([99, 0, 1, 2], 3), ([99, 3, 4], 2)]
    assert list(Windows(4, 4).cut(ids[:5], [99])) == [([99, 0, 1, 2], 3), ([99, 3, 4], 2)], "nothing is left out"
    assert list(Windows(4).cut([])) == []
    for wrong in ((1, 0), (4, 5)):
        with pytest.raises(ValueError, match="want a length of 2 or more"):
            Windows(*wrong)


def qwen() -> Any:
    return start().language


def dynamic() -> Any:
    """One whose positions are turned by the length of the whole."""
    return turned(start().language, Turning(1e4, "dynamic", 4.0, 400), first_context=TRAINED).eval()


def llama() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, initializer_range=0.3)).eval()


def mistral() -> Any:
    """One that sees only the last 20 positions."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "sliding_window": 20}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}
    return MistralForCausalLM(MistralConfig(**sizes, **heads)).eval()


@pytest.mark.parametrize("make", [qwen, dynamic, llama, mistral])
@pytest.mark.parametrize("length", [2, 64, 150])
def test_a_window_read_in_chunks_loses_what_transformers_says(make: Any, length: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(perplexity, "CHUNK_TOKENS", 23)
    language = make()
    ids = torch.randint(3, 90, (length,), generator=torch.Generator().manual_seed(0))
    losses = losses_of_window(language, ids)
    with torch.inference_mode():
        logits = language(input_ids=ids[None]).logits[0, :-1].float()
        expected = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
    assert losses.shape == (length - 1,)
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)


def test_a_long_window_leaves_nothing_behind_for_a_shorter_one() -> None:
    language = dynamic()
    ids = torch.randint(3, 90, (300,), generator=torch.Generator().manual_seed(0))
    short = losses_of_window(language, ids[:150])
    assert (losses_of_window(language, ids)[:149] - short).abs().max() > 1e-3, "else lengths do not matter"
    torch.testing.assert_close(losses_of_window(language, ids[:150]), short)


class Largest(TorchDispatchMode):
    """The most numbers that any one tensor made meanwhile holds."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_no_tensor_grows_with_length_but_keys_values_and_masks(monkeypatch: Any) -> None:
    monkeypatch.setattr(perplexity, "CHUNK_TOKENS", 32)
    language = start().language
    ids, width, heads = torch.randint(3, 200, (1000,)), 32, 4
    with Largest() as largest:
        losses_of_window(language, ids)
    assert largest.numbers <= max(32 * 1000, 1000 * width), "a chunk's mask, one layer's keys"
    assert largest.numbers < 1000 * 1000 / heads


def test_what_is_told_adds_up(folder: Path) -> None:
    ours = from_folder(folder, torch.device("cpu"))
    ours.language.eval()
    documents = [Document(text(290), "a"), Document(text(110, 1), "b"), Document(" ", "c")]
    told = measure(ours, documents, Windows(400))
    ids = [Packer(ours.tokenizer, 2).ids(document)[:-1] for document in documents[:2]]
    losses = [losses_of_window(ours.language, torch.tensor(one)).double() for one in ids]
    longest = len(losses[0])
    assert (told["trained_context"], told["windows"], told["documents"]) == (TRAINED, 2, 3)
    assert told["tokens"] == sum(map(len, losses))
    assert told["loss"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-4)
    assert told["perplexity"] == pytest.approx(math.exp(told["loss"]), rel=1e-3)
    bounds = [(row["from"], row["to"], row["beyond"]) for row in told["by_position"]]
    assert longest > 256 and len(losses[1]) > TRAINED
    assert bounds == [(0, TRAINED, False), (TRAINED, 256, True), (256, longest, True)]
    beyond = torch.cat([one[TRAINED:256] for one in losses])
    assert told["by_position"][1]["loss"] == pytest.approx(float(beyond.mean()), abs=1e-4)
    assert told["by_position"][1]["tokens"] == len(beyond)


def test_overlapping_windows_count_each_token_once_where_its_past_is_longest(folder: Path) -> None:
    ours = from_folder(folder, torch.device("cpu"))
    ours.language.eval()
    ids = Packer(ours.tokenizer, 2).ids(Document(text(60), "a"))[:-1]
    told = measure(ours, [Document(text(60), "a")], Windows(20, 5))
    new = [losses_of_window(ours.language, torch.tensor(ids[max(0, place - 19) : place + 1]))[-1] for place in (19, 24)]
    assert told["tokens"] == len(ids) - 1
    assert told["by_position"][0]["tokens"] == (told["windows"] - 1) * 19 + len(ids) - 5 * (told["windows"] - 1) - 1
    # The last of each window's new tokens has seen a whole window.
    (row,) = measure(ours, [Document(text(60), "a")], Windows(20, 5, most=2))["by_position"]
    windows = [losses_of_window(ours.language, torch.tensor(ids[at : at + 20])) for at in (0, 5)]
    assert row["loss"] == pytest.approx(float(torch.cat(windows).mean()), abs=1e-4)
    assert [float(window[-1]) for window in windows] == pytest.approx([float(loss) for loss in new], abs=1e-4)
    whole = (windows[0].sum() + windows[1][-5:].sum()) / 24
    two = measure(ours, [Document(text(60), "a")], Windows(20, 5, most=2))
    assert (two["tokens"], two["loss"]) == (24, pytest.approx(float(whole), abs=1e-4))


def test_joined_documents_lose_what_a_trainings_summary_tells(folder: Path) -> None:
    ours = from_folder(folder, torch.device("cpu"))
    documents = [Document(text(30, seed), str(seed)) for seed in range(40)]
    rows = list(Packer(ours.tokenizer, ours.end_id).rows(iter(documents), 64))
    told = measure(ours, documents, Windows(64, joined=True))
    losses = examined(ours.language, torch.tensor(rows), half=False)
    assert told["loss"] == pytest.approx(float(losses.mean()), abs=1e-4)
    assert {f"{row['from']}-{row['to']}": row["loss"] for row in told["by_position"]} == {
        name: pytest.approx(loss, abs=2e-4) for name, loss in by_position(losses).items()
    }


def test_a_window_begins_with_what_the_tokenizer_puts_before_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = start()
    read: list[list[int]] = []
    whole = losses_of_window

    def noted(language: Any, ids: torch.Tensor) -> torch.Tensor:
        read.append(ids.tolist())
        return whole(language, ids)

    monkeypatch.setattr(perplexity, "losses_of_window", noted)
    monkeypatch.setattr(type(ours.tokenizer), "beginning_ids", property(lambda self: (1,)))
    told = measure(ours, [Document(text(8), "a")], Windows(5))
    ids = Packer(ours.tokenizer, 2).ids(Document(text(8), "a"))[:-1]
    assert read == [[1, *ids[at : at + 4]] for at in range(0, len(ids), 4)]
    assert told["tokens"] == len(ids)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(text(400))
    return path


def test_the_command_prints_a_table_and_draws(cli: Cli, folder: Path, book: Path, tmp_path: Path) -> None:
    command = ("eval", "perplexity", folder, book, "--length", "300", "--device", "cpu")
    status, out, err = cli(*command, "--plot", tmp_path / "loss.png", "--quiet")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["position", "tokens", "loss", "perplexity"]
    assert lines[1].startswith("0-100 ") and lines[2].startswith("100-256 ")
    assert "beyond" not in lines[1] and lines[2].endswith("beyond the 100 that it was trained to read")
    assert "windows of at most 300 tokens, of 1 documents; trained to read 100" in out
    with Image.open(tmp_path / "loss.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24)}
        assert picture.size == (1280, 720) and {(0x2F, 0x6E, 0x9E), (0xC8, 0x32, 0x4B)} <= colours
    told = cli.json(*command)
    assert told["by_position"][0]["loss"] == pytest.approx(float(lines[1].split()[2]))
    half = cli.json(*command, "--dtype", "bfloat16", "--windows", "1")
    assert half["windows"] == 1 and half["loss"] == pytest.approx(told["loss"], rel=0.1)
    theirs: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = from_folder(folder, torch.device("cpu")).tokenizer
    ids = torch.tensor(tokenizer.encode(book.read_text()))
    with torch.inference_mode():
        lost = sum(
            float(theirs(input_ids=part[None], labels=part[None]).loss) * (len(part) - 1) for part in ids.split(300)
        )
    assert told["loss"] == pytest.approx(lost / told["tokens"], abs=1e-3)


def test_a_nano_is_measured_by_name_on_the_world_that_it_knows(cli: Cli) -> None:
    told = cli.json("eval", "perplexity", "nano", "world", "--join", "--length", "600", "--windows", "1")
    assert [row["to"] for row in told["by_position"]] == [256, 512, 599]
    assert (told["trained_context"], told["tokens"]) == (16_384, 599)
    assert told["loss"] < math.log(1581), "it knows better than to guess"


def test_what_cannot_be_measured_is_refused_in_one_line(
    cli: Cli, folder: Path, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "bad.jsonl").write_text('{"text": "red star red"}\n{"words": 1}\n')
    shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][:] = 3e38
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "no_such_model"}')
    (tmp_path / "other" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    broken = tmp_path / "broken"
    cases: list[tuple[list[Any], int, str]] = [
        ([folder, tmp_path / "none.txt"], 2, "usage.bad_option"),
        ([folder, book, "--stride", "9", "--length", "8"], 2, "text would be left out"),
        ([folder, book, "--stride", "4", "--length", "8", "--join"], 2, "does not go with --join"),
        ([folder, "world", book], 2, "world: does not go with files"),
        ([folder, tmp_path / "blank.txt"], 3, "want two tokens in a document"),
        ([folder, book, "--join", "--length", "9999"], 3, "want 9,999 tokens for a window"),
        ([folder, tmp_path / "bad.jsonl"], 3, "bad.jsonl:2"),
        ([tmp_path / "nowhere", book], 4, "model.not_found"),
        ([tmp_path / "other", book], 4, "no language model that transformers knows"),
        ([broken, book, "--dtype", "bfloat16"], 4, "model.nonfinite"),
        ([folder, book, "--length", "1"], 2, "usage.bad_option"),
    ]
    for arguments, expected, said in cases:
        status, out, err = cli("eval", "perplexity", *arguments, "--device", "cpu", "--quiet")
        assert (status, out) == (expected, ""), arguments
        assert ONE_LINE.fullmatch(err) and said in err, err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = cli("eval", "perplexity", folder, book, "--plot", tmp_path / "loss.png")
    assert status != 0 and "matplotlib: is needed to draw" in err
    told = json.loads(cli("eval", "perplexity", folder, tmp_path / "none.txt", "--json")[1])
    assert told["error"]["exit_status"] == 2
