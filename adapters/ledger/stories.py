"""Reads the ledger for people: what waits, what became of a call and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, Row, TextClause, and_, exists, func, literal, or_, select, text, tuple_

from offhook.adapters.ledger.books import to_raw
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.following import FollowingOnSql
from offhook.adapters.ledger.moves import LATE
from offhook.adapters.ledger.people.callers import is_call_of
from offhook.adapters.ledger.people.customers import phones_of
from offhook.adapters.ledger.rows import BY_KEY, BY_ROOT, KEY, for_each, key_of, look_up, named
from offhook.adapters.ledger.schema import (
    attempts,
    breakers,
    callbacks,
    calls,
    conversions,
    decisions,
    legs,
    outcomes,
    replaced,
    rules,
)
from offhook.adapters.ledger.waiting import IS_UNFINISHED, UNFINISHED_COUNT, bounded_count, needs_people_question
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.conversion import Reason
from offhook.pipeline.delivery import State
from offhook.pipeline.rules.trace import from_kept, outlines_of
from offhook.pipeline.story import (
    LOOKED_AT,
    AttemptLine,
    CallFilter,
    CallLine,
    CallOutcome,
    CallsPage,
    ConversionFilter,
    ConversionLine,
    ConversionsPage,
    CountedCall,
    DecisionLine,
    NeedsPeople,
    PageMark,
    ReplacedLine,
    Story,
    WayOut,
)
from offhook.pipeline.unfinished import UNFINISHED

_PAGE_ROWS = 1000
# Callbacks alone are found by a CallSid without its account: an index of random keys on every table costs each call a page.
_ACCOUNTS = text(
    "SELECT account_sid FROM callbacks WHERE call_sid = :sid UNION "
    "SELECT account_sid FROM callbacks WHERE parent_call_sid = :sid ORDER BY account_sid"
)


class StoriesOnSql:
    """`Stories` of pipeline/ports/stories.py."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = partial(database.read, patient=True)

    def conversions(self, states: Collection[str], limit: int) -> Sequence[ConversionLine]:
        newest = select(conversions).order_by(conversions.c.created_at.desc()).limit(limit)
        wanted = [newest.where(conversions.c.state == state) for state in sorted(set(states))] or [newest]
        with self._read() as connection:
            rows = [row for statement in wanted for row in connection.execute(statement)]
        return list(map(conversion_line, sorted(rows, key=lambda row: row.created_at, reverse=True)[:limit]))

    def conversions_page(self, wanted: ConversionFilter, after: PageMark | None, limit: int) -> ConversionsPage:
        """State by state, as each has an index by time; then the newest of all."""
        place = tuple_(conversions.c.created_at, conversions.c.call_sid, conversions.c.account_sid)
        asked = select(conversions).where(*_matching(wanted)).limit(limit + 1)
        asked = asked.order_by(*(column.desc() for column in place.clauses))
        if after is not None:
            values = [literal(value, column.type) for value, column in zip(after, place.clauses, strict=True)]
            asked = asked.where(place < tuple_(*values))
        with self._read() as connection:
            rows = [
                row
                for state in sorted(set(wanted.states or State))
                for row in connection.execute(asked.where(conversions.c.state == state))
            ]
        marked = sorted(((_conversion_mark(row), row) for row in rows), key=lambda one: one[0], reverse=True)
        end = marked[limit - 1][0] if len(marked) > limit else None
        return ConversionsPage([conversion_line(row) for _, row in marked[:limit]], end)

    def conversions_of(self, keys: Collection[CallKey]) -> Sequence[ConversionLine]:
        with self._read() as connection:
            return list(map(conversion_line, for_each(connection, named(keys), KEY, conversions, BY_KEY)))

    def latest_attempts(self, keys: Collection[CallKey]) -> Mapping[CallKey, AttemptLine]:
        with self._read() as connection:
            rows = for_each(connection, named(keys), KEY, attempts, BY_KEY)
        return {key_of(row): _attempt(row) for row in sorted(rows, key=lambda row: int(row.id))}

    def way_out(self) -> WayOut:
        with self._read() as connection:
            row = connection.execute(select(breakers).order_by(breakers.c.destination)).first()
        return WayOut(row.failures, row.open_until, row.blocked_reason, row.blocked_changed_at) if row else WayOut()

    def unfinished(self, limit: int) -> Sequence[CallLine]:
        statement = select(calls).where(text(IS_UNFINISHED)).order_by(calls.c.decided_at.desc()).limit(limit)
        with self._read() as connection:
            return list(map(_call, connection.execute(statement)))

    def unfinished_count(self) -> int:
        return int(self._database.ask(f"SELECT {UNFINISHED_COUNT}", patient=True)[0])

    def conversion_counts(self) -> Mapping[str, int]:
        question = ", ".join(map(bounded_count, State))
        found = zip(State, self._database.ask(f"SELECT {question}", patient=True), strict=True)
        return {state.value: count for state, count in found if count}

    def needs_people(self) -> NeedsPeople:
        return NeedsPeople(*self._database.ask(needs_people_question(), patient=True))

    def of_call(self, call_sid: str) -> Sequence[Story]:
        with self._read() as connection:
            keys = [CallKey(account, call_sid) for account in _accounts_of(connection, call_sid)]
            linked = for_each(connection, named(keys), KEY, legs, BY_KEY)
            roots = [CallKey(row.account_sid, row.root_sid) for row in linked]
            rows = for_each(connection, named(roots), KEY, calls, f"{BY_KEY} AND t.state <> '{CallState.MERGED}'")
            return [_story(connection, row) for row in rows]

    def calls_of(self, phone: str, limit: int) -> Sequence[CallLine]:
        statement = (
            select(calls)
            .where(is_call_of(phone), calls.c.state != CallState.MERGED.value)
            .order_by(calls.c.first_received_at.desc())
            .limit(limit)
        )
        with self._read() as connection:
            return list(map(_call, connection.execute(statement)))

    def calls(self, wanted: CallFilter, after: PageMark | None, limit: int) -> CallsPage:
        with self._read() as connection:
            # For few of a caller's, Postgres would go through everybody's by their time.
            few = LOOKED_AT if wanted.phones is not None else min(limit + 1, LOOKED_AT)
            page = _page(connection, wanted, after, limit, few)
            if page.after is None or len(page.calls) == limit:
                return page
            more = _page(connection, wanted, page.after, limit - len(page.calls), LOOKED_AT)
            return CallsPage([*page.calls, *more.calls], more.after)

    def with_order_id(self, order_id: str, limit: int) -> Sequence[CallLine]:
        # Sorted here: for an order that has an index Postgres would walk along that one.
        wanted = select(conversions).where(conversions.c.order_id == order_id).limit(limit)
        with self._read() as connection:
            sent = sorted(connection.execute(wanted), key=lambda row: row.created_at, reverse=True)
            linked = for_each(connection, named(map(key_of, sent)), KEY, legs, BY_KEY)
            roots = {key_of(row): CallKey(row.account_sid, row.root_sid) for row in linked}
            keys = dict.fromkeys(roots.get(key_of(row), key_of(row)) for row in sent)
            rows = {key_of(row): row for row in for_each(connection, named(keys), KEY, calls, BY_KEY)}
        return [_call(rows[key]) for key in keys if key in rows]

    def phones_of(self, name: str, limit: int) -> Sequence[str]:
        with self._read() as connection:
            return connection.execute(phones_of(name, limit)).scalars().all()

    def has_callbacks(self, call_sid: str) -> bool:
        of_leg = exists().where(callbacks.c.call_sid == call_sid)
        of_child = exists().where(callbacks.c.parent_call_sid == call_sid)
        with self._read() as connection:
            return any(connection.execute(select(of_leg, of_child)).one())

    def latest_callback_at(self) -> datetime | None:
        with self._read() as connection:
            latest = (
                select(callbacks.c.received_at).where(callbacks.c.seq > 0).order_by(callbacks.c.seq.desc()).limit(1)
            )
            return connection.execute(latest).scalar()

    def latest_delivered_at(self) -> datetime | None:
        at = conversions.c.delivered_at
        with self._read() as connection:
            return connection.execute(select(at).where(at.is_not(None)).order_by(at.desc()).limit(1)).scalar()

    def every_callback(self, *, since: datetime | None = None, call_sid: str | None = None) -> Iterator[RawCallback]:
        if call_sid is not None:
            yield from self._callbacks_of(call_sid, since)
            return
        place: tuple[Any, ...] = (callbacks.c.seq,)
        after: tuple[Any, ...] = (0,)
        if since is not None:
            place, after = (callbacks.c.received_at, callbacks.c.seq), (since, 0)
        while page := self._page(place, after):
            yield from map(to_raw, page)
            after = tuple(getattr(page[-1], column.name) for column in place)

    def _page(self, place: tuple[Any, ...], after: tuple[Any, ...]) -> Sequence[Row[Any]]:
        """The callbacks that come next after a place in an order that has an index."""
        bounds = [literal(value, column.type) for column, value in zip(place, after, strict=True)]
        statement = select(callbacks).where(tuple_(*place) > tuple_(*bounds)).order_by(*place).limit(_PAGE_ROWS)
        with self._read() as connection:
            return connection.execute(statement).all()

    def _callbacks_of(self, call_sid: str, since: datetime | None) -> Iterator[RawCallback]:
        of_leg = select(callbacks).where(callbacks.c.call_sid == call_sid)
        of_children = select(callbacks).where(callbacks.c.parent_call_sid == call_sid)
        with self._read() as connection:
            rows = [row for statement in (of_leg, of_children) for row in connection.execute(statement)]
        found = {row.seq: row for row in rows if since is None or row.received_at >= since}
        yield from (to_raw(found[seq]) for seq in sorted(found))

    def outcomes(self) -> Sequence[CallOutcome]:
        newest = select(func.max(decisions.c.id)).group_by(decisions.c.account_sid, decisions.c.call_sid)
        decided = select(decisions).where(decisions.c.id.in_(newest)).subquery()
        conversion = conversions.c
        statement = (
            select(
                *(calls.c.account_sid, calls.c.call_sid, calls.c.state, calls.c.decided_at),
                *(decided.c.reasons, conversion.payload, conversion.state.label("delivery")),
            )
            .outerjoin(decided, _same_call(decided.c))
            .outerjoin(conversions, _same_call(conversion))
            .where(calls.c.state != CallState.MERGED.value)
            .order_by(calls.c.first_received_at, calls.c.call_sid)
        )
        with self._read() as connection:
            rows = connection.execute(statement).all()
            lacking = [key_of(row) for row in rows if row.state == CallState.CONVERTED and row.payload is None]
            through = _converted_through(connection, lacking)
            decided_so = _newest_decisions(connection, through.values())
        return [_outcome(row, through.get(key_of(row)), decided_so) for row in rows]

    def following(self) -> FollowingOnSql:
        return FollowingOnSql.from_now(self._database)


