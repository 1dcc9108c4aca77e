"""What other rules would have made of the calls of a time: a page of calls at once, in constant memory. Changes nothing.

The customers are those of today, and so is what is known of the calls; what was decided is as the ledger has it. A call is
taken as the ledger keeps it where that is enough, which is many times cheaper than to read its callbacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.pipeline.call import Call, CallState, Leg, fold
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.conversion import WEIGHED_PARAMS, Counts, Weighed, state_of
from offhook.pipeline.counting import kind_of
from offhook.pipeline.ends import is_our_own, their_end
from offhook.pipeline.ports.books import KnownCalls
from offhook.pipeline.ports.past import Past, PastCall
from offhook.pipeline.sent_otherwise import SentOtherwise
from offhook.pipeline.steps import Judge, calls_of, weigh_anew
from offhook.pipeline.story import Verdict
from offhook.pipeline.words import STATES, reason_in_words, word_of

PAGE = 1000
WAITING = 1000  # callbacks that may wait to be folded while calls are still taken as the ledger keeps them
Found = Iterator[tuple[PastCall, Weighed]]
"""Calls, each with what it would come to."""
SAMPLES = 5
MOST_COUNTED = 10_000_000
"""Calls, to say how far it is; of more it is not known how many there are."""
OF_STATE = {CallState.CONVERTED: "converted", CallState.PARKED: "waiting", CallState.SKIPPED: "skipped"}

CONVERTED = OF_STATE[CallState.CONVERTED]


@dataclass(frozen=True, slots=True)
class Change:
    """Calls that would go from one outcome to another: how many, and a few of their CallSids."""

    before: str
    after: str
    count: int
    samples: tuple[str, ...]

    @property
    def was_converted(self) -> bool:
        return self.before.partition(": ")[0] == CONVERTED


@dataclass(slots=True)
class Backtest:
    """What was seen so far. Outcomes are `converted`, `waiting: reason` and `skipped: reason`; of a call that counts by both
    rules and would be sent otherwise, as far as `otherwise` says, `converted: what differs`.

    `in_full` is an outcome of which every call that would come to another one is named, and not a few.
    """

    otherwise: SentOtherwise | None = None
    calls: int = 0
    unchanged: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    by_number: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    in_full: str | None = None

    def saw(self, call: PastCall, found: Weighed) -> None:
        """One call, and what it would come to."""
        self.calls += 1
        before, after = outcome(OF_STATE[call.state], call.reason), outcome_of(found)
        if before == after == CONVERTED and self.otherwise is not None and isinstance(found, Counts):
            was, would = self.otherwise.of(call, found) or ("", "")
            before, after = (f"{CONVERTED}: {was}", f"{CONVERTED}: {would}") if was != would else (before, after)
        if before == after:
            self.unchanged += 1
            return
        self.counts[before, after] += 1
        self.by_number.setdefault(call.ours, Counter())[before, after] += 1
        samples = self.samples.setdefault((before, after), [])
        if len(samples) < SAMPLES or before == self.in_full:
            samples.append(call.key.call_sid)

    @property
    def changed(self) -> list[Change]:
        """The most frequent first."""
        most_frequent = sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))
        return [Change(*which, count, tuple(self.samples[which])) for which, count in most_frequent]


def outcome(state: str, reason: str) -> str:
    """What a call came to, in a word and its reason. Of a converted one the reason is no matter."""
    return state if state == CONVERTED or not reason else f"{state}: {kind_of(reason)}"


def outcome_of(found: Weighed) -> str:
    """The same of what a call would come to."""
    return outcome(OF_STATE[state_of(found)], "" if isinstance(found, Counts) else found.reasons[0].word)


_WORDS: Mapping[str, str] = {
    CONVERTED: STATES[CallState.CONVERTED],
    OF_STATE[CallState.PARKED]: word_of(Verdict.UNKNOWN_CALLER).label,
    OF_STATE[CallState.SKIPPED]: word_of(Verdict.DOES_NOT_COUNT).label,
}


def outcome_in_words(outcome: str) -> str:
    """An outcome (`skipped: too_short`) as a reader has it: `Does not count: too short`."""
    what, _, reason = outcome.partition(": ")
    label = _WORDS.get(what, what)
    if what == CONVERTED:  # what is sent of it, as the rules write it
        return f"{label}: {reason}" if reason else label
    is_plain = not reason or reason == "caller_not_in_mapping"
    return label if is_plain else f"{label}: {reason_in_words(reason)}"


def weighed_since(
    past: Past,
    books: KnownCalls,
    judge: Judge,
    since: datetime,
    *,
    states: Sequence[CallState] = tuple(OF_STATE),
    page: int = PAGE,
) -> Found:
    """Each call of these states since then, with what it would come to by the rules of `judge`: page by page, the oldest
    page first.

    Without those of which callbacks wait to be folded.
    """
    after: PastCall | None = None
    while calls := past.calls_since(since, after, page):
        after = calls[-1]
        wanted = {call.key: call for call in calls if call.state in states}
        for key, found in weigh_anew(books, _known(past, books, judge, wanted), judge):
            yield wanted[key], found


def _known(past: Past, books: KnownCalls, judge: Judge, wanted: Mapping[CallKey, PastCall]) -> list[Call]:
    """As the ledger keeps them; as their callbacks say, where what the rules ask, or whose call it is, hangs on these."""
    waiting = past.waiting(WAITING)
    unsure = wanted.keys() if waiting is None else wanted.keys() & waiting
    sure = [as_call(call) for key, call in wanted.items() if key not in unsure and is_enough(call, judge)]
    read = _read(past, sorted(wanted.keys() - unsure - {call.key for call in sure}), judge)
    left = wanted.keys() - {call.key for call in (*sure, *read)}
    return [*sure, *read, *(calls_of(books, sorted(left), judge) if left else ())]


def _read(past: Past, keys: Sequence[CallKey], judge: Judge) -> list[Call]:
    """As their callbacks say, of whose parameters only those are read that weighing looks at: reading is most of the time."""
    names = WEIGHED_PARAMS | judge.rules.params_asked
    found = past.callbacks_of(keys) if keys else {}
    return [fold(key, [judge.read(raw, names) for raw in raws]) for key, raws in found.items()]


def is_enough(call: PastCall, judge: Judge) -> bool:
    """Whether it comes to the same by what the ledger keeps of it as by its callbacks.

    The customer's number is written in full and none of our own people's, so that no parameter and no leg says more of it.
    """
    if judge.rules.needs_callbacks:
        return False
    theirs = call.to if call.direction is Direction.OUTBOUND_API else call.from_
    end = their_end(theirs, None, judge.numbering)
    return theirs.startswith("+") and end.e164 is not None and not is_our_own(end, judge.rules.ours)


def as_call(call: PastCall) -> Call:
    """The call without Twilio's parameters and without the legs that it dialled."""
    ends = (call.status, call.direction, call.from_, call.to)
    root = Leg(call.key.call_sid, None, *ends, call.duration_seconds, call.ended_at)
    return Call(call.key, root, (), 1, call.first_received_at, call.final_at)


def backtest(
    found: Found,
    progress: Callable[[int], None] = lambda _: None,
    otherwise: SentOtherwise | None = None,
    *,
    in_full: str | None = None,
) -> Backtest:
    """Sum up. `progress` is called with how many calls were seen; see Backtest for `in_full`. Without `otherwise` a call that
    counts by both rules is unchanged, whatever is sent of it.
    """
    result = Backtest(otherwise, in_full=in_full)
    for call, weighed in found:
        result.saw(call, weighed)
        progress(result.calls)
    return result


def changing(found: Found) -> Iterator[CallKey]:
    """The calls that would come to something else."""
    for call, weighed in found:
        if outcome(OF_STATE[call.state], call.reason) != outcome_of(weighed):
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
