"""Callbacks in a wire format of the tests' own, and the `Reader` that reads it: what is tested with them needs no Twilio."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from offhook.pipeline.callback import Callback, CallKey, Direction, RawCallback, Status

ACCOUNT = "AC00000000000000000000000000000001"
CALLER, OTHER, OURS = "+14155550100", "+14155550101", "+14155550199"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def sid(number: int) -> str:
    return f"CA{number:032x}"


def key(number: int) -> CallKey:
    return CallKey(ACCOUNT, sid(number))


def raw(
    number: int,
    status: str = "completed",
    *,
    parent: int | None = None,
    caller: str = CALLER,
    at: datetime = NOON,
    account: str = ACCOUNT,
    to: str = OURS,
    direction: Direction | None = None,
) -> RawCallback:
    """One callback of the leg with this number. Without a `direction` a leg was dialled by its parent, and a call came in."""
    more = {} if (to, direction) == (OURS, None) else {"to": to, "direction": direction}
    return RawCallback(
        dedupe_key="/".join([account, str(number), str(parent), status, *map(str, more.values())]),
        account_sid=account,
        call_sid=sid(number),
        parent_call_sid=None if parent is None else sid(parent),
        received_at=at,
        method="POST",
        target="/twilio/status?ü=%00&x",
        content_type="application/json",
        headers=(("I-Twilio-Idempotency-Token", "1"), ("i-twilio-idempotency-token", "2")),
        body=json.dumps({"status": status, "caller": caller, **more}).encode(),
        source="webhook",
    )


def read(raw: RawCallback, names: frozenset[str] | None = None, /) -> Callback:
    """`Reader`: the callback in our words."""
    words = _words(raw.body)
    usual = Direction.OUTBOUND_DIAL if raw.parent_call_sid else Direction.INBOUND
    from_, to = str(words.get("caller", "")), str(words.get("to", OURS))
    return Callback(
        raw=raw,
        status=_STATUSES.get(str(words.get("status")), Status.UNKNOWN),
        direction=_DIRECTIONS.get(str(words.get("direction") or usual), Direction.UNKNOWN),
        from_=from_,
        to=to,
        duration_seconds=60,
        sequence_number=None,
        occurred_at=None,
        params={"From": from_, "To": to},
    )


_STATUSES = {status.value: status for status in Status}
_DIRECTIONS = {direction.value: direction for direction in Direction}


def _words(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
