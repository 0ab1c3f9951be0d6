"""`longtake watch`, `longtake store` and what `ask` finds: several processes, killed ones, disks that are full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from longtake.store import Store
from running import LONGTAKE, ONE_LINE, Cli
from watching import QUESTION, film_of, flip, kept_files, locked, unprivileged


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(autouse=True)
def kept_here(own_store: Path) -> Path:
    """What these tests make is kept, and nothing that others have made is found."""
    return own_store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return film_of(tmp_path / "film.mp4", range(60))


def run(*arguments: str | Path, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*LONGTAKE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=before, check=False)


def test_a_second_process_finds_what_the_first_has_made(cli: Cli, film: Path, model: str) -> None:
    looking = (film, "--model", model, "--frames", "8")
    status, out, err = cli("watch", *looking)
    assert status == 0 and out.startswith(f"{film}: 8 frames, 0 of them kept before; ") and "written" in out
    place = f"in {os.environ['LONGTAKE_STORE']}"
    assert err.startswith(place)
    _, out, err = cli("watch", *looking)
    assert "8 of them kept before; 0 B written" in out and err.startswith(place)
    done = run("ask", film, QUESTION, *looking[1:], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found["seconds"]) == {"store", "prefill", "generate", "evidence"}, "something was read or encoded"
    assert found["files"][0]["kept_frames"] == 8
    fresh = cli.json("ask", film, QUESTION, *looking[1:], "--no-store")
    assert fresh["files"][0]["kept_frames"] == 0 and "read" in fresh["seconds"]
    assert fresh["answer"] == found["answer"] and fresh["tokens"] == found["tokens"]
    status, _, err = cli("ask", film, QUESTION, *looking[1:])
    assert status == 0 and "; from the store" in err


def test_ask_keeps_too_and_the_prefix_serves_another_process(cli: Cli, film: Path, model: str) -> None:
    looking = (film, "--model", model, "--frames", "8")
    first = cli.json("ask", film, QUESTION, *looking[1:])
    told = cli.json("watch", *looking, "--keep-prefix")
    # Nothing but the hashes of its frames' pixels, for whoever wants a manifest.
    assert told["files"][0]["came"] == 8 and 0 < told["files"][0]["bytes"] < 2000 and told["prefix"]["bytes"] > 0
    found = json.loads(run("ask", film, QUESTION, *looking[1:], "--json").stdout)
    assert (
        set(found["seconds"]) == {"store", "generate", "evidence"}
        and "keys and values from the store" in found["notes"]
    )
    assert found["answer"] == first["answer"]
    assert "keys and values: kept before" in cli("watch", *looking, "--keep-prefix")[1]


def test_two_processes_that_watch_the_same_at_once_are_both_right(
    cli: Cli, film: Path, model: str, own_store: Path
) -> None:
    """J6."""
    command = [*LONGTAKE, "ask", str(film), QUESTION, "--model", model, "--frames", "30", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0] and [err for _, err in said] == ["", ""]
    fresh = cli.json("ask", film, QUESTION, "--model", model, "--frames", "30", "--no-store")
    assert [json.loads(out)["answer"] for out, _ in said] == [fresh["answer"]] * 2
    assert cli.json("store", "verify")["damaged"] == 0
    again = cli.json("ask", film, QUESTION, "--model", model, "--frames", "30")
    assert again["files"][0]["kept_frames"] == 30 and again["answer"] == fresh["answer"]
    assert not list(own_store.rglob("*.tmp"))


KILLED = """
import os, signal, sys
from longtake.cli import main
from longtake.store import files

def half(file, parts):
    file.write(bytes(parts[0]))
    file.write(bytes(parts[1])[:100])
    os.kill(os.getpid(), signal.SIGKILL)

files._write_whole = half
main(sys.argv[1:])
"""


def test_a_process_that_is_killed_while_it_writes_spoils_nothing(
    cli: Cli, film: Path, model: str, own_store: Path
) -> None:
    looking = ("watch", str(film), "--model", model, "--frames", "8")
    killed = subprocess.run([sys.executable, "-c", KILLED, *looking], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(own_store.rglob("*.tmp"))) == 1 and not kept_files(own_store)
    assert cli.json(*looking)["files"][0] | {"bytes": 0} == {
        "path": str(film),
        "frames": 8,
        "degraded": False,
        "came": 0,
        "damaged": 0,
        "bytes": 0,
        "folder": str(next(own_store.glob("features/*"))),
        "refused": None,
    }
    assert cli.json(*looking)["files"][0]["came"] == 8
    assert cli.json("store", "verify")["damaged"] == 0


def small_files() -> None:
    """As on a full disk: files end at a kilobyte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def test_on_a_full_disk_ask_answers_and_watch_refuses(film: Path, model: str, own_store: Path) -> None:
    looking = (film, "--model", model, "--frames", "8")
    answered = run("ask", film, QUESTION, *looking[1:], before=small_files)
    assert answered.returncode == 0 and "not kept: File too large" in answered.stderr
    refused = run("watch", *looking, before=small_files)
    assert refused.returncode == 7 and refused.stdout == "" and ONE_LINE.fullmatch(refused.stderr)
    assert refused.stderr.startswith("error[disk.write]: ") and "File too large" in refused.stderr
    assert not kept_files(own_store) and not list(own_store.rglob("*.tmp"))


