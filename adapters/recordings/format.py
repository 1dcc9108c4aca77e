"""A recorded callback and its line in a `.jsonl` file (docs/recordings.md). Holds no signature and no other secret, ever.

Each line stands for itself, so that a recording can be cut, joined and searched with the tools for lines of text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from offhook.adapters.twilio import spelling
from offhook.adapters.twilio.spelling import (
    FORM_CONTENT_TYPE,
    JSON_CONTENT_TYPE,
    Carrier,
    Pairs,
    form_pairs,
    is_in_query,
    query_of,
    without_body_hash,
)
from offhook.pipeline.callback import RawCallback

VERSION = 1
KEPT_HEADERS = ("Content-Type", *spelling.KEPT_HEADERS)
METHODS = ("POST", "GET")
SHARED_KEY_SHA256 = "shared_key_sha256"
SHARED_KEY_SHA1 = "shared_key_sha1"
SIGNINGS = ("", SHARED_KEY_SHA1, SHARED_KEY_SHA256)
MAX_LINE_BYTES = 4 * 1024 * 1024


class RecordingError(ValueError):
    """A recording that cannot be read: the file, the line, the field, and what to do about it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")


@dataclass(frozen=True, slots=True)
class Record:
    """One callback as it came.

    `received_at` is UTC. `path_and_query` is the request target in ASCII, without host and without `bodySHA256` (a
    replay adds its own). `headers` are some of KEPT_HEADERS. A POST has either `form`, its parameters in order with
    duplicates, empties and spaces, or `json`, the text of its body; a GET has neither. `about` says in words what it
    shows; `captured` is False when somebody assembled it. `signing` is one of SIGNINGS: empty for an auth token.
    """

    received_at: datetime
    method: str
    path_and_query: str
    headers: Pairs = ()
    form: Pairs | None = None
    json: str | None = None
    about: str = ""
    captured: bool = True
    signing: str = ""
    version: int = VERSION


def dump(record: Record) -> str:
    """The record as one line without its end. The order of the fields is always the same; defaults are left out."""
    fields: dict[str, Any] = {
        "version": record.version,
        "about": record.about or None,
        "captured": None if record.captured else False,
        "signing": record.signing or None,
        "received_at": record.received_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "method": record.method,
        "path_and_query": record.path_and_query,
        "headers": record.headers or None,
        "form": record.form,
        "json": record.json,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False)


def read(source: Path | str | Iterable[str], name: str = "") -> Iterator[Record]:
    """The records of a file, or of lines, one after the other in constant memory. Blank lines are skipped.

    `name` is what errors call the lines. Raises RecordingError at the first line that is no record.
    """
    if isinstance(source, Path | str):
        for _, line, place in numbered_lines(Path(source)):
            yield parse(line, place)
        return
    for number, text in enumerate(source, start=1):
        if text.strip():
            yield parse(text, f"{name or 'recording'}, line {number}")


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes, str]]:
    """(offset of the line in bytes, the line, its place in words) for each line of a file that is not blank."""
    try:
        with path.open("rb") as file:
            number, offset = 0, 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                place = f"{path}, line {number}"
                if len(line) > MAX_LINE_BYTES:
                    raise RecordingError(place, f"longer than {MAX_LINE_BYTES} bytes; is this a recording (.jsonl)?")
                if line.strip():
                    yield offset, line, place
                offset += len(line)
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read ({error.strerror}); name a recording (.jsonl)") from None


def parse(line: str | bytes, place: str = "recording") -> Record:
    """One line as a Record. `place` is what an error says first. Raises RecordingError."""
    fields = _object(line, place)
    _check_names(fields, place)
    record = Record(
        received_at=_moment(fields, place),
        method=_one_of(fields, "method", METHODS, place),
        path_and_query=_path_and_query(fields, place),
        headers=_headers(fields, place),
        form=_pairs(fields, "form", place) if "form" in fields else None,
        json=_json_text(fields, place) if "json" in fields else None,
        about=_text(fields, "about", place, ""),
        captured=_flag(fields, "captured", place),
        signing=_one_of(fields, "signing", SIGNINGS, place) if "signing" in fields else "",
    )
    _check_body(record, place)
    return record


