"""Tables, lists and single records: aligned text, a drawn table on a terminal, JSON and CSV, all of the same columns."""

from __future__ import annotations

import ast
import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from offhook.adapters.commands import shown as shown_module
from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from offhook.adapters.customers.spreadsheet import as_it_was
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


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a;=1+1", 'a"=1'])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_list([{"note": cell}], Format.CSV, ["note"])
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["note"].startswith("'") or "'=" in row["note"]
    assert as_it_was(row["note"]) == cell


def test_a_number_below_nothing_stays_a_number_in_csv(capsys: pytest.CaptureFixture[str]) -> None:
    show_record({"count": -1, "worth": Decimal("-2.50"), "share": -0.5}, Format.CSV)
    assert capsys.readouterr().out.splitlines() == ["count,worth,share", "-1,-2.50,-0.5"]


def test_what_is_within_a_value_is_json_in_csv_and_in_json_as_deep_as_it_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    within = {"rows": ROWS[:1], "states": (State.DEAD,), "raw": b"caf\xc3\xa9", "known": True, "nothing": None}
    plainly = {"rows": [json.loads(run("--json").output)[0]], "states": ["dead"], "raw": "caf\u00e9", "known": True}
    show_record({"within": within}, Format.JSON)
    show_record({"within": within}, Format.CSV)
    out = capsys.readouterr().out
    as_json, as_csv = out[: out.index("within\r\n")], out[out.index("within\r\n") :]
    assert json.loads(as_json) == {"within": plainly | {"nothing": None}}
    [row] = csv.DictReader(io.StringIO(as_csv))
    assert json.loads(row["within"]) == plainly | {"nothing": None}


def test_a_time_of_another_zone_is_shown_in_utc_in_each_form(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = {"at": NOON.astimezone(timezone(timedelta(hours=-7)))}
    for shown in Format:
        show_record(elsewhere, shown)
    assert re.findall(r"12:00:00(?:Z|\+|-)", capsys.readouterr().out) == ["12:00:00Z"] * 3


def test_yes_and_no_are_words_for_eyes_and_true_and_false_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in Format:
        show_list([{"is_clear": True}, {"is_clear": False}], shown, ["is_clear"])
    assert re.findall(r"yes|no|true|false", capsys.readouterr().out) == ["yes", "no", "true", "false", "true", "false"]


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


COMMANDS = Path(shown_module.__file__).parent
OWN_WAYS = {"csv", "rich", "json.dump", "json.dumps"}


def own_ways(source: str) -> set[str]:
    """What a module uses to write tables, CSV or JSON by itself: imports, and functions by their names."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {name.name.split(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module.split(".")[0], *(f"{module}.{name.name}" for name in names)}
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                found.add(f"{name}.{attribute}")
    return found & OWN_WAYS


@pytest.mark.parametrize("path", sorted(COMMANDS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_command_writes_a_table_csv_or_json_by_itself(path: Path) -> None:
    assert own_ways(path.read_text(encoding="utf-8")) == (OWN_WAYS - {"json.dump"} if path.stem == "shown" else set())
