"""Why a call is in Rockerbox, or is not: the verdict, what can be done, and the whole way. Reads nothing, decides nothing.

One read model for a terminal, the JSON API and a page. Its fields are what JSON has, by docs/schema/explain.json; persons are
hidden on the way in, by the masking that is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from offhook.pipeline import reasons
from offhook.pipeline.call import UNDECIDED, Call, Leg, fold
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.conversion import Convert, Park, Reason, Skip, decide, why
from offhook.pipeline.counting import our_number
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import State
from offhook.pipeline.masking import PERSONS, Masking, in_clear, mask_digits, masking
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.books import Decided, KnownCalls
from offhook.pipeline.ports.history import History, HistoryLine
from offhook.pipeline.ports.look_ups import LookUpLine
from offhook.pipeline.ports.reader import Reader
from offhook.pipeline.rules.trace import ConditionTrace, RuleTrace
from offhook.pipeline.steps import Judge, decide_anew
from offhook.pipeline.story import (
    AttemptLine,
    CallLine,
    ConversionLine,
    CustomerRow,
    DecisionLine,
    Story,
    Verdict,
    verdict,
)

NOTHING_TO_DO = "Nothing has to be done."
SPELLING = "spelling"
"""The difference of payloads whose fields are all the same."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The call. `number` is our end in E.164, "" where it is not known; `customer` the caller as it was looked up."""

    state: str
    status: str
    direction: str
    from_number: str
    to_number: str
    number: str
    customer: str | None
    duration_seconds: int | None
    first_received_at: datetime
    final_at: datetime | None
    settle_at: datetime | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class LegFacts:
    """One leg of the call; the call's own has no parent."""

    call_sid: str
    parent_call_sid: str | None
    status: str
    direction: str
    from_number: str
    to_number: str
    duration_seconds: int | None


@dataclass(frozen=True, slots=True)
class CallbackFacts:
    """One callback. `source` is how it came; `delay_seconds` how long after what it reports, by Twilio's clock and ours."""

    received_at: datetime
    call_sid: str
    status: str
    method: str
    source: str
    delay_seconds: float | None
    bytes: int


@dataclass(frozen=True, slots=True)
class ReasonFacts:
    """Why: the word, its sentence, and what can be done; "" where nothing can or must be."""

    reason: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ConditionFacts:
    """A condition by its key in the rules, what was asked and what was found. `holds` is None where nobody knew."""

    key: str
    asked: str
    found: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """A rule that was tried; "" is the last one, what the rules say outside of their blocks. Of one that did not match the
    first condition is there that failed.
    """

    rule: str
    holds: bool | None
    conditions: Sequence[ConditionFacts]


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """One decision, by the rules and the customers of then. `customer` is the row of the mapping by which it was made, `who`
    why the customer is who it is.
    """

    decided_at: datetime
    result: str
    reasons: Sequence[ReasonFacts]
    rules_version: str
    mapping_version: int
    who: ReasonFacts | None
    rule: str | None
    trace: Sequence[RuleFacts]
    customer: CustomerRow | None


@dataclass(frozen=True, slots=True)
class ConversionFacts:
    """What is sent. `call_sid` is that of the leg where a leg was converted as a call of its own."""

    call_sid: str
    state: str
    reason: str
    sentence: str
    remedy: str
    action: str
    order_id: str
    payload: Mapping[str, str]
    created_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    maybe_sent: bool


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One attempt and its answer. `of_replaced` says which of `replaced` it sent, None where it sent the conversion as it is."""

    number: int
    started_at: datetime
    finished_at: datetime
    result: str
    reason: str
    next_state: str
    came_late: bool
    status_code: int | None
    answer: str
    of_replaced: int | None


@dataclass(frozen=True, slots=True)
class ReplacedFacts:
    """What the conversion was before it was decided anew."""

    replaced_at: datetime
    payload: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What would be otherwise today; None where there is none."""

    what: str
    then: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Today:
    """What today's rules and customers would do. `same` is None where that cannot be known, as `sentence` says."""

    verdict: Verdict
    same: bool | None
    sentence: str
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All about one call, from its verdict to what would become of it today. Times are UTC."""

    verdict: Verdict
    sentence: str
    remedy: str
    account_sid: str
    call_sid: str
    call: CallFacts
    legs: Sequence[LegFacts]
    callbacks: Sequence[CallbackFacts]
    decisions: Sequence[DecisionFacts]
    conversion: ConversionFacts | None
    attempts: Sequence[AttemptFacts]
    replaced: Sequence[ReplacedFacts]
    today: Today


@dataclass(frozen=True, slots=True)
class Anew:
    """What `decide_anew` said of the call, and by which rules; or, in words, why it could not be asked."""

    decided: Decided | None = None
    unknown: str = ""


def anew_of(known: KnownCalls, key: CallKey, judge: Judge, now: datetime) -> Anew:
    """What this call would come to today."""
    return Anew(next(iter(decide_anew(known, [key], judge, now)), None))


def rows_of_then(history: History, story: Story) -> dict[int, CustomerRow]:
    """The rows of the customers' history that the decisions about this call name. Raises LedgerUnavailable."""
    wanted, phone = {line.customer_row for line in story.decisions} - {None}, story.call.customer_phone
    if not wanted or phone is None:
        return {}
    lines = (line for line in history.of_numbers([phone]) if line.customer.row in wanted)
    return {row.id: row for row in (_row_of_then(history, line) for line in lines)}


