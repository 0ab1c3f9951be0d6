"""benchmarks: films of any length to measure with, and what is true of them. Knows nothing of who reads them.

    python benchmarks/film.py              # an hour with B-frames and an hour without: about 4 minutes, 2 GB
    python benchmarks/film.py --smoke      # 40 seconds of each

A film is made once and kept in --workdir: 80 s of Big Buck Bunny at 720p and 25 frames a second (the bundled clip,
panned, zoomed and cut) through x264, and those packets repeated to the full length; each repeat costs a decoder what
the first did. Ends with one line of JSON: {"figures", "targets", "ok"}; it has no targets.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BUNNY = Path(__file__).resolve().parents[1] / "tests" / "media" / "bigbuckbunny_720p_5s.mp4"
WIDTH, HEIGHT, FPS = 1280, 720, 25
BT709, LIMITED = 1, 1
CODINGS = {"b_frames": {}, "no_b_frames": {"bf": "0"}, "small": {"crf": "34"}}
"""x264's defaults (3 B-frames, of which some are references); the same without B-frames; the first at few bytes."""
WORKDIR = Path(tempfile.gettempdir()) / "longtake-benchmarks"


@dataclass(frozen=True)
class Film:
    """One film: `unique_s` seconds, `repeats` times, coded as CODINGS[coding] says."""

    coding: str
    unique_s: int
    repeats: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.unique_s * self.repeats

    def file(self, folder: Path) -> Path:
        """Its file in `folder`, made if it is not there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"film_{self.coding}_{self.unique_s}s_x{self.repeats}.mp4"
        if not path.exists():
            print(f"making {path} ...", flush=True)
            unfinished = path.with_suffix(".part.mp4")
            self._write(unfinished)
            unfinished.rename(path)
        return path

    def _write(self, path: Path) -> None:
        """Encode the unique part, then write its packets again and again, each time later."""
        count = self.unique_s * FPS
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options=CODINGS[self.coding])
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            codec = stream.codec_context
            codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc = BT709, LIMITED, BT709, BT709
            codec.time_base = Fraction(1, FPS)
            packets = []
            for number, picture in enumerate(pictures(count)):
                frame = av.VideoFrame.from_ndarray(picture)
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                frame.pts, frame.time_base = number, codec.time_base
                packets += stream.encode(frame)
            packets += stream.encode()
            for repeat in range(self.repeats):
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
                    copy.pts, copy.dts = packet.pts + repeat * count, packet.dts + repeat * count
                    container.mux(copy)


def pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Shots of 3 to 6 s: the clip forwards or backwards from anywhere, through a window that moves and zooms."""
    with av.open(str(BUNNY)) as container:
        clip = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    choose = np.random.default_rng(720)
    made = 0
    while made < count:
        length = int(choose.integers(3 * FPS, 6 * FPS))
        start, step = int(choose.integers(len(clip))), int(choose.choice([-1, 1]))
        (zoom, left, top), (zoom_to, left_to, top_to) = choose.uniform((0.5, 0, 0), (0.9, 1, 1), size=(2, 3))
        mirror = int(choose.choice([-1, 1]))
        for place in range(min(length, count - made)):
            done = place / length
            size = zoom + (zoom_to - zoom) * done
            x = (left + (left_to - left) * done) * (1 - size) * WIDTH
            y = (top + (top_to - top) * done) * (1 - size) * HEIGHT
            image = Image.fromarray(clip[(start + step * place) % len(clip)][:, ::mirror])
            box = (x, y, x + size * WIDTH, y + size * HEIGHT)
            yield np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box))
        made += min(length, count - made)


def main() -> int:
    """Make the films of the full run, or short ones; print what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="40 seconds each")
    parser.add_argument("--workdir", type=Path, default=WORKDIR, help="where films are kept (%(default)s)")
    asked = parser.parse_args()
    figures: dict[str, int] = {}
    for coding in ("b_frames", "no_b_frames"):
        made = Film(coding, 2, 20) if asked.smoke else Film(coding, 80, 45)
        size = made.file(asked.workdir).stat().st_size
        print(f"{coding:12} {made.seconds:6,} s {size / 1e6:8,.0f} MB")
        figures |= {f"{coding}_s": made.seconds, f"{coding}_bytes": size}
    print(json.dumps({"figures": figures, "targets": {}, "ok": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
