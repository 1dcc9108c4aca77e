"""Numbers that are looked up. They stand under the spelling that we keep."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, text

from offhook.adapters.ledger.people.spelled import BY_PHONE, PHONE, every_spelling, found_by
from offhook.adapters.ledger.rows import Insert, WithRows, insert, look_up, with_rows
from offhook.adapters.ledger.schema import PersonText, customers, lookups, micros, shared_numbers
from offhook.pipeline.call import CallState
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState

_AT = (*PHONE, ("now", "bigint"))
_IS_GOOD = f"{BY_PHONE} AND (t.fresh_until IS NULL OR t.fresh_until > v.now)"
_FRESH = (
    (customers, _IS_GOOD),
    (shared_numbers, _IS_GOOD),
    (lookups, f"{BY_PHONE} AND t.state = '{LookUpState.UNKNOWN}' AND t.due_at > v.now"),
)
_WAITS_STILL = f"lookups.state = '{LookUpState.WANTED}'"
_WANT = (
    f"ON CONFLICT (phone) DO UPDATE SET state = excluded.state, "
    "wanted_at = coalesce(lookups.wanted_at, excluded.wanted_at), to_release = 0, "
    f"due_at = CASE WHEN {_WAITS_STILL} THEN lookups.due_at ELSE excluded.due_at END"
)
_CLAIM = (
    f"UPDATE lookups SET state = '{LookUpState.WANTED}', fence = lookups.fence + 1, due_at = v.until FROM {{rows}} "
    "WHERE lookups.phone = v.phone RETURNING lookups.phone, lookups.fence, lookups.attempts"
)
_LOOKED_UP = {
    **dict(PHONE), "fence": "integer", "state": "text", "due_at": "bigint", "attempts": "integer", "source": "text",
    "reason": "text", "several": "integer",
}  # fmt: skip
_WRITTEN = ("state", "due_at", "attempts", "source", "reason")
_FINISH = (
    f"UPDATE lookups SET {', '.join(f'{name} = v.{name}' for name in _WRITTEN)}, to_release = CASE "
    f"WHEN v.state = '{LookUpState.KNOWN}' OR (v.state = '{LookUpState.UNKNOWN}' AND "
    "(lookups.wanted_at IS NOT NULL OR v.several = 1)) "
    f"THEN 1 ELSE 0 END FROM {{rows}} WHERE lookups.phone = v.phone AND lookups.fence = v.fence AND {_WAITS_STILL}"
)
_FORGET = "DELETE FROM lookups WHERE phone IN (SELECT v.phone FROM {rows})"
_RELEASED = (
    "UPDATE lookups SET wanted_at = NULL, to_release = 0 FROM {rows} "
    f"WHERE lookups.phone = v.phone AND lookups.state = '{LookUpState.UNKNOWN}'"
)
# The state is no literal, so that no partial index can be chosen. Those whose legs may still arrive wait on.
_RELEASE = (
    "UPDATE calls SET settle_at = v.now FROM {rows} WHERE calls.customer_phone = v.phone AND calls.state = v.state "
    "AND calls.settle_at > v.now AND calls.final_at <= v.settled"
)
_RELEASING = {**dict(PHONE), "state": "text", "now": "bigint", "settled": "bigint"}


def fresh_numbers(connection: Connection, phones: Collection[str], now: datetime) -> set[str]:
    """Those of the E.164 numbers that need no look-up at `now`."""
    if not phones:
        return set()
    rows = every_spelling(phones, now=micros(now))
    found = connection.execute(_fresh(connection.dialect.name == "sqlite"), {"rows": json.dumps(rows)}).scalars()
    return set(found_by(phones, set(found)))


@cache
def _fresh(is_sqlite: bool) -> Any:
    each = (look_up(is_sqlite, _AT, table, condition, names=("phone",)) for table, condition in _FRESH)
    return text(" UNION ALL ".join(f"SELECT phone FROM ({one}) AS f" for one in each)).columns(customers.c.phone)


def is_looked_up(phone: str) -> ColumnElement[bool]:
    """Holds for the look-up of this number (E.164)."""
    return lookups.c.phone == spellings(phone)[0]


def wanted_look_ups(phones: Iterable[str], now: datetime) -> Insert:
    """These numbers are to be looked up; one that is being looked up already goes on."""
    fresh = dict.fromkeys(("fence", "attempts", "to_release"), 0) | dict.fromkeys(("source", "reason"), "")
    every = sorted({spellings(phone)[0] for phone in phones})
    rows = [
        {"phone": phone, "state": LookUpState.WANTED.value, "wanted_at": now, "due_at": now, **fresh} for phone in every
    ]
    return insert(lookups, rows, _WANT)


def claimed_look_ups(phones: Iterable[str], until: datetime) -> WithRows:
    """Nobody else asks for these numbers until then. Gives phone, fence and attempts of each."""
    rows = [{"phone": PersonText.kept(phone), "until": micros(until)} for phone in phones]
    return with_rows(_CLAIM, {**dict(PHONE), "until": "bigint"}, rows)


def finished_look_ups(done: Iterable[LookedUp]) -> WithRows:
    """What came of these claims, where they still hold."""
    return with_rows(
        _FINISH,
        _LOOKED_UP,
        [
            {
                "phone": PersonText.kept(one.wanted.phone),
                "fence": one.wanted.fence,
                "state": one.state.value,
                "due_at": micros(one.due_at),
                "attempts": one.attempts,
                "source": one.source,
                "reason": one.reason,
                "several": int(one.has_several),
            }
            for one in done
        ],
    )


def forgotten_look_ups(phones: Iterable[str], state: LookUpState | None = None) -> WithRows:
    """Nothing is known of the look-ups of these numbers any more: of those in this state, if one is given."""
    forget = _FORGET if state is None else f"{_FORGET} AND state = '{state}'"
    return with_rows(forget, dict(PHONE), [{"phone": PersonText.kept(phone)} for phone in phones])


def released_look_ups(phones: Iterable[str]) -> WithRows:
    """No call waits any more for these numbers, which nobody has."""
    return with_rows(_RELEASED, dict(PHONE), [{"phone": PersonText.kept(phone)} for phone in phones])


def released_calls(phones: Iterable[str], now: datetime, settled_before: datetime) -> WithRows:
    """The calls of these numbers that wait for a look-up are due: those that had their end before `settled_before`."""
    rows = every_spelling(phones, state=CallState.SETTLING.value, now=micros(now), settled=micros(settled_before))
    return with_rows(_RELEASE, _RELEASING, rows)
