"""The books: callbacks into calls, calls into decisions. One worker at a time keeps them, and only it changes these rows.

On SQLite a lock file of its own sees to that, so that reading and judging keep nobody from writing; on Postgres an
advisory lock that ends with the transaction, which a pooler bears and a killed worker never leaves behind. Each write is
one statement for all of its rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, text

from offhook.adapters.ledger.legal import is_one_of, leads, may_move, of_the_row, stays
from offhook.adapters.ledger.people.asked_for import (
    forgotten_look_ups,
    fresh_numbers,
    released_calls,
    released_look_ups,
    wanted_look_ups,
)
from offhook.adapters.ledger.people.callers import calls_before, parked_after, parked_of, with_parked_calls
from offhook.adapters.ledger.people.customers import (
    customer_of,
    find_customers,
    find_customers_and_version,
    first_not_over,
)
from offhook.adapters.ledger.rows import BY_KEY, BY_ROOT, KEY, Insert, for_each, insert, key_of, named, with_rows
from offhook.adapters.ledger.schema import (
    PersonText,
    callbacks,
    calls,
    conversions,
    decisions,
    legs,
    lookups,
    micros,
    rules,
)
from offhook.adapters.ledger.tallies import count
from offhook.adapters.ledger.waiting import IS_ASKED, IS_OPEN, IS_WANTED, TO_RELEASE
from offhook.pipeline.call import CALL_MOVES, CallEvent, CallState, root_of
from offhook.pipeline.callback import CallKey, Direction, RawCallback, Status
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS, Convert, state_of
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import CONVERSION_MOVES, State
from offhook.pipeline.look_up import number_to_ask
from offhook.pipeline.ports.books import (
    Answered,
    Asking,
    CallBefore,
    Decided,
    Families,
    Folded,
    Link,
    ParkedPage,
    Settled,
    Stored,
)
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules.facts import is_by_person
from offhook.pipeline.rules.trace import Trail, as_kept
from offhook.pipeline.states import IllegalMove
from offhook.pipeline.unfinished import UNFINISHED, OpenCall

_ADVISORY_LOCK = 0x0FF_4001
Transaction = Callable[[], AbstractContextManager[Connection]]

ONCE = "ON CONFLICT (version) DO NOTHING"
"""A text of `rules` that is kept already stays as it is."""
_BY_PARENT = "t.parent_call_sid = v.call_sid AND t.account_sid = v.account_sid"

_ON_LEG = (
    "ON CONFLICT (account_sid, call_sid) DO UPDATE SET "
    "parent_call_sid = excluded.parent_call_sid, root_sid = excluded.root_sid"
)
_THE_CALL = "calls.account_sid = v.account_sid AND calls.call_sid = v.call_sid"
_MERGE = (
    f"UPDATE calls SET state = '{CALL_MOVES.only_target(CallEvent.MERGE)}', settle_at = NULL FROM {{rows}} "
    f"WHERE {_THE_CALL} AND {may_move(CALL_MOVES, CallEvent.MERGE, of_the_row('calls.state'))}"
)
_COUNTED = (
    "status", "direction", "from_number", "to_number", "duration_seconds", "callbacks", "legs", "first_received_at",
    "ended_at", "final_at", "settle_at", "answered",
)  # fmt: skip
_FOLDING = (CallEvent.FOLD, CallEvent.LEG_CONVERTED)
_LEADS_ON = leads(CALL_MOVES, _FOLDING, "calls.state", "excluded.state")
# Where a newer version left a call that no table here knows, it stays: to raise would stop all that waits with its callbacks.
_OF_A_NEWER_VERSION = f"NOT {is_one_of('calls.state', CallState)}"
_ON_CALL = (
    f"ON CONFLICT (account_sid, call_sid) DO UPDATE SET "
    f"state = CASE WHEN {_LEADS_ON} THEN excluded.state ELSE calls.state END, "
    "customer_phone = coalesce(excluded.customer_phone, calls.customer_phone), "
    f"{', '.join(f'{name} = excluded.{name}' for name in _COUNTED)} "
    f"WHERE {_LEADS_ON} OR {stays(CALL_MOVES, CallEvent.FOLD_LATE, 'calls.state')} OR {_OF_A_NEWER_VERSION}"
)
_MARK = "UPDATE callbacks SET folded = 1 FROM {rows} WHERE callbacks.seq = v.seq AND callbacks.folded = 0"
_DECIDED = {**KEY, "state": "text", "decided_at": "bigint", "customer_phone": "text"}
_DECIDE = {
    event: (
        "UPDATE calls SET state = v.state, decided_at = v.decided_at, customer_phone = v.customer_phone FROM {rows} "
        f"WHERE {_THE_CALL} AND {leads(CALL_MOVES, [event], of_the_row('calls.state'), 'v.state')}"
    )
    for event in (CallEvent.DECIDE, CallEvent.DECIDE_ANEW)
}
# The state is no literal, so that no partial index can be chosen, where all that was ever open lies dead on Postgres.
_LEFT = {**KEY, "state": "text", "decided_at": "bigint"}
_LEAVE = (
    f"UPDATE calls SET state = '{CALL_MOVES.only_target(CallEvent.LEAVE)}', decided_at = v.decided_at FROM {{rows}} "
    f"WHERE {_THE_CALL} AND calls.state = v.state AND calls.decided_at IS NULL"
)

_ANSWERED = f"{TO_RELEASE} AND NOT ({IS_WANTED})"
_WAITING = {**KEY, "state": "text", "settle_at": "bigint"}
_WAIT = (
    f"UPDATE calls SET settle_at = v.settle_at, put_off = 1 FROM {{rows}} WHERE {_THE_CALL} AND calls.state = v.state"
)


def try_to_keep_books(connection: Connection) -> bool:
    """Postgres: true when this transaction may keep the books, until it ends."""
    return bool(
        connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}).scalar_one()
    )


def to_raw(row: Row[Any]) -> RawCallback:
    return RawCallback(
        dedupe_key=row.dedupe_key,
        account_sid=row.account_sid,
        call_sid=row.call_sid,
        parent_call_sid=row.parent_call_sid,
        received_at=row.received_at,
        method=row.method,
        target=row.target,
        content_type=row.content_type,
        headers=tuple((name, value) for name, value in json.loads(row.headers)),
        body=bytes(row.body),
        source=row.source,
    )


class BooksOnSql:
    """`Books` of pipeline/ports/books.py. `read` and `write` give a connection in a transaction, the same one or new ones."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def unfolded(self, limit: int, *, newest: bool = False) -> Sequence[Stored]:
        order = callbacks.c.seq.desc() if newest else callbacks.c.seq
        statement = select(callbacks).where(text("folded = 0")).order_by(order).limit(limit)
        with self._read() as connection:
            return sorted(map(_stored, connection.execute(statement)))

    def families(self, fresh: Sequence[Stored]) -> Families:
        with self._read() as connection:
            known = _known_legs(connection, fresh)
            links = _links(known, fresh)
            touched = {CallKey(one.raw.account_sid, links[one.raw.key].root) for one in fresh}
            members = {key: link for key, link in links.items() if CallKey(key.account_sid, link.root) in touched}
            rows = _callbacks_of(connection, members)
            new = {key: link for key, link in links.items() if known.get(key) != link}
            absorbed = _absorbed(connection, {key: link for key, link in new.items() if key.call_sid != link.root})
        taken = [row.seq for row in rows if not row.folded and _is_linked(row, members)]
        return Families(
            calls=_by_root(rows, members),
            seqs={*taken, *(one.seq for one in fresh)},
            links=new,
            absorbed=absorbed.keys(),
            converted={
                CallKey(key.account_sid, links[key].root)
                for key, state in absorbed.items()
                if state == CallState.CONVERTED
            },
        )

    def save(self, families: Families, folded: Sequence[Folded]) -> None:
        new = [
            {**key._asdict(), "parent_call_sid": link.parent, "root_sid": link.root}
            for key, link in sorted(families.links.items())
        ]
        linked = insert(legs, new, _ON_LEG)
        merged = with_rows(_MERGE, KEY, named(families.absorbed))
        counted = insert(calls, [_call_row(one, families.converted) for one in folded], _ON_CALL)
        taken = with_rows(_MARK, {"seq": "bigint"}, [{"seq": seq} for seq in families.seqs])
        with self._write() as connection:
            linked.run(connection)
            _must_be_all(merged.run(connection), families.absorbed)
            _must_be_legal(counted.run(connection), folded)
            _must_be_all(taken.run(connection), families.seqs)
            count(connection, {*families.absorbed, *(one.call.key for one in folded)})

    def due(self, now: datetime, limit: int, *, newest: bool = False) -> Sequence[CallKey]:
        order = calls.c.settle_at.desc() if newest else calls.c.settle_at
        statement = (
            select(calls.c.account_sid, calls.c.call_sid)
            .where(text(is_one_of("state", [CallState.SETTLING])), calls.c.settle_at <= now)
            .order_by(order)
            .limit(limit)
        )
        with self._read() as connection:
            return [CallKey(*row) for row in connection.execute(statement)]

    def parked(self, after: str, limit: int) -> ParkedPage:
        with self._read() as connection:
            rows = connection.execute(parked_after(after, limit)).all()
            known = _to_decide(connection, rows)
        found = [key_of(row) for row in rows if key_of(row) in known]
        if len(rows) < limit:
            return ParkedPage(found, None)
        last = rows[-1].place
        if key_of(rows[-1]) not in known:  # nor are the others from there
            return ParkedPage(found, last)
        # The same caller may have more calls than fit the page: once these are decided, it begins with the others.
        return ParkedPage(found, max((row.place for row in rows if row.place != last), default=after))

    def parked_since(self, before: datetime, limit: int) -> Sequence[CallKey]:
        statement = (
            select(calls.c.account_sid, calls.c.call_sid)
            .where(text(is_one_of("state", [CallState.PARKED])), calls.c.first_received_at <= before)
            .order_by(calls.c.first_received_at)
            .limit(limit)
        )
        with self._read() as connection:
            return [CallKey(*row) for row in connection.execute(statement)]

    def settled(self, keys: Collection[CallKey]) -> Settled:
        with self._read() as connection:
            legs_rows = for_each(connection, named(keys), KEY, legs, BY_ROOT)
            members = {key_of(row): Link(row.parent_call_sid, row.root_sid) for row in legs_rows}
            rows = _callbacks_of(connection, members)
            children = for_each(connection, named(members), KEY, callbacks, f"{_BY_PARENT} AND t.folded = 0")
        waiting = {row.seq: row for row in (*rows, *children) if not row.folded and not _is_linked(row, members)}
        return Settled(_by_root(rows, members), sorted(map(_stored, waiting.values())))

    def calls_before(self, asking: Sequence[Asking], limit: int) -> Sequence[Sequence[CallBefore]]:
        with self._read() as connection:
            return calls_before(connection, asking, limit)

    def customers(self, phones: Collection[str]) -> tuple[Mapping[str, Customer], int]:
        with self._read() as connection:
            return find_customers_and_version(connection, phones)

    def customers_as_of(self, asked: Collection[tuple[str, datetime]]) -> Mapping[tuple[str, datetime], Customer]:
        with self._read() as connection:
            found = first_not_over(connection, asked)
        return {(phone, at): customer_of(phone, row) for (phone, at), row in found.items()}

    def waited(self, keys: Collection[CallKey]) -> Collection[CallKey]:
        with self._read() as connection:
            rows = for_each(
                connection, named(keys), KEY, calls, BY_KEY, ("account_sid", "call_sid", "state", "put_off")
            )
        return {key_of(row) for row in rows if _waits(row)}

    def record(self, decided: Collection[Decided], event: CallEvent = CallEvent.DECIDE) -> None:
        moved = with_rows(_DECIDE[event], _DECIDED, map(_decided_row, decided))
        outlines, journaled = journal(decided)
        converted = [one for one in decided if isinstance(one.decision, Convert)]
        leaving = insert(conversions, list(map(_conversion_row, converted)))
        with self._write() as connection:
            _must_be_all(moved.run(connection), decided)
            outlines.run(connection)
            journaled.run(connection)
            # Should a row stand there already, the transaction fails: one call, one conversion, whatever else is wrong.
            leaving.run(connection)
            count(connection, [one.call.key for one in decided], decided)

    def unresolved(self, keys: Collection[CallKey], now: datetime) -> Mapping[CallKey, str]:
        with self._read() as connection:
            rows = for_each(connection, named(keys), KEY, calls, BY_KEY)
            numbers = {key_of(row): number_to_ask(row.customer_phone) for row in rows}
            asked = {key: phone for key, phone in numbers.items() if phone}
            fresh = fresh_numbers(connection, set(asked.values()), now)
        return {key: phone for key, phone in asked.items() if phone not in fresh}

    def let_wait(self, asked: Mapping[CallKey, str], now: datetime, until: datetime) -> None:
        fixed = {"state": CallState.SETTLING.value, "settle_at": micros(until)}
        waiting = with_rows(_WAIT, _WAITING, [{**key._asdict(), **fixed} for key in asked])
        wanted = wanted_look_ups(asked.values(), now)
        with self._write() as connection:
            _must_be_all(waiting.run(connection), asked)
            wanted.run(connection)

    def answered(self, limit: int, *, every: bool = False) -> Answered:
        answered, asked = select(lookups).where(text(_ANSWERED)), select(lookups).where(text(IS_ASKED))
        some = (answered, asked.order_by(lookups.c.due_at)) if every else (answered,)
        parked: set[CallKey] = set()
        with self._read() as connection:
            states = {row.phone: LookUpState(row.state) for one in some for row in connection.execute(one.limit(limit))}
            for phone in sorted(with_parked_calls(connection, find_customers(connection, states))):
                if len(parked) < limit:
                    parked |= _to_decide(connection, connection.execute(parked_of(phone, limit)).all())
        return Answered(states, sorted(parked))

    def release(
        self, numbers: Mapping[str, LookUpState], now: datetime, settled_before: datetime, *, every: bool = False
    ) -> None:
        of = {state: [phone for phone, found in numbers.items() if found is state] for state in LookUpState}
        statements = [
            released_calls(numbers, now, settled_before),
            forgotten_look_ups(numbers) if every else forgotten_look_ups(of[LookUpState.KNOWN], LookUpState.KNOWN),
            released_look_ups(of[LookUpState.UNKNOWN]),
        ]
        with self._write() as connection:
            for one in statements:
                one.run(connection)

    def open_since(self, before: datetime, limit: int) -> Sequence[OpenCall]:
        names = (calls.c.account_sid, calls.c.call_sid, calls.c.status, calls.c.legs, calls.c.first_received_at)
        statement = (
            select(*names)
            .where(text(IS_OPEN), calls.c.first_received_at <= before)
            .order_by(calls.c.first_received_at)
            .limit(limit)
        )
        with self._read() as connection:
            rows = connection.execute(statement).all()
        return [OpenCall(CallKey(*row[:2]), *row[2:]) for row in rows]

    def leave_unfinished(self, why: Mapping[CallKey, str], now: datetime, rules_version: str) -> None:
        [stands] = CALL_MOVES.sources(CallEvent.LEAVE)
        rows = [{**key._asdict(), "state": stands.value, "decided_at": micros(now)} for key in why]
        moved = with_rows(_LEAVE, _LEFT, rows)
        decision = {"decided_at": now, "result": UNFINISHED, "rules_version": rules_version, "mapping_version": 0}
        journaled = insert(
            decisions,
            [{**key._asdict(), **decision, "reasons": _reasons((UNFINISHED, one))} for key, one in why.items()],
        )
        with self._write() as connection:
            _must_be_all(moved.run(connection), why)
            journaled.run(connection)
            count(connection, why)