def row_of_now(history: History, customer: Customer) -> CustomerRow | None:
    """The row of the customers' history that says who has a number now. None where none does. Raises LedgerUnavailable."""
    line = None if customer.row is None else history.line(customer.row)
    return None if line is None else _row_of_then(history, line)


def look_up_for(story: Story, look_up_of: Callable[[str], LookUpLine | None]) -> LookUpLine | None:
    """What the call waits for, where its caller is being looked up: `look_up_of` asks by number. Raises LedgerUnavailable."""
    phone = story.call.customer_phone
    return look_up_of(phone) if phone and not story.decisions else None


def _row_of_then(history: History, line: HistoryLine) -> CustomerRow:
    brought = None if line.brought_by is None else history.import_(line.brought_by)
    who = line.customer
    source, name = (brought.source.value, brought.name) if brought else ("", "")
    return CustomerRow(who.row or 0, who.email, who.customer_id, line.from_at, line.until_at, source, name)


def explain(
    story: Story,
    read: Reader,
    anew: Anew,
    hide: Masking,
    customers: Mapping[int, CustomerRow] | None = None,
    look_up: LookUpLine | None = None,
) -> Explanation:
    """`read` reads callbacks in our words; `customers` are the rows of history that the decisions name; `look_up` is what
    the call waits for, where its caller is being looked up.
    """
    found, said = verdict(story.call.state, _delivery(story)), _said(story, look_up)
    call = fold(story.call.key, map(read, story.callbacks)) if story.callbacks else None
    return Explanation(
        verdict=found,
        sentence=hide(_sentence(found, story, said)),
        remedy=hide(_remedy(found, said)) or NOTHING_TO_DO,
        account_sid=story.call.key.account_sid,
        call_sid=story.call.key.call_sid,
        call=_call(story.call, hide),
        legs=[_leg(leg, ours_of(story.call), hide) for leg in _legs(call)],
        callbacks=[_callback(raw, read) for raw in story.callbacks],
        decisions=[_decision(line, customers or {}, hide) for line in story.decisions],
        conversion=_conversion(story, hide),
        attempts=list(_attempts(story, hide)),
        replaced=[ReplacedFacts(old.replaced_at, _payload(old.payload, hide)) for old in story.replaced],
        today=_today(story, found, anew, hide),
    )


# The verdict, in a sentence

_SENTENCES = {
    Verdict.DELIVERED: "This call is in Rockerbox: {why}",
    Verdict.ON_ITS_WAY: "This call counts, and is on its way to Rockerbox: {why}",
    Verdict.HELD: "This call counts, and may be in Rockerbox already, so it waits for you: {why}",
    Verdict.REFUSED: "This call counts, and is not in Rockerbox because {why}",
    Verdict.UNKNOWN_CALLER: "This call is not in Rockerbox because {why}",
    Verdict.DOES_NOT_COUNT: "This call is not in Rockerbox because {why}",
    Verdict.NOT_FINISHED: "This call is not in Rockerbox yet because {why}",
}
_NEVER_SENT = "This call counts, and is not in Rockerbox, since it waits for you: {why}"
_NAMES = ("Offhook", "Rockerbox", "Twilio")


