"""Records from what people have already: HAR files, raw HTTP requests, form bodies on a line, Twilio's own alerts.

Takes parameters and the few headers that matter, nothing else: no signature, cookie or password ever gets into a record.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from adapters.recordings.format import (
    FORM_CONTENT_TYPE,
    Pairs,
    Record,
    RecordingError,
    encoded,
    from_request,
    parameters,
)

DEFAULT_PATH = "/twilio/status"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a source does not tell: when the callback came (UTC; Twilio's Timestamp comes first), and to which path."""

    received_at: datetime
    path: str = DEFAULT_PATH


class Source(StrEnum):
    """What a file may be that callbacks are taken from."""

    HAR = "har"
    HTTP = "http"
    FORM = "form"
    ALERTS = "alerts"


def kind_of(raw: bytes) -> Source:
    """What a file is, by its first characters. Whatever is nothing else is taken for form bodies, one a line."""
    start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:4096].decode("utf-8", "replace")
    if start.startswith("["):
        return Source.ALERTS
    if start.startswith("{"):
        return Source.HAR if re.match(r'\{\s*"log"', start) else Source.ALERTS
    return Source.HTTP if _REQUEST_START.match(start) else Source.FORM


def from_file(raw: bytes, kind: Source, defaults: Defaults, name: str) -> Iterator[Record]:
    """The callbacks in what a file of this kind holds. `name` is what errors call it. Raises RecordingError."""
    match kind:
        case Source.HAR:
            yield from from_har(raw, name)
        case Source.HTTP:
            yield from_http(raw, defaults, name)
        case Source.ALERTS:
            yield from read_alerts(raw, name)
        case Source.FORM:
            yield from from_form_lines(_text(raw, name).split("\n"), defaults, name)


def from_har(raw: bytes, name: str = "HAR file") -> Iterator[Record]:
    """The call callbacks among the requests of a HAR file (http://www.softwareishard.com/blog/har-12-spec/).

    Requests without a CallSid, and other methods than POST and GET, are left out. Raises RecordingError.
    """
    told = _json(_text(raw, name), name)
    entries = _member(_member(told, "log", dict, name), "entries", list, f"{name}, log")
    for number, entry in enumerate(entries, start=1):
        place = f"{name}, entry {number}"
        request = _member(entry, "request", dict, place)
        if _is_call_request(request):
            record = _har_record(request, entry.get("startedDateTime"), place)
            if _has_call(record):
                yield record


def _is_call_request(request: Mapping[str, Any]) -> bool:
    return isinstance(request.get("method"), str) and request["method"].upper() in ("POST", "GET")


def _har_record(request: Mapping[str, Any], started: object, place: str) -> Record:
    received_at = _moment(started)
    if received_at is None:
        raise RecordingError(place, 'field "startedDateTime" is no time with a zone; export the HAR file again')
    url = _member(request, "url", str, f"{place}, request")
    headers = [
        (each["name"], each["value"])
        for each in request.get("headers") or ()
        if isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("value"), str)
    ]
    body, media_type = _har_body(request.get("postData"), place)
    if media_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", media_type))
    return from_request(request["method"], url, headers, body, received_at)


def _har_body(told: object, place: str) -> tuple[bytes, str]:
    """(body, media type). Some tools write base64 and say so beside it; some list the parameters and leave out the text."""
    if not isinstance(told, dict):
        return b"", ""
    media_type = str(told.get("mimeType") or "")
    text = told.get("text")
    if isinstance(text, str) and text:
        if "base64" in (told.get("encoding"), told.get("_encoding")):
            return _decoded(text, place), media_type
        return _bytes(text), media_type
    params = told.get("params")
    listed = [each for each in params if isinstance(each, dict)] if isinstance(params, list) else []
    pairs = tuple((_whole(each.get("name", "")), _whole(each.get("value") or "")) for each in listed)
    return encoded(pairs).encode(), media_type