def _reasons(*pairs: tuple[str, str]) -> str:
    """[word, sentence] of each, as the journal keeps them."""
    return json.dumps(pairs, ensure_ascii=False)


def _to_decide(connection: Connection, rows: Sequence[Any]) -> set[CallKey]:
    """Of these parked calls, those of whose caller the mapping says something else by now.

    That several people have a number is journaled once for each of its calls on one page; any more wait as they were.
    """
    found = find_customers(connection, {row.customer_phone for row in rows})
    known = {key_of(row): found[row.customer_phone] for row in rows if row.customer_phone in found}
    shared = [key for key, customer in known.items() if customer.people > 1]
    decided = for_each(connection, named(shared), KEY, decisions, BY_KEY)
    newest = {key_of(row): row for row in sorted(decided, key=lambda row: row.id)}
    return known.keys() - {key for key, row in newest.items() if SEVERAL_CUSTOMERS in dict(json.loads(row.reasons))}


def _waits(row: Any) -> bool:
    return row.state == CallState.PARKED or bool(row.state == CallState.SETTLING and row.put_off)


def _stored(row: Row[Any]) -> Stored:
    return Stored(row.seq, to_raw(row))


def _must_be_all(changed: int, wanted: Collection[Any]) -> None:
    """Rolls the transaction back when a second bookkeeper was at work: a lock file deleted, a version that knows no turn."""
    if changed != len(wanted):
        raise LedgerUnavailable("the books were changed by somebody else meanwhile", "busy")


