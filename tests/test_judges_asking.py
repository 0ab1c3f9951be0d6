"""How a judge behind a real socket is asked: never too many at once, patiently; stopped, and gone on with."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat import Chat, Sent, refused, served
from judging import GOOD, judging, lines, number_in, opens, run_folder
from longtake.judges import Answered, Request, Settings
from longtake.judges.asking import Limits, ask_all, judge_at
from longtake.judges.costing import Prices
from longtake.judges.prompts import own_prompts, requests_of
from longtake.readers.endpoint import Endpoint, Patience
from running import LONGTAKE, ONE_LINE

KEY = "sk-very-secret-0123456789"
SETTINGS = Settings("m")


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(Chat(lambda text: GOOD)) as running:
        yield running


# --- how it is asked


def ready(count: int) -> list[Request]:
    return [requests_of(Answered(item, f"It is {item.reference}."), own_prompts())[0] for item in opens(count)]


def heard(requests: list[Request], chat: Chat, limits: Limits, **patience: Any) -> tuple[dict[str, Any], str]:
    """Each request's line, and why some were not asked."""
    found: dict[str, Any] = {}
    endpoint = Endpoint(chat.url, "m", patience=Patience(**({"pause_s": 0.01, "longest_pause_s": 30.0} | patience)))
    stopped = ask_all(
        requests, judge_at(endpoint, SETTINGS), limits, lambda request, line: found.update({request.id: line})
    )
    return found, stopped


def test_never_more_at_once_than_may_be(chat: Chat) -> None:
    """All that may be asked together are: each waits until the others are there too."""
    together, now, most, lock = threading.Barrier(3, timeout=30), [0], [0], threading.Lock()

    def reply(text: str) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()
        with lock:
            now[0] -= 1
        return GOOD

    chat.reply = reply
    found, stopped = heard(ready(12), chat, Limits(at_once=3))
    assert (len(found), stopped, most[0]) == (12, "", 3)


def test_what_one_is_told_to_wait_all_wait(chat: Chat) -> None:
    """One 429 with Retry-After holds back the others too, not only the one that was told."""
    times: list[float] = []
    lock = threading.Lock()

    def reply(text: str) -> str | Sent:
        with lock:
            times.append(time.monotonic())
            first = len(times) == 1
        return refused(429, "wait", ("Retry-After", "1")) if first else GOOD

    chat.reply = reply
    found, _ = heard(ready(12), chat, Limits(at_once=2), tries=2)
    assert all(line.marks for line in found.values()) and len(times) == 13
    # One may have been under way by then, and another if the first was slow to come back.
    early = sum(moment < times[0] + 1.0 for moment in times)
    assert early <= 4


def test_a_server_that_is_started_anew_is_waited_for(chat: Chat) -> None:
    """One server goes, and a moment later there is one at the same address again."""
    with served(Chat(lambda text: GOOD)) as first:
        port = int(first.url.split(":")[2].split("/")[0])
    endpoint = Endpoint(
        first.url, "m", patience=Patience(pause_s=0.2, tries=50, longest_pause_s=0.2, waits_for_server=True)
    )
    found: list[Any] = []
    asking = threading.Thread(
        target=lambda: ask_all(ready(2), judge_at(endpoint, SETTINGS), Limits(), lambda _, line: found.append(line))
    )
    asking.start()
    with served(Chat(lambda text: GOOD), port=port):
        asking.join(60)
    assert [line.marks for line in found] == [{"match": 1, "score": 4}] * 2


def test_it_is_given_up_when_nothing_comes(chat: Chat) -> None:
    chat.reply = lambda text: refused(500, "broken")
    found, stopped = heard(ready(30), chat, Limits(at_once=2, give_up_after=5), tries=1)
    assert len(found) == 5 and "no reply came to 5 requests in a row; the last: network.unreachable" in stopped
    assert len(chat.texts) <= 5 + 2


def test_money_is_reserved_before_it_is_spent(chat: Chat) -> None:
    """Four at once, and a limit that two could reach: two are under way, never more."""
    prices = Prices(1e6, 1e6)
    requests = ready(4)
    judge = judge_at(Endpoint(chat.url, "m"), SETTINGS)
    each = sum(judge.count(message["content"]) + 5 for message in requests[0].messages) + 256
    found, stopped = heard(requests, chat, Limits(4, most_cost=2.5 * each, prices=prices))
    assert "more could cost more" in stopped and len(found) == len(chat.texts) == 2


