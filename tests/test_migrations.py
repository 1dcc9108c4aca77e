"""A version can be rolled back: what a newer one has migrated stays usable, and every migration so far kept to that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Inspector, create_engine, inspect, types

from offhook.adapters.ledger.schema import metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.tables import VERSIONS, head, known
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.settings import given
from tests.support import ledger
from tests.support.filled import GROWING, fill
from tests.support.migrations import upgrade_to
from tests.support.waiting import wait_until


def driver_url(url: str) -> str:
    return given({"DATABASE_URL": url}).database_url


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    """On a database without tables."""
    made = create_engine(driver_url(empty_database_url))
    yield made
    made.dispose()


# The rule: what an old version's statements need is there after every migration that came later


def what_breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a program that was written for the tables `old` would trip over on the tables `new`."""
    found = [f"{table} is gone" for table in old.keys() - new.keys()]
    for table in sorted(old.keys() & new.keys()):
        found += [f"{table}: {change}" for change in _columns(old[table]["columns"], new[table]["columns"])]
        kept = set(old[table]["columns"])
        for kind in ("unique", "checks", "references"):
            found += [f"{table}: new {kind} {rule}" for rule in _added(kind, old[table], new[table], kept)]
    return found


def _columns(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is gone" for name in old.keys() - new.keys())
    for name, column in new.items():
        known = old.get(name)
        must_be_given = not column["nullable"] and not column["default"]
        if known is None:
            if must_be_given:
                yield f"the new {name} must be given"
        else:
            if column["kind"] != known["kind"] or column["size"] < known["size"]:
                yield f"{name} was {known['kind']} ({known['size']}), is {column['kind']} ({column['size']})"
            if must_be_given and (known["nullable"] or known["default"]):
                yield f"{name} must be given now"


def _added(kind: str, old: dict[str, Any], new: dict[str, Any], kept: set[str]) -> set[Any]:
    """Rules that the old program did not know and could break: those on new columns alone are none of its business."""
    added = set(new[kind]) - set(old[kind])
    return {rule for rule in added if kind == "checks" or set(rule) & kept}


def tables(connection: Connection) -> dict[str, Any]:
    """The tables as the database describes them."""
    seen = inspect(connection)
    names = set(seen.get_table_names()) - {"alembic_version"}
    return {name: _table(seen, name) for name in names}


def _table(seen: Inspector, name: str) -> dict[str, Any]:
    unique: list[Sequence[str | None]] = [index["column_names"] for index in seen.get_indexes(name) if index["unique"]]
    unique += [rule["column_names"] for rule in seen.get_unique_constraints(name)]
    unique += [seen.get_pk_constraint(name)["constrained_columns"]]
    return {
        "columns": {column["name"]: _column(column) for column in seen.get_columns(name)},
        "unique": {tuple(map(str, columns)) for columns in unique},
        "checks": {rule["sqltext"] for rule in seen.get_check_constraints(name)},
        "references": {tuple(rule["constrained_columns"]) for rule in seen.get_foreign_keys(name)},
    }


def _column(column: Any) -> dict[str, Any]:
    kind, size = _kind(column["type"])
    has_default = column["default"] is not None or bool(column.get("autoincrement") is True)
    return {"nullable": column["nullable"], "default": has_default, "kind": kind, "size": size}


def _kind(of: Any) -> tuple[str, float]:
    """The kind of value, and how much of it fits: widening is harmless, narrowing is not."""
    integers = ((types.SmallInteger, 2), (types.BigInteger, 8), (types.Integer, 4))
    for integer, size in integers:
        if isinstance(of, integer):
            return "integer", size
    if isinstance(of, types.String):
        return "text", of.length or float("inf")
    return type(of).__name__, 0.0


HARMLESS = [
    "CREATE TABLE erasures (call_sid TEXT NOT NULL)",
    "ALTER TABLE calls ADD COLUMN noted TEXT",
    "ALTER TABLE calls ADD COLUMN weight INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX ix_calls_to ON calls (to_number)",
    "DROP INDEX ix_calls_waiting",
]
BREAKING = [
    ("DROP TABLE breakers", "breakers is gone"),
    ("ALTER TABLE calls DROP COLUMN legs", "calls: legs is gone"),
    ("ALTER TABLE calls RENAME COLUMN ended_at TO over_at", "calls: ended_at is gone"),
    ("CREATE UNIQUE INDEX uq ON calls (call_sid)", "calls: new unique ('call_sid',)"),
]
BREAKING_ON_POSTGRES = [
    ("ALTER TABLE calls ADD COLUMN weight INTEGER NOT NULL", "calls: the new weight must be given"),
    ("ALTER TABLE calls ALTER COLUMN duration_seconds SET NOT NULL", "calls: duration_seconds must be given now"),
    ("ALTER TABLE callbacks ALTER COLUMN folded DROP DEFAULT", "callbacks: folded must be given now"),
    ("ALTER TABLE calls ALTER COLUMN legs TYPE smallint", "calls: legs was integer (4), is integer (2)"),
    ("ALTER TABLE calls ALTER COLUMN status TYPE varchar(9)", "calls: status was text (inf), is text (9)"),
    ("ALTER TABLE calls ADD CHECK (legs < 9)", "calls: new checks legs < 9"),
    ("ALTER TABLE calls ADD FOREIGN KEY (to_number) REFERENCES customers", "calls: new references ('to_number',)"),
]


def changes(engine: Engine, statements: Iterable[str]) -> dict[str, list[str]]:
    """What each would break of what is there before it. On Postgres each is taken back."""
    with engine.connect() as connection:
        before, found = tables(connection), {}
    for statement in statements:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
            after = tables(connection)
        found[statement] = what_breaks(before, after)
        if engine.name == "sqlite":  # has committed it
            before = after
    return found


def test_the_rule_lets_expanding_pass_and_names_what_would_break(engine: Engine, empty_database_url: str) -> None:
    """The rule itself, on real tables: it must find each of these, or it holds nobody to anything."""
    upgrade_to(empty_database_url, "head")
    assert changes(engine, HARMLESS) == {statement: [] for statement in HARMLESS}
    breaking = dict(BREAKING if engine.name == "sqlite" else BREAKING + BREAKING_ON_POSTGRES)
    assert changes(engine, breaking) == {statement: [expected] for statement, expected in breaking.items()}


def test_each_earlier_version_finds_all_that_it_needs_on_the_newest_tables(
    engine: Engine, empty_database_url: str
) -> None:
    known = [revision for revision, _ in SqlLedger(driver_url(empty_database_url)).migrations.history()]
    assert known[0] == "0001"
    snapshots = {}
    for revision in known:
        upgrade_to(empty_database_url, revision)
        with engine.connect() as connection:
            snapshots[revision] = tables(connection)
    broken = {revision: what_breaks(old, snapshots[known[-1]]) for revision, old in snapshots.items()}
    assert broken == {revision: [] for revision in known}


def test_the_names_of_the_files_say_what_alembic_reads_in_them(tmp_path: Path) -> None:
    migrations = SqlLedger(f"sqlite:///{tmp_path}/offhook.db").migrations
    assert sorted(known()) == [revision for revision, _ in migrations.history()]
    assert head() == ScriptDirectory(str(VERSIONS.parent)).get_current_head() == migrations.head()


def test_who_migrates_nothing_loads_no_alembic() -> None:
    """It takes a tenth of the time in which a command starts."""
    asked = "import sys, offhook.service; print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout.strip() == "False"


# On tables that are large by now, and while callbacks come in


def waits(postgres_url: str) -> bool:
    statement = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
    return bool(ledger.query(postgres_url, statement))


def test_callbacks_are_stored_while_postgres_builds_an_index(opened: SqlLedger, empty_database_url: str) -> None:
    """A transaction is open that has stored something: the index waits for it, and nobody waits for the index."""
    if empty_database_url.startswith("sqlite"):
        pytest.skip("there is one writer at a time; each index is a turn of its own")
    upgrade_to(empty_database_url, "0001")
    store = "INSERT INTO counters (name, value) VALUES ('{}', 1)"
    touch = "UPDATE callbacks SET folded = 0 WHERE seq = 0"
    with psycopg.connect(empty_database_url) as storing, ThreadPoolExecutor(1) as upgrading:
        storing.execute(touch.encode())
        done = upgrading.submit(opened.migrations.upgrade)
        wait_until(lambda: waits(empty_database_url))
        ledger.change(empty_database_url, touch)
        ledger.change(empty_database_url, store.format("somebody"))
        assert not done.done()
        storing.commit()
        assert done.result().tables == "current"
    assert opened.migrations.state() == "current"


def test_an_index_that_a_killed_upgrade_left_half_built_is_built_anew(
    opened: SqlLedger, empty_database_url: str
) -> None:
    if empty_database_url.startswith("sqlite"):
        pytest.skip("an index of SQLite is there or not")
    upgrade_to(empty_database_url, "0001")
    ledger.change(empty_database_url, "CREATE INDEX ix_conversions_state ON conversions (state, created_at)")
    ledger.change(
        empty_database_url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_conversions_state'::regclass"
    )
    opened.migrations.upgrade()
    assert ledger.query(empty_database_url, "SELECT * FROM pg_index WHERE NOT indisvalid") == []


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_filled_ledger_gets_the_indexes_that_a_fresh_one_has(
    engine: Engine, empty_database_url: str, at_once: int
) -> None:
    upgrade_to(empty_database_url, "0001")
    there = inspect(engine).get_table_names()
    later = [table for table in GROWING if table not in there]
    fill(empty_database_url, 500, without=later)
    ledgers = [SqlLedger(driver_url(empty_database_url)) for _ in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        assert [one.tables for one in pool.map(lambda one: one.migrations.upgrade(), ledgers)] == ["current"] * at_once
    with ledgers[0].database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    for one in ledgers:
        one.close()


def test_since_when_somebody_was_linked_before_that_was_kept_is_in_the_audit(
    opened: SqlLedger, empty_database_url: str
) -> None:
    upgrade_to(empty_database_url, "0017")
    for name, subject in (("ann", "'s-1'"), ("bo", "'s-2'"), ("cy", "NULL")):
        user = f"'{name}', '{name}@example.com', 'viewer', 1, '', 'https://id.example.com', {subject}"
        columns = "id, email, role, created_at, zone, issuer, subject"
        ledger.change(empty_database_url, f"INSERT INTO users ({columns}) VALUES ({user})")
    for at, what, name in (
        (1_000_000, "single sign-on linked", "ann"),
        (2_000_000, "single sign-on linked", "ann"),
        (3_000_000, "sign in", "ann"),
        (4_000_000, "user added by single sign-on", "cy"),
    ):
        line = f"{at}, '', '{what}', '{name}@example.com', ''"
        ledger.change(empty_database_url, f"INSERT INTO audit (at, who, what, of_what, from_where) VALUES ({line})")
    opened.migrations.upgrade()
    linked = [one.linked_at and one.linked_at.timestamp() for one in opened.users.every()]
    assert linked == [2.0, None, None]


def test_what_look_ups_said_of_several_people_before_it_had_a_lifetime_is_asked_for_again(
    opened: SqlLedger, empty_database_url: str
) -> None:
    upgrade_to(empty_database_url, "0022")
    numbers = {"lookup": "+14155550101", "import": "+14155550102"}
    for row, (source, phone) in enumerate(numbers.items(), 1):
        values = f"{row}, '{source}', 'crm', '', 1, 0, 0, 0, 0"
        columns = "id, source, name, run, started_at, added, changed, unchanged, retired"
        ledger.change(empty_database_url, f"INSERT INTO imports ({columns}) VALUES ({values})")
        values = f"{row}, '{phone}', 2, 1000000, {row}"
        columns = "id, phone, people, from_at, brought_by"
        ledger.change(empty_database_url, f"INSERT INTO customer_rows ({columns}) VALUES ({values})")
        values = f"'{phone}', 2, 1000000, {row}"
        ledger.change(
            empty_database_url, f"INSERT INTO shared_numbers (phone, people, changed_at, row_id) VALUES ({values})"
        )
    opened.migrations.upgrade()
    now = opened.clock()
    assert set(opened.fresh_numbers(list(numbers.values()), now)) == {numbers["import"]}
    due = ledger.query(empty_database_url, "SELECT phone, state, due_at FROM lookups")
    assert due == [{"phone": numbers["lookup"], "state": "unknown", "due_at": 1000000}]


# What this version says about tables that it did not make


@pytest.fixture
def opened(empty_database_url: str) -> Iterator[SqlLedger]:
    made = SqlLedger(driver_url(empty_database_url))
    yield made
    made.close()


def test_a_revision_that_is_not_known_is_ahead_and_an_upgrade_leaves_it(
    opened: SqlLedger, empty_database_url: str
) -> None:
    opened.migrations.upgrade()
    ledger.change(empty_database_url, "ALTER TABLE calls ADD COLUMN noted TEXT")
    ledger.change(empty_database_url, "UPDATE alembic_version SET version_num = '9999'")
    assert opened.migrations.state() == "ahead"
    done = opened.migrations.upgrade()
    assert (done.before, done.after, done.tables) == ("9999", "9999", "ahead")


def test_several_unknown_revisions_at_once_are_ahead_too(opened: SqlLedger, empty_database_url: str) -> None:
    opened.migrations.upgrade()
    ledger.change(empty_database_url, "INSERT INTO alembic_version (version_num) VALUES ('9999')")
    assert opened.migrations.state() == "ahead"
    assert opened.migrations.upgrade().tables == "ahead"


def test_another_programs_database_is_not_taken_for_ours(opened: SqlLedger, empty_database_url: str) -> None:
    """A shared Postgres whose alembic_version belongs to somebody else."""
    opened.database.create()
    ledger.change(empty_database_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    ledger.change(empty_database_url, "INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    assert opened.migrations.state() == "foreign"
    assert opened.migrations.upgrade().tables == "foreign"
    assert "callbacks" not in str(ledger.query(empty_database_url, "SELECT * FROM alembic_version"))


def test_a_newer_version_that_took_away_what_we_need_is_not_ahead(opened: SqlLedger, empty_database_url: str) -> None:
    opened.migrations.upgrade()
    ledger.change(empty_database_url, "ALTER TABLE calls DROP COLUMN legs")
    ledger.change(empty_database_url, "UPDATE alembic_version SET version_num = '9999'")
    assert opened.migrations.state() == "foreign"


def test_tables_that_are_not_there_are_empty_or_missing(opened: SqlLedger, empty_database_url: str) -> None:
    is_sqlite = empty_database_url.startswith("sqlite")
    assert opened.migrations.state() == ("missing" if is_sqlite else "empty")
    opened.database.create()
    assert opened.migrations.state() == "empty"


def test_a_database_that_does_not_answer_has_no_state() -> None:
    nowhere = SqlLedger("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(LedgerUnavailable):
        nowhere.migrations.state()
