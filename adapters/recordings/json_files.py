"""Callbacks in JSON of any layout: each object is tried against a table of layouts, and what is none is searched inside.

So a list, a page, a single object and JSON lines are all the same, and a bystander among them stops nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from offhook.adapters.recordings.call_log import flat_name, is_call, of_call
from offhook.adapters.recordings.format import RecordingError, encoded, parse
from offhook.adapters.recordings.found import (
    NO_CALL,
    Defaults,
    Found,
    Unused,
    form_found,
    left_out,
    moment,
    names_call,
    pairs_of,
    request_found,
    whole,
)
from offhook.adapters.recordings.text_lines import found_in_text
from offhook.adapters.twilio.spelling import Pairs, form_pairs
from offhook.pipeline.sids import CALL

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, in words, and the time that an object around it has."""

    words: str
    at: datetime | None = None


def found_in_json(value: object, defaults: Defaults, name: str) -> Iterator[Found]:
    """Every callback in what JSON holds; each member of a list that has none is said to be unused."""
    try:
        yield from list(_in(value, defaults, Place(name)))
    except RecursionError:
        yield Unused(name, "nested too deeply", has_call=True)


def _in(value: object, defaults: Defaults, place: Place) -> Iterator[Found]:
    if isinstance(value, dict):
        yield from _in_object(value, defaults, place)
    elif isinstance(value, list):
        for number, each in enumerate(value, start=1):
            inner = replace(place, words=f"{place.words}, entry {number}")
            found = list(_in(each, defaults, inner))
            yield from found or _nothing_in(each, inner)
    elif isinstance(value, str) and names_call(value):
        yield from _in_string(value, defaults, place)


def _nothing_in(value: object, place: Place) -> Iterator[Unused]:
    if isinstance(value, dict | list):
        yield left_out(place.words, json.dumps(value))


def _in_object(object_: dict[str, Any], defaults: Defaults, place: Place) -> Iterator[Found]:
    place = replace(place, at=_time_in(object_) or place.at)
    for fits, read in _LAYOUTS:
        if fits(object_):
            yield read(object_, defaults, place)
            return
    log = object_.get("log")
    if isinstance(log, dict) and isinstance(log.get("entries"), list):
        yield from _in(log["entries"], defaults, place)
        return
    for each in object_.values():
        yield from _in(each, defaults, place)


