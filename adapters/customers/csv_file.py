"""A CSV file of customers on its way into the mapping: every row is either taken or named in the rejects file.

Reads the file once, in constant memory, and changes nothing before it has read all of it. Never drops a row silently,
and never holds the ledger for longer than one chunk.
"""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from adapters.customers.lines import Lines, SourceRefused, open_lines
from pipeline.phone import CallerKind, caller, to_e164


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


class ImportRefused(Exception):
    """The file cannot be imported as it is, and nothing of it was; the text says what to do."""


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
    reasons: dict[str, int]
    customer_ids_that_are_emails: int
    rejects_path: Path | None
    seconds: float

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
    chunk_rows: int = 5000,
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
    _must_be_writable(rejects_path)
    with _refusals(), _staging() as staging, open_lines(path, encoding, bounds.row) as lines:
        reading = _Reading(lines, columns, region, bounds, staging)
        for _chunk in reading.chunks(chunk_rows):
            progress(lines.bytes_read() // 2)
        merging = _Merging(staging, table, conflict, chunk_rows)
        for merged in merging.run():
            progress((lines.bytes_read() * (reading.taken + merged)) // (2 * reading.taken))
        _write_rejects(staging, rejects_path)
        report = _report(staging, reading, merging)
        kept = rejects_path if report.reasons else None
    return replace(report, rejects_path=kept, seconds=time.monotonic() - started)


def default_rejects_path(path: Path | str) -> Path:
    """`FILE.rejected.csv` beside the file; in the working directory for standard input."""
    return Path("customers.rejected.csv") if str(path) == "-" else Path(f"{path}.rejected.csv")


def _must_be_writable(rejects_path: Path) -> None:
    """Say so before a long import, not after it."""
    folder = rejects_path.parent
    if not os.access(folder, os.W_OK | os.X_OK) or rejects_path.is_dir():
        raise ImportRefused(f"Rejected rows cannot be written to {rejects_path}; name another file with --rejects.")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except SourceRefused as error:
        raise ImportRefused(str(error)) from None
    except sqlite3.Error as error:
        raise ImportRefused(f"The temporary file of the import failed ({error}); is there space in TMPDIR?") from error


# Staging: an unnamed SQLite database in TMPDIR, which the operating system removes even when we are killed.

_SCHEMA = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
    PRAGMA cache_size = -16000; PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE taken (phone TEXT, line INTEGER, email TEXT, customer_id TEXT, row TEXT);
    CREATE TABLE rejected (line INTEGER, reason TEXT, detail TEXT, row TEXT);
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


_Taken = tuple[str, int, str | None, str | None, str]
_INSERT_TAKEN = "INSERT INTO taken VALUES (?, ?, ?, ?, ?)"
_INSERT_REJECTED = "INSERT INTO rejected VALUES (?, ?, ?, ?)"


class _Rejected(Exception):
    """A row that is not taken."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Header(NamedTuple):
    """Where the columns stand. `email` or `customer_id` may be missing, not both."""

    width: int
    delimiter: str
    phone: int
    email: int | None
    customer_id: int | None


class _Reading:
    """The first pass: from the file into staging."""

    def __init__(
        self,
        lines: Lines,
        columns: tuple[str, str, str],
        region: str,
        limits: ImportLimits,
        staging: sqlite3.Connection,
    ) -> None:
        self._lines = lines
        self._region = region
        self._limits = limits
        self._staging = staging
        self._header = _read_header(lines, columns)
        self.taken = 0
        self.rejected = 0
        self.customer_ids_that_are_emails = 0

    def chunks(self, chunk_rows: int) -> Iterator[int]:
        """Stage the whole file; yields after each chunk."""
        chunk: list[_Taken] = []
        for row in self._rows():
            chunk.append(row)
            if len(chunk) >= chunk_rows:
                self._stage(chunk)
                yield len(chunk)
                chunk = []
        self._stage(chunk)
        yield len(chunk)

    def _stage(self, chunk: list[_Taken]) -> None:
        self._staging.executemany(_INSERT_TAKEN, chunk)
        self.taken += len(chunk)

    def _rows(self) -> Iterator[_Taken]:
        """Rows that are taken; the others are staged as rejected on the way."""
        lines, width = self._lines, self._header.width
        records = csv.reader(lines, delimiter=self._header.delimiter)
        while True:
            lines.begin_record()
            try:
                fields = next(records)
                lines.check_record()
                if len(fields) == width:
                    yield self._row(fields)
                elif not lines.record_is_blank():
                    raise _Rejected(Reason.COLUMNS, f"{len(fields)} fields where the header has {width}")
            except StopIteration:
                return
            except _Rejected as rejected:
                self._reject(rejected.reason, rejected.detail)
            except (csv.Error, SourceRefused) as error:
                self._reject_first_line(error)

    def _reject_first_line(self, error: Exception) -> None:
        ...