def _delivery(story: Story) -> str | None:
    return story.conversion.state if story.conversion else None


def _said(story: Story, look_up: LookUpLine | None) -> Sequence[ReasonFacts]:
    """Why it stands where it stands: the reasons in force, with what can be done about each."""
    if story.conversion is not None:
        return [_of_conversion(story, story.conversion)]
    if story.call.state not in UNDECIDED and story.decisions:
        last = story.decisions[-1]
        return [_reason(one, by_rule=bool(last.rule)) for one in last.reasons]
    return [_undecided(story.call, look_up)]


def _undecided(call: CallLine, look_up: LookUpLine | None) -> ReasonFacts:
    """Why nothing is decided yet."""
    if call.final_at is not None and look_up is not None:
        return _looked_up(look_up)
    if call.settle_at and call.final_at:
        return _reason(why("settling", until=f"{call.settle_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"))
    return _reason(why("not_ended", 0 if call.final_at is None else 1))


def _looked_up(look_up: LookUpLine) -> ReasonFacts:
    trouble = reasons.known(look_up.reason, reasons.OF_LOOK_UPS) if look_up.reason else None
    if trouble is None:
        return _reason(why("being_looked_up"))
    what = _goes_on(trouble.sentences[0].format(word=look_up.reason))
    at = f"{look_up.due_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    said = why("being_looked_up", 1, source=look_up.source, at=at, what=what, reason=look_up.reason)
    return ReasonFacts(said.word, said.sentence, trouble.advice)


def _reason(one: Reason, *, by_rule: bool = False) -> ReasonFacts:
    """A word that the table does not have is one of the brand's own rules, where one of them said so (`by_rule`)."""
    remedy = reasons.remedy("rule_says" if by_rule and reasons.known(one.word) is None else one.word)
    return ReasonFacts(one.word, one.sentence.replace(remedy, "").strip() if remedy else one.sentence, remedy)


def _of_conversion(story: Story, sent: ConversionLine) -> ReasonFacts:
    """The reason of a conversion, and what can be done by what its last attempt came to."""
    *_, tried = story.attempts_by_bytes()
    known = reasons.known(sent.reason)
    said = known.sentences[0].format(word=sent.reason) if known else f"({sent.reason})"
    remedy = "" if sent.state == State.DELIVERED else reasons.remedy(sent.reason, _result_with(sent.reason, tried))
    return ReasonFacts(sent.reason, said, remedy)


def _result_with(reason: str, attempts: Sequence[AttemptLine]) -> str:
    """What the last attempt with this reason came to; empty where there is none."""
    return next((row.result for row in reversed(attempts) if row.reason == reason and not row.came_late), "")


def _sentence(found: Verdict, story: Story, said: Iterable[ReasonFacts]) -> str:
    sent = story.conversion
    when = f" ({sent.delivered_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ})" if sent and sent.delivered_at else ""
    text = _NEVER_SENT if found is Verdict.HELD and sent and not sent.maybe_sent else _SENTENCES[found]
    return f"{text.format(why='; '.join(_goes_on(one.sentence) for one in said))}{when}."


def _goes_on(sentence: str) -> str:
    """A sentence as part of a longer one."""
    is_name = sentence.startswith(_NAMES) or (not sentence[1:2].islower() and not sentence.startswith("A "))
    return (sentence if is_name else sentence[:1].lower() + sentence[1:]).rstrip(".")


def _remedy(found: Verdict, said: Iterable[ReasonFacts]) -> str:
    """What can be done, once where several reasons have the same remedy."""
    remedies = "" if found is Verdict.DELIVERED else " ".join(dict.fromkeys(one.remedy for one in said if one.remedy))
    return remedies or (_WAIT if found in (Verdict.ON_ITS_WAY, Verdict.NOT_FINISHED) else "")


_WAIT = "Wait: it goes on by itself."


# The way


def ours_of(call: CallLine) -> str:
    """Our number (E.164), which nobody need hide; "" where it may be the customer's."""
    number = our_number(call.direction, call.from_, call.to)
    return "" if number == call.customer_phone else number


def hiding(call: CallLine) -> Masking:
    """Hides who the call was with, and shows our own number whole, as wherever calls are listed and counted."""
    return masking([call.from_, call.to, call.customer_phone], ours_of(call))


