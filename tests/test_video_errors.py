"""What cannot be read is refused at the door: quickly, under its own code, with advice, and no other file is opened."""

from __future__ import annotations

import os
import re
import threading
import time
import wave
from pathlib import Path

import pytest
from PIL import Image

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from media import numbered
from media.numbered import Coding


def refusal(path: Path | str) -> LongtakeError:
    started = time.monotonic()
    with pytest.raises(LongtakeError) as caught:
        open_video(path)
    assert time.monotonic() - started < 1
    assert caught.value.subject == str(path)
    assert caught.value.reason and caught.value.advice
    assert "\n" not in str(caught.value)
    return caught.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.mp4").code is ErrorCode.MEDIA_NOT_FOUND
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "none.mp4")
    assert refusal(tmp_path / "dangling.mp4").code is ErrorCode.MEDIA_NOT_FOUND
    assert refusal(tmp_path / ("long" * 200)).code is ErrorCode.MEDIA_NOT_FOUND
    assert refusal(f"{tmp_path}/nul\0.mp4").code is ErrorCode.MEDIA_NOT_FOUND


def test_not_a_file(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path).reason
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "named pipe" in refusal(tmp_path / "pipe.mp4").reason
    assert "device" in refusal("/dev/zero").reason
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert "link" in refusal(tmp_path / "loop.mp4").reason
    for path in (tmp_path, tmp_path / "pipe.mp4", tmp_path / "loop.mp4", "/dev/null"):
        assert refusal(path).code is ErrorCode.MEDIA_NOT_A_FILE


def test_empty(tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "zero.mp4", b"")).code is ErrorCode.MEDIA_EMPTY


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (bytes(range(7, 250)) * 1000, "first bytes 07 08"),
        (b"\n<!DOCTYPE html><html><body>404 not found</body></html>", "HTML"),
        (b"hello, this is no video\n" * 9, "text that begins 'hello, this is no video"),
        ("h\u00e9llo ".encode() * 3000, "text that begins"),
        (b'{"error": "no such video"}', "JSON"),
        (b"%PDF-1.7 ...." * 30, "PDF"),
        (b"PK\x03\x04" + bytes(500), "ZIP"),
        (bytes(5000), "zero bytes"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n", "text"),
        (b"\0", "zero bytes"),
    ],
)
def test_no_video_at_all_says_what_the_bytes_look_like(tmp_path: Path, data: bytes, looks: str) -> None:
    error = refusal(written(tmp_path / "not.mp4", data))
    assert error.code is ErrorCode.MEDIA_UNKNOWN_FORMAT
    assert looks in error.reason


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{victim}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{victim}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
    "pls": "[playlist]\nFile1={victim}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_open_no_other_file(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim.mp4"
    os.mkfifo(victim)
    opened = threading.Event()

    def wait_for_a_reader() -> None:
        with victim.open("wb"):
            opened.set()

    threading.Thread(target=wait_for_a_reader, daemon=True).start()
    text = PLAYLISTS[kind].format(victim=victim)
    error = refusal(written(tmp_path / "list.mp4", text.encode()))
    assert error.code is ErrorCode.MEDIA_FORMAT_NOT_ALLOWED
    assert not opened.wait(0.05), "something opened the file that the playlist names"
    os.close(os.open(victim, os.O_RDONLY | os.O_NONBLOCK))  # let the thread end
    assert opened.wait(5)


def test_audio_only(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16_000))
    error = refusal(tmp_path / "sound.mp4")
    assert error.code is ErrorCode.MEDIA_NO_VIDEO
    assert "0 audio" in error.reason


def test_without_moov_the_file_is_cut_off_or_still_being_written(bunny: Path, tmp_path: Path) -> None:
    data = bunny.read_bytes()
    error = refusal(written(tmp_path / "copying.mp4", data[: len(data) * 6 // 10]))
    assert error.code is ErrorCode.MEDIA_CONTAINER
    assert "cut off or still being written" in error.reason


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("front.mp4", {"movflags": "faststart"}),
        ("fragments.mp4", {"movflags": "frag_keyframe"}),
        ("m.mkv", {}),
        ("a.avi", {}),
    ],
)
def test_cut_off_after_the_index_names_the_last_good_time(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    whole = numbered.write(tmp_path / f"whole.{name}", Coding(options={"g": "10"}, container_options=options))
    assert len(open_video(whole).times_s) == 60
    data = whole.read_bytes()
    error = refusal(written(tmp_path / name, data[: len(data) * 6 // 10]))
    assert error.code is ErrorCode.MEDIA_TRUNCATED
    last = re.search(r"its last whole frame is at 0:00:0(\d(\.\d+)?)$", error.reason)
    assert last is not None and 1 < float(last[1]) < 2.36, "the last frame of the whole file is at 2.36 s"


def test_damaged_index(tmp_path: Path) -> None:
    data = bytearray(numbered.write(tmp_path / "whole.mp4", frames=10).read_bytes())
    start = data.index(b"moov")
    data[start + 4 : start + 40] = b"\xff" * 36
    error = refusal(written(tmp_path / "bad.mp4", bytes(data)))
    assert error.code is ErrorCode.MEDIA_CONTAINER


def test_unknown_codec(tmp_path: Path) -> None:
    data = numbered.write(tmp_path / "whole.mp4", frames=3).read_bytes()
    error = refusal(written(tmp_path / "odd.mp4", data.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC")))
    assert error.code is ErrorCode.MEDIA_CODEC
    assert "ffmpeg -i" in error.advice


def test_encrypted(tmp_path: Path) -> None:
    cenc = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16, "encryption_kid": "a7" * 16}
    error = refusal(numbered.write(tmp_path / "drm.mp4", Coding(container_options=cenc), frames=5))
    assert error.code is ErrorCode.MEDIA_CODEC
    assert "encrypted" in error.reason


def test_animated_webp(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered.draw(number)) for number in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    assert refusal(tmp_path / "a.webp").code is ErrorCode.MEDIA_CODEC
