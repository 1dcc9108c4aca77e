"""`Past` of pipeline/ports/past.py: pages of calls by the index of their first callback."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_

from offhook.adapters.ledger.books import BY_KEY
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import KEY, for_each, key_of, named
from offhook.adapters.ledger.schema import calls, decisions
from offhook.adapters.ledger.schema import rules as rules_table
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.counting import kind_of
from offhook.pipeline.ports.past import PastCall, RulesUsed, RuleUse, RuleUses

DECIDED = (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED)
_OF_A_CALL = ("account_sid", "call_sid", "first_received_at", "state", "direction", "from_number", "to_number")
_OF_A_DECISION = ("account_sid", "call_sid", "id", "reasons")  # how the rules were gone through is long
_DECIDED_SO = frozenset(state.value for state in DECIDED)
_told = decisions.c
_ORDER = (calls.c.first_received_at, calls.c.account_sid, calls.c.call_sid)


class PastOnSql:
    def __init__(self, database: Database) -> None:
        self._database = database

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        asked = select(*(calls.c[name] for name in _OF_A_CALL))
        # The index has the time alone; what is behind it is compared among the few calls of one moment.
        asked = asked.where(calls.c.first_received_at >= (after.first_received_at if after else since))
        asked = asked.where(calls.c.state.in_([state.value for state in DECIDED]))
        if after is not None:
            asked = asked.where(tuple_(*_ORDER) > (after.first_received_at, *after.key))
        with self._database.read(patient=True) as connection:
            rows = connection.execute(asked.order_by(*_ORDER).limit(limit)).all()
            told = for_each(connection, named(map(key_of, rows)), KEY, decisions, BY_KEY, _OF_A_DECISION)
        newest = {key_of(row): row.reasons for row in sorted(told, key=lambda row: int(row.id))}
        return [_past(row, newest) for row in rows]

    def count_since(self, since: datetime, at_most: int) -> int:
        some = select(calls.c.call_sid).where(calls.c.first_received_at >= since).limit(at_most).subquery()
        with self._database.read(patient=True) as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def uses(self, since: datetime, at_most: int) -> RuleUses:
        """Along the journal's own key, from its end: what is older costs nothing."""
        names = (_told.account_sid, _told.call_sid, _told.decided_at, _told.result, _told.reasons, _told.rule)
        newest = select(*names).where(_told.id > 0).order_by(_told.id.desc()).limit(at_most + 1)
        with self._database.read(patient=True) as connection:
            rows = connection.execute(newest).all()
        wanted = [row for row in rows[:at_most] if row.decided_at >= since]
        is_whole = len(wanted) < len(rows[:at_most]) or len(rows) <= at_most
        return RuleUses(tuple(_uses(wanted)), min((row.decided_at for row in wanted), default=None), is_whole)

    def rules_used(self, limit: int) -> Sequence[RulesUsed]:
        held = rules_table.c
        newest = select(held.version, held.first_used_at, held.text)
        newest = newest.order_by(held.first_used_at.desc(), held.version).limit(limit)
        with self._database.read(patient=True) as connection:
            return [RulesUsed(*row) for row in connection.execute(newest)]


def _uses(rows: Iterable[Any]) -> list[RuleUse]:
    """Of each call the decision that comes first in these, which is its newest."""
    calls_of: dict[CallKey, tuple[str | None, CallState, str]] = {}
    for row in rows:
        if row.result in _DECIDED_SO:
            reasons = json.loads(row.reasons)
            word = kind_of(reasons[0][0]) if reasons else ""
            calls_of.setdefault(key_of(row), (row.rule, CallState(row.result), word))
    return [RuleUse(*what, count) for what, count in Counter(calls_of.values()).most_common()]


def _past(row: Any, newest: dict[CallKey, str]) -> PastCall:
    reasons = json.loads(newest.get(key_of(row), "[]"))
    ours = row.from_number if row.direction == Direction.OUTBOUND_API else row.to_number
    return PastCall(key_of(row), row.first_received_at, CallState(row.state), reasons[0][0] if reasons else "", ours)
