"""cli/judging: the command that has a judge mark a run's answers. Knows nothing of how it is asked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.hiding import resumable
from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.partial import end_partial
from longtake.cli.progress import bars
from longtake.cli.reporting import drawn
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.judges import Request, Settings
    from longtake.judges.asking import Judge, Limits
    from longtake.judges.costing import Estimate, Prices
    from longtake.judges.judging import Outcome
    from longtake.judges.kept import Kept
    from longtake.measure import Run
    from longtake.readers.endpoint import Endpoint
    from longtake.reports import Account

_SHOWN_REASONS = 5
_MODEL_FILES = ("*config.json", "tokenizer*", "*.safetensors")


@dataclass(frozen=True)
class Who:
    """The judge, as the user put it.

    Attributes:
        address: without the model; None for a model that is loaded here.
        drawing: most new tokens, temperature, seed.
        where: device and numbers of a model that is loaded here.
    """

    model: str
    address: str | None
    drawing: tuple[int, float, int]
    where: tuple[str, str]

    def settings(self) -> Settings:
        """What its replies depend on.

        Raises:
            LongtakeError: as `load`, of a model that is loaded here; `usage.bad_option` for an address that is none.
        """
        from longtake.judges import Settings

        if self.address is None:
            return Settings(self.model, _weights(self.model), *self.drawing)
        from longtake.readers.endpoint import endpoint_at

        # Refuses an address that holds a password, which would come to stand in the file.
        address = endpoint_at(f"{self.address}#{self.model}", option="--endpoint").address
        return Settings(self.model, "", *self.drawing, address=address)


@dataclass(frozen=True)
class Waiting:
    """How many are asked at once, and for how long, as the user put it."""

    at_once: int
    tries: int
    reply_s: float
    whole_s: float


@dataclass(frozen=True)
class Costs:
    """Prices and limits, as the user put them."""

    prices: tuple[float | None, float | None]
    most_tokens: int | None
    most_cost: float | None

    def checked(self) -> Prices:
        """The prices.

        Raises:
            LongtakeError: `usage.bad_option` for one price alone, or a limit in money without prices.
        """
        from longtake.judges.costing import Prices

        prices = Prices(*self.prices)
        if (prices.read is None) != (prices.new is None):
            reason, advice = "is one price alone", "give --price-in and --price-out, or neither"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--price-in, --price-out", reason, advice)
        if self.most_cost is not None and prices.read is None:
            reason, advice = "needs prices", "give --price-in and --price-out too, or --most-tokens instead"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--most-cost", reason, advice)
        return prices


@dataclass(frozen=True)
class Asked:
    """What is to be judged, by whom, and how, as the user put it."""

    folder: str
    who: Who
    name: str | None
    templates: str | None
    waiting: Waiting
    costs: Costs
    again: bool


@dataclass(frozen=True)
class _Bench:
    """All that judging needs, once what the user put is read and checked; nobody has been asked."""

    asked: Asked
    run: Run
    settings: Settings
    requests: tuple[Request, ...]
    prices: Prices
    name: str
    path: Path

    @cached_property
    def kept(self) -> Kept:
        """What the file holds now."""
        from longtake.judges.kept import begin

        return begin(self.path, self.requests, self.settings, again=self.asked.again)

    @cached_property
    def unjudged(self) -> Counter[str]:
        """Why no judge is asked about some questions, and how many they are."""
        from longtake.reports.judging import needs_judge, why_not

        reasons = (why_not(row) for row in self.run.rows if needs_judge(row))
        return Counter(why.partition(": ")[0] for why in reasons if why)

    def account(self) -> Account:
        """What the run comes to with this judge's marks."""
        from longtake.reports.accounting import accounts_of

        return accounts_of(Path(self.asked.folder), judges=(self.name,))[0]

    def estimate(self) -> Estimate:
        """What asking the rest takes. Words are counted roughly, whoever judges."""
        from longtake.judges.costing import estimate
        from longtake.readers.endpoint import guessed_tokens

        return estimate(self.kept.to_ask, guessed_tokens, self.settings.max_new_tokens, self.prices)

    def limits(self) -> Limits:
        from longtake.judges.asking import Limits

        costs = self.asked.costs
        return Limits(self.asked.waiting.at_once, costs.most_tokens, costs.most_cost, self.prices)