def _call(call: CallLine, hide: Masking) -> CallFacts:
    number, ours = our_number(call.direction, call.from_, call.to), ours_of(call)
    return CallFacts(
        state=call.state,
        status=call.status,
        direction=call.direction,
        from_number=_end(call.from_, ours, hide),
        to_number=_end(call.to, ours, hide),
        number=_end(number, ours, hide),
        customer=_end(call.customer_phone, ours, hide) if call.customer_phone else None,
        duration_seconds=call.duration_seconds,
        first_received_at=call.first_received_at,
        final_at=call.final_at,
        settle_at=call.settle_at,
        decided_at=call.decided_at,
    )


def _end(address: str, ours: str, hide: Masking) -> str:
    return address if hide is in_clear or address == ours else mask(address)


def _legs(call: Call | None) -> Sequence[Leg]:
    return () if call is None else (*((call.root,) if call.root else ()), *call.children)


def _leg(leg: Leg, ours: str, hide: Masking) -> LegFacts:
    ends = (_end(leg.from_, ours, hide), _end(leg.to, ours, hide))
    return LegFacts(
        leg.call_sid, leg.parent_call_sid, leg.status.value, leg.direction.value, *ends, leg.duration_seconds
    )


def _callback(raw: RawCallback, read: Reader) -> CallbackFacts:
    known = read(raw)
    delay = None if known.occurred_at is None else (raw.received_at - known.occurred_at).total_seconds()
    return CallbackFacts(
        raw.received_at, raw.call_sid, known.status.value, raw.method, raw.source, delay, len(raw.body)
    )


def _decision(line: DecisionLine, customers: Mapping[int, CustomerRow], hide: Masking) -> DecisionFacts:
    return DecisionFacts(
        decided_at=line.decided_at,
        result=line.result,
        reasons=[ReasonFacts(one.word, hide(one.sentence), hide(reasons.remedy(one.word))) for one in line.reasons],
        rules_version=line.rules_version,
        mapping_version=line.mapping_version,
        who=ReasonFacts(line.who.word, hide(line.who.sentence), "") if line.who else None,
        rule=line.rule,
        trace=[_rule(one, hide) for one in line.trace],
        customer=_hidden(customers.get(line.customer_row or 0), hide),
    )


def _rule(one: RuleTrace, hide: Masking) -> RuleFacts:
    return RuleFacts(one.rule, one.holds, [_condition(each, hide) for each in one.conditions])


def _condition(one: ConditionTrace, hide: Masking) -> ConditionFacts:
    return ConditionFacts(one.key, one.asked, _found(one, hide), one.holds)


def _found(one: ConditionTrace, hide: Masking) -> str:
    """Columns of a customer may hold anything about a person, and parameters a number in any form."""
    if hide is in_clear or one.key not in ("customer", "params"):
        return hide(one.found)
    if one.key == "customer" or any(name in one.found for name in PERSONS):
        return _HIDDEN
    return mask_digits(hide(one.found))


_HIDDEN = "hidden"


def _hidden(row: CustomerRow | None, hide: Masking) -> CustomerRow | None:
    if row is None:
        return None
    email, customer_id = (None if value is None else hide(value) for value in (row.email, row.customer_id))
    return CustomerRow(row.id, email, customer_id, row.from_at, row.until_at, row.source, hide(row.name))


def _conversion(story: Story, hide: Masking) -> ConversionFacts | None:
    sent = story.conversion
    if sent is None:
        return None
    said = _of_conversion(story, sent)
    return ConversionFacts(
        call_sid=sent.key.call_sid,
        state=sent.state,
        reason=sent.reason,
        sentence=said.sentence,
        remedy=said.remedy,
        action=sent.action,
        order_id=hide(sent.order_id),
        payload=_payload(sent.payload, hide),
        created_at=sent.created_at,
        due_at=sent.due_at,
        delivered_at=sent.delivered_at,
        maybe_sent=sent.maybe_sent,
    )


def _attempts(story: Story, hide: Masking) -> Iterable[AttemptFacts]:
    *before, now = story.attempts_by_bytes()
    for number, tried in (*enumerate(before), (None, now)):
        yield from (_attempt(row, number, hide) for row in tried)


