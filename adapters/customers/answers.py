"""What a source says of a caller, whatever it is asked by: one person, several, or nobody. Asks nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from offhook.adapters.customers.fields import value_of
from offhook.pipeline.customer import Conflict
from offhook.pipeline.emails import EMAIL_OR_HASH
from offhook.pipeline.look_up import Answer, Found, Later, NotThere


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Longest texts that are taken, in characters, and how many attributes of one customer; `attribute` is how long the name
    and the value of one may be, `named` how many of several customers are kept by name. `lower_emails` keeps emails in lower
    case. `shared` says who of several is credited.
    """

    email: int = 320
    customer_id: int = 255
    attributes: int = 50
    attribute: int = 500
    named: int = 20
    lower_emails: bool = False
    shared: Conflict = "none"


class WrongAnswer(Exception):
    """An answer that says nothing about the caller. `reason` is a word of reasons.OF_LOOK_UPS, `detail` for the log."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail

    @property
    def later(self) -> Later:
        return Later(self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Record:
    """What a source says of one customer, as it stands there; None where it says nothing."""

    email: object = None
    customer_id: object = None
    attributes: Mapping[str, object] | None = None


def answer_of(records: Sequence[Record], limits: AnswerLimits) -> Answer:
    """Who that is. Who has neither email nor customer id is nobody. Raises WrongAnswer.

    Records with the same email and customer id are one person, the first. Of several one may be credited, as in a list.
    """
    found: dict[tuple[str | None, str | None], Record] = {}
    for record in records:
        named = (_email(record.email, limits), _id(record.customer_id, limits))
        if named != (None, None):
            found.setdefault(named, record)
    if not found:
        return NotThere()
    several = tuple(found)[: limits.named] if len(found) > 1 else ()
    if len(found) > 1 and limits.shared == "none":
        return Found(None, None, people=len(found), others=several)
    email, customer_id = next(iter(found)) if limits.shared == "first" else next(reversed(found))
    attributes = _attributes(found[email, customer_id].attributes or {}, limits)
    return Found(email, customer_id, attributes, others=several)


def text_of(value: object) -> str | None:
    """A single value as text; None for null, and for what is no single value."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() | Decimal() if math.isfinite(value) and value == value // 1:
            return str(int(value))
        case list() | dict() | tuple():
            return None
    return str(value)


def _single(value: object, what: str) -> str:
    """Its text, "" for null. Raises WrongAnswer for a list or an object, which is no email and no id."""
    if isinstance(value, list | dict | tuple | bool):
        raise WrongAnswer("wrong_value", f"the {what} is a {type(value).__name__}, not a text")
    return value_of((text_of(value) or "").strip())


def _email(value: object, limits: AnswerLimits) -> str | None:
    text = _single(value, "email")
    is_one = len(text) <= limits.email and text.isprintable() and EMAIL_OR_HASH.fullmatch(text)
    if not is_one:
        return None
    return text.lower() if limits.lower_emails else text


def _id(value: object, limits: AnswerLimits) -> str | None:
    text = _single(value, "id")
    return text if text and len(text) <= limits.customer_id and text.isprintable() else None


def _attributes(given: Mapping[str, object], limits: AnswerLimits) -> dict[str, str]:
    """Those that are single values, as far as the limits go. What is too long is left out, as it is of a file: a part of it
    would be another value."""
    found = ((name, text_of(value)) for name, value in given.items())
    kept = [(name, text) for name, text in found if text and text.isprintable() and _fits(name, text, limits)]
    return dict(kept[: limits.attributes])


def _fits(name: str, text: str, limits: AnswerLimits) -> bool:
    return len(name) <= limits.attribute and len(text) <= limits.attribute
