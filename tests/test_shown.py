"""Tables, lists and single records: aligned text, a drawn table on a terminal, JSON and CSV, all of the same columns."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import click
import pytest
from click.testing import CliRunner, Result

from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from tests.support.processes import bare_environment

pytestmark = pytest.mark.unit


class State(StrEnum):
    DEAD = "dead"


@dataclass(frozen=True)
class Row:
    at: datetime
    state: State
    attempts: int | None
    worth: Decimal
    note: str


NOON = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)
ROWS = [
    Row(NOON, State.DEAD, 7, Decimal("1.50"), "plain"),
    Row(NOON, State.DEAD, 12345, Decimal("20.00"), "=1+1"),
    Row(NOON, State.DEAD, None, Decimal("3.00"), "\x1b[31mred\x9b"),
]
COLUMNS = ("at", "state", "attempts", "worth", "note")


@click.command()
@click.option("--one", is_flag=True)
@click.option("--none", is_flag=True)
@shows
def command(one: bool, none: bool, shown: Format) -> None:
    if one:
        show_record([("phone", "+14155550100"), ("people", 2), ("email", None)], shown)
    else:
        show_list([] if none else ROWS, shown, COLUMNS)


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_a_table_has_headers_and_aligns_numbers_to_the_right_and_times_as_people_write_them() -> None:
    assert run().output.splitlines() == [
        "at                    state  attempts  worth  note",
        "2026-03-12 12:00:00Z  dead          7   1.50  plain",
        "2026-03-12 12:00:00Z  dead      12345  20.00  =1+1",
        "2026-03-12 12:00:00Z  dead          -   3.00  ?[31mred?",
    ]


def test_one_record_is_a_line_a_column_an_object_and_a_csv_of_one_row() -> None:
    assert run("--one").output.splitlines() == ["phone   +14155550100", "people  2", "email   -"]
    assert json.loads(run("--one", "--json").output) == {"phone": "+14155550100", "people": 2, "email": None}
    assert list(csv.reader(io.StringIO(run("--one", "--csv").output))) == [
        ["phone", "people", "email"],
        ["'+14155550100", "2", ""],
    ]


def test_json_keeps_types_writes_times_in_iso_8601_and_money_as_text() -> None:
    first, second, third = json.loads(run("--json").output)
    assert first == {"at": "2026-03-12T12:00:00Z", "state": "dead", "attempts": 7, "worth": "1.50", "note": "plain"}
    assert (second["note"], third["attempts"]) == ("=1+1", None)


def test_csv_holds_no_formula_and_its_headers_are_the_names_of_json() -> None:
    rows = list(csv.DictReader(io.StringIO(run("--csv").output)))
    assert tuple(rows[0]) == COLUMNS == tuple(json.loads(run("--json").output)[0])
    assert [row["note"] for row in rows][:2] == ["plain", "'=1+1"]
    assert [row["attempts"] for row in rows] == ["7", "12345", ""]


def test_nothing_at_all_still_has_headers() -> None:
    assert run("--none").output.split() == list(COLUMNS)
    assert json.loads(run("--none", "--json").output) == []
    assert run("--none", "--csv").output.strip() == ",".join(COLUMNS)


def test_the_short_names_are_the_long_ones_and_two_forms_at_once_are_refused() -> None:
    assert run("--json").output == run("--format", "json").output
    assert run("--csv").output == run("--format", "csv").output
    assert run("--format", "table").output == run().output
    assert run("--json", "--format", "json").exit_code == 0
    assert (run("--json", "--csv").exit_code, run("--csv", "--format", "table").exit_code) == (2, 2)


def on_terminal(columns: int) -> str:
    """What `command` writes to a terminal that is so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = bare_environment() | {"TERM": "xterm"}
    script = "from tests.test_shown import command; command()"
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        done = subprocess.run([sys.executable, "-c", script], env=env, stdout=theirs, stdin=theirs, check=True)
        os.close(theirs)
        assert done.returncode == 0
        return terminal.read(10_000).decode()


def test_a_terminal_gets_a_drawn_table_and_one_that_is_too_narrow_the_plain_text_in_whole_lines() -> None:
    drawn, narrow = on_terminal(100), on_terminal(40)
    assert "\u2500\u2500\u2500" in drawn and "20.00" in drawn and "\x1b[31m" not in drawn
    assert narrow.replace("\r\n", "\n") == run().output
