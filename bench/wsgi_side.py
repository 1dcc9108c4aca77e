"""One version's turn of `wsgi.py`: process CPU of the WSGI calls, in this process and from the checkout that PYTHONPATH names.

Imports nothing of the bench's, so that it knows one version of the service alone. stdin: the requests, stdout: the seconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

from flask import Flask

try:
    from offhook.service import create_app
except ImportError:  # before there was a package
    from service import create_app  # type: ignore[import-not-found,no-redef]

Environ = dict[str, Any]


class NullInbox:
    """Keeps nothing: what is measured is the way to it."""

    def append(self, callbacks: Sequence[object]) -> None:
        """Takes them and forgets them."""


def empty() -> Flask:
    """What nobody who uses Flask can go below."""
    app = Flask("empty", static_folder=None)
    app.add_url_rule("/twilio/status", "status", lambda: ("", 204), methods=["POST"])
    return app


def environ_of(headers: Mapping[str, str], body: str) -> Environ:
    """As gunicorn makes it."""
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        **named,
        "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE"),
        "CONTENT_LENGTH": str(len(body)),
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/twilio/status",
        "PATH_INFO": "/twilio/status",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "gunicorn",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body.encode("latin-1")),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def call(app: Callable[..., Iterable[bytes]], environs: Iterable[Environ], statuses: list[str]) -> float:
    """Seconds of CPU for all of them, answers read to their end as a server does."""

    def start_response(status: str, _headers: object, _error: object = None) -> None:
        statuses.append(status)

    gc.collect()
    begun = time.process_time()
    for environ in environs:
        answer = app(environ, start_response)
        for _ in answer:
            pass
        close = getattr(answer, "close", None)
        if close:
            close()
    return time.process_time() - begun


def main() -> None:
    asked = json.load(sys.stdin)
    apps = {"empty": empty(), "ours": create_app(inbox=NullInbox())}
    seconds: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(asked["turns"]):
        for name, app in apps.items():
            statuses: list[str] = []
            environs = [environ_of(headers, body) for headers, body in asked["requests"]]
            seconds[name].append(call(app, environs, statuses) / len(environs))
            if set(statuses) != {"204 NO CONTENT"} and set(statuses) != {"204 No Content"}:
                sys.exit(f"{name} answered {sorted(set(statuses))}")
    json.dump(seconds, sys.stdout)


main()