def _in_string(text: str, defaults: Defaults, place: Place) -> Iterator[Found]:
    """A body within something else: JSON as text (Twilio's debugger webhook has it so), or a form."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(text)
        except ValueError:
            inner = None
        if isinstance(inner, dict | list):
            yield from _in(inner, defaults, place)
            return
    yield from found_in_text(text, replace(defaults, received_at=place.at or defaults.received_at), place.words)


_TIMES = (
    *("starteddatetime", "start", "starttime", "createdat", "datecreated", "dategenerated", "receivedat"),
    *("timestamp", "time", "date", "ts", "datetime", "created", "requestdatecreated"),
)


def _time_in(object_: Object) -> datetime | None:
    flat = {flat_name(name): value for name, value in object_.items()}
    times = flat.get("times")
    started = times.get("start") if isinstance(times, dict) else None
    return moment(started) or next((at for name in _TIMES if (at := moment(flat.get(name)))), None)


# HAR: http://www.softwareishard.com/blog/har-12-spec/


def _is_har(entry: Object) -> bool:
    request = entry.get("request")
    return isinstance(request, dict) and _are_texts(request, "method", "url") and "header" not in request


def _of_har(entry: Object, defaults: Defaults, place: Place) -> Found:
    request = entry["request"]
    headers = _headers(request.get("headers"))
    try:
        body, media_type = _har_body(request.get("postData"))
    except ValueError:
        return left_out(place.words, json.dumps(request), "a body that is not the base64 that it says")
    if media_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers = [*headers, ("Content-Type", media_type)]
    return request_found(request["method"], request["url"], headers, body, place.at, defaults, place.words)


def _har_body(post_data: object) -> tuple[bytes, str]:
    """(body, media type). Some tools write base64 and say so beside it; some list the parameters and leave out the text."""
    if not isinstance(post_data, dict):
        return b"", ""
    media_type = str(post_data.get("mimeType") or "")
    text = post_data.get("text")
    if isinstance(text, str) and text:
        return _bytes_of(
            text, is_base64="base64" in (post_data.get("encoding"), post_data.get("_encoding"))
        ), media_type
    return encoded(decoded_params(_named_values(post_data.get("params"), "name"))).encode(), media_type


def _bytes_of(text: str, *, is_base64: bool) -> bytes:
    """Raises ValueError when it is not the base64 that it is said to be."""
    return base64.b64decode("".join(text.split()), validate=True) if is_base64 else text.encode("utf-8", "replace")


_ENCODED = re.compile(r"(?:[A-Za-z0-9*._~+-]|%[0-9A-Fa-f]{2})*")


def decoded_params(pairs: Pairs) -> Pairs:
    """Listed parameters as they were meant: some tools list them still percent-encoded.

    They are when all of them could be and one must be. No form writes a bare `+` before a digit, so such a number is
    one that was decoded already.
    """
    texts = [text for pair in pairs for text in pair]
    is_encoded = all(map(_ENCODED.fullmatch, texts)) and any("%" in text for text in texts)
    if not is_encoded or any(re.match(r"\+[0-9]", text) for text in texts):
        return pairs
    return tuple((unquote_plus(name), unquote_plus(value)) for name, value in pairs)


def _named_values(value: object, key: str) -> Pairs:
    """`[{"name": ..., "value": ...}]` as pairs, without those that are switched off."""
    listed = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    named = [each for each in listed if each.get(key) and not _is_off(each)]
    return tuple((whole(each[key]), whole(each.get("value") or "")) for each in named)


def _is_off(entry: Object) -> bool:
    return entry.get("disabled") is True or entry.get("enabled") is False


def _headers(headers: object) -> list[tuple[str, str]]:
    """Headers as tools write them: a list of names and values, an object of texts or lists, or lines."""
    if isinstance(headers, dict):
        return [(name, _one(value)) for name, value in headers.items() if isinstance(name, str)]
    if isinstance(headers, str):
        split = (line.partition(":") for line in headers.splitlines())
        return [(name.strip(), value.strip()) for name, colon, value in split if colon]
    listed = headers if isinstance(headers, list) else []
    return [(name, value) for each in listed for name, value in _named_header(each)]


def _named_header(header: object) -> Iterator[tuple[str, str]]:
    if isinstance(header, dict) and not _is_off(header):
        name, value = header.get("name") or header.get("key"), header.get("value")
        if isinstance(name, str) and isinstance(value, str):
            yield name, value
    elif isinstance(header, list) and len(header) == 2 and all(isinstance(each, str) for each in header):
        yield header[0], header[1]


def _one(value: object) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _are_texts(object_: Object, *names: str) -> bool:
    return all(isinstance(object_.get(name), str) for name in names)


# ngrok's inspector, http://127.0.0.1:4040/api/requests/http: https://ngrok.com/docs/agent/api


def _is_ngrok(capture: Object) -> bool:
    request = capture.get("request")
    return isinstance(request, dict) and _are_texts(request, "method", "uri")


def _of_ngrok(capture: Object, defaults: Defaults, place: Place) -> Found:
    request, body = capture["request"], b""
    if isinstance(request.get("raw"), str):
        try:
            raw = base64.b64decode(request["raw"], validate=True)
        except (binascii.Error, ValueError):
            return left_out(place.words, json.dumps(request), "a raw request that is no base64")
        body = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[-1] if re.search(rb"\r?\n\r?\n", raw) else b""
    elif isinstance(request.get("body"), str):
        body = request["body"].encode("utf-8", "replace")
    headers = _headers(request.get("headers"))
    announced = {name.lower(): value for name, value in headers}.get("content-length", "")
    if announced.isdigit() and len(body) < int(announced):  # ngrok keeps no more than the beginning of a long one
        return left_out(place.words, f"{body!r} {request['uri']}", "a body that was cut off")
    return request_found(request["method"], request["uri"], headers, body, place.at, defaults, place.words)


# Charles, "Export Session as JSON" (.chlsj)


def _is_charles(transaction: Object) -> bool:
    return _are_texts(transaction, "method", "path") and isinstance(transaction.get("request"), dict)


def _of_charles(transaction: Object, defaults: Defaults, place: Place) -> Found:
    request = transaction["request"]
    header, body = request.get("header"), request.get("body")
    body = body if isinstance(body, dict) else {}
    try:
        packed = body.get("encoded")
        if isinstance(packed, str) and not body.get("text"):
            content = _bytes_of(packed, is_base64=True)
        else:
            content = _bytes_of(str(body.get("text") or ""), is_base64=False)
    except ValueError:
        return left_out(place.words, json.dumps(transaction["request"]), "a body that is not the base64 that it says")
    target = f"{transaction['path']}?{transaction['query']}" if transaction.get("query") else transaction["path"]
    headers = _headers(header.get("headers") if isinstance(header, dict) else None)
    return request_found(transaction["method"], target, headers, content, place.at, defaults, place.words)


# Postman: https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html


def _is_postman(item: Object) -> bool:
    request = item.get("request")
    return isinstance(request, dict) and isinstance(request.get("url"), str | dict) and not _is_har(item)


def _of_postman(item: Object, defaults: Defaults, place: Place) -> Found:
    request = item["request"]
    method = request.get("method")
    body = request.get("body") if isinstance(request.get("body"), dict) else {}
    pairs = _named_values(body.get("urlencoded") or body.get("formdata"), "key")
    content = encoded(pairs) if pairs else str(body.get("raw") or "")
    headers = _headers(request.get("header"))
    if pairs:  # a form-data body would have been a form for Twilio, too
        headers = [each for each in headers if each[0].lower() != "content-type"]
    return request_found(
        method if isinstance(method, str) else "GET",
        _postman_url(request["url"]),
        headers,
        content.encode("utf-8", "replace"),
        place.at,
        defaults,
        place.words,
    )


def _postman_url(url: object) -> str:
    raw = url.get("raw") if isinstance(url, dict) else url
    text = raw if isinstance(raw, str) else ""
    return re.sub(r"^\{\{[^{}]*\}\}", "https://example.invalid", text)  # {{base_url}}/twilio/status


# webhook.site, RequestBin, an AWS Lambda event, one's own journal: a method, a URL, headers or a body

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_METHOD_NAMES = ("method", "httpmethod", "requestmethod", "verb")
_URL_NAMES = ("url", "uri", "path", "rawpath", "requesturl", "requesturi", "fullpath", "originalurl")
_BODY_NAMES = (
    "content",
    "body",
    "rawbody",
    "requestbody",
    "payload",
    "data",
    "rawmodedata",
    "form",
    "postdata",
    "params",
)


def _text_named(flat: Object, names: Iterable[str]) -> str:
    return next((flat[name] for name in names if isinstance(flat.get(name), str)), "")


def _is_request(request: Object) -> bool:
    flat = {flat_name(name): value for name, value in request.items()}
    method = _text_named(flat, _METHOD_NAMES).upper()
    return (
        method in _METHODS
        and (bool(_text_named(flat, _URL_NAMES)) or "headers" in flat)
        and bool(_BODY_OR_HEADERS & {*flat})
    )


_BODY_OR_HEADERS = frozenset({*_BODY_NAMES, "headers", "query", "rawquerystring"})


def _of_request(request: Object, defaults: Defaults, place: Place) -> Found:
    flat = {flat_name(name): value for name, value in request.items()}
    body = next((flat[name] for name in _BODY_NAMES if flat.get(name)), "")
    try:
        content = _content(body, is_base64=flat.get("isbase64encoded") is True)
    except ValueError:
        return left_out(place.words, json.dumps(request), "a body that is not the base64 that it says")
    url = _text_named(flat, _URL_NAMES) or defaults.path
    query = flat.get("rawquerystring") or flat.get("querystringparameters") or flat.get("query")
    if "?" not in url and query:
        url += f"?{query if isinstance(query, str) else encoded(pairs_of(query)) if isinstance(query, dict) else ''}"
    headers = _headers(flat.get("headers"))
    if isinstance(body, dict | list):
        headers = [each for each in headers if each[0].lower() != "content-type"]
    method = _text_named(flat, _METHOD_NAMES)
    return request_found(method, url, headers, content, place.at, defaults, place.words)


def _content(body: object, *, is_base64: bool) -> bytes:
    """A body as text, as an object of parameters, or as a list of them."""
    if isinstance(body, str):
        return _bytes_of(body, is_base64=is_base64)
    if isinstance(body, list):
        return encoded(_named_values(body, "key") or _named_values(body, "name")).encode()
    return encoded(pairs_of(body)).encode() if isinstance(body, dict) else b""


# Twilio's alerts: https://www.twilio.com/docs/usage/monitor-alert


def _is_alert(alert: Object) -> bool:
    flat = {flat_name(name) for name in alert}
    return "requestvariables" in flat or {"alerttext", "resourcesid"} <= flat


def of_alert(alert: Object, defaults: Defaults, place: Place) -> Found:
    """The callback that failed: Twilio gives its parameters in an alert that was fetched by itself, and only there."""
    flat = {flat_name(name): value for name, value in alert.items()}
    variables = flat.get("requestvariables")
    if not variables:
        is_of_call = str(flat.get("resourcesid") or "").startswith(CALL)
        reason = (
            "an alert of a list, which leaves the callback's parameters out: fetch it by its SID, or --twilio-alerts"
        )
        return Unused(place.words, reason if is_of_call else NO_CALL, has_call=is_of_call)
    pairs = _variables(variables)
    if pairs is None:
        return left_out(place.words, json.dumps(variables), "an alert whose parameters cannot be read")
    at, url = moment(flat.get("datecreated")) or place.at, str(flat.get("requesturl") or "")
    if str(flat.get("requestmethod") or "POST").upper() != "GET":
        return form_found(pairs, at, defaults, place.words, url)
    base = (url or defaults.path).partition("#")[0]
    target = base if "CallSid=" in base else f"{base}{'&' if '?' in base else '?'}{encoded(pairs)}"
    return request_found("GET", target, (), b"", at, defaults, place.words)


def _variables(variables: object) -> Pairs | None:
    if isinstance(variables, dict):
        return pairs_of(variables)
    if not isinstance(variables, str):
        return None
    if variables.lstrip().startswith("{"):
        try:
            inner = json.loads(variables)
        except (ValueError, RecursionError):
            return None
        return pairs_of(inner) if isinstance(inner, dict) else None
    return form_pairs(whole(variables)) or ()


# An event of Event Streams: https://www.twilio.com/docs/events


def _is_event(event: Object) -> bool:
    return str(event.get("type") or "").startswith("com.twilio.") and isinstance(event.get("data"), dict)


def _of_event(event: Object, defaults: Defaults, place: Place) -> Found:
    body = json.dumps([event]).encode()
    headers = (("Content-Type", "application/json"),)
    return request_found("POST", defaults.path, headers, body, place.at, defaults, place.words)


def _is_record(fields: Object) -> bool:
    return {"version", "received_at", "path_and_query"} <= set(fields)


def _of_record(fields: Object, _defaults: Defaults, place: Place) -> Found:
    try:
        return parse(json.dumps(fields), place.words)
    except RecordingError as error:
        return Unused(
            place.words, f"a line of a recording that cannot be read ({error})", names_call(json.dumps(fields))
        )


def _is_parameters(params: Object) -> bool:
    return isinstance(params.get("CallSid"), str | list)


def _of_parameters(params: Object, defaults: Defaults, place: Place) -> Found:
    at = None if params.get("Timestamp") else place.at
    return form_found(pairs_of(params), at, defaults, place.words)


def _of_log(call: Object, defaults: Defaults, place: Place) -> Found:
    return of_call(call, defaults, place.words)


_LAYOUTS: tuple[tuple[Callable[[Object], bool], Callable[[Object, Defaults, Place], Found]], ...] = (
    (_is_record, _of_record),
    (_is_har, _of_har),
    (_is_ngrok, _of_ngrok),
    (_is_charles, _of_charles),
    (_is_postman, _of_postman),
    (_is_alert, of_alert),
    (_is_event, _of_event),
    (_is_parameters, _of_parameters),
    (_is_request, _of_request),
    (is_call, _of_log),
)