def _page(connection: Connection, wanted: CallFilter, after: PageMark | None, limit: int, looked_at: int) -> CallsPage:
    """Of so many that may be wanted those that are, up to the limit."""
    looked, end = _looked_at(connection, wanted, after, looked_at)
    held = [row for row in looked if _is_wanted(row, wanted)]
    shown = held if _is_of_the_call(wanted) else held[: limit + 1]
    rows = for_each(connection, named(map(key_of, shown)), KEY, calls, BY_KEY)
    known = {line.key: line for line in map(_call, rows) if wanted.is_of(line)}
    lines = _came_by(connection, wanted.source, known)
    found = [
        (CountedCall(lines[key_of(row)], row.number, row.outcome, row.reason), _mark(row))
        for row in shown
        if key_of(row) in lines
    ]
    if len(found) > limit:
        return CallsPage([call for call, _ in found[:limit]], found[limit - 1][1])
    return CallsPage([call for call, _ in found], _mark(shown[-1]) if len(shown) < len(held) else end)


def _looked_at(
    connection: Connection, wanted: CallFilter, after: PageMark | None, count: int
) -> tuple[Sequence[Row[Any]], PageMark | None]:
    """Those that may be wanted, by one index: of the caller, the reason, the verdict, the number, or of all by their time;
    and where they end, None where no more come."""
    held = outcomes.c
    if wanted.phones is not None:
        at = calls.c.first_received_at
        theirs = select(calls.c.account_sid, calls.c.call_sid, at.label("at")).where(
            or_(*map(is_call_of, wanted.phones))
        )
        keys = connection.execute(_in_time(theirs, at, calls.c, wanted, after, count)).all()
        rows = {key_of(row): row for row in for_each(connection, named(map(key_of, keys)), KEY, outcomes, BY_KEY)}
        return [rows[key_of(row)] for row in keys if key_of(row) in rows], _end(keys, count)
    statement = select(outcomes)
    for column, value in ((held.reason, wanted.reason), (held.outcome, wanted.outcome), (held.number, wanted.number)):
        if value is not None:
            statement = statement.where(column == value)
            break  # what else is asked for is looked for in these
    found = connection.execute(_in_time(statement, held.at, held, wanted, after, count)).all()
    return found, _end(found, count)


