"""`Past` of pipeline/ports/past.py: pages of calls by the index of their first callback.

A backtest reads a million of them, so a page is one statement, and its values are taken as the database holds them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Select, func, select, text, tuple_, type_coerce

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import BY_KEY, BY_ROOT, KEY, for_each, named, with_rows
from offhook.adapters.ledger.rule_texts import RuleTextsTable
from offhook.adapters.ledger.schema import callbacks, calls, decisions, legs, moment, rule_uses
from offhook.adapters.ledger.schema import rules as rules_table
from offhook.pipeline.call import CALL_MOVES, CallEvent
from offhook.pipeline.callback import CallKey, Direction, RawCallback, Status
from offhook.pipeline.ports.past import PastCall, RulesUsed

DECIDED = CALL_MOVES.targets(CallEvent.DECIDE)
_OF_A_CALL = ("account_sid", "call_sid", "state", "status", "direction", "from_number", "to_number", "duration_seconds")
_TIMES = ("first_received_at", "ended_at", "final_at")
_ORDER = (calls.c.first_received_at, calls.c.account_sid, calls.c.call_sid)
_STATES = {each.value: each for each in DECIDED}
_STATUSES = {each.value: each for each in Status}
_DIRECTIONS = {each.value: each for each in Direction}


# One statement, so that legs and callbacks are of one moment on Postgres, too. The keys come first in either database, as in
# `look_up` of rows.py.
_SELECT_CALLBACKS = (
    "SELECT c.seq, c.folded, l.root_sid, l.account_sid, c.call_sid, c.parent_call_sid, c.dedupe_key, c.received_at, "
    "c.method, CASE c.method WHEN 'POST' THEN '' ELSE c.target END, c.body, c.source FROM {rows}"
)
_BY_LEG = "t.call_sid = l.call_sid AND t.account_sid = l.account_sid"
_CALLBACKS_SQLITE = (
    f"{_SELECT_CALLBACKS} CROSS JOIN legs AS l CROSS JOIN callbacks AS c "
    f"WHERE {BY_ROOT.replace('t.', 'l.')} AND {_BY_LEG.replace('t.', 'c.')}"
)
_CALLBACKS_POSTGRES = (
    f"{_SELECT_CALLBACKS} CROSS JOIN LATERAL (SELECT * FROM legs AS t WHERE {BY_ROOT} OFFSET 0) AS l "
    f"CROSS JOIN LATERAL (SELECT * FROM callbacks AS t WHERE {_BY_LEG} OFFSET 0) AS c"
)
_SEQ = itemgetter(0)


def _page() -> Select[Any]:
    """Each call with rules, rule and reasons of its newest decision, a line each: one value, as it is one question."""
    mine = (decisions.c.call_sid == calls.c.call_sid, decisions.c.account_sid == calls.c.account_sid)
    # "+ 0", for along the index of the ids Postgres would walk far
    journal = decisions.c
    decided = journal.rules_version + "\n" + func.coalesce(journal.rule, "") + "\n" + journal.reasons
    newest = select(decided).where(*mine).order_by((decisions.c.id + 0).desc()).limit(1)
    plain = (type_coerce(calls.c[name], BigInteger) for name in _TIMES)
    return select(*(calls.c[name] for name in _OF_A_CALL), *plain, newest.correlate(calls).scalar_subquery())


class PastOnSql:
    def __init__(self, database: Database) -> None:
        self._database = database
        texts = RuleTextsTable(database)
        self.text_of = texts.kept_rules
        self.held = texts.held
        self.lists_used = texts.lists_used
        self.listed = texts.listed

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        # The index has the time alone; what is behind it is compared among the few calls of one moment.
        asked = _page().where(calls.c.first_received_at >= (after.first_received_at if after else since))
        asked = asked.where(calls.c.state.in_([state.value for state in DECIDED]))
        if after is not None:
            asked = asked.where(tuple_(*_ORDER) > (after.first_received_at, *after.key))
        with self._database.read(patient=True) as connection:
            rows = connection.execute(asked.order_by(*_ORDER).limit(limit)).all()
        return [_past(*row) for row in rows]

    def waiting(self, at_most: int) -> Collection[CallKey] | None:
        names = (callbacks.c.account_sid, callbacks.c.call_sid, callbacks.c.parent_call_sid)
        asked = select(*names).where(text("folded = 0")).order_by(callbacks.c.seq).limit(at_most + 1)
        with self._database.read(patient=True) as connection:
            rows = connection.execute(asked).all()
            if len(rows) > at_most:
                return None
            touched = {CallKey(account, sid) for account, *sids in rows for sid in sids if sid}
            roots = for_each(connection, named(touched), KEY, legs, BY_KEY)
        return touched | {CallKey(row.account_sid, row.root_sid) for row in roots}

    def callbacks_of(self, keys: Collection[CallKey]) -> Mapping[CallKey, Sequence[RawCallback]]:
        found: dict[CallKey, list[RawCallback]] = {}
        with self._database.read(patient=True) as connection:
            asked = _CALLBACKS_SQLITE if self._database.is_sqlite else _CALLBACKS_POSTGRES
            rows = with_rows(asked, KEY, named(keys)).returned(connection)
        waiting: set[CallKey] = set()
        for _, is_folded, root, account, *columns in sorted(rows, key=_SEQ):
            key = CallKey(account, root)
            found.setdefault(key, []).append(_raw(account, *columns))
            if not is_folded:
                waiting.add(key)
        return {key: raws for key, raws in found.items() if key not in waiting}

    def count_since(self, since: datetime, at_most: int) -> int:
        some = select(calls.c.call_sid).where(calls.c.first_received_at >= since).limit(at_most).subquery()
        with self._database.read(patient=True) as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def rules_used(self, limit: int, at: int = 0) -> Sequence[RulesUsed]:
        use = rule_uses.c
        newest = select(use.id, use.version, use.began_at, rules_table.c.text)
        newest = newest.join_from(rule_uses, rules_table, use.version == rules_table.c.version)
        if at:
            newest = newest.where(use.id <= at)
        with self._database.read(patient=True) as connection:
            return [RulesUsed(*row) for row in connection.execute(newest.order_by(use.id.desc()).limit(limit))]

    def use_of(self, version: str) -> int | None:
        newest = select(func.max(rule_uses.c.id)).where(rule_uses.c.version == version)
        with self._database.read(patient=True) as connection:
            return connection.execute(newest).scalar()


def _past(
    account: str,
    sid: str,
    state: str,
    status: str,
    direction: str,
    from_: str,
    to: str,
    seconds: int | None,
    first_received_at: int,
    ended_at: int | None,
    final_at: int | None,
    newest: str | None,
) -> PastCall:
    first = moment(first_received_at)
    assert first is not None
    version, rule, reason = _decided(newest or "")
    return PastCall(
        CallKey(account, sid),
        first,
        _STATES[state],
        reason,
        _STATUSES[status],
        _DIRECTIONS[direction],
        from_,
        to,
        seconds,
        moment(ended_at),
        moment(final_at),
        version,
        rule,
    )


def _raw(
    account: str,
    sid: str,
    parent: str | None,
    dedupe_key: str,
    received_at: int,
    method: str,
    target: str,
    body: bytes,
    source: str,
) -> RawCallback:
    """Without headers, which say nothing of a call."""
    at = moment(received_at)
    assert at is not None
    return RawCallback(dedupe_key, account, sid, parent, at, method, target, "", (), body, source)


@lru_cache(maxsize=1024)
def _decided(newest: str) -> tuple[str, str, str]:
    """Version of the rules, rule and first word of a decision as `_page` gives it; many calls have the same."""
    version, _, rest = newest.partition("\n")
    rule, _, reasons = rest.partition("\n")
    pairs = json.loads(reasons or "[]")
    return version, rule, str(pairs[0][0]) if pairs else ""
