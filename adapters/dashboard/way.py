"""The way of a call in the order of time, from what an explanation says of it: what a reader sees on its page. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.times import local
from offhook.adapters.twilio.spelling import ADDRESSES, carrier, content_of, query_of
from offhook.pipeline import explanation_words
from offhook.pipeline.callback import RawCallback, Status, is_terminal
from offhook.pipeline.explanation import (
    SPELLING,
    AttemptFacts,
    CallbackFacts,
    DecisionFacts,
    Difference,
    Explanation,
)
from offhook.pipeline.health import length
from offhook.pipeline.masking import PERSONS, Masking, mask_digits
from offhook.pipeline.phone import mask
from offhook.pipeline.words import SOURCES, reason_in_words


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, its time, and more of it in a few words; `is_stop` where the way waits or ends there."""

    at: datetime
    what: str
    more: str = ""
    is_stop: bool = False


def way(found: Explanation) -> list[Step]:
    """What happened to this call, the oldest first."""
    steps = [*_arrivals(found), *map(_decision, found.decisions), *map(_attempt, found.attempts)]
    return sorted(steps, key=lambda one: one.at)


def _arrivals(found: Explanation) -> Iterable[Step]:
    """The first callback, and each that reports an end: those between say nothing new."""
    for number, one in enumerate(found.callbacks):
        is_end = one.status in _ENDS
        if number == 0 or is_end:
            is_leg = one.call_sid != found.call_sid
            yield Step(one.received_at, _reported(one, is_leg=is_leg), _arrived(one))


_ENDS = tuple(each.value for each in Status if is_terminal(each))


def _reported(one: CallbackFacts, *, is_leg: bool) -> str:
    of_what = "a leg of the call" if is_leg else "the call"
    if one.status in _ENDS:
        return f"Twilio reported the end of {of_what}: {one.status}"
    return f"Twilio reported {of_what}: {one.status}"


def _arrived(one: CallbackFacts) -> str:
    by = SOURCES.get(one.source, one.source)
    return f"{by}; signature good" + ("" if one.delay_seconds is None else f"; {_soon(one.delay_seconds)} after it")


def _soon(seconds: float) -> str:
    """In tenths of a second; what took minutes is said in those."""
    return f"{seconds:.1f} s" if seconds < _LONG_SECONDS else length(seconds)


_LONG_SECONDS = 120.0
_RESULTS: Mapping[str, tuple[str, bool]] = {
    "converted": ("Decided: it counts", False),
    "parked": ("Decided: it would count, and it is not known who called", True),
    "skipped": ("Decided: it does not count", True),
    "unfinished": ("Its end was not reported in time", True),
}


def _decision(one: DecisionFacts) -> Step:
    what, is_stop = _RESULTS.get(one.result, ("Decided", False))
    rule = f"by the rule {one.rule}" if one.rule else ""
    sentences = (explanation_words.without_version(reason.sentence, one.rules_version) for reason in one.reasons)
    said = in_their_zone(" ".join(sentences))
    return Step(one.decided_at, what, "; ".join(filter(None, [rule, said])), is_stop)


_TRIED: Mapping[str, tuple[str, bool]] = {
    "delivered": ("Rockerbox took it", False),
    "retry": ("Sent, and not taken; it is tried again", False),
    "blocked": ("Not let in; it is tried again", False),
    "refused": ("Rockerbox refused it", True),
    "maybe_sent": ("Sent, and no answer says whether it arrived", True),
    "held": ("Not sent again: it may have arrived already", True),
    "lease_expired": ("Cut off while it was sent", True),
}


def _attempt(one: AttemptFacts) -> Step:
    what, is_stop = _TRIED.get(one.result, ("Sent", False))
    late = "; this answer came late" if one.came_late else ""
    return Step(one.finished_at, what, f"attempt {one.number}: {reason_in_words(one.reason)}{late}", is_stop)


@dataclass(frozen=True, slots=True)
class Raw:
    """A callback as it came: its parameters one by one where it has any, else its text. Persons are hidden."""

    at: datetime
    call_sid: str
    method: str
    source: str
    fields: tuple[tuple[str, str], ...]
    text: str


_MASKED_WHOLE = ADDRESSES | {"SipDomain", "Digits"}


def as_came(raw: RawCallback, hide: Masking) -> Raw:
    """For the page, which folds it away."""
    query = query_of(raw.target)
    content = content_of(carrier(raw.method, raw.content_type, query), query, raw.body)
    pairs = content.pairs if content else ()
    fields = tuple((_name(name, hide), _value(name, value, hide)) for name, value in pairs)
    return Raw(
        raw.received_at,
        raw.call_sid,
        raw.method,
        SOURCES.get(raw.source, raw.source),
        fields,
        "" if fields else _text(raw.body.decode("utf-8", "replace"), hide),
    )


_PERSON_IN_JSON = re.compile(rf'("(?:{"|".join(sorted(PERSONS))})"\s*:\s*")(?:[^"\\]|\\.)+"')


def _text(text: str, hide: Masking) -> str:
    return hide(_PERSON_IN_JSON.sub(r'\1hidden"', text))


def _name(name: str, hide: Masking) -> str:
    """Where a body is no form after all, all of it may stand in a name."""
    return mask_digits(hide(name))


def _value(name: str, value: str, hide: Masking) -> str:
    if name in PERSONS:
        return "hidden" if value else ""
    return mask(value) if name in _MASKED_WHOLE and value else hide(value)


def answer_in_short(text: str) -> str:
    """An answer, cut where it is long."""
    most = parts().limits.answer_characters
    return text if len(text) <= most else f"{text[:most]}..."


def headline(found: Explanation) -> str:
    """The verdict in one sentence, its times in the reader's zone."""
    return in_their_zone(explanation_words.headline(found))


_IN_UTC = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def in_their_zone(text: str) -> str:
    """A sentence with the times that it says in UTC as the reader has them."""
    return _IN_UTC.sub(lambda found: _as_local(found[0]), text)


def _as_local(text: str) -> str:
    try:
        return local(datetime.fromisoformat(text))
    except ValueError:  # no time after all
        return text


def differences(found: Explanation) -> list[tuple[str, str, str]]:
    """What is otherwise today: what, then, today, each in a reader's words."""
    return [_difference(one) for one in explanation_words.differences(found)]


def _difference(one: Difference) -> tuple[str, str, str]:
    if one.what == SPELLING:
        return "Spelling", "", "spelled otherwise"
    then, now = ("nothing" if value is None else value for value in (one.then, one.now))
    return one.what, then, "another one" if then == now else now