def _must_be_legal(taken_in: int, folded: Collection[Folded]) -> None:
    """A call is passed over where its table says nothing of callbacks that come to one which stands so."""
    if taken_in != len(folded):
        raise IllegalMove(f"{len(folded) - taken_in} of {len(folded)} calls take no callbacks in where they stand")


def _known_legs(connection: Connection, fresh: Sequence[Stored]) -> dict[CallKey, Link]:
    """All legs of every family that the callbacks touch."""
    keys = {one.raw.key for one in fresh}
    keys |= {CallKey(one.raw.account_sid, one.raw.parent_call_sid) for one in fresh if one.raw.parent_call_sid}
    touched = for_each(connection, named(keys), KEY, legs, BY_KEY)
    roots = {CallKey(row.account_sid, row.root_sid) for row in touched}
    rows = for_each(connection, named(roots), KEY, legs, BY_ROOT)
    return {key_of(row): Link(row.parent_call_sid, row.root_sid) for row in rows}


def _links(known: Mapping[CallKey, Link], fresh: Sequence[Stored]) -> dict[CallKey, Link]:
    """Where each leg of the touched families hangs, now that `fresh` have come."""
    parents = {key: link.parent for key, link in known.items() if link.parent}
    parents |= {one.raw.key: one.raw.parent_call_sid for one in fresh if one.raw.parent_call_sid}
    every = {*known, *(one.raw.key for one in fresh)}
    every |= {CallKey(key.account_sid, parent) for key, parent in parents.items()}
    above: dict[str, dict[str, str]] = {}
    for key, parent in parents.items():
        above.setdefault(key.account_sid, {})[key.call_sid] = parent
    return {key: Link(parents.get(key), root_of(key.call_sid, above.get(key.account_sid, {}))) for key in every}


