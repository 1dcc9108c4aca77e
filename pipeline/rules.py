"""What shall count: the rules of `offhook.toml`, checked with line numbers, read back in English. Reads no file."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from pipeline.call import Direction, Status, is_terminal
from pipeline.phone import to_e164

ExtraValue = str | int | float | bool

MAX_TEXT = 200  # characters of an action, a label, the name of an extra field
MAX_EXTRA_TEXT = 2000  # characters of an extra field's value
MAX_SECONDS = 86_400
MAX_REVENUE = Decimal(10_000_000)

# What a template may name, beside every parameter of Twilio's by its own name.
FIELDS = {
    "call_sid": "the CallSid",
    "account_sid": "the AccountSid",
    "from": "the caller's number as Twilio wrote it",
    "to": "the number that was called",
    "label": "the tracked number's label",
    "direction": "inbound or outbound-api",
    "status": "the call's final status",
    "duration_seconds": "the call's length",
    "answered_by": "human, machine_start, ... with answering machine detection",
    "caller_name": "with caller name lookup",
    "ended_at": "when the call ended, ISO 8601, UTC",
    "legs": "how many legs the call had",
    **{
        f"{end}_{part}": f"{part} of {end}, as Twilio guesses it"
        for end in ("from", "to")
        for part in ("city", "state", "zip", "country")
    },
}
ALIASES = {"call_duration": "duration_seconds", "tracked_number": "to", "tracked_number_label": "label"}
# Rockerbox's own fields, which an extra field must not replace.
FIXED = frozenset({"email", "customer_id", "action", "timestamp", "conversion_source", "order_id", "revenue"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the line where it stands (0 when it has none), and what to write instead."""

    line: int
    message: str


class RulesError(Exception):
    """The rules cannot be used; the text has a line for every mistake."""

    def __init__(self, problems: tuple[Problem, ...], file_name: str) -> None:
        self.problems = problems
        places = [f"{file_name}:{p.line}" if p.line else file_name for p in problems]
        super().__init__("\n".join(f"{place}: {p.message}" for place, p in zip(places, problems, strict=True)))


