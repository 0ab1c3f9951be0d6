"""Plots of eval report: what is drawn is what the runs came to, with intervals and chance, and no words over others."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from longtake.reports import Account
from longtake.reports.accounting import accounts_of
from longtake.reports.bars import MOST_FIGURES, bar_canvas, pages_of
from longtake.reports.drawing import AXES, draw_report, line_canvas
from longtake.reports.published import NOT_RUN, rows_of
from reported import answered, choice, header_of, write_run
from running import Cli

pytest.importorskip("matplotlib")
LAYOUTS = ("grid", "slowfast")
FRAMES = (8, 32, 128)
CATEGORIES = ("Counting", "Action Reasoning", "a category whose name is longer than any that real files have")


def made(folder: Path, layout: str, frames: int, *, asked: int = 60) -> Path:
    items = [
        choice(f"q{n}", right=n % 4, categories=(CATEGORIES[n % 3],), length_class=("short", "long")[n % 2])
        for n in range(60)
    ]
    right = 20 + frames // 8 + 10 * (layout == "grid")
    rows = [
        answered(item, n, "ABCD"[(n + (n >= right)) % 4], frames=frames, tokens={"visual": frames * 144})
        for n, item in enumerate(items)
    ]
    header = header_of(
        "video_mme", [item.id for item in items], frames=frames, parts={"layout": {"name": layout, "options": {}}}
    )
    return write_run(folder / f"{layout}-{frames}", header, rows[:asked])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    where = tmp_path_factory.mktemp("runs")
    found = [made(where, layout, frames) for layout in LAYOUTS for frames in FRAMES]
    return [*found, made(where, "grid", 384, asked=30)]


@pytest.fixture(scope="module")
def accounts(folders: list[Path]) -> list[Account]:
    return [account for folder in folders for account in accounts_of(folder)]


def outside(side: Any) -> list[Any]:
    """Labels of ticks that no axis shows: matplotlib keeps them ready."""
    low, high = sorted(side.get_view_interval())
    return [tick.label1 for tick in side.get_major_ticks() if not low <= tick.get_loc() <= high]


def texts_of(canvas: Any) -> list[tuple[str, Any]]:
    """All words that are drawn, and where."""
    from matplotlib.text import Text

    canvas.draw_without_rendering()
    beyond = {label for axes in canvas.axes for side in (axes.xaxis, axes.yaxis) for label in outside(side)}
    drawn = [one for one in canvas.findobj(Text) if one.get_visible() and one.get_text().strip() and one not in beyond]
    return [(one.get_text(), one.get_window_extent()) for one in drawn]


def test_points_are_the_runs_chief_figures_with_their_intervals(accounts: list[Account]) -> None:
    canvas = line_canvas(accounts, AXES[0], beside=rows_of("video_mme"))
    (axes,) = canvas.axes
    series = {bar.get_label(): bar for bar in axes.containers}
    assert list(series) == ["nano, grid", "nano, slowfast"]
    for layout in LAYOUTS:
        own = sorted((one for one in accounts if one.part("layout") == layout), key=lambda one: one.frames or 0)
        line, _, (bars,) = series[f"nano, {layout}"].lines
        assert list(line.get_ydata()) == pytest.approx([100 * (one.figures[0].value or 0) for one in own])
        # Lines stand a little beside each other.
        assert list(line.get_xdata()) == pytest.approx([one.frames for one in own], rel=0.03)
        ends = [sorted(point[1] for point in segment) for segment in bars.get_segments()]
        expected = [[100 * (one.figures[0].low or 0), 100 * (one.figures[0].high or 0)] for one in own]
        assert [value for pair in ends for value in pair] == pytest.approx([v for pair in expected for v in pair])
    words = [text for text, _ in texts_of(canvas)]
    assert "guessing, 25.0 %" in words
    assert any(NOT_RUN in text for text in words)
    assert any("not all was asked" in text for text in words)


@pytest.mark.parametrize("which", ["frames", "tokens", "bars"])
def test_no_words_lie_over_others(accounts: list[Account], which: str) -> None:
    shown = accounts[:6]
    if which == "bars":
        canvas = bar_canvas(shown, pages_of(shown)[0])
    else:
        axis = next(one for one in AXES if one.name == which)
        canvas = line_canvas(accounts, axis, beside=rows_of("video_mme"))
    found = texts_of(canvas)
    assert len(found) > 8
    for (one, box), (other, beside) in combinations(found, 2):
        assert not box.shrunk(0.98, 0.9).overlaps(beside.shrunk(0.98, 0.9)), (one, other)
    wide, high = canvas.bbox.size
    for text, box in found:
        assert box.x0 >= -1 and box.x1 <= wide + 1 and box.y0 >= -1 and box.y1 <= high + 1, text


def test_bars_are_every_figure_of_every_run(accounts: list[Account]) -> None:
    canvas = bar_canvas(accounts[:2], pages_of(accounts[:2])[0])
    (axes,) = canvas.axes
    named = {container.get_label(): container for container in axes.containers}
    bars = [named[f"nano, grid, {frames} frames"] for frames in FRAMES[:2]]
    for container, account in zip(bars, accounts, strict=False):
        assert [patch.get_width() for patch in container] == pytest.approx(
            [100 * (figure.value or 0) for figure in account.figures]
        )


def test_many_figures_make_several_pictures_and_none_is_lost(tmp_path: Path) -> None:
    items = [choice(f"q{n}", categories=(f"kind {n % 30}",), length_class=("short", "long")[n % 2]) for n in range(60)]
    rows = [answered(item, n, "B") for n, item in enumerate(items)]
    (account,) = accounts_of(write_run(tmp_path / "run", header_of("egoschema", [item.id for item in items]), rows))
    pages = pages_of([account])
    assert [name for page in pages for name in page] == [figure.name for figure in account.figures]
    assert [len(page) for page in pages] == [3, MOST_FIGURES, 30 - MOST_FIGURES]
    drawn, _ = draw_report([account], tmp_path)
    assert [path.name for path in drawn] == [f"egoschema-by-category{end}.png" for end in ("", "-2", "-3")]


def test_the_command_writes_the_pictures_and_says_what_it_left_out(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = Cli(capsys)("eval", "report", *folders[:3], "--plots", tmp_path / "plots")
    assert status == 0
    names = {"video_mme-by-frames.png", "video_mme-by-tokens.png", "video_mme-by-category.png"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "plots").iterdir())
    assert err.count("drawn: ") == 3
    drawn, left_out = draw_report(accounts_of(folders[0]), tmp_path / "one")
    assert [path.name for path in drawn] == ["video_mme-by-category.png"]
    assert len(left_out) == 2 and all("fewer than two runs" in why for why in left_out)