def judge_run(asked: Asked, *, dry_run: bool, released: bool, show: Show) -> None:
    """`longtake eval judge`: ask what was not asked before, keep it, print figures.

    Raises:
        LongtakeError: `usage.bad_option`; `data.bad`; `network.*` if nobody is there at all; `partial.failed` if some
            answers have no marks, after all that could be asked was.
        typer.Exit: the same status with --json.
    """
    from longtake.reports.tables import chief_of

    bench = _bench(asked)
    estimate = bench.estimate()
    if dry_run:
        say_json(_told_before(bench, estimate)) if show.as_json else say(_before(bench, estimate))
        return
    if show.talks:
        remark(_before(bench, estimate))
    outcome = _judged(bench, show)
    account = bench.account()
    told = _told(bench, outcome, estimate, account)
    if released:
        from longtake.judges.as_released import as_released

        told["released"] = as_released(outcome.lines)
    if show.as_json:
        say_json(told)
    else:
        say(drawn(chief_of([account])))
        say(_closing(told))
    _refuse_unscored(told, outcome, show)


def _bench(asked: Asked) -> _Bench:
    from longtake.judges.judging import requests_for
    from longtake.judges.kept import name_of, path_of
    from longtake.judges.prompts import own_prompts, read_prompts
    from longtake.measure.rows import read_run
    from longtake.reports.judging import answered_in, needs_judge

    folder, prices = Path(asked.folder), asked.costs.checked()
    run = read_run(folder)
    if not any(map(needs_judge, run.rows)):
        reason, advice = "no question of it needs a judge", f"{run.header.benchmark} is marked without one"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, asked.folder, reason, advice)
    prompts = own_prompts() if asked.templates is None else read_prompts(Path(asked.templates))
    requests = requests_for(answered_in(run), prompts)
    name = asked.name or name_of(asked.who.model)
    return _Bench(asked, run, asked.who.settings(), requests, prices, name, path_of(folder, name))


def _judged(bench: _Bench, show: Show) -> Outcome:
    from longtake.judges.judging import Work, judge_all

    judge = _judge(bench.asked, bench.settings, reached=bool(bench.kept.left))
    work = Work(bench.path, bench.requests, bench.asked.again)
    with resumable(bench.asked.folder), bars(wanted=show.talks) as progress:
        return judge_all(work, judge, bench.limits(), progress)


def _judge(asked: Asked, settings: Settings, *, reached: bool) -> Judge:
    """The judge; with `reached` somebody must be there, which is found out before anything is asked."""
    from longtake.judges.asking import judge_at, judge_here, judge_of_nothing

    if not reached:
        return judge_of_nothing(settings)
    if asked.who.address is None:
        from longtake.loading import load
        from longtake.readers.own import OwnReader

        device, dtype = asked.who.where
        return judge_here(OwnReader(load(asked.who.model, device=device, dtype=dtype)), settings)
    endpoint = _endpoint(asked)
    endpoint.check()
    return judge_at(replace(endpoint, patience=replace(endpoint.patience, waits_for_server=True)), settings)


def _endpoint(asked: Asked) -> Endpoint:
    from longtake.readers.endpoint import Patience, endpoint_at

    waiting = asked.waiting
    found = endpoint_at(f"{asked.who.address}#{asked.who.model}", option="--endpoint")
    patience = Patience(
        reply_s=waiting.reply_s, tries=waiting.tries, longest_pause_s=waiting.whole_s, whole_s=waiting.whole_s
    )
    return replace(found, patience=patience)


def _weights(model: str) -> str:
    """What tells a model that is loaded here from all others of its name, without loading it."""
    from longtake.identity import file_sha256, told_sha256
    from longtake.loading import folder_of

    found = (path for pattern in _MODEL_FILES for path in folder_of(model).glob(pattern))
    return told_sha256({path.name: file_sha256(path) for path in found})


