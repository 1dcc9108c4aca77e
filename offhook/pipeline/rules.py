"""What shall count: the rules of `offhook.toml`, checked with line numbers, read back in English. Reads no file."""

from __future__ import annotations

import bisect
import contextlib
import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from offhook.pipeline.callback import Direction, Status, is_terminal
from offhook.pipeline.phone import to_e164

ExtraValue = str | int | float | bool

MAX_TEXT = 200  # characters of an action, a label, an order id, the name of an extra field
MAX_EXTRA_TEXT = 2000  # characters of an extra field's value
MAX_EXTRA_INT = 2**53 - 1  # what every reader of JSON keeps exactly (RFC 8259, section 6)
MAX_SECONDS = 86_400
MAX_REVENUE = Decimal(10_000_000)

# What a template may name, beside every parameter of Twilio's by its own name.
FIELDS = {
    "call_sid": "the CallSid",
    "account_sid": "the AccountSid",
    "from": "the calling number",
    "to": "the number that was called",
    "label": "the tracked number's label",
    "direction": "inbound or outbound-api",
    "status": "the call's final status",
    "duration_seconds": "the call's length in seconds",
    "answered_by": "who answered (human, machine_start, ...; with answering machine detection)",
    "caller_name": "the caller's name (with caller name lookup)",
    "ended_at": "when the call ended (ISO 8601, UTC)",
    "legs": "how many legs the call had",
    **{
        f"{end}_{part}": f"the {word} of the {whose} number, as Twilio guesses it"
        for end, whose in (("from", "calling"), ("to", "called"))
        for part, word in (("city", "city"), ("state", "state"), ("zip", "postal code"), ("country", "country"))
    },
}
# Friendlier names that a list of extra fields may use.
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
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", _version(self))


def _version(rules: Rules) -> str:
    facts = {
        "action": rules.action,
        "min_duration_seconds": rules.min_duration_seconds,
        "statuses": sorted(rules.statuses),
        "directions": sorted(rules.directions),
        "order_id": rules.order_id,
        "revenue": _money(rules.revenue),
        "extra": dict(rules.extra),
        "only_listed_numbers": rules.only_listed_numbers,
        "numbers": {n: [x.label, x.action, _money(x.revenue), dict(x.extra)] for n, x in rules.numbers.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.2f}"


# Templates

# A parameter of Twilio's begins with a capital; those made from SIP headers may hold a hyphen (SipHeader_X-Branch).
_PARAMETER = re.compile(r"[A-Z][A-Za-z0-9_-]*")
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_-]*)\}|[{}]")
_BRACED = re.compile(r"\{[^{}]*\}")


def render(template: str, fields: Mapping[str, str]) -> str:
    """The template with its `{fields}` filled in; what is not known is empty. No formats, no attributes: names alone."""

    def put(found: re.Match[str]) -> str:
        return fields.get(found[1], "") if found[1] else found[0][0]

    return _TOKEN.sub(put, template)


def render_extra(extra: Mapping[str, ExtraValue], fields: Mapping[str, str]) -> dict[str, ExtraValue]:
    """The extra fields of a payload; those that come out empty are left out."""
    rendered = {name: render(value, fields) if isinstance(value, str) else value for name, value in extra.items()}
    return {name: value for name, value in rendered.items() if value != ""}


def _template_problem(template: str) -> str | None:
    """What is wrong with a template, or None."""
    for found in _TOKEN.finditer(template):
        if found[0] in ("{", "}"):
            return _brace_problem(template, found.start())
        if found[1] and not _is_field(found[1]):
            return f'"{{{found[1][:60]}}}" is no field{_closest(found[1], FIELDS)}'
    return None


def _brace_problem(template: str, at: int) -> str:
    braced = _BRACED.match(template, at)
    if braced:
        return f"{_shown(braced[0])} is no field: write a plain name between the braces, e.g. {{call_sid}}."
    return f'there is a lone "{template[at]}"; write {template[at] * 2} for the character itself.'


