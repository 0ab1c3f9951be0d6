"""doctor: this machine in; what is well, and what to do about the rest, out. Changes nothing, reaches no network."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement

from longtake.errors import LongtakeError

OLDEST_PYTHON = (3, 11)
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4")
"""What nearly every video in an archive is coded with."""

NEEDED_MEMORY_GIB = 1.5
"""What the demo is held to (benchmarks and docs/log.md tell what it takes)."""
NEEDED_DISK_GIB = 0.1
GIB = 2**30
ASSETS = Path(__file__).parents[1] / "assets"
REINSTALL = "install longtake again"
MEMINFO = Path("/proc/meminfo")
"""Linux tells here how much memory a new process can have without swapping."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at.
        well: whether longtake works with it.
        found: what is there.
        advice: what to do; empty where all is well.
    """

    subject: str
    well: bool
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, object]:
        """The finding as `--json` prints it."""
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Look at everything that longtake stands on, one finding after the other."""
    yield _python()
    yield from _packages()
    for look in (_torch, _decoders, _weights, _film, _memory, _disk):
        yield _guarded(look)


def _guarded(look: Callable[[], Finding]) -> Finding:
    """What `look` finds; that it cannot even look is a finding too."""
    try:
        return look()
    except (ImportError, OSError) as error:
        return Finding(look.__name__.strip("_"), False, str(error), REINSTALL)


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    wanted = ".".join(map(str, OLDEST_PYTHON))
    well = sys.version_info >= OLDEST_PYTHON
    return Finding("python", well, found, "" if well else f"install Python {wanted} or newer")


def _packages() -> Iterator[Finding]:
    """Every package that longtake's own metadata asks for, extras aside."""
    for line in importlib.metadata.requires("longtake") or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        advice = f"pip install '{wanted.name}{wanted.specifier}'"
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(wanted.name, False, "is not installed", advice)
            continue
        well = wanted.specifier.contains(version, prereleases=True)
        yield Finding(wanted.name, well, f"{version} (wanted: {wanted.specifier})", "" if well else advice)


def _torch() -> Finding:
    import torch

    cuda = [f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return Finding("devices", True, f"{', '.join(['cpu', *cuda, *mps])}; threads: {torch.get_num_threads()}")


def _decoders() -> Finding:
    import av

    missing = []
    for name in DECODERS:
        try:
            av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:
            missing.append(name)
    if missing:
        return Finding("decoders", False, f"without {', '.join(missing)}", "pip install --force-reinstall av")
    return Finding("decoders", True, ", ".join(DECODERS))


def _weights() -> Finding:
    from safetensors import SafetensorError, safe_open

    path = ASSETS / "nano" / "model.safetensors"
    try:
        with safe_open(path, framework="numpy") as tensors:
            count = len(tensors.keys())
    except (OSError, SafetensorError) as error:
        return Finding("weights of nano", False, str(error), REINSTALL)
    return Finding("weights of nano", True, f"{count} tensors, {path.stat().st_size:,} bytes")


def _film() -> Finding:
    from longtake.video.opening import open_video

    try:
        video = open_video(ASSETS / "demo" / "hour.mp4")
    except LongtakeError as error:
        return Finding("demo film", False, error.reason, REINSTALL)
    return Finding("demo film", True, f"{len(video.times_s):,} frames, {video.duration_s:,.0f} s")


def _memory() -> Finding:
    if not MEMINFO.exists():
        return Finding("free memory", True, "this system does not tell")
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    free_gib = int(lines["MemAvailable"].split()[0]) * 1024 / GIB
    well = free_gib >= NEEDED_MEMORY_GIB
    return Finding("free memory", well, f"{free_gib:.1f} GiB", "" if well else f"free {NEEDED_MEMORY_GIB} GiB")


def _disk() -> Finding:
    free_gib = shutil.disk_usage(Path.cwd()).free / GIB
    well = free_gib >= NEEDED_DISK_GIB
    return Finding("free disk here", well, f"{free_gib:.1f} GiB", "" if well else f"free {NEEDED_DISK_GIB} GiB")
