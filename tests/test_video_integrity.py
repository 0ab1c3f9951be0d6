"""Containers with damage that FFmpeg passes over: no frame is lost in silence, none is wrong, no sound file refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from longtake.video.options import AS_IS, ReadOptions
from longtake.video.structure.integrity import container_breaks
from longtake.video.video_file import VideoFile
from media import corpus, numbered
from media.numbered import Coding

FRAMES = 60
SKIP = ReadOptions(on_corrupt="skip")
_H264 = {"g": "20", "bf": "2", "sc_threshold": "0", "preset": "veryfast", "threads": "1"}
_VP8 = {"deadline": "realtime", "cpu-used": "8", "g": "20", "threads": "1", "auto-alt-ref": "0"}


@dataclass(frozen=True)
class Kind:
    """One way to write a file: what video, in which container, with what beside it."""

    suffix: str
    codec: str = "libx264"
    sound: str = ""
    options: dict[str, str] = field(default_factory=dict)
    attached: bool = False

    def coding(self) -> Coding:
        coding = {"libx264": _H264, "libvpx": _VP8, "mjpeg": {"qmin": "2", "qmax": "4"}}.get(self.codec, {"g": "20"})
        pixels = "yuvj420p" if self.codec == "mjpeg" else "yuv420p"
        return Coding(codec=self.codec, options={**coding, "threads": "1"}, pixel_format=pixels, ticks_per_s=25)


SOUND = {
    "plain.mkv": Kind("mkv"),
    "many_clusters.mkv": Kind("mkv", sound="aac", options={"cluster_time_limit": "300"}),
    "one_cluster.mkv": Kind("mkv", options={"cluster_time_limit": "90000"}),
    "no_checksums.mkv": Kind("mkv", sound="libopus", options={"write_crc32": "0", "cluster_time_limit": "500"}),
    "front.mkv": Kind("mkv", sound="aac", options={"cues_to_front": "1", "reserve_index_space": "3000"}),
    "live.mkv": Kind("mkv", sound="aac", options={"live": "1", "cluster_time_limit": "500"}),
    "attached.mkv": Kind("mkv", sound="flac", attached=True),
    "plain.webm": Kind("webm", codec="libvpx", sound="libopus", options={"cluster_time_limit": "500"}),
    "dash.webm": Kind("webm", codec="libvpx", options={"dash": "1", "cluster_time_limit": "400"}),
    "live.webm": Kind("webm", codec="libvpx", sound="libopus", options={"live": "1"}),
    "plain.ogg": Kind("ogg", codec="libvpx"),
    "sound.ogg": Kind("ogg", codec="libvpx", sound="libopus"),
    "long_pages.ogg": Kind("ogg", codec="libvpx", sound="libopus", options={"page_duration": "900000"}),
    "plain.avi": Kind("avi", codec="mpeg4"),
    "sound.avi": Kind("avi", codec="mjpeg", sound="libmp3lame"),
    "pcm.avi": Kind("avi", codec="mpeg4", sound="pcm_s16le", options={"write_channel_mask": "0"}),
    "reserved.avi": Kind("avi", codec="mpeg4", sound="libmp3lame", options={"reserve_index_space": "4000"}),
    "plain.flv": Kind("flv", sound="aac"),
    "indexed.flv": Kind("flv", options={"flvflags": "add_keyframe_index"}),
    "no_end.flv": Kind("flv", codec="flv", options={"flvflags": "no_sequence_end+no_duration_filesize+no_metadata"}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Written when they are first asked for."""
    folder = tmp_path_factory.mktemp("sound")

    def file(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write(path, SOUND[name])

    return file


def write(path: Path, kind: Kind) -> Path:
    """A video that shows 0, 1, 2, ... at 25 frames a second, with noise to hear if the kind has sound."""
    first = numbered.write(path.with_name(f"first_{path.name}.nut"), kind.coding(), frames=FRAMES)
    sound = _sound(kind) if kind.sound else []
    with av.open(str(first)) as old, av.open(str(path), "w", options=kind.options) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        beside = new.add_stream(kind.sound, rate=48_000 if path.suffix != ".flv" else 44_100) if kind.sound else None
        if kind.attached:
            new.add_attachment("note.txt", "text/plain", b"\x1f\x43\xb6\x75 is how a cluster begins" * 40)
        copy.time_base = Fraction(1, 25)
        packets = [packet for packet in old.demux(stream) if packet.size]
        for packet in packets:
            packet.stream = copy
        if beside is not None:
            packets += [packet for frame in [*sound, None] for packet in beside.encode(frame)]
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * (one.time_base or 1)):
            new.mux(packet)
    first.unlink()
    return path


