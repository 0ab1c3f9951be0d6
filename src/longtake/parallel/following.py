"""parallel/following: a model in; until the first rank ends it, what it orders is done. Decides and tells nothing."""

from __future__ import annotations

from collections.abc import Callable

from longtake.parallel.shards import ARGUMENTS, About, Order, Shards


def follow(shards: Shards) -> None:
    """Do what the first rank orders, on every other rank, until it has no more orders.

    Raises:
        LongtakeError: `ranks.lost` if another rank has ended.
    """
    whole: dict[Order, Callable[..., object]] = {
        Order.NEW: shards.new,
        Order.FORK: shards.fork,
        Order.REWIND: shards.rewind,
        Order.DROP: shards.drop,
        Order.READ: shards.read,
        Order.TELL: shards.tell,
    }
    asked: dict[Order, Callable[[About], object]] = {Order.ATTEND: shards.attend, Order.WEIGH: shards.weigh}
    while True:
        kind, *numbers = shards.talk.order()
        order = Order(int(kind))
        if order is Order.END:
            return
        if order in asked:
            asked[order](About.of(numbers))
        else:
            whole[order](*map(int, numbers[: ARGUMENTS[order]]))