def _attempt(row: AttemptLine, of_replaced: int | None, hide: Masking) -> AttemptFacts:
    return AttemptFacts(
        number=row.number,
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        reason=row.reason,
        next_state=row.next_state,
        came_late=row.came_late,
        status_code=row.status_code,
        answer=hide(row.answer),
        of_replaced=of_replaced,
    )


def payload_shown(payload: bytes, hide: Masking) -> dict[str, str]:
    """What is sent, field by field, each as text, persons hidden."""
    return _payload(payload, hide)


def own_time(payload: Mapping[str, str]) -> datetime | None:
    """The time of the call that a conversion carries, UTC. None where it has none."""
    text = payload.get("timestamp", "")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        return None
    return datetime.fromtimestamp(int(text), UTC)


def hour_of_arrival(arrived_at: datetime) -> datetime:
    """The beginning of the hour (UTC) in which Rockerbox's Webhooks page has what arrived then: it lists messages as they come."""
    return arrived_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


SOMEBODY = "..."
"""Stands for the email and the customer id of somebody who is not known yet."""


def would_be_sent(anew: Anew, judge: Judge) -> bytes | None:
    """What today's rules would send of the call: with the customer of today, else as if its caller were known. None where
    nothing would be.
    """
    now = anew.decided
    if now is None:
        return None
    if now.payload is not None:
        return now.payload
    if not isinstance(now.decision, Park):
        return None
    somebody = Customer(now.customer_phone or "", SOMEBODY, SOMEBODY)
    decision = decide(now.call, somebody, judge.rules, judge.numbering)
    return judge.encode(decision.conversion) if isinstance(decision, Convert) else None


def _payload(payload: bytes, hide: Masking) -> dict[str, str]:
    return {name: hide(_text(value)) for name, value in json.loads(payload).items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Today


def _today(story: Story, found: Verdict, anew: Anew, hide: Masking) -> Today:
    """By the rules and customers of now; what was sent stays sent, and keeps its verdict, whatever they say."""
    if anew.decided is None or anew.decided.call.final_at is None:
        unknown = anew.unknown or ("" if found is Verdict.NOT_FINISHED else _NOT_TODAY)
        return Today(found, None if unknown else True, unknown or _NOT_YET, ())
    now = anew.decided
    would_be = _would_be(story, found, now)
    others = list(_differences(story, found, would_be, now, hide))
    return Today(would_be, not others, _OTHERWISE if others else _AS_THEN, others)


_NOT_YET = "It is decided when it is over."
_NOT_TODAY = "Callbacks of it wait to be taken in, so nothing can be said of it today."
_AS_THEN = "Today's rules and customers come to the same."
_OTHERWISE = "Today's rules and customers come to something else; what was sent stays sent."
_DECIDES = {Convert: Verdict.ON_ITS_WAY, Park: Verdict.UNKNOWN_CALLER, Skip: Verdict.DOES_NOT_COUNT}


def _would_be(story: Story, found: Verdict, now: Decided) -> Verdict:
    if isinstance(now.decision, Convert) and story.conversion is not None:
        return found
    return _DECIDES[type(now.decision)]


def _differences(story: Story, found: Verdict, would_be: Verdict, now: Decided, hide: Masking) -> Iterable[Difference]:
    if would_be is not found:
        yield Difference("verdict", found.value, would_be.value)
    if story.conversion is not None and now.payload is not None:
        yield from changed_fields(story.conversion.payload, now.payload, hide)
    elif story.call.state not in UNDECIDED:
        yield from _changed_reasons(story.decisions[-1:], now)


def _changed_reasons(last: Sequence[DecisionLine], now: Decided) -> Iterable[Difference]:
    then = ", ".join(reason.word for line in last for reason in line.reasons)
    today = ", ".join(reason.word for reason in now.decision.reasons)
    if then != today:
        yield Difference("reasons", then or None, today or None)


def changed_fields(then: bytes, now: bytes, hide: Callable[[str], str]) -> list[Difference]:
    """Old and new of each field that differs; where none does, and the bytes do, that they are spelled otherwise."""
    if then == now:
        return []
    old, new = json.loads(then), json.loads(now)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    found = [Difference(name, _shown(old.get(name), hide), _shown(new.get(name), hide)) for name in names]
    return found or [Difference(SPELLING, None, None)]


def _shown(value: object, hide: Callable[[str], str]) -> str | None:
    return None if value is None else hide(_text(value))
