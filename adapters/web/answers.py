"""The answers that are given before Flask is asked."""

from __future__ import annotations

from offhook.adapters.problem_details import CONTENT_TYPE, unread
from offhook.adapters.wsgi import CAREFUL_HEADERS

_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


def last_answer(status: int, remedy: str = "") -> bytes:
    """A whole HTTP answer, after which the connection is closed. It says the status, what to do, and no word of the request's."""
    reason = _REASONS[status]
    return _whole(status, "text/plain; charset=utf-8", f"{reason}. {remedy}\n" if remedy else f"{reason}\n")


def last_answer_of_api(status: int) -> bytes:
    """The same for a program, as the API itself would say it."""
    return _whole(status, CONTENT_TYPE, unread(status).body())


def _whole(status: int, content_type: str, text: str) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in CAREFUL_HEADERS)
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nConnection: close\r\nContent-Type: {content_type}\r\n"
        f"{headers}Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()
