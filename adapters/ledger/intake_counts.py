"""The sums of what was refused or is no callback, among the ledger's counters: a few rows, whatever anybody sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import ADDED, WRITTEN, insert
from offhook.adapters.ledger.schema import counters, micros, moment
from offhook.pipeline.refusals import IntakeSums, Run, joined, unless_over

_SUM, _RUN = "intake/sum/", "intake/run/"
_NO_ACCOUNT = "-"
_LOOKED_AT = 200  # callbacks that came last: enough to see whether an account's are accepted
_ACCEPTED = text(
    "SELECT account_sid, max(received_at) FROM (SELECT account_sid, received_at FROM callbacks "
    f"ORDER BY received_at DESC LIMIT {_LOOKED_AT}) AS newest GROUP BY account_sid"
)


class IntakeCountsTable:
    """`IntakeCounts` of pipeline/ports/intake_counts.py, on the counters table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counts: Mapping[str, int], runs: Sequence[Run]) -> Sequence[Run]:
        """What two processes add to one run at the same moment may be counted once: it is a sum for a person."""
        with self._database.read() as connection:
            accepted = _accepted(connection) if runs else {}
            before = {run.account: run for run in _runs(connection)} if runs else {}
        now = [_after(before.get(run.account), run, accepted) for run in runs]
        sums = [{"name": f"{_SUM}{name}", "value": count} for name, count in sorted(counts.items())]
        rows = [row for run in sorted(now, key=lambda run: run.account) for row in _rows_of(run)]
        with self._database.write() as connection:
            insert(counters, sums, ADDED).run(connection)
            insert(counters, rows, WRITTEN).run(connection)
        return now

    def sums(self) -> IntakeSums:
        with self._database.read() as connection:
            counts = {row.name.removeprefix(_SUM): row.value for row in _named(connection, _SUM)}
            runs = [run for run in _runs(connection) if run.count]
            accepted = _accepted(connection) if runs else {}
        return IntakeSums(counts, [run for run in runs if unless_over(run, accepted)])


def _after(before: Run | None, more: Run, accepted: Mapping[str, datetime]) -> Run:
    """A run with what was added; of 0 when it is over."""
    going_on = unless_over(more, accepted)
    if going_on is None:
        return Run(more.account, 0, more.since, more.last)
    return joined(before if before and before.count and unless_over(before, accepted) else None, going_on)


def _accepted(connection: Connection) -> dict[str, datetime]:
    """When the latest callback of each account came, as far back as it is worth looking."""
    found = {account: moment(at) for account, at in connection.execute(_ACCEPTED)}
    return {account: at for account, at in found.items() if at is not None}


def _named(connection: Connection, prefix: str) -> Iterable[Any]:
    """Read through: there are few, and how a database orders their names is its collation's affair."""
    begins = func.substr(counters.c.name, 1, len(prefix)) == prefix
    statement = select(counters.c.name, counters.c.value).where(begins)
    return connection.execute(statement).all()


def _runs(connection: Connection) -> list[Run]:
    found: dict[str, dict[str, int]] = {}
    for row in _named(connection, _RUN):
        account, _, what = row.name.removeprefix(_RUN).partition("/")
        found.setdefault(account, {})[what] = row.value
    return [run for account, values in found.items() if (run := _run(account, values))]


def _run(account: str, values: Mapping[str, int]) -> Run | None:
    since, last = moment(values.get("since")), moment(values.get("last"))
    if since is None or last is None:
        return None
    return Run(account.replace(_NO_ACCOUNT, ""), values.get("count", 0), since, last)


def _rows_of(run: Run) -> list[dict[str, object]]:
    name = f"{_RUN}{run.account or _NO_ACCOUNT}"
    values = {"count": run.count, "last": micros(run.last), "since": micros(run.since)}
    return [{"name": f"{name}/{what}", "value": value} for what, value in values.items()]
