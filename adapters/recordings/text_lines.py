"""Callbacks in text: form bodies and addresses in the lines of any log, and parameters as programs print them.

A line that has none is passed over; one that names a CallSid and cannot be read is said to be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from offhook.adapters.recordings.format import Record
from offhook.adapters.recordings.found import Defaults, Found, Unused, form_found, left_out, moment, request_found
from offhook.adapters.twilio.spelling import Pairs, form_pairs, query_of

_ENDS = "\t\r\n \"'`<>|\\(){}[],"  # what ends a form body or an address within a line
_END = re.compile(f"[{re.escape(_ENDS)}]")
_CUT_OFF = re.compile(r"(?:\.\.\.|…)$")
_FIELD_BEFORE = re.compile(r"^[A-Za-z_.-]+[=:](?=[A-Za-z_][A-Za-z0-9_.-]*=)")  # body=CallSid=CA...
_METHOD_BEFORE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\W*$", re.IGNORECASE)
_FIELD = re.compile(r"\b([A-Z][A-Za-z0-9]*)=(\"(?:[^\"\\]|\\.)*\"|[^\s,;]*)")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
    r"|\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
)


def found_in_text(text: str, defaults: Defaults, name: str) -> Iterator[Found]:
    """The callbacks in a text, in their order: of its lines, and of what programs print over several."""
    printed = list(_printed(text))
    number, at = 1, 0
    for start, end, pairs in [*printed, (len(text), len(text), ())]:
        before = text[at:start]
        yield from _in_lines(before, number, defaults, name, is_whole=not printed)
        number += before.count("\n")
        if pairs:
            yield _of_printed(
                pairs, _time_in(text[text.rfind("\n", 0, start) + 1 : start]), defaults, f"{name}, line {number}"
            )
        number += text.count("\n", start, end)
        at = end


def _in_lines(text: str, first: int, defaults: Defaults, name: str, *, is_whole: bool) -> Iterator[Found]:
    """Lines between blocks are no whole ones; what is left of them is not worth to be counted."""
    for number, line in enumerate(text.split("\n"), start=first):
        trimmed = line.strip("\ufeff \t\r")
        if trimmed:
            yield from (
                each for each in in_line(trimmed, defaults, f"{name}, line {number}") if is_whole or _is_of_note(each)
            )


def _is_of_note(found: Found) -> bool:
    return isinstance(found, Record) or found.has_call


def in_line(line: str, defaults: Defaults, place: str) -> list[Found]:
    """The callbacks in one line; when there is none, why not."""
    runs = list(_runs(line))
    if not runs:
        return [left_out(place, line)]
    at = _time_in(line)
    found = [_of_run(line, start, end, at, defaults, place) for start, end in runs]
    if any(isinstance(each, Record) for each in found):
        return [each for each in found if isinstance(each, Record) or each.has_call]
    fields = tuple((each[1], _unquoted(each[2])) for each in _FIELD.finditer(line))
    if {"CallSid", "CallStatus"} <= {name for name, _ in fields}:  # CallSid=CA... CallStatus=completed From=+1...
        return [_assembled(form_found(fields, at, defaults, place))]
    return found[:1]


def _runs(line: str) -> Iterator[tuple[int, int]]:
    """Where each piece of the line with a CallSid in it begins and ends."""
    at = line.find("CallSid=")
    while at >= 0:
        start = max(line.rfind(char, 0, at) for char in _ENDS) + 1
        ending = _END.search(line, at)
        end = ending.start() if ending else len(line)
        yield start, end
        at = line.find("CallSid=", end)


def _of_run(line: str, start: int, end: int, at: datetime | None, defaults: Defaults, place: str) -> Found:
    text = line[start:end].rstrip(";").replace("&amp;", "&")
    if _CUT_OFF.search(text) or line[end:].startswith("[truncated"):
        return Unused(place, "parameters that were cut off", has_call=True)
    if "?" in text.partition("CallSid=")[0]:
        return _of_address(line[:start], text, at, defaults, place)
    text = _FIELD_BEFORE.sub("", text)
    if "&" not in text and text != line:
        return Unused(place, "a CallSid without the other parameters", has_call=True)
    pairs = form_pairs(text) or ()
    return form_found(pairs, _unless_dated(pairs, at), defaults, place)


def _of_address(before: str, address: str, at: datetime | None, defaults: Defaults, place: str) -> Found:
    """Parameters in a query are those of a GET; a POST has its own in a body, which such a line does not show."""
    method = _METHOD_BEFORE.search(before)
    if method and method[1].upper() == "POST":
        return Unused(place, "a POST whose body is not there", has_call=True)
    pairs = form_pairs(query_of(address)) or ()
    return request_found(method[1] if method else "GET", address, (), b"", _unless_dated(pairs, at), defaults, place)


def _unless_dated(pairs: Pairs, at: datetime | None) -> datetime | None:
    """Twilio's own time goes before that of the log."""
    return None if moment(dict(pairs).get("Timestamp")) else at


def _time_in(line: str) -> datetime | None:
    found = _TIME.search(line)
    return moment(found[0].replace(",", ".")) if found else None


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _assembled(found: Found) -> Found:
    return (
        replace(found, captured=False, about="assembled from the fields of a log line")
        if isinstance(found, Record)
        else found
    )


# What programs print: {CallSid: 'CA...'} (JavaScript), {'CallSid': 'CA...'} (Python), {"CallSid"=>"CA..."} (Ruby),
# ImmutableMultiDict([('CallSid', 'CA...'), ...]) (Werkzeug). No braces within: parameters have none.
_BLOCK = re.compile(r"\{[^{}]*?\bCallSid\b[^{}]*\}|\[\s*\([^\[\]]*?\bCallSid\b[^\[\]]*\)\s*,?\s*\]")
_TEXT = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_MEMBER = re.compile(
    rf"(?P<name>{_TEXT}|:?[A-Za-z_][A-Za-z0-9_]*)\s*(?:=>|:|,)\s*(?P<value>{_TEXT}|-?[0-9.]+|None|nil|null|undefined|true|false)"
    rf"\s*(?=[,)}}\n]|$)"
)


def _printed(text: str) -> Iterator[tuple[int, int, Pairs]]:
    """(where it begins, where it ends, the parameters) of each block that a program printed."""
    for block in _BLOCK.finditer(text):
        pairs = tuple((_plain(each["name"]), _plain(each["value"])) for each in _MEMBER.finditer(block[0][1:]))
        if dict(pairs).get("CallSid"):
            yield block.start(), block.end(), pairs


def _of_printed(pairs: Pairs, at: datetime | None, defaults: Defaults, place: str) -> Found:
    if len(pairs) == 1:
        return Unused(place, "a CallSid without the other parameters", has_call=True)
    return form_found(pairs, _unless_dated(pairs, at), defaults, place)


def _plain(text: str) -> str:
    if text[:1] in ("'", '"'):
        return re.sub(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", unescaped, text[1:-1])
    return "" if text in ("None", "nil", "null", "undefined") else text.removeprefix(":")


def unescaped(found: re.Match[str]) -> str:
    """What a backslash and these stand for: the code of a character (groups 1 and 2), or one letter (group 3)."""
    if found[1] or found[2]:
        return chr(int(found[1] or found[2], 16))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[3], found[3])
