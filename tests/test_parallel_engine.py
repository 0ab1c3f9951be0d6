"""One text on several ranks: the tokens and log-probabilities of one process, and a share of its keys and values.

Ranks are real processes; each start of them does all that is asserted below it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from longtake.engines import GenerateOptions, Keeping, cancelled_by
from longtake.engines.attention import folding
from longtake.engines.kept import KeptPrefix
from longtake.engines.local import LocalEngine
from longtake.errors import LongtakeError
from longtake.parallel import Ranks
from longtake.parallel.dealing import Deal, most_of, share_of
from longtake.parallel.engine import SpreadEngine, leading
from longtake.parallel.following import follow
from longtake.parallel.seats import company
from longtake.parallel.shards import Shards
from longtake.parallel.talking import Talk
from longtake.ropes.dynamic import Dynamic
from ranks import run_ranks
from test_engine import QUESTION, prompt_of, qwen2

CHUNK = 8
"""Of one rank; with two ranks, 50 positions are four chunks, the last of two."""
LENGTHS = (1, 2, 3, 16, 50, 101)
ANSWER = [7, 11, 3]
QUESTIONS = ([1, 2, 3], [60], [7, 8, 9, 10, 11])
GREEDY = GenerateOptions(max_new_tokens=12)
Facts = dict[str, Any]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 2, 7, 16])
def test_every_row_has_one_rank_and_shares_differ_by_one(rows: int, size: int) -> None:
    shares = [range(*share_of(rows, rank, size)) for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(rows))
    assert {len(share) for share in shares} <= {rows // size, most_of(rows, size)}
    assert shares[-1][-1] == rows - 1


def test_a_deal_tells_who_holds_what() -> None:
    deal = Deal(2).grown(5).grown(4)
    assert [deal.positions(rank).tolist() for rank in (0, 1)] == [[0, 1, 5, 6], [2, 3, 4, 7, 8]]
    assert [deal.before(0, position) for position in range(10)] == [0, 1, 2, 2, 2, 2, 3, 4, 4, 4]
    assert deal.hidden(1, [(1, 4), (4, 8)]) == [(0, 2), (2, 4)]
    cut = deal.cropped(6).grown(2)
    assert cut.length == 8
    assert [cut.positions(rank).tolist() for rank in (0, 1)] == [[0, 1, 5, 6], [2, 3, 4, 7]]
    assert Deal(3).positions(1).tolist() == deal.cropped(0).positions(1).tolist() == []


def local(key_value_heads: int = 2) -> LocalEngine:
    return LocalEngine(folding(qwen2(1, key_value_heads)), stop_ids=(), trained_context=64, chunk_tokens=CHUNK)


@contextmanager
def spread(engine: LocalEngine, talk: Talk) -> Iterator[SpreadEngine | None]:
    """On the first rank the engine of all; on the others None, when it has ended."""
    if not talk.ranks.leads:
        follow(Shards(engine, talk))
        yield None
        return
    with leading(engine, talk) as together:
        yield together


def both_ways(ranks: Ranks, key_value_heads: int) -> Facts:
    """What one process and all of them make of the same prompts and questions."""
    own, talk, facts = local(key_value_heads), Talk.among(ranks), Facts()
    with spread(own, talk) as together:
        if together is not None:
            facts |= {str(length): _compared(own, together, length) for length in LENGTHS}
            facts["forks"] = _forked(own, together)
            facts["kept"] = _kept_otherwise(own, together)
            facts["shares"] = _shares(together)
            facts["interrupted"] = _interrupted(together)
            facts["woven"] = _woven(together)
            facts["refused"] = _refused(together)
    by_length = replace(own, rope=Dynamic(2.0))
    with spread(by_length, talk) as together:
        if together is not None:
            facts["turned"] = _turned(by_length, together)
    return facts


def _compared(own: LocalEngine, together: SpreadEngine, length: int) -> Facts:
    prompt, hidden = prompt_of(length), [(0, max(1, length // 3)), (length // 2, length // 2 + 1)]
    one, all_ = own.prefill(prompt), together.prefill(prompt)
    pairs = {
        "logprobs": [each.logprobs(kept, QUESTION, ANSWER) for each, kept in ((own, one), (together, all_))],
        "hidden": [
            each.force(kept, QUESTION, ANSWER, hidden=hidden).logprobs_A
            for each, kept in ((own, one), (together, all_))
        ],
        "attended": [each.attended(kept, QUESTION, ANSWER) for each, kept in ((own, one), (together, all_))],
        "last": [one.last_hidden_1D, all_.last_hidden_1D],
    }
    return {
        **{name: float((mine - theirs).abs().max()) for name, (mine, theirs) in pairs.items()},
        "tokens": [list(own.generate(one, QUESTION, GREEDY)), list(together.generate(all_, QUESTION, GREEDY))],
        "drawn": [
            list(each.generate(kept, QUESTION, replace(GREEDY, temperature=1.0, seed=5)))
            for each, kept in ((own, one), (together, all_))
        ],
        "many": [own.generate_many(one, QUESTIONS, GREEDY), together.generate_many(all_, QUESTIONS, GREEDY)],
        "length": [one.length, all_.length],
    }


def _forked(own: LocalEngine, together: SpreadEngine) -> Facts:
    """Both engines go the same way: two forks, of which one is cropped and forked again, and two extensions."""

    def way(engine: LocalEngine) -> list[list[int]]:
        kept: KeptPrefix = engine.prefill(prompt_of(37))
        first, second = engine.fork(kept, 30, prompt_of(9, 1)), engine.fork(kept, 37, prompt_of(1, 2))
        third = engine.fork(first.cropped(33), 33, prompt_of(20, 3))
        fourth = engine.extend(second, 20, prompt_of(25, 4))
        fifth = engine.extend(engine.prefill(prompt_of(20), room_tokens=30), 0, prompt_of(30, 5))
        sixth = engine.extend(fifth, 11, prompt_of(13, 6))
        with pytest.raises(ValueError, match="spent"):
            engine.prefill(prompt_of(1)) and engine.logprobs(second, QUESTION, ANSWER)
        return [list(engine.generate(each, QUESTION, GREEDY)) for each in (kept, first, third, fourth, sixth)]

    return {"tokens": [way(own), way(together)]}


def _kept_otherwise(own: LocalEngine, together: SpreadEngine) -> Facts:
    """The largest error of log-probabilities, by how keys and values are kept."""
    exact, found = own.logprobs(own.prefill(prompt_of(50)), QUESTION, ANSWER), Facts()
    for keeping in (Keeping("int8"), Keeping(where="disk")):
        engine = together.with_keeping(keeping)
        errors = engine.logprobs(engine.prefill(prompt_of(50)), QUESTION, ANSWER) - exact
        found[f"{keeping.dtype} on {keeping.where}"] = float(errors.abs().max())
    return found


def _shares(together: SpreadEngine) -> Facts:
    """Bytes that each rank holds: of nothing, of a long text, and when that is let go of."""
    gc.collect()
    before = [told.kept_bytes for told in together.told()]
    kept = together.prefill(prompt_of(1000))
    held = [told.kept_bytes for told in together.told()]
    config = together.language.config
    width = config.hidden_size // config.num_attention_heads
    whole = 2 * config.num_hidden_layers * config.num_key_value_heads * width * 4 * kept.length
    del kept
    gc.collect()
    return {"before": before, "held": held, "whole": whole, "after": [told.kept_bytes for told in together.told()]}


def _interrupted(together: SpreadEngine) -> Facts:
    """Somebody stops a reading between two chunks; the next reading is none the worse."""
    stop, heard = threading.Event(), list[int]()

    def progress(done: int, total: int) -> None:
        heard.append(done)
        stop.set()

    with pytest.raises(LongtakeError, match="cancelled"), cancelled_by(stop.is_set):
        together.prefill(prompt_of(100), progress=progress)
    tokens = list(together.generate(together.prefill(prompt_of(50)), QUESTION, GREEDY))
    return {"chunks": len(heard), "tokens": tokens}


def _woven(together: SpreadEngine) -> Facts:
    """Iterators on one prefix, one left half way, and threads."""
    kept = together.prefill(prompt_of(50))
    wanted = [list(together.generate(kept, question, GREEDY)) for question in QUESTIONS]
    with closing(together.generate(kept, [88], GREEDY)) as abandoned:
        next(abandoned)
        woven = list(zip(*(together.generate(kept, question, GREEDY) for question in QUESTIONS), strict=True))
    got: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: got.append(list(together.generate(kept, QUESTIONS[0], GREEDY))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"wanted": wanted, "woven": [list(column) for column in zip(*woven, strict=True)], "threads": got}


def _refused(together: SpreadEngine) -> list[str]:
    kept, told = together.prefill(prompt_of(5)), []
    for call in (kept.state, lambda: together.restored({}), lambda: together.with_rope(Dynamic(2.0))):
        with pytest.raises((ValueError, LongtakeError)) as caught:
            call()
        told.append(str(caught.value))
    return told


def _turned(own: LocalEngine, together: SpreadEngine) -> Facts:
    """Positions turned by the length of the whole: what was read as part of a shorter text is read anew."""

    def way(engine: LocalEngine) -> list[list[int]]:
        kept = engine.prefill(prompt_of(90))
        forked = engine.fork(kept, 60, prompt_of(50, 1))
        extended = engine.extend(engine.prefill(prompt_of(70)), 50, prompt_of(60, 2))
        asked = [list(engine.generate(each, QUESTION, GREEDY)) for each in (kept, forked, extended)]
        return [*asked, *engine.generate_many(kept, QUESTIONS, GREEDY)]

    return {"tokens": [way(own), way(together)]}


@pytest.fixture(scope="module", params=[(2, 2), (3, 1)], ids=["2 ranks, 2kv", "3 ranks, 1kv"])
def facts(request: pytest.FixtureRequest) -> Facts:
    size, heads = request.param
    return {"size": size, **run_ranks(both_ways, size, heads)[0]}


@pytest.mark.parametrize("length", LENGTHS)
def test_all_ranks_say_what_one_says(facts: Facts, length: int) -> None:
    found = facts[str(length)]
    for exact in ("tokens", "drawn", "many", "length"):
        assert found[exact][0] == found[exact][1], exact
    for near in ("logprobs", "hidden", "attended", "last"):
        assert found[near] < 1e-5, near


def test_the_toy_model_says_different_things(facts: Facts) -> None:
    """One that repeats itself would show little above."""
    assert len({token for length in LENGTHS for token in facts[str(length)]["tokens"][0]}) > 10


def test_forks_and_extensions_too(facts: Facts) -> None:
    one, all_ = facts["forks"]["tokens"]
    assert one == all_
    assert len(set(map(tuple, one))) == len(one)


def test_positions_that_are_turned_by_the_length_of_the_whole(facts: Facts) -> None:
    one, all_ = facts["turned"]["tokens"]
    assert one == all_


def test_each_rank_holds_its_share_of_the_keys_and_values_and_lets_go_of_it(facts: Facts) -> None:
    shares, size = facts["shares"], facts["size"]
    held = [now - before for now, before in zip(shares["held"], shares["before"], strict=True)]
    for one in held:
        assert 1.0 <= one / (shares["whole"] / size) < 1.1
    assert shares["after"] == shares["before"]


def test_other_ways_to_keep_are_each_ranks_own(facts: Facts) -> None:
    assert facts["kept"]["auto on disk"] < 1e-5
    assert 1e-5 < facts["kept"]["int8 on device"] < 0.2


def test_a_reading_that_is_stopped_leaves_the_ranks_in_step(facts: Facts) -> None:
    assert facts["interrupted"]["chunks"] == 1
    assert facts["interrupted"]["tokens"] == facts["50"]["tokens"][0]


def test_iterators_and_threads_do_not_mix(facts: Facts) -> None:
    woven = facts["woven"]
    assert woven["woven"] == woven["wanted"]
    assert woven["threads"] == [woven["wanted"][0]] * 3


def test_what_ranks_cannot_do_is_refused(facts: Facts) -> None:
    state, restored, rope = facts["refused"]
    assert "spread over ranks" in state
    assert "several ranks share" in restored
    assert rope.startswith("error[usage.bad_option]: --rope")


def _nan_on_the_last(ranks: Ranks) -> list[str]:
    """A weight that is no number, on the last rank alone: the first tells of it, twice, and nobody hangs."""
    engine, talk, told = local(), Talk.among(ranks), []
    if ranks.rank == ranks.size - 1:
        with torch.no_grad():
            engine.language.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with spread(engine, talk) as together:
        for _ in range(2 if together else 0):
            with pytest.raises(LongtakeError) as caught:
                together.prefill(prompt_of(50))
            told.append(str(caught.value))
    return told


def test_numbers_that_are_not_finite_on_one_rank_are_told_by_the_first() -> None:
    told = run_ranks(_nan_on_the_last, 2)[0]
    assert [line.partition(":")[0] for line in told] == ["error[model.nonfinite]"] * 2
    assert all("layers.1.mlp.up_proj" in line for line in told)


def _dying(talk: Talk) -> None:
    """Another rank: it does two orders, and then there is not enough memory."""
    shards = Shards(local(), talk)
    talk.order()
    shards.new(0, 10, 0, 0)
    talk.order()
    raise MemoryError("no room")


def test_a_rank_that_fails_is_told_by_the_first_with_its_reason() -> None:
    with (
        pytest.raises(LongtakeError, match=r"ranks.lost.*rank 1 has failed: MemoryError: no room"),
        company(_dying, 2, torch.device("cpu")) as talk,
        leading(local(), talk) as together,
    ):
        together.prefill(prompt_of(50))
