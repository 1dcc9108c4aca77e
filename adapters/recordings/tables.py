"""Callbacks in tables and in XML: Twilio's log of calls from the Console or its API, one's own, and Charles's sessions."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree import ElementTree

from offhook.adapters.file_kinds import DELIMITERS
from offhook.adapters.recordings.call_log import is_header, of_call
from offhook.adapters.recordings.format import RecordingError
from offhook.adapters.recordings.found import Defaults, Found, form_found, left_out, moment, request_found
from offhook.adapters.recordings.json_files import found_in_json

_PARAMETER = re.compile(r"[A-Z][A-Za-z0-9]*")
_MAX_HEADER_CHARS = 10_000


def header_of(text: str) -> list[str]:
    """The columns of a table, or none when the first line is no header."""
    first = text.lstrip("\ufeff\r\n").partition("\n")[0].rstrip("\r")
    delimiter = max(DELIMITERS, key=first.count)
    try:
        names = next(csv.reader([first[:_MAX_HEADER_CHARS]], delimiter=delimiter), [])
    except csv.Error:
        return []
    plain = all(re.fullmatch(r"[\w .()#/-]{1,60}", name.strip()) for name in names)
    return [name.strip() for name in names] if len(names) > 1 and plain and _named(names) else []


def _named(names: list[str]) -> bool:
    """A row of values is no header: names are words, each there once."""
    return len({name.strip() for name in names}) == len(names) and all(re.search("[A-Za-z]", name) for name in names)


def found_in_csv(text: str, defaults: Defaults, name: str) -> Iterator[Found]:
    """A row a callback: parameters under Twilio's own names, a call of Twilio's log, or a body in one of the cells."""
    header = header_of(text)
    first = text.lstrip("\ufeff\r\n")
    delimiter = max(DELIMITERS, key=first.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(first, newline=""), delimiter=delimiter)
    next(rows, None)
    try:
        for row in rows:
            cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
            if any(cells.values()):
                yield from _of_row(cells, defaults, f"{name}, line {rows.line_num}")
    except csv.Error as error:
        raise RecordingError(f"{name}, line {rows.line_num}", f"is no table ({error}); export it again") from None


def _of_row(cells: dict[str, str], defaults: Defaults, place: str) -> Iterator[Found]:
    if {"CallSid", "CallStatus"} <= set(cells):
        at = None if cells.get("Timestamp") else _time_in(cells)
        yield form_found(
            tuple((name, cells[name]) for name in cells if _PARAMETER.fullmatch(name)), at, defaults, place
        )
    elif is_header(list(cells)):
        yield of_call(cells, defaults, place)
    else:
        yield from list(found_in_json(cells, defaults, place)) or [left_out(place, " ".join(cells.values()))]


def _time_in(cells: dict[str, str]) -> datetime | None:
    return next(
        (at for name, value in cells.items() if re.search("date|time|at$", name.lower()) if (at := moment(value))), None
    )


def found_in_xml(raw: bytes, defaults: Defaults, name: str) -> Iterator[Found]:
    """A session of Charles (.chlsx), or Calls as Twilio's API gives them without `.json`. Raises RecordingError."""
    try:
        root = ElementTree.fromstring(raw.strip())
    except (ElementTree.ParseError, ValueError) as error:
        raise RecordingError(name, f"looks like XML that cannot be read ({error}); export it again") from None
    for number, each in enumerate(root.iter("transaction"), start=1):
        yield _of_transaction(each, defaults, f"{name}, entry {number}")
    for number, each in enumerate(root.iter("Call"), start=1):
        yield of_call({child.tag: child.text or "" for child in each}, defaults, f"{name}, entry {number}")


def is_known_xml(raw: bytes) -> bool:
    """True for what found_in_xml finds something in."""
    return re.search(rb"<(?:charles-session|TwilioResponse)\b", raw[:4096]) is not None


def _of_transaction(transaction: ElementTree.Element, defaults: Defaults, place: str) -> Found:
    request = transaction.find("request")
    listed = request.iter("header") if request is not None else ()
    headers = [(each.findtext("name") or "", each.findtext("value") or "") for each in listed]
    body = transaction.find("request/body")
    text = (body.text or "") if body is not None else ""
    path, query = transaction.get("path", ""), transaction.get("query", "")
    target = f"{path}?{query}" if query and "?" not in path else path
    try:
        is_packed = body is not None and body.get("encoding") == "base64"
        content = base64.b64decode("".join(text.split()), validate=True) if is_packed else text.encode()
    except ValueError:
        return left_out(place, f"{target} CallSid=", "a body that is not the base64 that it says")
    at = moment(transaction.get("startTime")) or moment(transaction.get("startTimeMillis"))
    return request_found(transaction.get("method", ""), target, headers, content, at, defaults, place)


def columns_in_words(names: list[str]) -> str:
    """As a message names them."""
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
