"""cli/foreseeing: the command that tells how well a language model foresees text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError

WORLD = "world"


@dataclass(frozen=True)
class Cut:
    """How text is cut into windows, as the user put it."""

    length: int
    stride: int | None
    windows: int | None
    join: bool

    def made(self) -> Any:
        """The same as `perplexity.Windows`, checked.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.train.perplexity import Windows

        stride, length = self.stride, self.length
        if stride is not None and stride > length:
            reason, advice = f"is more than --length {length}, so that text would be left out", "give at most that"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--stride {stride}", reason, advice)
        if stride is not None and self.join:
            reason, advice = "does not go with --join", "leave one of them out"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--stride {stride}", reason, advice)
        return Windows(length, stride or 0, self.windows or 0, self.join)


@dataclass(frozen=True)
class Asked:
    """Model, text and windows as the user put them."""

    model: str
    files: tuple[str, ...]
    text_field: str
    cut: Cut
    device: str
    dtype: str

    def documents(self) -> Iterator[Any]:
        """What is read. Files are found at once, and read as they are needed.

        Raises:
            LongtakeError: `usage.bad_option`; while reading `data.bad`.
        """
        from longtake.train.perplexity import documents_in, documents_of_world

        if self.files == (WORLD,):
            return documents_of_world()
        if WORLD in self.files:
            reason, advice = "does not go with files", "give it alone, or a file of that name as ./world"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, WORLD, reason, advice)
        return documents_in(self.files, self.text_field)


def print_perplexity(asked: Asked, plot: str | None, *, show: Show) -> None:
    """`longtake eval perplexity`: read windows of text, print loss and perplexity by position.

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`, `model.*`, `environment.missing` or `disk.write` for the picture.
    """
    from longtake.reports.drawing import require_plots
    from longtake.started import alone
    from longtake.train.curves import draw_by_position
    from longtake.train.perplexity import load_reader, measure

    alone("eval perplexity")
    windows = asked.cut.made()
    if plot:
        require_plots()
    documents = asked.documents()
    reader = load_reader(asked.model, device=asked.device, dtype=asked.dtype)
    with bars(wanted=show.talks) as progress:
        told = measure(
            reader, documents, windows, progress=lambda done: progress("windows", done, windows.most or done + 1)
        )
    told = {"model": asked.model, "files": list(asked.files), "dtype": asked.dtype, **told}
    if plot:
        name = Path(asked.model).name
        title = f"{name}: {told['windows']:,} windows of {told['length']:,} tokens"
        draw_by_position(told["by_position"], Path(plot), title=title, trained=told["trained_context"])
    if show.as_json:
        say_json(told | ({"plot": plot} if plot else {}))
        return
    say(_table(told))
    if plot:
        say(f"picture: {plot}")


def _table(told: Mapping[str, Any]) -> str:
    rows = [("position", "tokens", "loss", "perplexity", "")]
    beyond = f"beyond the {told['trained_context']:,} that it was trained to read"
    for row in told["by_position"]:
        cells = (f"{row['from']:,}-{row['to']:,}", f"{row['tokens']:,}", *_numbers(row))
        rows.append((*cells, beyond if row["beyond"] else ""))
    rows.append(("all, once each", f"{told['tokens']:,}", *_numbers(told), ""))
    counted = f"{told['windows']:,} windows of at most {told['length']:,} tokens, of {told['documents']:,} documents"
    return f"{table(rows)}\n{counted}; trained to read {told['trained_context']:,}"


def _numbers(row: Mapping[str, Any]) -> tuple[str, str]:
    loss, perplexity = row["loss"], row["perplexity"]
    return "-" if loss is None else f"{loss:.4f}", "-" if perplexity is None else f"{perplexity:,.2f}"
