"""Who has a number, asked of a mapping with 10,000,000 customers: one number at a time, in this process, and 200 at once.

Nine of ten numbers are in the mapping, drawn from all of it; no number is asked for twice. The floor is a bare SELECT of the
same row by its primary key, by the driver on the same connection. All take turns in short rounds. The rows are written by the
database itself. 10,000,000 of them take some 3 GB of disk in each database, and some minutes.

Asked for: a p99 of at most 1 ms. CPU is that of the asking thread: SQLite works in it, and Postgres beside it. On a machine that
is shared, the p99 of the clock is how long others have the core.
"""

from __future__ import annotations

import random
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bulk import Sql, in_bulk
from report import Report, Table, asked, options, ratio, say
from rig import databases, filesystem, folder, kinds, percentile

from offhook.adapters.ledger.store import SqlLedger

FIRST = 12_012_000_000
STRANGERS_FROM = 13_012_000_000  # in no mapping
CHUNK = 1_000_000
AT_ONCE = 200  # as many as a round of deciding asks for
ROUNDS = 20
MOST = 20_000_000
Look = Callable[[Collection[str]], object]


def fill(sql: Sql, count: int) -> None:
    begun = time.monotonic()
    now = time.time_ns() // 1000
    with in_bulk(sql):
        for low in range(0, count, CHUNK):
            high = min(count, low + CHUNK)
            series = "WITH RECURSIVE series (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM series WHERE n < ?)"
            if not sql.is_sqlite:
                series = "WITH series (n) AS (SELECT generate_series(?::bigint, ?::bigint))"
            sql.rows(
                f"INSERT INTO customers (phone, email, customer_id, attributes, row_id, changed_at) {series} "
                f"SELECT '+' || ({FIRST} + n), 'customer' || n || '@example.com', 'C' || n, "
                f'\'{{"tier": "gold"}}\', n, {now} FROM series',
                (low, high - 1),
            )
            say(f"  {high:,} of {count:,} customers made")
    say(f"  filled in {time.monotonic() - begun:.0f} s")


def numbers(count: int, questions: int) -> list[str]:
    draw = random.Random(20_261_127)
    known = [f"+{FIRST + n}" for n in draw.sample(range(count), questions - questions // 10)]
    strangers = [f"+{STRANGERS_FROM + n}" for n in draw.sample(range(count), questions // 10)]
    found = known + strangers
    draw.shuffle(found)
    return found


@contextmanager
def bare(ledger: SqlLedger) -> Iterator[Look]:
    """The driver's own connection, inside a transaction like the others'."""
    mark = "?" if ledger.database.is_sqlite else "%s"
    statement = f"SELECT phone, email, customer_id, attributes, row_id, fresh_until, changed_at FROM customers WHERE phone = {mark}"
    with ledger.database.read() as connection:
        raw: Any = connection.connection.driver_connection
        yield lambda phones: [raw.execute(statement, (phone,)).fetchone() for phone in phones]


@contextmanager
def deciding(ledger: SqlLedger) -> Iterator[Look]:
    """As a decision asks: in the bookkeeper's turn, together with the version of the mapping."""
    with ledger.books() as books:
        assert books is not None
        yield books.customers


@contextmanager
def alone(ledger: SqlLedger) -> Iterator[Look]:
    """As a command, the API and a look-up ask: a transaction of its own."""
    yield ledger.find_customers


WAYS = {"a bare SELECT (floor)": bare, "in a round of deciding": deciding, "in a transaction of its own": alone}


Taken = tuple[float, float]  # milliseconds of one question: by the clock, and of CPU


def timed(look: Look, phones: list[str], at_once: int) -> list[Taken]:
    found = []
    for first in range(0, len(phones), at_once):
        some = set(phones[first : first + at_once])
        begun, worked = time.perf_counter(), time.thread_time()
        look(some)
        worked, took = time.thread_time() - worked, time.perf_counter() - begun
        found.append((took * 1000, worked * 1000))
    return found


def measure(ledger: SqlLedger, phones: list[str], at_once: int) -> dict[str, list[Taken]]:
    """Of each way; each of the numbers is asked for by one of them."""
    figures: dict[str, list[Taken]] = {name: [] for name in WAYS}
    turn = len(phones) // (ROUNDS * len(WAYS))
    turns = iter(range(0, len(phones), turn))
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            first = next(turns)
            with way(ledger) as look:
                look([phones[first]])  # the connection is there, and the statement was made
                figures[name] += timed(look, phones[first + 1 : first + turn], at_once)
    return figures


def table(kind: str, at_once: int, figures: dict[str, list[Taken]]) -> Table:
    floor, *_ = (sorted(took for took, _ in taken) for taken in figures.values())
    rows = []
    for name, taken in figures.items():
        ordered, worked = sorted(took for took, _ in taken), sorted(cpu for _, cpu in taken)
        p50 = percentile(ordered, 0.5)
        row = (name, len(ordered), p50, percentile(ordered, 0.99), ratio(p50, percentile(floor, 0.5)))
        rows.append((*row, percentile(worked, 0.5), percentile(worked, 0.99)))
    many = "one number" if at_once == 1 else f"{at_once} numbers at once"
    return Table(
        f"{kind}, {many}", ("", "questions", "p50 ms", "p99 ms", "p50 of the floor", "CPU p50 ms", "CPU p99 ms"), rows
    )


def run(kind: str, arguments: Namespace, report: Report) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        url = stack.enter_context(databases(kind, place))("look_up", arguments.code)
        say(f"{kind}: in {place} ({filesystem(place)})")
        sql = Sql(url)
        fill(sql, arguments.customers)
        sql.close()
        ledger = SqlLedger(url)
        stack.callback(ledger.close)
        phones = numbers(arguments.customers, arguments.questions)
        half = len(phones) // 2
        timed(ledger.find_customers, numbers(arguments.customers, 1000), 1)
        report.add(table(kind, 1, measure(ledger, phones[:half], 1)))
        report.add(table(kind, AT_ONCE, measure(ledger, phones[half:], AT_ONCE)))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--customers", type=int, default=10_000_000, help=f"at most {MOST:,}")
    parser.add_argument("--questions", type=int, default=60_000, help="numbers that are asked for, half of them alone")
    arguments = asked(parser)
    arguments.customers = max(1000, min(arguments.customers, MOST))
    arguments.questions = max(1000, min(arguments.questions, arguments.customers // 2, 1_000_000))
    report = Report(arguments)
    for kind in kinds(arguments.database):
        run(kind, arguments, report)


if __name__ == "__main__":
    main()