def _is_field(name: str) -> bool:
    return name in FIELDS or _PARAMETER.fullmatch(name) is not None


def _has_call_sid(template: str) -> bool:
    return any(found[1] == "call_sid" for found in _TOKEN.finditer(template))


def _closest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says a word is not known."""
    if word in ALIASES:
        return f'; did you mean "{ALIASES[word]}"?'
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else f". Known: {', '.join(sorted(known))}."


# Reading


def parse(
    text: str,
    *,
    region: str = "US",
    file_name: str = "offhook.toml",
    to_e164: Callable[[str, str], str | None] = to_e164,
) -> Rules:
    """The rules in a TOML text. Raises RulesError, and nothing else, with every mistake, its line and its remedy.

    `region` (two letters) is the country of numbers written without one; `file_name` is for the messages.
    """
    text = text.removeprefix("\ufeff")
    try:
        table = _toml(text)
        reading = _Reading(_Lines(text), region, to_e164)
        rules = reading.rules(table)
    except _NotToml as error:
        raise RulesError((error.problem,), file_name) from None
    except RecursionError:
        raise RulesError((Problem(0, "this is nested too deeply to be read."),), file_name) from None
    if reading.problems:
        raise RulesError(tuple(sorted(reading.problems, key=lambda problem: problem.line)), file_name)
    return rules


class _NotToml(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_NUMBER = re.compile(r"[0-9A-Fa-f_]{19,}")


def _toml(text: str) -> dict[str, Any]:
    surrogate = _SURROGATE.search(text)
    if surrogate:
        raise _NotToml(
            Problem(_line_at(text, surrogate.start()), "a character is broken; save the file as UTF-8 text.")
        )
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise _NotToml(_syntax_problem(text, error)) from None
    except (ValueError, ArithmeticError):  # more digits than Python reads: tomllib lets these errors through
        found = _LONG_NUMBER.search(text)
        message = "a number is too long to be read; put it into quotes if it is text."
        raise _NotToml(Problem(_line_at(text, found.start()) if found else 0, message)) from None


# Beginnings of tomllib's messages, and what to do.
_REMEDIES = {
    "Invalid value": "Put words into quotes, and write true and false small.",
    "Illegal character": "A text in quotes ends in the line in which it began.",
    "Unescaped '\\'": "Write \\\\ for a backslash, or use '...' instead of \"...\".",
    "Cannot overwrite": "The key is there twice; keep one of them.",
    "Duplicate inline": "The key is there twice; keep one of them.",
    "Cannot declare": "The block is there twice; keep one of them. A tracked number needs two brackets: [[numbers]].",
    "Cannot mutate": "The key was given above in another form; keep one of them.",
    "Unclosed": "A closing bracket is missing.",
    "Unterminated": "The closing quotes are missing.",
    "Expected '='": "Write one key = value a line.",
    "Expected newline": "Write one key = value a line, and put words into quotes.",
}


def _syntax_problem(text: str, error: Exception) -> Problem:
    at = re.search(r" \(at line (\d+)", str(error))
    told = re.sub(r" \(at [^()]*\)$", "", str(error))
    fitting = [remedy for start, remedy in _REMEDIES.items() if told.startswith(start)]
    remedy = fitting[0] if fitting else "Put words into quotes, and write one key = value a line."
    line = int(at[1]) if at else _line_at(text, len(text.rstrip()))
    return Problem(line, f"this is not TOML: {told[:200]}. {remedy} offhook.toml.example shows how.")


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


_Path = tuple[str | int, ...]
_Word = TypeVar("_Word", Status, Direction)

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
_STATUSES = {status.value: status for status in Status if is_terminal(status)}
_DIRECTIONS = {direction.value: direction for direction in (Direction.INBOUND, Direction.OUTBOUND_API)}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_SPACE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class _Reading:
    """One pass over the parsed table; collects problems instead of stopping at the first."""

    def __init__(self, lines: _Lines, region: str, to_e164: Callable[[str, str], str | None]) -> None:
        self._lines = lines
        self._region = region
        self._to_e164 = to_e164
        self.problems: list[Problem] = []

    def _wrong(self, path: _Path, message: str) -> None:
        self.problems.append(Problem(self._lines.of(path), message))

    def rules(self, table: Mapping[str, Any]) -> Rules:
        self._unknown((), table, _TOP)
        default = Rules()
        return Rules(
            action=self._text((), table, "action") or default.action,
            min_duration_seconds=self._seconds(table),
            statuses=self._words(table, "statuses", _STATUSES, default.statuses),
            directions=self._words(table, "directions", _DIRECTIONS, default.directions),
            order_id=self._order_id(table),
            revenue=self._revenue((), table),
            extra=self._extra((), table),
            only_listed_numbers=self._yes_or_no(table, "only_listed_numbers"),
            numbers=self._numbers(table),
        )

    def _unknown(self, path: _Path, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._wrong((*path, key), _unknown_key(key, known))

    def _text(self, path: _Path, table: Mapping[str, Any], key: str) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_TEXT or _CONTROL.search(value):
            told = f"{key} must be one line of 1 to {MAX_TEXT} characters in quotes; you wrote {_shown(value)}"
            self._wrong((*path, key), f'{told}. Write e.g. {key} = "{_EXAMPLES[key]}".')
            return None
        return value.strip()

    def _seconds(self, table: Mapping[str, Any]) -> int:
        value = table.get("min_duration_seconds", 0)
        if type(value) is int and 0 <= value <= MAX_SECONDS:
            return value
        limit = f" (at most {MAX_SECONDS}, a day)" if type(value) is int and value > 0 else ""
        told = f"must be a whole number of seconds, 0 or more{limit}; you wrote {_shown(value)}"
        self._wrong(("min_duration_seconds",), f"min_duration_seconds {told}. Write e.g. min_duration_seconds = 30.")
        return 0

    def _yes_or_no(self, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            told = f"{key} must be true or false, without quotes; you wrote {_shown(value)}"
            self._wrong((key,), f"{told}. Write e.g. {key} = true.")
        return value is True

    def _words(
        self, table: Mapping[str, Any], key: str, known: Mapping[str, _Word], default: frozenset[_Word]
    ) -> frozenset[_Word]:
        value = table.get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not value:
            told = f"{key} must be a list with at least one word; you wrote {_shown(value)}"
            self._wrong((key,), f'{told}. Write e.g. {key} = ["{next(iter(known))}"].')
            return default
        for index, word in enumerate(value):
            if not isinstance(word, str) or word not in known:
                self._wrong(
                    (key, index), f"{key}: {_shown(word)} {_word_problem(word)} Choose from {', '.join(known)}."
                )
        return frozenset(known[word] for word in value if isinstance(word, str) and word in known) or default

    def _order_id(self, table: Mapping[str, Any]) -> str:
        value = table.get("order_id", "{call_sid}")
        remedy = 'Write e.g. order_id = "{call_sid}".'
        if not isinstance(value, str) or len(value) > MAX_TEXT or _CONTROL.search(value):
            told = f"order_id must be one line of at most {MAX_TEXT} characters in quotes; you wrote {_shown(value)}"
            self._wrong(("order_id",), f"{told}. {remedy}")
            return "{call_sid}"
        template = f"{{{value}}}" if value in FIELDS else value
        problem = _template_problem(template)
        if problem:
            self._wrong(("order_id",), f"order_id: {problem}")
        elif not _has_call_sid(template):
            why = "without it two calls have the same order id, and Rockerbox ignores the second"
            self._wrong(("order_id",), f"order_id must contain {{call_sid}}: {why}. {remedy}")
        return template

    def _revenue(self, path: _Path, table: Mapping[str, Any]) -> Decimal | None:
        value = table.get("revenue")
        if value is None:
            return None
        amount = _dollars(value)
        if amount is None:
            form = f"0 to {MAX_REVENUE}, at most 2 places, no sign, no commas"
            told = f"revenue must be dollars.cents ({form}); you wrote {_shown(value)}"
            self._wrong((*path, "revenue"), f"{told}. Write e.g. revenue = 27.50.")
        return amount

    def _extra(self, path: _Path, table: Mapping[str, Any]) -> dict[str, ExtraValue]:
        value = table.get("extra", {})
        path = (*path, "extra")
        if isinstance(value, list):
            return self._extra_list(path, value)
        if not isinstance(value, dict):
            example = 'extra = { call_duration = "{duration_seconds}" } or extra = ["duration_seconds", "label"]'
            self._wrong(path, f"extra must be a table or a list; you wrote {_shown(value)}. Write e.g. {example}.")
            return {}
        return {name: self._extra_value((*path, name), name, one) for name, one in value.items()}

    def _extra_list(self, path: _Path, names: list[Any]) -> dict[str, ExtraValue]:
        known = {**{name: name for name in FIELDS}, **ALIASES}
        found: dict[str, ExtraValue] = {}
        for index, name in enumerate(names):
            if not isinstance(name, str):
                self._wrong(
                    (*path, index), f'extra: {_shown(name)} is no field; write names in quotes, e.g. ["label"].'
                )
            elif name in known or _PARAMETER.fullmatch(name):
                found[name] = f"{{{known.get(name, name)}}}"
            else:
                why = _name_problem(name) or f"{_shown(name)} is no field{_closest(name, known)}"
                self._wrong((*path, index), f"extra: {why}")
        return found

    def _extra_value(self, path: _Path, name: str, value: Any) -> ExtraValue:
        problem = _name_problem(name)
        if problem:
            self._wrong(path, f"extra: {problem}")
        plain = float(value) if isinstance(value, Decimal) else value
        problem = _value_problem(plain)
        if problem:
            self._wrong(path, f"extra {_shown(name)}: {problem}")
            return ""
        kept: ExtraValue = plain
        return kept

    def _numbers(self, table: Mapping[str, Any]) -> dict[str, Number]:
        listed = table.get("numbers", [])
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            self._wrong(
                ("numbers",), "write each tracked number as a block that begins with [[numbers]] (two brackets)."
            )
            return {}
        found: dict[str, Number] = {}
        lines: dict[str, int] = {}
        for index, entry in enumerate(listed):
            path: _Path = ("numbers", index)
            number = self._number(path, entry)
            line = self._lines.of((*path, "number"))
            if number.number in found:
                told = f"{number.number} is there twice, in line {lines[number.number]} and in line {line}"
                self._wrong((*path, "number"), f"{told}; keep one of them.")
            found[number.number] = number
            lines.setdefault(number.number, line)
        return found

    def _number(self, path: _Path, entry: Mapping[str, Any]) -> Number:
        self._unknown(path, entry, _OF_NUMBER)
        return Number(
            number=self._e164(path, entry),
            label=self._text(path, entry, "label"),
            action=self._text(path, entry, "action"),
            revenue=self._revenue(path, entry),
            extra=self._extra(path, entry),
        )

    def _e164(self, path: _Path, entry: Mapping[str, Any]) -> str:
        written = entry.get("number")
        e164 = self._to_e164(written, self._region) if isinstance(written, str) else None
        if e164 is None:
            told = f"you wrote {_shown(written)}" if "number" in entry else "it is missing"
            form = "a phone number in quotes, best with + and its country code"
            self._wrong((*path, "number"), f'number must be {form}; {told}. Write e.g. number = "+14155550100".')
        return e164 or f"?{path[-1]}"  # no number, so that it equals no other; these rules are refused anyway


_EXAMPLES = {"action": "phone_call", "label": "Television"}


def _unknown_key(key: str, known: tuple[str, ...]) -> str:
    if key in _TOP:
        return (
            f'"{key}" is for the whole file, and here it belongs to the block above it; move it above the first [line].'
        )
    if key in _OF_NUMBER:
        return f'"{key}" belongs to a tracked number; write it below a line [[numbers]].'
    return f"{_shown(key)} is no setting{_closest(key, known)}"


def _word_problem(word: object) -> str:
    if word == Direction.OUTBOUND_DIAL.value:
        return "never counts by itself: such a leg is a part of the call that dialled it."
    if isinstance(word, str) and word in list(Status) and word != Status.UNKNOWN:
        return "is not the end of a call, and a call is sent only when it is over."
    return "is none of them."


def _name_problem(name: str) -> str | None:
    """What is wrong with the name of an extra field, or None."""
    if name in FIXED:
        moved = "; if you mean the setting, move it above the first [line]" if name in _TOP else ""
        return f'"{name}" is a field of Rockerbox\'s own; choose another name, e.g. "call_{name}"{moved}.'
    if name in _TOP:
        return f'"{name}" is a setting; move it above the first [line], or choose another name, e.g. "call_{name}".'
    if not 0 < len(name) <= MAX_TEXT or _CONTROL.search(name):
        return f"a name has 1 to {MAX_TEXT} characters in one line; you wrote {_shown(name)}."
    return None


def _value_problem(value: object) -> str | None:
    """What is wrong with the value of an extra field, or None."""
    if isinstance(value, str):
        if len(value) > MAX_EXTRA_TEXT or _CONTROL_BUT_SPACE.search(value):
            return f"write at most {MAX_EXTRA_TEXT} characters, and no control characters."
        return _template_problem(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        limit = f"a whole number is at most {MAX_EXTRA_INT}; put a longer one into quotes."
        return None if abs(value) <= MAX_EXTRA_INT else limit
    if isinstance(value, float) and math.isfinite(value):
        return None
    return f"write text in quotes, a number, true or false; you wrote {_shown(value)}."


def _shown(value: object) -> str:
    """A value of TOML as a message may quote it; never long, never raises."""
    if isinstance(value, str):
        short = value if len(value) <= 60 else f"{value[:60]}..."
        return _quoted(short)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "table"
        return f"a {kind}" if value else f"an empty {kind}"
    if isinstance(value, int) and abs(value) > 10**20:  # Python refuses to write out the longest
        return "a very long number"
    return str(value)[:60]


_DOLLARS = re.compile(r"[0-9]+(?:\.[0-9]{1,2})?")


def _dollars(value: object) -> Decimal | None:
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


# Lines

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_PLAIN = re.compile(r"[^,\]}#\n]+")  # a number, a date, true, false


class _Lost(Exception):
    """The text is not what the locator takes TOML to be."""


class _Lines:
    """Where each key and each member of a list stands: tomllib does not say. Reads text that tomllib has accepted.

    What is not found has the line of the table that it is in.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._blocks: dict[_Path, int] = {}  # the last index of each [[array of tables]]
        self._found: dict[_Path, int] = {}
        with contextlib.suppress(_Lost):  # a worse line is better than no message
            self._document()

    def of(self, path: _Path) -> int:
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path, 1)

    def _document(self) -> None:
        here: _Path = ()
        while next_char := self._peek():
            if next_char == "[":
                here = self._header()
            else:
                self._pair(here)

    def _peek(self) -> str:
        """The next character that is neither blank nor comment; empty at the end."""
        self._take(_BLANK)
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise _Lost
        self._at = found.end()
        return found[0]

    def _skip(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _Lost
        self._at += len(mark)

    def _note(self, path: _Path, at: int) -> None:
        self._found.setdefault(path, bisect.bisect_left(self._ends, at) + 1)

    def _header(self) -> _Path:
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._skip("[" * brackets)
        parts = self._key()
        self._skip("]" * brackets)
        if brackets == 2:
            block = (*self._resolved(parts[:-1], start), parts[-1])
            self._blocks[block] = self._blocks.get(block, -1) + 1
        path = self._resolved(parts, start)
        self._note(path, start)
        return path

    def _resolved(self, parts: list[str], at: int) -> _Path:
        """The path that a header means: [numbers.extra] belongs to the last [[numbers]]."""
        path: _Path = ()
        for part in parts:
            path = (*path, part)
            self._note(path, at)
            if path in self._blocks:
                path = (*path, self._blocks[path])
        return path

    def _key(self) -> list[str]:
        """A key, dotted or not, with the blanks around it."""
        parts: list[str] = []
        while True:
            self._peek()
            written = self._take(_KEY)
            parts.append(tomllib.loads(f"key = {written}")["key"] if written[0] in "\"'" else written)
            if self._peek() != ".":
                return parts
            self._skip(".")

    def _pair(self, path: _Path) -> None:
        self._peek()
        start = self._at
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._skip("=")
        self._value(path)

    def _value(self, path: _Path) -> None:
        first = self._peek()
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if first in ('"', "'") else _PLAIN)

    def _array(self, path: _Path) -> None:
        self._skip("[")
        index = 0
        while self._peek() != "]":
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            if self._peek() == ",":
                self._skip(",")
        self._skip("]")

    def _inline_table(self, path: _Path) -> None:
        self._skip("{")
        while self._peek() != "}":
            self._pair(path)
            if self._peek() == ",":
                self._skip(",")
        self._skip("}")


