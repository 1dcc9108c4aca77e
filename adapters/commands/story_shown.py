"""A call's whole story: as plain values for JSON and CSV, and in words. Masks persons on the way, decides nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from offhook.adapters.commands.shown import Format, in_utc, show_list, show_record
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Reason
from offhook.pipeline.delivery import State
from offhook.pipeline.masking import Masking, in_clear
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.look_ups import LookUpLine
from offhook.pipeline.reasons import OF_LOOK_UPS, known, remedy
from offhook.pipeline.story import AttemptLine, CallLine, ConversionLine, DecisionLine, ReplacedLine, Story

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
    *before, now = story.attempts_by_bytes()
    return {
        **_facts(story.call, hide),
        "callbacks": [_callback(row) for row in story.callbacks],
        "decisions": [_decision(row, hide) for row in story.decisions],
        "conversion": _conversion(story.conversion, now, hide),
        "replaced": [_replaced(*each, hide) for each in zip(story.replaced, before, strict=True)],
    }


def _facts(call: CallLine, hide: Masking) -> Values:
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


def _conversion(row: ConversionLine | None, tried: Sequence[AttemptLine], hide: Masking) -> Values | None:
    if row is None:
        return None
    return {
        "state": row.state,
        "reason": row.reason,
        "due_at": row.due_at,
        "payload": _payload(row.payload, hide),
        "attempts": [_attempt(one, hide) for one in tried],
    }


def _replaced(old: ReplacedLine, tried: Sequence[AttemptLine], hide: Masking) -> Values:
    """What was sent before it was decided anew, with the attempts that are its own."""
    its = [_attempt(one, hide) for one in tried]
    return {"replaced_at": old.replaced_at, "payload": _payload(old.payload, hide), "attempts": its}


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
        "came_late": row.came_late,
        "status_code": row.status_code,
        "answer": hide(row.answer),
    }


# In words

_IN_THE_TITLE = ("account_sid", "call_sid")
_CALLBACK = ("received_at", "call_sid", "method", "source", "bytes")
_ATTEMPT = ("number", "started_at", "result", "reason", "next_state", "status_code", "answer")
_MOST_OF_AN_ANSWER = 200  # characters


def show_story(story: Story, hide: Masking, look_up: LookUpLine | None = None) -> None:
    """The story for a person: what arrived, what was decided and why, what was sent, what came back, what can be done.

    `look_up` is what it waits for, where its caller is being looked up.
    """
    facts = _facts(story.call, hide).items()
    click.secho(f"Call {story.call.key.call_sid} of account {story.call.key.account_sid}", bold=True)
    show_record([(name, value) for name, value in facts if name not in _IN_THE_TITLE], Format.TABLE)
    _title("What arrived")
    show_list(map(_callback, story.callbacks), Format.TABLE, _CALLBACK)
    _title("What was decided")
    for one in story.decisions:
        _show_decision(one, hide, is_last=one is story.decisions[-1])
    if not story.decisions:
        click.echo(f"nothing yet: {_why_undecided(story.call, look_up)}")
    _show_delivery(story, hide)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _show_decision(one: DecisionLine, hide: Masking, *, is_last: bool) -> None:
    by = f"rules {one.rules_version}, mapping {one.mapping_version}"
    click.echo(f"{in_utc(one.decided_at)}  {one.result}  ({by})")
    for reason in one.reasons:
        click.echo(f"    {reason.word}: {hide(reason.sentence)}")
        if is_last:  # what was done about those before is done
            _show_remedy(reason.word, hide, reason.sentence)


def _result_with(reason: str, attempts: Sequence[AttemptLine]) -> str:
    """What the last attempt with this reason came to; empty where there is none."""
    return next((row.result for row in reversed(attempts) if row.reason == reason and not row.came_late), "")


def _show_remedy(word: str, hide: Masking, sentence: str = "", *, result: str = "") -> None:
    """What can be done about a reason, where its sentence has not said so already."""
    found = hide(remedy(word, result))
    if found and found not in hide(sentence):
        click.echo(f"        {found}")


def _why_undecided(call: CallLine, look_up: LookUpLine | None) -> str:
    if call.final_at is None:
        return "no callback with a final status has arrived for the call itself"
    if look_up is not None:
        return f"it has ended, and its caller is being looked up{_why_unanswered(look_up)}"
    if call.settle_at:
        return f"it has ended, and its legs may still arrive until {in_utc(call.settle_at)}"
    return "it is a leg of another call, of which nothing has arrived"


def _why_unanswered(look_up: LookUpLine) -> str:
    found = known(look_up.reason, OF_LOOK_UPS) if look_up.reason else None
    if found is None:
        return ""
    said = f"{found.sentences[0].format(word=look_up.reason)} {found.advice}"
    return f"; {look_up.source} is asked again at {in_utc(look_up.due_at)} ({look_up.reason}). {said}"


def _show_delivery(story: Story, hide: Masking) -> None:
    now = story.conversion
    if now is None:
        return
    *before, tried = story.attempts_by_bytes()
    for old, its in zip(story.replaced, before, strict=True):
        _title(f"What was sent until {in_utc(old.replaced_at)}, when it was decided anew")
        click.echo(hide(old.payload.decode()))
        _show_attempts(its, hide)
    _title("What is sent")
    click.echo(hide(now.payload.decode()))
    due = f", due {in_utc(now.due_at)}" if now.due_at else ""
    click.echo(f"{now.state} ({now.reason}){due}")
    if now.state != State.DELIVERED:
        _show_remedy(now.reason, hide, result=_result_with(now.reason, tried))
    _show_attempts(tried, hide)


def _show_attempts(attempts: Sequence[AttemptLine], hide: Masking) -> None:
    if attempts:
        show_list([_in_short(row, hide) for row in attempts], Format.TABLE, _ATTEMPT)


def _in_short(row: AttemptLine, hide: Masking) -> Values:
    found = _attempt(row, hide)
    after = f"none: it came late, {in_utc(row.finished_at)}" if row.came_late else row.next_state
    return {**found, "next_state": after, "answer": hide(row.answer)[:_MOST_OF_AN_ANSWER]}