_NAMES = (
    "version",
    "about",
    "captured",
    "signing",
    "received_at",
    "method",
    "path_and_query",
    "headers",
    "form",
    "json",
)


def _object(line: str | bytes, place: str) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig") if isinstance(line, bytes) else line.removeprefix("\ufeff")
        fields = json.loads(text)
    except UnicodeDecodeError:
        raise RecordingError(place, "is not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise RecordingError(place, f"is not one JSON object ({error}); write one callback a line") from None
    if not isinstance(fields, dict):
        raise RecordingError(place, "is not a JSON object; write one callback a line, in braces")
    return fields


def _check_names(fields: Mapping[str, Any], place: str) -> None:
    version = fields.get("version")
    if version is True or version != VERSION:
        remedy = "update Offhook to read it" if isinstance(version, int) and version > VERSION else 'write "version": 1'
        raise RecordingError(place, f'field "version" is {_shown(version)}, this Offhook reads {VERSION}; {remedy}')
    for name in fields:
        if name not in _NAMES:
            raise RecordingError(place, f'field "{name}" is unknown; there are {", ".join(_NAMES)}')


def _check_body(record: Record, place: str) -> None:
    bodies = (record.form is not None) + (record.json is not None)
    if record.method == "POST" and bodies != 1:
        raise RecordingError(
            place, 'a POST needs "form" (pairs of strings) or "json" (the text of the body), one of them'
        )
    if record.method == "GET" and bodies:
        raise RecordingError(place, 'a GET has neither "form" nor "json"; its parameters stand in "path_and_query"')


def _shown(value: object) -> str:
    return "missing" if value is None else json.dumps(value)[:60]


HALF = re.compile("[\ud800-\udfff]")
"""Half of a character, which no UTF-8 can write or send."""


def _text(fields: Mapping[str, Any], name: str, place: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise RecordingError(place, f'field "{name}" is {_shown(value)}; it must be a string')
    return _whole(value, name, place)


def _whole(value: str, name: str, place: str) -> str:
    if not value.isascii() and HALF.search(value):
        raise RecordingError(place, f'field "{name}" holds a lone surrogate; write the whole character')
    return value


def _one_of(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...], place: str) -> str:
    value = fields.get(name)
    if value not in allowed:
        listed = " or ".join(f'"{each}"' for each in allowed if each)
        raise RecordingError(place, f'field "{name}" is {_shown(value)}; it must be {listed}')
    return str(value)


def _flag(fields: Mapping[str, Any], name: str, place: str) -> bool:
    value = fields.get(name, True)
    if not isinstance(value, bool):
        raise RecordingError(place, f'field "{name}" is {_shown(value)}; it must be true or false')
    return value


def _moment(fields: Mapping[str, Any], place: str) -> datetime:
    text = _text(fields, "received_at", place)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    example = "2026-03-12T16:29:59Z"
    raise RecordingError(place, f'field "received_at" is {_shown(text)}; write a time with its zone, such as {example}')


_TARGET = re.compile(r"/[!-~]*")


def _path_and_query(fields: Mapping[str, Any], place: str) -> str:
    target = _text(fields, "path_and_query", place)
    if not _TARGET.fullmatch(target) or "#" in target:
        shown = _shown(target)
        raise RecordingError(
            place,
            f'field "path_and_query" is {shown}; it begins with / and is percent-encoded, with no host, blank or #',
        )
    return target


_HEADER_VALUE = re.compile(r"[\t -~\u0080-\u00ff]*")


def _headers(fields: Mapping[str, Any], place: str) -> Pairs:
    pairs = _pairs(fields, "headers", place) if "headers" in fields else ()
    for name, value in pairs:
        if name not in KEPT_HEADERS:
            raise RecordingError(
                place, f'field "headers" holds {name[:60]!r}; remove it: only {", ".join(KEPT_HEADERS)} are recorded'
            )
        if not _HEADER_VALUE.fullmatch(value):
            raise RecordingError(place, f'field "headers": the value of {name} holds what no header can; remove it')
    return pairs


def _pairs(fields: Mapping[str, Any], name: str, place: str) -> Pairs:
    value = fields[name]
    if not isinstance(value, list):
        raise RecordingError(place, f'field "{name}" is {_shown(value)}; it must be an array of [name, value] pairs')
    for number, pair in enumerate(value, start=1):
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise RecordingError(
                place, f'field "{name}", entry {number} is {_shown(pair)}; it must be a pair of strings, [name, value]'
            )
        _whole(pair[0] + " " + pair[1], f"{name}, entry {number}", place)
    return tuple((pair[0], pair[1]) for pair in value)


def _json_text(fields: Mapping[str, Any], place: str) -> str:
    text = _text(fields, "json", place)
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(place, f'field "json" is not the text of a JSON body ({error}); quote it whole') from None
    return text


def parameters(record: Record) -> Pairs:
    """The callback's own parameters in order: of the form, or of a GET's query. Empty for a JSON body."""
    if record.form is not None:
        return record.form
    return query_pairs(record.path_and_query) if is_in_query(record.method) else ()


def with_parameters(record: Record, pairs: Pairs) -> Record:
    """The record with other parameters, put where its own were. Not for a JSON body."""
    if record.form is not None:
        return replace(record, form=pairs)
    path = record.path_and_query.partition("?")[0]
    return replace(record, path_and_query=f"{path}?{encoded(pairs)}" if pairs else path)


def query_pairs(target: str) -> Pairs:
    """The parameters of a target's query in order, empties and duplicates kept."""
    return form_pairs(query_of(target)) or ()


_quoted = lru_cache(maxsize=4096)(quote_plus)  # most names and many values come again in the next callback


def encoded(pairs: Pairs) -> str:
    """The pairs as a form body or query. Reading it gives these pairs, though not always the bytes they once were."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in pairs])


def body_of(record: Record) -> tuple[bytes, str]:
    """(body, content type) to send; both empty for a GET."""
    if record.form is not None:
        return encoded(record.form).encode("ascii"), _content_type(record, FORM_CONTENT_TYPE)
    if record.json is not None:
        return record.json.encode("utf-8"), _content_type(record, JSON_CONTENT_TYPE)
    return b"", ""


def _content_type(record: Record, default: str) -> str:
    return next((value for name, value in record.headers if name == "Content-Type"), default)


def from_raw_callback(raw: RawCallback) -> Record:
    """A callback of the ledger as a record: the same parameters in the same order, or the same JSON event."""
    return from_request(
        raw.method, raw.target, (*raw.headers, ("Content-Type", raw.content_type)), raw.body, raw.received_at
    )


def from_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes, received_at: datetime
) -> Record:
    """Any request as a record. Of the headers only KEPT_HEADERS stay; bytes that are no UTF-8 become U+FFFD."""
    kept = kept_headers(headers)
    where = spelling.carrier(method, dict(kept).get("Content-Type", ""), query_of(target))
    return Record(
        received_at=received_at.astimezone(UTC),
        method="GET" if where is Carrier.QUERY else "POST",
        path_and_query=without_body_hash(ascii_target(target)),
        headers=kept,
        form=form_pairs(body) if where is Carrier.FORM else None,
        json=body.decode("utf-8", "replace") if where is Carrier.JSON else None,
    )


def kept_headers(headers: Iterable[tuple[str, str]]) -> Pairs:
    """Those of the headers that are recorded, in the order and case of KEPT_HEADERS. Empty ones go."""
    by_name = {name.lower(): value for name, value in headers}
    named = ((name, by_name.get(name.lower(), "").strip()) for name in KEPT_HEADERS)
    return tuple((name, value) for name, value in named if value and _HEADER_VALUE.fullmatch(value))


def ascii_target(target: str) -> str:
    """The path and query of a target or URL, percent-encoded where it is not printable ASCII. No fragment."""
    target = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", target).partition("#")[0]
    if not target.startswith("/"):
        target = f"/{target}"
    try:
        raw = target.encode("latin-1")  # WSGI hands raw bytes over as latin-1
    except UnicodeEncodeError:
        raw = target.encode("utf-8", "replace")
    return quote(raw, safe="!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