# In English


def in_english(rules: Rules) -> str:
    """The rules as sentences, one a line."""
    lines = [
        f"A call counts when it is {_any_of(rules.directions)}, ended as {_any_of(rules.statuses)}"
        f"{_lasting(rules.min_duration_seconds)}, and its caller did not withhold the number.",
        f"It is sent as {_quoted(rules.action)}{_worth(rules.revenue)}; its order id is "
        f"{_value_in_english(rules.order_id)}{_with(rules.extra)}.",
        _which_numbers(rules),
        *(_number_in_english(number) for number in rules.numbers.values()),
    ]
    return "\n".join(lines)


def _any_of(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


def _lasting(seconds: int) -> str:
    return f", lasted at least {seconds} s" if seconds else ""


def _which_numbers(rules: Rules) -> str:
    if not rules.only_listed_numbers:
        return "Calls of every number count; these differ:" if rules.numbers else "Calls of every number count."
    if not rules.numbers:
        return "No call counts at all: only listed numbers do, and none is listed. Add a [[numbers]] block."
    return "Only calls of these numbers count:"


def _number_in_english(number: Number) -> str:
    name = f"{number.number} ({number.label})" if number.label else number.number
    own = f", sent as {_quoted(number.action)}" if number.action else ""
    own += f"{_worth(number.revenue)}{_with(number.extra)}"
    return f"  {name}{own or ', sent as the others are'}."


def _worth(revenue: Decimal | None) -> str:
    return f", worth {_money(revenue)} dollars" if revenue is not None else ""


def _with(extra: Mapping[str, ExtraValue]) -> str:
    if not extra:
        return ""
    return f", with {', '.join(f'{name} = {_value_in_english(value)}' for name, value in extra.items())}"


def _value_in_english(value: ExtraValue) -> str:
    if not isinstance(value, str):
        return str(value).lower()
    alone = _TOKEN.fullmatch(value)
    if alone and alone[1]:
        return _field_in_english(alone[1])
    names = {found[1] for found in _TOKEN.finditer(value) if found[1]}
    return _quoted(render(value, {name: f"<{_field_in_english(name)}>" for name in names}))


def _field_in_english(name: str) -> str:
    return FIELDS.get(name) or f"Twilio's {name}"


def _quoted(text: str) -> str:
    """In quotes and on one line, whatever the text holds: it goes to a terminal."""
    return json.dumps(text, ensure_ascii=not text.isprintable())
