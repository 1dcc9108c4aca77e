"""The fields of one row: the numbers, the email and the customer id that it means, whatever dress they came in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

from offhook.adapters.customers.columns import Columns
from offhook.adapters.customers.spreadsheet import as_it_was
from offhook.pipeline.emails import EMAIL_OR_HASH
from offhook.pipeline.phone import Caller, CallerKind, caller
from offhook.pipeline.words import counted


class Reason(StrEnum):
    """Why a row, or a part of it, stands in the rejects file."""

    PHONE_MISSING = "phone_missing"
    PHONE_WITHHELD = "phone_withheld"
    PHONE_UNREADABLE = "phone_unreadable"
    NO_CUSTOMER = "no_customer"
    EMAIL_INVALID = "email_invalid"
    EMAIL_SECOND = "email_second"
    ID_LOST_DIGITS = "id_lost_digits"
    CONTROL_CHARACTER = "control_character"
    TOO_LONG = "too_long"
    COLUMNS = "columns"
    QUOTES = "quotes"
    NOT_UTF8 = "not_utf8"
    NOT_DECODABLE = "not_decodable"
    CONFLICT = "conflict"
    NOT_JSON = "not_json"
    ATTRIBUTE_TOO_LONG = "attribute_too_long"


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Longest texts that are taken, in characters. `row` bounds the memory that one row may use.

    `people` is how many customers of one number are distinguished; of more it is said that there are at least so many, and of
    these `named` are kept by name. `attributes` is how many further columns are kept of a customer, `attribute` how long each.
    `unpacked` is the bytes of a gzipped file, unpacked.
    """

    row: int = 65_536
    phone: int = 64
    email: int = 320  # RFC 3696 erratum 1690 says 254, older software allows 64 + 1 + 255
    customer_id: int = 255
    people: int = 1_000
    named: int = 20
    attributes: int = 50
    attribute: int = 500
    unpacked: int = 1_000_000_000


