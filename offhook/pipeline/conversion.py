"""decide(call, customer, rules) -> Convert | Park | Skip, each with its reasons. Pure: reads no clock, asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from offhook.pipeline.call import Call, CallState, Leg
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import Ends, Numbering, ends_of
from offhook.pipeline.pairs import Pair, called_back, forwarded_by, repeat_of
from offhook.pipeline.phone import Caller
from offhook.pipeline.reasons import sentence
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.blocks import Matched, Rule
from offhook.pipeline.rules.facts import EarlierCall, Facts, answered_by, answered_leg
from offhook.pipeline.rules.kinds import revenue_of
from offhook.pipeline.rules.results import Number, Time, results_of
from offhook.pipeline.rules.templates import OF_CUSTOMER, ExtraValue, render, render_extra
from offhook.pipeline.rules.trace import RuleTrace

SEVERAL_CUSTOMERS = "several_customers"
UNKNOWN_TOO_LONG = "unknown_too_long"
LATE = "late"  # beside `counts`: what marks a call that was released on another day of Rockerbox's than its own


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is sent to the destination of one call. `occurred_at` is UTC; `revenue` is dollars, or None."""

    key: CallKey
    email: str | None
    customer_id: str | None
    action: str
    occurred_at: datetime
    order_id: str
    revenue: Decimal | None
    extra: Mapping[str, ExtraValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: one word, the same in log, ledger and page, and a sentence for the person who asks."""

    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Because:
    """How a decision came about: who the customer is and why, the rule that matched ("" for the last one), and how the
    rules were gone through."""

    who: Reason | None = None
    rule: str | None = None
    trace: Sequence[RuleTrace] = ()


@dataclass(frozen=True, slots=True)
class Convert:
    conversion: Conversion
    reasons: tuple[Reason, ...]
    because: Because = Because()


@dataclass(frozen=True, slots=True)
class Park:
    """The call counts, but the mapping names nobody as its caller, or several: it is looked at again when that changes."""

    reasons: tuple[Reason, ...]
    because: Because = Because()


@dataclass(frozen=True, slots=True)
class Skip:
    reasons: tuple[Reason, ...]
    because: Because = Because()


@dataclass(frozen=True, slots=True)
class Counts:
    """The call counts and its customer is known: what a conversion is made of."""

    facts: Facts
    found: Matched
    pair: Pair | None
    because: Because


Decision = Convert | Park | Skip
Weighed = Counts | Park | Skip
"""What a call comes to, before anything is made of it."""
_STATES: dict[type[Decision | Weighed], CallState] = {
    Convert: CallState.CONVERTED,
    Counts: CallState.CONVERTED,
    Park: CallState.PARKED,
    Skip: CallState.SKIPPED,
}


def state_of(decision: Decision | Weighed) -> CallState:
    """The state that a call is in once it was decided so."""
    return _STATES[type(decision)]


def decide(
    call: Call,
    customer: Customer | None,
    rules: Rules,
    numbering: Numbering,
    earlier: Sequence[EarlierCall] | None = None,
) -> Decision:
    """Does this call count, and what is sent of it? `call` must be final. Every reason against it is named.

    `earlier` are the customer's calls before, the latest first; None where the rules need not know them, or nobody does.
    """
    found = weigh(call, customer, rules, numbering, earlier)
    if not isinstance(found, Counts):
        return found
    conversion = _conversion(call, found.pair, found.facts, found.found.rule, rules)
    return Convert(conversion, tuple(_reasons_for(rules, found.found, found.pair)), found.because)


WEIGHED_PARAMS = frozenset({"From", "To", "FromCountry", "ToCountry", "AnsweredBy"})
"""The parameters of Twilio's that `weigh` looks at whatever the rules ask."""


def weigh(
    call: Call,
    customer: Customer | None,
    rules: Rules,
    numbering: Numbering,
    earlier: Sequence[EarlierCall] | None = None,
) -> Weighed:
    """The first half of `decide`: does this call count?"""
    if call.root is None:
        return Skip((why("no_root_leg"),))
    ends = ends_of(call, numbering, rules.ours)
    pair = called_back(call, ends, rules, () if earlier is None else earlier)
    facts = _facts(call, call.root, pair.ends if pair else ends, rules, customer, earlier)
    found = rules.match(facts)
    because = Because(_who(ends), found.rule.name if found.rule else "", found.trace)
    against = _against(found) or _of_another(rules, facts)
    if against:
        return Skip(tuple(against), because)
    if customer is None:
        return Park((_nobody(facts.customer),), because)
    if customer.people > 1:
        return Park((_several(customer),), because)
    return Counts(facts, found, pair, because)


def why(word: str, which: int = 0, /, **names: object) -> Reason:
    """A reason out of the table, with one of its sentences."""
    return Reason(word, sentence(word, which, **names))


def of_call(word: str, call_sid: str) -> Reason:
    """A reason that is another call: its word, one with a `*` in the table, names that call, too."""
    return Reason(word.replace("*", call_sid), sentence(word, call_sid=call_sid))


def _facts(
    call: Call, root: Leg, ends: Ends, rules: Rules, who: Customer | None, earlier: Sequence[EarlierCall] | None
) -> Facts:
    return Facts(
        call=call,
        leg=root,
        ours=ends.ours,
        number=rules.numbers.get(ends.ours),
        customer=ends.customer,
        direction=ends.direction,
        who=who,
        earlier=earlier,
        zone=rules.zone,
        limits=rules.limits,
    )


def _who(ends: Ends) -> Reason:
    return why(ends.word, number=ends.customer.number or ends.customer.raw or ends.customer.kind)


def _nobody(number: Caller) -> Reason:
    return why("caller_not_in_mapping", 0 if number.e164 else 1, number=number.number)


def _several(customer: Customer) -> Reason:
    return why(SEVERAL_CUSTOMERS, people=customer.people, phone=customer.phone)


def _against(found: Matched) -> list[Reason]:
    """What the rules say against it."""
    if found.rule and found.rule.skip and not found.waits:
        return [Reason(found.rule.skip, sentence("rule_says", name=found.rule.name))]
    return [why(one.condition.reason, **one.words) for one in found.broken]


def _of_another(rules: Rules, facts: Facts) -> list[Reason]:
    """That another call of the same customer counts in its place."""
    if (first := forwarded_by(facts, rules.our_numbers)) is not None:
        return [of_call("forwarded_by *", first.key.call_sid)]
    if (first := repeat_of(facts, rules)) is not None:
        return [of_call("repeat_of *", first.key.call_sid)]
    return []


def _reasons_for(rules: Rules, found: Matched, pair: Pair | None) -> list[Reason]:
    counts = why("counts", 1 if found.rule else 0, version=rules.version, name=found.rule.name if found.rule else "")
    return [counts, *([of_call("called_back *", pair.missed.key.call_sid)] if pair else [])]


def _conversion(call: Call, pair: Pair | None, facts: Facts, rule: Rule | None, rules: Rules) -> Conversion:
    who = facts.who
    assert who is not None
    results = results_of(rules, facts.number, rule.own if rule else None)
    fields = {**call_fields(call, facts.ours, facts.number, facts.direction), **customer_fields(who)}
    if pair is not None:
        fields |= {"call_sid": pair.missed.key.call_sid, "to": pair.missed.ours, "from": facts.customer.number or ""}
    return Conversion(
        key=call.key,
        email=who.email,
        customer_id=who.customer_id,
        action=results.action,
        occurred_at=pair.occurred_at if pair and pair.occurred_at else _moment(call, results.time),
        order_id=render(results.order_id, fields),
        revenue=revenue_of(results.revenue, fields),
        extra=render_extra(results.extra, fields),
    )


def _moment(call: Call, which: Time | None) -> datetime:
    """The moment that is sent, as far as callbacks say: else the next best, and when they came."""
    leg = answered_leg(call)
    if which is Time.ANSWERED and leg is not None and leg.started_at is not None:
        return leg.started_at
    return call.started_at if which in (Time.STARTED, Time.ANSWERED) else call.ended_at


def customer_fields(who: Customer) -> dict[str, str]:
    """What a template may name of the customer's row."""
    return {f"{OF_CUSTOMER}{name}": value for name, value in who.attributes.items()}


def call_fields(call: Call, ours: str, number: Number | None, direction: Direction) -> dict[str, str]:
    """What a template of the rules may name: our words for a call, and every parameter of Twilio's by its own name."""
    root = call.root
    details: Mapping[str, str] = root.details if root else {}
    words = {
        "call_sid": call.key.call_sid,
        "account_sid": call.key.account_sid,
        "to": details.get("To", ""),
        "from": details.get("From", ""),
        "label": (number.label if number else None) or "",
        "legs": str(1 + len(call.children)),
        "answered_by": answered_by(call),
        "caller_name": details.get("CallerName", ""),
    }
    if root is not None:
        words |= _root_fields(root)
    if ours:
        words["from" if direction is Direction.OUTBOUND_API else "to"] = ours
    for end in ("From", "To"):
        for part in ("City", "State", "Zip", "Country"):
            words[f"{end.lower()}_{part.lower()}"] = details.get(f"{end}{part}", "")
    return {**details, **words}


def _root_fields(root: Leg) -> dict[str, str]:
    return {
        "status": root.status.value,
        "direction": root.direction.value,
        "duration_seconds": "" if root.duration_seconds is None else str(root.duration_seconds),
        "ended_at": root.ended_at.isoformat() if root.ended_at else "",
    }
