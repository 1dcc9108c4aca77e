"""The bookkeeper's transaction: callbacks into calls, calls into decisions. One worker at a time holds it.

On SQLite the write lock sees to that, on Postgres an advisory lock that ends with the transaction, so that a killed
worker never leaves it behind. Folding is a small part of the work, and one at a time needs no thought about races.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, insert, or_, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.ledger.schema import callbacks, calls, conversions, counters, customers, decisions, legs
from pipeline.call import Call, CallKey, RawCallback, root_of
from pipeline.conversion import Convert, Customer, Park, Skip
from pipeline.delivery import State
from pipeline.ports import Decided

_ADVISORY_LOCK = 0x0FF_4001
MAPPING_VERSION = "mapping_version"
_UNDECIDED = or_(calls.c.state == "open", calls.c.state == "settling")
_RESULTS: dict[type[Convert] | type[Park] | type[Skip], str] = {Convert: "converted", Park: "parked", Skip: "skipped"}


def try_to_keep_books(connection: Connection) -> bool:
    """True when this transaction may keep the books, until it ends."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(
        connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}).scalar_one()
    )


def upsert(connection: Connection) -> Any:
    """The dialect's own `insert`, which knows ON CONFLICT."""
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


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
    """`Books` of pipeline/ports.py on one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fresh_seqs: list[int] = []
        self._told: set[CallKey] = set()
        self._call_rows: list[dict[str, Any]] = []

    def unfolded(self, limit: int) -> Sequence[RawCallback]:
        statement = select(callbacks).where(text("folded = 0")).order_by(callbacks.c.seq).limit(limit)
        rows = self._connection.execute(statement).all()
        self._fresh_seqs = [row.seq for row in rows]
        return [to_raw(row) for row in rows]

    def families(self, fresh: Sequence[RawCallback]) -> Mapping[CallKey, Sequence[RawCallback]]:
        roots = self._link(fresh)
        return self.callbacks_of({CallKey(raw.account_sid, roots[raw.key]) for raw in fresh})

    def _link(self, fresh: Sequence[RawCallback]) -> dict[CallKey, str]:
        """Write down which leg hangs from which; returns the root of each leg that was touched."""
        known = self._known_legs(fresh)
        parents = {key: parent for key, (parent, _) in known.items() if parent}
        parents |= {raw.key: raw.parent_call_sid for raw in fresh if raw.parent_call_sid}
        every = set(known) | {raw.key for raw in fresh}
        every |= {CallKey(key.account_sid, parent) for key, parent in parents.items()}
        roots: dict[CallKey, str] = {}
        for account in {key.account_sid for key in every}:
            above = {key.call_sid: parent for key, parent in parents.items() if key.account_sid == account}
            roots |= {key: root_of(key.call_sid, above) for key in every if key.account_sid == account}
        changed = {key: root for key, root in roots.items() if known.get(key) != (parents.get(key), root)}
        self._write_legs(changed, parents)
        self._merge_absorbed({key: roots[key] for key in changed if key.call_sid != roots[key]})
        return roots

    def _known_legs(self, fresh: Sequence[RawCallback]) -> dict[CallKey, tuple[str | None, str]]:
        """All legs of every family that the callbacks touch: (parent, root) by key."""
        sids = {raw.call_sid for raw in fresh} | {raw.parent_call_sid for raw in fresh if raw.parent_call_sid}
        touched = select(legs.c.root_sid).where(legs.c.call_sid.in_(sids))
        rows = self._connection.execute(select(legs).where(legs.c.root_sid.in_(touched))).all()
        return {CallKey(row.account_sid, row.call_sid): (row.parent_call_sid, row.root_sid) for row in rows}

    def _write_legs(self, changed: Mapping[CallKey, str], parents: Mapping[CallKey, str]) -> None:
        if not changed:
            return
        statement = upsert(self._connection)(legs)
        statement = statement.on_conflict_do_update(
            index_elements=["account_sid", "call_sid"],
            set_={"parent_call_sid": statement.excluded.parent_call_sid, "root_sid": statement.excluded.root_sid},
        )
        rows = [
            {**key._asdict(), "parent_call_sid": parents.get(key), "root_sid": root} for key, root in changed.items()
        ]
        self._connection.execute(statement, rows)

    def _merge_absorbed(self, absorbed: Mapping[CallKey, str]) -> None:
        """What stood as a call of its own is a leg now. If it was told already, its new call must not be told again."""
        if not absorbed:
            return
        names = tuple_(calls.c.account_sid, calls.c.call_sid)
        rows = self._connection.execute(select(calls).where(names.in_(list(absorbed)), calls.c.state != "merged")).all()
        for row in rows:
            key = CallKey(row.account_sid, row.call_sid)
            if row.state == "converted":
                self._told.add(CallKey(key.account_sid, absorbed[key]))
        if rows:
            self._connection.execute(
                update(calls).where(names.in_(list(absorbed))).values(state="merged", settle_at=None)
            )

    def save_call(self, call: Call, settle_at: datetime | None) -> None:
        root = call.root
        state = "settling" if settle_at else "open"
        self._call_rows.append(
            {
                **call.key._asdict(),
                "state": "converted" if call.key in self._told else state,
                "status": root.status.value if root else "unknown",
                "direction": root.direction.value if root else "unknown",
                "from_number": root.from_ if root else "",
                "to_number": root.to if root else "",
                "duration_seconds": root.duration_seconds if root else None,
                "callbacks": call.callbacks,
                "legs": len(call.children) + (1 if root else 0),
                "first_received_at": call.first_received_at,
                "ended_at": root.ended_at if root else None,
                "final_at": call.final_at,
                "settle_at": settle_at,
            }
        )

    def mark_folded(self, fresh: Sequence[RawCallback]) -> None:  # noqa: ARG002 (they are the ones `unfolded` gave)
        self._write_calls()
        self._connection.execute(update(callbacks).where(callbacks.c.seq.in_(self._fresh_seqs)).values(folded=1))

    def _write_calls(self) -> None:
        """All of them at once; a state that was decided stays, whatever comes later."""
        if not self._call_rows:
            return
        statement = upsert(self._connection)(calls)
        new = statement.excluded
        settable = {name: new[name] for name in self._call_rows[0] if name not in ("account_sid", "call_sid", "state")}
        settable["state"] = case((_UNDECIDED, new.state), else_=calls.c.state)
        statement = statement.on_conflict_do_update(index_elements=["account_sid", "call_sid"], set_=settable)
        self._connection.execute(statement, self._call_rows)
        self._call_rows = []

    def due(self, now: datetime, limit: int) -> Sequence[CallKey]:
        statement = (
            select(calls.c.account_sid, calls.c.call_sid)
            .where(text("state = 'settling'"), calls.c.settle_at <= now)
            .order_by(calls.c.settle_at)
            .limit(limit)
        )
        return [CallKey(*row) for row in self._connection.execute(statement)]

    def parked_and_known(self, limit: int) -> Sequence[CallKey]:
        statement = (
            select(calls.c.account_sid, calls.c.call_sid)
            .join(customers, customers.c.phone == calls.c.customer_phone)
            .where(text("calls.state = 'parked'"))
            .limit(limit)
        )
        return [CallKey(*row) for row in self._connection.execute(statement)]

    def callbacks_of(self, keys: Collection[CallKey]) -> Mapping[CallKey, Sequence[RawCallback]]:
        of_leg = (legs.c.call_sid == callbacks.c.call_sid) & (legs.c.account_sid == callbacks.c.account_sid)
        statement = (
            select(callbacks, legs.c.root_sid)
            .join(legs, of_leg)
            .where(legs.c.root_sid.in_({key.call_sid for key in keys}))
            .order_by(callbacks.c.seq)
        )
        found: dict[CallKey, list[RawCallback]] = {}
        for row in self._connection.execute(statement):
            key = CallKey(row.account_sid, row.root_sid)
            if key in keys:
                found.setdefault(key, []).append(to_raw(row))
        return found

    def customers(self, phones: Collection[str]) -> Mapping[str, Customer]:
        return find_customers(self._connection, phones)

    def mapping_version(self) -> int:
        return read_mapping_version(self._connection)

    def record(self, decided: Iterable[Decided]) -> None:
        every = list(decided)
        told = [one for one in every if isinstance(one.decision, Convert)]
        self._connection.execute(insert(decisions), [_decision_row(one) for one in every])
        if told:
            # Should a row stand there already, the transaction fails: one call, one conversion, whatever else is wrong.
            self._connection.execute(insert(conversions), [_conversion_row(one) for one in told])
        for one in every:
            self._connection.execute(
                update(calls)
                .where(calls.c.account_sid == one.call.key.account_sid, calls.c.call_sid == one.call.key.call_sid)
                .values(state=_RESULTS[type(one.decision)], decided_at=one.decided_at, customer_phone=one.from_e164)
            )


def find_customers(connection: Connection, phones: Collection[str]) -> dict[str, Customer]:
    if not phones:
        return {}
    rows = connection.execute(select(customers).where(customers.c.phone.in_(list(phones))))
    return {row.phone: Customer(row.phone, row.email, row.customer_id) for row in rows}


def read_mapping_version(connection: Connection) -> int:
    found = connection.execute(select(counters.c.value).where(counters.c.name == MAPPING_VERSION)).scalar_one_or_none()
    return found or 0


def _decision_row(one: Decided) -> dict[str, Any]:
    return {
        **one.call.key._asdict(),
        "decided_at": one.decided_at,
        "result": _RESULTS[type(one.decision)],
        "reasons": json.dumps([[reason.word, reason.sentence] for reason in one.decision.reasons], ensure_ascii=False),
        "rules_version": one.rules_version,
        "mapping_version": one.mapping_version,
    }


def _conversion_row(one: Decided) -> dict[str, Any]:
    assert isinstance(one.decision, Convert) and one.payload is not None
    return {
        **one.call.key._asdict(),
        "action": one.decision.conversion.action,
        "order_id": one.decision.conversion.order_id,
        "payload": one.payload,
        "state": State.PENDING.value,
        "reason": "new",
        "created_at": one.decided_at,
        "horizon_from": one.decided_at,
        "due_at": one.decided_at,
        "fence": 0,
        "attempts": 0,
        "expired_leases": 0,
        "maybe_sent": 0,
    }
