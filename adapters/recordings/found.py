"""What an import finds, one after the other: a callback as a Record, or something else with the reason why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from offhook.adapters.recordings.format import Record, encoded, from_request, parameters
from offhook.adapters.twilio.spelling import FORM_CONTENT_TYPE, Pairs, in_utc, is_iso, parsed_time
from offhook.pipeline.arrival import CALLBACK_PATH
from offhook.pipeline.sids import ACCOUNT

ANY_ACCOUNT = f"{ACCOUNT}{0:032}"
"""Where a source names no account: `recordings replay --account-sid` puts another in."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a source leaves out: when the callback came (UTC; Twilio's Timestamp comes first), to which path, whose."""

    received_at: datetime
    path: str = CALLBACK_PATH
    account_sid: str = ANY_ACCOUNT


@dataclass(frozen=True, slots=True)
class Unused:
    """What is no callback that can be used. `reason` completes "left out: "; `has_call` when a CallSid was seen in it."""

    place: str
    reason: str
    has_call: bool = False


Found = Record | Unused

NO_CALL = "no CallSid"
_CALL = re.compile(r"CallSid(?:%22|[\"'\\])*\]?\s*(?:=|:|,|%3D|%3A|=>)", re.IGNORECASE)


def names_call(text: str) -> bool:
    """True when a CallSid with a value is in the text, in whatever spelling."""
    return _CALL.search(text) is not None


def left_out(place: str, text: str, reason: str = NO_CALL) -> Unused:
    """What has no callback in it that can be read; said to be lost when it names a call."""
    seen = names_call(text)
    return Unused(place, "not in a form that can be read" if seen and reason == NO_CALL else reason, seen)


def request_found(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    received_at: datetime | None,
    defaults: Defaults,
    place: str,
) -> Found:
    """A request that somebody kept, as the callback that it is; `url` may be a target alone. No secret is taken over."""
    text = body.decode("utf-8", "replace")
    if method.upper() not in ("POST", "GET"):
        return left_out(place, f"{url} {text}", f"the method {method.upper()[:20]}, which is none of Twilio's")
    target = _without_token(url, defaults.path) or defaults.path
    record = from_request(method, target, headers, body, received_at or defaults.received_at)
    if record.json is not None and not _is_json(record.json):
        return left_out(place, text, "a JSON body that cannot be read")
    if not has_call(record):
        return left_out(place, f"{url} {text}")
    return record if received_at else timed(record)


_INSPECTOR = re.compile(r"https?://(?:[\w-]+\.)?(?:webhook\.site|requestbin\.[a-z]+|m\.pipedream\.net)(?::\d+)?/[^?#]*")


def _without_token(url: str, path: str) -> str:
    """The address of an inspector on the web has nothing but its own token as path: a receiver has another one."""
    return _INSPECTOR.sub(lambda _: path, url, count=1)


def form_found(pairs: Pairs, received_at: datetime | None, defaults: Defaults, place: str, url: str = "") -> Found:
    """Parameters without a request around them, as the form that Twilio posts."""
    headers = (("Content-Type", FORM_CONTENT_TYPE),)
    body = encoded(tuple((whole(name), whole(value)) for name, value in pairs)).encode()
    return request_found("POST", url, headers, body, received_at, defaults, place)


def has_call(record: Record) -> bool:
    """True when it is of a call."""
    if record.json is not None:
        return '"CallSid"' in record.json
    return any(name == "CallSid" and value for name, value in parameters(record))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def timed(record: Record) -> Record:
    """With Twilio's own time of it, where it has one: nothing else in the source says when it came."""
    at = moment(dict(parameters(record)).get("Timestamp"))
    return replace(record, received_at=at) if at else record


def pairs_of(params: Mapping[str, Any]) -> Pairs:
    """An object of parameters as pairs. A list gives a pair for each of its values, as parsers of forms make them."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(whole(name), _as_text(each)) for each in values]
    return tuple(pairs)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return whole(json.dumps(value))
    return whole(value)


def whole(value: object) -> str:
    """JSON may hold half a character, which UTF-8 cannot write."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


_MILLISECONDS = re.compile(r"1[0-9]{12}(?:\.[0-9]{1,9})?")
_SECONDS = re.compile(r"1[0-9]{9}(?:\.[0-9]{1,9})?")
_ACCESS_LOG = re.compile(r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})")
_CLOCK_FIRST = re.compile(r"(\d\d:\d\d:\d\d) ([A-Z]{2,4}|[+-]\d{4}) (\d{4})-(\d\d)-(\d\d)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def moment(value: object) -> datetime | None:
    """A time as UTC, or None: ISO 8601, RFC 2822, a web server's, seconds or milliseconds since 1970, a datetime.

    One without a zone is taken for UTC.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    try:
        found = _parsed(value.strip()) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            return None
        return in_utc(found)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of them seen from parsedate_to_datetime
        return None


def _parsed(text: str) -> datetime | None:
    if _MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(float(text) / 1000, UTC)
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    if logged := _ACCESS_LOG.fullmatch(text):
        return parsedate_to_datetime(f"{logged[1]} {logged[2]} {logged[3]} {logged[4]} {logged[5]}")
    if clock := _CLOCK_FIRST.fullmatch(text):
        month = _MONTHS[int(clock[4]) - 1]
        return parsedate_to_datetime(f"{clock[5]} {month} {clock[3]} {clock[1]} {clock[2]}")
    return parsed_time(re.sub(r" ?(?:UTC|GMT)$", "Z", text) if is_iso(text) else text)