def _callbacks_of(connection: Connection, members: Iterable[CallKey]) -> list[Row[Any]]:
    rows = for_each(connection, named(members), KEY, callbacks, BY_KEY)
    return sorted(rows, key=lambda row: row.seq)


def _absorbed(connection: Connection, below: Mapping[CallKey, Link]) -> dict[CallKey, str]:
    """Of these legs, those that stood as calls of their own, with the state of each."""
    rows = for_each(connection, named(below), KEY, calls, f"{BY_KEY} AND t.state <> '{CallState.MERGED}'")
    return {key_of(row): row.state for row in rows}


def _is_linked(row: Row[Any], members: Mapping[CallKey, Link]) -> bool:
    """True when the callback says nothing new about where its leg hangs."""
    link = members.get(key_of(row))
    return link is not None and row.parent_call_sid in (None, link.parent)


def _by_root(rows: Iterable[Row[Any]], members: Mapping[CallKey, Link]) -> dict[CallKey, list[RawCallback]]:
    found: dict[CallKey, list[RawCallback]] = {}
    for row in rows:
        root = members[key_of(row)].root
        found.setdefault(CallKey(row.account_sid, root), []).append(to_raw(row))
    return found


def _call_row(folded: Folded, converted: Collection[CallKey]) -> dict[str, Any]:
    call, root = folded.call, folded.call.root
    state = CallState.SETTLING if folded.settle_at else CallState.OPEN
    return {
        **call.key._asdict(),
        "state": CALL_MOVES.first(CallState.CONVERTED if call.key in converted else state).value,
        "status": (root.status if root else Status.UNKNOWN).value,
        "direction": (root.direction if root else Direction.UNKNOWN).value,
        "from_number": root.from_ if root else "",
        "to_number": root.to if root else "",
        "customer_phone": folded.customer_phone,
        "duration_seconds": root.duration_seconds if root else None,
        "callbacks": call.callbacks,
        "legs": len(call.children) + (1 if root else 0),
        "first_received_at": call.first_received_at,
        "ended_at": root.ended_at if root else None,
        "final_at": call.final_at,
        "settle_at": folded.settle_at,
        "answered": _flag(is_by_person(call)),
    }


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _decided_row(one: Decided) -> dict[str, Any]:
    return {
        **one.call.key._asdict(),
        "state": state_of(one.decision).value,
        "decided_at": micros(one.decided_at),
        "customer_phone": PersonText.kept(one.customer_phone),
    }


