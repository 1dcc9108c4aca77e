"""Callbacks in requests that stand in a text: raw HTTP, one after the other, and the command lines of "Copy as cURL"."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from offhook.adapters.recordings.found import Defaults, Found, Unused, left_out, request_found
from offhook.adapters.recordings.text_lines import found_in_text, unescaped

_METHOD = rb"(?P<method>GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE)"
_LINE = _METHOD + rb" (?P<target>\S+) HTTP/[0-9.]+[ \t]*\r?$"
_REQUEST_LINE = re.compile(rb"^" + _LINE, re.MULTILINE)
_NEXT_LINE = re.compile(_LINE, re.MULTILINE)  # where a body of known length ends, with no line end behind it
_FIRST_LINE = re.compile(
    rb"\s*" + _METHOD + rb" (?P<target>(?:/|https?://)\S*)(?: HTTP/[0-9.]+)?[ \t]*\r?$", re.MULTILINE
)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BODY_END = re.compile(rb"^(?:HTTP/[0-9.]+ [0-9]{3}|###)", re.MULTILINE)


def has_requests(raw: bytes) -> bool:
    """True when its first line is a request line, or any other that says so."""
    return bool(_FIRST_LINE.match(raw) or _REQUEST_LINE.search(raw))


def found_in_http(raw: bytes, defaults: Defaults, name: str) -> Iterator[Found]:
    """Every raw HTTP request of a text, with CRLF or LF at the ends of its lines, whatever stands between them."""
    start, at = _FIRST_LINE.match(raw) or _REQUEST_LINE.search(raw), 0
    while start:
        yield from _between(raw[at : start.start()], defaults, f"{name}, before line {_line(raw, start)}")
        following = _REQUEST_LINE.search(raw, start.end())
        found, at = _of_request(raw, start, following.start() if following else len(raw), defaults, name)
        yield from found
        start = _NEXT_LINE.match(raw, at) or _REQUEST_LINE.search(raw, at)
    yield from _between(raw[at:], defaults, f"{name}, at its end")


def _line(raw: bytes, start: re.Match[bytes]) -> int:
    return raw.count(b"\n", 0, start.start("method")) + 1


def _between(raw: bytes, defaults: Defaults, place: str) -> Iterator[Found]:
    """Answers, remarks, and perhaps a callback of another spelling."""
    for each in found_in_text(raw.decode("utf-8", "replace"), defaults, place):
        if not isinstance(each, Unused) or each.has_call:
            yield each


def _of_request(raw: bytes, line: re.Match[bytes], end: int, defaults: Defaults, name: str) -> tuple[list[Found], int]:
    """What the request is, and where it ends: where its headers say so, else where the next one begins."""
    place = f"{name}, line {_line(raw, line)}"
    head_end = _HEAD_END.search(raw, line.end(), end)
    headers, misplaced = _headers(raw[line.end() : head_end.start() if head_end else end].decode("latin-1"))
    rest = raw[head_end.end() : end] if head_end else b""
    if not rest.strip() and misplaced and line["method"] == b"POST":  # the empty line was lost
        rest = misplaced.pop(0)
    by_name = {name.lower(): value for name, value in headers}
    body, reason = _body(rest, by_name)
    method, target = line["method"].decode(), line["target"].decode("latin-1")
    if reason:
        return [left_out(place, f"{target} {rest.decode('utf-8', 'replace')}", reason)], end
    found = [request_found(method, target, headers, body, None, defaults, place)]
    is_framed = head_end is not None and by_name.get("content-length", "").isdigit()
    ends_at = head_end.end() + len(body) if head_end and is_framed else end
    return [*found, *_between(b"\n".join(misplaced), defaults, place)], min(ends_at, end)


def _headers(head: str) -> tuple[list[tuple[str, str]], list[bytes]]:
    """The headers, and what names a call among them and is none. Other lines are passed over."""
    headers, misplaced = [], []
    for line in head.splitlines():
        name, colon, value = line.partition(":")
        if "CallSid=" in line and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
            misplaced.append(line.strip().encode("latin-1"))
        elif colon and name.strip():
            headers.append((name.strip(), value.strip()))
    return headers, misplaced


def _body(rest: bytes, headers: Mapping[str, str]) -> tuple[bytes, str]:
    """(the body, what is wrong with it). An editor's line end behind it is none of it."""
    if "chunked" in headers.get("transfer-encoding", "").lower() and re.match(
        rb"[0-9A-Fa-f]+(?:;[^\r\n]*)?\r?\n", rest
    ):
        return _unchunked(rest)
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        stop = _BODY_END.search(rest)
        return (rest[: stop.start()] if stop else rest).strip(b"\r\n"), ""
    announced = int(length)
    return (rest[:announced], "") if len(rest) >= announced else (b"", "a body that was cut off")


