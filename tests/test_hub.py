"""Checkpoints from the hub: a real server plays it, real processes ask it; the real one is never asked."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny
from hub import COMMIT, TORN, Hub, Refusal, served
from longtake.checkpoint import folder_of
from ports import free_port
from running import LONGTAKE, ONE_LINE

HERE = Path(__file__).parent
TOUCH = "touch {path}"


class Payload:
    """Unpickled, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.command = TOUCH.format(path=path)

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@dataclass(frozen=True)
class Machine:
    """A machine that has only this hub.

    Attributes:
        home: where downloads are kept.
        work: the working directory.
    """

    hub: Hub
    home: Path
    work: Path

    def run(
        self, *command: str, room: Callable[[], None] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        return subprocess.run(
            command, env={**inherited, **own, **environment}, cwd=self.work, preexec_fn=room, text=True,
            capture_output=True, timeout=120,
        )  # fmt: skip

    def find(self, *names: str, room: Callable[[], None] | None = None, **environment: str) -> list[str]:
        """The folder of each name, or its refusal."""
        done = self.run(sys.executable, str(HERE / "finding.py"), *names, room=room, **environment)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert all("\n" not in line for line in told)
        return [str(line) for line in told]

    def snapshot(self, name: str) -> Path:
        return self.home / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    model = tiny.checkpoint(tmp_path / "model")
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    (model / "modeling_x.py").write_text(f"import os\nos.system({TOUCH.format(path=tmp_path / 'ran')!r})\n")
    (model / "README.md").write_text("# A model\n")
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    with served(Hub({"lab/tiny": model})) as hub:
        yield Machine(hub, tmp_path / "home", tmp_path / "work")


def test_a_model_of_the_hub_is_fetched_once_and_stays(machine: Machine, tmp_path: Path) -> None:
    assert machine.find("local:lab/tiny") == [
        "error[model.not_found]: lab/tiny: is no folder here, and is not wholly downloaded "
        "(fetch it with `hf download lab/tiny`)"
    ]
    assert machine.hub.asked == []
    snapshot = machine.snapshot("lab/tiny")
    assert machine.find("lab/tiny") == [str(snapshot)]
    assert {path.name for path in snapshot.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    fetched = [asked for asked in machine.hub.asked if asked.startswith("GET /lab/")]
    assert len(fetched) == 3
    assert machine.find("lab/tiny", "local:lab/tiny") == [str(snapshot)] * 2
    assert fetched == [asked for asked in machine.hub.asked if asked.startswith("GET /lab/")]
    asked = len(machine.hub.asked)
    assert machine.find("lab/tiny", HF_HUB_OFFLINE="1") == [str(snapshot)]
    assert len(machine.hub.asked) == asked
    assert machine.find("lab/tiny", HF_ENDPOINT=f"http://127.0.0.1:{free_port()}") == [str(snapshot)]


def test_a_fetched_model_answers(machine: Machine, bunny: Path, tmp_path: Path) -> None:
    """The whole way, and nothing that lay beside the weights has run."""
    done = machine.run(*LONGTAKE, "ask", str(bunny), "what is red?", "-m", "lab/tiny", "-n", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_each_refusal_of_the_hub_is_one_line(machine: Machine) -> None:
    hub = machine.hub
    hub.models |= dict.fromkeys(("lab/gated", "lab/torn"), hub.models["lab/tiny"])
    hub.refused = {
        "lab/private": Refusal(401, "RepoNotFound"),
        "lab/bad-token": Refusal(401),
        "lab/gated": Refusal(403, "GatedRepo", files_only=True),
        "lab/forbidden": Refusal(403),
        "lab/down": Refusal(500),
        "lab/torn": TORN,
    }
    none, private, gated, token, forbidden, down, torn = machine.find(
        "lab/none", *(f"lab/{kind}" for kind in ("private", "gated", "bad-token", "forbidden", "down", "torn"))
    )
    assert none == private.replace("lab/private", "lab/none")
    assert none.startswith("error[model.not_found]: lab/none: is no folder here, and the hub has no such model")
    assert none.endswith("(check the name; if it is private, log in with `hf auth login`)")
    assert gated == (
        "error[model.not_found]: lab/gated: its owners ask who reads it "
        "(ask for access on its page at the hub, then log in with `hf auth login`)"
    )
    for name, status, told in (("bad-token", 401, token), ("forbidden", 403, forbidden)):
        reason = f"is no folder here, and the hub refuses it with status {status}"
        assert told.startswith(
            f"error[model.not_found]: lab/{name}: {reason} (check the name; if it is private, log in"
        )
    assert down.startswith("error[network.unreachable]: lab/down: ") and "the hub answers with status 500" in down
    assert torn.startswith("error[network.unreachable]: lab/torn: is no folder here, and could not be fetched whole: ")


def test_without_a_network(machine: Machine) -> None:
    off, nobody = machine.find("lab/tiny", HF_HUB_OFFLINE="1") + machine.find(
        "lab/tiny", HF_ENDPOINT=f"http://127.0.0.1:{free_port()}"
    )
    for told in (off, nobody):
        assert told.startswith(
            "error[network.unreachable]: lab/tiny: is no folder here, and could not be fetched whole"
        )
    assert "HF_HUB_OFFLINE" in off and "refused" in nobody
    assert machine.hub.asked == []


def test_a_download_that_was_cut_off_goes_on(machine: Machine) -> None:
    machine.hub.refused["lab/tiny"] = TORN
    first = machine.find("lab/tiny")
    del machine.hub.refused["lab/tiny"]
    assert "network.unreachable" in first[0] and machine.find("lab/tiny") == [str(machine.snapshot("lab/tiny"))]


def test_a_full_disk_and_one_that_may_not_be_written(machine: Machine) -> None:
    def room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    (machine.work / "file").write_text("")
    full = machine.find("lab/tiny", room=room)
    inside_a_file = machine.find("lab/tiny", HF_HOME=str(machine.work / "file"))
    assert full[0].startswith(
        "error[disk.write]: lab/tiny: could not be kept: File too large (make room, or set HF_HOME"
    )
    assert inside_a_file[0].startswith("error[disk.write]: lab/tiny: could not be kept: Not a directory (")


def test_names_that_never_reach_the_network(machine: Machine) -> None:
    names = (
        "nonsense",
        "a/b/c",
        "/no/where",
        "../up",
        "./lab/tiny",
        "lab/",
        "~/none",
        "",
        "a b/c",
        "l\u00e4b/tiny",
        ".a/b",
    )
    for name, told in zip(names, machine.find(*names), strict=True):
        assert told.startswith("error[model.not_found]: " + (f"{name}: " if name else ""))
        assert "take nano, the folder of a checkpoint, or a model of the hub" in told
    assert machine.hub.asked == []


def test_names_that_the_client_refuses(machine: Machine) -> None:
    assert all("model.not_found" in told for told in machine.find("lab/a--b", "lab/a..b", f"lab/{'x' * 100}"))
    assert machine.hub.asked == []


def test_a_folder_of_that_name_wins(machine: Machine) -> None:
    (machine.work / "lab" / "tiny").mkdir(parents=True)
    assert machine.find("lab/tiny") == ["lab/tiny"]
    assert machine.hub.asked == []


def test_what_a_checkpoint_names_lies_beside_it_or_on_the_hub(machine: Machine, tmp_path: Path) -> None:
    here = tmp_path / "checkpoints" / "LongVA"
    tower = tmp_path / "checkpoints" / "lab" / "tiny"
    here.mkdir(parents=True)
    (machine.work / "lab" / "tiny").mkdir(parents=True)
    # The working directory of whoever asks says nothing about what a checkpoint means.
    assert machine.find(f"lab/tiny@{here}") == [str(machine.snapshot("lab/tiny"))]
    tower.mkdir(parents=True)
    assert folder_of("lab/tiny", beside=here) == tower
    (here / "lab" / "tiny").mkdir(parents=True)
    assert folder_of("lab/tiny", beside=here) == here / "lab" / "tiny"
    assert folder_of(str(tower), beside=here) == tower


def test_the_command_line_tells_it_as_one_line(machine: Machine, bunny: Path) -> None:
    done = machine.run(*LONGTAKE, "ask", str(bunny), "what?", "-m", "lab/tiny", HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout) == (6, "")
    assert ONE_LINE.fullmatch(done.stderr)


def test_nothing_in_a_folder_is_run(machine: Machine, bunny: Path, tmp_path: Path) -> None:
    """A pickle instead of the weights, code that config.json points at, a chat template that would write a file."""
    ran, folder = tmp_path / "ran", machine.hub.models["lab/tiny"]
    config = json.loads((folder / "config.json").read_text())
    code = {"auto_map": {"AutoModel": "modeling_x.X", "AutoConfig": "modeling_x.X"}, "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps({**config, **code}))
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include 'modeling_x.py' %}"
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, **code}))
    ask = [*LONGTAKE, "ask", str(bunny), "what is red?", "-m", str(folder), "-n", "2", "--quiet"]
    assert machine.run(*ask).returncode == 0
    shutil.copy(folder / "pytorch_model.bin", folder / "model.safetensors")
    assert machine.run(*ask).returncode == 4
    (folder / "model.safetensors").unlink()
    refusal = machine.run(*ask)
    assert refusal.returncode == 4 and "pickled weights are never opened" in refusal.stderr
    assert not ran.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert ran.exists(), "the payload does run when it is unpickled"
