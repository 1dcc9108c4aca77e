"""A file of customers (CSV, or JSON lines) on its way into the mapping: every row is taken, or named in the rejects file.

Reads the file once, in constant memory, and changes nothing before it has read all of it. Never drops a row silently,
and never holds the ledger for longer than one chunk.
"""

from __future__ import annotations

import csv
import filecmp
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from offhook.adapters.customers.columns import DEFAULT_COLUMNS, Columns, read_columns
from offhook.adapters.customers.fields import Fields, ImportLimits, LeftEmpty, Problem, ReadRow, Reason
from offhook.adapters.customers.json_lines import cells, flat
from offhook.adapters.customers.lines import ImportRefused, Lines, RecordTooLong, open_lines
from offhook.adapters.customers.merging import SCHEMA, Merging, find_missing
from offhook.adapters.customers.spreadsheet import write_rows
from offhook.adapters.private_file import placed_whole, written_whole
from offhook.pipeline.customer import Conflict
from offhook.pipeline.ports.customers import Brought, CustomerTable, Source
from offhook.pipeline.words import counted

SAMPLES = 10  # of each kind that an import shows
Progress = Callable[[int], None]
Remark = Callable[[str], None]


class Rejected(NamedTuple):
    """A row of the file that was not used, and why."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Whoever is not in the file is retired; the import is refused where that is more than `most_share` of the customers.

    With `is_looked_at` it goes on even so, and the report has the refusal: nothing is changed then, and what would be is
    what somebody wants to see.
    """

    most_share: float
    is_looked_at: bool = False


class Beforehand(Protocol):
    """Is asked when the file was read, and nothing is changed yet: which numbers the import will give to one customer."""

    def __call__(self, will_name: Callable[[Collection[str]], bool], /) -> None: ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of each row. numbers = used + duplicate_rows + conflicts, and as many as `rows` where no row has several;
    `rejected` rows come on top, and those `left_empty` in a list that was to be filled in.
    added + changed + unchanged = used + became_shared.

    `duplicate_rows` say what another row of the file says, too. `conflicts` are numbers that were not used because the
    file gives them to another customer as well; `shared` is how many different ones these are. `partly` counts what was
    not used of rows that were. `rejects_path` is None when there is nothing to report. `encoding_offered` is what bytes
    that are not UTF-8 would be text in. `removed` were retired as they are not in the file. `refused` is why the import
    would be refused if it were made, "" where it would not. `samples` are the first `conflicts` and `rejected`.
    """

    rows: int
    numbers: int
    added: int
    changed: int
    unchanged: int
    rejected: int
    conflicts: int
    duplicate_rows: int
    shared: int = 0
    partly: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    customer_ids_that_are_emails: int = 0
    encoding_offered: str | None = None
    rejects_path: Path | None = None
    seconds: float = 0.0
    removed: int = 0
    columns: Columns | None = None
    attributes_left_out: int = 0
    left_empty: int = 0
    refused: str = ""
    samples: Mapping[str, Sequence[Rejected]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True when every row of the file was taken."""
        return not self.rejected and not self.conflicts

    @property
    def is_of_use(self) -> bool:
        """True when any row of the file was taken."""
        return self.used > 0

    @property
    def used(self) -> int:
        """How many numbers of the file got the customer of a row."""
        return self.numbers - self.duplicate_rows - self.conflicts

    @property
    def became_shared(self) -> int:
        """Of the `changed` those that nobody has alone any more, as the file gives them to several customers."""
        return self.added + self.changed + self.unchanged - self.used

    @property
    def is_as_it_was(self) -> bool:
        """True when the mapping says of each number what it said before."""
        return not (self.added or self.changed or self.removed or self.shared)


