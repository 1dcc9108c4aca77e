"""From a verified request to callbacks in our words. Pure and total: whatever Twilio may have signed, it never raises.

The parameters are those of https://www.twilio.com/docs/voice/api/call-resource; Event Streams
(https://www.twilio.com/docs/events) carry them in CloudEvents 1.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from offhook.adapters.twilio.signature import Verified
from offhook.adapters.twilio.spelling import (
    EVENT_TYPE,
    KEPT_HEADERS,
    Carrier,
    Pairs,
    event_account,
    event_parameters,
    form_pairs,
    form_values,
    in_utc,
    is_in_query,
    json_events,
    parsed_time,
    query_of,
)
from offhook.pipeline.arrival import Arrived, OtherKind, Refused
from offhook.pipeline.callback import Callback, Direction, RawCallback, Status

WEBHOOK = "webhook"
EVENT_STREAM = "event-stream"
AMD = "amd"
"""The source of an asynchronous answering machine detection's result: who answered a call, and no status of it.
https://www.twilio.com/docs/voice/answering-machine-detection#asynchronous-amd"""

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
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # Postgres text holds neither NULs nor lone surrogates
_IN_OUR_WORDS = frozenset({"CallStatus", "Direction", "From", "To", "CallDuration", "SequenceNumber", "Timestamp"})
_STATUSES = {status.value: status for status in Status}
_DIRECTIONS = {direction.value: direction for direction in Direction}


NotRead = OtherKind | Refused


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the callbacks of one request come from."""

    arrived: Arrived
    account_sid: str
    url: str
    headers: Pairs

    def refused(self, reason: str) -> Refused:
        """Verified, and no call callback, for a reason of one word."""
        return Refused(400, reason, self.url, self.account_sid)


def read_request(arrived: Arrived, verified: Verified) -> tuple[RawCallback, ...] | NotRead:
    """The callbacks that a verified request carries: one, or one for each voice event of an Event Streams batch."""
    kept = tuple([(name, _storable(arrived.headers[name])) for name in KEPT_HEADERS if name in arrived.headers])
    source = _Source(arrived, verified.account_sid, verified.url, kept)
    if _UNSTORABLE.search(arrived.target):
        return source.refused("bad_target")
    content = verified.content
    if content.carrier is Carrier.JSON:
        return _read_events(source, content.events)
    params = dict(content.pairs)
    other = _other_kind(params)
    if other:
        return OtherKind(other)
    key = _digest("webhook", verified.account_sid, content.text)
    read = _callback(source, params, key, arrived.body, AMD if _is_amd_result(params) else WEBHOOK)
    return read if isinstance(read, Refused) else (read,)


def _other_kind(params: Mapping[str, str]) -> str:
    """What the request is about where it is not about a call; "" where it is, or nobody knows."""
    if params.get("CallStatus"):
        return ""
    return next((kind for name, kind in _KIND_BY_PARAMETER if params.get(name)), "")


def _is_amd_result(params: Mapping[str, str]) -> bool:
    return not params.get("CallStatus") and bool(params.get("AnsweredBy"))


def _read_events(source: _Source, every: Sequence[dict[str, Any]]) -> tuple[RawCallback, ...] | NotRead:
    """Other events of the batch are no affair of ours; one that stands in it twice is one."""
    events = [event for event in every if _is_of_a_call(event.get("type"))]
    if not events:
        is_batch = any(isinstance(event.get("type"), str) for event in every)
        return OtherKind(_EVENTS) if is_batch else source.refused("no_call_event")
    if any(event_account(event) not in ("", source.account_sid) for event in events):
        return source.refused("mixed_accounts")
    read = [_event_callback(source, event) for event in events]
    callbacks = {callback.dedupe_key: callback for callback in read if isinstance(callback, RawCallback)}
    if callbacks:
        return tuple(callbacks.values())
    return next(each for each in read if isinstance(each, Refused))


def _is_of_a_call(event_type: object) -> bool:
    return isinstance(event_type, str) and event_type.startswith(EVENT_TYPE)


def _event_callback(source: _Source, event: dict[str, Any]) -> RawCallback | Refused:
    try:
        body = _json_bytes([event])
        identity = _json_text(event.get("id") or event)
    except RecursionError:
        return source.refused("nested_too_deeply")
    # An event is delivered at least once; "id" is what its duplicates share (https://www.twilio.com/docs/events).
    key = _digest("event", source.account_sid, identity)
    return _callback(source, dict(_event_pairs(event)), key, body, EVENT_STREAM)


def _callback(source: _Source, params: Mapping[str, str], key: str, body: bytes, kind: str) -> RawCallback | Refused:
    missing = _what_is_missing(params, "AnsweredBy" if kind == AMD else "CallStatus")
    if missing:
        return source.refused(missing)
    if params["AccountSid"] != source.account_sid:
        return source.refused("mixed_accounts")
    parent = params.get("ParentCallSid", "")
    arrived = source.arrived
    return RawCallback(
        dedupe_key=key,
        account_sid=source.account_sid,
        call_sid=params["CallSid"],
        parent_call_sid=parent if _is_sid(parent) else None,
        received_at=arrived.received_at,
        method=arrived.method,
        target=arrived.target,
        content_type=_storable(arrived.content_type),
        headers=source.headers,
        body=body,
        source=kind,
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
    return form_pairs(_form_of(raw)) or ()


def _form_of(raw: RawCallback) -> bytes | str:
    return query_of(raw.target) if is_in_query(raw.method) else raw.body


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


def read(raw: RawCallback, names: frozenset[str] | None = None, /) -> Callback:
    """The callback in our words. What cannot be read is None or UNKNOWN; NULs and lone surrogates become U+FFFD.

    With `names`, of the parameters at least these and those that our words are made of.
    """
    chosen = None if names is None or raw.source == EVENT_STREAM else form_values(_form_of(raw), _ours_and(names))
    params = _storable_params(dict(pairs(raw)) if chosen is None else chosen)
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


@lru_cache(maxsize=64)
def _ours_and(names: frozenset[str]) -> frozenset[str]:
    return names | _IN_OUR_WORDS


def _storable_params(params: dict[str, str]) -> dict[str, str]:
    written = "".join(params) + "".join(params.values())
    if (written.isascii() and "\0" not in written) or not _UNSTORABLE.search(written):
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
    parsed = parsed_time(text) if text else None
    try:
        return in_utc(parsed) if parsed else None
    except (ValueError, OverflowError):
        return None
