"""prompt/tokenizers: a checkpoint's folder in, its tokenizer out. Knows no model and executes nothing of the folder.

What is read is told by the files that are there, never by the folder's name: tokenizer.json; or vocab.json and
merges.txt (Qwen2's); or tokenizer.model. Code that a checkpoint brings (`auto_map`) and its chat template are not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import HubTokenizer, Tokenizer
from longtake.prompt.pieces import Manners, SentencePieceTokenizer

WHOLE = "tokenizer.json"
PIECES = "tokenizer.model"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
SETTINGS = "tokenizer_config.json"
QWEN2_CLASSES = ("Qwen2Tokenizer", "Qwen2TokenizerFast")


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint.

    Raises:
        LongtakeError: `model.bad_checkpoint`, naming all files that are missing or the one that is damaged;
            `environment.missing` where tokenizer.model wants a package that is not installed.
    """
    if (folder / WHOLE).is_file():
        return HubTokenizer.from_file(folder / WHOLE)
    if (folder / VOCABULARY).is_file() or (folder / MERGES).is_file():
        _require(folder, VOCABULARY, MERGES, SETTINGS)
        return _qwen2(folder)
    if (folder / PIECES).is_file():
        _require(folder, SETTINGS)
        return _sentencepieces(folder)
    missing = "" if (folder / SETTINGS).is_file() else f", and no {SETTINGS}"
    reason = f"has neither {WHOLE} nor {VOCABULARY} and {MERGES} nor {PIECES}{missing}"
    raise _bad(folder, reason, "copy the whole checkpoint, tokenizer files too")


def _qwen2(folder: Path) -> HubTokenizer:
    """Byte-level BPE; how text is split before it is no file's content, so the class named must be Qwen2's."""
    settings = _read_object(folder / SETTINGS)
    named = settings.get("tokenizer_class")
    if named not in QWEN2_CLASSES:
        reason = f"names {named}; of {VOCABULARY} and {MERGES} longtake reads Qwen2Tokenizer's"
        raise _bad(folder / SETTINGS, reason, f"save the tokenizer as {WHOLE}")
    # Here, for transformers takes a second to import and most checkpoints have a tokenizer.json.
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    vocabulary = _read_object(folder / VOCABULARY)
    try:
        lines = (folder / MERGES).read_text(encoding="utf-8").splitlines()
        # transformers annotates `merges` as lines; what it hands them on to takes pairs.
        pairs: Any = [(first, second) for first, second in (line.split(" ") for line in lines if _is_merge(line))]
        inner = Qwen2Tokenizer(vocab=vocabulary, merges=pairs).backend_tokenizer
    except Exception as error:
        raise _bad(folder / MERGES, f"is not a list of merges of {VOCABULARY}: {error}", "copy both again") from error
    added = _added(folder, settings)
    inner.add_special_tokens([AddedToken(added[token_id], normalized=False) for token_id in sorted(added)])
    for token_id, spelling in added.items():
        if inner.token_to_id(spelling) != token_id:
            reason = f"says {spelling} is {token_id}; by {VOCABULARY} it is {inner.token_to_id(spelling)}"
            raise _bad(folder / SETTINGS, reason, "take tokenizer files that belong together")
    return HubTokenizer(inner)


def _is_merge(line: str) -> bool:
    return bool(line) and not line.startswith("#version")


def _sentencepieces(folder: Path) -> SentencePieceTokenizer:
    """Llama's tokenizer: where tokenizer_config.json is silent, transformers' defaults for it hold."""
    settings = _read_object(folder / SETTINGS)
    beginning = _spelling(settings.get("bos_token", "<s>")) if settings.get("add_bos_token", True) else None
    manners = Manners(
        added=_added(folder, settings), beginning=beginning, space_each_text=settings.get("legacy") is not False
    )
    return SentencePieceTokenizer.from_file(folder / PIECES, manners)


def _added(folder: Path, settings: Mapping[str, Any]) -> dict[int, str]:
    """Spellings of the added tokens by id: from tokenizer_config.json, in older checkpoints from added_tokens.json."""
    path = folder / "added_tokens.json"
    older = _read_object(path) if path.is_file() else {}
    try:
        newer = {int(token_id): _spelling(told) for token_id, told in settings.get("added_tokens_decoder", {}).items()}
        told = {int(token_id): str(spelling) for spelling, token_id in older.items()}
        return told | {token_id: spelling for token_id, spelling in newer.items() if spelling}
    except (AttributeError, TypeError, ValueError) as error:
        reason = f"its added tokens are no table of ids and spellings: {error}"
        raise _bad(folder / SETTINGS, reason, "copy it again") from error


def _spelling(told: object) -> str | None:
    """A token is told by its spelling or by an object that holds it."""
    content = told.get("content") if isinstance(told, dict) else told
    if content is not None and not isinstance(content, str):
        raise ValueError(f"{content!r} is no spelling")
    return content


def _require(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise _bad(folder, f"has no {', '.join(missing)}", "copy the whole checkpoint, tokenizer files too")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return dict(read.items())
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _bad(path, f"is not a JSON object: {error}", "copy it again") from error


def _bad(path: Path, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(path), reason, advice)
