"""Values of the rules as pydantic reads them: for each kind of pipeline/rules/kinds.py the type of its field.

Each is refused by a Mistake whose text is for a person; pydantic collects them, and knows the place of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, NoReturn, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import PlainValidator, TypeAdapter, ValidationInfo

from offhook.adapters.rules_file.beside import BESIDE, Beside, read_holidays, read_list, read_numbers, read_pattern
from offhook.adapters.rules_file.extra import CONTROL, read_extra, template_problem
from offhook.adapters.rules_file.problems import Mistake
from offhook.adapters.rules_file.words import shown
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.rules.kinds import (
    MAX_REVENUE,
    MAX_TEXT,
    Amount,
    Codes,
    DayParts,
    ExtraFields,
    HolidaysOf,
    Kind,
    Line,
    ListFile,
    Part,
    Seconds,
    Span,
    Template,
    TrackedNumbers,
    ValueTests,
    Word,
    Words,
    YesNo,
    Zone,
    seconds_in,
)
from offhook.pipeline.rules.limits import RuleLimits
from offhook.pipeline.rules.matching import ValueTest
from offhook.pipeline.rules.templates import FIELDS, names_in

_DOLLARS = re.compile(r"[0-9]+(?:\.[0-9]{1,2})?")


def field_type(key: str, kind: Kind[Any]) -> Any:
    """The type of the field of a model that is called `key`."""
    reader = _READERS[type(kind)]
    if type(kind) in BESIDE:

        def read(value: object, info: ValidationInfo) -> Any:
            return reader(key, info.context, value)

        return Annotated[Any, PlainValidator(read)]
    if type(kind) in _LIMITED:

        def read_within(value: object, info: ValidationInfo) -> Any:
            return reader(key, kind, value, cast("Beside", info.context).limits)

        return Annotated[Any, PlainValidator(read_within)]
    return Annotated[Any, PlainValidator(partial(reader, key, kind))]


def line(key: str, kind: Line, value: object) -> str:
    """One line of text, without the blanks around it."""
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_TEXT or CONTROL.search(value):
        problem = f"{key} must be one line of 1 to {MAX_TEXT} characters in quotes; you wrote {shown(value)}"
        raise Mistake(f'{problem}. Write e.g. {key} = "{kind.example}".')
    return value.strip()


def _seconds(key: str, kind: Seconds, value: object) -> int:
    if type(value) is int and kind.at_least <= value <= kind.at_most:
        return value
    limit = f" (at most {kind.at_most}, a day)" if type(value) is int and value > 0 else ""
    problem = f"must be a whole number of seconds, {kind.at_least} or more{limit}; you wrote {shown(value)}"
    raise Mistake(f"{key} {problem}. Write e.g. {key} = {kind.example}.")


def _yes_or_no(key: str, _: YesNo, value: object) -> bool:
    if not isinstance(value, bool):
        problem = f"{key} must be true or false, without quotes; you wrote {shown(value)}"
        raise Mistake(f"{problem}. Write e.g. {key} = true.")
    return value


def _words(key: str, kind: Words[Any], value: object) -> frozenset[Any]:
    if not isinstance(value, list) or not value:
        problem = f"{key} must be a list with at least one word; you wrote {shown(value)}"
        raise Mistake(f'{problem}. Write e.g. {key} = ["{next(iter(kind.known))}"].')
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
        form = f"one line of at most {MAX_TEXT} characters in quotes"
        raise Mistake(f"{key} must be {form}; you wrote {shown(value)}. {remedy}")
    template = f"{{{value}}}" if value in FIELDS else value
    problem = template_problem(template)
    if problem:
        raise Mistake(f"{key}: {problem}")
    if "call_sid" not in names_in(template):
        why = "without it two calls have the same order id, and Rockerbox ignores the second"
        raise Mistake(f"{key} must contain {{call_sid}}: {why}. {remedy}")
    return template


def _dollars(key: str, _: Amount, value: object) -> Decimal | str:
    if isinstance(value, str) and "{" in value:
        problem = template_problem(value) if len(value) <= MAX_TEXT else "it is too long."
        if problem:
            raise Mistake(f"{key}: {problem}")
        return value
    amount = _amount(value)
    if amount is None:
        form = f"0 to {MAX_REVENUE}, at most 2 places, no sign, no commas"
        problem = f"{key} must be dollars.cents ({form}); you wrote {shown(value)}"
        raise Mistake(f'{problem}. Write e.g. {key} = 27.50, or a template as "{{customer.value}}".')
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


def _span(key: str, kind: Span, value: object) -> int:
    seconds = seconds_in(value) if isinstance(value, str) else value if type(value) is int else None
    if seconds is None or not kind.at_least <= seconds <= kind.at_most:
        raise Mistake(
            f'{key} must be {kind.in_words()}; you wrote {shown(value)}. Write e.g. {key} = "{kind.example}".'
        )
    return seconds


def _one_word(key: str, kind: Word[Any], value: object) -> Any:
    if isinstance(value, str) and value in kind.known:
        return kind.known[value]
    raise Mistake(f"{key} must be {kind.in_words()}; you wrote {shown(value)}.")


def _zone(key: str, kind: Zone, value: object) -> str:
    try:
        return ZoneInfo(value).key if isinstance(value, str) and value else _no_zone(key, kind, value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _no_zone(key, kind, value)


def _no_zone(key: str, kind: Zone, value: object) -> NoReturn:
    raise Mistake(f'{key} must be {kind.in_words()}; you wrote {shown(value)}. Write e.g. {key} = "Europe/Berlin".')


_CODE = {"US": re.compile(r"[A-Z]{2}"), "415": re.compile(r"[0-9]{1,5}")}  # by the example of the kind


def _codes(key: str, kind: Codes, value: object, limits: RuleLimits) -> frozenset[str]:
    form = _CODE[kind.example]
    every = value if isinstance(value, list) else []
    if not 0 < len(every) <= limits.listed or not all(isinstance(one, str) and form.fullmatch(one) for one in every):
        raise Mistake(
            f'{key} must be {kind.in_words()}; you wrote {_listed(value)}. Write e.g. {key} = ["{kind.example}"].'
        )
    return frozenset(every)


def _listed(value: object) -> str:
    """A list by its first members, since what is wrong is often one of them."""
    if not isinstance(value, list) or not value:
        return shown(value)
    return f"[{', '.join(map(shown, value[:5]))}{', ...' if len(value) > 5 else ''}]"


_PART = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])\s*-\s*([01][0-9]|2[0-4]):([0-5][0-9])")


def _day_parts(key: str, kind: DayParts, value: object, limits: RuleLimits) -> tuple[Part, ...]:
    every = value if isinstance(value, list) else [value]
    parts = [_day_part(one) for one in every[: limits.listed]]
    if not parts or None in parts:
        raise Mistake(
            f'{key} must be {kind.in_words()}; you wrote {_listed(value)}. Write e.g. {key} = ["09:00-17:30"].'
        )
    return tuple(part for part in parts if part is not None)


def _day_part(value: object) -> Part | None:
    found = _PART.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    hours = [int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])]
    if max(hours) > _DAY_MINUTES or hours[0] == hours[1] or hours[0] == _DAY_MINUTES:
        return None
    since, until = (time(minutes % _DAY_MINUTES // 60, minutes % 60) for minutes in hours)
    return Part(since, until)


_DAY_MINUTES = 24 * 60


_MOST = 10**20  # what a number may be that a value is compared with; a longer one is no number of anything


def _value_tests(key: str, kind: ValueTests, value: object, limits: RuleLimits) -> dict[str, ValueTest]:
    if not isinstance(value, dict) or not 0 < len(value) <= limits.listed:
        raise Mistake(
            f"{key} must be {kind.in_words()}; you wrote {shown(value)}. Write e.g. {key} = {{ {kind.example} }}."
        )
    return _TESTS.validate_python({name: (f"{key}.{name}", one) for name, one in value.items()}, context=limits)


def _value_test(named: tuple[str, Any], info: ValidationInfo) -> ValueTest:
    key, value = named
    most = cast("RuleLimits", info.context)
    if isinstance(value, dict):
        return _limits_or_pattern(key, value, most.pattern)
    every = value if isinstance(value, list) else [value]
    if not 0 < len(every) <= most.listed or not all(map(_is_text, every)):
        raise Mistake(f"{key} must be a text in quotes, or a list of texts; you wrote {_listed(value)}.")
    return ValueTest(any_of=tuple(_as_text(one) for one in every))


_TESTS = TypeAdapter(dict[str, Annotated[Any, PlainValidator(_value_test)]])


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) <= _MOST)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _limits_or_pattern(key: str, value: Mapping[str, object], most: int) -> ValueTest:
    if set(value) == {"matches"}:
        return ValueTest(pattern=read_pattern(key, value["matches"], most))
    limits = {name: _limit(f"{key}.{name}", limit) for name, limit in value.items() if name in ("at_least", "at_most")}
    if not limits or set(value) - set(limits):
        raise Mistake(
            f"{key} may say at_least and at_most (numbers), or matches alone; you wrote {', '.join(value) or 'nothing'}."
        )
    at_least, at_most = limits.get("at_least"), limits.get("at_most")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise Mistake(f"{key}: no number is at least {at_least} and at most {at_most}; change one of them.")
    return ValueTest(at_least=at_least, at_most=at_most)


def _limit(key: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Mistake(f"{key} must be a number without quotes; you wrote {shown(value)}.")
    limit = Decimal(value)
    if not limit.is_finite() or abs(limit) > _MOST or limit != limit.normalize():  # nan is neither more nor less
        raise Mistake(f"{key} must be a number of at most 20 digits; you wrote {shown(value)}.")
    return limit


_LIMITED: frozenset[type[Kind[Any]]] = frozenset({Codes, DayParts, ValueTests})
_READERS: Mapping[type[Kind[Any]], Callable[..., Any]] = {
    Seconds: _seconds,
    Words: _words,
    YesNo: _yes_or_no,
    Line: line,
    Template: _template,
    Amount: _dollars,
    Span: _span,
    Word: _one_word,
    Zone: _zone,
    Codes: _codes,
    DayParts: _day_parts,
    ValueTests: _value_tests,
    HolidaysOf: read_holidays,
    TrackedNumbers: read_numbers,
    ListFile: read_list,
    ExtraFields: lambda _, __, value: read_extra(value),
}
