"""A backup that is made while Offhook runs holds all that was acknowledged; put back, it counts no call twice."""

from __future__ import annotations

import fcntl
import re
import shlex
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests import sinks
from tests.support import ledger
from tests.support.load import Load, stored
from tests.support.needed import require
from tests.support.processes import REPOSITORY, flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.support.warm_flask import warm_flask
from tests.system.conftest import Offhook

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

sqlite_alone = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
_DAY_MICROS = 86_400_000_000


def back_up(offhook: Offhook, *arguments: str) -> subprocess.CompletedProcess[str]:
    return flask("db", "backup", *arguments, env=offhook.env(), folder=offhook.folder)


def refusal(offhook: Offhook, *arguments: str) -> str:
    done = back_up(offhook, *arguments)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def leftovers(offhook: Offhook) -> list[Path]:
    return [*offhook.folder.glob("**/.offhook-*"), *offhook.folder.glob("**/backup.db*")]


@sqlite_alone
def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it_began(offhook: Offhook) -> None:
    copy = offhook.folder / "backup.db"
    with offhook.web() as web, offhook.worker(), Load(web.twilio) as load:
        wait_until(lambda: len(load.acknowledged) > 40)
        before = set(load.acknowledged)
        done = back_up(offhook, "backup.db")
        after = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > after + 10)  # it serves on
    assert (done.returncode, "checked" in done.stdout) == (0, True), done.stderr
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert leftovers(offhook) == [copy]
    url = f"sqlite:///{copy}"
    assert ledger.query(url, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    kept = stored(url)
    assert before <= set(kept) and max(kept.values()) == 1


@sqlite_alone
def test_a_file_that_is_there_is_replaced_only_when_asked(offhook: Offhook) -> None:
    copy = offhook.folder / "backup.db"
    copy.write_text("precious")
    assert "--overwrite" in refusal(offhook, "backup.db")
    assert copy.read_text() == "precious"
    assert back_up(offhook, "backup.db", "--overwrite").returncode == 0
    assert ledger.count(f"sqlite:///{copy}", "customers") == 1


@sqlite_alone
@pytest.mark.parametrize(
    "name", ["offhook.db", "offhook.db-wal", "link.db", "no/such/folder/backup.db", ".", "offhook.db.lock"]
)
def test_a_place_where_no_backup_can_be_is_refused_in_a_sentence(offhook: Offhook, name: str) -> None:
    file = Path(ledger.sqlite_file(offhook.database_url))
    (offhook.folder / "link.db").hardlink_to(file)
    kept = file.read_bytes()
    assert name in refusal(offhook, name, "--overwrite")
    assert file.read_bytes() == kept


@sqlite_alone
def test_a_disk_that_is_full_leaves_no_half_backup(offhook: Offhook) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
    rows = "SELECT '+1' || (5550000000 + i), hex(zeroblob(1000)), 1 FROM n"
    ledger.change(offhook.database_url, f"INSERT INTO customers (phone, email, changed_at) {many} {rows}")
    command = f"ulimit -f 200; exec {shlex.quote(sys.executable)} -m flask db backup backup.db"
    done = subprocess.run(["sh", "-c", command], env=offhook.env(), cwd=offhook.folder, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "backup.db was not written" in done.stderr
    assert leftovers(offhook) == []


@sqlite_alone
def test_a_ledger_that_is_damaged_makes_no_backup(offhook: Offhook) -> None:
    for number in range(50):
        ledger.add_customer(offhook.database_url, f"+1555010{number:04}", "x" * 100)
    file = Path(ledger.sqlite_file(offhook.database_url))
    with closing(ledger.connect_sqlite(offhook.database_url)) as connection:
        page, size = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'customers'"
        ).fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * 64)
    assert "backup.db was not written" in refusal(offhook, "backup.db")
    assert leftovers(offhook) == []


@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_on_postgres_the_refusal_names_pg_dump(offhook: Offhook) -> None:
    assert 'pg_dump --format=custom --no-owner --file=offhook.dump "$DATABASE_URL"' in refusal(offhook, "backup.db")


def recipe(containing: str) -> str:
    """The commands of docs/operating.md, word for word."""
    text = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")
    [found] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.S) if containing in block]
    return str(found)


