"""The moves, in the order of the data: fold, resolve, decide, deliver. Each gathers, decides with a pure function, and applies.

`receive` is the ledger's `append`: there is nothing between a verified callback and its being kept.
A step does one batch and says how much it did; it never loops, sleeps or starts a thread (worker.py does).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from offhook.pipeline.call import Call, CallEvent, fold
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.conversion import (
    LATE,
    SEVERAL_CUSTOMERS,
    UNKNOWN_TOO_LONG,
    Convert,
    Decision,
    Park,
    Skip,
    Weighed,
    decide,
    weigh,
    why,
)
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import DAY_TURNED, Outcome, Result, RetryPolicy, Sending, after, may_resend
from offhook.pipeline.delivery_log import log_finished, log_moved
from offhook.pipeline.earlier import Earlier
from offhook.pipeline.emails import Emails
from offhook.pipeline.ends import Numbering, customer_number
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.ports.books import (
    Asking,
    Bookkeeping,
    Books,
    CallBefore,
    Decided,
    Folded,
    KnownCalls,
    Settled,
    Stored,
)
from offhook.pipeline.ports.destination import Destination, Encode
from offhook.pipeline.ports.outbox import Attempt, Outbox
from offhook.pipeline.ports.reader import Reader
from offhook.pipeline.ports.rule_texts import RuleTexts
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.facts import EarlierCall
from offhook.pipeline.unfinished import OpenCall, sentence


class AsOf(StrEnum):
    """When a caller is looked up (setting OFFHOOK_CUSTOMERS_AS_OF)."""

    NOW = "now"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Judge:
    """What a decision needs beside the call: the rules, how numbers are read, and how to write a payload.

    Of a customer's calls before, the latest `history_calls` are looked at.
    `day_zone` is the time zone in which Rockerbox's day turns, `as_of` whether a caller is who has the number now, or who
    had it at the time of the call, `emails` how an email is sent.
    """

    rules: Rules
    numbering: Numbering
    encode: Encode
    read: Reader
    settle_seconds: float
    history_calls: int = 100
    day_zone: tzinfo = UTC
    as_of: AsOf = AsOf.NOW
    emails: Emails = field(default_factory=Emails)

    def number(self, call: Call) -> str | None:
        """The number that the customer of a call is known by."""
        return customer_number(call, self.numbering, self.rules.ours).number


def fold_batch(ledger: Bookkeeping, judge: Judge, limit: int, *, newest: bool = False) -> int:
    """Take callbacks that no call has taken in yet into their calls: the oldest, or the newest. Returns how many."""
    with ledger.books() as books:
        return 0 if books is None else _take_in(books, books.unfolded(limit, newest=newest), judge)


def _take_in(books: Books, fresh: Sequence[Stored], judge: Judge) -> int:
    """With each callback all others of its call that have come are taken in. Returns how many callbacks."""
    if not fresh:
        return 0
    families = books.families(fresh)
    calls = [_folded(key, raws, judge) for key, raws in families.calls.items()]
    books.save(families, [_folding(call, judge) for call in calls])
    return len(families.seqs)


def _folding(call: Call, judge: Judge) -> Folded:
    return Folded(call, _settle_at(call, judge), judge.number(call))


def _folded(key: CallKey, raws: Sequence[RawCallback], judge: Judge) -> Call:
    return fold(key, [judge.read(raw) for raw in raws])


def _settle_at(call: Call, judge: Judge) -> datetime | None:
    """When the call may be decided: its child legs must have had the time to arrive."""
    if call.final_at is None or call.root is None or call.root.parent_call_sid:
        return None
    return call.final_at + timedelta(seconds=judge.settle_seconds)


def decide_batch(
    ledger: Bookkeeping,
    judge: Judge,
    now: datetime,
    limit: int,
    *,
    newest: bool = False,
    look_ups: LookUpPolicy | None = None,
) -> int:
    """Decide calls that are final and settled. Decision and conversion are one transaction.

    With `look_ups`, those wait whose callers must be looked up first. Returns how many calls, these too; or, where legs
    of these calls have arrived and wait to be folded, how many callbacks were taken in instead: after a stop thousands may
    wait, and no call is decided without legs that are here.
    """
    with ledger.books() as books:
        return 0 if books is None else _decide(books, books.due(now, limit, newest=newest), judge, now, look_ups)


@dataclass(slots=True)
class ParkedReview:
    """A walk through all parked calls, a page at a time. `after` is where it stands, None when it is over."""

    after: str | None = ""


def review_parked_batch(
    ledger: Bookkeeping, judge: Judge, now: datetime, limit: int, review: ParkedReview | None = None
) -> int:
    """Decide parked calls anew whose caller is in the mapping by now: those of the next page. Returns how many calls."""
    walk = review or ParkedReview()
    with ledger.books() as books:
        if books is None or walk.after is None:
            return 0
        page = books.parked(walk.after, limit)
        found = books.settled(page.to_decide)
        if found.unlinked:
            return _take_in(books, found.unlinked, judge)
        walk.after = page.after
        return _judge_again(books, found, judge, now)


def _judge_again(books: Books, found: Settled, judge: Judge, now: datetime) -> int:
    return _judge(books, found, judge, now, lambda _: now)


def give_up_batch(ledger: Bookkeeping, judge: Judge, now: datetime, after_seconds: float, limit: int) -> int:
    """Skip parked calls that came so long ago and whose caller is still not known: the oldest. One that is known by now is
    decided like any other. Returns how many calls.
    """
    with ledger.books() as books:
        if books is None:
            return 0
        found = books.settled(books.parked_since(now - timedelta(seconds=after_seconds), limit))
        if found.unlinked:
            return _take_in(books, found.unlinked, judge)
        days = f"{after_seconds / 86400:g}"
        return _judge(books, found, judge, now, lambda _: now, lambda one: _given_up(one, days))


def _marked(books: Books, decided: Sequence[Decided], judge: Judge) -> list[Decided]:
    """Calls that waited for their caller and are sent on another day of Rockerbox's than their own are marked."""
    late = {one.call.key: marked for one in decided if (marked := _late(one, judge))}
    waited = books.waited(late.keys()) if late else ()
    return [late[one.call.key] if one.call.key in waited else one for one in decided]


