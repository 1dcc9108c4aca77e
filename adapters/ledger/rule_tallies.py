"""The sums of calls by the rule that decided each, by the hour and by the UTC day. Whose call it is that changes them, and by
how much, is known to tallies.py alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, text

from offhook.adapters.ledger.rows import insert
from offhook.adapters.ledger.schema import HOUR, micros, moment, rule_tallies
from offhook.pipeline.counting import RuleTally, Ruling

OF_RULES = (
    "SELECT 0, t.rule, t.asked, t.state, t.reason, CAST(sum(t.calls) AS bigint) FROM rule_tallies AS t "
    "WHERE t.hours = {hours} AND t.begins >= {since} AND t.begins < {until} GROUP BY t.rule, t.asked, t.state, t.reason"
)
"""The sums of a time by the hour (`{hours}` is 1) or by the day (24)."""
_ADDED = (
    "ON CONFLICT (hours, begins, rule, asked, state, reason) DO UPDATE SET calls = rule_tallies.calls + excluded.calls"
)
_OF_A_DAY = (
    "DELETE FROM rule_tallies WHERE hours = 24 AND begins = :day",
    "INSERT INTO rule_tallies (hours, begins, rule, asked, state, reason, calls) "
    "SELECT 24, :day, rule, asked, state, reason, sum(calls) FROM rule_tallies "
    "WHERE hours = 1 AND begins >= :day AND begins < :until GROUP BY rule, asked, state, reason",
)
_CALLS = (
    f"SELECT at / {HOUR}, rule, rule_state, rule_reason, count(*) FROM outcomes "
    "WHERE at >= :since AND at < :until AND rule_state IS NOT NULL GROUP BY 1, 2, 3, 4"
)


class RuleCell(NamedTuple):
    """The sum that a call is part of, in the hour and in its day."""

    hour: datetime
    ruling: Ruling


def add_by_rule(connection: Connection, changes: Mapping[RuleCell, int]) -> None:
    """Everybody in one order, so that nobody who waits for another is waited for by him."""
    sums = Counter[tuple[int, datetime, str, int, str, str]]()
    for (hour, ruling), change in changes.items():
        place = (ruling.rule or "", int(ruling.rule is not None), ruling.state, ruling.reason)
        sums[1, hour, *place] += change
        sums[24, hour.replace(hour=0), *place] += change
    rows = [_row(place, change) for place, change in sorted(sums.items()) if change]
    insert(rule_tallies, rows, _ADDED).run(connection)


def _row(place: tuple[object, ...], change: int) -> dict[str, object]:
    names = ("hours", "begins", "rule", "asked", "state", "reason")
    return {**dict(zip(names, place, strict=True)), "calls": change}


def put_right(connection: Connection, day: datetime, since: datetime) -> set[datetime]:
    """Have the sums of a day's hours from `since` on be those of its calls, and the day's those of its hours. Returns the hours
    that were wrong. Nobody else may change any meanwhile.
    """
    until = day + timedelta(days=1)
    stood, right = _kept(connection, since, until), _counted(connection, since, until)
    changes = {cell: right[cell] - stood[cell] for cell in {*right, *stood}}
    wrong = {cell: change for cell, change in changes.items() if change}
    add_by_rule(connection, wrong)
    for statement in _OF_A_DAY:
        connection.execute(text(statement), {"day": micros(day), "until": micros(until)})
    return {cell.hour for cell in wrong}


def _kept(connection: Connection, since: datetime, until: datetime) -> Counter[RuleCell]:
    table = rule_tallies.c
    rows = connection.execute(select(rule_tallies).where(table.hours == 1, table.begins >= since, table.begins < until))
    return Counter({RuleCell(row.begins, _ruling(row)): row.calls for row in rows})


def _counted(connection: Connection, since: datetime, until: datetime) -> Counter[RuleCell]:
    found = Counter[RuleCell]()
    for number, rule, state, reason, calls in connection.execute(
        text(_CALLS), {"since": micros(since), "until": micros(until)}
    ):
        hour = moment(number * HOUR)
        assert hour is not None
        found[RuleCell(hour, Ruling(rule, state, reason))] = calls
    return found


def _ruling(row: Any) -> Ruling:
    return Ruling(row.rule if row.asked else None, row.state, row.reason)


def rule_sums(rows: Iterable[Any]) -> list[RuleTally]:
    """What the parts of a time come to together."""
    sums = Counter[tuple[str, int, str, str]]()
    for rule, asked, state, reason, calls in rows:
        sums[rule, asked, state, reason] += calls
    return [
        RuleTally(rule if asked else None, state, reason, calls)
        for (rule, asked, state, reason), calls in sorted(sums.items())
        if calls
    ]
