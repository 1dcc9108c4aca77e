"""How commands show tables, lists, single records and what they have done: as text for a person, as JSON, as CSV. Reads nothing,
decides nothing.

One word for one thing: a column is called the same in the header of the table, in JSON and in CSV.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from offhook.adapters.private_file import written_whole
from offhook.pipeline.plain import Record, plain, values_of

if TYPE_CHECKING:
    from rich.table import Table

_GAP = "  "
_NOTHING = "-"
_LEAST_LAST = 20  # characters of the last column on a terminal: with less, the terminal's own wrapping reads better


class Format(StrEnum):
    """What a person asked for. `TABLE` is drawn on a terminal, and aligned text elsewhere; of what was done it is a sentence."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def shows(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command --format, --json and --csv, and what they amount to as its argument `shown`, a Format."""

    @click.option(
        "--format",
        "form",
        type=click.Choice([each.value for each in Format]),
        help="How it is shown; table is for people.  [default: table]",
    )
    @click.option("--json", "is_json", is_flag=True, help="Short for --format json.")
    @click.option("--csv", "is_csv", is_flag=True, help="Short for --format csv.")
    @functools.wraps(command)
    def showing(*args: Any, form: Format | None, is_json: bool, is_csv: bool, **more: Any) -> Any:
        wished = {Format(form)} if form else set[Format]()
        wished |= {one for one, is_wished in ((Format.JSON, is_json), (Format.CSV, is_csv)) if is_wished}
        if len(wished) > 1:
            raise click.UsageError("Choose one of --format, --json and --csv.")
        return command(*args, shown=next(iter(wished), Format.TABLE), **more)

    return showing


def show_list(records: Iterable[Record], shown: Format, columns: Sequence[str]) -> None:
    """Records under each other, with these columns in this order; the headers stand there even when there is no record."""
    rows = [[values_of(record).get(column) for column in columns] for record in records]
    match shown:
        case Format.JSON:
            _write_json([dict(zip(columns, row, strict=True)) for row in rows])
        case Format.CSV:
            _write_csv([columns, *rows])
        case Format.TABLE:
            _draw(columns, rows)


def show_counts(counts: Mapping[str, int], what: str = "what") -> None:
    """How many there are of each, for a person. `what` is the header of what is counted."""
    show_list([{"count": count, what: name} for name, count in counts.items()], Format.TABLE, ("count", what))


@contextmanager
def beside(shown: Format) -> Iterator[None]:
    """What is said and asked on the way to a document: on stderr, so that stdout holds the document alone. A table stands among it."""
    if shown is Format.TABLE:
        yield
        return
    with on_stderr():
        yield


@contextmanager
def on_stderr() -> Iterator[None]:
    """Tables, too: for what goes beside a file on stdout."""
    with redirect_stdout(sys.stderr):
        yield


def say_more(shown: int) -> None:
    """Behind a list that --limit has cut off: on stderr, so that a file of it stays a file."""
    these = "this one" if shown == 1 else f"these {shown}"
    click.echo(f"There are more than {these}: --limit shows more.", err=True)


def show_record(record: Record, shown: Format) -> None:
    """One record: a line a column, an object of JSON, or a CSV of one row."""
    values = values_of(record)
    match shown:
        case Format.JSON:
            _write_json(values)
        case Format.CSV:
            _write_csv([list(values), list(values.values())])
        case Format.TABLE:
            _draw((), [[name, value] for name, value in values.items()])


def show_done(sentence: str, record: Record, shown: Format, *, err: bool = False) -> None:
    """What a command has done: one sentence for a person, else the record of it. `err` where stdout may hold a file."""
    if shown is Format.TABLE:
        click.echo(sentence, err=err)
    else:
        show_record(record, shown)


def refuse_two(output: Path, what: str, shown: Format) -> None:
    """A file and a document do not go to stdout together. Raises click.UsageError."""
    if shown is not Format.TABLE and str(output) == "-":
        raise click.UsageError(f"{what} goes to standard output: name a file for it by --output")


def _write_json(value: object) -> None:
    click.echo(json.dumps(plain(value), indent=2))


def _write_csv(rows: Sequence[Sequence[object]]) -> None:
    from offhook.adapters.customers.spreadsheet import as_text

    text = io.StringIO()
    csv.writer(text).writerows(
        [_in_csv(cell) if _is_number(cell) else as_text(_in_csv(cell)) for cell in row] for row in rows
    )
    click.echo(text.getvalue(), nl=False)


def _in_csv(value: object) -> str:
    held = plain(value)
    if isinstance(held, (dict, list, bool)):
        return json.dumps(held)
    return "" if held is None else str(held)


def _for_eyes(value: object) -> str:
    """Short, and without what could steer a terminal."""
    match value:
        case None | "":
            return _NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return in_utc(value)
    text = _in_csv(value)
    return "".join(each if each.isprintable() else "?" for each in text)


def in_utc(moment: datetime) -> str:
    """A moment as people read it, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Numbers to the right. Without `columns` there is no header."""
    cells = [[_for_eyes(value) for value in row] for row in rows]
    table = [list(columns), *cells] if columns else cells
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rights = [bool(found) and all(map(_is_number, found)) for found in map(_known, zip(*rows, strict=True))]
    rights = rights or [False] * len(widths)
    if sys.stdout.isatty() and _drawn(columns, cells, widths, rights):
        return
    for row in table:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, rights, strict=True)
        ]
        click.echo(_GAP.join(padded).rstrip())


@contextmanager
def opened(output: Path) -> Iterator[IO[str]]:
    """Where a file goes: standard output for `-`, else one that its owner alone may read and that is there when it is whole."""
    with click.open_file("-", "w", encoding="utf-8") if str(output) == "-" else written_whole(output) as file:
        yield file


def _known(values: Iterable[object]) -> list[object]:
    return [value for value in values if value is not None]


def _drawn(
    columns: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], rights: Sequence[bool]
) -> bool:
    """Draw it on this terminal. False, and nothing is drawn, where it is too narrow: a CallSid shall stay in one piece."""
    from rich.console import Console

    console = Console(highlight=False)
    needed = sum(widths[:-1]) + min(widths[-1], _LEAST_LAST) + 2 * len(widths) if widths else 0
    if needed > console.width:
        return False
    console.print(_table(columns, cells, rights))
    return True


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], rights: Sequence[bool]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD if columns else None, show_header=bool(columns), pad_edge=False, padding=(0, 2, 0, 0))
    for number, right in enumerate(rights):
        table.add_column(
            columns[number] if columns else "",
            justify="right" if right else "left",
            no_wrap=number < len(rights) - 1,
            overflow="fold",
            style="bold" if not columns and number == 0 else None,
        )
    for row in cells:
        table.add_row(*map(Text, row))
    return table
