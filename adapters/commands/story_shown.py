"""A call's whole story as plain values, for JSON and CSV: what `flask conversions show` says in words. Masks persons on the way."""

from __future__ import annotations

import json

from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Reason
from offhook.pipeline.masking import Masking, in_clear
from offhook.pipeline.phone import mask
from offhook.pipeline.reasons import remedy
from offhook.pipeline.story import AttemptLine, DecisionLine, Story

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


def story_record(story: Story, hide: Masking) -> Values:
    """The story by COLUMNS, oldest first where there are several. Attempts stand with what they sent."""
    call = story.call
    ends = [end if hide is in_clear else mask(end) for end in (call.from_, call.to)]
    return {
        "account_sid": call.key.account_sid,
        "call_sid": call.key.call_sid,
        "state": call.state,
        "direction": call.direction,
        "status": call.status,
        "duration_seconds": call.duration_seconds,
        "from": ends[0],
        "to": ends[1],
        "legs": call.legs,
        "callbacks": [_callback(row) for row in story.callbacks],
        "decisions": [_decision(row, hide) for row in story.decisions],
        "conversion": _conversion(story, hide),
        "replaced": _replaced(story, hide),
    }


def _callback(row: RawCallback) -> Values:
    return {
        "received_at": row.received_at,
        "call_sid": row.call_sid,
        "method": row.method,
        "source": row.source,
        "bytes": len(row.body),
    }


def _decision(row: DecisionLine, hide: Masking) -> Values:
    return {
        "decided_at": row.decided_at,
        "result": row.result,
        "rules_version": row.rules_version,
        "mapping_version": row.mapping_version,
        "reasons": [_reason(one, hide) for one in row.reasons],
    }


def _reason(one: Reason, hide: Masking) -> Values:
    return {"reason": one.word, "sentence": hide(one.sentence), "remedy": hide(remedy(one.word))}


def _conversion(story: Story, hide: Masking) -> Values | None:
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


def _replaced(story: Story, hide: Masking) -> list[Values]:
    """What was sent before it was decided anew: one after the other, each with the attempts that are its own."""
    found, first = list[Values](), 0
    for old in story.replaced:
        its = [_attempt(one, hide) for one in story.attempts if first < one.number <= old.attempts]
        found.append({"replaced_at": old.replaced_at, "payload": _payload(old.payload, hide), "attempts": its})
        first = old.attempts
    return found


def _payload(payload: bytes, hide: Masking) -> Values:
    return {name: hide(str(value)) for name, value in json.loads(payload).items()}


def _attempt(row: AttemptLine, hide: Masking) -> Values:
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