def _late(one: Decided, judge: Judge) -> Decided | None:
    """It with the mark of a release; None where nothing is sent, or on the call's own day."""
    if not isinstance(one.decision, Convert):
        return None
    called, known = (
        at.astimezone(judge.day_zone).date() for at in (one.decision.conversion.occurred_at, one.decided_at)
    )
    if called == known:
        return None
    late = why(LATE, called_on=called.isoformat(), known_on=known.isoformat())
    return replace(one, decision=replace(one.decision, reasons=(*one.decision.reasons, late)))


def _given_up(one: Decided, days: str) -> Decided:
    """A call that would wait on is skipped."""
    if not isinstance(one.decision, Park):
        return one
    is_shared = any(reason.word == SEVERAL_CUSTOMERS for reason in one.decision.reasons)
    reason = why(UNKNOWN_TOO_LONG, int(is_shared), number=one.customer_phone or "-", days=days)
    return replace(one, decision=Skip((reason,), one.decision.because))


def _decide(
    books: Books, keys: Sequence[CallKey], judge: Judge, now: datetime, look_ups: LookUpPolicy | None = None
) -> int:
    found = books.settled(keys)
    if found.unlinked:
        return _take_in(books, found.unlinked, judge)
    waiting = _let_wait(books, found, judge, now, look_ups) if look_ups else set()
    found = replace(found, calls={key: raws for key, raws in found.calls.items() if key not in waiting})
    # A call of now stands before those that wait from before a stop, however late each is decided.
    at_its_end = _judge(books, found, judge, now, lambda call: min(now, _settle_at(call, judge) or now))
    return at_its_end + len(waiting)


def _let_wait(books: Books, found: Settled, judge: Judge, now: datetime, look_ups: LookUpPolicy) -> Collection[CallKey]:
    """Calls whose callers must be looked up first. They come back with the answer, and now and then to be on the safe side."""
    asked = books.unresolved(list(found.calls), now)
    if judge.rules.look_at_the_call_alone:
        asked = {key: phone for key, phone in asked.items() if not _is_skipped(key, found.calls[key], judge)}
    if asked:
        books.let_wait(asked, now, now + timedelta(seconds=look_ups.again_seconds))
    return asked.keys()


def _is_skipped(key: CallKey, raws: Sequence[RawCallback], judge: Judge) -> bool:
    """Whether rules that look at the call alone skip it: then whoever the caller is."""
    return isinstance(weigh(_folded(key, raws, judge), None, judge.rules, judge.numbering), Skip)


def release_batch(ledger: Bookkeeping, judge: Judge, now: datetime, limit: int, *, every: bool = False) -> int:
    """Calls whose callers were looked up are due; with `every`, all that wait for a look-up. Returns how many numbers; or,
    where parked calls of these were decided first, how many calls.
    """
    with ledger.books() as books:
        if books is None:
            return 0
        answered = books.answered(limit, every=every)
        found = books.settled(answered.parked)
        if found.unlinked:
            return _take_in(books, found.unlinked, judge)
        if found.calls:
            return _judge_again(books, found, judge, now)
        books.release(answered.numbers, now, now - timedelta(seconds=judge.settle_seconds), every=every)
        return len(answered.numbers)


