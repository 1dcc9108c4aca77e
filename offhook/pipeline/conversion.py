"""decide(call, customer, rules) -> Convert | Park | Skip, each with its reasons. Pure: reads no clock, asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.phone import Caller, caller
from offhook.pipeline.reasons import sentence
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.conditions import Facts, broken
from offhook.pipeline.rules.results import Number, results_of
from offhook.pipeline.rules.templates import ExtraValue, render, render_extra

SEVERAL_CUSTOMERS = "several_customers"
UNKNOWN_TOO_LONG = "unknown_too_long"
LATE = "late"  # beside `counts`: what marks a call that was released on another day of Rockerbox's than its own


@dataclass(frozen=True, slots=True)
class Customer:
    """Who has a number in the brand's mapping. `phone` is E.164; at least one of email and customer id is there.

    `people` is how many have it. Above 1 nobody is named, neither by email nor by customer id. `attributes` is what else
    the brand knows of the customer. `row` is the row of the mapping's history that says all this, and `fresh_until` how
    long a look-up's answer is good, None for ever; neither makes another customer of it. `others` are the several who are
    said to have the number, where it is known who they are: email and customer id of each.
    """

    phone: str
    email: str | None
    customer_id: str | None
    people: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)
    row: int | None = field(default=None, compare=False)
    fresh_until: datetime | None = field(default=None, compare=False)
    others: tuple[tuple[str | None, str | None], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the destination shall be told of one call. `occurred_at` is UTC; `revenue` is dollars, or None."""

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
class Convert:
    conversion: Conversion
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """The call counts, but the mapping names nobody as its caller, or several: it is looked at again when that changes."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    reasons: tuple[Reason, ...]


Decision = Convert | Park | Skip


@dataclass(frozen=True, slots=True)
class Numbering:
    """How numbers are read: the country of those written without one, and whether a SIP caller is who its address says.

    Anybody can write any number into a SIP address, so the latter is for those whose own switchboard does.
    """

    region: str = "US"
    sip_callers: bool = False


def customer_number(call: Call, numbering: Numbering) -> Caller:
    """The customer's end of the call: who called us, or whom we called.

    A national spelling is read as a number of the other end's country, as Twilio gives it, else of the default one.
    """
    if call.root is None:
        return caller("", numbering.region)
    theirs, ours_country = call.root.from_, call.root.details.get("ToCountry", "")
    if call.root.direction is Direction.OUTBOUND_API:
        theirs, ours_country = call.root.to, call.root.details.get("FromCountry", "")
    return caller(theirs, ours_country or numbering.region, sip_users=numbering.sip_callers)


def tracked_number(call: Call, rules: Rules, numbering: Numbering) -> tuple[str, Number | None]:
    """Our end of the call in E.164 (or as it came), and what the rules say about it, if anything.

    What Twilio's number dialled by SIP is called is ours to say, so a SIP address with a number is that number.
    """
    if call.root is None:
        return "", None
    ours = call.root.from_ if call.root.direction is Direction.OUTBOUND_API else call.root.to
    e164 = caller(ours, numbering.region, sip_users=True).e164 or ours
    return e164, rules.numbers.get(e164)


def decide(call: Call, customer: Customer | None, rules: Rules, numbering: Numbering) -> Decision:
    """Does this call count, and what is told of it? `call` must be final. Every reason against it is named."""
    against = _against(call, rules, numbering)
    if against:
        return Skip(tuple(against))
    if customer is None:
        return Park((_nobody(customer_number(call, numbering)),))
    if customer.people > 1:
        return Park((_several(customer),))
    return Convert(
        _conversion(call, customer, rules, numbering),
        (why("counts", version=rules.version),),
    )


def why(word: str, which: int = 0, /, **names: object) -> Reason:
    """A reason out of the table, with one of its sentences."""
    return Reason(word, sentence(word, which, **names))


def _nobody(number: Caller) -> Reason:
    return why("caller_not_in_mapping", 0 if number.e164 else 1, number=number.number)


def _several(customer: Customer) -> Reason:
    return why(SEVERAL_CUSTOMERS, people=customer.people, phone=customer.phone)


def _against(call: Call, rules: Rules, numbering: Numbering) -> list[Reason]:
    if call.root is None:
        return [why("no_root_leg")]
    facts = Facts(call, call.root, *tracked_number(call, rules, numbering), customer_number(call, numbering))
    return [why(one.reason, **words) for one, words in broken(rules, facts)]


def _conversion(call: Call, customer: Customer, rules: Rules, numbering: Numbering) -> Conversion:
    ours, number = tracked_number(call, rules, numbering)
    fields, results = call_fields(call, ours, number), results_of(rules, number)
    return Conversion(
        key=call.key,
        email=customer.email,
        customer_id=customer.customer_id,
        action=results.action,
        occurred_at=(call.root.ended_at if call.root else None) or call.final_at or call.first_received_at,
        order_id=render(results.order_id, fields),
        revenue=results.revenue,
        extra=render_extra(results.extra, fields),
    )


def call_fields(call: Call, ours: str, number: Number | None) -> dict[str, str]:
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
        words["to" if not root or root.direction is not Direction.OUTBOUND_API else "from"] = ours
    for end in ("From", "To"):
        for part in ("City", "State", "Zip", "Country"):
            words[f"{end.lower()}_{part.lower()}"] = details.get(f"{end}{part}", "")
    return {**details, **words}


def answered_by(call: Call) -> str:
    """Who answered, in Twilio's word: as detection found it for the call itself, else for the leg that was talked to
    longest; "" where none ran."""
    legs = sorted(call.children, key=lambda leg: -(leg.duration_seconds or 0))
    every = (call.root, *legs) if call.root else legs
    return next((leg.details["AnsweredBy"] for leg in every if leg.details.get("AnsweredBy")), "")


def _root_fields(root: Leg) -> dict[str, str]:
    return {
        "status": root.status.value,
        "direction": root.direction.value,
        "duration_seconds": "" if root.duration_seconds is None else str(root.duration_seconds),
        "ended_at": root.ended_at.isoformat() if root.ended_at else "",
    }
