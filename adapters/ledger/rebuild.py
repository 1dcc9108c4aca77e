"""A conversion decided anew because a person asked: new bytes in the place of those that were refused, the old ones kept.

Only where nothing can have been counted (`nothing_can_have_counted` of pipeline/delivery.py): that is asked for again here,
in the transaction that replaces them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from offhook.adapters.ledger.books import BY_KEY, BooksOnSql, decision_row
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import KEY, for_each
from offhook.adapters.ledger.schema import attempts, conversions, decisions, replaced
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert
from offhook.pipeline.delivery import NOT_TAKEN, Result, State, nothing_can_have_counted
from offhook.pipeline.ports import Books, Decided

REBUILT = "rebuilt"
_AT_ONCE = 50  # in one transaction, so that no callback waits for it


class Rebuilding:
    def __init__(self, database: Database) -> None:
        self._database = database

    def books(self) -> Books:
        """To read what is known of calls now; nobody's turn is needed for that."""
        return BooksOnSql(self._read, self._read)

    def _read(self) -> Any:
        return self._database.read(patient=True)

    def may_be_rebuilt(self, rows: Sequence[Row[Any]]) -> set[CallKey]:
        """Of these conversions, those of which nothing can have been counted."""
        named = [{"account_sid": row.account_sid, "call_sid": row.call_sid} for row in rows]
        tried: dict[CallKey, list[tuple[Result, int | None]]] = {}
        with self._read() as connection:
            for line in sorted(for_each(connection, named, KEY, attempts, BY_KEY), key=lambda line: line.id):
                key = CallKey(line.account_sid, line.call_sid)
                tried.setdefault(key, []).append((Result(line.result), line.status_code))
        return {
            key
            for row in rows
            for key in [CallKey(row.account_sid, row.call_sid)]
            if nothing_can_have_counted(State(row.state), bool(row.maybe_sent), tried.get(key, []))
        }

    def rebuild(self, decided: Collection[Decided], fences: Mapping[CallKey, int], now: datetime) -> int:
        """Put these in the place of what was refused, and send them. Returns how many; a conversion that has moved since
        its fence was seen stays as it is.
        """
        wanted, moved = list(decided), 0
        for first in range(0, len(wanted), _AT_ONCE):
            with self._database.write() as connection:
                moved += sum(_replace(connection, one, fences, now) for one in wanted[first : first + _AT_ONCE])
        return moved


def _replace(connection: Connection, one: Decided, fences: Mapping[CallKey, int], now: datetime) -> bool:
    key = one.call.key
    assert isinstance(one.decision, Convert)
    table = conversions.c
    mine = _of(table, key)
    refused = (table.state == State.DEAD.value, table.maybe_sent == 0, table.fence == fences[key], ~_in_doubt(key))
    before = connection.execute(select(conversions).where(*mine, *refused).with_for_update()).first()
    if before is None:
        return False
    kept = {name: getattr(before, name) for name in ("action", "order_id", "payload", "attempts")}
    connection.execute(insert(replaced).values(**key._asdict(), **kept, replaced_at=now))
    told = {"action": one.decision.conversion.action, "order_id": one.decision.conversion.order_id}
    connection.execute(update(conversions).where(*mine).values(**told, payload=one.payload, **_as_new(now)))
    connection.execute(insert(decisions).values(**decision_row(one)))
    return True


def _of(columns: Any, key: CallKey) -> tuple[Any, Any]:
    return columns.account_sid == key.account_sid, columns.call_sid == key.call_sid


def _in_doubt(key: CallKey) -> Any:
    return exists().where(*_of(attempts.c, key), attempts.c.result.not_in([result.value for result in NOT_TAKEN]))


def _as_new(now: datetime) -> dict[str, Any]:
    return {
        "state": State.PENDING.value,
        "reason": REBUILT,
        "due_at": now,
        "horizon_from": now,
        "first_attempt_at": None,
        "expired_leases": 0,
    }