def test_store_commands(cli: Cli, film: Path, model: str, own_store: Path) -> None:
    assert cli("store", "list") == (0, f"nothing is kept in {own_store}\n", "")
    assert cli.json("store", "size")["bytes"] == 0
    cli.json("watch", film, "--model", model, "--frames", "8", "--keep-prefix")
    told = cli.json("watch", film, "--model", model, "--frames", "8", "--keep-prefix")
    assert (told["files"][0]["refused"], told["prefix"]["refused"]) == (None, None)
    listed = cli.json("store", "list")
    template = listed["entries"][1]["about"]["template"]
    assert (template["name"], type(template["opening"])) == (None, list)  # tiny's is not among those that are named
    assert [(one["kind"], one["label"], one["records"]) for one in listed["entries"]] == [
        ("features", "film.mp4", 8),
        ("prefixes", "film.mp4", 1),
    ]
    assert listed["entries"][0]["about"]["reading"]["on_corrupt"] == "error"
    assert cli("watch", film, "--model", model, "--frames", "1", "--quiet")[1].startswith(f"{film}: 1 frame, 1 of them")
    status, out, _ = cli("store", "list")
    assert status == 0 and out.splitlines()[0].split() == ["kept", "records", "size", "last", "used", "of"]
    size = cli.json("store", "size")
    assert size["bytes"] == sum(path.stat().st_size for path in own_store.glob("*/*/*")) > 0 < size["most_bytes"]
    assert cli("store", "verify")[1] == "9 records in 2 entries are whole\n"
    (path,) = kept_files(own_store)
    flip(path, from_end=7000)
    whole = path.read_bytes()
    status, out, err = cli("store", "verify")
    assert status == 8 and out == "features of film.mp4: 1 damaged, removed\n"
    assert ONE_LINE.fullmatch(err) and "1 of 9 records" in err
    assert path.exists() is False
    kept_files(own_store)[0].unlink()
    path.write_bytes(whole)
    status, out, err = cli("store", "verify", "--json")
    assert (status, err) == (8, "") and json.loads(out)["damaged"] == 1
    assert cli.json("store", "prune", "--older-than", "1h")["removed"] == []
    assert cli.json("store", "prune", "--to", "1TiB")["removed"] == []
    assert len(cli.json("store", "prune")["removed"]) == 2
    assert cli("store", "list")[1].startswith("nothing is kept")


def test_prune_goes_on_where_something_cannot_be_removed(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for number in range(3):
        Store(folder, 1 << 20).entry("features", {"of": number}, label=f"{number}.mp4").add({}, {}, records=1)
    first = folder / "features"
    oldest, *others = (one.path for one in Store(folder).held())
    for place in (first, *others):
        place.chmod(0o777)
    for more, expected in (((), 2), (("--json",), 0)):
        with locked(oldest), unprivileged(tmp_path):
            status, out, err = cli("store", "prune", "--store", folder, *more)
        assert status == 8 and [one.path for one in Store(folder).held()] == [oldest]
        if more:
            found = json.loads(out)
            assert (err, len(found["removed"]), [one["key"] for one in found["left"]]) == ("", expected, [oldest.name])
        else:
            assert out.startswith("2 entries removed, ") and f"could not be removed: {oldest}" in out
            assert ONE_LINE.fullmatch(err) and "partial.failed" in err and "1 entry could not be removed" in err


@pytest.mark.parametrize("command", ["list", "size", "verify", "prune"])
def test_a_store_that_is_named_must_be_there(cli: Cli, tmp_path: Path, own_store: Path, command: str) -> None:
    status, out, err = cli("store", command, "--store", tmp_path / "nowhere")
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err) and "there is no such folder" in err
    assert cli("store", command)[0] == 0, "the usual store may not have been begun"


@pytest.mark.parametrize(
    "wrong",
    [
        ("store", "prune", "--to", "much"),
        ("store", "prune", "--older-than", "yesterday"),
        ("ask", "FILM", QUESTION, "--store", "somewhere", "--no-store"),
    ],
)
def test_options_that_mean_nothing_are_refused(cli: Cli, film: Path, model: str, wrong: tuple[Any, ...]) -> None:
    given = [str(film) if word == "FILM" else word for word in wrong]
    status, out, err = cli(*given, *(("--model", model) if wrong[0] == "ask" else ()))
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err)


def test_an_empty_name_of_the_store_keeps_nothing(
    cli: Cli, film: Path, model: str, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_STORE", "")
    for _ in range(2):
        assert "read" in cli.json("ask", film, QUESTION, "--model", model, "--frames", "2")["seconds"]
    status, out, err = cli("watch", film, "--model", model)
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err) and "LONGTAKE_STORE" in err
    assert not own_store.exists()
