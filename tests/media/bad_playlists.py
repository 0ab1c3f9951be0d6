"""media/bad_playlists: texts that name other files or addresses, each called .mp4 (row M28).

Each text holds `{file}`, the name of a file beside it, and `{port}`, of this machine; in the corpus these are a name
that does not exist and a port at which nothing listens. A test puts traps there instead.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .bad_bytes import STBL, box
from .bad_case import NOT_ALLOWED, UNKNOWN, Case, refused
from .bad_sources import source

NO_FILE, NO_PORT = "none_beside.mp4", 9

_HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{line}\n#EXT-X-ENDLIST\n"
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MPD = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1000" codecs="avc1.64000a"><BaseURL>{line}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>\n"
)
_SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} TCP/RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:rtsp://127.0.0.1:{port}/x\n"
)
_IMF = (
    '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:00000000-0000-0000-0000-'
    "000000000000</Id><EditRate>25 1</EditRate><SegmentList/><x>{file}</x></CompositionPlaylist>\n"
)

TEXTS: dict[str, tuple[str, str]] = {  # name: code, text
    "hls_file": (NOT_ALLOWED, _HLS.format(line="{file}")),
    "hls_http": (NOT_ALLOWED, _HLS.format(line="http://127.0.0.1:{port}/x.ts")),
    "hls_key": (
        NOT_ALLOWED,
        _HLS.replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/k"\n#EXTINF').format(
            line="{file}", port="{port}"
        ),
    ),
    "hls_map": (
        NOT_ALLOWED,
        _HLS.replace("#EXTINF", '#EXT-X-MAP:URI="{file}"\n#EXTINF').format(line="{file}", file="{file}"),
    ),
    "hls_tcp": (NOT_ALLOWED, _HLS.format(line="tcp://127.0.0.1:{port}")),
    "hls_concat": (NOT_ALLOWED, _HLS.format(line="concat:{file}|{file}")),
    "hls_subfile": (NOT_ALLOWED, _HLS.format(line="subfile,,start,0,end,9,,:{file}")),
    "hls_bom": (NOT_ALLOWED, "\ufeff\r\n" + _HLS.format(line="{file}")),
    "hls_padded": (NOT_ALLOWED, " \t\n" * 40 + _HLS.format(line="{file}")),
    "concat": (NOT_ALLOWED, "ffconcat version 1.0\nfile '{file}'\n"),
    "concat_http": (NOT_ALLOWED, "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/x.mp4'\n"),
    "concat_rtsp": (NOT_ALLOWED, "ffconcat version 1.0\nfile 'rtsp://127.0.0.1:{port}/x'\n"),
    "sdp": (NOT_ALLOWED, _SDP),
    "dash_file": (NOT_ALLOWED, _XML + _MPD.format(line="{file}")),
    "dash_http": (NOT_ALLOWED, _XML + _MPD.format(line="http://127.0.0.1:{port}/x.mp4")),
    "dash_no_prolog": (NOT_ALLOWED, _MPD.format(line="http://127.0.0.1:{port}/x.mp4")),
    "dash_comment": (
        NOT_ALLOWED,
        _XML + "<!-- made by a tool -->\n" + _MPD.format(line="http://127.0.0.1:{port}/x.mp4"),
    ),
    "pls": (NOT_ALLOWED, "[playlist]\nNumberOfEntries=1\nFile1=http://127.0.0.1:{port}/x\nFile2={file}\n"),
    "asx": (NOT_ALLOWED, '<ASX version="3.0"><ENTRY><REF HREF="http://127.0.0.1:{port}/x.wmv"/></ENTRY></ASX>\n'),
    "smil": (
        NOT_ALLOWED,
        '<smil><body><video src="http://127.0.0.1:{port}/x.mp4"/><video src="{file}"/></body></smil>\n',
    ),
    "ism": (
        NOT_ALLOWED,
        _XML
        + '<SmoothStreamingMedia MajorVersion="2" Duration="9"><StreamIndex Url="{file}"/></SmoothStreamingMedia>\n',
    ),
    "xspf": (
        NOT_ALLOWED,
        _XML
        + '<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><location>{file}</location></track></trackList></playlist>\n',
    ),
    "wpl": (NOT_ALLOWED, '<?wpl version="1.0"?>\n<smil><body><seq><media src="{file}"/></seq></body></smil>\n'),
    "imf": (NOT_ALLOWED, _XML + _IMF),
    "reference": (NOT_ALLOWED, "[Reference]\r\nRef1=http://127.0.0.1:{port}/x.asf\r\n"),
    "rtsp_text": (NOT_ALLOWED, "RTSPtext\nrtsp://127.0.0.1:{port}/x\n"),
    "url": (NOT_ALLOWED, "http://127.0.0.1:{port}/x.mp4\n"),
    "rtmp": (NOT_ALLOWED, "rtmp://127.0.0.1:{port}/live/x\n"),
    "shortcut": (NOT_ALLOWED, "[InternetShortcut]\r\nURL=http://127.0.0.1:{port}/x.mp4\r\n"),
    "m3u": (NOT_ALLOWED, "#EXTM3U\n#EXTINF:9,x\n{file}\n"),
    "m3u_bare": (UNKNOWN, "{file}\n{file}\n"),
    "avs": (UNKNOWN, 'DirectShowSource("{file}")\n'),
    "vpy": (UNKNOWN, "import vapoursynth as vs\nvs.core.ffms2.Source('{file}').set_output()\n"),
    "mlt": (UNKNOWN, _XML + '<mlt><producer><property name="resource">{file}</property></producer></mlt>\n'),
    "idx": (
        UNKNOWN,
        "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\ntimestamp: 00:00:01:000, filepos: 0\n",
    ),
    "svg": (UNKNOWN, '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{port}/x.png"/></svg>\n'),
}


def text_of(kind: str, *, file: str, port: int) -> bytes:
    """The text of that kind with a file and a port in it."""
    return TEXTS[kind][1].replace("{file}", file).replace("{port}", str(port)).encode()


def reference_movie(kind: bytes, target: str) -> bytes:
    """A QuickTime file whose samples lie, it says, in another file: by a path (`alis`) or an address (`url `)."""
    data = source("front.mp4")
    first, last = box(data, b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    if kind == b"url ":
        body = b"\0\0\0\0" + target.encode() + b"\0"
    else:
        body = b"\0\0\0\0" + _alias(target)
    entry = (8 + len(body)).to_bytes(4, "big") + kind + body
    dref = (16 + len(entry)).to_bytes(4, "big") + b"dref" + b"\0\0\0\0\0\0\0\1" + entry
    grown = len(dref) - (last - first)
    out = bytearray(data[:first] + dref + data[last:])
    for depth in range(1, 6):
        start, _ = box(data, *(b"moov", b"trak", b"mdia", b"minf", b"dinf")[:depth])
        out[start : start + 4] = (int.from_bytes(out[start : start + 4], "big") + grown).to_bytes(4, "big")
    start, end = box(bytes(out), *STBL, b"stco")
    for at in range(start + 16, end, 4):
        out[at : at + 4] = (int.from_bytes(out[at : at + 4], "big") + grown).to_bytes(4, "big")
    return bytes(out)


def _alias(target: str) -> bytes:
    """A Macintosh alias record of version 2 for a file beside this one, its POSIX path included."""
    name = Path(target).name.encode()[:63]
    fixed = b"\0" * 4 + b"\0\0" + b"\0\2" + b"\0\0" + bytes([1]) + b"x".ljust(27, b"\0") + bytes(10)
    fixed += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + b"\0\1\0\1" + bytes(16)
    path = target.encode()
    records = b"\0\x02" + len(path).to_bytes(2, "big") + path + b"\0" * (len(path) % 2)
    records += b"\0\x12" + len(path).to_bytes(2, "big") + path + b"\0" * (len(path) % 2)
    whole = fixed + records + b"\xff\xff\0\0"
    return whole[:4] + len(whole).to_bytes(2, "big") + whole[6:]


def _text(kind: str) -> Callable[[Path], None]:
    return lambda path: _write(path, text_of(kind, file=NO_FILE, port=NO_PORT))


def _reference(kind: bytes, target: str) -> Callable[[Path], None]:
    return lambda path: _write(path, reference_movie(kind, target))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


PLAYLISTS: list[Case] = [
    *(refused(f"m28_{kind}.mp4", f"{kind} text", _text(kind), code=code) for kind, (code, _) in TEXTS.items()),
    refused(
        "m28_reference_alis.mov", "samples in another file, by alias", _reference(b"alis", NO_FILE), code=NOT_ALLOWED
    ),
    refused(
        "m28_reference_url.mov",
        "samples at an address",
        _reference(b"url ", f"http://127.0.0.1:{NO_PORT}/x.mov"),
        code=NOT_ALLOWED,
    ),
]
