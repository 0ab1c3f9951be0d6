"""errors: the one list of what can go wrong, and how it is told. Knows nothing of any other room.

Every refusal is one line: `error[CODE]: SUBJECT: reason (what to do)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Kind:
    """One kind of failure: its public code, the process's exit status, and what it means."""

    code: str
    exit_status: int
    meaning: str


class ErrorCode(Enum):
    """Every code that longtake can end with; docs/errors.md is generated from this enum."""

    USAGE_BLANK_QUESTION = Kind("usage.blank_question", 2, "The question is empty or holds nothing visible.")
    USAGE_BAD_TEXT = Kind("usage.bad_text", 2, "The question is not valid Unicode text.")
    USAGE_BAD_OPTION = Kind("usage.bad_option", 2, "An option or its value does not exist or does not fit.")
    USAGE_BAD_SPAN = Kind("usage.bad_span", 2, "--start and --end name no stretch of this video.")
    MEDIA_NOT_FOUND = Kind("media.not_found", 3, "There is no such file.")
    MEDIA_NOT_A_FILE = Kind("media.not_a_file", 3, "The path is a directory, pipe, device or link loop.")
    MEDIA_EMPTY = Kind("media.empty", 3, "The file holds no bytes.")
    MEDIA_UNKNOWN_FORMAT = Kind("media.unknown_format", 3, "The bytes are not a video that longtake can read.")
    MEDIA_FORMAT_NOT_ALLOWED = Kind("media.format_not_allowed", 3, "A playlist, which points at other files.")
    MEDIA_CONTAINER = Kind("media.container", 3, "The container is cut off, damaged or still being written.")
    MEDIA_NO_VIDEO = Kind("media.no_video", 3, "The file has no video stream (or not the one asked for).")
    MEDIA_TRUNCATED = Kind("media.truncated", 3, "The file ends before the frames that it announces.")
    MEDIA_CORRUPT = Kind("media.corrupt", 3, "Some frames cannot be decoded.")
    MEDIA_CODEC = Kind("media.codec", 3, "No decoder for this codec is at hand, or the stream is encrypted.")
    MEDIA_DECODER_FAILED = Kind("media.decoder_failed", 3, "The process that decodes apart died, hung or grew too big.")
    DATA_BAD = Kind("data.bad", 3, "Data to train on or measure with cannot be read, or does not hold what it should.")
    MANIFEST_BAD = Kind("manifest.bad", 3, "The file is no manifest that this longtake reads.")
    MODEL_NOT_FOUND = Kind("model.not_found", 4, "No model of this name, folder or family.")
    MODEL_BAD_CHECKPOINT = Kind("model.bad_checkpoint", 4, "The checkpoint's files are missing, damaged or do not fit.")
    MODEL_NONFINITE = Kind("model.nonfinite", 4, "The model produced numbers that are not finite.")
    LIMIT_CONTEXT = Kind("limit.context", 5, "More tokens than the model was trained to read.")
    LIMIT_MEMORY = Kind("limit.memory", 5, "It would take more memory than there is.")
    LIMIT_TIME = Kind("limit.time", 5, "It would take more time than it is given (--fit time=).")
    LIMIT_BYTES = Kind("limit.bytes", 5, "The file is larger than may be read.")
    LIMIT_PIXELS = Kind("limit.pixels", 5, "Its pictures have more pixels than may be decoded.")
    LIMIT_FRAMES = Kind("limit.frames", 5, "It has more frames than may be listed.")
    LIMIT_DURATION = Kind("limit.duration", 5, "It runs longer than may be read.")
    NETWORK_UNREACHABLE = Kind("network.unreachable", 6, "What must be fetched cannot be: no network, or no answer.")
    NETWORK_REFUSED = Kind(
        "network.refused", 6, "What is asked over the network refuses: the key, the name, the length."
    )
    NETWORK_BAD_REPLY = Kind("network.bad_reply", 6, "What is asked over the network replies with nothing of use.")
    DISK_WRITE = Kind("disk.write", 7, "A file could not be written.")
    ENVIRONMENT_MISSING = Kind("environment.missing", 7, "A package that this needs is missing, or what doctor names.")
    RANKS_LOST = Kind("ranks.lost", 7, "One of several processes that worked on one thing has ended before the others.")
    PARTIAL_FAILED = Kind("partial.failed", 8, "Some items of a job went wrong; the others are done.")
    VERIFY_DIFFERS = Kind("verify.differs", 8, "What a manifest tells is not what is found now.")
    INTERNAL_BUG = Kind("internal.bug", 70, "longtake itself failed; please report it.")
    INTERRUPTED = Kind("interrupted", 130, "Stopped by the user.")


class LongtakeError(Exception):
    """A refusal that helps: what it is about, why, and what to do next.

    Args:
        code: the kind of failure.
        subject: what it is about, most often the file as the user named it ("" where nothing has a name).
        reason: what came.
        advice: what fits, or what to do.
    """

    def __init__(self, code: ErrorCode, subject: str, reason: str, advice: str) -> None:
        super().__init__(code, subject, reason, advice)
        self.code = code
        self.subject = subject
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        about = f"{self.subject}: " if self.subject else ""
        return printable(f"error[{self.code.value.code}]: {about}{self.reason} ({self.advice})")

    def as_dict(self) -> dict[str, object]:
        """The same refusal as the object that `--json` prints."""
        return {
            "error": {
                "code": self.code.value.code,
                "exit_status": self.code.value.exit_status,
                "subject": printable(self.subject),
                "reason": printable(self.reason),
                "advice": printable(self.advice),
            }
        }


class DoorRefused(LongtakeError):
    """A `network.refused` of whatever is asked: the key, the address or the model's name is not what is taken there."""


@contextmanager
def writing(subject: str) -> Iterator[None]:
    """Tells as `disk.write` whatever the system refuses while `subject` is written; a closed pipe is no refusal."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason, advice = error.strerror or str(error), "choose a place with room where you may write"
        raise LongtakeError(ErrorCode.DISK_WRITE, subject, reason, advice) from error


def counted(count: int, thing: str) -> str:
    """So many of a thing whose plural takes an s: `1 frame`, `2,400 frames`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """`text` on one line: control characters, undecodable bytes and bidirectional marks are shown escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
