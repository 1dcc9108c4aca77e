"""Where each call is counted, and the sums of that by the hour. The one place that writes either.

Whoever changes what became of calls calls `count` at the end of the same transaction: it looks where each stands in
`outcomes`, derives from calls, decisions and conversions where it belongs, and moves it from the one sum to the other. So
no writer has to know what was before, and what a writer of another version left out is made good by the next one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, text, tuple_

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import (
    BY_KEY,
    BY_ROOT,
    KEY,
    WRITTEN,
    insert,
    key_of,
    look_up,
    named,
    source,
    with_rows,
)
from offhook.adapters.ledger.schema import (
    calls,
    conversions,
    counters,
    day_tallies,
    decisions,
    legs,
    micros,
    outcomes,
    tallies,
)
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.counting import CallOfTally, Cell, Place, Tally, place_of
from offhook.pipeline.ports.tallies import CountedAnew, Sums
from offhook.pipeline.ports.unavailable import LedgerUnavailable

WHOLE = "tallies_whole"
_HOUR = timedelta(hours=1)
_DAY = 86_400_000_000  # microseconds
_TRIES = 9
_AT_ONCE = 200  # calls in one transaction, so that no callback waits for it

_OF_A_CALL = (
    "account_sid", "call_sid", "state", "first_received_at", "direction", "from_number", "to_number", "legs", "decided_at",
)  # fmt: skip
_OF_A_CONVERSION = ("account_sid", "call_sid", "state", "reason", "created_at")
_OF_A_DECISION = ("account_sid", "call_sid", "id", "reasons")
_OF_A_LEG = ("account_sid", "call_sid", "root_sid")
_OF_AN_OUTCOME = ("account_sid", "call_sid", "at", "number", "outcome", "reason")
_PLACED = {**KEY, "at": "bigint", "number": "text", "outcome": "text", "reason": "text"}
_MOVE = (
    "UPDATE outcomes SET at = v.at, number = v.number, outcome = v.outcome, reason = v.reason FROM {rows} "
    "WHERE outcomes.account_sid = v.account_sid AND outcomes.call_sid = v.call_sid"
)
_BECOMES = {**KEY, "outcome": "text", "reason": "text"}
_BECOME = (  # an index is written anew for each column that is named, on SQLite also where its value stays
    "UPDATE outcomes SET outcome = v.outcome, reason = v.reason FROM {rows} "
    "WHERE outcomes.account_sid = v.account_sid AND outcomes.call_sid = v.call_sid"
)
_PLACE = (  # "WHERE true" lets SQLite read ON as no part of the SELECT
    f"INSERT INTO outcomes ({', '.join(_PLACED)}) SELECT {', '.join(f'v.{name}' for name in _PLACED)} FROM {{rows}} "
    "WHERE true ON CONFLICT (account_sid, call_sid) DO NOTHING"
)
_ADDED = "ON CONFLICT (hour, number, outcome, reason) DO UPDATE SET calls = tallies.calls + excluded.calls"
_OF_A_DAY = (
    "DELETE FROM day_tallies WHERE day = :day",
    "INSERT INTO day_tallies SELECT :day, number, outcome, reason, sum(calls) FROM tallies WHERE hour >= :day AND hour < :until "
    "GROUP BY number, outcome, reason",
)


def count(connection: Connection, keys: Iterable[CallKey]) -> int:
    """Have these calls counted where they belong. Returns how many were not.

    Of two transactions that change one call the later one waits here for the earlier, and then sees what that has done. All
    lock in one order. Where both count a call that never was, one of them fails and is tried again.
    """
    return _counted(connection, keys)[0]


def count_sent(connection: Connection, keys: Iterable[CallKey]) -> None:
    """The same for the calls of these conversions, each of which may be that of a leg: then, which is rare, its call is locked
    out of turn, and where two wait for each other the database ends one of them, which is tried again.
    """
    _, merged = _counted(connection, keys)
    found = _read(connection, merged, legs, _OF_A_LEG, BY_KEY)
    count(connection, {CallKey(row.account_sid, row.root_sid) for row in found})


def _counted(connection: Connection, keys: Iterable[CallKey]) -> tuple[int, Sequence[CallKey]]:
    """How many stood elsewhere, and which of them are legs now."""
    every = sorted(set(keys))
    stood = {key_of(row): _place(row) for row in _locked(connection, every)}
    belong = _places(connection, every)
    wrong = {key: place for key, place in belong.items() if stood.get(key) != place}
    new = [_outcome(key, place) for key, place in wrong.items() if key not in stood]
    changed = {key: place for key, place in wrong.items() if key in stood}
    moved = [_outcome(key, place) for key, place in changed.items() if not _is_beside(place, stood[key])]
    with_rows(_MOVE, _PLACED, moved).run(connection)
    became = [_became(key, place) for key, place in changed.items() if _is_beside(place, stood[key])]
    with_rows(_BECOME, _BECOMES, became).run(connection)
    if with_rows(_PLACE, _PLACED, new).run(connection) != len(new):
        raise LedgerUnavailable("somebody else has counted the same call meanwhile", "busy")
    _add(connection, _differences((stood.get(key), place) for key, place in wrong.items()))
    return len(wrong), [key for key, place in belong.items() if not _is_counted(place)]


def _locked(connection: Connection, keys: Sequence[CallKey]) -> Sequence[Row[Any]]:
    """Where these stand, in the order of the keys; on Postgres nobody else moves them until this transaction ends."""
    lock = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    return _read(connection, keys, outcomes, _OF_AN_OUTCOME, f"{BY_KEY}{lock}")


def _places(connection: Connection, keys: Collection[CallKey]) -> dict[CallKey, Place]:
    """Where each call belongs, by what the ledger keeps of it now."""
    every = named(keys)
    if not every:
        return {}
    question = _calls_with_conversions(connection.dialect.name == "sqlite")
    rows = connection.execute(question, {"rows": json.dumps(every)}).all()
    through = _through_legs(connection, rows)
    undelivered = [
        key_of(row)
        for row in rows
        if row.delivery is None and row.decided_at is not None and key_of(row) not in through
    ]
    decided = sorted(_read(connection, undelivered, decisions, _OF_A_DECISION, BY_KEY), key=lambda row: int(row.id))
    words = {key_of(row): tuple(word for word, _ in json.loads(row.reasons)) for row in decided}
    found = {key_of(row): _to_be_placed(row, words.get(key_of(row), ()), through.get(key_of(row))) for row in rows}
    return {key: place_of(call) or _not_counted(call) for key, call in found.items()}


@cache
def _calls_with_conversions(is_sqlite: bool) -> Any:
    """Each call by its key, and where its own conversion stands."""
    names = ", ".join(f"t.{name}" for name in _OF_A_CALL)
    mine = "c.call_sid = t.call_sid AND c.account_sid = t.account_sid"
    keys = source(is_sqlite, tuple(KEY.items()))
    if is_sqlite:
        found = f"{keys} CROSS JOIN calls AS t LEFT JOIN conversions AS c ON {mine} WHERE {BY_KEY}"
    else:
        call = f"SELECT * FROM calls AS t WHERE {BY_KEY} OFFSET 0"
        sent = f"SELECT * FROM conversions AS c WHERE {mine} OFFSET 0"
        found = f"{keys} CROSS JOIN LATERAL ({call}) AS t LEFT JOIN LATERAL ({sent}) AS c ON true"
    columns = [calls.c[name] for name in _OF_A_CALL]
    sent_as = (conversions.c.state.label("delivery"), conversions.c.reason.label("why"))
    return text(f"SELECT {names}, c.state AS delivery, c.reason AS why FROM {found}").columns(*columns, *sent_as)


def _through_legs(connection: Connection, rows: Iterable[Row[Any]]) -> dict[CallKey, Row[Any]]:
    """The conversion of each call that has none of its own: the first of a leg which stood as a call of its own."""
    lacking = [key_of(row) for row in rows if row.delivery is None and _may_be_through_a_leg(row)]
    root_of = {
        key_of(row): CallKey(row.account_sid, row.root_sid)
        for row in _read(connection, lacking, legs, _OF_A_LEG, BY_ROOT)
    }
    found: dict[CallKey, Row[Any]] = {}
    of_legs = _read(connection, root_of, conversions, _OF_A_CONVERSION, BY_KEY)
    for row in sorted(of_legs, key=lambda row: (row.created_at, row.call_sid), reverse=True):
        found[root_of[key_of(row)]] = row
    return found


def _may_be_through_a_leg(row: Row[Any]) -> bool:
    return bool(row.state == CallState.CONVERTED or (row.state == CallState.SKIPPED and row.legs > 1))


def _to_be_placed(row: Row[Any], words: Sequence[str], sent: Row[Any] | None) -> CallOfTally:
    return CallOfTally(
        state=row.state,
        first_received_at=row.first_received_at,
        direction=row.direction,
        from_=row.from_number,
        to=row.to_number,
        is_decided=row.decided_at is not None,
        words=words,
        delivery=sent.state if sent else row.delivery,
        why=sent.reason if sent else row.why,
    )


def _not_counted(call: CallOfTally) -> Place:
    return Place(call.first_received_at, "", CallState.MERGED.value, "")


def _place(row: Row[Any]) -> Place:
    return Place(row.at, row.number, row.outcome, row.reason)


def _outcome(key: CallKey, place: Place) -> dict[str, Any]:
    columns = {"at": micros(place.at), "number": place.number, "outcome": place.outcome, "reason": place.reason}
    return {**key._asdict(), **columns}


def _is_beside(place: Place, other: Place) -> bool:
    """Another outcome or reason at most."""
    return (place.at, place.number) == (other.at, other.number)


def _became(key: CallKey, place: Place) -> dict[str, Any]:
    return {**key._asdict(), "outcome": place.outcome, "reason": place.reason}


def _differences(moved: Iterable[tuple[Place | None, Place]]) -> dict[Cell, int]:
    """What each sum changes by, where calls go from the first place to the second."""
    changes = Counter[Cell]()
    for was, now in moved:
        if _is_counted(now):
            changes[now.cell] += 1
        if was is not None and _is_counted(was):
            changes[was.cell] -= 1
    return {cell: change for cell, change in changes.items() if change}


def _is_counted(place: Place) -> bool:
    return place.outcome != CallState.MERGED


def _add(connection: Connection, changes: Mapping[Cell, int]) -> None:
    """In an order that is also that of the days' sums, which a trigger writes: so nobody who waits for another is waited for
    by him.
    """
    in_order = sorted(changes, key=lambda cell: (cell.number, cell.outcome, cell.reason, cell.hour))
    insert(tallies, [_tally(cell, changes[cell]) for cell in in_order], _ADDED).run(connection)


def _tally(cell: Cell, number: int) -> dict[str, Any]:
    return {
        "hour": cell.hour,
        "number": cell.number,
        "outcome": cell.outcome,
        "reason": cell.reason,
        "calls": number,
    }


def _read(
    connection: Connection, keys: Iterable[CallKey], table: Table, names: tuple[str, ...], condition: str
) -> Sequence[Row[Any]]:
    """These columns of the rows of `table` (as `t`) that the condition gives for each of the keys (as `v`), in their order."""
    every = named(keys)
    if not every:
        return []
    statement = _statement(connection.dialect.name == "sqlite", table, names, condition)
    return connection.execute(statement, {"rows": json.dumps(every)}).all()


@cache
def _statement(is_sqlite: bool, table: Table, names: tuple[str, ...], condition: str) -> Any:
    found = look_up(is_sqlite, tuple(KEY.items()), table, condition, names=names)
    return text(found).columns(*(table.c[name] for name in names))


_OF_DAYS = "day_tallies AS t WHERE t.day >= {since} AND t.day < {until}"
_OF_HOURS = "tallies AS t WHERE t.hour >= {since} AND t.hour < {until}"
_PLACE_NAMES = "t.number, t.outcome, t.reason"
_PLACES, _DAYS, _EDGES = range(3)


@cache
def _summed(is_sqlite: bool) -> Any:
    """What `_sums` puts together, by one statement, so that nothing moves between its parts: the places of the whole days, and of
    the hours before and behind them; each day by verdict; and by verdict the hours between each bound and the day next to it.
    """
    edges = source(is_sqlite, (("since", "bigint"), ("until", "bigint"), ("at", "bigint")))
    of_number = "(CAST(:number AS text) IS NULL OR t.number = :number)"
    total = "CAST(sum(t.calls) AS bigint) AS calls"
    whole = [
        _OF_DAYS.format(since=":first_day", until=":last_day"),
        _OF_HOURS.format(since=":since", until=":head_until"),
        _OF_HOURS.format(since=":tail_since", until=":until"),
    ]
    places = [f"SELECT {_PLACES}, 0, {_PLACE_NAMES}, {total} FROM {rows} GROUP BY {_PLACE_NAMES}" for rows in whole]
    days = _OF_DAYS.format(since=":since_day", until=":until_day")
    by_day = f"SELECT {_DAYS}, t.day, '', t.outcome, '', {total} FROM {days} AND {of_number} GROUP BY t.day, t.outcome"
    hours = f"{_OF_HOURS.format(since='v.since', until='v.until')} AND {of_number}"
    if is_sqlite:
        grouped = f"{edges} CROSS JOIN {hours} GROUP BY v.at, t.outcome"
        by_edge = f"SELECT {_EDGES}, v.at, '', t.outcome, '', {total} FROM {grouped}"
    else:
        sums = f"SELECT t.outcome, {total} FROM {hours} GROUP BY t.outcome"
        by_edge = f"SELECT {_EDGES}, v.at, '', s.outcome, '', s.calls FROM {edges} CROSS JOIN LATERAL ({sums}) AS s"
    return text(" UNION ALL ".join([*places, by_day, by_edge]))


def _asked(bounds: Sequence[datetime], number: str | None) -> dict[str, Any]:
    """The parameters of `_summed`."""
    since, until = micros(bounds[0]), micros(bounds[-1])
    first, last = -(-since // _DAY) * _DAY, until // _DAY * _DAY
    has_days = first < last
    edges = [(*sorted((at, _near(at))), at) for at in map(micros, bounds) if at != _near(at)]
    return {
        "first_day": first,
        "last_day": last if has_days else first,
        "since": since,
        "head_until": first if has_days else until,
        "tail_since": last if has_days else until,
        "until": until,
        "since_day": _near(since),
        "until_day": _near(until),
        "number": number,
        "rows": json.dumps([dict(zip(("since", "until", "at"), edge, strict=True)) for edge in edges]),
    }


def _near(at: int) -> int:
    """The beginning of a day that is the nearest to a moment."""
    return (at + _DAY // 2) // _DAY * _DAY


def _sums(bounds: Sequence[datetime], rows: Iterable[Any]) -> Sums:
    """A span is the days between those next to its bounds, with the hours between each bound and that day, or without."""
    places = Counter[tuple[str, str, str]]()
    days, edges = (Counter[tuple[int, str]]() for _ in range(2))
    for kind, at, number, outcome, reason, how_many in rows:
        if kind == _PLACES:
            places[number, outcome, reason] += how_many
        else:
            (days if kind == _DAYS else edges)[at, outcome] += how_many
    spans = [Tally(since, "", outcome, "", total) for since, outcome, total in _spans(bounds, days, edges)]
    return Sums([Tally(bounds[0], *place, total) for place, total in sorted(places.items()) if total], spans)


def _spans(
    bounds: Sequence[datetime], days: Counter[tuple[int, str]], edges: Counter[tuple[int, str]]
) -> Iterator[tuple[datetime, str, int]]:
    outcomes = sorted({outcome for _, outcome in (*days, *edges)})
    for since, until in pairwise(bounds):
        begins, ends = micros(since), micros(until)
        for outcome in outcomes:
            of_days = sum(days[day, outcome] for day in range(_near(begins), _near(ends), _DAY))
            total = of_days + _beyond(ends, outcome, edges) - _beyond(begins, outcome, edges)
            if total:
                yield since, outcome, total


def _beyond(at: int, outcome: str, edges: Counter[tuple[int, str]]) -> int:
    """The calls between the day next to a moment and the moment; less than none where the moment comes first."""
    return edges[at, outcome] if at > _near(at) else -edges[at, outcome]


class TalliesTable:
    """`Tallies` of pipeline/ports/tallies.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(self, since: datetime, until: datetime) -> Sequence[Tally]:
        in_order = (tallies.c.hour, tallies.c.number, tallies.c.outcome, tallies.c.reason)
        statement = (
            select(tallies)
            .where(tallies.c.hour >= since, tallies.c.hour < until, tallies.c.calls != 0)
            .order_by(*in_order)
        )
        with self._database.read(patient=True) as connection:
            return [Tally(*row) for row in connection.execute(statement)]

    def summed(self, bounds: Sequence[datetime], number: str | None = None) -> Sums:
        if len(bounds) < 2:
            return Sums()
        with self._database.read(patient=True) as connection:
            rows = connection.execute(_summed(self._database.is_sqlite), _asked(bounds, number)).all()
        return _sums(bounds, rows)

    def is_whole(self) -> bool:
        statement = select(counters.c.value).where(counters.c.name == WHOLE)
        with self._database.read(patient=True) as connection:
            return bool(connection.execute(statement).scalar())

    def count_anew(self) -> CountedAnew:
        """Each call first, then each hour, a sum that is wrong though every call stands where it belongs, and each day."""
        found = moved = 0
        for keys in self._pages():
            moved += self._count(keys)
            found += len(keys)
        hours = sum(self._sum(hour) for hour in self._hours())
        self._sum_days()
        with self._database.write() as connection:
            insert(counters, [{"name": WHOLE, "value": 1}], WRITTEN).run(connection)
        return CountedAnew(found, moved, hours)

    def _count(self, keys: Sequence[CallKey]) -> int:
        """Where somebody else was at the same calls, once more."""
        for _ in range(_TRIES):
            try:
                with self._database.write() as connection:
                    return count(connection, keys)
            except LedgerUnavailable as error:
                if error.word != "busy":
                    raise
        with self._database.write() as connection:
            return count(connection, keys)

    def _pages(self) -> Iterator[Sequence[CallKey]]:
        """Every call, a page at a time."""
        place, after = (calls.c.account_sid, calls.c.call_sid), CallKey("", "")
        while True:
            statement = select(*place).where(tuple_(*place) > tuple_(*after)).order_by(*place).limit(_AT_ONCE)
            with self._database.read(patient=True) as connection:
                page = [key_of(row) for row in connection.execute(statement)]
            if not page:
                return
            yield page
            after = page[-1]

    def _hours(self) -> Iterator[datetime]:
        """Each hour in which a call is counted, or was. Those whose calls are gone by a rule keep their sums."""
        oldest = select(func.min(outcomes.c.at))
        with self._database.read(patient=True) as connection:
            first = connection.execute(oldest).scalar()
        while first is not None:
            hour = first.replace(minute=0, second=0, microsecond=0)
            yield hour
            first = self._first_from(hour + _HOUR)

    def _first_from(self, moment: datetime) -> datetime | None:
        called = select(func.min(outcomes.c.at)).where(outcomes.c.at >= moment)
        summed = select(func.min(tallies.c.hour)).where(tallies.c.hour >= moment)
        with self._database.read(patient=True) as connection:
            found = [connection.execute(statement).scalar() for statement in (called, summed)]
        return min((moment for moment in found if moment is not None), default=None)

    def _sum(self, hour: datetime) -> bool:
        """Have one hour's sums be those of its calls. Returns whether they were not."""
        with self._database.write() as connection:
            self._alone(connection)
            stood, right = _sums_of(connection, hour), _counted_in(connection, hour)
            changes = {cell: right[cell] - stood[cell] for cell in {*right, *stood}}
            wrong = {cell: change for cell, change in changes.items() if change}
            _add(connection, wrong)
        return bool(wrong)

    def _sum_days(self) -> None:
        """Have the sums of each day be those of its hours, wherever somebody has written them by hand."""
        seen = [select(func.min(column), func.max(column)) for column in (tallies.c.hour, day_tallies.c.day)]
        with self._database.read(patient=True) as connection:
            found = [micros(at) for each in seen for at in connection.execute(each).one() if at is not None]
        if found:
            for day in range(min(found) // _DAY * _DAY, max(found) + 1, _DAY):
                self._sum_day(day)

    def _sum_day(self, day: int) -> None:
        with self._database.write() as connection:
            self._alone(connection)
            for statement in _OF_A_DAY:
                connection.execute(text(statement), {"day": day, "until": day + _DAY})

    def _alone(self, connection: Connection) -> None:
        """Whoever has changed a sum has committed, and nobody changes one meanwhile."""
        if not self._database.is_sqlite:
            connection.execute(text("LOCK TABLE tallies IN SHARE ROW EXCLUSIVE MODE"))


def _sums_of(connection: Connection, hour: datetime) -> Counter[Cell]:
    rows = connection.execute(select(tallies).where(tallies.c.hour == hour))
    return Counter({Cell(row.hour, row.number, row.outcome, row.reason): row.calls for row in rows})


def _counted_in(connection: Connection, hour: datetime) -> Counter[Cell]:
    table = outcomes.c
    names = (table.number, table.outcome, table.reason)
    statement = (
        select(*names, func.count())
        .where(table.at >= hour, table.at < hour + _HOUR, table.outcome != CallState.MERGED.value)
        .group_by(*names)
    )
    return Counter({Cell(hour, *row[:3]): row[3] for row in connection.execute(statement)})