@dataclass(frozen=True, slots=True)
class Number:
    """A tracked number (E.164) and what differs for it; None where nothing does. `revenue` is dollars."""

    number: str
    label: str | None = None
    action: str | None = None
    revenue: Decimal | None = None
    extra: Mapping[str, ExtraValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts and what is told. `version` names these rules; comments and the order of keys play no part in it."""

    action: str = "phone_call"
    min_duration_seconds: int = 0
    statuses: frozenset[Status] = frozenset({Status.COMPLETED})
    directions: frozenset[Direction] = frozenset({Direction.INBOUND})
    order_id: str = "{call_sid}"
    revenue: Decimal | None = None
    extra: Mapping[str, ExtraValue] = field(default_factory=dict)
    only_listed_numbers: bool = False
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return _version(self)


def _version(rules: Rules) -> str:
    facts = {
        "action": rules.action,
        "min": rules.min_duration_seconds,
        "statuses": sorted(rules.statuses),
        "directions": sorted(rules.directions),
        "order_id": rules.order_id,
        "revenue": str(rules.revenue),
        "extra": dict(rules.extra),
        "only": rules.only_listed_numbers,
        "numbers": {n: [x.label, x.action, str(x.revenue), dict(x.extra)] for n, x in rules.numbers.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


# Templates


_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


def render(template: str, fields: Mapping[str, str]) -> str:
    """The template with its `{fields}` filled in; what is not known is empty."""

    def put(found: re.Match[str]) -> str:
        return fields.get(found[1], "") if found[1] else found[0][0]

    return _FIELD.sub(put, template)


def render_extra(extra: Mapping[str, ExtraValue], fields: Mapping[str, str]) -> dict[str, ExtraValue]:
    """The extra fields of a payload; those that come out empty are left out."""
    rendered = {name: render(value, fields) if isinstance(value, str) else value for name, value in extra.items()}
    return {name: value for name, value in rendered.items() if value != ""}


def _template_problem(template: str) -> str | None:
    """What is wrong with a template, or None."""
    for found in _FIELD.finditer(template):
        if found[0] in ("{", "}"):
            return f'a lone "{found[0]}"; write {found[0] * 2} for the character itself'
        if found[1] and not found[1][0].isupper() and found[1] not in FIELDS:
            return f'"{{{found[1]}}}" is no field{_closest(found[1], FIELDS)}'
    return None


def _closest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else f". Known: {', '.join(sorted(known))}."


# Reading


def parse(
    text: str,
    *,
    region: str = "US",
    file_name: str = "offhook.toml",
    normal: Callable[[str, str], str | None] = to_e164,
) -> Rules:
    """The rules in a TOML text. Raises RulesError with every mistake, its line and its remedy."""
    try:
        table = tomllib.loads(text.removeprefix("\ufeff"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise RulesError((_syntax_problem(error),), file_name) from None
    except RecursionError:
        raise RulesError((Problem(0, "is nested too deeply to be read."),), file_name) from None
    reading = _Reading(text, region, normal)
    rules = reading.rules(table)
    if reading.problems:
        raise RulesError(tuple(sorted(reading.problems, key=lambda problem: problem.line)), file_name)
    return rules


def _syntax_problem(error: Exception) -> Problem:
    found = re.search(r"\(at line (\d+)", str(error))
    told = re.sub(r" \(at .*\)$", "", str(error))
    remedy = "Put words into quotes, one key = value a line; see offhook.toml.example."
    return Problem(int(found[1]) if found else 0, f"this is not TOML: {told}. {remedy}")


_TOP = (
    "action",
    "min_duration_seconds",
    "statuses",
    "directions",
    "order_id",
    "revenue",
    "extra",
    "only_listed_numbers",
    "numbers",
)
_OF_NUMBER = ("number", "label", "action", "revenue", "extra")


class _Reading:
    """One pass over the parsed table; collects problems instead of stopping at the first."""

    def __init__(self, text: str, region: str, normal: Callable[[str, str], str | None]) -> None:
        self._lines = _Lines(text)
        self._region = region
        self._normal = normal
        self.problems: list[Problem] = []

    def _wrong(self, path: tuple[str | int, ...], message: str) -> None:
        self.problems.append(Problem(self._lines.of(path), message))

    def rules(self, table: Mapping[str, Any]) -> Rules:
        self._unknown((), table, _TOP)
        default = Rules()
        return Rules(
            action=self._text((), table, "action") or default.action,
            min_duration_seconds=self._seconds(table),
            statuses=self._words(table, "statuses", _statuses(), default.statuses),
            directions=self._words(table, "directions", _directions(), default.directions),
            order_id=self._order_id(table),
            revenue=self._revenue((), table),
            extra=self._extra((), table),
            only_listed_numbers=self._yes_or_no(table, "only_listed_numbers"),
            numbers=self._numbers(table),
        )

    def _unknown(self, path: tuple[str | int, ...], table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._wrong((*path, key), f'"{key}" is no setting here{_closest(key, known)}')

    def _text(self, path: tuple[str | int, ...], table: Mapping[str, Any], key: str) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            example = f'{key} = "phone_call"' if key == "action" else f'{key} = "..."'
            self._wrong((*path, key), f"{key} must be text of 1 to {MAX_TEXT} characters in quotes, e.g. {example}.")
            return None
        return value.strip()

    def _seconds(self, table: Mapping[str, Any]) -> int:
        value = table.get("min_duration_seconds", 0)
        if type(value) is int and 0 <= value <= MAX_SECONDS:
            return value
        told = f"must be a whole number of seconds from 0 to {MAX_SECONDS}; you wrote {_shown(value)}"
        self._wrong(("min_duration_seconds",), f"min_duration_seconds {told}. Write e.g. min_duration_seconds = 30.")
        return 0

    def _yes_or_no(self, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self._wrong((key,), f"{key} must be true or false; you wrote {_shown(value)}.")
        return value is True

    def _words(self, table: Mapping[str, Any], key: str, known: Mapping[str, Any], default: Any) -> Any:
        value = table.get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not value:
            first = next(iter(known))
            self._wrong((key,), f'{key} must be a list with at least one word, e.g. {key} = ["{first}"].')
            return default
        for word in value:
            if not isinstance(word, str) or word not in known:
                self._wrong(
                    (key,), f"{key}: {_shown(word)} does not count. {_word_hint(word)}Choose from {', '.join(known)}."
                )
        return frozenset(known[word] for word in value if isinstance(word, str) and word in known) or default

    def _order_id(self, table: Mapping[str, Any]) -> str:
        value = table.get("order_id", "{call_sid}")
        if isinstance(value, str) and value in FIELDS:
            value = f"{{{value}}}"
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            self._wrong(("order_id",), 'order_id must be text in quotes, e.g. order_id = "{call_sid}".')
            return "{call_sid}"
        problem = _template_problem(value)
        if problem:
            self._wrong(("order_id",), f"order_id has {problem}")
        elif "{call_sid}" not in value.replace("{{", ""):
            why = "two calls would have the same order id, and Rockerbox would ignore the second"
            self._wrong(
                ("order_id",), f'order_id must contain {{call_sid}}: {why}. Write e.g. order_id = "{{call_sid}}".'
            )
        return value

    def _revenue(self, path: tuple[str | int, ...], table: Mapping[str, Any]) -> Decimal | None:
        value = table.get("revenue")
        if value is None:
            return None
        amount = _dollars(value)
        if amount is None:
            told = f"revenue must be dollars and cents, 0 or more, with at most 2 places; you wrote {_shown(value)}"
            self._wrong((*path, "revenue"), f"{told}. Write e.g. revenue = 27.50.")
        return amount

    def _extra(self, path: tuple[str | int, ...], table: Mapping[str, Any]) -> dict[str, ExtraValue]:
        value = table.get("extra", {})
        if isinstance(value, list):
            return self._extra_list(path, value)
        if not isinstance(value, dict):
            example = 'extra = { call_duration = "{duration_seconds}" }, or a list such as extra = ["label"]'
            self._wrong((*path, "extra"), f"extra must be a table, e.g. {example}.")
            return {}
        return {name: self._extra_value((*path, "extra", name), name, one) for name, one in value.items()}

    def _extra_list(self, path: tuple[str | int, ...], names: list[Any]) -> dict[str, ExtraValue]:
        known = {**{name: name for name in FIELDS}, **ALIASES}
        for name in names:
            if not isinstance(name, str) or (name not in known and not name[:1].isupper()):
                self._wrong((*path, "extra"), f"extra: {_shown(name)} is no field{_closest(str(name), known)}")
        return {name: f"{{{known.get(name, name)}}}" for name in names if isinstance(name, str)}

    def _extra_value(self, path: tuple[str | int, ...], name: str, value: Any) -> ExtraValue:
        if name in FIXED or not 0 < len(name) <= MAX_TEXT:
            remedy = f'Rockerbox reads "{name}" as its own; choose another name, e.g. "call_{name}"'
            self._wrong(path, f"extra: {remedy}.")
        if isinstance(value, str):
            problem = _template_problem(value) or ("more than 2000 characters" if len(value) > MAX_EXTRA_TEXT else None)
            if problem:
                self._wrong(path, f"extra.{name} has {problem}")
            return value
        plain = float(value) if isinstance(value, Decimal) else value
        if isinstance(plain, bool | int) or (isinstance(plain, float) and math.isfinite(plain)):
            return plain
        self._wrong(path, f"extra.{name} must be text, a number, true or false; you wrote {_shown(value)}.")
        return ""

    def _numbers(self, table: Mapping[str, Any]) -> dict[str, Number]:
        listed = table.get("numbers", [])
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            self._wrong(("numbers",), "write each tracked number as a [[numbers]] block (two brackets).")
            return {}
        found: dict[str, Number] = {}
        lines: dict[str, int] = {}
        for index, entry in enumerate(listed):
            path: tuple[str | int, ...] = ("numbers", index)
            number = self._number(path, entry)
            if number.number in found:
                self._wrong(
                    (*path, "number"),
                    f"{number.number} stands in line {lines[number.number]} already; keep one of them.",
                )
            found[number.number] = number
            lines[number.number] = self._lines.of((*path, "number"))
        return found

    def _number(self, path: tuple[str | int, ...], entry: Mapping[str, Any]) -> Number:
        self._unknown(path, entry, _OF_NUMBER)
        written = entry.get("number")
        e164 = self._normal(written, self._region) if isinstance(written, str) else None
        if e164 is None:
            told = f"you wrote {_shown(written)}" if "number" in entry else "it is missing"
            self._wrong(
                (*path, "number"), f'number must be a phone number in quotes, e.g. number = "+14155550100"; {told}.'
            )
        return Number(
            number=e164 or f"?{path[1]}",
            label=self._text(path, entry, "label"),
            action=self._text(path, entry, "action"),
            revenue=self._revenue(path, entry),
            extra=self._extra(path, entry),
        )


def _statuses() -> dict[str, Status]:
    return {status.value: status for status in Status if is_terminal(status)}


def _directions() -> dict[str, Direction]:
    return {direction.value: direction for direction in (Direction.INBOUND, Direction.OUTBOUND_API)}


def _word_hint(word: object) -> str:
    if word == Direction.OUTBOUND_DIAL.value:
        return "An outbound-dial leg is a part of the call that dialled it and never counts by itself. "
    if isinstance(word, str) and word in {status.value for status in Status}:
        return "A call is told only when it is over. "
    return ""


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return f'"{value[:60]}"' if isinstance(value, str) else f"{str(value)[:60]}"


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value)
        cents = amount.quantize(Decimal("0.01"))
    except (InvalidOperation, ValueError):
        return None
    return cents if amount == cents and 0 <= amount <= MAX_REVENUE else None


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]*?)\s*\]\]?")
_KEY = re.compile(r"""^\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.[^=]*)?=""")
_INLINE = re.compile(r"""[{,]\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*=""")


class _Lines:
    """Where each key stands: tomllib does not say. A key that is not found has the line of the table it is in."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str | int, ...], int] = {}
        self._read(text)

    def of(self, path: tuple[str | int, ...]) -> int:
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path, 1)

    def _read(self, text: str) -> None:
        here: tuple[str | int, ...] = ()
        counts: dict[str, int] = {}
        quotes: str | None = None
        for line_number, line in enumerate(text.splitlines(), 1):
            if quotes is None:
                here = self._line(line, line_number, here, counts)
            quotes = _open_quotes(line, quotes)

    def _line(
        self, line: str, number: int, here: tuple[str | int, ...], counts: dict[str, int]
    ) -> tuple[str | int, ...]:
        header = _HEADER.match(line)
        if header and "=" not in line.split("]")[0]:
            here = self._header(header, counts)
            self._found.setdefault(here, number)
            return here
        key = _KEY.match(line)
        if key:
            path = (*here, _name(key))
            self._found.setdefault(path, number)
            for inline in _INLINE.finditer(line, key.end()):
                self._found.setdefault((*path, _name(inline)), number)
        return here

    def _header(self, header: re.Match[str], counts: dict[str, int]) -> tuple[str | int, ...]:
        parts = tuple(part.strip().strip("\"'") for part in header[2].split("."))
        if header[1] == "[[":
            counts[header[2]] = counts.get(header[2], -1) + 1
            return (*parts, counts[header[2]])
        if parts[0] in counts:  # [numbers.extra] belongs to the last [[numbers]]
            return (parts[0], counts[parts[0]], *parts[1:])
        return parts


