"""Values of the rules as pydantic reads them: for each kind of pipeline/rules/kinds.py the type of its field.

Each is refused by a Mistake whose text is for a person; pydantic collects them, and knows the place of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from pydantic import PlainValidator, TypeAdapter

from offhook.adapters.rules_file.extra import CONTROL, read_extra, template_problem
from offhook.adapters.rules_file.problems import Mistake
from offhook.adapters.rules_file.words import shown
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.rules.kinds import (
    MAX_REVENUE,
    MAX_TEXT,
    Dollars,
    ExtraFields,
    Kind,
    Line,
    Seconds,
    Template,
    Words,
    YesNo,
)
from offhook.pipeline.rules.templates import FIELDS, names_in

_DOLLARS = re.compile(r"[0-9]+(?:\.[0-9]{1,2})?")


def field_type(key: str, kind: Kind[Any]) -> Any:
    """The type of the field of a model that is called `key`."""
    return Annotated[Any, PlainValidator(partial(_READERS[type(kind)], key, kind))]


def line(key: str, kind: Line, value: object) -> str:
    """One line of text, without the blanks around it."""
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_TEXT or CONTROL.search(value):
        told = f"{key} must be one line of 1 to {MAX_TEXT} characters in quotes; you wrote {shown(value)}"
        raise Mistake(f'{told}. Write e.g. {key} = "{kind.example}".')
    return value.strip()


def _seconds(key: str, kind: Seconds, value: object) -> int:
    if type(value) is int and kind.at_least <= value <= kind.at_most:
        return value
    limit = f" (at most {kind.at_most}, a day)" if type(value) is int and value > 0 else ""
    told = f"must be a whole number of seconds, {kind.at_least} or more{limit}; you wrote {shown(value)}"
    raise Mistake(f"{key} {told}. Write e.g. {key} = {kind.example}.")


def _yes_or_no(key: str, _: YesNo, value: object) -> bool:
    if not isinstance(value, bool):
        told = f"{key} must be true or false, without quotes; you wrote {shown(value)}"
        raise Mistake(f"{told}. Write e.g. {key} = true.")
    return value


def _words(key: str, kind: Words[Any], value: object) -> frozenset[Any]:
    if not isinstance(value, list) or not value:
        told = f"{key} must be a list with at least one word; you wrote {shown(value)}"
        raise Mistake(f'{told}. Write e.g. {key} = ["{next(iter(kind.known))}"].')
    member = Annotated[Any, PlainValidator(partial(_word, key, kind.known))]
    return frozenset(TypeAdapter(list[member]).validate_python(value))


def _word(key: str, known: Mapping[str, Any], word: object) -> Any:
    if isinstance(word, str) and word in known:
        return known[word]
    raise Mistake(f"{key}: {shown(word)} {_word_problem(word)} Choose from {', '.join(known)}.")


def _word_problem(word: object) -> str:
    if word == Direction.OUTBOUND_DIAL.value:
        return "never counts by itself: such a leg is a part of the call that dialled it."
    if isinstance(word, str) and word in list(Status) and word != Status.UNKNOWN:
        return "is not the end of a call, and a call is sent only when it is over."
    return "is none of them."


def _template(key: str, _: Template, value: object) -> str:
    remedy = f'Write e.g. {key} = "{{call_sid}}".'
    if not isinstance(value, str) or len(value) > MAX_TEXT or CONTROL.search(value):
        told = f"{key} must be one line of at most {MAX_TEXT} characters in quotes; you wrote {shown(value)}"
        raise Mistake(f"{told}. {remedy}")
    template = f"{{{value}}}" if value in FIELDS else value
    problem = template_problem(template)
    if problem:
        raise Mistake(f"{key}: {problem}")
    if "call_sid" not in names_in(template):
        why = "without it two calls have the same order id, and Rockerbox ignores the second"
        raise Mistake(f"{key} must contain {{call_sid}}: {why}. {remedy}")
    return template


def _dollars(key: str, _: Dollars, value: object) -> Decimal:
    amount = _amount(value)
    if amount is None:
        form = f"0 to {MAX_REVENUE}, at most 2 places, no sign, no commas"
        told = f"{key} must be dollars.cents ({form}); you wrote {shown(value)}"
        raise Mistake(f"{told}. Write e.g. {key} = 27.50.")
    return amount


def _amount(value: object) -> Decimal | None:
    """The amount with 2 places, or None when it is none."""
    if isinstance(value, str):
        value = Decimal(value) if len(value) <= 60 and _DOLLARS.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    if not amount.is_finite() or not 0 <= amount <= MAX_REVENUE or _places(amount) > 2:
        return None
    return abs(amount.quantize(Decimal("0.01")))  # no -0.00


def _places(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


_READERS: Mapping[type[Kind[Any]], Callable[[str, Any, object], Any]] = {
    Seconds: _seconds,
    Words: _words,
    YesNo: _yes_or_no,
    Line: line,
    Template: _template,
    Dollars: _dollars,
    ExtraFields: lambda _, __, value: read_extra(value),
}