class Problem(Exception):
    """What is wrong with a row, or with a part of it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class LeftEmpty(Exception):
    """Nobody has written a customer beside the number of this row, which was to be filled in."""


@dataclass(frozen=True, slots=True)
class ReadRow:
    """E.164 phones, one at least, and email or customer id; `problems` is what else stood there and is not used.

    `attributes` is what stands in the other columns, as far as anything does.
    """

    phones: tuple[str, ...]
    email: str | None
    customer_id: str | None
    problems: tuple[Problem, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


_PLAIN_EMAIL = re.compile(r"[^\s@,;:<>'\"]+@[^\s@,;:<>'\"]+")  # nothing to take off
_EMAILS_APART = re.compile(r"[;,|\r\n\t]+|\s/\s|\s:::\s")  # the last is Google's
_NAMED_EMAIL = re.compile(r"[^<>]*<([^<>\s]+@[^<>\s]+)>")
_MAILTO = re.compile(r"\Amailto:([^?]*)(?:\?.*)?", re.IGNORECASE | re.DOTALL)


class Fields:
    """Reads the fields of one row. Emails may be hashed: MD5, SHA-1, SHA-256 in hex; `lower_emails` writes them in lower
    case, as they are compared everywhere."""

    def __init__(self, columns: Columns, region: str, limits: ImportLimits, *, lower_emails: bool = False) -> None:
        self._columns = columns
        self._region = region
        self._limits = limits
        self._lower_emails = lower_emails
        self.customer_ids_that_are_emails = 0
        self.attributes_left_out = 0

    def read(self, record: list[str], more: Mapping[str, str] | None = None) -> ReadRow:
        """Raises Problem with the first thing that is wrong, where nothing of the row can be used, and LeftEmpty. `more` is
        what has no column in the header.
        """
        columns = self._columns
        cells = _as_wide_as_the_header(record, columns.width)
        if columns.to_fill_in and not any(self._named(cells)):
            raise LeftEmpty
        problems: list[Problem] = []
        phones = self._phones({name: value_of(cells[place]) for name, place in columns.phones}, problems)
        email = self._email(value_of(cells[columns.email]), problems) if columns.email is not None else None
        customer_id = (
            self._id(value_of(cells[columns.customer_id]), problems) if columns.customer_id is not None else None
        )
        if email is None and customer_id is None:
            raise next(
                (problem for problem in problems if problem.reason is Reason.ID_LOST_DIGITS),
                Problem(Reason.NO_CUSTOMER, "neither email nor customer id"),
            )
        if email is not None and self._lower_emails:
            email = email.lower()
        attributes = self._attributes(cells, more, problems) if columns.others or more else {}
        return ReadRow(tuple(phones), email, customer_id, tuple(problems), attributes)

    def _named(self, cells: list[str]) -> list[str]:
        """What stands where the customer is named."""
        places = (self._columns.email, self._columns.customer_id)
        return [value_of(cells[place]) for place in places if place is not None]

    def _attributes(self, cells: list[str], more: Mapping[str, str] | None, problems: list[Problem]) -> dict[str, str]:
        """What stands in the other columns, in their order; of one that is there twice the first that says anything."""
        found: dict[str, str] = {}
        for name, text in chain(((name, cells[place]) for name, place in self._columns.others), (more or {}).items()):
            value = value_of(text)
            if not value or name in found:
                continue
            if len(value) > self._limits.attribute or len(name) > self._limits.attribute:
                detail = f"{_shown(name)} is longer than {self._limits.attribute} characters"
                problems.append(Problem(Reason.ATTRIBUTE_TOO_LONG, detail))
            elif len(found) < self._limits.attributes:
                found[_writable(name)] = _writable(value)
            else:
                self.attributes_left_out += 1
        return found

    def _phones(self, cells: dict[str, str], problems: list[Problem]) -> list[str]:
        phones: dict[str, None] = {}
        for name, cell in cells.items():
            where = f'the column "{name}": ' if len(cells) > 1 else ""
            for one in self._numbers(cell) if cell else ():
                if one.e164 is None:
                    problems.append(self._no_phone(one, where))
                else:
                    phones[one.e164] = None
        if not phones:
            raise problems[0] if problems else Problem(Reason.PHONE_MISSING, "no phone")
        return list(phones)

    def _no_phone(self, read: Caller, where: str) -> Problem:
        if len(read.raw) > self._limits.phone:
            return Problem(Reason.TOO_LONG, f"{where}the phone is longer than {self._limits.phone} characters")
        if read.kind is CallerKind.WITHHELD:
            return Problem(Reason.PHONE_WITHHELD, f"{where}what Twilio says of a caller who withholds the number")
        return Problem(Reason.PHONE_UNREADABLE, f"{where}{_why_no_phone(read, self._region)}")

    def _numbers(self, cell: str) -> list[Caller]:
        """The numbers of a cell, each as it could be read: one, or several with something between them.

        Before a number is taken apart at a sign that may as well stand within it (030/123456), it is read as one.
        """
        if not _MAY_BE_SEVERAL.search(cell):
            whole = caller(cell, self._region)
            if whole.e164 is not None:
                return [whole]
        several = self._apart(_BETWEEN_NUMBERS, cell)
        if sum(one.e164 is not None for one in several) > 1:
            return several
        whole = caller(cell, self._region)
        if whole.e164 is None:
            several = self._apart(_WITHIN_NUMBERS, cell)
        return several if whole.e164 is None and any(one.e164 for one in several) else [whole]

    def _apart(self, separators: re.Pattern[str], cell: str) -> list[Caller]:
        parts = (part for part in map(value_of, separators.split(cell)) if not _REMARK.fullmatch(part))
        return [caller(part, self._region) for part in parts]

    def _email(self, text: str, problems: list[Problem]) -> str | None:
        if not text:
            return None
        if _PLAIN_EMAIL.fullmatch(text) and len(text) <= self._limits.email and text.isprintable():
            return text
        parts = [text] if EMAIL_OR_HASH.fullmatch(text) else _EMAILS_APART.split(text)
        return self._first_email([part for part in map(_address, parts) if part], problems)

    def _first_email(self, parts: list[str], problems: list[Problem]) -> str | None:
        """The first that is one, and what is wrong with the others. Raises Problem where none is."""
        wrong = {part: self._wrong_email(part) for part in parts}
        good = [part for part, problem in wrong.items() if problem is None]
        bad = [problem for problem in wrong.values() if problem is not None]
        if bad and not good:
            raise bad[0]
        others = {part.lower() for part in good} - {part.lower() for part in good[:1]}
        problems += bad + [Problem(Reason.EMAIL_SECOND, "only the first email of the cell is used") for _ in others]
        return good[0] if good else None

    def _wrong_email(self, text: str) -> Problem | None:
        if len(text) > self._limits.email:
            return Problem(Reason.TOO_LONG, f"the email is longer than {self._limits.email} characters")
        if not text.isprintable():
            return Problem(Reason.CONTROL_CHARACTER, "the email holds a character that cannot be seen")
        if not EMAIL_OR_HASH.fullmatch(text):
            return Problem(Reason.EMAIL_INVALID, "neither an email nor its MD5, SHA-1 or SHA-256 in hex")
        return None

    def _id(self, text: str, problems: list[Problem]) -> str | None:
        if not text:
            return None
        if len(text) > self._limits.customer_id:
            raise Problem(Reason.TOO_LONG, f"the customer id is longer than {self._limits.customer_id} characters")
        if not text.isprintable():
            raise Problem(Reason.CONTROL_CHARACTER, "the customer id holds a character that cannot be seen")
        if _SCIENTIFIC.fullmatch(text):
            detail = "a spreadsheet has shortened the customer id; export it as text"
            problems.append(Problem(Reason.ID_LOST_DIGITS, detail))
            return None
        if "@" in text and EMAIL_OR_HASH.fullmatch(text):
            self.customer_ids_that_are_emails += 1
        return _FLOAT.sub(r"\1", text)


def _writable(text: str) -> str:
    """Without what no database takes as text: halves of characters, and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _shown(name: str) -> str:
    return f'"{name[:40]}"' if name.isprintable() else "a column"