def _name(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)


def _open_quotes(line: str, quotes: str | None) -> str | None:
    """Whether a multi-line text is open after this line, and with which quotes."""
    for mark in ('"""', "'''"):
        if quotes in (None, mark) and line.count(mark) % 2:
            return None if quotes else mark
    return quotes


# In English


def in_english(rules: Rules) -> str:
    """The rules as sentences."""
    statuses = " or ".join(sorted(rules.statuses))
    directions = " or ".join(sorted(rules.directions))
    lasting = f" and lasted at least {rules.min_duration_seconds} s" if rules.min_duration_seconds else ""
    lines = [
        f"A call counts when it is {directions}, ended as {statuses}{lasting}, and its caller did not withhold the number.",
        f'It is told as "{rules.action}"{_worth(rules.revenue)}, with the order id {rules.order_id}{_with(rules.extra)}.',
        "Numbers that are not listed do not count." if rules.only_listed_numbers else "Every number counts.",
    ]
    lines += [_number_in_english(number) for number in rules.numbers.values()]
    return "\n".join(lines)


def _number_in_english(number: Number) -> str:
    name = f"{number.number} ({number.label})" if number.label else number.number
    told = f' is told as "{number.action}"' if number.action else " is told as the others are"
    return f"  {name}{told}{_worth(number.revenue)}{_with(number.extra)}."


def _worth(revenue: Decimal | None) -> str:
    return f", worth {revenue} dollars" if revenue is not None else ""


def _with(extra: Mapping[str, ExtraValue]) -> str:
    return f", with {', '.join(f'{name} = {value}' for name, value in extra.items())}" if extra else ""
