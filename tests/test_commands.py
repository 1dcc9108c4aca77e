"""A command that the database refuses or keeps waiting ends with one line that says what to do, whatever it was doing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import psycopg
import pytest

from offhook.adapters.commands.context import LedgerCommand
from offhook.adapters.commands.listed import LISTED, Listed
from tests.support.processes import environment, flask
from tests.support.waiting import wait_until


def leaves(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, Listed):
        assert command.load().name == command.name
        yield from leaves(command.load())
    elif isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from leaves(inner)
    else:
        yield command


@pytest.mark.unit
def test_every_command_answers_for_the_database() -> None:
    found = [leaf for command in (command.load() for command in LISTED) for leaf in leaves(command)]
    assert len(found) > 15
    assert [leaf.name for leaf in found if not isinstance(leaf, LedgerCommand)] == []


@pytest.mark.parametrize(
    ("words", "locked"),
    [
        (["conversions", "list"], "conversions"),
        (["conversions", "show", "CA" + "1" * 32], "callbacks"),
        (["explain", "ann@example.com"], "customers"),
        (["calls", "list"], "outcomes"),
        (["today"], "tallies"),
        (["conversions", "retry", "--all", "dead"], "conversions"),
        (["customers", "show", "+14155550100"], "customers"),
        (["recordings", "export", "--since", "1h"], "callbacks"),
    ],
)
def test_a_time_limit_ends_a_command_with_one_line(
    database_url: str, tmp_path: Path, words: list[str], locked: str
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("nobody can lock a reader out of a WAL database")
    env = environment(database_url, OFFHOOK_STATEMENT_SECONDS="0.3")
    with psycopg.connect(database_url) as connection:
        connection.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE".encode())
        done = flask(*words, env=env, folder=tmp_path)
    assert done.returncode == 1
    printed = [line for line in done.stderr.splitlines() if not line.startswith("{")]  # without the log
    assert len(printed) == 1, done.stderr
    assert "OFFHOOK_STATEMENT_SECONDS" in printed[0]


@pytest.mark.mostly("sqlite")
def test_an_import_lets_other_processes_go_first(database_url: str, tmp_path: Path) -> None:
    """The nicest that there is: it stands further back than these tests themselves, however they were started."""
    command = [sys.executable, "-m", "flask", "customers", "import", "-"]
    env = environment(database_url, OFFHOOK_CUSTOMERS_NICE="19")
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as importing:
        wait_until(lambda: psutil.Process(importing.pid).nice() == 19)
        printed, _ = importing.communicate(b"phone,email\n+14155550101,ann@example.com\n")
    assert (importing.returncode, b"1  added" in printed) == (0, True)