def decide_anew(books: KnownCalls, keys: Sequence[CallKey], judge: Judge, now: datetime) -> Sequence[Decided]:
    """What these calls would come to today, whatever was decided of them. Changes nothing.

    Without those of which callbacks wait to be folded, and those that are no calls of their own any more.
    """
    return _decisions(books, calls_of(books, keys, judge), judge, now, lambda _: now)


def calls_of(books: KnownCalls, keys: Sequence[CallKey], judge: Judge) -> list[Call]:
    """These calls as their callbacks say; without those of which callbacks wait, and those that are no calls any more."""
    found = books.settled(keys)
    if found.unlinked and len(keys) > 1:
        return [call for key in keys for call in calls_of(books, [key], judge)]
    return [] if found.unlinked else _all_folded(found, judge)


def weigh_anew(books: KnownCalls, calls: Sequence[Call], judge: Judge) -> Iterator[tuple[CallKey, Weighed]]:
    """The same of calls as they are given, without making anything of those that count."""
    known = _gathered(books, calls, judge)
    for call in _in_order(calls):
        _, customer, earlier = known.of(call)
        found = weigh(call, customer, judge.rules, judge.numbering, earlier)
        known.earlier.decided(call.key, found)
        yield call.key, found


def apply_rules(ledger: Bookkeeping, judge: Judge, keys: Sequence[CallKey], now: datetime) -> int | None:
    """Decide these calls anew by the rules of `judge`, because a person asked: skipped ones and those that wait.

    What was converted meanwhile is left alone. Returns how many were decided; None while another has the books.
    """
    keep_text(ledger, judge.rules, now)
    with ledger.books() as books:
        if books is None:
            return None
        found = books.settled(keys)
        if found.unlinked:
            return 0
        decided = _decisions(books, _all_folded(found, judge), judge, now, lambda _: now)
        books.record(_marked(books, decided, judge), CallEvent.DECIDE_ANEW)
        return len(decided)


def keep_text(texts: RuleTexts, rules: Rules, now: datetime) -> None:
    """Keep the text of rules before the first decision by them: no worker need have used them. Where it is kept already
    nothing is written.
    """
    if texts.kept_rules(rules.version) is None:
        texts.keep_rules(rules, now)


def _judge(
    books: Books,
    found: Settled,
    judge: Judge,
    now: datetime,
    due_at: Callable[[Call], datetime],
    finally_: Callable[[Decided], Decided] = lambda one: one,
) -> int:
    """`finally_` makes of each decision what is recorded."""
    if not found.calls:
        return 0
    decided = _decisions(books, _all_folded(found, judge), judge, now, due_at)
    books.record([finally_(one) for one in _marked(books, decided, judge)])
    return len(decided)


def _all_folded(found: Settled, judge: Judge) -> list[Call]:
    return [_folded(key, raws, judge) for key, raws in found.calls.items()]


