"""media/odd_good: files that look wrong but are not; each must be read right, with the notes that it deserves."""

from __future__ import annotations

from typing import Any

from .bad_bytes import edited, put
from .bad_case import FINE, Case, Maker, Promise, Truth, even
from .bad_large import gif, picture, png
from .bad_sources import solid, source
from .odd_bytes import (
    exif,
    turned,
)


def good(name: str, made: str, make: Maker, **truth: Any) -> Case:
    """A file that every command reads; 60 frames at 25 a second unless the truth says otherwise."""
    told = {**even(60), **truth}
    return Case(name, made, make, Promise(FINE, FINE, FINE), Truth(**told))


def still(name: str, made: str, make: Maker, **truth: Any) -> Case:
    """A picture that shows 7: a video of one frame."""
    told = {"times_s": (0.0,), "numbers": (7,), "notes": ("still picture",), **truth}
    return Case(name, made, make, Promise(FINE, FINE, FINE), Truth(**told))


def at_ms(times_ms: tuple[int, ...]) -> dict[str, Any]:
    """Times and numbers of a video that shows 0, 1, ... at these times."""
    return {"times_s": tuple(time / 1000 for time in times_ms), "numbers": tuple(range(len(times_ms)))}


_TURNS = {
    "90": ((0, 1, -1, 0), True), "180": ((-1, 0, 0, -1), False), "270": ((0, -1, 1, 0), True),
    "mirror": ((-1, 0, 0, 1), False), "flip": ((1, 0, 0, -1), False), "mirror_90": ((0, 1, 1, 0), True),
}  # fmt: skip

NAMES = [
    good(name, f"the source {origin} under this name", edited(origin), **extra)
    for name, origin, extra in (
        ("m05_video.txt", "plain.mp4", {}),
        ("m05_video.jpg", "plain.mp4", {}),
        ("m05_playlist.m3u8", "plain.mp4", {}),
        ("m05_none", "plain.mp4", {}),
        ("m05_mkv.mp4", "plain.mkv", {}),
        ("m05_ts.mp4", "plain.ts", {}),
        ("m05_avi.mkv", "mpeg4.avi", {}),
        ("m05_webm.avi", "vp9.webm", {}),
        ("m05_raw.mp4", "plain.h264", {"notes": ("no presentation times",)}),
        ("m05_flv.mp4", "plain.flv", {}),
        ("m26_caf\udce9_\udcff.mp4", "plain.mp4", {}),
        ("m26_two\nlines.mp4", "plain.mp4", {}),
        ("m26_\x1b[31mred\x07.mp4", "plain.mp4", {}),
        ("-m26_dash.mp4", "plain.mp4", {}),
        ("--json", "plain.mp4", {}),
        ("m26_" + "n" * 247 + ".mp4", "plain.mp4", {}),
        ("m26_\u202egnp.4pm.mp4", "plain.mp4", {}),
        ("m26_%03d.png", "plain.mp4", {}),
        ("m26_*?[a].mp4", "plain.mp4", {}),
        ("m26_ $(echo x);'\"`.mp4", "plain.mp4", {}),
        ("concat:m26|x.mp4", "plain.mp4", {}),
        ("http:m26.mp4", "plain.mp4", {}),
        (" ", "plain.mp4", {}),
    )
]

STILLS = [
    still("m07_still.png", "PNG", put(lambda: picture("PNG"))),
    still("m07_still.mp4", "PNG named .mp4", put(lambda: picture("PNG"))),
    still("m07_still.jpg", "JPEG", put(lambda: picture("JPEG", quality=95))),
    still("m07_progressive.jpg", "progressive JPEG", put(lambda: picture("JPEG", progressive=True))),
    still("m07_still.bmp", "BMP", put(lambda: picture("BMP"))),
    still("m07_still.tiff", "TIFF", put(lambda: picture("TIFF"))),
    still("m07_still.webp", "WebP, lossy", put(lambda: picture("WEBP", quality=95))),
    still("m07_lossless.webp", "WebP, lossless", put(lambda: picture("WEBP", lossless=True))),
    still("m07_still.gif", "GIF of one frame", put(lambda: picture("GIF"))),
    still(
        "m07_interlaced.png",
        "PNG of 8000 x 4000 pixels in 4 KB",
        put(lambda: png(8000, 4000)),
        numbers=None,
        width_px=8000,
        height_px=4000,
    ),
    still(
        "m10_exif.jpg",
        "JPEG whose EXIF says: a quarter turn",
        put(lambda: exif(6)),
        width_px=128,
        height_px=160,
        numbers=None,
    ),
    still(
        "m17_pixel.gif",
        "one pixel on a screen of 2000 x 2000",
        put(lambda: gif(2000, 2000)),
        numbers=None,
        width_px=2000,
        height_px=2000,
    ),
    still("m15_one.mp4", "one frame", put(lambda: source("plain.mp4", 1)), numbers=(0,)),
    still("m15_one.mkv", "one frame", put(lambda: source("plain.mkv", 1)), numbers=(0,)),
    still("m14_2x2.mp4", "2 x 2 pixels", put(lambda: solid("mp4", 2, 2)), numbers=None, width_px=2, height_px=2),
    still(
        "m14_1x1080.mkv",
        "1 x 1080 pixels",
        put(lambda: solid("mkv", 1, 1080)),
        numbers=None,
        width_px=1,
        height_px=1080,
    ),
    still("m14_1x1.png", "1 x 1 pixel", put(lambda: png(1, 1)), numbers=None, width_px=1, height_px=1),
    still(
        "m17_8k.mp4",
        "8192 x 4320 pixels, as many as are allowed",
        put(lambda: solid("mp4", 8192, 4320)),
        numbers=None,
        width_px=8192,
        height_px=4320,
    ),
]

SHOWN = [
    *(
        good(
            f"m10_{name}.mp4",
            f"display matrix {matrix}",
            put(lambda matrix=matrix: turned(matrix)),
            numbers=None,
            **({"width_px": 128, "height_px": 160} if swap else {}),
        )
        for name, (matrix, swap) in _TURNS.items()
    ),
    good("m11_wide.mp4", "pixels twice as wide as high", edited("wide_pixels.mp4"), width_px=320),
    good("m12_ten_bits.mp4", "ten bits", edited("ten.mp4")),
    good("m12_pq.mp4", "PQ (SMPTE ST 2084): tone-mapped", edited("pq.mp4"), numbers=None),
    good("m12_hlg.mkv", "HLG: tone-mapped", edited("hlg.mkv"), numbers=None),
    good("m13_woven.mp4", "interlaced", edited("woven.mp4"), notes=("interlaced",)),
    good("m14_321x241.mkv", "321 x 241 pixels", edited("odd_size.mkv"), width_px=321, height_px=241),
    good(
        "m32_black.mp4",
        "30 black frames",
        put(lambda: solid("mp4", 160, 128, frames=30)),
        **{**even(30), "numbers": None},
    ),
    good(
        "m32_frozen.mkv",
        "200 equal frames",
        put(lambda: solid("mkv", 160, 128, frames=200)),
        **{**even(200), "numbers": None},
    ),
]

ODD_PICTURES: list[Case] = [*NAMES, *STILLS, *SHOWN]