def journal(decided: Collection[Decided]) -> tuple[Insert, Insert]:
    """What the journal keeps of decisions: the outlines at which their traces point, where they are not kept, and each."""
    trails = ((one.decision.because.trace, one.decided_at) for one in decided)
    used = {trail.outline: at for trail, at in trails if isinstance(trail, Trail)}
    outlines = [{"version": one.name, "text": one.text, "first_used_at": at} for one, at in used.items()]
    return insert(rules, outlines, ONCE), insert(decisions, list(map(_decision_row, decided)))


def _decision_row(one: Decided) -> dict[str, Any]:
    because = one.decision.because
    return {
        **one.call.key._asdict(),
        "decided_at": one.decided_at,
        "result": state_of(one.decision).value,
        "reasons": _reasons(*((reason.word, reason.sentence) for reason in one.decision.reasons)),
        "rules_version": one.rules_version,
        "mapping_version": one.mapping_version,
        "who": json.dumps((because.who.word, because.who.sentence), ensure_ascii=False) if because.who else None,
        "rule": because.rule,
        "trace": as_kept(because.trace),
        "customer_row": one.customer_row,
    }


def _conversion_row(one: Decided) -> dict[str, Any]:
    assert isinstance(one.decision, Convert) and one.payload is not None
    return {
        **one.call.key._asdict(),
        "action": one.decision.conversion.action,
        "order_id": one.decision.conversion.order_id,
        "payload": one.payload,
        "state": CONVERSION_MOVES.first(State.PENDING).value,
        "reason": "new",
        "created_at": one.decided_at,
        "horizon_from": one.decided_at,
        "due_at": one.due_at,
        "fence": 0,
        "attempts": 0,
        "expired_leases": 0,
        "maybe_sent": 0,
    }