def test_a_bug_ends_it(chat: Chat) -> None:
    endpoint = Endpoint(chat.url, "m", patience=Patience(tries=0))
    with pytest.raises(ValueError, match="tries is 0"):
        ask_all(ready(1), judge_at(endpoint, SETTINGS), Limits(), lambda request, line: None)


# --- stopped


def test_killed_at_random_and_gone_on_with_nothing_is_asked_twice(chat: Chat, tmp_path: Path) -> None:
    """kill -9 while replies come: the file ends as an undisturbed one; no reply that was kept is asked for again."""
    count, random_ = 60, random.Random(8)
    chat.reply = lambda text: f'{{"pred": "yes", "score": {number_in(text) % 6}}}'
    calm = run_folder(tmp_path / "calm", opens(count))
    assert run(judging(calm, chat)).wait() == 0
    chat.texts.clear()
    folder = run_folder(tmp_path / "killed", opens(count))
    for _ in range(3):
        before, begun = kept_ids(folder), len(chat.texts)
        goal = begun + random_.randint(3, 15)
        chat.reply = slowly(chat, goal)
        process = run(judging(folder, chat, "--parallel", "2"))
        while process.poll() is None and len(chat.texts) < goal:
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert not before & {str(number_in(text)) for text in chat.texts[begun:]}
        assert kept_ids(folder) >= before
    with (folder / "judge-m.jsonl").open("a") as file:
        file.write('{"id": "1", "prompt": "op')
    before, begun = kept_ids(folder), len(chat.texts)
    assert 0 < len(before) < count
    chat.reply = lambda text: f'{{"pred": "yes", "score": {number_in(text) % 6}}}'
    assert run(judging(folder, chat)).wait() == 0
    assert sorted(number_in(text) for text in chat.texts[begun:]) == sorted(
        set(range(1, count + 1)) - set(map(int, before))
    )
    assert lines(folder, "m") == lines(calm, "m")


def slowly(chat: Chat, goal: int) -> Callable[[str], str]:
    """Answers as it should; what comes behind `goal` waits for longer than the process lives."""

    def reply(text: str) -> str:
        time.sleep(0.02 if len(chat.texts) < goal else 0.3)
        return f'{{"pred": "yes", "score": {number_in(text) % 6}}}'

    return reply


def run(arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*LONGTAKE, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kept_ids(folder: Path) -> set[str]:
    path = folder / "judge-m.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return {json.loads(line)["id"] for line in whole}


def test_ctrl_c_does_not_wait_for_replies(chat: Chat, tmp_path: Path) -> None:
    folder, late = run_folder(tmp_path / "run", opens(4)), threading.Event()
    chat.reply = lambda text: GOOD if number_in(text) == 1 else (late.wait(60), GOOD)[1]
    process = subprocess.Popen(
        [*LONGTAKE, *judging(folder, chat, "-q")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while len(chat.texts) < 4 or not kept_ids(folder):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    late.set()
    assert process.returncode == 130 and ONE_LINE.fullmatch(err) and "its rows are kept" in err
    assert kept_ids(folder) == {"1"}


def test_a_disk_that_is_full(chat: Chat, tmp_path: Path) -> None:
    """Told as such; what was kept is whole, and with room again the rest is asked."""
    folder = run_folder(tmp_path / "run", opens(12))
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
    limited += "from longtake.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = judging(folder, chat, "--parallel", "1", "-q")
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True)
    assert done.returncode == 7 and ONE_LINE.fullmatch(done.stderr) and "judge-m.jsonl" in done.stderr
    before = kept_ids(folder)
    assert (folder / "judge-m.jsonl").stat().st_size == 4000 and 0 < len(before) < 12
    chat.texts.clear()
    assert run(judging(folder, chat)).wait() == 0
    assert {str(number_in(text)) for text in chat.texts} == {str(n) for n in range(1, 13)} - before
    assert len(lines(folder, "m")) == 12
