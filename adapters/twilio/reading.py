"""From a verified request to callbacks in our words. Pure and total: whatever Twilio may have signed, it never raises.

The parameters are those of https://www.twilio.com/docs/voice/api/call-resource; Event Streams
(https://www.twilio.com/docs/events) carry them in CloudEvents 1.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

from offhook.adapters.twilio.signature import (
    Carrier,
    Pairs,
    carrier,
    event_account,
    event_parameters,
    form_pairs,
    json_events,
    query_of,
    signed_text,
)
from offhook.pipeline.callback import Callback, Direction, RawCallback, Status

KEPT_HEADERS = ("I-Twilio-Idempotency-Token", "X-Home-Region", "User-Agent")
WEBHOOK = "webhook"
EVENT_STREAM = "event-stream"
AMD = "amd"
"""The source of an asynchronous answering machine detection's result: who answered a call, and no status of it.
https://www.twilio.com/docs/voice/answering-machine-detection#asynchronous-amd"""

_EVENT_TYPE = "com.twilio.voice.status-callback"
_MAX_SID_LENGTH = 128  # Twilio's have 34; an index of Postgres refuses a key of some 2,700 bytes
_MAX_DURATION_SECONDS = 10**7
_MAX_SEQUENCE_NUMBER = 2**31 - 1
# What else Twilio sends to an address that it was given, by the parameter that none of the others has. None of these says
# how a call stands, and nobody has made a mistake: a 4xx would only fill the account's debugger.
_KIND_BY_PARAMETER = (
    ("RecordingSid", "recording"),  # https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback-parameters
    ("RecordingStatus", "recording"),
    ("ConferenceSid", "conference"),  # https://www.twilio.com/docs/voice/twiml/conference#statuscallback
    ("TranscriptionSid", "transcription"),  # https://www.twilio.com/docs/voice/twiml/transcription
    ("StreamSid", "stream"),  # https://www.twilio.com/docs/voice/twiml/stream#statuscallback
    ("SiprecSid", "siprec"),
    ("PaymentSid", "payment"),
    ("MessageSid", "message"),  # https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
    ("SmsSid", "message"),
    ("FaxSid", "fax"),
)
_EVENTS = "event_stream"
OTHER_KINDS = (*dict.fromkeys(kind for _, kind in _KIND_BY_PARAMETER), _EVENTS)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # Postgres text holds neither NULs nor lone surrogates
_STATUSES = {status.value: status for status in Status}
_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class NotACallback:
    """Why a verified request is no call callback, in one word."""

    reason: str


@dataclass(frozen=True, slots=True)
class OtherKind:
    """A verified request of Twilio's that is about something else than how a call stands: one of OTHER_KINDS."""

    kind: str