def run_recipe(offhook: Offhook, commands: str, path: str = "") -> str:
    """In the folder of the ledger, with `.venv/bin/flask` there as `make` puts it there."""
    program = offhook.folder / ".venv" / "bin" / "flask"
    program.parent.mkdir(parents=True, exist_ok=True)
    env = offhook.env(**_zone())
    env |= {"PATH": f"{path}:{env['PATH']}"}
    with warm_flask(program):
        done = subprocess.run(["sh", "-euc", commands], env=env, cwd=offhook.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _zone() -> dict[str, str]:
    """Where it is about noon, so that no day turns under the test."""
    ahead = 12 - datetime.now(UTC).hour
    return {"ROCKERBOX_DAY_ZONE": f"Etc/GMT{-ahead:+d}" if ahead else "UTC"}


def orders(offhook: Offhook, since: int = 0) -> Counter[bytes]:
    return Counter(seen.body for seen in offhook.sink.requests[since:])


def let_it_work(offhook: Offhook, **expected: int) -> None:
    with offhook.worker(**_zone()) as worker:
        wait_until(lambda: offhook.states() == expected, shows=lambda: f"{offhook.states()} {worker.log[-2000:]}")


def send(offhook: Offhook, *sids: str) -> None:
    with offhook.web() as web:
        assert {web.twilio.send(callback(sid)).status for sid in sids} == {204}


def make_calls(offhook: Offhook) -> tuple[str, str, str, str]:
    """Calls that are, when the backup is made: delivered; waiting, of today and of yesterday; not even folded."""
    delivered, today, yesterday, unfolded = (new_sid() for _ in range(4))
    send(offhook, delivered)
    let_it_work(offhook, delivered=1)
    offhook.sink.behave(sinks.answer(503))
    send(offhook, today, yesterday)
    before = len(offhook.sink.requests)
    with offhook.worker(**_zone()) as worker:
        offhook.sink.wait_for(before + 4)
        worker.terminate()  # what it is sending comes to its end: nothing that may have arrived is known of
        worker.wait()
    assert offhook.states() == {"delivered": 1, "pending": 2}
    for table, column in (("calls", "final_at"), ("conversions", "created_at")):
        ledger.change(
            offhook.database_url,
            f"UPDATE {table} SET {column} = {column} - {_DAY_MICROS} WHERE call_sid = '{yesterday}'",
        )
    send(offhook, unfolded)
    offhook.sink.behave(sinks.answer())
    return delivered, today, yesterday, unfolded


def check_restored(offhook: Offhook, said: str, calls: tuple[str, str, str, str], first: Counter[bytes]) -> None:
    _, today, yesterday, unfolded = calls
    assert "3 conversions wait" in said and "2 are sent again" in said and "1 will be held" in said
    before = len(offhook.sink.requests)
    let_it_work(offhook, delivered=3, ambiguous=1)
    again = orders(offhook, before)
    assert set(again) == {body for body in first if today.encode() in body or unfolded.encode() in body}
    assert not any(yesterday.encode() in body for body in again), "sent on a second day, it counts twice"
    [held] = ledger.query(offhook.database_url, "SELECT call_sid, reason FROM conversions WHERE state = 'ambiguous'")
    assert held == {"call_sid": yesterday, "reason": "day_turned"}


@sqlite_alone
def test_the_recipe_for_sqlite_sends_nothing_again_that_could_count_twice(offhook: Offhook) -> None:
    calls = make_calls(offhook)
    assert back_up(offhook, "backup.db").returncode == 0
    before = len(offhook.sink.requests)
    let_it_work(offhook, delivered=4)
    said = run_recipe(offhook, recipe("cp backup.db"))
    assert stat.S_IMODE((offhook.folder / "offhook.db").stat().st_mode) == 0o600
    check_restored(offhook, said, calls, orders(offhook, before))


@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_the_recipe_for_postgres_does_the_same(offhook: Offhook, postgres: PostgresServer) -> None:
    calls = make_calls(offhook)
    programs = postgres.programs
    require((Path(programs) / "pg_restore").exists(), "this Postgres came without pg_dump and pg_restore")
    run_recipe(offhook, 'pg_dump --format=custom --no-owner --file=offhook.dump "$DATABASE_URL"', programs)
    before = len(offhook.sink.requests)
    let_it_work(offhook, delivered=4)
    said = run_recipe(offhook, recipe("pg_restore"), programs)
    check_restored(offhook, said, calls, orders(offhook, before))


def test_a_restore_that_is_said_twice_changes_nothing_the_second_time(offhook: Offhook) -> None:
    first, second = (flask("db", "restored", env=offhook.env(), folder=offhook.folder) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout and "0 conversions wait" in first.stdout


@contextmanager
def bookkeeper(url: str) -> Iterator[None]:
    """Somebody who keeps the books, as a worker does."""
    if url.startswith("sqlite"):
        with Path(f"{ledger.sqlite_file(url)}.books").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT pg_advisory_xact_lock({0x0FF_4001})".encode())
        yield


def test_a_restore_is_refused_while_a_worker_keeps_the_books(offhook: Offhook) -> None:
    with bookkeeper(offhook.database_url):
        done = flask("db", "restored", env=offhook.env(), folder=offhook.folder)
    assert (done.returncode, "A worker is at work. Stop it first" in done.stderr) == (1, True), done.stdout
