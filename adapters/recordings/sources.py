"""Records from what people have already: finds out what a file is, and has it read by whoever reads that.

Takes parameters and the few headers that matter, nothing else: no signature, cookie or password ever gets into a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from offhook.adapters.file_kinds import LONGEST_BEGINNING, SHEETS, FileKind, file_kind
from offhook.adapters.recordings.format import Record, RecordingError
from offhook.adapters.recordings.found import Defaults, Found, Unused, left_out, names_call
from offhook.adapters.recordings.json_files import Place, found_in_json, of_alert
from offhook.adapters.recordings.tables import columns_in_words, found_in_csv, found_in_xml, header_of, is_known_xml
from offhook.adapters.recordings.text_lines import found_in_text
from offhook.adapters.recordings.text_requests import found_in_curl, found_in_http, has_curl, has_requests


class Source(StrEnum):
    """What a file may be that callbacks are taken from. `har`, `alerts` and any other JSON are read by the same reader."""

    HAR = "har"
    ALERTS = "alerts"
    JSON = "json"
    HTTP = "http"
    CURL = "curl"
    CSV = "csv"
    XML = "xml"
    FORM = "form"


_JSON_SOURCES = frozenset({Source.HAR, Source.ALERTS, Source.JSON})

_AS_TEXT = "save the requests as text"
_IN_WIRESHARK = "follow the HTTP stream in Wireshark and save it as text"
_NO_SOUND = "a recording is meant here as a file of callbacks"
# What to do with a file that holds no text; a ZIP may hold anything.
_REMEDIES = {
    FileKind.ZIP: "unpack it, or save the sheet as CSV",
    FileKind.GZIP: "unpack it with gunzip",
    FileKind.BZIP2: "unpack it with bunzip2",
    FileKind.ZSTD: "unpack it with unzstd",
    FileKind.PDF: "export the table or the log itself",
    FileKind.SQLITE: "for Offhook's own: flask recordings export",
    FileKind.PCAP: _IN_WIRESHARK,
    FileKind.PCAPNG: _IN_WIRESHARK,
    FileKind.CHARLES: "export it as JSON (.chlsj) or HAR",
    FileKind.WAV: _NO_SOUND,
    FileKind.MP3: _NO_SOUND,
    **dict.fromkeys(SHEETS, "save the sheet as CSV"),
    **dict.fromkeys((FileKind.XZ, FileKind.SEVEN_ZIP, FileKind.RAR, FileKind.TAR), "unpack it"),
}


_MARKUP = re.compile(r"<(?:[?!]|[A-Za-z][\w:-]*[\s/>])")


def kind_of(raw: bytes) -> Source:
    """What a file is. Whatever is nothing else is taken for lines of text. Never raises."""
    text = _text(raw).lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")) and _is_json(text):
        return Source.JSON
    if is_known_xml(raw) or (_MARKUP.match(text) and not names_call(text)):
        return Source.XML
    if has_requests(text[:1_000_000].encode()):
        return Source.HTTP
    if has_curl(text):
        return Source.CURL
    return Source.CSV if header_of(text) else Source.FORM


def _is_json(text: str) -> bool:
    """One JSON value, or one that is broken; not JSON lines, and not a log whose lines begin with a bracket."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return _value(text.partition("\n")[0]) is None and re.match(r"\{\s*[\"}]|\[\s*\{", text) is not None
    return True


def _value(line: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def from_file(raw: bytes, kind: Source | None, defaults: Defaults, name: str) -> Iterator[Found]:
    """The callbacks in a file, and what else is in it; `kind` None is what it looks like. `name` is what errors call it.

    Raises RecordingError for a file that can hold none, with what it looks like.
    """
    _refuse_binary(raw, name)
    kind = kind or kind_of(raw)
    any_call = False
    for found in _read(raw, kind, defaults, name):
        any_call = any_call or isinstance(found, Record) or found.has_call
        yield found
    if not any_call:
        yield Unused(name, looks_like(raw, kind))


def _refuse_binary(raw: bytes, name: str) -> None:
    kind = file_kind(raw[:LONGEST_BEGINNING])
    if kind is None and b"\0" in raw[:LONGEST_BEGINNING] and not _is_wide(raw):
        kind = FileKind.BINARY
    if kind is not None:
        raise RecordingError(name, f"looks like {kind}; {_REMEDIES.get(kind, _AS_TEXT)}")


def _read(raw: bytes, kind: Source, defaults: Defaults, name: str) -> Iterator[Found]:
    if kind in _JSON_SOURCES:
        return found_in_json(_json(_text(raw), name), defaults, name)
    match kind:
        case Source.HTTP:
            return found_in_http(raw if not _is_wide(raw) else _text(raw).encode(), defaults, name)
        case Source.CURL:
            return found_in_curl(_text(raw), defaults, name)
        case Source.CSV:
            return found_in_csv(_text(raw), defaults, name)
        case Source.XML:
            return _from_xml(raw, defaults, name)
    return from_lines(_text(raw), defaults, name)


def _from_xml(raw: bytes, defaults: Defaults, name: str) -> Iterator[Found]:
    if is_known_xml(raw):
        return found_in_xml(raw, defaults, name)
    what = "an HTML page" if re.match(rb"\s*<(?:!doctype html|html)", raw, re.IGNORECASE) else "XML of another kind"
    raise RecordingError(name, f"looks like {what}; export the requests as HAR, JSON or text")


def from_lines(text: str, defaults: Defaults, name: str) -> Iterator[Found]:
    """Lines of a log: those that are JSON are read as JSON, what is between them as text."""
    pending: list[str] = []
    first = number = 0
    for number, line in enumerate(text.split("\n"), start=1):
        value = _value(line) if line.lstrip()[:1] in ("{", "[") else None
        if value is None:
            first = first if pending else number
            pending.append(line)
            continue
        yield from _pending(pending, first, defaults, name)
        pending = []
        place = f"{name}, line {number}"
        yield from list(found_in_json(value, defaults, place)) or [left_out(place, line)]
    yield from _pending(pending, first, defaults, name)


def _pending(lines: list[str], first: int, defaults: Defaults, name: str) -> Iterator[Found]:
    if any(line.strip() for line in lines):
        yield from found_in_text("\n" * (first - 1) + "\n".join(lines), defaults, name)


def from_alerts(alerts: Iterable[Mapping[str, Any]], defaults: Defaults, name: str = "alerts") -> Iterator[Found]:
    """Callbacks that failed, from Twilio's alerts: https://www.twilio.com/docs/usage/monitor-alert"""
    for number, alert in enumerate(alerts, start=1):
        yield of_alert(alert, defaults, Place(f"{name}, alert {number}"))


def looks_like(raw: bytes, kind: Source) -> str:
    """What a file without a callback is, in words, for whoever took the wrong one."""
    text = _text(raw)
    if not text.strip():
        return "an empty file"
    if kind in _JSON_SOURCES:
        value = _value(text.strip().lstrip("\ufeff"))
        inner = next((each for each in value if isinstance(each, dict)), value) if isinstance(value, list) else value
        names = columns_in_words(list(inner)) if isinstance(inner, dict) else "no names"
        return f"looks like JSON of another kind (with {names}); no callback of a call is in it"
    if kind is Source.CSV:
        return f"looks like a table with the columns {columns_in_words(header_of(text))}; none of them holds callbacks"
    lines = sum(1 for line in text.split("\n") if line.strip())
    words = {Source.HTTP: "raw requests", Source.CURL: "cURL commands", Source.XML: "a session"}
    return f"looks like {words.get(kind, f'{lines} lines of text')}; no callback of a call is in it"


def _is_wide(raw: bytes) -> bool:
    return raw.startswith((b"\xff\xfe", b"\xfe\xff"))


def _text(raw: bytes) -> str:
    """What cannot be read becomes U+FFFD: a bystander's letters must not lose a callback, which is ASCII."""
    return raw.decode("utf-16" if _is_wide(raw) else "utf-8-sig", "replace")


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(place, f"looks like JSON that was cut off or broken ({error}); export it again") from None
