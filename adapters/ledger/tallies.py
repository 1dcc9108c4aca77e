"""Where each call is counted, by which rule, and the sums of that by the hour. The one place that says what is written there.

Whoever changes what became of calls calls `count` at the end of the same transaction: it looks where each stands in
`outcomes`, derives from calls, decisions and conversions where it belongs, and moves it from the one sum to the other. So
no writer has to know what was before, and what a writer of another version left out is made good by the next one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, func, select, text, tuple_

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.unknown import count_callers_anew
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
from offhook.adapters.ledger.rule_tallies import OF_RULES, RuleCell, add_by_rule, put_right, rule_sums
from offhook.adapters.ledger.schema import (
    calls,
    conversions,
    counters,
    day_tallies,
    decisions,
    legs,
    micros,
    outcomes,
    rule_tallies,
    tallies,
)
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.counting import CallOfTally, Cell, Place, Ruling, Tally, place_of, ruling_of
from offhook.pipeline.ports.books import Decided
from offhook.pipeline.ports.tallies import CountedAnew, Sums, SumsByRule
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
_OF_A_DECISION = ("account_sid", "call_sid", "id", "reasons", "rule")
_OF_A_LEG = ("account_sid", "call_sid", "root_sid")
_AS, _PLACED, _RULED = (
    ("outcome", "reason"),
    ("at", "number", "outcome", "reason"),
    ("rule", "rule_state", "rule_reason"),
)
_OF_AN_OUTCOME = (*KEY, *_PLACED, *_RULED)
_ADDED = "ON CONFLICT (hour, number, outcome, reason) DO UPDATE SET calls = tallies.calls + excluded.calls"
_OF_A_DAY = (
    "DELETE FROM day_tallies WHERE day = :day",
    "INSERT INTO day_tallies SELECT :day, number, outcome, reason, sum(calls) FROM tallies WHERE hour >= :day AND hour < :until "
    "GROUP BY number, outcome, reason",
)


class Stands(NamedTuple):
    """Where a call is counted, and by which rule."""

    place: Place
    ruling: Ruling | None


class Journaled(NamedTuple):
    """What a decision has for the sums: its rule and the words of its reasons."""

    rule: str | None
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Moved:
    """What became of calls that were to be counted: how many stood elsewhere, which of them are legs now, and what sums change
    by.
    """

    calls: int
    merged: Sequence[CallKey]
    cells: Counter[Cell]
    by_rule: Counter[RuleCell]


_COLUMNS: Mapping[str, Callable[[Stands], Any]] = {
    "at": lambda one: micros(one.place.at),
    "number": lambda one: one.place.number,
    "outcome": lambda one: one.place.outcome,
    "reason": lambda one: one.place.reason,
    "rule": lambda one: one.ruling and one.ruling.rule,
    "rule_state": lambda one: one.ruling and one.ruling.state,
    "rule_reason": lambda one: one.ruling and one.ruling.reason,
}


def count(connection: Connection, keys: Iterable[CallKey], made: Iterable[Decided] = (), *, anew: bool = False) -> int:
    """Have these calls counted where they belong. Returns how many were not. `made` are decisions of this transaction, which
    need not be read again. `anew`: nothing that is counted is trusted.

    Of two transactions that change one call the later one waits here for the earlier, and then sees what that has done. All
    lock in one order. Where both count a call that never was, one of them fails and is tried again.
    """
    moved = _moved(connection, keys, _journaled(made), anew=anew)
    _add(connection, moved)
    return moved.calls


def count_sent(connection: Connection, keys: Iterable[CallKey], made: Iterable[Decided] = ()) -> None:
    """The same for the calls of these conversions, each of which may be that of a leg: then, which is rare, its call is locked
    out of turn, and where two wait for each other the database ends one of them, which is tried again.
    """
    known = _journaled(made)
    moved = _moved(connection, keys, known)
    found = _read(connection, moved.merged, legs, _OF_A_LEG, BY_KEY)
    of_legs = _moved(connection, {CallKey(row.account_sid, row.root_sid) for row in found}, known)
    moved.cells.update(of_legs.cells)
    moved.by_rule.update(of_legs.by_rule)
    _add(connection, moved)


def _journaled(made: Iterable[Decided]) -> dict[CallKey, Journaled]:
    return {
        one.call.key: Journaled(one.decision.because.rule, [reason.word for reason in one.decision.reasons])
        for one in made
    }


def _moved(
    connection: Connection, keys: Iterable[CallKey], known: Mapping[CallKey, Journaled], *, anew: bool = False
) -> _Moved:
    every = sorted(set(keys))
    stood = {key_of(row): _stands(row) for row in _locked(connection, every)}
    trusted = {} if anew else {key: one.ruling for key, one in stood.items() if one.ruling and _counts(one.ruling)}
    belong = _belong(connection, every, known, trusted)
    wrong = {key: one for key, one in belong.items() if stood.get(key) != one}
    changed = {key: one for key, one in wrong.items() if key in stood}
    beside = {key: one for key, one in changed.items() if _is_beside(one.place, stood[key].place)}
    _write(connection, _update, _PLACED, {key: one for key, one in changed.items() if key not in beside}, stood)
    _write(connection, _update, _AS, beside, stood)  # on SQLite an index is written anew for each column that is named
    new = {key: one for key, one in wrong.items() if key not in stood}
    if _write(connection, _insert, _PLACED, new, stood) != len(new):
        raise LedgerUnavailable("somebody else has counted the same call meanwhile", "busy")
    pairs = [(stood.get(key), one) for key, one in wrong.items()]
    merged = [key for key, one in belong.items() if not _is_counted(one.place)]
    return _Moved(len(wrong), merged, _differences(pairs), _differences_by_rule(pairs))


def _write(
    connection: Connection,
    statement: Callable[[tuple[str, ...]], str],
    names: tuple[str, ...],
    stands: Mapping[CallKey, Stands],
    stood: Mapping[CallKey, Stands],
) -> int:
    """Of what changes here the columns of the rule are named only where some of them change. Returns how many rows it wrote."""
    is_ruled = any(one.ruling != (stood[key].ruling if key in stood else None) for key, one in stands.items())
    written = {name: _COLUMNS[name] for name in (*names, *(_RULED if is_ruled else ()))}
    rows = [key._asdict() | {name: of(one) for name, of in written.items()} for key, one in stands.items()]
    kinds = {name: "bigint" if name == "at" else "text" for name in (*KEY, *written)}
    return with_rows(statement(tuple(kinds)), kinds, rows).run(connection)


@cache
def _update(names: tuple[str, ...]) -> str:
    changed = ", ".join(f"{name} = v.{name}" for name in names if name not in KEY)
    mine = "outcomes.account_sid = v.account_sid AND outcomes.call_sid = v.call_sid"
    return f"UPDATE outcomes SET {changed} FROM {{rows}} WHERE {mine}"


@cache
def _insert(names: tuple[str, ...]) -> str:
    """`WHERE true` lets SQLite read ON as no part of the SELECT."""
    values = ", ".join(f"v.{name}" for name in names)
    once = "ON CONFLICT (account_sid, call_sid) DO NOTHING"
    return f"INSERT INTO outcomes ({', '.join(names)}) SELECT {values} FROM {{rows}} WHERE true {once}"


def _locked(connection: Connection, keys: Sequence[CallKey]) -> Sequence[Row[Any]]:
    """Where these stand, in the order of the keys; on Postgres nobody else moves them until this transaction ends."""
    lock = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    return _read(connection, keys, outcomes, _OF_AN_OUTCOME, f"{BY_KEY}{lock}")


def _belong(
    connection: Connection,
    keys: Collection[CallKey],
    known: Mapping[CallKey, Journaled],
    trusted: Mapping[CallKey, Ruling],
) -> dict[CallKey, Stands]:
    """Where each call belongs, by what the ledger keeps of it now. `trusted` are rulings of calls that were converted: what becomes
    of a conversion afterwards changes none.
    """
    every = named(keys)
    if not every:
        return {}
    question = _calls_with_conversions(connection.dialect.name == "sqlite")
    rows = {key_of(row): row for row in connection.execute(question, {"rows": json.dumps(every)})}
    through = _through_legs(connection, rows.values())
    own = {key for key, row in rows.items() if row.delivery is not None} - known.keys()
    stays = {key: one for key, one in trusted.items() if key in own}
    decided_by = {key: key_of(through.get(key, row)) for key, row in rows.items() if _is_decided(row) or key in through}
    made = _newest(connection, {by for key, by in decided_by.items() if key not in stays}, known)
    found = {
        key: _to_be_placed(row, made.get(decided_by.get(key, key), _NOTHING), through.get(key))
        for key, row in rows.items()
    }
    return {key: _stands_by(call, stays.get(key)) for key, call in found.items()}


def _is_decided(row: Row[Any]) -> bool:
    return row.decided_at is not None or row.delivery is not None


def _newest(
    connection: Connection, keys: Collection[CallKey], known: Mapping[CallKey, Journaled]
) -> dict[CallKey, Journaled]:
    """The newest decision of each."""
    rows = _read(connection, sorted(keys - known.keys()), decisions, _OF_A_DECISION, BY_KEY)
    newest = {key_of(row): row for row in sorted(rows, key=lambda row: int(row.id))}
    read = {key: Journaled(row.rule, [word for word, _ in json.loads(row.reasons)]) for key, row in newest.items()}
    return {**known, **read}


def _stands_by(call: CallOfTally, ruling: Ruling | None) -> Stands:
    """`ruling` is that which is known already."""
    place = place_of(call)
    return Stands(place, ruling or ruling_of(call)) if place else Stands(_not_counted(call), None)


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


def _to_be_placed(row: Row[Any], made: Journaled, sent: Row[Any] | None) -> CallOfTally:
    return CallOfTally(
        state=row.state,
        first_received_at=row.first_received_at,
        direction=row.direction,
        from_=row.from_number,
        to=row.to_number,
        is_decided=row.decided_at is not None,
        words=made.words,
        delivery=sent.state if sent else row.delivery,
        why=sent.reason if sent else row.why,
        rule=made.rule,
    )


def _not_counted(call: CallOfTally) -> Place:
    return Place(call.first_received_at, "", CallState.MERGED.value, "")


def _stands(row: Row[Any]) -> Stands:
    ruling = Ruling(row.rule, row.rule_state, row.rule_reason) if row.rule_state is not None else None
    return Stands(Place(row.at, row.number, row.outcome, row.reason), ruling)


def _counts(ruling: Ruling) -> bool:
    return ruling.state == CallState.CONVERTED


def _is_beside(place: Place, other: Place) -> bool:
    """Another outcome or reason at most."""
    return (place.at, place.number) == (other.at, other.number)


def _differences(moved: Iterable[tuple[Stands | None, Stands]]) -> Counter[Cell]:
    """What each sum changes by, where calls go from the first place to the second."""
    changes = Counter[Cell]()
    for was, now in moved:
        if _is_counted(now.place):
            changes[now.place.cell] += 1
        if was is not None and _is_counted(was.place):
            changes[was.place.cell] -= 1
    return changes


def _differences_by_rule(moved: Iterable[tuple[Stands | None, Stands]]) -> Counter[RuleCell]:
    changes = Counter[RuleCell]()
    for was, now in moved:
        if was is not None and was.ruling == now.ruling and was.place.at == now.place.at:
            continue
        if now.ruling is not None:
            changes[RuleCell(now.place.cell.hour, now.ruling)] += 1
        if was is not None and was.ruling is not None:
            changes[RuleCell(was.place.cell.hour, was.ruling)] -= 1
    return changes


def _is_counted(place: Place) -> bool:
    return place.outcome != CallState.MERGED


def _add(connection: Connection, moved: _Moved) -> None:
    _add_cells(connection, moved.cells)
    add_by_rule(connection, moved.by_rule)


def _add_cells(connection: Connection, changes: Mapping[Cell, int]) -> None:
    """In an order that is also that of the days' sums, which a trigger writes: so nobody who waits for another is waited for
    by him.
    """
    changed = [cell for cell, change in changes.items() if change]
    in_order = sorted(changed, key=lambda cell: (cell.number, cell.outcome, cell.reason, cell.hour))
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


_NOTHING = Journaled(None, ())
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


@cache
def _summed_by_rule() -> Any:
    """What `SumsByRule` holds, by one statement, so that both parts come to the same calls."""
    total = "CAST(sum(t.calls) AS bigint)"
    parts = []
    for hours, rows, since, until in (
        (24, _OF_DAYS, ":first_day", ":last_day"),
        (1, _OF_HOURS, ":since", ":head_until"),
        (1, _OF_HOURS, ":tail_since", ":until"),
    ):
        found = rows.format(since=since, until=until)
        parts.append(f"SELECT 1, t.outcome, 0, '', t.reason, {total} FROM {found} GROUP BY t.outcome, t.reason")
        parts.append(OF_RULES.format(hours=hours, since=since, until=until))
    return text(" UNION ALL ".join(parts))


def _asked(bounds: Sequence[datetime], number: str | None) -> dict[str, Any]:
    """The parameters of `_summed`."""
    since, until = micros(bounds[0]), micros(bounds[-1])
    edges = [(*sorted((at, _near(at))), at) for at in map(micros, bounds) if at != _near(at)]
    return {
        **_whole_days(since, until),
        "since_day": _near(since),
        "until_day": _near(until),
        "number": number,
        "rows": json.dumps([dict(zip(("since", "until", "at"), edge, strict=True)) for edge in edges]),
    }


def _whole_days(since: int, until: int) -> dict[str, int]:
    """A time as the days that are within, and the hours before and behind them."""
    first, last = -(-since // _DAY) * _DAY, until // _DAY * _DAY
    has_days = first < last
    return {
        "first_day": first,
        "last_day": last if has_days else first,
        "since": since,
        "head_until": first if has_days else until,
        "tail_since": last if has_days else until,
        "until": until,
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

    def by_rule(self, since: datetime, until: datetime) -> SumsByRule:
        with self._database.read(patient=True) as connection:
            rows = connection.execute(_summed_by_rule(), _whole_days(micros(since), micros(until))).all()
        places = Counter[tuple[str, str]]()
        for _, outcome, _, _, reason, how_many in (row for row in rows if row[0]):
            places[outcome, reason] += how_many
        found = [Tally(since, "", *place, total) for place, total in sorted(places.items()) if total]
        return SumsByRule(rule_sums(row[1:] for row in rows if not row[0]), found)

    def is_whole(self) -> bool:
        statement = select(counters.c.value).where(counters.c.name == WHOLE)
        with self._database.read(patient=True) as connection:
            return bool(connection.execute(statement).scalar())

    def count_anew(self) -> CountedAnew:
        """Each call first, then each hour, a sum that is wrong though every call stands where it belongs, each day, and each
        number whose calls wait.
        """
        found = moved = 0
        for keys in self._pages():
            moved += self._count(keys)
            found += len(keys)
        wrong = {hour for hour in self._hours() if self._sum(hour)}
        self._sum_days()
        wrong |= {hour for day, since in self._days() for hour in self._sum_by_rule(day, since)}
        self._count_callers()
        with self._database.write() as connection:
            insert(counters, [{"name": WHOLE, "value": 1}], WRITTEN).run(connection)
        return CountedAnew(found, moved, len(wrong))

    def _count(self, keys: Sequence[CallKey]) -> int:
        """Where somebody else was at the same calls, once more."""
        for _ in range(_TRIES):
            try:
                with self._database.write() as connection:
                    return count(connection, keys, anew=True)
            except LedgerUnavailable as error:
                if error.word != "busy":
                    raise
        with self._database.write() as connection:
            return count(connection, keys, anew=True)

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
            self._alone(connection, "tallies")
            stood, right = _sums_of(connection, hour), _counted_in(connection, hour)
            changes = {cell: right[cell] - stood[cell] for cell in {*right, *stood}}
            wrong = {cell: change for cell, change in changes.items() if change}
            _add_cells(connection, wrong)
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
            self._alone(connection, "tallies")
            for statement in _OF_A_DAY:
                connection.execute(text(statement), {"day": day, "until": day + _DAY})

    def _days(self) -> Iterator[tuple[datetime, datetime]]:
        """Each day since the oldest call of which it is known where it is counted, and its first hour from then on."""
        seen = [select(func.min(outcomes.c.at), func.max(outcomes.c.at)), select(func.max(rule_tallies.c.begins))]
        with self._database.read(patient=True) as connection:
            found = [at for each in seen for at in connection.execute(each).one() if at is not None]
        if len(found) < 2:
            return
        first = min(found).replace(minute=0, second=0, microsecond=0)
        day = first.replace(hour=0)
        while day <= max(found):
            yield day, max(day, first)
            day += timedelta(days=1)

    def _sum_by_rule(self, day: datetime, since: datetime) -> set[datetime]:
        """In a turn of its own: whoever waits for one table here holds none that another waits for."""
        with self._database.write() as connection:
            self._alone(connection, "rule_tallies")
            return put_right(connection, day, since)

    def _count_callers(self) -> None:
        after: str | None = ""
        while after is not None:
            with self._database.write() as connection:
                after = count_callers_anew(connection, after, _AT_ONCE)

    def _alone(self, connection: Connection, table: str) -> None:
        """Whoever has changed a sum has committed, and nobody changes one meanwhile."""
        if not self._database.is_sqlite:
            connection.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))


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
