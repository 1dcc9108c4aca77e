"""A conversion decided anew because a person asked: new bytes in the place of those that were refused, the old ones kept.

Only where nothing can have been counted (`nothing_can_have_counted` of pipeline/delivery.py): that is asked for again here,
in the transaction that replaces them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from offhook.adapters.ledger.books import BooksOnSql, journal
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.legal import may_move
from offhook.adapters.ledger.rows import BY_KEY, KEY, for_each, key_of, named
from offhook.adapters.ledger.schema import attempts, conversions, replaced
from offhook.adapters.ledger.tallies import count_sent
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Convert
from offhook.pipeline.delivery import CONVERSION_MOVES, Event, Result, State, nothing_can_have_counted
from offhook.pipeline.ports.books import Decided, KnownCalls
from offhook.pipeline.story import ConversionLine

REBUILT = "rebuilt"
_MAY_BE_REBUILT = may_move(CONVERSION_MOVES, Event.REBUILD, "conversions.state")
Tried = list[tuple[Result, int | None]]
_AT_ONCE = 50  # in one transaction, so that no callback waits for it


class RebuildingOnSql:
    """`Rebuilding` of pipeline/ports/rebuilding.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_calls(self) -> KnownCalls:
        """What is known whenever it is asked; nobody's turn is needed to read it."""
        return BooksOnSql(self._read, self._read)

    def _read(self) -> Any:
        return self._database.read(patient=True)

    def may_be_rebuilt(self, found: Sequence[ConversionLine]) -> set[CallKey]:
        """Of these conversions, those of which nothing can have been counted."""
        with self._read() as connection:
            tried = _tried(connection, [one.key for one in found])
        return {one.key for one in found if _is_free(one, tried.get(one.key, []))}

    def rebuild(self, decided: Collection[Decided], fences: Mapping[CallKey, int], now: datetime) -> int:
        """Put these in the place of what was refused, a few in each transaction. Returns how many."""
        wanted, moved = list(decided), 0
        for first in range(0, len(wanted), _AT_ONCE):
            with self._database.write() as connection:
                changed = [one for one in wanted[first : first + _AT_ONCE] if _replace(connection, one, fences, now)]
                count_sent(connection, [one.call.key for one in changed], changed)
                moved += len(changed)
        return moved


def _replace(connection: Connection, one: Decided, fences: Mapping[CallKey, int], now: datetime) -> bool:
    key = one.call.key
    assert isinstance(one.decision, Convert)
    table = conversions.c
    mine = _of(table, key)
    rests = (text(_MAY_BE_REBUILT), table.fence == fences[key])
    before = connection.execute(select(conversions).where(*mine, *rests).with_for_update()).first()
    if before is None or not _is_free(before, _tried(connection, [key]).get(key, [])):
        return False
    kept = {name: getattr(before, name) for name in ("action", "order_id", "payload", "attempts")}
    connection.execute(insert(replaced).values(**key._asdict(), **kept, replaced_at=now))
    decided = {"action": one.decision.conversion.action, "order_id": one.decision.conversion.order_id}
    connection.execute(update(conversions).where(*mine).values(**decided, payload=one.payload, **_as_new(now)))
    for rows in journal([one]):
        rows.run(connection)
    return True


def _of(columns: Any, key: CallKey) -> tuple[Any, Any]:
    return columns.account_sid == key.account_sid, columns.call_sid == key.call_sid


def _tried(connection: Connection, keys: Sequence[CallKey]) -> Mapping[CallKey, Tried]:
    """All attempts that the journal knows, the latest last."""
    tried: dict[CallKey, Tried] = {}
    found = for_each(connection, named(keys), KEY, attempts, BY_KEY)
    for line in sorted(found, key=lambda line: line.id):
        tried.setdefault(key_of(line), []).append((Result(line.result), line.status_code))
    return tried


def _is_free(one: Any, tried: Tried) -> bool:
    """A row of conversions, or a line, of which nothing can have been counted."""
    return nothing_can_have_counted(State(one.state), bool(one.maybe_sent), tried)


def _as_new(now: datetime) -> dict[str, Any]:
    return {
        "state": CONVERSION_MOVES.only_target(Event.REBUILD).value,
        "reason": REBUILT,
        "due_at": now,
        "horizon_from": now,
        "first_attempt_at": None,
        "expired_leases": 0,
    }
