"""What other rules would have made of the calls of a time: a page of calls at once, in constant memory. Changes nothing.

The customers are those of today, and so is what is known of the calls; what was decided is as the ledger has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Decision, state_of
from offhook.pipeline.counting import kind_of
from offhook.pipeline.ports.books import Decided, KnownCalls
from offhook.pipeline.ports.past import Past, PastCall
from offhook.pipeline.steps import Judge, decide_anew

PAGE = 500
SAMPLES = 5
OF_STATE = {CallState.CONVERTED: "converted", CallState.PARKED: "waiting", CallState.SKIPPED: "skipped"}


@dataclass(frozen=True, slots=True)
class Change:
    """Calls that would go from one outcome to another: how many, and a few of their CallSids."""

    before: str
    after: str
    count: int
    samples: tuple[str, ...]


@dataclass(slots=True)
class Backtest:
    """What was seen so far. Outcomes are `converted`, `waiting: reason` and `skipped: reason`."""

    calls: int = 0
    unchanged: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    by_number: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def saw(self, call: PastCall, decision: Decision) -> None:
        """One call, and what it would come to."""
        self.calls += 1
        before, after = outcome(OF_STATE[call.state], call.reason), outcome_of(decision)
        if before == after:
            self.unchanged += 1
            return
        self.counts[before, after] += 1
        self.by_number.setdefault(call.ours, Counter())[before, after] += 1
        samples = self.samples.setdefault((before, after), [])
        if len(samples) < SAMPLES:
            samples.append(call.key.call_sid)

    @property
    def changed(self) -> list[Change]:
        """The most frequent first."""
        told = sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))
        return [Change(*which, count, tuple(self.samples[which])) for which, count in told]


def outcome(state: str, reason: str) -> str:
    """What a call came to, in a word and its reason. Of a converted one the reason is no matter."""
    return state if state == OF_STATE[CallState.CONVERTED] or not reason else f"{state}: {kind_of(reason)}"


def outcome_of(decision: Decision) -> str:
    """The same of a decision."""
    return outcome(OF_STATE[state_of(decision)], decision.reasons[0].word)


def decided_since(
    past: Past,
    books: KnownCalls,
    judge: Judge,
    since: datetime,
    now: datetime,
    *,
    states: Sequence[CallState] = tuple(OF_STATE),
    page: int = PAGE,
) -> Iterator[tuple[PastCall, Decided]]:
    """Each call of these states since then, with what it would come to by the rules of `judge`, the oldest first.

    Without those of which callbacks wait to be folded.
    """
    after: PastCall | None = None
    while calls := past.calls_since(since, after, page):
        after = calls[-1]
        wanted = {call.key: call for call in calls if call.state in states}
        for decided in decide_anew(books, list(wanted), judge, now):
            yield wanted[decided.call.key], decided


def backtest(found: Iterator[tuple[PastCall, Decided]], progress: Callable[[int], None] = lambda _: None) -> Backtest:
    """Sum up. `progress` is called with how many calls were seen."""
    result = Backtest()
    for call, decided in found:
        result.saw(call, decided.decision)
        progress(result.calls)
    return result


def changing(found: Iterator[tuple[PastCall, Decided]]) -> Iterator[CallKey]:
    """The calls that would come to something else."""
    for call, decided in found:
        if outcome(OF_STATE[call.state], call.reason) != outcome_of(decided.decision):
            yield call.key


def as_record(result: Backtest, rules_version: str) -> dict[str, object]:
    """All of it, as JSON has it."""
    return {
        "calls": result.calls,
        "unchanged": result.unchanged,
        "changed": [{**_from_to(one), "samples": list(one.samples)} for one in result.changed],
        "by_number": {ours: [_from_to(one) for one in every] for ours, every in as_numbers(result).items()},
        "rules_version": rules_version,
    }


def _from_to(one: Change) -> dict[str, object]:
    return {"from": one.before, "to": one.after, "count": one.count}


def as_numbers(result: Backtest) -> Mapping[str, Sequence[Change]]:
    """The changes by tracked number, as Twilio wrote it."""
    return {
        ours: [Change(*which, count, ()) for which, count in counts.most_common()]
        for ours, counts in sorted(result.by_number.items())
    }