def _in_order(calls: Iterable[Call]) -> list[Call]:
    """As they began: an earlier one may speak for a later one of the same customer."""
    return sorted(calls, key=lambda one: one.started_at)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knows of some calls beside themselves: whose they are, and what these customers did before."""

    numbers: Mapping[CallKey, str | None]
    now: Mapping[str, Customer]
    then: Mapping[CallKey, Customer]
    version: int
    earlier: Earlier

    def of(self, call: Call) -> tuple[str | None, Customer | None, Sequence[EarlierCall] | None]:
        """The number of its customer, who that is, and the calls before."""
        number = self.numbers[call.key]
        return number, self.then.get(call.key) or self.now.get(number or ""), self.earlier.before(call, number)


def _gathered(books: KnownCalls, calls: Sequence[Call], judge: Judge) -> _Known:
    numbers = {call.key: judge.number(call) for call in calls}
    customers, version = books.customers({number for number in numbers.values() if number})
    then = _of_then(books, calls, numbers) if judge.as_of is AsOf.CALL else {}
    return _Known(numbers, customers, then, version, _earlier(books, calls, numbers, judge))


def _decisions(
    books: KnownCalls, calls: Sequence[Call], judge: Judge, now: datetime, due_at: Callable[[Call], datetime]
) -> list[Decided]:
    known = _gathered(books, calls, judge)
    decided: list[Decided] = []
    for call in _in_order(calls):
        number, customer, earlier = known.of(call)
        one = _decided(call, number, customer, judge, now, due_at(call), known.version, earlier)
        known.earlier.decided(call.key, one.decision)
        decided.append(one)
    return decided


def _earlier(books: KnownCalls, calls: Sequence[Call], numbers: Mapping[CallKey, str | None], judge: Judge) -> Earlier:
    """What the customers of these calls did before; of nobody where the rules need not know it."""

    def ask() -> Mapping[CallKey, Sequence[CallBefore]]:
        asking = {
            call.key: Asking(number, _until(call, judge), call.key) for call in calls if (number := numbers[call.key])
        }
        found = books.calls_before(list(asking.values()), judge.history_calls)
        return dict(zip(asking, found, strict=True))

    return Earlier(ask if judge.rules.looks_back else None, judge.numbering, judge.rules.ours)


def _until(call: Call, judge: Judge) -> datetime:
    """Callbacks of other calls that came later do not count for this one."""
    return _settle_at(call, judge) or call.first_received_at


def _of_then(
    books: KnownCalls, calls: Sequence[Call], numbers: Mapping[CallKey, str | None]
) -> dict[CallKey, Customer]:
    """Who had the numbers of these calls when each was over; where nobody had it yet, whoever had it first."""
    asked = {call.key: (numbers[call.key] or "", call.ended_at) for call in calls if numbers[call.key]}
    found = books.customers_as_of(set(asked.values()))
    return {key: found[of] for key, of in asked.items() if of in found}


def _decided(
    call: Call,
    number: str | None,
    customer: Customer | None,
    judge: Judge,
    now: datetime,
    due_at: datetime,
    version: int,
    earlier: Sequence[EarlierCall] | None,
) -> Decided:
    decision = decide(call, customer, judge.rules, judge.numbering, earlier)
    decision = _with_email_as_sent(decision, judge.emails)
    return Decided(
        call=call,
        decision=decision,
        decided_at=now,
        due_at=due_at,
        rules_version=judge.rules.version,
        mapping_version=version,
        payload=judge.encode(decision.conversion) if isinstance(decision, Convert) else None,
        customer_phone=number,
        customer_row=customer.row if customer else None,
    )


def _with_email_as_sent(decision: Decision, emails: Emails) -> Decision:
    if not isinstance(decision, Convert):
        return decision
    sent = emails.sent(decision.conversion.email)
    return replace(decision, conversion=replace(decision.conversion, email=sent))


def leave_unfinished_batch(
    ledger: Bookkeeping, judge: Judge, now: datetime, after_seconds: float, limit: int
) -> Sequence[OpenCall]:
    """Call those unfinished that were first received so long ago and have no final status: the oldest. Returns them."""
    with ledger.books() as books:
        if books is None:
            return ()
        found = books.open_since(now - timedelta(seconds=after_seconds), limit)
        if found:
            sentences = {call.key: sentence(call, after_seconds) for call in found}
            books.leave_unfinished(sentences, now, judge.rules.version)
        return found


def deliver(sending: Sending, destination: Destination, policy: RetryPolicy, clock: Callable[[], datetime]) -> Attempt:
    """One attempt at a conversion whose lease is ours, and where it goes after it. Writing it down is the caller's.

    Whether a second copy may leave is judged now: since the claim the day may have turned, or come too near to its end.
    """
    leaves_at = clock()
    if sending.maybe_sent and not may_resend(sending.first_attempt_at, leaves_at, policy):
        return attempt(sending, Outcome(Result.HELD, DAY_TURNED), leaves_at, leaves_at, policy)
    outcome = destination.send(sending.payload)
    left = sending if sending.maybe_sent else replace(sending, first_attempt_at=leaves_at)
    return attempt(left, outcome, leaves_at, clock(), policy)


def deliver_batch(
    outbox: Outbox,
    destination: Destination,
    policy: RetryPolicy,
    lease_seconds: float,
    clock: Callable[[], datetime],
    limit: int = 20,
) -> int:
    """Claim, deliver and write down, one after the other. Returns how many. A worker does the same with many threads."""
    log_moved(outbox.expire_leases(clock(), policy))
    claimed = outbox.claim(clock(), limit, lease_seconds, policy)
    log_moved(claimed.held)
    made = [deliver(sending, destination, policy, clock) for sending in claimed.taken]
    if made:
        log_finished(outbox.finish(made, clock()))
    return len(made) + len(claimed.held)


def attempt(
    sending: Sending, outcome: Outcome, started_at: datetime, finished_at: datetime, policy: RetryPolicy
) -> Attempt:
    """An outcome as the line of the journal that it will be."""
    return Attempt(sending, outcome, started_at, finished_at, after(sending, outcome, finished_at, policy))