def _end(rows: Sequence[Row[Any]], count: int) -> PageMark | None:
    return _mark(rows[-1]) if len(rows) == count else None


def _in_time(statement: Any, at: Any, names: Any, wanted: CallFilter, after: PageMark | None, count: int) -> Any:
    place = (at, names.call_sid, names.account_sid)
    if wanted.since is not None:
        statement = statement.where(at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(at < wanted.until)
    if after is not None:
        bounds = [literal(value, column.type) for column, value in zip(place, after, strict=True)]
        statement = statement.where(tuple_(*place) < tuple_(*bounds))
    return statement.order_by(*(column.desc() for column in place)).limit(count)


def _is_wanted(row: Row[Any], wanted: CallFilter) -> bool:
    if row.outcome == CallState.MERGED:
        return False
    pairs = ((wanted.reason, row.reason), (wanted.outcome, row.outcome), (wanted.number, row.number))
    return all(value in (None, held) for value, held in pairs)


def _is_of_the_call(wanted: CallFilter) -> bool:
    """Whether anything is asked for that is known of the call itself alone, and not of where it is counted."""
    return any(one is not None for one in (wanted.state, wanted.least_seconds, wanted.most_seconds, wanted.source))


def _came_by(connection: Connection, source: str | None, lines: dict[CallKey, CallLine]) -> dict[CallKey, CallLine]:
    """Of these calls, those of which a callback came so; all of them where nobody asks."""
    if source is None or not lines:
        return lines
    asked = [{**one, "source": source} for one in named(lines)]
    rows = connection.execute(_sources(connection.dialect.name == "sqlite"), {"rows": json.dumps(asked)})
    found = {key_of(row) for row in rows}
    return {key: line for key, line in lines.items() if key in found}


@cache
def _sources(is_sqlite: bool) -> TextClause:
    """The keys alone: a page needs no bodies."""
    columns = (*KEY.items(), ("source", "text"))
    return text(look_up(is_sqlite, columns, callbacks, f"{BY_KEY} AND t.source = v.source", names=tuple(KEY)))


def _mark(row: Row[Any]) -> PageMark:
    return PageMark(row.at, row.call_sid, row.account_sid)


def _same_call(columns: Any) -> Any:
    return and_(columns.account_sid == calls.c.account_sid, columns.call_sid == calls.c.call_sid)


def _accounts_of(connection: Connection, call_sid: str) -> Sequence[str]:
    """The accounts whose callbacks named this leg, or a child of it."""
    return connection.execute(_ACCOUNTS, {"sid": call_sid}).scalars().all()


def _story(connection: Connection, call: Row[Any]) -> Story:
    root = key_of(call)
    family = [key_of(row) for row in for_each(connection, named([root]), KEY, legs, BY_ROOT)]
    sent = _first_of(root, for_each(connection, named(family), KEY, conversions, BY_KEY))

    def rows(table: Any, keys: Iterable[CallKey], order: str = "id") -> Sequence[Row[Any]]:
        found = for_each(connection, named(keys), KEY, table, BY_KEY)
        return sorted(found, key=lambda row: int(getattr(row, order)))

    of_conversion = {key_of(sent)} if sent else set[CallKey]()
    return Story(
        call=_call(call),
        callbacks=list(map(to_raw, rows(callbacks, family, "seq"))),
        decisions=_decisions(connection, rows(decisions, {root} | of_conversion)),
        conversion=conversion_line(sent) if sent else None,
        attempts=list(map(_attempt, rows(attempts, of_conversion))),
        replaced=list(map(_replaced, rows(replaced, of_conversion))),
    )


def _first_of(root: CallKey, rows: Iterable[Any]) -> Any:
    """The conversion of a family: the call's own, else that of a leg which stood as a call of its own. None without any."""
    return min(rows, key=lambda row: (key_of(row) != root, row.created_at, row.call_sid), default=None)


def _converted_through(connection: Connection, roots: Sequence[CallKey]) -> dict[CallKey, Any]:
    """root -> the conversion of the leg by which it is converted."""
    root_of = {
        key_of(row): CallKey(row.account_sid, row.root_sid)
        for row in for_each(connection, named(roots), KEY, legs, BY_ROOT)
    }
    sent: dict[CallKey, list[Any]] = {}
    for row in for_each(connection, named(root_of), KEY, conversions, BY_KEY):
        sent.setdefault(root_of[key_of(row)], []).append(row)
    return {root: _first_of(root, rows) for root, rows in sent.items()}


def _newest_decisions(connection: Connection, rows: Iterable[Any]) -> dict[CallKey, str]:
    """The reasons by which each of these conversions was made, as the journal keeps them."""
    found = for_each(connection, named(map(key_of, rows)), KEY, decisions, BY_KEY)
    return {key_of(row): row.reasons for row in sorted(found, key=lambda row: int(row.id))}


def _state(row: Any) -> str:
    """What a call's state is called where people read it."""
    return UNFINISHED if row.state == CallState.OPEN and row.decided_at else str(row.state)


def _reasons(kept: str | None) -> tuple[Reason, ...]:
    return tuple(Reason(word, sentence) for word, sentence in json.loads(kept or "[]"))


def _call(row: Row[Any]) -> CallLine:
    return CallLine(
        key=key_of(row),
        state=_state(row),
        status=row.status,
        direction=row.direction,
        from_=row.from_number,
        to=row.to_number,
        customer_phone=row.customer_phone,
        duration_seconds=row.duration_seconds,
        callbacks=row.callbacks,
        legs=row.legs,
        first_received_at=row.first_received_at,
        final_at=row.final_at,
        settle_at=row.settle_at,
        decided_at=row.decided_at,
    )


def _decisions(connection: Connection, rows: Sequence[Row[Any]]) -> list[DecisionLine]:
    wanted = select(rules.c.version, rules.c.text).where(rules.c.version.in_(outlines_of(row.trace for row in rows)))
    outlines = {row.version: row.text for row in connection.execute(wanted)}
    return [_decision(row, outlines) for row in rows]


def _decision(row: Row[Any], outlines: Mapping[str, str]) -> DecisionLine:
    return DecisionLine(
        decided_at=row.decided_at,
        result=row.result,
        reasons=_reasons(row.reasons),
        rules_version=row.rules_version,
        mapping_version=row.mapping_version,
        who=Reason(*json.loads(row.who)) if row.who else None,
        rule=row.rule,
        trace=from_kept(row.trace, outlines),
        customer_row=row.customer_row,
    )


def _matching(wanted: ConversionFilter) -> list[Any]:
    of_time = [conversions.c.created_at >= wanted.since] if wanted.since else []
    of_time += [conversions.c.created_at < wanted.until] if wanted.until else []
    of_time += [conversions.c.maybe_sent == int(wanted.maybe_sent)] if wanted.maybe_sent is not None else []
    return of_time + ([conversions.c.reason == wanted.reason] if wanted.reason else [])


def _conversion_mark(row: Row[Any]) -> PageMark:
    return PageMark(row.created_at, row.call_sid, row.account_sid)


def conversion_line(row: Row[Any]) -> ConversionLine:
    return ConversionLine(
        key=key_of(row),
        action=row.action,
        order_id=row.order_id,
        payload=bytes(row.payload),
        state=row.state,
        reason=row.reason,
        created_at=row.created_at,
        due_at=row.due_at,
        fence=row.fence,
        attempts=row.attempts,
        maybe_sent=bool(row.maybe_sent),
        delivered_at=row.delivered_at,
    )


def _attempt(row: Row[Any]) -> AttemptLine:
    return AttemptLine(
        number=row.number,
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        reason=row.reason,
        status_code=row.status_code,
        answer=row.answer,
        next_state=row.next_state,
        came_late=row.next_state == LATE,
    )


def _replaced(row: Row[Any]) -> ReplacedLine:
    return ReplacedLine(row.action, row.order_id, bytes(row.payload), row.attempts, row.replaced_at)


def _outcome(row: Any, through: Any, decided_so: Mapping[CallKey, str]) -> CallOutcome:
    """`through` is the conversion of the leg by which the call is converted, None where it is its own or nobody's."""
    kept = row.reasons if through is None else decided_so.get(key_of(through))
    payload, delivery = (row.payload, row.delivery) if through is None else (through.payload, through.state)
    words = tuple(reason.word for reason in _reasons(kept))
    return CallOutcome(key_of(row), _state(row), words, None if payload is None else bytes(payload), delivery)
