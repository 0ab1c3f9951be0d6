"""A thread that runs ahead: same items, bounded, stops when told, hands errors on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from longtake.video.decoding.ahead import ahead


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_same_items_in_the_same_order() -> None:
    assert list(ahead(iter(range(1000)), depth=3)) == list(range(1000))
    assert list(ahead([])) == []
    assert "longtake-ahead" not in names()


def test_it_runs_ahead_but_no_further_than_it_may() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 3:
                full.set()
            yield number

    taking = ahead(items(), depth=2)
    assert next(taking) == 0
    # One taken, two waiting, one in the maker's hand.
    assert full.wait(10)
    assert made == [0, 1, 2, 3]
    taking.close()
    assert len(made) <= 5 and "longtake-ahead" not in names()


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    taking = ahead(items(), depth=8)
    assert [next(taking), next(taking)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(taking)


def test_stopping_early_closes_the_maker_in_its_own_thread() -> None:
    closed_in: list[str] = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed_in.append(threading.current_thread().name)

    taking = ahead(items(), depth=1)
    assert next(taking) == 0
    taking.close()
    assert closed_in == ["longtake-ahead"]


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="depth is 0"):
        ahead([], depth=0)
