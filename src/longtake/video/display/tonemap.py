"""video/display/tonemap: 16-bit R'G'B' of a wide or bright colour space in, 8-bit BT.709 out. Knows no frames.

    code --table--> light --(3x3 matrix)--> light of BT.709 primaries --table--> 0 to 255
           |
           PQ:    ITU-R BT.2100 EOTF, then the BT.2390 knee for each of R, G and B
           HLG:   BT.2100 inverse OETF and OOTF for a screen of 1,000 cd/m2, then the same knee
           other: BT.1886

Light is relative to a white of 203 cd/m2, the reference white of ITU-R BT.2408. Result and source have the same light
wherever the knee does not bend: up to 87 cd/m2 for a source of 1,000. The last step is the inverse of BT.1886 (exponent
2.4, black at 0), since that is how a screen shows the standard video beside it. Colours outside BT.709 are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WHITE_CD_M2 = 203.0
"""ITU-R BT.2408, 2.1: reference white of HDR; here also the white of the result."""

USUAL_PEAK_CD_M2 = 1000.0
"""Taken where a file does not say how bright its master is; the nominal peak of HLG (BT.2100, note 5f)."""

PQ_PEAK_CD_M2 = 10_000.0

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
"""ITU-R BT.2100, table 4."""

_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
"""ITU-R BT.2100, table 5; the gamma is that of a screen of 1,000 cd/m2."""

_SDR_GAMMA = 2.4
"""ITU-R BT.1886, annex 1, with a black of 0."""

_D65 = (0.3127, 0.3290)
_XY = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "display-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Chromaticities of red, green and blue: ITU-R BT.709, BT.2020 and SMPTE EG 432-1; the white of all is D65."""

WIDE_PRIMARIES = frozenset(_XY) - {"bt709"}

_CODES = 1 << 16
_BAND_PX = 1 << 16
"""So much is worked on at a time: its light stays in the cache, and a large frame costs no large memory."""


@dataclass(frozen=True)
class Rendering:
    """How codes become light, and whose light.

    Attributes:
        transfer: what a code stands for; "bt1886" for everything that is not HDR.
        primaries: "bt709", "bt2020" or "display-p3".
        peak_cd_m2: the brightest that the source shows; of no meaning to "bt1886".
        black_code, white_code: the 16-bit codes of a signal of 0 and of 1.
    """

    transfer: Literal["pq", "hlg", "bt1886"]
    primaries: str
    peak_cd_m2: float
    black_code: int
    white_code: int

    @property
    def key(self) -> tuple[str, float, int, int]:
        """All that the table of `_light_of_codes` depends on."""
        return self.transfer, self.peak_cd_m2, self.black_code, self.white_code


def pq_to_cd_m2(signal: Floats) -> Floats:
    """The light of a PQ signal of 0 to 1: the EOTF of ITU-R BT.2100, table 4."""
    root = signal ** (1 / _M2)
    return np.asarray(PQ_PEAK_CD_M2 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1))


def cd_m2_to_pq(light_cd_m2: Floats) -> Floats:
    """The PQ signal of so much light: the inverse EOTF of ITU-R BT.2100, table 4."""
    power = (light_cd_m2 / PQ_PEAK_CD_M2) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def bt2390(light_cd_m2: Floats, peak_cd_m2: float) -> Floats:
    """Light of a source as bright as `peak_cd_m2` brought under 203 cd/m2, all in cd/m2.

    The EETF of ITU-R BT.2390-11, 5.4.1: on the PQ scale the light is left alone up to a knee, from there a Hermite
    spline leads to the target's peak. Black is 0 on both sides, so the part of it that lifts black does nothing.
    """
    top, target = (float(cd_m2_to_pq(np.array(peak))) for peak in (max(peak_cd_m2, WHITE_CD_M2), WHITE_CD_M2))
    signal = np.minimum(cd_m2_to_pq(light_cd_m2) / top, 1)
    most = target / top
    knee = 1.5 * most - 0.5
    if knee >= 1:
        return pq_to_cd_m2(signal * top)
    t = np.maximum((signal - knee) / (1 - knee), 0)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_cd_m2(np.where(signal < knee, signal, spline) * top)


