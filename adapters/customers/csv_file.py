"""A CSV file of customers on its way into the mapping: every row is either taken or named in the rejects file.

Reads the file once, in constant memory, and changes nothing before it has read all of it. Never drops a row silently,
and never holds the ledger for longer than one chunk.
"""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from adapters.customers.lines import ImportRefused, Lines, RecordTooLong, open_lines
from adapters.customers.spreadsheet import as_it_was, write_rows
from adapters.private_file import written_whole
from pipeline.phone import CallerKind, caller


class CustomerRow(NamedTuple):
    """A row for the mapping: E.164 phone, and at least one of the others."""

    phone: str
    email: str | None
    customer_id: str | None


class Counts(Protocol):
    """What a merge did to the table, in rows."""

    @property
    def added(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def unchanged(self) -> int: ...


class CustomerTable(Protocol):
    """Where the mapping lives."""

    def merge_customers(self, rows: Sequence[CustomerRow], /) -> Counts:
        """Add what is new, change what differs, in one short transaction. The rows have distinct phones."""


class Reason(StrEnum):
    """Why a row stands in the rejects file."""

    PHONE_MISSING = "phone_missing"
    PHONE_WITHHELD = "phone_withheld"
    PHONE_UNREADABLE = "phone_unreadable"
    NO_CUSTOMER = "no_customer"
    EMAIL_INVALID = "email_invalid"
    CONTROL_CHARACTER = "control_character"
    TOO_LONG = "too_long"
    COLUMNS = "columns"
    QUOTES = "quotes"
    NOT_UTF8 = "not_utf8"
    NOT_DECODABLE = "not_decodable"
    CONFLICT = "conflict"


Conflict = Literal["last", "first", "none"]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Longest texts that are taken, in characters. `row` bounds the memory that one row may use."""

    row: int = 65_536
    phone: int = 64
    email: int = 320  # RFC 3696 erratum 1690 says 254, older software allows 64 + 1 + 255
    customer_id: int = 255


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of each row. rows = added + changed + unchanged + duplicate_rows + conflicts; `rejected` come on top.

    `duplicate_rows` say what another row of the file says, too. `conflicts` are rows that were not used because the
    file gives their phone to another customer as well. `rejects_path` is None when there is nothing to report.
    """

    rows: int
    added: int
    changed: int
    unchanged: int
    rejected: int
    conflicts: int
    duplicate_rows: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    customer_ids_that_are_emails: int = 0
    rejects_path: Path | None = None
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """True when every row of the file was taken."""
        return not self.rejected and not self.conflicts


def import_csv(
    path: Path | str,
    table: CustomerTable,
    *,
    columns: tuple[str, str, str] = ("phone", "email", "customer_id"),
    region: str = "US",
    conflict: Conflict = "last",
    rejects_path: Path | None = None,
    chunk_rows: int = 10_000,
    encoding: str | None = None,
    limits: ImportLimits | None = None,
    progress: Progress = lambda _bytes_done: None,
) -> ImportReport:
    """Merge a CSV file (`-`: standard input; may be gzipped) into `table`.

    `columns` names the headers of phone, email and customer id; either of the last two may be missing in the file.
    `region` is the country of numbers written without one. Where the file gives a phone to two customers, `conflict`
    says which row is used; with "none" an entry of an earlier import stays as it is. `encoding` None means UTF-8, or
    UTF-16 where the file begins with its mark. `progress` is told bytes of the file, of which reading counts for the
    first half and merging for the second. Raises ImportRefused; what the table raises passes through, and the same
    import may then be run again.
    """
    started = time.monotonic()
    bounds = limits or ImportLimits()
    rejects_path = rejects_path or default_rejects_path(path)
    _must_be_writable(rejects_path, path)
    with _staging_trouble(), _staging() as staging:
        with open_lines(path, encoding, bounds.row) as lines:
            reading = _Reading(lines, columns, region, bounds, staging)
            for _ in reading.chunks(chunk_rows):
                progress(lines.bytes_read() // 2)
            size = lines.bytes_read()
        merging = _Merging(staging, table, conflict)
        for rows in merging.chunks(chunk_rows):
            progress((size * (reading.taken + rows)) // (2 * reading.taken))
        progress(size)
        kept = _write_rejects(staging, rejects_path)
        report = _report(staging, reading, merging)
    return replace(report, rejects_path=kept, seconds=time.monotonic() - started)


def default_rejects_path(path: Path | str) -> Path:
    """`FILE.rejected.csv` beside the file; in the working directory for standard input."""
    return Path("customers.rejected.csv") if str(path) == "-" else Path(f"{path}.rejected.csv")


def _must_be_writable(rejects_path: Path, path: Path | str) -> None:
    """Say so before a long import, not after it."""
    if rejects_path.is_symlink():  # somebody else may have put it there
        raise ImportRefused(
            f"{rejects_path} is a symbolic link; name the file for rejected rows itself with --rejects."
        )
    if rejects_path.is_dir() or not os.access(rejects_path.parent, os.W_OK | os.X_OK):
        raise ImportRefused(f"Rejected rows cannot be written to {rejects_path}; name another file with --rejects.")
    if rejects_path.resolve() == Path(path).resolve():
        raise ImportRefused("Rejected rows would overwrite the file itself; name another file with --rejects.")


# Staging: an unnamed SQLite database in TMPDIR, which the operating system removes even when we are killed.

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -16000;
    CREATE TABLE taken (line INTEGER PRIMARY KEY, phone TEXT, email TEXT, customer_id TEXT, row TEXT);
    CREATE TABLE rejected (line INTEGER PRIMARY KEY, reason TEXT, detail TEXT, row TEXT);
    BEGIN;
"""


@contextmanager
def _staging() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect("", isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
        yield connection
    finally:
        connection.close()


@contextmanager
def _staging_trouble() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ImportRefused(f"The import's temporary file failed ({error}); is there space in TMPDIR?") from error


# The header


class _Header(NamedTuple):
    """Where the columns stand. `email` or `customer_id` may be missing, not both."""

    width: int
    delimiter: str
    phone: int
    email: int | None
    customer_id: int | None


_DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # what Excel writes before the header


def _read_header(lines: Lines, columns: tuple[str, str, str]) -> _Header:
    line, delimiters = _header_line(lines)
    headers = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in delimiters}
    for delimiter, names in headers.items():
        phone, email, customer_id = (_place(name, names, lines) for name in columns)
        if phone is not None and (email is not None or customer_id is not None):
            return _Header(len(names), delimiter, phone, email, customer_id)
    raise ImportRefused(_missing_columns(lines, columns, max(headers.values(), key=len)))


def _place(wanted: str, names: list[str], lines: Lines) -> int | None:
    """Where the header has a column, whatever its case. "" is a column that the file does not have."""
    found = [place for place, name in enumerate(names) if name.strip().casefold() == wanted.strip().casefold() != ""]
    if len(found) > 1:
        raise ImportRefused(f'{lines.name} has the column "{wanted}" twice; rename or remove one of them.')
    return found[0] if found else None


def _header_line(lines: Lines) -> tuple[str, str]:
    """The first line that is not blank, and the delimiters that may be in it."""
    delimiters = _DELIMITERS
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


def _missing_columns(lines: Lines, columns: tuple[str, str, str], found: list[str]) -> str:
    shown = ", ".join(f'"{name.strip()}"'.encode("utf-8", "backslashreplace").decode() for name in found[:30])
    told = (
        f'{lines.name} must have a column "{columns[0]}" and a column "{columns[1]}" or "{columns[2]}". '
        f"Its header has: {shown}. Say which is which with --columns PHONE,EMAIL,CUSTOMER_ID "
        f"or with OFFHOOK_CUSTOMERS_COLUMNS."
    )
    if any("\0" in name for name in found):
        return f"{lines.name} looks like UTF-16; say --encoding utf-16-le (or utf-16-be). {told}"
    return told


# The first pass: from the file into staging


class _Rejected(Exception):
    """A row that is not taken."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


_Taken = tuple[int, str, str | None, str | None, str]


class _Reading:
    """Reads and checks every row; what is taken and what is rejected both go into staging."""

    def __init__(
        self,
        lines: Lines,
        columns: tuple[str, str, str],
        region: str,
        limits: ImportLimits,
        staging: sqlite3.Connection,
    ) -> None:
        self._lines = lines
        self._header = _read_header(lines, columns)
        self._fields = _Fields(self._header, region, limits)
        self._limits = limits
        self._staging = staging
        self.taken = 0
        self.rejected = 0

    @property
    def customer_ids_that_are_emails(self) -> int:
        return self._fields.customer_ids_that_are_emails

    def chunks(self, chunk_rows: int) -> Iterator[int]:
        """Stage the whole file; yields after each chunk of rows that were taken."""
        rows = self._rows()
        while chunk := list(islice(rows, chunk_rows)):
            self._staging.executemany("INSERT INTO taken VALUES (?, ?, ?, ?, ?)", chunk)
            self.taken += len(chunk)
            yield self.taken

    def _rows(self) -> Iterator[_Taken]:
        lines, read = self._lines, self._fields.read
        records = csv.reader(lines, delimiter=self._header.delimiter)
        while True:
            lines.begin_record()
            try:
                record = next(records)
                if lines.undecodable:
                    raise _undecodable(lines)
                phone, email, customer_id = read(record)
                yield lines.first_line, phone, email, customer_id, lines.record_text()
            except StopIteration:
                return
            except _Rejected as rejected:
                if not lines.record_is_blank():
                    self._reject(rejected.reason, rejected.detail, lines.record_text())
            except (RecordTooLong, csv.Error):
                self._reject_first_line()

    def _reject_first_line(self) -> None:
        """Of a record without an end only the first line is at fault; the others are read anew."""
        text, alone = self._lines.only_first_line()
        if alone and len(text) >= self._limits.row:
            self._reject(
                Reason.TOO_LONG, f"longer than {self._limits.row} characters; only its beginning is here", text
            )
        else:
            self._reject(Reason.QUOTES, "a quote that opens in this line is not closed", text)

    def _reject(self, reason: Reason, detail: str, text: str) -> None:
        values = (self._lines.first_line, reason.value, detail, text)
        self._staging.execute("INSERT INTO rejected VALUES (?, ?, ?, ?)", values)
        self.rejected += 1


def _undecodable(lines: Lines) -> _Rejected:
    if lines.encoding == "utf-8-sig":
        return _Rejected(Reason.NOT_UTF8, "not UTF-8; if the file is from Excel, try --encoding cp1252")
    return _Rejected(Reason.NOT_DECODABLE, f"not {lines.encoding}")


_HASHED = "[0-9a-fA-F]"
_EMAIL = re.compile(rf"[^\s@,;]+@[^\s@,;]+|{_HASHED}{{32}}|{_HASHED}{{40}}|{_HASHED}{{64}}")


class _Fields:
    """Reads the fields of one row. Emails may be hashed: MD5, SHA-1, SHA-256 in hex."""

    def __init__(self, header: _Header, region: str, limits: ImportLimits) -> None:
        self._header = header
        self._region = region
        self._limits = limits
        self.customer_ids_that_are_emails = 0

    def read(self, record: list[str]) -> CustomerRow:
        """Raises _Rejected with the first thing that is wrong."""
        width, _, phone_at, email_at, id_at = self._header
        if len(record) != width:
            raise _Rejected(Reason.COLUMNS, f"{len(record)} fields where the header has {width}")
        phone = self._phone(as_it_was(record[phone_at]))
        email = self._email(as_it_was(record[email_at]).strip()) if email_at is not None else None
        customer_id = self._customer_id(as_it_was(record[id_at]).strip()) if id_at is not None else None
        if email is None and customer_id is None:
            raise _Rejected(Reason.NO_CUSTOMER, "neither email nor customer id")
        return CustomerRow(phone, email, customer_id)

    def _phone(self, text: str) -> str:
        if len(text) > self._limits.phone:
            raise _Rejected(Reason.TOO_LONG, f"the phone is longer than {self._limits.phone} characters")
        found = caller(text, self._region)
        if found.e164 is None:
            found = caller(text.strip("'\"= "), self._region)  # '+1... and ="+1...": text in a spreadsheet
        if found.e164 is None:
            raise _no_phone(text, found.kind, self._region)
        return found.e164

    def _email(self, text: str) -> str | None:
        if not text:
            return None
        if len(text) > self._limits.email:
            raise _Rejected(Reason.TOO_LONG, f"the email is longer than {self._limits.email} characters")
        if not text.isprintable():
            raise _Rejected(Reason.CONTROL_CHARACTER, "the email holds a character that cannot be seen")
        if not _EMAIL.fullmatch(text):
            raise _Rejected(Reason.EMAIL_INVALID, "neither an email nor its MD5, SHA-1 or SHA-256 in hex")
        return text

    def _customer_id(self, text: str) -> str | None:
        if not text:
            return None
        if len(text) > self._limits.customer_id:
            raise _Rejected(Reason.TOO_LONG, f"the customer id is longer than {self._limits.customer_id} characters")
        if not text.isprintable():
            raise _Rejected(Reason.CONTROL_CHARACTER, "the customer id holds a character that cannot be seen")
        if "@" in text and _EMAIL.fullmatch(text):
            self.customer_ids_that_are_emails += 1
        return text


def _no_phone(text: str, kind: CallerKind, region: str) -> _Rejected:
    if not text.strip():
        return _Rejected(Reason.PHONE_MISSING, "no phone")
    if kind is CallerKind.WITHHELD:
        return _Rejected(Reason.PHONE_WITHHELD, "what Twilio says of a caller who withholds the number")
    if kind in (CallerKind.UNREADABLE, CallerKind.PHONE):
        return _Rejected(Reason.PHONE_UNREADABLE, f"no phone number, neither international nor of {region}")
    return _Rejected(Reason.PHONE_UNREADABLE, f"no phone number but a {kind.replace('_', ' ')}")


# The second pass: from staging into the table

_Staged = tuple[int, str, str | None, str | None]


class _Merging:
    """Settles conflicts and hands distinct phones to the table, a chunk at a time."""

    def __init__(self, staging: sqlite3.Connection, table: CustomerTable, conflict: Conflict) -> None:
        self._staging = staging
        self._table = table
        self._conflict = conflict
        self._seen = 0
        self.added = self.changed = self.unchanged = self.duplicate_rows = self.conflicts = 0

    def chunks(self, chunk_rows: int) -> Iterator[int]:
        """Merge everything; yields after each chunk how many rows of the file are done."""
        winners = self._winners()
        while chunk := list(islice(winners, chunk_rows)):
            counts = self._table.merge_customers(chunk)
            self.added += counts.added
            self.changed += counts.changed
            self.unchanged += counts.unchanged
            yield self._seen

    def _winners(self) -> Iterator[CustomerRow]:
        """One row a phone. The one that wins comes first, so that nothing has to be kept of the others."""
        order = "DESC" if self._conflict == "last" else "ASC"
        staged = self._staging.execute(
            f"SELECT line, phone, email, customer_id FROM taken ORDER BY phone, line {order}"
        )
        winner: _Staged | None = None
        contested = False
        for row in staged:
            self._seen += 1
            if winner is not None and row[1] == winner[1]:
                contested = self._is_rival(row, winner) or contested
                continue
            if winner is not None and self._is_used(winner, contested):
                yield CustomerRow(*winner[1:])
            winner, contested = row, False
        if winner is not None and self._is_used(winner, contested):
            yield CustomerRow(*winner[1:])

    def _is_rival(self, row: _Staged, winner: _Staged) -> bool:
        """Another row for the winner's phone: does it name another customer?"""
        if row[2:] == winner[2:]:
            self.duplicate_rows += 1
            return False
        used = "is not used either" if self._conflict == "none" else "is used"
        self._set_aside(row[0], f"line {winner[0]} gives this phone to another customer and {used}")
        return True

    def _is_used(self, winner: _Staged, contested: bool) -> bool:
        if contested and self._conflict == "none":
            self._set_aside(winner[0], "other lines give this phone to another customer; none of them is used")
            return False
        return True

    def _set_aside(self, line: int, detail: str) -> None:
        self.conflicts += 1
        self._staging.execute(
            "INSERT INTO rejected SELECT line, ?, ?, row FROM taken WHERE line = ?",
            (Reason.CONFLICT.value, detail, line),
        )


# What is left


def _write_rejects(staging: sqlite3.Connection, path: Path) -> Path | None:
    """All rows that were not used, in the file's order. None, and no file, when there are none."""
    rows = staging.execute("SELECT line, reason, detail, row FROM rejected ORDER BY line")
    first = rows.fetchone()
    try:
        if first is None:
            if path.is_file():  # never a device
                path.unlink()
            return None
        with written_whole(path) as file:
            write_rows(file, chain([("line", "reason", "detail", "row"), first], rows))
    except OSError as error:
        raise ImportRefused(
            f"The rows are imported, but the rejects could not be written to {path}: {error}."
        ) from error
    return path


def _report(staging: sqlite3.Connection, reading: _Reading, merging: _Merging) -> ImportReport:
    counted = staging.execute("SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY count(*) DESC, reason")
    return ImportReport(
        rows=reading.taken,
        added=merging.added,
        changed=merging.changed,
        unchanged=merging.unchanged,
        rejected=reading.rejected,
        conflicts=merging.conflicts,
        duplicate_rows=merging.duplicate_rows,
        reasons=dict(counted.fetchall()),
        customer_ids_that_are_emails=reading.customer_ids_that_are_emails,
    )
