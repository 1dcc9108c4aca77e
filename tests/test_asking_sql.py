"""A source that is asked by SQL: the number is bound, nothing is written, and the time limit holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offhook.adapters.customers.asking_sql import SqlLimits, SqlQuestion, SqlSource
from offhook.pipeline.look_up import Answer, Found, Later, NotThere
from tests.support import ledger as by_hand
from tests.support.crm import Row, fill_shop
from tests.support.waiting import wait_until

PHONE = "+14155550100"
PEOPLE: dict[str, list[Row]] = {
    PHONE: [{"email": "ann@example.com", "customer_id": "C1", "tier": "gold"}],
    "4155550101": [{"email": "bo@example.com", "customer_id": None}],
}
Ask = Callable[..., SqlSource]


@pytest.fixture
def shop(empty_database_url: str) -> str:
    """Somebody's database, on SQLite and on Postgres, with PEOPLE in it."""
    fill_shop(empty_database_url, PEOPLE)
    return empty_database_url


@pytest.fixture
def ask() -> Iterator[Ask]:
    made: list[SqlSource] = []

    def to(url: str, sql: str, seconds: float = 5.0, at_once: int = 8) -> SqlSource:
        made.append(SqlSource("shop", SqlQuestion(url, sql), SqlLimits(seconds, at_once)))
        return made[-1]

    yield to
    for one in made:
        one.close()


SELECT = "SELECT email, customer_id, tier FROM people WHERE phone IN (:phone, :national)"


def test_a_number_is_found_in_either_spelling(shop: str, ask: Ask) -> None:
    source = ask(shop, SELECT)
    assert source.find(PHONE) == Found("ann@example.com", "C1", {"tier": "gold"})
    assert source.find("+14155550101") == Found("bo@example.com", None)
    assert source.find("+14155550102") == NotThere()


def test_what_is_asked_is_bound_and_no_part_of_the_statement(shop: str, ask: Ask) -> None:
    assert ask(shop, SELECT).find("' OR '1'='1") == NotThere()
    assert by_hand.count(shop, "people") == 2


def test_an_id_may_be_a_number_and_columns_may_be_called_as_one_likes(shop: str, ask: Ask) -> None:
    found = ask(shop, "SELECT 17 AS id, 2.5 AS score, 3.0 AS orders, NULL AS x WHERE :digits <> ''").find(PHONE)
    assert found == Found(None, "17", {"score": "2.5", "orders": "3"})


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM people WHERE phone = :phone RETURNING email",
        "INSERT INTO people (phone) VALUES (:phone) RETURNING email",
        "UPDATE people SET email = 'x' WHERE phone = :phone RETURNING email",
    ],
)
def test_nothing_is_written_whatever_the_statement_says(shop: str, ask: Ask, sql: str) -> None:
    before = by_hand.query(shop, "SELECT * FROM people ORDER BY phone")
    answer = ask(shop, sql).find(PHONE)
    assert isinstance(answer, Later) and answer.reason in ("sql_failed", "sql_unreachable")
    assert by_hand.query(shop, "SELECT * FROM people ORDER BY phone") == before


def test_a_statement_that_fails_or_answers_something_else_is_later(shop: str, ask: Ask) -> None:
    assert reason(ask(shop, "SELECT email FROM nothing WHERE phone = :phone").find(PHONE)) in (
        "sql_failed",
        "sql_unreachable",  # SQLite calls both an OperationalError
    )
    assert reason(ask(shop, "SELECT tier FROM people WHERE phone = :phone").find(PHONE)) == "no_customer_in_answer"


def reason(answer: Answer) -> str:
    assert isinstance(answer, Later), answer
    return answer.reason


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id FROM n WHERE :phone <> ''",
    "postgresql": "SELECT 'x' AS email, pg_sleep(86400)::text AS id WHERE :phone <> ''",
}


def test_a_question_that_does_not_end_is_left_in_time_and_the_next_one_is_answered(shop: str, ask: Ask) -> None:
    kind = shop.partition(":")[0]
    assert ask(shop, ENDLESS[kind], 0.3).find(PHONE).reason == "deadline"  # type: ignore[union-attr]
    assert isinstance(ask(shop, SELECT).find(PHONE), Found)
    if kind == "postgresql":  # the server itself has stopped working at it
        running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT ''x'' AS email%'"
        wait_until(lambda: by_hand.query(shop, running) == [])


def test_a_locked_table_is_later(shop: str, ask: Ask) -> None:
    if shop.startswith("sqlite"):
        pytest.skip("nobody can lock a reader out for long")
    import psycopg

    with psycopg.connect(shop) as other:
        other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        assert reason(ask(shop, SELECT, 0.3).find(PHONE)) == "deadline"


def test_a_file_that_is_not_there_is_later_and_is_not_made(tmp_path: Path, ask: Ask) -> None:
    missing = tmp_path / "no shop.db"
    assert reason(ask(f"sqlite:///{missing}", SELECT).find(PHONE)) == "sql_unreachable"
    assert not missing.exists()


def test_a_file_that_is_named_by_a_uri_of_sqlite_s_is_read_only_too(tmp_path: Path, ask: Ask) -> None:
    fill_shop(f"sqlite:///{tmp_path}/shop.db", PEOPLE)
    url = f"sqlite:///file:{tmp_path}/shop.db?uri=true"
    assert isinstance(ask(url, SELECT).find(PHONE), Found)
    assert isinstance(ask(url, "DELETE FROM people WHERE phone = :phone RETURNING email").find(PHONE), Later)


def test_a_host_that_is_dead_is_later(ask: Ask) -> None:
    from tests.sinks import closed_port, full_backlog

    source = ask(f"postgresql://u:s3cret@127.0.0.1:{closed_port()}/x", SELECT)
    answer = source.find(PHONE)
    assert reason(answer) == "sql_unreachable"
    assert "s3cret" not in f"{answer!r} {source!r}"
    with full_backlog() as port:
        assert reason(ask(f"postgresql://u@127.0.0.1:{port}/x", SELECT, 0.3).find(PHONE)) == "deadline"


def test_what_hangs_takes_no_more_than_its_places(ask: Ask) -> None:
    from tests.sinks import full_backlog

    with full_backlog() as port:
        source = ask(f"postgresql://u@127.0.0.1:{port}/x", SELECT, 0.1, 1)
        reasons = [reason(source.find(PHONE)) for _ in range(4)]
    assert reasons[:2] == ["deadline", "deadline"]
    assert set(reasons[2:]) <= {"sql_hangs", "deadline"}


@pytest.mark.parametrize("sql", ["SELECT email FROM people", "SELECT email FROM people WHERE phone = :number"])
def test_a_statement_that_binds_no_number_is_refused_at_the_start(sql: str) -> None:
    with pytest.raises(ValueError, match=":phone"):
        SqlSource("shop", SqlQuestion("sqlite:///x.db", sql), SqlLimits())


@pytest.mark.parametrize(
    "database", ["", "no url", "sqlite://", "sqlite:///:memory:", "nothing://u:s3cret@h/x", "oracle://u:s3cret@h/x"]
)
def test_a_database_that_cannot_be_asked_is_refused_at_the_start_without_its_password(database: str) -> None:
    with pytest.raises(ValueError, match=r"must be a URL|its driver|cannot be read") as raised:
        SqlSource("shop", SqlQuestion(database, SELECT), SqlLimits())
    assert "s3cret" not in str(raised.value)