NotRead = NotACallback | OtherKind


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What the callbacks of one request share."""

    method: str
    target: str
    content_type: str
    headers: tuple[tuple[str, str], ...]
    received_at: datetime
    account_sid: str


def read_request(
    method: str,
    target: str,
    content_type: str,
    headers: Mapping[str, str],
    body: bytes,
    received_at: datetime,
    verified_account: str,
) -> tuple[RawCallback, ...] | NotRead:
    """The callbacks that a verified request carries: one, or one for each voice event of an Event Streams batch.

    `target` is the raw request target, `received_at` UTC, `verified_account` the account whose key signed.
    """
    if _UNSTORABLE.search(target):
        return NotACallback("bad_target")
    kept = tuple((name, _storable(headers[name])) for name in KEPT_HEADERS if name in headers)
    arrival = _Arrival(method, target, _storable(content_type), kept, received_at, verified_account)
    where = carrier(method, content_type, query_of(target))
    if where is Carrier.JSON:
        return _read_events(arrival, body)
    pairs = form_pairs(query_of(target) if where is Carrier.QUERY else body) or ()
    key = _digest("webhook", verified_account, signed_text(pairs))
    params = dict(pairs)
    other = _other_kind(params)
    if other:
        return OtherKind(other)
    read = _callback(arrival, params, key, body, AMD if _is_amd_result(params) else WEBHOOK)
    return read if isinstance(read, NotACallback) else (read,)


def _other_kind(params: Mapping[str, str]) -> str:
    """What the request is about where it is not about a call; "" where it is, or nobody knows."""
    if params.get("CallStatus"):
        return ""
    return next((kind for name, kind in _KIND_BY_PARAMETER if params.get(name)), "")


def _is_amd_result(params: Mapping[str, str]) -> bool:
    return not params.get("CallStatus") and bool(params.get("AnsweredBy"))


def _read_events(arrival: _Arrival, body: bytes) -> tuple[RawCallback, ...] | NotRead:
    """Other events of the batch are no affair of ours; one that is told twice is one."""
    every = json_events(body)
    events = [event for event in every if _is_of_a_call(event.get("type"))]
    if not events:
        is_batch = any(isinstance(event.get("type"), str) for event in every)
        return OtherKind(_EVENTS) if is_batch else NotACallback("no_call_event")
    if any(event_account(event) not in ("", arrival.account_sid) for event in events):
        return NotACallback("mixed_accounts")
    read = [_event_callback(arrival, event) for event in events]
    callbacks = {callback.dedupe_key: callback for callback in read if isinstance(callback, RawCallback)}
    if callbacks:
        return tuple(callbacks.values())
    return next(each for each in read if isinstance(each, NotACallback))


def _is_of_a_call(event_type: object) -> bool:
    return isinstance(event_type, str) and event_type.startswith(_EVENT_TYPE)


def _event_callback(arrival: _Arrival, event: dict[str, Any]) -> RawCallback | NotACallback:
    try:
        body = _json_bytes([event])
        identity = _json_text(event.get("id") or event)
    except RecursionError:
        return NotACallback("nested_too_deeply")
    # An event is told at least once; "id" is what its duplicates share (https://www.twilio.com/docs/events).
    key = _digest("event", arrival.account_sid, identity)
    return _callback(arrival, dict(_event_pairs(event)), key, body, EVENT_STREAM)


def _callback(
    arrival: _Arrival, params: Mapping[str, str], key: str, body: bytes, source: str
) -> RawCallback | NotACallback:
    call_sid = params.get("CallSid", "")
    missing = _what_is_missing(params, "AnsweredBy" if source == AMD else "CallStatus")
    if missing:
        return NotACallback(missing)
    if params["AccountSid"] != arrival.account_sid:
        return NotACallback("mixed_accounts")
    parent = params.get("ParentCallSid", "")
    return RawCallback(
        dedupe_key=key,
        account_sid=arrival.account_sid,
        call_sid=call_sid,
        parent_call_sid=parent if _is_sid(parent) else None,
        received_at=arrival.received_at,
        method=arrival.method,
        target=arrival.target,
        content_type=arrival.content_type,
        headers=arrival.headers,
        body=body,
        source=source,
    )


_WORDS = {
    "AccountSid": "account_sid",
    "CallSid": "call_sid",
    "CallStatus": "call_status",
    "AnsweredBy": "answered_by",
}


def _what_is_missing(params: Mapping[str, str], news: str) -> str:
    """One word for the first field that a call callback must have and this one has not; empty when all are there.

    `news` is the parameter that it is sent for.
    """
    for name in ("AccountSid", "CallSid", news):
        word = _WORDS[name]
        value = params.get(name, "")
        if not value:
            return f"missing_{word}"
        if not _is_sid(value):
            return f"bad_{word}"
    return ""


def _is_sid(value: str) -> bool:
    return 0 < len(value) <= _MAX_SID_LENGTH and not _UNSTORABLE.search(value)


def _digest(kind: str, account_sid: str, text: str) -> str:
    """The dedupe key: SHA-256 in hex over what was signed, for the account that signed it.

    For a webhook `text` is the very string that Twilio signs after the URL, with nothing between names and values. A
    request whose boundaries were moved (`From=+1555&To=` as `Fro=m%2B1555To`) verifies under the same signature, so it
    must be the same key. The account stands before it, so that no account can use up the key of another's callback.
    """
    return sha256(f"{kind}\0{account_sid}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def pairs(raw: RawCallback) -> Pairs:
    """The parameters exactly as they came: in order, duplicates and empties kept.

    An event's values that are no strings are given as their JSON text, null as an empty string (as a form has it).
    """
    if raw.source == EVENT_STREAM:
        events = json_events(raw.body)
        return _event_pairs(events[0]) if events else ()
    if raw.method.upper() != "POST":
        return form_pairs(query_of(raw.target)) or ()
    return form_pairs(raw.body) or ()


def _event_pairs(event: Mapping[str, Any]) -> Pairs:
    return tuple((name, _as_form_value(value)) for name, value in event_parameters(event).items())


def _as_form_value(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return _json_text(value)
    except RecursionError:
        return ""


def _json_text(value: object) -> str:
    """One spelling of a JSON value, whatever the order of its names."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _json_bytes(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate: UTF-8 has no bytes for it, JSON an escape
        return json.dumps(value).encode("ascii")


def read(raw: RawCallback) -> Callback:
    """The callback in our words. What cannot be read is None or UNKNOWN; NULs and lone surrogates become U+FFFD."""
    params = _storable_params(dict(pairs(raw)))
    return Callback(
        raw=raw,
        status=_STATUSES.get(params.get("CallStatus", "").lower(), Status.UNKNOWN),
        direction=_DIRECTIONS.get(params.get("Direction", "").lower(), Direction.UNKNOWN),
        from_=params.get("From", ""),
        to=params.get("To", ""),
        # CallDuration and never Duration: that one is billed minutes.
        duration_seconds=_whole_number(params.get("CallDuration", ""), _MAX_DURATION_SECONDS),
        sequence_number=_whole_number(params.get("SequenceNumber", ""), _MAX_SEQUENCE_NUMBER),
        occurred_at=moment(params.get("Timestamp", "")),
        params=params,
    )


def _storable_params(params: dict[str, str]) -> dict[str, str]:
    if not _UNSTORABLE.search("".join(params) + "".join(params.values())):
        return params
    return {_storable(name): _storable(value) for name, value in params.items()}


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _whole_number(text: str, greatest: int) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        return None
    number = int(text)
    return number if number <= greatest else None


def moment(text: str) -> datetime | None:
    """A time in RFC 2822 or ISO 8601 as UTC; one without a zone is UTC already. None when it is neither."""
    text = text.strip()
    if not text:
        return None
    try:
        told = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of them seen from parsedate_to_datetime
        return None
