"""What is wrong with the body of one webhook, by Rockerbox's documentation. Pure; never raises for what a sender wrote.

https://help.rockerbox.com, pages "Webhooks" and "Standard Conversion Data Formats". How the real one answers to a wrong
event is not documented; that this one refuses numbers where every sample shows text is the sandbox's choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

SOURCES = ("in_store", "salesforce", "phone")
EARLIEST = 946_684_800  # 2000-01-01; together with the latest it finds milliseconds and typing errors
LATEST = 4_102_444_799  # 2099-12-31
_TEXTS = ("email", "customer_id", "action", "timestamp", "order_id")
_MONEY = re.compile(r"[0-9]{1,15}\.[0-9]{2}")
_EPOCH = re.compile(r"[0-9]{1,12}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """A body as far as it can be read: `fields` is empty when it is no JSON object, `occurred_at` (UTC) None without a time."""

    fields: Mapping[str, Any]
    problems: tuple[str, ...]
    occurred_at: datetime | None = None


def read(body: bytes) -> Reading:
    """One event and all that is wrong with it, each in a sentence. Fields that Rockerbox does not name are fine."""
    try:
        event = json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Reading({}, ("the body is not JSON in UTF-8",))
    if not isinstance(event, dict):
        return Reading({}, ("exactly one event a POST: the body must be a JSON object",))
    problems = [f"{name} must be text" for name in _TEXTS if not isinstance(event.get(name, ""), str)]
    problems += [problem for check in _CHECKS if (problem := check(event))]
    return Reading(event, tuple(problems), _occurred_at(event))


def fields_of(body: bytes) -> Mapping[str, Any]:
    """The fields of a body; none when it is no JSON object."""
    return read(body).fields


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    return value.strip() if isinstance(value, str) else ""


def _occurred_at(event: Mapping[str, Any]) -> datetime | None:
    text = event.get("timestamp")
    if not isinstance(text, str) or not _EPOCH.fullmatch(text) or not EARLIEST <= int(text) <= LATEST:
        return None
    return datetime.fromtimestamp(int(text), UTC)


def _action(event: Mapping[str, Any]) -> str | None:
    wrong_type = not isinstance(event.get("action", ""), str)  # named already
    return None if wrong_type or _text(event, "action") else "action is missing"


def _customer(event: Mapping[str, Any]) -> str | None:
    return None if event.get("email") or event.get("customer_id") else "email or customer_id must be there"


def customer_id_problem(event: Mapping[str, Any]) -> str | None:
    """What is wrong with the customer id of an event; None where nothing is, or it has none."""
    is_email = _EMAIL.fullmatch(_text(event, "customer_id"))
    return "customer_id holds an email; send it as email" if is_email else None


def _timestamp(event: Mapping[str, Any]) -> str | None:
    if _occurred_at(event) or not isinstance(event.get("timestamp", ""), str):
        return None  # right, or already named as no text
    text = _text(event, "timestamp")
    if text.isdigit():
        return "timestamp must be epoch seconds from 2000 to 2099 (these may be milliseconds)"
    return "timestamp must be epoch seconds as text" if text else "timestamp is missing"


def _source(event: Mapping[str, Any]) -> str | None:
    return (
        None
        if event.get("conversion_source", "phone") in SOURCES
        else f"conversion_source must be one of {', '.join(SOURCES)}"
    )


def revenue_problem(event: Mapping[str, Any]) -> str | None:
    """What is wrong with the revenue of an event; None where nothing is, or it has none."""
    if "revenue" not in event:
        return None
    amount = event["revenue"]
    if isinstance(amount, str):
        right = _MONEY.fullmatch(amount) is not None
    else:
        right = isinstance(amount, int | Decimal) and not isinstance(amount, bool) and _is_cents(Decimal(amount))
    return None if right else "revenue must be dollars.cents with two places, without symbol or comma"


def _is_cents(amount: Decimal) -> bool:
    return amount >= 0 and amount.adjusted() < 15 and amount == round(amount, 2)


_CHECKS: tuple[Callable[[Mapping[str, Any]], str | None], ...] = (
    _action,
    _customer,
    customer_id_problem,
    _timestamp,
    _source,
    revenue_problem,
)