def _decoded(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RecordingError(place, 'the body in "postData" is not the base64 that it says; export it again') from None


_REQUEST_LINE = re.compile(r"([A-Za-z]+) (\S+)(?: HTTP/[0-9.]+)?")
_REQUEST_START = re.compile(r"[A-Za-z]+ \S+ HTTP/[0-9.]+\s|(?:POST|GET) /\S*\s*(?:\n|$)")


def from_http(raw: bytes, defaults: Defaults, place: str = "request") -> Record:
    """One raw HTTP request, with CRLF or LF at the ends of its lines. Raises RecordingError."""
    head, separator, body = _split_head(raw.lstrip(b"\r\n"))
    lines = head.decode("latin-1").splitlines()
    found = _REQUEST_LINE.fullmatch(lines[0].strip()) if lines else None
    if not found:
        raise RecordingError(f"{place}, line 1", 'is no request line; it reads "POST /twilio/status HTTP/1.1"')
    if found[1].upper() not in ("POST", "GET"):
        raise RecordingError(f"{place}, line 1", f"the method {found[1]} is none of Twilio's; it must be POST or GET")
    headers = [_header(line, f"{place}, line {number}") for number, line in enumerate(lines[1:], start=2)]
    if found[1].upper() == "POST" and not separator:
        raise RecordingError(place, "the headers have no end; put an empty line between them and the body")
    told = {name.lower(): value for name, value in headers}
    record = from_request(found[1], found[2], headers, _framed(body, told, place), defaults.received_at)
    return _checked(_timed(record), place)


def _split_head(raw: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.search(rb"\r?\n\r?\n", raw)
    return (raw[: found.start()], found[0], raw[found.end() :]) if found else (raw.rstrip(), b"", b"")


def _header(line: str, place: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise RecordingError(place, "is no header; write it as Name: value")
    return name.strip(), value.strip()


def _framed(body: bytes, headers: Mapping[str, str], place: str) -> bytes:
    """The body that the headers announce; an editor's line end behind it is none of it."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        raise RecordingError(place, "the body is chunked; save the decoded body, with its Content-Length")
    length = headers.get("content-length", "")
    if not length.isdigit():
        return body.rstrip(b"\r\n")
    announced = int(length)
    if len(body) < announced:
        raise RecordingError(
            place, f"the body has {len(body)} bytes, Content-Length says {announced}; copy the whole of it"
        )
    return body[:announced]


def from_form_lines(lines: Iterable[str], defaults: Defaults, name: str = "form") -> Iterator[Record]:
    """Form bodies, one a line, as they stand in many logs: `CallSid=CA...&From=%2B1555...`. Raises RecordingError."""
    for number, line in enumerate(lines, start=1):
        body = line.rstrip("\r\n").strip("\ufeff \t")
        if body:
            yield _checked(_posted(_bytes(body), defaults), f"{name}, line {number}")


def _posted(body: bytes, defaults: Defaults, path: str = "") -> Record:
    headers = (("Content-Type", FORM_CONTENT_TYPE),)
    return _timed(from_request("POST", path or defaults.path, headers, body, defaults.received_at))


def from_alerts(alerts: Iterable[Mapping[str, Any]], name: str = "alerts") -> Iterator[Record]:
    """Callbacks that failed, from Twilio's alerts: https://www.twilio.com/docs/usage/monitor-alert

    Each alert is a fetched one: `request_variables` (a form body, or an object), `request_url`, `request_method` and
    `date_created`. Alerts that are of no call are left out. Raises RecordingError.
    """
    for number, alert in enumerate(alerts, start=1):
        place = f"{name}, alert {number}"
        pairs = _variables(alert.get("request_variables"), place)
        if any(key == "CallSid" for key, _ in pairs):
            yield _of_alert(alert, pairs, place)


def read_alerts(raw: bytes, name: str = "alerts") -> Iterator[Record]:
    """The same from JSON: an array of alerts, or Twilio's page of them."""
    told = _json(_text(raw, name), name)
    listed = told.get("alerts") if isinstance(told, dict) else told
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise RecordingError(name, "is no array of alerts; save what client.monitor.v1.alerts fetched as JSON")
    return from_alerts(listed, name)


def _of_alert(alert: Mapping[str, Any], pairs: Pairs, place: str) -> Record:
    received_at = _moment(alert.get("date_created"))
    if received_at is None:
        raise RecordingError(place, 'field "date_created" is no time; fetch the alert again')
    url = str(alert.get("request_url") or DEFAULT_PATH)
    if str(alert.get("request_method") or "POST").upper() != "GET":
        return _posted(encoded(pairs).encode(), Defaults(received_at), url)
    base = url.partition("#")[0]
    target = base if "CallSid=" in base else f"{base}{'&' if '?' in base else '?'}{encoded(pairs)}"
    return _timed(from_request("GET", target, (), b"", received_at))


def _variables(told: object, place: str) -> Pairs:
    if told is None:
        return ()
    if isinstance(told, str):
        record = from_request("POST", "/", (("Content-Type", FORM_CONTENT_TYPE),), _bytes(told), datetime.now(UTC))
        return record.form or ()
    if isinstance(told, dict):
        return tuple((_whole(key), "" if value is None else _whole(value)) for key, value in told.items())
    raise RecordingError(place, 'field "request_variables" is neither a form body nor an object; fetch the alert again')


def _bytes(text: str) -> bytes:
    """JSON may hold half a character, which UTF-8 cannot write."""
    return text.encode("utf-8", "replace")


def _whole(told: object) -> str:
    return _bytes(str(told)).decode("utf-8")


def _timed(record: Record) -> Record:
    """With Twilio's own time of it, where it tells one: nothing else in the source says when it came."""
    told = _moment(dict(parameters(record)).get("Timestamp"))
    return replace(record, received_at=told) if told else record


def _has_call(record: Record) -> bool:
    if record.json is not None:
        return '"CallSid"' in record.json
    return any(name == "CallSid" for name, _ in parameters(record))


def _checked(record: Record, place: str) -> Record:
    if not _has_call(record):
        raise RecordingError(place, "has no CallSid, so it is no call callback; copy the whole of it")
    return record


def _moment(told: object) -> datetime | None:
    """A time in ISO 8601 or RFC 2822, or a datetime, as UTC; None when it is none or has no zone."""
    if isinstance(told, str):
        told = _parsed(told)
    if not isinstance(told, datetime) or told.tzinfo is None:
        return None
    return told.astimezone(UTC)


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecordingError(name, "is not UTF-8; save the file as UTF-8") from None


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(place, f"is no JSON ({error}); export it again") from None


def _member(told: object, name: str, kind: type, place: str) -> Any:
    value = told.get(name) if isinstance(told, Mapping) else None
    if not isinstance(value, kind):
        words: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}
        raise RecordingError(place, f'field "{name}" is missing or not {words[kind]}; is this the right kind of file?')
    return value
