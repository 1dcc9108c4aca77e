"""A newer version migrates the database, then is rolled back: the older one says so, has nothing to undo, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import ledger
from tests.support.migrations import next_version, upgrade_to
from tests.support.processes import flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook


def migrate_to_the_next_version(offhook: Offhook, folder: Path) -> None:
    [row] = ledger.query(offhook.database_url, "SELECT version_num FROM alembic_version")
    upgrade_to(offhook.database_url, "9999", beside=next_version(folder, row["version_num"]))


def test_a_version_goes_on_while_a_newer_one_migrates_and_after_a_rollback(offhook: Offhook, tmp_path: Path) -> None:
    before, after, again = new_sid(), new_sid(), new_sid()
    with offhook.web() as web, offhook.worker() as worker:
        assert web.twilio.send(callback(before)).status == 204
        offhook.sink.wait_for(1)
        migrate_to_the_next_version(offhook, tmp_path / "next")
        assert web.twilio.send(callback(after)).status == 204
        offhook.sink.wait_for(2)
        ready = web.twilio.get("/readyz")
        assert (ready.status, json.loads(ready.body)["migrations"]) == (200, "ahead")
        assert worker.is_running
    upgraded = flask("db", "upgrade", env=offhook.env(), folder=offhook.folder)
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert "migrated by a newer version; nothing to do" in upgraded.stdout
    with offhook.web() as web, offhook.worker() as worker:
        assert "this version works with it" in web.log and "this version works with it" in worker.log
        assert web.twilio.send(callback(again)).status == 204
        offhook.sink.wait_for(3)
        assert "ERROR" not in web.log + worker.log
    assert ledger.query(offhook.database_url, "SELECT version_num FROM alembic_version") == [{"version_num": "9999"}]
    assert {json.loads(request.body)["order_id"] for request in offhook.sink.requests} == {before, after, again}


def test_commands_work_on_tables_that_are_ahead(offhook: Offhook, tmp_path: Path) -> None:
    sid = new_sid()
    with offhook.web() as web, offhook.worker():
        assert web.twilio.send(callback(sid)).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 1})
    migrate_to_the_next_version(offhook, tmp_path / "next")
    (tmp_path / "customers.csv").write_text("phone,email\n+14155550123,new@example.test\n")
    commands = [
        ("conversions", "show", sid),
        ("customers", "import", "customers.csv"),
        ("recordings", "export", "--customers", "mapping.csv"),
    ]
    for command in commands:
        done = flask(*command, env=offhook.env(), folder=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    current = flask("db", "current", env=offhook.env(), folder=tmp_path)
    assert "9999" in current.stdout and "ahead" in current.stdout


def test_a_revision_that_nobody_knows_is_a_sentence_and_no_traceback(offhook: Offhook) -> None:
    done = flask("db", "upgrade", "4711", env=offhook.env(), folder=offhook.folder)
    assert done.returncode == 1
    assert "4711" in done.stderr and "flask db history" in done.stderr and "Traceback" not in done.stderr


def test_another_programs_database_is_refused_with_a_reason(bare_offhook: Offhook) -> None:
    bare_offhook.upgrade()
    ledger.change(bare_offhook.database_url, "DROP TABLE conversions")
    ledger.change(bare_offhook.database_url, "UPDATE alembic_version SET version_num = 'theirs'")
    done = flask("db", "upgrade", env=bare_offhook.env(), folder=bare_offhook.folder)
    assert (done.returncode, "another program's" in done.stderr) == (1, True)
    with bare_offhook.web() as web:
        ready = web.twilio.get("/readyz")
        assert (ready.status, json.loads(ready.body)["database"]) == (503, "foreign_tables")
