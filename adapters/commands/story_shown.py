"""A call's whole story as plain values, for JSON and CSV: what `flask conversions show` says in words. Masks persons on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from offhook.adapters.ledger.inspect import CallStory, state_of
from offhook.pipeline.masking import Masking, in_clear
from offhook.pipeline.phone import mask

COLUMNS = (
    "account_sid",
    "call_sid",
    "state",
    "direction",
    "status",
    "duration_seconds",
    "from",
    "to",
    "legs",
    "callbacks",
    "decisions",
    "conversion",
    "replaced",
)
Values = dict[str, object]


def story_record(story: CallStory, hide: Masking) -> Values:
    """The story by COLUMNS, oldest first where there are several. Attempts stand with what they sent."""
    call = story.call
    ends = [end if hide is in_clear else mask(end) for end in (call.from_number, call.to_number)]
    return {
        "account_sid": call.account_sid,
        "call_sid": call.call_sid,
        "state": state_of(call),
        "direction": call.direction,
        "status": call.status,
        "duration_seconds": call.duration_seconds,
        "from": ends[0],
        "to": ends[1],
        "legs": call.legs,
        "callbacks": [_callback(row) for row in story.callbacks],
        "decisions": [_decision(row, reasons, hide) for row, reasons in story.decisions],
        "conversion": _conversion(story, hide),
        "replaced": _replaced(story, hide),
    }


def _callback(row: Any) -> Values:
    return {
        "received_at": row.received_at,
        "call_sid": row.call_sid,
        "method": row.method,
        "source": row.source,
        "bytes": len(row.body),
    }


def _decision(row: Any, reasons: Sequence[Sequence[str]], hide: Masking) -> Values:
    return {
        "decided_at": row.decided_at,
        "result": row.result,
        "rules_version": row.rules_version,
        "mapping_version": row.mapping_version,
        "reasons": [{"reason": word, "sentence": hide(sentence)} for word, sentence in reasons],
    }


def _conversion(story: CallStory, hide: Masking) -> Values | None:
    row, before = story.conversion, max((old.attempts for old in story.replaced), default=0)
    if row is None:
        return None
    return {
        "state": row.state,
        "reason": row.reason,
        "due_at": row.due_at,
        "payload": _payload(row.payload, hide),
        "attempts": [_attempt(one, hide) for one in story.attempts if one.number > before],
    }


def _replaced(story: CallStory, hide: Masking) -> list[Values]:
    """What was sent before it was decided anew: one after the other, each with the attempts that are its own."""
    found, first = list[Values](), 0
    for old in story.replaced:
        its = [_attempt(one, hide) for one in story.attempts if first < one.number <= old.attempts]
        found.append({"replaced_at": old.replaced_at, "payload": _payload(old.payload, hide), "attempts": its})
        first = old.attempts
    return found


def _payload(payload: bytes, hide: Masking) -> Values:
    return {name: hide(str(value)) for name, value in json.loads(bytes(payload)).items()}


def _attempt(row: Any, hide: Masking) -> Values:
    return {
        "number": row.number,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "result": row.result,
        "reason": row.reason,
        "next_state": row.next_state,
        "status_code": row.status_code,
        "answer": hide(row.answer),
    }