def import_csv(
    path: Path | str,
    table: CustomerTable,
    *,
    columns: tuple[str, str, str] = DEFAULT_COLUMNS,
    region: str = "US",
    conflict: Conflict = "none",
    rejects_path: Path | None = None,
    chunk_rows: int = 20_000,
    encoding: str | None = None,
    limits: ImportLimits | None = None,
    progress: Progress = lambda _bytes_done: None,
    remark: Remark = lambda _text: None,
    brought: Brought | None = None,
    lower_emails: bool = False,
    replacing: Replace | None = None,
    beforehand: Beforehand = lambda _will_name: None,
) -> ImportReport:
    """Merge a CSV file (or JSON lines; `-`: standard input; may be gzipped) into `table`.

    `columns` names the headers of phone (several: "Phone|Mobile"), email and customer id; one of the last two may be "".
    `region` is the country of numbers written without one. Where the file gives a phone to several customers, `conflict`
    says which row is used; with "none" a call from it waits. `encoding` None means UTF-8, or UTF-16 where the file begins
    with its mark. Without a `rejects_path` the rejects of an import before stay. `progress` is called with bytes of the file, of
    which reading counts for the first half and merging for the second; `remark` at the start with what a person should
    know of the header. `brought` is what history names as the rows' source. With `replacing`, whoever is not in the file
    is retired. Raises ImportRefused; what the table raises passes through, and the same import may then be run again.
    """
    started = time.monotonic()
    bounds = limits or ImportLimits()
    _must_be_writable(rejects_path or default_rejects_path(path), path)
    with _staging_trouble(), _staging() as staging:
        with open_lines(path, encoding, bounds.row, bounds.unpacked) as lines:
            reading = _Reading(lines, columns, region, bounds, staging, lower_emails=lower_emails)
            for text in reading.remarks:
                remark(text)
            for _ in reading.chunks(chunk_rows):
                progress(lines.bytes_read() // 2)
            size = lines.bytes_read()
            offered = lines.encoding_offered
        merging = Merging(staging, table, conflict, bounds, brought or _by_itself(path))
        refused = "" if replacing is None else _too_many(*find_missing(staging, table, chunk_rows), replacing)
        beforehand(merging.names_one)
        for numbers in merging.chunks(chunk_rows):
            progress((size * (reading.numbers + numbers)) // (2 * reading.numbers))
        removed = sum(merging.retired(chunk_rows))
        progress(size)
        kept = _kept_rejects(staging, rejects_path, default_rejects_path(path))
        report = _report(staging, reading, merging)
    took = time.monotonic() - started
    return replace(report, rejects_path=kept, encoding_offered=offered, seconds=took, removed=removed, refused=refused)


def _by_itself(path: Path | str) -> Brought:
    """This import and no other one of the same file."""
    return Brought(Source.IMPORT, "standard input" if str(path) == "-" else Path(path).name, run=secrets.token_hex(8))


def _too_many(missing: int, known: int, replacing: Replace) -> str:
    """Why these are not to be retired; "" where they may be. Raises ImportRefused unless that is looked at alone."""
    if missing <= replacing.most_share * known:
        return ""
    refused = (
        f"{missing:,} of {counted(known, 'number', 'numbers')} {'is' if missing == 1 else 'are'} not in the file and would "
        f"be retired, more than {replacing.most_share:.0%} (OFFHOOK_CUSTOMERS_RETIRE_SHARE). If "
        f"{'it' if missing == 1 else 'they'} shall be, say --yes-retire."
    )
    if not replacing.is_looked_at:
        raise ImportRefused(refused)
    return refused


def default_rejects_path(path: Path | str) -> Path:
    """`FILE.rejected.csv` beside the file; in the working directory for standard input. What is there stays, and the new
    rejects are FILE.rejected-2.csv then.
    """
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

_SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -16000;
    {SCHEMA}
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


# The first pass: from the file into staging

_Taken = tuple[int, str, str | None, str | None, str | None, str]


class _Reading:
    """Reads and checks every row; what is taken and what is rejected both go into staging.

    `rows` were taken, with so many `numbers`; of `partly` something was not. `left_empty` were to be filled in, and are not.
    """

    def __init__(
        self,
        lines: Lines,
        columns: tuple[str, str, str],
        region: str,
        limits: ImportLimits,
        staging: sqlite3.Connection,
        *,
        lower_emails: bool = False,
    ) -> None:
        self._lines = lines
        self.columns = read_columns(lines, columns)
        self._fields = Fields(self.columns, region, limits, lower_emails=lower_emails)
        self._limits = limits
        self._staging = staging
        self.rows = self.numbers = self.rejected = self.partly = self.left_empty = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        return self.columns.remarks

    @property
    def attributes_left_out(self) -> int:
        return self._fields.attributes_left_out

    @property
    def customer_ids_that_are_emails(self) -> int:
        return self._fields.customer_ids_that_are_emails

    def chunks(self, chunk_rows: int) -> Iterator[int]:
        """Stage the whole file; yields after each chunk of its records, used or not, how many numbers were taken."""
        records = self._records()
        while records_read := list(islice(records, chunk_rows)):
            chunk = list(chain.from_iterable(records_read))
            self._staging.executemany("INSERT INTO taken VALUES (?, ?, ?, ?, ?, ?)", chunk)
            self.numbers += len(chunk)
            yield self.numbers

    def _records(self) -> Iterator[Sequence[_Taken]]:
        """What was taken of each record; nothing of one that cannot be used."""
        lines = self._lines
        delimiter = self.columns.delimiter
        records: Iterator[list[str] | str] = lines if delimiter is None else csv.reader(lines, delimiter=delimiter)
        while True:
            lines.begin_record()
            taken: Sequence[_Taken] = ()
            try:
                taken = self._of_record(next(records))
            except StopIteration:
                return
            except LeftEmpty:
                self.left_empty += not lines.record_is_blank()
            except Problem as problem:
                if not lines.record_is_blank():
                    self._reject(problem, lines.record_text())
            except (RecordTooLong, csv.Error):
                self._reject_first_line()
            yield taken

    def _of_record(self, record: list[str] | str) -> list[_Taken]:
        """Raises Problem where nothing of it can be used."""
        lines = self._lines
        if lines.undecodable:
            raise _undecodable(lines)
        row = self._fields.read(record) if isinstance(record, list) else self._of_object(record)
        text = lines.record_text()
        for problem in row.problems:
            self._note(problem.reason, f"{problem.detail}; the rest of the row is used", text)
        self.rows += 1
        self.partly += len(row.problems)
        attributes = json.dumps(row.attributes, ensure_ascii=False) if row.attributes else None
        return [(lines.first_line, phone, row.email, row.customer_id, attributes, text) for phone in row.phones]

    def _of_object(self, line: str) -> ReadRow:
        found = flat(line)
        if found is None:
            raise Problem(Reason.NOT_JSON, "no object of JSON in one line")
        return self._fields.read(*cells(found, self.columns.names))

    def _reject_first_line(self) -> None:
        """Of a record without an end only the first line is at fault; the others are read anew."""
        text, alone = self._lines.only_first_line()
        if alone and len(text) >= self._limits.row:
            detail = f"longer than {self._limits.row} characters; only its beginning is here"
            self._reject(Problem(Reason.TOO_LONG, detail), text)
        else:
            self._reject(Problem(Reason.QUOTES, "a quote that opens in this line is not closed"), text)

    def _reject(self, problem: Problem, text: str) -> None:
        self._note(problem.reason, problem.detail, text)
        self.rejected += 1

    def _note(self, reason: Reason, detail: str, text: str) -> None:
        values = (self._lines.first_line, reason.value, detail, text)
        self._staging.execute("INSERT INTO rejected VALUES (?, ?, ?, ?)", values)


def _undecodable(lines: Lines) -> Problem:
    if lines.encoding == "utf-8-sig":
        return Problem(Reason.NOT_UTF8, f"not UTF-8{lines.offer()}")
    return Problem(Reason.NOT_DECODABLE, f"not {lines.encoding}")


# What is left


class _AsBefore(Exception):
    """The import before has left the same rejects."""


_Rejects = Callable[[IO[str]], None]


def _kept_rejects(staging: sqlite3.Connection, wished: Path | None, default: Path) -> Path | None:
    """All rows that were not used, in the file's order. None, and no file, when there are none."""
    try:
        if staging.execute("SELECT 1 FROM rejected").fetchone() is None:
            if wished is not None and wished.is_file():  # never a device
                wished.unlink()
            return None
        if wished is None:
            return _written_beside(default, partial(_write_rejects, staging))
        with written_whole(wished) as file:
            _write_rejects(staging, file)
    except OSError as error:
        reason = f"The rows are imported, but the rejects could not be written to {wished or default}: {error}."
        raise ImportRefused(reason) from error
    return wished


def _write_rejects(staging: sqlite3.Connection, file: IO[str]) -> None:
    rows = staging.execute("SELECT line, reason, detail, row FROM rejected ORDER BY line, rowid")
    write_rows(file, chain([("line", "reason", "detail", "row")], rows))


def _written_beside(path: Path, write: _Rejects) -> Path:
    """Under this name, or under the first free one like it where rejects of another import stand; those stay.

    The same rejects as the last ones there are not written again, so that a nightly import leaves one file.
    """
    names = chain([path], (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2)))
    before: Path | None = None
    for wished in names:
        try:
            _write_new(wished, before, write)
        except _AsBefore:
            break
        except FileExistsError:
            before = wished
        else:
            return wished
    assert before is not None
    return before


def _write_new(path: Path, before: Path | None, write: _Rejects) -> None:
    with placed_whole(path, replace=False) as beside:
        with beside.open("w", encoding="utf-8", newline="") as file:
            write(file)
        if before is not None and filecmp.cmp(before, beside, shallow=False):
            raise _AsBefore


def _report(staging: sqlite3.Connection, reading: _Reading, merging: Merging) -> ImportReport:
    counted = staging.execute("SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY count(*) DESC, reason")
    return ImportReport(
        rows=reading.rows,
        numbers=merging.numbers,
        added=merging.added,
        changed=merging.changed,
        unchanged=merging.unchanged,
        rejected=reading.rejected,
        conflicts=merging.conflicts,
        duplicate_rows=merging.duplicate_rows,
        shared=merging.shared,
        partly=reading.partly,
        left_empty=reading.left_empty,
        reasons=dict(counted.fetchall()),
        customer_ids_that_are_emails=reading.customer_ids_that_are_emails,
        columns=reading.columns,
        attributes_left_out=reading.attributes_left_out,
        samples={"conflicts": _sampled(staging, "="), "rejected": _sampled(staging, "<>")},
    )


def _sampled(staging: sqlite3.Connection, same: str) -> Sequence[Rejected]:
    """The first conflicts (`=`), or whatever else was not used (`<>`)."""
    asked = f"SELECT line, reason, detail FROM rejected WHERE reason {same} ? ORDER BY line LIMIT {SAMPLES}"
    return [Rejected(*row) for row in staging.execute(asked, (Reason.CONFLICT.value,))]
