"""What web and worker do when nothing happens: statements and transactions a second, and their share of a core.

Statements are those that Postgres itself logs for the service's connections (BEGIN and COMMIT among them), transactions
those that it counts. And since a long pause is cheap but slow: how long a call waits for its first attempt that comes after
a quiet while. 127.0.0.1 only.

Asked for: 2 statements a second at the most, and the fresh call at the sink within a second.
"""

from __future__ import annotations

import math
import re
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bulk import Sql, wait_drained
from report import Report, asked, compared, options, say, sides
from rig import Template, caller_of, cpu_seconds, databases, folder, kinds, percentile, random_sid
from stand import Stand, closed_loop, stand

_STATEMENT = re.compile(rb"LOG:  (?:statement|execute [^:]*):\s+(\w*)")
_ENDS = (b"BEGIN", b"COMMIT", b"ROLLBACK")
_SETTLED_SECONDS = 3.0  # after a start


@dataclass(frozen=True, slots=True)
class Counted:
    """Since the server's start: statements, those of them that only begin or end a transaction, and transactions."""

    statements: int
    bounds: int
    transactions: int


class PostgresLog:
    """Counts what the service asks of its database: every statement is logged, but for our own connections."""

    def __init__(self, url: str, path: Path) -> None:
        self._path = path
        self._sql = Sql(url)
        name = self._sql.rows("SELECT current_database()")[0][0]
        self._sql.rows(f"ALTER DATABASE {name} SET log_statement = 'all'")
        self._own_transactions = 0

    def count(self) -> Counted:
        words = _STATEMENT.findall(self._path.read_bytes())
        self._sql.rows("SELECT pg_stat_clear_snapshot()")
        counted = self._sql.number(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        self._own_transactions += 2
        bounds = sum(word.upper() in _ENDS for word in words)
        return Counted(len(words), bounds, counted - self._own_transactions)

    def close(self) -> None:
        self._sql.close()


def idle(pid: int, log: PostgresLog | None, seconds: float) -> dict[str, float]:
    """What a process takes in so many seconds in which nothing happens. `pid` is the only one of the service that runs."""
    time.sleep(_SETTLED_SECONDS)
    cpu, begun = cpu_seconds(pid), time.monotonic()
    before = log.count() if log else None
    time.sleep(seconds)
    after, took = log.count() if log else None, time.monotonic() - begun
    figures = {"share of a core, %": (cpu_seconds(pid) - cpu) / took * 100}
    if before and after:
        figures |= {
            "statements/s": (after.statements - before.statements) / took,
            "of them BEGIN, COMMIT, ROLLBACK": (after.bounds - before.bounds) / took,
            "transactions/s, as Postgres counts them": (after.transactions - before.transactions) / took,
        }
    return figures


def fresh(stood: Stand, arguments: Namespace) -> list[float]:
    """Seconds from the 204 to the sink, of calls that come one by one, each after a while of quiet; in order of size."""
    waits, template = [], Template.load()
    for number in range(arguments.calls):
        time.sleep(arguments.pause)
        sid = random_sid(stood.name, "fresh", number)
        closed_loop(stood.port, [template.request_of(sid, caller_of(number))], 30.0, connections=1)
        answered = time.monotonic()
        came = _when(lambda sid=sid: stood.journal.look().get(sid))  # type: ignore[misc]
        waits.append(came - answered)
        wait_drained(stood.sql)
    return sorted(waits)


def _when(found: Callable[[], float | None], seconds: float = 60.0) -> float:
    until = time.monotonic() + seconds
    while (at := found()) is None and time.monotonic() < until:
        time.sleep(0.02)
    return math.inf if at is None else at


def measure(stood: Stand, place: Path, arguments: Namespace) -> dict[str, float]:
    """The stand's web process runs all the while; alone first, and then its own idling is taken off the worker's."""
    log = None if stood.sql.is_sqlite else PostgresLog(stood.env["DATABASE_URL"], place / "postgres" / "log")
    alone = idle(stood.pid, log, arguments.seconds)
    with stood.worker() as pid:
        both = idle(pid, log, arguments.seconds)
        waits = fresh(stood, arguments)
    if log:
        log.close()
    for name in both:
        if "core" not in name:
            both[name] -= alone[name]
    return {
        **{f"worker: {name}": value for name, value in both.items()},
        **{f"web: {name}": value for name, value in alone.items()},
        "a call after a quiet while: 204 to sink, p50 s": percentile(waits, 0.5),
        "a call after a quiet while: 204 to sink, at most s": waits[-1],
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="that each is watched, at most 300")
    parser.add_argument("--calls", type=int, default=10, help="that come in after a quiet while, at most 100")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds of quiet before each, at most 60")
    arguments = asked(parser)
    arguments.seconds, arguments.pause = min(arguments.seconds, 300.0), min(arguments.pause, 60.0)
    arguments.calls = max(1, min(arguments.calls, 100))
    report = Report(arguments)
    for kind in kinds(arguments.database):
        figures = {}
        for side in sides(arguments):
            say(f"{kind}: {side.name or 'code'}")
            with ExitStack() as stack:
                place = stack.enter_context(folder(arguments.folder))
                make = stack.enter_context(databases(kind, place))
                figures[side.name] = measure(stack.enter_context(stand(make, place, side)), place, arguments)
        report.add(compared(f"{kind}: nothing happens for {arguments.seconds:g} s", figures))


if __name__ == "__main__":
    main()
