"""The header of a customer file: which column is the phone, the email, the customer id. Reads one line and no row.

Of JSON lines it looks at the names in the first few.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from offhook.adapters.customers.exports import Recognised, bare, recognised
from offhook.adapters.customers.json_lines import flat, names_of_objects
from offhook.adapters.customers.lines import ImportRefused, Lines, RecordTooLong
from offhook.adapters.file_kinds import DELIMITERS

DEFAULT_COLUMNS = ("phone", "email", "customer_id")
SEVERAL = "|"  # "Phone|Mobile": several columns of phones
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # what Excel writes before the header
_SHOWN = 30
_OBJECTS_AHEAD = 100  # whose names are looked at before the first is taken


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns stand. `email` or `customer_id` may be missing, not both; `remarks` is what a person should know.

    `names` are all of the header; `others` are those that nobody asked for, as far as they have a name. `program` is whose
    export it was recognised as, `to_fill_in` whether it is a list of numbers whose customers were to be written beside them.
    `delimiter` is None where each line is an object of JSON.
    """

    names: tuple[str, ...]
    delimiter: str | None
    phones: tuple[tuple[str, int], ...]
    email: int | None
    customer_id: int | None
    remarks: tuple[str, ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    program: str | None = None
    to_fill_in: bool = False

    @property
    def width(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one delimiter makes of the header: its names, where each wanted column stands, and which are not there."""

    names: list[str]
    delimiter: str | None
    phones: list[tuple[str, int]] = field(default_factory=list)
    email: int | None = None
    customer_id: int | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        return bool(self.phones) and (self.email is not None or self.customer_id is not None)

    @property
    def others(self) -> list[tuple[str, int]]:
        """Columns of the file that nobody asked for."""
        taken = {place for _, place in self.phones} | {self.email, self.customer_id}
        return [(name.strip(), place) for place, name in enumerate(self.names) if place not in taken and name.strip()]


def read_columns(lines: Lines, wanted: tuple[str, str, str]) -> Columns:
    """The columns that are called as `wanted` says, whatever their case. Raises ImportRefused with the file's own names.

    A column of phones is needed, and one of email and customer id; the others may be missing, where nothing in the file
    looks like them under another name. The default names give way to those of a program whose export it is; in any other file
    other columns that are called as phones are called are phones, too.
    """
    line, delimiters = _header_line(lines)
    headers = _headers(lines, line, delimiters)
    for names, delimiter in headers if wanted == DEFAULT_COLUMNS else ():
        export = recognised(names)
        if export is not None:
            known = (SEVERAL.join(export.phones), export.email, export.customer_id)
            return _columns(lines, _found(names, delimiter, known, lines.name), export)
    every = [_found(names, delimiter, wanted, lines.name) for names, delimiter in headers]
    found = next((one for one in every if one.is_enough), None)
    if found is None or "\0" in line:
        raise ImportRefused(_no_columns(lines, wanted, max(every, key=lambda one: len(one.names)), line))
    remarks = tuple(_remark(lines.name, found, wanted, name) for name in found.missing)
    taken = _with_other_phones(found) if wanted == DEFAULT_COLUMNS else found
    return replace(_columns(lines, taken), remarks=remarks)


def _columns(lines: Lines, found: _Found, export: Recognised | None = None) -> Columns:
    if found.delimiter is None:
        lines.read_again()
    placed = (tuple(found.phones), found.email, found.customer_id)
    others = tuple(one for one in found.others if export is None or one[0] not in export.ignored)
    names = tuple(found.names)
    columns = Columns(names, found.delimiter, *placed, others=others)
    return columns if export is None else replace(columns, program=export.program, to_fill_in=export.to_fill_in)


def _headers(lines: Lines, line: str, delimiters: str) -> list[tuple[list[str], str | None]]:
    """The names in the header as each delimiter parts them; of objects of JSON those of the first of them."""
    if flat(line):
        return [(names_of_objects(chain([line], lines.ahead(_OBJECTS_AHEAD))), None)]
    return [(next(csv.reader([line], delimiter=delimiter), []), delimiter) for delimiter in delimiters]


def _found(names: list[str], delimiter: str | None, wanted: tuple[str, str, str], file: str) -> _Found:
    phone, email, customer_id = wanted
    places = {name: _place(name, names, file) for name in (phone, email, customer_id)}
    several = [phone] if places[phone] is not None else [name.strip() for name in phone.split(SEVERAL)]
    phones = [(name, _place(name, names, file)) for name in several if name]
    return _Found(
        names,
        delimiter,
        [(name, place) for name, place in phones if place is not None],
        places[email],
        places[customer_id],
        [name for name, place in [*phones, *places.items()] if place is None and name.strip() and name != phone],
    )


def _with_other_phones(found: _Found) -> _Found:
    """The same with all columns that are called as phones are called; of two of one name the first."""
    names = {_cased(name) for name, _ in found.phones}
    phones = list(found.phones)
    for name, place in found.others:
        if is_of_phones(name) and _cased(name) not in names:
            names.add(_cased(name))
            phones.append((name, place))
    return replace(found, phones=phones)


def _place(wanted: str, names: Sequence[str], file: str) -> int | None:
    """Where the header has a column: as it is written but for its case, else with other signs between its words."""
    for same in (_cased, bare):
        found = [place for place, name in enumerate(names) if same(name) == same(wanted) != ""]
        if len(found) > 1:
            raise ImportRefused(f'{file} has the column "{wanted}" twice; rename or remove one of them.')
        if found:
            return found[0]
    return None


def _cased(name: str) -> str:
    return name.strip().casefold()


def _header_line(lines: Lines) -> tuple[str, str]:
    """The first line that is not blank, and the delimiters that may be in it."""
    delimiters = DELIMITERS
    try:
        while True:
            lines.begin_record()
            line = next(lines).rstrip("\n")
            sep = _SEP_LINE.fullmatch(line)
            if sep and sep[1] not in '\r\n"':
                delimiters = sep[1]
            elif line.strip():
                return line, delimiters
    except StopIteration:
        raise ImportRefused(f"{lines.name} is empty; its first line must name its columns.") from None
    except RecordTooLong:
        raise ImportRefused(f"{lines.name} does not begin with a line of column names; is it a CSV file?") from None


# What the error or the remark says where a column is not there

_TEXTS = (
    (re.compile(r"\s*<(?:!doctype\s+html|html)", re.IGNORECASE), "an HTML page: did the download ask for a sign-in?"),
    (re.compile(r"\s*<\?xml|\s*<[A-Za-z][\w:-]*[\s/>]"), "XML: export the table as CSV"),
    (
        re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{]|[{\[]\s*$)"),
        "JSON, but not an object a line: export the table as CSV or as JSON lines",
    ),
    (re.compile(r"BEGIN:VCARD", re.IGNORECASE), "a vCard file: export the contacts as CSV"),
)


def _no_columns(lines: Lines, wanted: tuple[str, str, str], found: _Found, line: str) -> str:
    kind = next((what for pattern, what in _TEXTS if pattern.match(line)), None)
    if kind is not None:
        return f"{lines.name} looks like {kind}."
    if any(ord(char) < 32 and char not in "\0\t" for char in line):
        return f"{lines.name} looks like binary data, not like a CSV file."
    phones = '" or "'.join(name.strip() for name in wanted[0].split(SEVERAL))
    needed = (
        f'{lines.name} must have a column "{phones}" and a column "{wanted[1]}" or "{wanted[2]}". '
        f"{_shown(found.names)} Say which is which with --columns PHONE,EMAIL,CUSTOMER_ID "
        "or with OFFHOOK_CUSTOMERS_COLUMNS."
    )
    needed += _likely(found)
    if "\0" in line:
        return f"{lines.name} looks like UTF-16; say --encoding utf-16-le (or utf-16-be). {needed}"
    if lines.undecodable:
        return f"The names of its columns are not {lines.encoding_in_words}{lines.offer()}. {needed}"
    return needed


def _likely(found: _Found) -> str:
    """What to say where the names of the columns leave little doubt."""
    names = [_printable(name.strip()) for name in found.names]
    phones = [name for name in dict.fromkeys(names) if is_of_phones(name)]
    email, customer_id = (next((name for name in names if is_like(name)), "") for is_like in _LIKE[1:])
    if (
        not phones
        or not (email or customer_id)
        or any(set(name) & set(',"|') for name in (*phones, email, customer_id))
    ):
        return ""
    return f' That may be --columns "{SEVERAL.join(phones)},{email},{customer_id}".'


_WORD = re.compile(r"[A-Z]*[a-z]+|[A-Z]+|\d+|#")
_ID_WORDS = frozenset(
    [
        "id",
        "ids",
        "uid",
        "uuid",
        "guid",
        "key",
        "no",
        "nr",
        "num",
        "number",
        "code",
        "ref",
        "reference",
        "identifier",
        "kundennummer",
        "kundennr",
        "numero",
        "nummer",
        "#",
    ]
)
_ID_END = re.compile(r"(?:customer|client|contact|lead|member|account|record|user|person|external|crm|profile)id")
_PHONE_WORDS = frozenset(
    [
        "phone",
        "phones",
        "mobile",
        "tel",
        "telephone",
        "telefon",
        "telefono",
        "fax",
        "cell",
        "cellphone",
        "handy",
        "msisdn",
    ]
)
_OTHER_WORDS = _PHONE_WORDS | frozenset(
    ["zip", "postal", "post", "postcode", "country", "area", "house", "street", "tax", "vat", "order", "orders", "name"]
)


_OF_PHONES = _PHONE_WORDS - {"fax"} | {"mobil", "mobilephone", "homephone", "workphone", "phonenumber", "cellular"}
_BEFORE_A_PHONE = frozenset([
    "default", "address", "billing", "shipping", "delivery", "home", "work", "office", "business", "company", "main",
    "primary", "secondary", "first", "second", "third", "other", "alternate", "alternative", "alt", "additional",
    "private", "personal", "contact", "customer", "client", "direct", "day", "daytime", "evening", "international",
    "whatsapp",
])  # fmt: skip
_BEHIND_A_PHONE = frozenset([
    "number", "numbers", "no", "nr", "num", "#", "value", "home", "work", "office", "business", "main", "primary",
    "secondary", "private", "personal", "other",
])  # fmt: skip


def is_of_phones(name: str) -> bool:
    """It is called as columns of phones are called: "Default Address Phone", "Mobile No.", and not "Phone verified"."""
    words = [word.lower() for word in _WORD.findall(name) if not word.isdigit()]
    first = next((place for place, word in enumerate(words) if word in _OF_PHONES), None)
    if first is None:
        return False
    return _BEFORE_A_PHONE.issuperset(words[:first]) and (_OF_PHONES | _BEHIND_A_PHONE).issuperset(words[first:])


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _looks_like_phone(name: str) -> bool:
    return bool(_words(name) & _PHONE_WORDS)


def _looks_like_email(name: str) -> bool:
    return "mail" in bare(name)


def _looks_like_id(name: str) -> bool:
    words = _words(name)
    return not words & _OTHER_WORDS and (bool(words & _ID_WORDS) or bool(_ID_END.fullmatch(bare(name))))


_WHAT = ("numbers from there", "an email", "a customer id")
_LIKE = (_looks_like_phone, _looks_like_email, _looks_like_id)


def _remark(file: str, found: _Found, wanted: tuple[str, str, str], name: str) -> str:
    """A column is not there: what that means, where nothing looks like it. Raises ImportRefused where something does."""
    place = wanted.index(name) if name in wanted else 0
    others = [other for other, _ in found.others]
    likely = [_printable(other) for other in others if _LIKE[place](other)]
    lacking = f'{file} has no column "{name}". {_shown(found.names)}'
    if not likely:
        return f"{lacking} Customers come without {_WHAT[place]}."
    more = [] if place == 0 else [_printable(other) for other in others if _looks_like_phone(other)]
    raise ImportRefused(
        f'{lacking} If it is "{likely[0]}", say {_said(wanted, name, likely[0], more)}; '
        f"if there is none, say {_said(wanted, name, '', more)}."
    )


def _said(wanted: tuple[str, str, str], name: str, instead: str, more: Sequence[str]) -> str:
    """The option with another name in its place, and with `more` columns of phones."""
    phones = [instead if phone.strip() == name else phone.strip() for phone in wanted[0].split(SEVERAL)]
    phones += more
    others = [instead if other == name else other for other in wanted[1:]]
    return f'--columns "{",".join([SEVERAL.join(filter(None, phones)), *others])}"'


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Its header has: {', '.join(f'{chr(34)}{_printable(name.strip())}{chr(34)}' for name in names[:_SHOWN])}{more}."


def _printable(text: str) -> str:
    """Fit for a terminal: what cannot be read, or would move the cursor, as `\\xe9`."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in plain)


def names_of(text: str) -> Iterator[str]:
    """The three names in `Phone|Mobile,Email,Lead ID`; one with a comma stands in quotes."""
    return (name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