def _sound(kind: Kind) -> list[av.AudioFrame]:
    rate = 48_000 if kind.suffix != "flv" else 44_100
    planar = kind.sound in ("aac", "libmp3lame")
    noise = np.random.default_rng(3)
    frames = []
    for place in range(rate * FRAMES // 25 // 960):
        samples = noise.integers(-3000, 3000, 1920).astype(np.int16)
        if planar:
            samples = (samples / 32768).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            samples.reshape((2, 960) if planar else (1, 1920)), format="fltp" if planar else "s16", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, place * 960, Fraction(1, rate)
        frames.append(frame)
    return frames


def shown(video: VideoFile) -> dict[int, float]:
    """Each number that is read, and when by the file's own clock; -1 and less for pictures that are none."""
    found: dict[int, float] = {}
    for some in video.read(range(len(video.times_s)), chunk=16):
        for image_HWC, time_s in zip(some.pixels_TCHW.transpose(0, 2, 3, 1), some.times_s, strict=True):
            try:
                number = numbered.read(image_HWC)
            except ValueError:
                number = -1 - len(found)
            assert number not in found, f"{number} is shown twice"
            found[number] = float(time_s) + video.table.offset_s
    return found


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_are_read_whole(files: Callable[[str], Path], name: str) -> None:
    path = files(name)
    assert [broken for broken in container_breaks(str(path), AS_IS) if broken.kind != "open"] == []
    assert sorted(shown(open_video(path))) == list(range(FRAMES))


@pytest.mark.parametrize("sound", corpus.SOUND, ids=lambda sound: sound.name)
def test_nothing_is_broken_in_the_corpus(tmp_path: Path, sound: corpus.Sound) -> None:
    written = corpus.write(sound, tmp_path, frames=30, width=96, height=80)
    assert container_breaks(str(written.path), AS_IS) == []


def test_nothing_is_broken_in_media_of_others(shared: Path) -> None:
    for path in (shared / "media").iterdir():
        assert container_breaks(str(path), AS_IS) == [], path


MARKS = {
    ".mkv": (b"\xa3", range(3)),
    ".webm": (b"\xa3", range(3)),
    ".ogg": (b"OggS", range(27)),
    ".avi": (b"00dc", range(8)),
    ".flv": (b"\x09\0", range(4)),
}
"""How the parts of containers begin, and which bytes from there on say what each is and how long."""


def damaged(data: bytes, suffix: str, seed: int) -> bytes:
    """The file with one wound behind its first fifth: zeros over parts, bits of lengths changed, bytes lost or added.

    Wounds inside a picture alone are the decoder's to find, and a changed time nobody's.
    """
    dice = random.Random(seed)
    at = dice.randrange(len(data) // 5, len(data) * 19 // 20)
    count = dice.choice((1, 3, 40, 700, 5000))
    mark, telling = MARKS[suffix]
    start = max(data.find(mark, at), 0) or data.rfind(mark)
    match seed % 4:
        case 0:
            return data[:start] + bytes(min(count + 8, len(data) - start)) + data[start + count + 8 :]
        case 1:
            return data[:at] + data[at + count :]
        case 2:
            return data[:at] + dice.randbytes(count) + data[at:]
        case _:
            place = start + dice.choice(telling)
            return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def unexplained(path: Path, clock: dict[int, float]) -> list[str]:
    """What is wrong with how a damaged file is read to skip damage; nothing if it is refused."""
    try:
        video = open_video(path, options=SKIP)
        found = shown(video)
    except LongtakeError:
        return []
    wrong = [f"{number} at {at_s:.3f}" for number, at_s in found.items() if abs(clock.get(number, -9) - at_s) > 0.002]
    in_table = {round(float(time_s) + video.table.offset_s, 2) for time_s in video.times_s}
    for number in set(clock) - set(found):
        at_s = clock[number]
        spans = [(low + video.table.offset_s, high) for low, high in video.lost_s]
        told = any(low - 0.003 <= at_s and (high is None or at_s < high + video.table.offset_s) for low, high in spans)
        if not told and round(at_s, 2) not in in_table:
            wrong.append(f"{number} is missing; told: {video.lost_s}")
    return wrong


@pytest.mark.parametrize(
    "name", ["no_checksums.mkv", "many_clusters.mkv", "plain.webm", "sound.ogg", "sound.avi", "plain.flv"]
)
def test_whatever_is_damaged_nothing_is_lost_in_silence(
    files: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    clock = shown(open_video(files(name)))
    data, path = files(name).read_bytes(), tmp_path / name
    troubles = {}
    for seed in range(50):
        path.write_bytes(damaged(data, path.suffix, seed))
        if trouble := unexplained(path, clock):
            troubles[seed] = trouble[:2]
    assert troubles == {}


def _list(kind: bytes, content: bytes, head: bytes = b"LIST") -> bytes:
    return head + (len(content) + 4).to_bytes(4, "little") + kind + content


def test_avi_in_several_parts_with_records_is_sound(files: Callable[[str], Path], tmp_path: Path) -> None:
    chunk = b"00dc" + (5).to_bytes(4, "little") + b"12345\0"
    records = _list(b"rec ", chunk * 3) * 2 + chunk + b"ix00" + bytes(4)
    path = tmp_path / "parts.avi"
    path.write_bytes(files("plain.avi").read_bytes() + _list(b"AVIX", _list(b"movi", records), b"RIFF") * 2)
    assert container_breaks(str(path), AS_IS) == []


def test_the_refusal_says_where_and_what_may_be_missing(files: Callable[[str], Path], tmp_path: Path) -> None:
    data, path = files("no_checksums.mkv").read_bytes(), tmp_path / "hole.mkv"
    block = re.compile(rb"\xa3[\x40-\x7f].\x81", re.DOTALL).search(data, len(data) // 2)
    assert block
    start = block.start()
    path.write_bytes(data[:start] + bytes(40) + data[start + 40 :])
    with pytest.raises(
        LongtakeError, match=r"damaged at byte [\d,]+: frames between 0:00:0\d[.\d]* and 0:00:0"
    ) as error:
        open_video(path)
    assert error.value.code is ErrorCode.MEDIA_CORRUPT


@pytest.mark.parametrize("name", ["plain.flv", "plain.ogg", "live.mkv"])
def test_an_end_inside_a_part_is_told_as_cut_off(files: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    data, path = files(name).read_bytes(), tmp_path / name
    mark = {"flv": b"\x09\0", "ogg": b"OggS", "mkv": b"\xa3"}[name[-3:]]
    path.write_bytes(data[: data.index(mark, len(data) * 2 // 3) + 40])
    with pytest.raises(LongtakeError) as error:
        open_video(path)
    assert error.value.code is ErrorCode.MEDIA_TRUNCATED
    video = open_video(path, options=SKIP)
    assert video.lost_s and len(video.times_s) < FRAMES
    assert sorted(shown(video)) == list(range(len(video.times_s)))


def test_an_ogg_without_its_last_page_is_read_with_a_note(files: Callable[[str], Path], tmp_path: Path) -> None:
    data, path = files("plain.ogg").read_bytes(), tmp_path / "live.ogg"
    path.write_bytes(data[: data.rindex(b"OggS")])
    assert any("nothing marks its end" in note for note in open_video(path).notes)
