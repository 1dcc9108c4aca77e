"""What `CallerSource` promises: by HTTP against a real server, by SQL on SQLite and Postgres, and the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from offhook.adapters.customers.asking_http import HttpLimits, HttpQuestion, HttpSource
from offhook.adapters.customers.asking_sql import SqlLimits, SqlQuestion, SqlSource
from offhook.pipeline.look_up import Found, Later, NotThere
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.reasons import OF_LOOK_UPS, known
from tests import sinks
from tests.conftest import running_postgres
from tests.fakes.caller_source import MemorySource
from tests.support.crm import fill_shop, knows
from tests.support.ledger import change

ANN, BO, TWO, NAMELESS, NOBODY = (f"+1415555010{number}" for number in range(5))
PEOPLE: dict[str, list[dict[str, str | None]]] = {
    ANN: [{"email": "ann@example.com", "customer_id": "C1", "tier": "gold"}],
    BO: [{"email": None, "customer_id": "C2", "tier": None}],
    TWO: [{"email": "cy@example.com", "customer_id": None}, {"email": "di@example.com", "customer_id": None}],
    NAMELESS: [{"email": None, "customer_id": None, "tier": "gold"}],
}
if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

URL = "?phone={phone}"
SQL = "SELECT email, customer_id, tier FROM people WHERE phone = :phone"


@dataclass(frozen=True, slots=True)
class Side:
    """A source, and what makes its other side fail and work again."""

    source: CallerSource
    breaks: Callable[[], None]
    works: Callable[[], None]


@pytest.fixture(scope="module")
def shops_postgres() -> Iterator[PostgresServer]:
    """A server that these tests may stop, as long as each of them leaves it running."""
    yield from running_postgres()


@pytest.fixture(params=["memory", "http", "sqlite", "postgres"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    match request.param:
        case "memory":
            yield from _memory()
        case "http":
            yield from _http()
        case "sqlite":
            yield from _sqlite(tmp_path / "shop.db")
        case _:
            yield from _postgres(request.getfixturevalue("shops_postgres"))


def _memory() -> Iterator[Side]:
    people = {
        phone: [
            Found(one["email"], one["customer_id"], {"tier": str(one["tier"])} if one.get("tier") else {})
            for one in several
        ]
        for phone, several in PEOPLE.items()
    }
    source = MemorySource(people)

    def break_it() -> None:
        source.trouble = Later("http_500")

    def mend_it() -> None:
        source.trouble = None

    yield Side(source, break_it, mend_it)


def _http() -> Iterator[Side]:
    with sinks.Sink(knows(PEOPLE)) as sink:
        question = HttpQuestion(
            sink.url + URL, record="$.results", email="$.email", id="$.customer_id", attributes={"tier": "$.tier"}
        )
        with closing(HttpSource("crm", question, HttpLimits())) as source:
            yield Side(source, lambda: sink.behave(sinks.answer(503)), lambda: sink.behave(knows(PEOPLE)))


def _sqlite(file: Path) -> Iterator[Side]:
    url = f"sqlite:///{file}"
    fill_shop(url, PEOPLE)

    def break_it() -> None:
        change(url, "ALTER TABLE people RENAME TO aside")

    def mend_it() -> None:
        change(url, "ALTER TABLE aside RENAME TO people")

    with closing(SqlSource("crm", SqlQuestion(url, SQL), SqlLimits())) as source:
        yield Side(source, break_it, mend_it)


def _postgres(server: PostgresServer) -> Iterator[Side]:
    url = server.fresh_database()
    fill_shop(url, PEOPLE)
    with closing(SqlSource("crm", SqlQuestion(url, SQL), SqlLimits())) as source:
        yield Side(source, server.stop, server.start)


def test_it_is_called_what_it_was_named(side: Side) -> None:
    assert side.source.name == "crm"


def test_who_has_a_number_is_found_with_all_that_is_known(side: Side) -> None:
    assert side.source.find(ANN) == Found("ann@example.com", "C1", {"tier": "gold"})
    assert side.source.find(BO) == Found(None, "C2")


def test_a_number_that_nobody_has_is_not_there(side: Side) -> None:
    assert side.source.find(NOBODY) == NotThere()


def test_somebody_without_email_and_id_is_nobody(side: Side) -> None:
    assert side.source.find(NAMELESS) == NotThere()


def test_of_several_nobody_is_named(side: Side) -> None:
    answer = side.source.find(TWO)
    assert answer == Found(None, None, people=2)
    assert isinstance(answer, Found)
    assert answer.others == tuple((one["email"], one["customer_id"]) for one in PEOPLE[TWO])


def test_trouble_is_later_and_never_nobody_and_when_it_is_over_it_is_over(side: Side) -> None:
    assert side.source.find(ANN) == Found("ann@example.com", "C1", {"tier": "gold"})
    side.breaks()
    for phone in (ANN, NOBODY):
        answer = side.source.find(phone)
        assert isinstance(answer, Later)
        assert known(answer.reason, OF_LOOK_UPS) is not None, answer
    side.works()
    assert side.source.find(NOBODY) == NotThere()
    assert isinstance(side.source.find(ANN), Found)


def test_many_may_ask_at_once(side: Side) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(side.source.find, [ANN, NOBODY] * 20))
    assert answers == [Found("ann@example.com", "C1", {"tier": "gold"}), NotThere()] * 20


def test_a_source_is_closed_whether_it_was_asked_or_not(side: Side) -> None:
    for _ in range(2):
        side.source.close()


def test_a_source_that_was_asked_is_closed(side: Side) -> None:
    assert isinstance(side.source.find(ANN), Found)
    side.source.close()
