"""video/choosing: an open container in, the stream that is looked at out, or why none can be. Decodes nothing."""

from __future__ import annotations

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.decoding.reading import prepare_decoder
from longtake.video.options import ReadOptions

ADVICE_CODEC = "convert it: ffmpeg -i FILE -c:v libx264 -pix_fmt yuv420p out.mp4"


def choose_stream(container: InputContainer, index: int | None, path: str) -> VideoStream:
    """The video stream `index`; or of those that are no cover art the default ones', the largest picture, the first.

    Of pictures of one size, one that moves goes before one that by its header has a single frame.

    Raises:
        LongtakeError: `media.no_video`, or `media.container` if the file names no streams at all.
    """
    if not len(container.streams):
        reason, advice = "names no streams: its index is damaged or missing", "fetch or export it again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, advice)
    streams = container.streams.video
    found = ", ".join(f"{stream.index} {stream.type}" for stream in container.streams) or "none"
    if index is not None:
        chosen = next((stream for stream in streams if stream.index == index), None)
        if chosen is None:
            advice = f"its streams are: {found}"
            raise LongtakeError(ErrorCode.MEDIA_NO_VIDEO, path, f"stream {index} is not a video stream of it", advice)
        return chosen
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not moving:
        reason = "has no video" + (" but cover art" if streams else "") + f"; its streams are: {found}"
        advice = "name a file with a video stream" + (", or take the cover with --stream" if streams else "")
        raise LongtakeError(ErrorCode.MEDIA_NO_VIDEO, path, reason, advice)
    return max(moving, key=_preference)


def _preference(stream: VideoStream) -> tuple[bool, int, bool, int]:
    """Greater for a stream that is rather taken. An animated AVIF holds the same picture still before it moves."""
    is_default = bool(stream.disposition & Disposition.default)
    return is_default, area_px(stream), stream.frames != 1, -stream.index


def area_px(stream: VideoStream) -> int:
    """Pixels of a coded picture, as the header has it; 0 where it does not say."""
    return stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0


def check_pixels(stream: VideoStream, path: str, options: ReadOptions) -> None:
    """Refuse pictures that are larger than may be decoded.

    Raises:
        LongtakeError: `limit.pixels`.
    """
    if area_px(stream) > options.limits.pixels:
        size = f"{stream.codec_context.width:,} x {stream.codec_context.height:,}"
        reason = f"its pictures have {size} pixels; at most {options.limits.pixels:,} may be decoded"
        raise LongtakeError(ErrorCode.LIMIT_PIXELS, path, reason, "make them smaller, or raise --limit pixels=N")


def check_decoder(stream: VideoStream, container_name: str, path: str, options: ReadOptions) -> None:
    """Start the stream's decoder.

    Raises:
        LongtakeError: `media.codec` if there is none or it does not start.
    """
    codec = codec_name(stream)
    if not stream.codec_context:
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, "no decoder for its video codec is at hand", ADVICE_CODEC)
    try:
        prepare_decoder(stream.codec_context, options)
    except FFmpegError as error:
        reason = f"the decoder of its codec {codec} does not start: {error.strerror}"
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, reason, ADVICE_CODEC) from error
    if container_name == "webp_pipe" and not stream.codec_context.width:
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, "animated WebP cannot be decoded", "convert it to GIF or MP4")


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, "unknown" where it has none."""
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