def _unchunked(rest: bytes) -> tuple[bytes, str]:
    body = b""
    while chunk := re.match(rb"\r?\n?([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r?\n", rest):
        size = int(chunk[1], 16)
        piece = rest[chunk.end() : chunk.end() + size]
        if size == 0:
            return body, ""
        if len(piece) < size:
            break
        body, rest = body + piece, rest[chunk.end() + size :]
    return b"", "a body that was cut off"


# cURL: https://curl.se/docs/manpage.html

_COMMAND = re.compile(r"^[ \t]*(?:[$>%#][ \t]+)?curl(?:\.exe)?[ \t\\^`]", re.MULTILINE)
_CONTINUED = re.compile(r"[\\^`]\r?\n")
_DOLLAR_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_WITH_VALUE = frozenset(
    [
        *("-X", "--request", "-H", "--header", "--url", "-b", "--cookie", "-c", "--cookie-jar", "-u", "--user"),
        *("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "--json", "-F", "--form"),
        *("-A", "--user-agent", "-e", "--referer", "-o", "--output", "-x", "--proxy", "-m", "--max-time", "--retry"),
        *("--connect-timeout", "--resolve", "--cacert", "-E", "--cert", "--key", "-w", "--write-out", "-T", "-r"),
    ]
)
_DATA = ("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json")


def has_curl(text: str) -> bool:
    """True when a line of it is a cURL command."""
    return _COMMAND.search(text) is not None


def found_in_curl(text: str, defaults: Defaults, name: str) -> Iterator[Found]:
    """Every cURL command of a text, as bash, and as cmd on Windows, takes it."""
    starts = [found.start() for found in _COMMAND.finditer(text)]
    yield from _between(text[: starts[0]].encode("utf-8", "replace"), defaults, f"{name}, before its commands")
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        number = text.count("\n", 0, start) + 1
        yield _of_command(text[start:end], defaults, f"{name}, line {number}")


@dataclass(slots=True)
class _Curl:
    """What a command line says."""

    method: str = ""
    url: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    in_query: bool = False


def _of_command(text: str, defaults: Defaults, place: str) -> Found:
    try:
        command = _parsed(_words(text))
    except ValueError:
        return left_out(place, text, "a command whose quotes do not close")
    if any(each.startswith("@") for each in command.data):
        return Unused(place, "a command whose body stands in another file", has_call=True)
    body, url = "&".join(command.data), command.url
    if command.in_query and body:
        url, body = f"{url}{'&' if '?' in url else '?'}{body}", ""
    method = command.method or ("POST" if body else "GET")
    return request_found(method, url, command.headers, body.encode("utf-8", "replace"), None, defaults, place)


def _words(text: str) -> list[str]:
    """Raises ValueError when a quote does not close."""
    text = _CONTINUED.sub(" ", text)
    if '^"' in text:  # cmd: a caret before whatever it would take for its own
        text = re.sub(r"\^(.)", r"\1", text)
    return shlex.split(_DOLLAR_QUOTED.sub(lambda found: shlex.quote(_ansi(found[1])), text))


def _ansi(text: str) -> str:
    """What stands in $'...' of bash."""
    return re.sub(r"\\(?:u([0-9a-fA-F]{1,4})|x([0-9a-fA-F]{1,2})|(.))", unescaped, text)


def _parsed(words: list[str]) -> _Curl:
    command, rest = _Curl(), iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            is_url = not command.url and word not in ("curl", "curl.exe", "$", ">", "%", "#", "-")
            command.url = word if is_url else command.url
            continue
        name, value = (word[:2], word[2:]) if re.match(r"-[XHdbuAeox].", word) else (word, "")
        _take(command, name, value or (next(rest, "") if name in _WITH_VALUE else ""))
    return command


def _take(command: _Curl, name: str, value: str) -> None:
    if name in ("-X", "--request"):
        command.method = value
    elif name == "--url":
        command.url = value
    elif name in ("-H", "--header"):
        header, _, text = value.partition(":")
        command.headers.append((header.strip(), text.strip()))
    elif name in ("-G", "--get"):
        command.in_query = True
    elif name == "--data-urlencode":
        command.data.append(_urlencoded(value))
    elif name in _DATA:
        command.data.append(value)


def _urlencoded(value: str) -> str:
    name, equals, content = value.partition("=")
    return f"{name}={quote_plus(content)}" if equals and name else quote_plus(content or name)