def _before(bench: _Bench, estimate: Estimate) -> str:
    before, same = len(bench.kept.done), len(bench.kept.copied)
    lines = [estimate.told()]
    lines += [f"{before:,} judged before"] if before else []
    lines += [f"{same:,} in the very words of another"] if same else []
    lines += [f"{counted(bench.kept.dropped, 'torn line')} dropped"] if bench.kept.dropped else []
    left_out = sum(bench.unjudged.values())
    lines += [f"{left_out:,} that cannot be judged"] if left_out else []
    return "; ".join(lines)


def _told_before(bench: _Bench, estimate: Estimate) -> dict[str, object]:
    return {
        "run": bench.asked.folder,
        "file": str(bench.path),
        "judge": bench.settings.to_json(),
        "prompts": {request.prompt: request.prompt_sha256 for request in bench.requests},
        "estimate": estimate.as_dict(),
        "before": len(bench.kept.done),
    }


def _told(bench: _Bench, outcome: Outcome, estimate: Estimate, account: Account) -> dict[str, Any]:
    """What came of it, as `--json` prints it."""
    from longtake.judges.costing import Tokens

    tokens = Tokens(*(sum(getattr(line, f"{kind}_tokens") or 0 for line in outcome.lines) for kind in ("read", "new")))
    return {
        **_told_before(bench, estimate),
        "before": outcome.before,
        "asked": outcome.asked,
        "by": sorted({line.by for line in outcome.lines if line.by}),
        "requests": len(bench.requests),
        "scored": len(bench.requests) - outcome.unscored,
        "unscored": outcome.unscored,
        "reasons": dict(outcome.reasons),
        "unasked": outcome.unasked,
        "stopped": outcome.stopped,
        "dropped": outcome.dropped,
        "unjudged": dict(bench.unjudged.most_common()),
        "tokens": {"read": tokens.read, "new": tokens.new, "cost": bench.prices.cost(tokens)},
        "figures": [dataclasses.asdict(figure) for figure in account.figures],
    }


def _closing(told: Mapping[str, Any]) -> str:
    named = ", ".join(f"{prompt} {sha256[:12]}" for prompt, sha256 in told["prompts"].items())
    by = f", by its own account {', '.join(told['by'])}" if told["by"] else ""
    text = [f"judge {told['judge']['model']}{by}; asked with {named}"]
    tokens = told["tokens"]
    cost = "" if tokens["cost"] is None else f", {tokens['cost']:,.4g}"
    text.append(f"{told['asked']:,} asked, {told['before']:,} before; {tokens['read'] + tokens['new']:,} tokens{cost}")
    for prompt, stats in told.get("released", {}).items():
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in stats.items())
        text.append(f"as the released scripts count {prompt}: {shown}")
    reasons: Sequence[tuple[str, int]] = list(told["reasons"].items())
    text += [f"  {count:,} without marks: {reason}" for reason, count in reasons[:_SHOWN_REASONS]]
    more = sum(count for _, count in reasons[_SHOWN_REASONS:])
    text += [f"  {more:,} without marks for other reasons; the file tells them"] if more else []
    return "\n".join([*text, told["file"]])


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _refuse_unscored(told: Mapping[str, Any], outcome: Outcome, show: Show) -> None:
    """Figures are told; that they do not rest on everything is, too."""
    if not told["unscored"] and not told["unjudged"]:
        return
    reasons = (
        [f"{told['unscored']:,} of {counted(told['requests'], 'request')} have no marks"] if told["unscored"] else []
    )
    reasons += [f"of these {told['unasked']:,} were not asked: {outcome.stopped}"] if told["unasked"] else []
    reasons += [f"{counted(count, 'question')} cannot be judged: {why}" for why, count in told["unjudged"].items()]
    advice = "run the same command again for what had no reply; --again for replies without marks"
    end_partial(told["file"], "; ".join(reasons), advice, show=show)
