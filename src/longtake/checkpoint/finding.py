"""checkpoint/finding: a name in; the folder that it means, here or on the Hugging Face hub, out. Opens no file.

Only files of data are fetched; code and pickles that lie beside them stay where they are.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from huggingface_hub import snapshot_download

# HTTPError is what a broken connection raises. It comes from another package in each major release of the client; this
# is where all of them have it.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from longtake.errors import ErrorCode, LongtakeError

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Configurations, weights, tokenizers, chat templates."""

HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
LOG_IN = "log in with `hf auth login`"
REFUSALS = (400, 401, 403, 404, 410, 451)
"""Statuses of HTTP that will be the same tomorrow; others (too many requests, a server that is down) pass."""
FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
"""What a disk says; other numbers come from sockets."""


_FETCHES: ContextVar[bool] = ContextVar("fetches", default=True)


@contextmanager
def without_hub() -> Iterator[None]:
    """Inside, nothing is fetched whoever asks: a checkpoint may name another one, which its family then looks for."""
    token = _FETCHES.set(False)
    try:
        yield
    finally:
        _FETCHES.reset(token)


def folder_of(name: str, *, beside: Path | None = None, fetch: bool = True, also: Sequence[str] = ()) -> Path:
    """The folder of a checkpoint.

    Args:
        name: a folder; or a model of the hub, like `lmms-lab/LongVA-7B`, where there is no such folder.
        beside: a checkpoint that names another one: the folder is then looked for in it and next to it, not in the
            working directory.
        fetch: ask the hub; else only what has been downloaded before is found.
        also: other names that the caller takes, for the refusal to tell.

    Raises:
        LongtakeError: `model.not_found` for what is neither, or may not be read without logging in;
            `network.unreachable`; `disk.write`.
    """
    wanted = Path(os.path.expanduser(name))
    places = [wanted] if beside is None else [beside / wanted, beside.absolute().parent / wanted]
    for place in places:
        if name and place.is_dir():
            return place
    if HUB_NAME.fullmatch(name):
        return _downloaded(name, fetch=fetch and _FETCHES.get())
    fits = ", ".join([*also, "the folder of a checkpoint, or a model of the hub, like lmms-lab/LongVA-7B"])
    reason = "is no folder here, and not written like a model of the hub"
    raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, f"take {fits}")


def _downloaded(name: str, *, fetch: bool) -> Path:
    """Where the hub's model `name` lies on this machine; what is not here yet is downloaded, and its progress shown."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED), local_files_only=not fetch))
    except LocalEntryNotFoundError as error:
        # What the client says here is only that it fell back to what is on this machine; the cause tells why.
        raise _refusal(name, error.__cause__ or error) from error
    except (HTTPError, HFValidationError, RuntimeError, OSError) as error:
        raise _refusal(name, error) from error


def _refusal(name: str, error: BaseException) -> LongtakeError:
    """What went wrong with the hub, as one of longtake's codes."""
    match error:
        case GatedRepoError():
            reason, advice = "its owners ask who reads it", f"ask for access on its page at the hub, then {LOG_IN}"
            return LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, advice)
        case RepositoryNotFoundError() | HFValidationError():
            return _unknown(name, "is no folder here, and the hub has no such model, or not for everybody")
        case HfHubHTTPError() if error.response.status_code in REFUSALS:
            return _unknown(name, f"is no folder here, and the hub refuses it with status {error.response.status_code}")
        case HfHubHTTPError():
            return _unreachable(name, f"the hub answers with status {error.response.status_code}")
        case LocalEntryNotFoundError():
            reason, advice = "is no folder here, and is not wholly downloaded", f"fetch it with `hf download {name}`"
            return LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, advice)
        case OSError() if error.errno in FULL_OR_FORBIDDEN:
            reason, advice = f"could not be kept: {error.strerror}", "make room, or set HF_HOME to a place that has it"
            return LongtakeError(ErrorCode.DISK_WRITE, name, reason, advice)
    return _unreachable(name, (str(error).strip() or type(error).__name__).splitlines()[0])


def _unknown(name: str, reason: str) -> LongtakeError:
    return LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, f"check the name; if it is private, {LOG_IN}")


def _unreachable(name: str, reason: str) -> LongtakeError:
    told = f"is no folder here, and could not be fetched whole: {reason}"
    advice = "check the network and start again; what has arrived is kept"
    return LongtakeError(ErrorCode.NETWORK_UNREACHABLE, name, told, advice)
