"""Decoding apart: the same frames and errors as here, and one clear error where the other process fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from longtake.demo import FILM
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.apart import DecodingProcess
from longtake.video.opening import open_video
from longtake.video.options import AS_IS, Guard, Limits, ReadOptions
from longtake.video.video_file import VideoFile
from media import numbered
from media.numbered import Coding

SKIP = ReadOptions(on_corrupt="skip")
POSIX = pytest.mark.skipif(os.name != "posix", reason="sends signals that only POSIX has")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a memory limit")
QUICK = Guard(deadline_s=2.0, memory_bytes=512 << 20)


class FaultyProcess(DecodingProcess):
    """Its worker is tests/faulty_worker.py."""

    module = "faulty_worker"


@pytest.fixture(scope="module")
def apart() -> Iterator[DecodingProcess]:
    with DecodingProcess() as process:
        yield process


@pytest.fixture(scope="module")
def faulty() -> Iterator[DecodingProcess]:
    with FaultyProcess(QUICK) as process:
        yield process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound and damaged files of every kind that is read in its own way."""
    folder = tmp_path_factory.mktemp("apart")
    h264 = Coding(options={"preset": "ultrafast", "g": "12", "bf": "2"})
    good = numbered.write(folder / "good.mp4", h264, frames=40)
    numbered.write(folder / "gaps.mkv", h264, times_ms=[0, 40, 2000, 2100, 9000, 9040])
    numbered.write(folder / "timeless.avi", Coding(codec="mpeg4", options={"bf": "2"}), frames=20)
    numbered.write(folder / "wide.mp4", replace(h264, sample_aspect=Fraction(2)), frames=10)
    numbered.write_gif(folder / "moving.gif", [100, 300, 50])
    turned = shutil.copy(good, folder / "turned.mp4")
    numbered.set_display_matrix(Path(turned), (0, 1, -1, 0))
    stream = numbered.write(folder / "stream.ts", h264, frames=40).read_bytes()
    (folder / "headless.ts").write_bytes(stream[188 * (len(stream) // 188 // 2) :])
    whole = numbered.write(folder / "faststart.mp4", replace(h264, container_options={"movflags": "faststart"}))
    (folder / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    noisy = bytearray(whole.read_bytes())
    start = len(noisy) // 2
    noisy[start : start + 3000] = np.random.default_rng(3).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    (folder / "noisy.mp4").write_bytes(noisy)
    (folder / "empty.mp4").touch()
    (folder / "page.mp4").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\ngood.mp4\n")
    (folder / "a folder").mkdir()
    shutil.copy(good, os.fsencode(folder) + b"/caf\xe9\n.mp4")
    return folder


Outcome = tuple[object, ...]


def told(error: LongtakeError) -> Outcome:
    return ("error", error.code, error.subject, error.reason, error.advice)


def outcome(opener: object, path: str, options: ReadOptions, *, stream: int | None = None) -> Outcome:
    """All that can be learnt of a file: facts, frames up to the first error, and that error."""
    try:
        video: VideoFile = opener(path, options=options, stream=stream)  # type: ignore[operator]
    except LongtakeError as error:
        return told(error)
    packets = video.table.packets
    facts = (
        video.path, video.stream, video.picture, video.header, video.state, video.lost_s, video.notes, video.duration_s,
        video.table.offset_s, video.table.notes, video.times_s.tolist(), video.numbers.tolist(),
        video.table.packet_N.tolist(), video.table.start_N.tolist(), packets.pts_P.tolist(), packets.key_P.tolist(),
        packets.clean_P.tolist(), packets.hidden_P.tolist(), video.times_s.dtype, packets.size_P.dtype,
    )  # fmt: skip
    came = []
    try:
        for frames in video.read(range(len(video.times_s)), chunk=1):
            came.append((int(frames.numbers[0]), float(frames.times_s[0]), frames.pixels_TCHW.tobytes()))
    except LongtakeError as error:
        return (*facts, *came, told(error))
    return (*facts, *came)


NAMES = [
    "good.mp4", "gaps.mkv", "timeless.avi", "wide.mp4", "moving.gif", "turned.mp4", "stream.ts", "headless.ts",
    "cut.mp4", "noisy.mp4", "empty.mp4", "page.mp4", "list.mp4", "a folder", "not there", "caf\udce9\n.mp4",
]  # fmt: skip


@pytest.mark.parametrize("options", [AS_IS, SKIP], ids=["error", "skip"])
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_apart_is_as_here(folder: Path, apart: DecodingProcess, name: str, options: ReadOptions) -> None:
    path = str(folder / name)
    assert outcome(apart.open_video, path, options) == outcome(open_video, path, options)


@pytest.mark.parametrize(
    "limits", [Limits(bytes=99), Limits(pixels=99), Limits(frames=9), Limits(duration_s=0.5)], ids=repr
)
def test_limits_are_told_as_here(folder: Path, apart: DecodingProcess, limits: Limits) -> None:
    path, options = str(folder / "good.mp4"), ReadOptions(limits=limits)
    here = outcome(open_video, path, options)
    assert outcome(apart.open_video, path, options) == here
    assert here[0] == "error" and str(here[1]).startswith("ErrorCode.LIMIT_")


def test_a_wrong_stream_and_a_stretch_are_as_here(folder: Path, apart: DecodingProcess) -> None:
    path = str(folder / "good.mp4")
    assert outcome(apart.open_video, path, AS_IS, stream=7) == outcome(open_video, path, AS_IS, stream=7)
    video = apart.open_video(path).stretch(0.5, 0.7)
    assert shown(video, video.numbers.tolist()) == video.numbers.tolist() == [12, 13, 14, 15, 16, 17]


def shown(video: VideoFile, numbers: Sequence[int]) -> list[int]:
    """What the frames show, which is asked of the pixels."""
    return [
        numbered.read(image.transpose(1, 2, 0))
        for frames in video.read(numbers, chunk=4)
        for image in frames.pixels_TCHW
    ]


def check_reads_right(process: DecodingProcess, folder: Path) -> None:
    video = process.open_video(folder / "good.mp4")
    assert shown(video, range(40)) == list(range(40))


def test_a_file_that_changes_between_opening_and_reading_is_refused(
    folder: Path, apart: DecodingProcess, tmp_path: Path
) -> None:
    path = Path(shutil.copy(folder / "good.mp4", tmp_path / "changing.mp4"))
    video = apart.open_video(path)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(LongtakeError) as caught:
        shown(video, [0])
    assert caught.value.code is ErrorCode.MEDIA_CONTAINER


def test_reads_of_two_videos_may_be_interleaved(folder: Path, apart: DecodingProcess) -> None:
    one, other = apart.open_video(folder / "good.mp4"), apart.open_video(folder / "stream.ts")
    pid = apart.pid
    readers = [
        video.read(numbers, chunk=1)
        for video, numbers in ((one, range(40)), (other, range(0, 40, 2)), (one, range(1, 40, 2)))
    ]
    turns: list[list[int]] = [[], [], []]
    for turn in range(20):
        for seen, reader in zip(turns, readers, strict=True):
            seen.append(numbered.read(next(reader).pixels_TCHW[0].transpose(1, 2, 0)))
        assert [seen[-1] for seen in turns] == [turn, 2 * turn, 2 * turn + 1]
    assert apart.pid == pid


def test_closing_early_leaves_the_process_as_it_is(folder: Path, apart: DecodingProcess) -> None:
    video = apart.open_video(folder / "good.mp4")
    pid = apart.pid
    for _ in range(20):
        reader = video.source.shown(video, range(40))
        next(reader)
        reader.close()
    check_reads_right(apart, folder)
    assert apart.pid == pid


def test_a_relative_path_means_what_it_means_here(
    folder: Path, apart: DecodingProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.start()
    numbered.write(tmp_path / "good.mp4", frames=3)
    monkeypatch.chdir(folder)
    assert len(apart.open_video("good.mp4").times_s) == 40
    monkeypatch.chdir(tmp_path)
    assert len(apart.open_video("good.mp4").times_s) == 3


def test_a_videos_process_may_be_closed_and_starts_anew(folder: Path) -> None:
    with DecodingProcess() as process:
        video = process.open_video(folder / "good.mp4")
        first = process.pid
        process.close()
        assert process.pid is None
        assert shown(video, [3, 17]) == [3, 17]
        assert process.pid not in (None, first)


# What goes wrong in the other process


def fault(folder: Path, name: str) -> Path:
    """A sound file whose name makes the faulty worker fail."""
    path = folder / f"{name}.mp4"
    if not path.exists():
        shutil.copy(folder / "good.mp4", path)
    return path


def failure(process: DecodingProcess, path: Path, options: ReadOptions = AS_IS) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        shown(process.open_video(path, options=options), range(40))
    return caught.value


WAYS = {
    "segfault": "died of SIGSEGV",
    "abort": "died of SIGABRT",
    "kill": "died of SIGKILL",
    "leave": "ended with status 3: codec: giving up",
    "sleep": "gave no sign of life for 2 s",
    "spin": "gave no sign of life for 2 s",
    "allocate": "wants more than 512 MiB of memory",
    "bad_alloc": "wants more than 512 MiB of memory",
}


@POSIX
@pytest.mark.parametrize("when", ["scan+1", "decode+1", "decode+20"])
@pytest.mark.parametrize("way", WAYS)
def test_a_fault_is_one_clear_error_and_the_next_file_is_read(
    folder: Path, faulty: DecodingProcess, way: str, when: str
) -> None:
    if way == "allocate" and sys.platform != "linux":
        pytest.skip("only Linux holds a process to a memory limit")
    path = fault(folder, f"{way}@{when}")
    error = failure(faulty, path)
    assert (error.code, error.subject) == (ErrorCode.MEDIA_DECODER_FAILED, str(path))
    assert WAYS[way] in error.reason
    check_reads_right(faulty, folder)


def test_skipping_damage_does_not_skip_faults(folder: Path, faulty: DecodingProcess) -> None:
    for way in ("leave", "sleep"):
        error = failure(faulty, fault(folder, f"{way}@decode+20"), SKIP)
        assert error.code is ErrorCode.MEDIA_DECODER_FAILED


def test_frames_before_the_fault_are_given(folder: Path, faulty: DecodingProcess) -> None:
    # The first packet is told of once more when the file is opened: its frame says how frames are shown.
    video = faulty.open_video(fault(folder, "leave@decode+30"))
    came = []
    with pytest.raises(LongtakeError):
        for frames in video.read(range(40), chunk=1):
            came += [numbered.read(image.transpose(1, 2, 0)) for image in frames.pixels_TCHW]
    assert came == list(range(len(came))) and 10 < len(came) < 30


def test_bytes_that_are_no_message_end_the_process(folder: Path, faulty: DecodingProcess) -> None:
    error = failure(faulty, fault(folder, "babble@decode+5"))
    assert error.code is ErrorCode.MEDIA_DECODER_FAILED and "no message" in error.reason
    check_reads_right(faulty, folder)


def test_a_mistake_in_the_other_process_is_told_as_one(folder: Path, faulty: DecodingProcess) -> None:
    error = failure(faulty, fault(folder, "blunder@decode+5"))
    assert error.code is ErrorCode.INTERNAL_BUG
    assert error.reason == "ZeroDivisionError: a mistake of the worker's own"
    check_reads_right(faulty, folder)


def test_a_hanging_read_that_nobody_wants_does_not_fail_the_next_file(folder: Path, faulty: DecodingProcess) -> None:
    video = faulty.open_video(fault(folder, "sleep@decode+20"))
    reader = video.source.shown(video, range(40))
    assert next(reader)[0] == 0
    reader.close()
    check_reads_right(faulty, folder)


def test_a_fault_ends_all_reads_under_way(folder: Path, faulty: DecodingProcess) -> None:
    good = faulty.open_video(folder / "good.mp4")
    reader = good.source.shown(good, range(40))
    assert next(reader)[0] == 0
    assert failure(faulty, fault(folder, "leave@scan+1")).code is ErrorCode.MEDIA_DECODER_FAILED
    with pytest.raises(LongtakeError) as caught:
        list(reader)
    assert (caught.value.code, caught.value.subject) == (ErrorCode.MEDIA_DECODER_FAILED, good.path)
    assert shown(good, [5, 6]) == [5, 6]


def test_slow_is_not_dead_and_progress_is_told(folder: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    options = ReadOptions(heard=lambda *told: heard.append(told))
    with FaultyProcess(Guard(deadline_s=1.5)) as process:
        video = process.open_video(fault(folder, "slow@decode+0"), options=options)
        assert shown(video, range(30)) == list(range(30))
    done = [done for stage, done, _ in heard if stage == "decode"]
    assert len(done) > 20 and done == sorted(done), "thirty packets took 3.6 s, longer than the deadline"


def test_an_error_of_whoever_hears_comes_up_and_the_process_stays(folder: Path) -> None:
    class Enough(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        raise Enough

    with FaultyProcess(Guard(deadline_s=20)) as process:
        process.start()
        path, pid = fault(folder, "slow@decode+0"), process.pid
        with pytest.raises(Enough):
            shown(process.open_video(path, options=ReadOptions(heard=stop)), range(40))
        check_reads_right(process, folder)
        assert process.pid == pid


@LINUX
@pytest.mark.parametrize("options", [AS_IS, SKIP], ids=["error", "skip"])
def test_frames_that_do_not_fit_are_told_as_memory_not_as_damage(tmp_path: Path, options: ReadOptions) -> None:
    coding = Coding(options={"preset": "ultrafast"}, width=3840, height=2160)
    path = numbered.write(tmp_path / "large.mp4", coding, frames=6)
    small = numbered.write(tmp_path / "small.mp4", frames=6)
    for mebibytes in (64, 128):
        with DecodingProcess(Guard(memory_bytes=mebibytes << 20)) as process:
            with pytest.raises(LongtakeError) as caught:
                shown(process.open_video(path, options=options), range(6))
            assert caught.value.code is ErrorCode.MEDIA_DECODER_FAILED
            assert f"wants more than {mebibytes} MiB" in caught.value.reason
            if mebibytes == 128:
                assert shown(process.open_video(small), range(6)) == list(range(6))
    with DecodingProcess() as process:
        assert len(shown(process.open_video(path, options=options), range(6))) == 6


# What happens to the process


def is_gone(pid: int, within_s: float = 20.0) -> bool:
    """Whether there is no such process, not even a zombie. The time only keeps a failing test from hanging."""
    for _ in range(int(within_s / 0.05)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def parent(folder: Path, name: str, *more: str, deadline_s: float = 30.0) -> subprocess.Popen[str]:
    """A process that starts a decoding one, says its number and then opens and reads a file."""
    code = "\n".join(
        [
            "from longtake.video.options import Guard",
            "from test_video_apart import FaultyProcess",
            f"process = FaultyProcess(Guard(deadline_s={deadline_s}))",
            f"video = process.open_video({str(folder / 'good.mp4')!r})",
            "print(process.pid, flush=True)",
            *more,
            f"video = process.open_video({str(fault(folder, name))!r})",
            "for frames in video.read(range(40)): pass",
        ]
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).resolve().parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


@POSIX
@pytest.mark.parametrize("way", ["sleep", "spin"])
def test_no_orphan_is_left_when_the_parent_is_killed(folder: Path, way: str) -> None:
    with parent(folder, f"{way}@decode+5", deadline_s=0.5) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.3)
        process.kill()
        process.communicate()
    assert is_gone(pid)


@POSIX
def test_ctrl_c_reaches_both_and_only_the_parent_speaks(folder: Path) -> None:
    with parent(folder, "sleep@decode+5") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")
    assert is_gone(pid)


@POSIX
def test_an_interpreter_that_ends_takes_the_process_with_it_in_silence(folder: Path) -> None:
    with parent(folder, "good", "raise SystemExit(7)") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        _, err = process.communicate()
    assert (process.returncode, err) == (7, "")
    assert is_gone(pid)


@POSIX
def test_no_zombie_is_left_by_closing_or_by_a_fault(folder: Path) -> None:
    with FaultyProcess(QUICK) as process:
        pids = []
        for way in ("kill", "sleep", "leave"):
            process.start()
            pids.append(process.pid)
            failure(process, fault(folder, f"{way}@decode+5"))
        process.start()
        pids.append(process.pid)
    assert len(set(pids)) == 4
    assert all(pid is not None and is_gone(pid) for pid in pids)


@POSIX
def test_a_process_object_that_nobody_holds_ends_its_process(folder: Path) -> None:
    process = DecodingProcess()
    process.start()
    pid = process.pid
    del process
    assert pid is not None and is_gone(pid)


def test_a_process_that_cannot_start_says_why(folder: Path) -> None:
    class Nowhere(DecodingProcess):
        module = "no_such_worker"

    with Nowhere() as process, pytest.raises(LongtakeError) as caught:
        process.open_video(folder / "good.mp4")
    assert caught.value.code is ErrorCode.MEDIA_DECODER_FAILED
    assert "ended with status 1: " in caught.value.reason and "no_such_worker" in caught.value.reason


def test_the_worker_imports_no_torch() -> None:
    code = "import sys, longtake.video.apart.worker; print('torch' in sys.modules, 'av' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]


def test_long_reads_in_several_lanes_are_the_same_apart() -> None:
    """Each lane says that it lives, while frames are sent: their messages must not run into one another."""
    numbers = [int(number) for number in np.linspace(0, 17_999, 128)]
    here = [some.pixels_TCHW for some in open_video(FILM).read(numbers, chunk=1)]
    with DecodingProcess() as process:
        video = process.open_video(FILM)
        for _ in range(3):
            apart = [some.pixels_TCHW for some in video.read(numbers, chunk=1)]
            assert all(np.array_equal(one, other) for one, other in zip(here, apart, strict=True))
