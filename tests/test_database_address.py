"""DATABASE_URL as providers write it: understood, or named with what to write, and no piece of the password in any of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from offhook.settings import SettingsError, given
from tests.support.processes import environment, flask

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

OURS = "postgresql+psycopg://"


def understood(url: str) -> dict[str, object]:
    """What libpq makes of it."""
    taken = given({"DATABASE_URL": url}).database_url
    assert taken.startswith(OURS)
    return {**conninfo_to_dict(taken.replace(OURS, "postgresql://"))}


def refused(url: str) -> str:
    with pytest.raises(SettingsError) as error:
        given({"DATABASE_URL": url})
    return str(error.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sslmode=no-verify", {"sslmode": "require"}),
        ("sslmode=verify-full&sslrootcert=/etc/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}),
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=1", {"sslmode": "require"}),
        ("ssl=no-verify", {"sslmode": "require"}),
        ("ssl=false", {"sslmode": "prefer"}),
        ("ssl=true&sslmode=verify-full", {"sslmode": "verify-full"}),
        ("sslaccept=accept_invalid_certs", {"sslmode": "require"}),
        ("pgbouncer=true", {}),
        ("pgbouncer=true&connection_limit=1&pool_timeout=20", {}),
        ("prepare_threshold=0", {}),
        ("schema=public", {}),
        ("sslmode=", {}),
        ("application_name=calls&connect_timeout=7", {"application_name": "calls", "connect_timeout": "7"}),
        ("sslmode=require&channel_binding=require", {"sslmode": "require", "channel_binding": "require"}),
        ("target_session_attrs=primary", {"target_session_attrs": "primary"}),
    ],
)
def test_a_parameter_of_other_programs_is_understood(written: str, meant: dict[str, str]) -> None:
    place = {"user": "u", "password": "secret", "host": "db.example.test", "dbname": "offhook"}
    assert understood(f"postgres://u:secret@db.example.test/offhook?{written}") == place | meant


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("schema=calls", "ALTER ROLE"),
        ("currentSchema=calls", "ALTER ROLE"),
        ("target_session_attrs=standby", "target_session_attrs must be read-write"),
        ("targetServerType=primary", "write target_session_attrs=read-write"),
        ("sslmode=please", "write sslmode= and one of disable, allow"),
        ("connect_timeout=soon", "connect_timeout must be a whole number"),
        ("frobnicate=1", "no parameter frobnicate: take it out"),
        ("a b=1", "percent-encoded"),
        ("=1", "name=value"),
    ],
)
def test_a_parameter_that_cannot_work_is_named_with_what_to_write(written: str, remedy: str) -> None:
    assert remedy in refused(f"postgres://u:secret@db.example.test/offhook?{written}")


@pytest.mark.parametrize(
    "kind", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "jdbc:postgresql"]
)
def test_the_name_of_another_driver_is_understood(kind: str) -> None:
    assert understood(f"{kind}://h/d") == {"host": "h", "dbname": "d"}


def test_of_several_hosts_the_one_that_takes_writes_is_meant_unless_something_else_is_said() -> None:
    found = understood("postgres://u:p@one,two:5433/d")
    assert (found["host"], found["port"], found["target_session_attrs"]) == ("one,two", ",5433", "read-write")
    assert understood("postgres://u:p@one,two/d?target_session_attrs=any")["target_session_attrs"] == "any"
    assert "one:5432,two:5433" in refused("postgres://u:p@one,two:5432,5433/d")


def test_a_single_host_may_be_a_name_of_digits() -> None:
    assert understood("postgres://u:p@5433/d")["host"] == "5433"


@pytest.mark.parametrize("place", ["h:port", "h:0", "h:70000", "[::1", "::1"])
def test_a_host_that_cannot_be_is_refused_with_how_it_is_written(place: str) -> None:
    assert "host:5432" in refused(f"postgres://u:p@{place}/d")


@pytest.mark.parametrize("url", ["sqlite://offhook.db", "sqlite://srv/offhook.db"])
def test_a_sqlite_address_with_two_slashes_is_refused_with_how_many_it_needs(url: str) -> None:
    assert "sqlite:///offhook.db" in refused(url)


PASSWORDS = st.text(st.sampled_from("abcXYZ0189@/?#%:[]&=+, "), min_size=8, max_size=20)


@for_all(password=PASSWORDS, query=st.sampled_from(["", "?sslmode=require", "?frobnicate=1", "?schema=x"]))
def test_no_error_holds_a_piece_of_a_password_however_it_is_written(password: str, query: str) -> None:
    secret = f"Q{password}Q"
    url = f"postgresql://user:{secret}@db.example.test:5432/offhook{query}"
    try:
        found = understood(url)
    except SettingsError as error:
        said = str(error)
        pieces = [secret[at : at + 5] for at in range(len(secret) - 4)]
        assert [piece for piece in pieces if piece in said] == []
    else:
        assert found["host"] == "db.example.test", "a part of the password went into the name of the host"


def test_a_providers_address_serves_a_real_postgres(postgres: PostgresServer, tmp_path: Path) -> None:
    url = f"{postgres.fresh_database()}&sslmode=no-verify&pgbouncer=true&connection_limit=1&schema=public&prepare_threshold=0"
    done = flask("db", "upgrade", env=environment(url.replace("postgresql:", "postgres:")), folder=tmp_path)
    assert (done.returncode, "Postgres ledger: empty ->" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    "written",
    [
        "postgres://u:Hidden-5ecret@127.0.0.1:9/d",
        "postgres://u:Hidden-5ecret@127.0.0.1:9,127.0.0.1:10/d?sslmode=no-verify",
        "postgres://u:Hidden-5ecret@no-such-host.invalid/d",
        "postgres://u:Hidden-5ecret@h/d?frobnicate=1",
        "postgres://u:Hidden@5ecret@h/d",
    ],
)
def test_a_command_whose_database_cannot_be_reached_ends_without_a_traceback_and_without_the_password(
    written: str, tmp_path: Path
) -> None:
    done = flask("db", "current", env=environment(written, OFFHOOK_DATABASE_CONNECT_SECONDS="2"), folder=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "Hidden" not in said and "5ecret" not in said


def test_sqlite_waits_for_no_driver_of_postgres() -> None:
    program = (
        "import sys; from offhook.settings import given; given({'DATABASE_URL': 'sqlite:///x.db'}); "
        "print('psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"


_WITHOUT_DRIVER = """
import sys
class NoDriver:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("psycopg"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NoDriver())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "psycopg" else found(name, package)
from offhook.main import main
main()
"""


@pytest.mark.parametrize(
    ("url", "exit_code", "said"),
    [("sqlite:///x.db", 0, "SQLite ledger"), ("postgres://h/d", 2, "pip install 'offhook[postgres]'")],
)
def test_without_the_driver_sqlite_works_and_postgres_says_what_to_install(
    url: str, exit_code: int, said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _WITHOUT_DRIVER, "db", "upgrade"]
    done = subprocess.run(command, env=environment(url), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
