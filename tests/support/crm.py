"""Other people's systems that know who has a number: a CRM that answers by HTTP, a shop's database. Imports nothing of Offhook."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import psycopg

from tests import sinks

Row = Mapping[str, object]
People = Mapping[str, Sequence[Row]]


def knows(people: People) -> sinks.Behaviour:
    """Answers `?phone=` with the list of those who have the number."""

    def behave(exchange: sinks.Exchange) -> bool:
        [phone] = parse_qs(urlsplit(exchange.seen.path).query)["phone"]
        body = json.dumps({"results": list(people.get(phone, ()))}).encode()
        return sinks.answer(200, body, {"Content-Type": "application/json"})(exchange)

    return behave


def knows_or_404(people: People) -> sinks.Behaviour:
    """Answers `?phone=` with whoever has the number, or 404."""

    def behave(exchange: sinks.Exchange) -> bool:
        [phone] = parse_qs(urlsplit(exchange.seen.path).query)["phone"]
        if phone not in people:
            return sinks.answer(404, b'{"error":"not found"}')(exchange)
        return sinks.answer(200, json.dumps(people[phone][0]).encode())(exchange)

    return behave


def fill_shop(url: str, people: People) -> None:
    """A table `people` with phone, email, customer_id and tier, in a SQLite file or on Postgres.

    All in one transaction: a table that stands there without its rows says of everybody that nobody has the number.
    """
    rows = [
        (phone, one.get("email"), one.get("customer_id"), one.get("tier"))
        for phone, several in people.items()
        for one in several
    ]
    create = "CREATE TABLE people (phone TEXT, email TEXT, customer_id TEXT, tier TEXT)"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as shop:
            shop.execute("BEGIN")
            shop.execute(create)
            shop.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
            shop.execute("COMMIT")
        return
    with psycopg.connect(url) as postgres:
        postgres.execute(create)
        with postgres.cursor() as cursor:
            cursor.executemany("INSERT INTO people VALUES (%s, %s, %s, %s)", rows)
