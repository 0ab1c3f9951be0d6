"""eye/choosing: an eye and a plan in; what it sees out, after a first look where the sampler is to choose by one."""

from __future__ import annotations

from dataclasses import replace

from longtake.eye import Eye, Kept, Reading, Saw, Sight
from longtake.layouts import View, view_of
from longtake.plan import Plan
from longtake.samplers import Sifter, sifted
from longtake.video import Video

HELD_CANDIDATES = 256
"""Of so many candidates a sampler's choice is taken from their features; of LongVA's that is 1 GB in bfloat16."""


def look(eye: Eye, reading: Reading, video: Video, plan: Plan) -> Sight:
    """Look at what was planned; where the sampler is to choose, at all candidates first, and keep its choice.

    Of few candidates the features are held. Of many, or where frames are laid out in tiles or on sheets, each candidate
    leaves one vector, and those that are kept are looked at again.

    Raises:
        LongtakeError: whatever the file's frames are refused for.
    """
    if plan.sifter is None:
        return eye.look(video, plan)
    if _held(plan):
        first = eye.look(video, plan.of(plan.numbers))
        places, came = chosen(plan.sifter, first, plan)
        return Sight(first.grid.taking(places), replace(first.saw, came=came, chosen=True))
    first = eye.look(video, plan.glance())
    _, came = chosen(plan.sifter, first, plan)
    reading.asked -= plan.frames - came.frames
    second = eye.look(video, came)
    kept = _both(first.saw.kept, second.saw.kept)
    return Sight(second.grid, Saw(first.saw.seen, came, kept, chosen=True))


def glance(eye: Eye, video: Video, plan: Plan, sifter: Sifter) -> Sight:
    """A first look alone; `came` is what the sampler keeps."""
    first = eye.look(video, plan.glance())
    return Sight(first.grid, replace(first.saw, came=chosen(sifter, first, plan)[1], chosen=True))


def chosen(sifter: Sifter, first: Sight, plan: Plan) -> tuple[list[int], Plan]:
    """Which of the frames of a first look are kept, by their places; and the plan of them."""
    places = sifted(sifter, first.grid.means_TD, first.grid.times_s)
    return places, plan.of([first.saw.seen.numbers[place] for place in places])


def looks(plan: Plan) -> int:
    """How many frames will be read at most, those that are read again counted twice."""
    return len(plan.numbers) + (0 if plan.sifter is None or _held(plan) else plan.frames)


def _held(plan: Plan) -> bool:
    """Whether the features of all candidates are held at once."""
    return len(plan.numbers) <= HELD_CANDIDATES and view_of(plan.layout) == View()


def _both(one: Kept | None, other: Kept | None) -> Kept | None:
    """What a store had of two looks at one file."""
    if one is None or other is None:
        return one or other
    return Kept(
        frames=one.frames + other.frames,
        folder=other.folder,
        came=one.came + other.came,
        damaged=one.damaged + other.damaged,
        bytes=one.bytes + other.bytes,
        refused=one.refused or other.refused,
    )