def hlg_to_scene(signal: Floats) -> Floats:
    """Scene light, 0 to 1, of an HLG signal of 0 to 1: the inverse OETF of ITU-R BT.2100, table 5."""
    bright = (np.exp((np.maximum(signal, 0.5) - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.asarray(np.where(signal <= 0.5, signal**2 / 3, bright))


def signal_of_codes(black_code: int, white_code: int) -> Floats:
    """(65536,) each code's signal, clipped to 0 to 1."""
    return np.asarray(((np.arange(_CODES) - black_code) / (white_code - black_code)).clip(0, 1))


def to_bt709(code_3HW: NDArray[np.uint16], rendering: Rendering) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BT.709, full range, of R'G'B' codes (3, H, W)."""
    _, height_px, width_px = code_3HW.shape
    out_HWC = np.empty((height_px, width_px, 3), np.uint8)
    rows = max(1, _BAND_PX // width_px)
    matrix = primaries_matrix(rendering.primaries, "bt709").astype(np.float32)
    for top in range(0, height_px, rows):
        band_3HW = code_3HW[:, top : top + rows]
        light_3N = matrix @ _light(band_3HW.reshape(3, -1), rendering)
        shown_3N = _codes_of_light()[_by_root(light_3N)]
        out_HWC[top : top + rows] = shown_3N.reshape(band_3HW.shape).transpose(1, 2, 0)
    return out_HWC


def primaries_matrix(source: str, target: str) -> Floats:
    """(3, 3): linear light of one set of primaries to another; white stays white."""
    return np.asarray(np.linalg.solve(_to_xyz(target), _to_xyz(source)))


def _to_xyz(primaries: str) -> Floats:
    """(3, 3): R, G, B to X, Y, Z (SMPTE RP 177, 3.3)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*_XY[primaries], _D65)]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


def _light(code_3N: NDArray[np.uint16], rendering: Rendering) -> NDArray[np.float32]:
    """(3, N) light relative to the white of the result, in the source's primaries."""
    table = _light_of_codes(*rendering.key)
    light_3N = table[code_3N]
    if rendering.transfer != "hlg":
        return light_3N
    luminance_N = _to_xyz(rendering.primaries)[1].astype(np.float32) @ light_3N
    light_3N *= _hlg_gain()[_by_root(luminance_N)]
    return _hlg_knee()[_by_root(light_3N)]


def _by_root(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Where light of 0 to 1 lies in a table by its square root, which is as fine in the dark as eyes are."""
    return np.asarray(np.sqrt(light.clip(0, 1)) * (_CODES - 1) + 0.5, np.uint16)


def _roots_squared() -> Floats:
    return np.asarray((np.arange(_CODES) / (_CODES - 1)) ** 2)


@lru_cache(maxsize=8)
def _light_of_codes(transfer: str, peak_cd_m2: float, black_code: int, white_code: int) -> NDArray[np.float32]:
    """Each code's light; for HLG of the scene, 0 to 1, else relative to the white of the result."""
    signal = signal_of_codes(black_code, white_code)
    if transfer == "pq":
        return (bt2390(pq_to_cd_m2(signal), peak_cd_m2) / WHITE_CD_M2).astype(np.float32)
    return (hlg_to_scene(signal) if transfer == "hlg" else signal**_SDR_GAMMA).astype(np.float32)


@lru_cache(maxsize=1)
def _hlg_gain() -> NDArray[np.float32]:
    """The OOTF: by what scene light is multiplied, by the root of its luminance."""
    return np.asarray(_roots_squared() ** (_HLG_GAMMA - 1), np.float32)


@lru_cache(maxsize=1)
def _hlg_knee() -> NDArray[np.float32]:
    """Light relative to the white of the result, by the root of light relative to the usual peak."""
    return (bt2390(_roots_squared() * USUAL_PEAK_CD_M2, USUAL_PEAK_CD_M2) / WHITE_CD_M2).astype(np.float32)


@lru_cache(maxsize=1)
def _codes_of_light() -> NDArray[np.uint8]:
    """0 to 255, by the root of light relative to white."""
    return (_roots_squared() ** (1 / _SDR_GAMMA) * 255).round().astype(np.uint8)
