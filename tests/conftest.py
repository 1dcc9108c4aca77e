"""What tests share: real databases, a signed caller. Nothing of Offhook is imported before a test asks for it."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from tests.support.needed import left_out, require
from tests.support.twilio import Twilio

if TYPE_CHECKING:
    from tests.support.dashboard import Site
    from tests.support.lent import Lent
    from tests.support.postgres import PostgresServer


pytest_plugins = ["offhook.pytest_offhook", "pytester"]  # our own tests use what others install
# A machine that is busy is no fault of what is tested, so no example has a deadline, nor has the making of examples, which
# `too_slow` bounds by the clock. A fixture may be shared by the examples of a test: each begins with what it needs anew.
_HEALTH = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
# In CI the examples are the same at every run, and a change is judged by what it changes; `make soak` looks where nobody
# looked before, and at twice as many.
for _name, _is_the_same, _examples in (("ci", True, 50), ("random", False, 100)):
    hypothesis_settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        derandomize=_is_the_same,
        print_blob=True,
        suppress_health_check=_HEALTH,
    )
# For tests/mutants.py: whether an example fails is all that is asked, and the smallest one takes minutes to find.
hypothesis_settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=_HEALTH,
)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") == "true" else "random")
logging.raiseExceptions = False  # the Postgres wheel logs as Python exits, when there is nothing left to write to


_WAITS = ("test_rockerbox_client.py",)  # for one deadline after another, without a use for a processor


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where unit tests alone are wanted, files that have none are not read: each process of the runner reads all that are."""
    if not config.option.markexpr.startswith("unit") or not collection_path.match("test_*.py"):
        return None
    return None if "mark.unit" in collection_path.read_text(encoding="utf-8") else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is `mostly` of one database takes its turn on the other in `make soak`. The quick tests come first."""
    for item in items:
        mostly = item.get_closest_marker("mostly")
        turn = {"sqlite", "postgres"}.intersection(_words(getattr(item, "callspec", None)))
        if mostly and turn.difference(mostly.args):
            item.add_marker(pytest.mark.soak)
    slow = {item.path for item in items if not item.get_closest_marker("unit")}
    # Of them, too, those of few tests are on real servers and take longest: begun last they would have the other processes wait.
    tests_of = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in _WAITS, item.path in slow, tests_of[item.path], str(item.path)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was left out is not to be looked for between what passed."""
    if lines := left_out(terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("left out")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


def _words(parameters: object) -> list[str]:
    """What a test is called with here, as far as it is text."""
    return [value for value in getattr(parameters, "params", {}).values() if isinstance(value, str)]


def running_postgres() -> Iterator[PostgresServer]:
    """Where there is none the test is skipped, but in CI it fails."""
    try:
        from tests.support.postgres import PostgresServer
    except ImportError as error:
        require(False, f"needs a real Postgres: pip install -r requirements-dev.txt ({error})")
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres for the whole run: no test may stop it, nor change what holds for all of its databases."""
    yield from running_postgres()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A real Postgres that this test may stop and change."""
    yield from running_postgres()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for 127.0.0.1 and the certificate to trust."""
    from tests.sinks import self_signed

    require(shutil.which("openssl"), "TLS is not tried: there is no `openssl` command to make a certificate with")
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without any table: each test runs on SQLite and on Postgres. For `database_url`, which has its own, there
    is none.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/offhook.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.unused_url() if "database_url" in request.fixturenames else server.fresh_database()


def _with_tables(url: str) -> str:
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.settings import given

    ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
    ledger.migrations.upgrade()
    ledger.close()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the ledger's tables, to be copied: to migrate each one anew takes five times as long."""
    return _with_tables(f"sqlite:///{tmp_path_factory.mktemp('template')}/offhook.db")


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The same on Postgres."""
    return _with_tables(postgres.fresh_database())


def give_tables(url: str, request: pytest.FixtureRequest) -> str:
    """A file of SQLite with the ledger's tables, where there is none yet. Gives its address back."""
    template: str = request.getfixturevalue("sqlite_template")
    shutil.copyfile(template.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
    return url


@pytest.fixture(scope="session")
def lent_databases(postgres: PostgresServer, postgres_template: str) -> Lent:
    """Those of Postgres that tests have one after another."""
    from tests.support.lent import Lent

    return Lent(postgres, postgres_template)


@pytest.fixture
def database_url(empty_database_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database with the ledger's tables, or one of Postgres that is as a fresh one."""
    if empty_database_url.startswith("sqlite"):
        yield give_tables(empty_database_url, request)
        return
    lent: Lent = request.getfixturevalue("lent_databases")
    with lent.one() as url:
        yield url


@pytest.fixture
def offhook_database_url(database_url: str) -> str:
    """The plugin's pipeline runs on both databases."""
    return database_url


@pytest.fixture
def signed() -> Callable[[int], Twilio]:
    """port -> a caller whose callbacks are signed by Offhook's own `sign`."""
    from offhook.adapters.twilio.signature import sign

    return lambda port: Twilio(port, sign=sign)


@pytest.fixture(scope="session")
def site(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running dashboard with a user of each role; nobody takes these three away. It is empty but for what tests put there."""
    from tests.support.dashboard import Site

    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), folder / "offhook.db")
    made = Site(f"sqlite:///{folder}/offhook.db", folder)
    made.web.start()
    yield made
    made.close()


def _made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A file that all processes of the runner share. The first that wants it makes it, while the others wait."""
    own = tmp_path_factory.getbasetemp()
    path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
    return path


@pytest.fixture(scope="session")
def filled(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running dashboard with the demonstration's month of calls, which no test changes."""
    from offhook.adapters.commands.demonstration import RULES
    from tests.support.dashboard import Site
    from tests.support.demonstration import month_of_calls

    def fill(month: Path) -> None:
        shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), month)
        month_of_calls(f"sqlite:///{month}", month.parent)

    folder = tmp_path_factory.mktemp("filled")
    shutil.copyfile(_made_once(tmp_path_factory, "month.db", fill), folder / "offhook.db")
    made = Site(f"sqlite:///{folder}/offhook.db", folder, OFFHOOK_RULES=RULES)
    made.web.start()
    yield made
    made.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium, by playwright."""
    from tests.support.browser import chromium

    with chromium() as opened:
        yield opened