def _as_wide_as_the_header(record: list[str], width: int) -> list[str]:
    """Cells at the end that are empty may be missing, and there may be more of them."""
    if len(record) == width:
        return record
    if any(cell.strip() for cell in record[width:]):
        raise Problem(Reason.COLUMNS, f"{counted(len(record), 'field', 'fields')} where the header has {width}")
    return [*record[:width], *([""] * (width - len(record)))]


def _address(text: str) -> str:
    """An email without what mail programs put around it."""
    plain = value_of(text)
    named = _NAMED_EMAIL.fullmatch(plain)
    return value_of(_MAILTO.sub(r"\1", named[1] if named else plain))


# What a spreadsheet, an export or an editor puts around a value: the apostrophe and the ="..." that make text of a number
# (https://support.microsoft.com/office/format-numbers-as-text), quotes that were typed, marks that nobody sees.
_EDGES = (
    " \t\r\n\0\u00a0\u202f\u3000\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
)
_FORMULA = re.compile(r'=\s*"(.*)"', re.DOTALL)
_QUOTED = re.compile(
    r"""["\u201c\u201d\u201e\u00ab\u00bb](.*)["\u201c\u201d\u201f\u00ab\u00bb]|['\u2018\u2019\u201a`](.*)['\u2018\u2019\u201b`]""",
    re.DOTALL,
)
_APOSTROPHES = "'\u2018\u2019`\u00b4"
# https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html (na_values), what databases and spreadsheets write
_NULLS = frozenset(
    {
        *("null", "none", "nan", "n/a", "na", "#n/a", "#na", "<na>", "undefined", "nil", "-", "--", "\\n"),
        *("(null)", "<null>", "[null]", "#null!", "#ref!", "#value!", "#name?", "#div/0!"),
    }
)
_FLOAT = re.compile(r"\A([0-9]+)\.0+\Z")
_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?[eE][+-][0-9]{2,3}")  # with its sign, unlike an id such as 12E4


def value_of(cell: str) -> str:
    """What a cell means, without what was put around it; "" for what stands for nothing."""
    if (cell[:1].isalnum() or cell[:1] == "+") and cell[-1].isalnum() and "'" not in cell:  # nothing is around it
        return "" if cell.lower() in _NULLS else cell
    text = as_it_was(cell).strip(_EDGES)
    while (inner := _inner(text)) != text:
        text = inner
    return "" if text.lower() in _NULLS else text


def _inner(text: str) -> str:
    found = _FORMULA.fullmatch(text) or _QUOTED.fullmatch(text)
    inner = next((group for group in found.groups() if group is not None), "") if found else text.lstrip(_APOSTROPHES)
    return inner.strip(_EDGES)


_WORDS_BETWEEN = r"\s+(?:or|and|und|oder|et|ou|y|o|e)\s+"
_MAY_BE_SEVERAL = re.compile(r"[;|\r\n\t&:]|\s\+|\s[a-z]", re.IGNORECASE)
_BETWEEN_NUMBERS = re.compile(rf"[;|\r\n\t]+|\s:::\s|{_WORDS_BETWEEN}|\s*&\s*|\s+(?=\+)", re.IGNORECASE)
_WITHIN_NUMBERS = re.compile(rf"{_BETWEEN_NUMBERS.pattern}|[,/]|\s{{2,}}", re.IGNORECASE)
_REMARK = re.compile(r"[^\d+]*|(?:e?xt?n?|extension|#|durchwahl|poste)\s*[.:]*\s*\d{1,6}", re.IGNORECASE)
_SHORTENED = re.compile(r"\+?\d(?:[.,]\d+)?[eE][+-]?\d+")


def _why_no_phone(read: Caller, region: str) -> str:
    if _SHORTENED.fullmatch(read.raw):
        return "a spreadsheet has shortened the number; export it as text"
    if read.kind in (CallerKind.UNREADABLE, CallerKind.NUMBER):
        return f"no phone number, neither international nor of {region}"
    return f"no phone number but a {read.kind.replace('_', ' ')}"
