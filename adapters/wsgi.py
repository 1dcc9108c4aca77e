"""What the WSGI apps of several rooms stand on. Imports nothing that intake would have to pay for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from offhook.pipeline.arrival import SIGNATURE_HEADER

A = TypeVar("A")
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

API = "/api/"
"""How the paths of the API begin."""
CAREFUL_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
"""What every answer carries."""
SIGNATURE = f"HTTP_{SIGNATURE_HEADER.upper().replace('-', '_')}"
"""The environ's key of Twilio's signature."""


class BuiltOnce(Generic[A]):
    """An app that `build` makes when it is first asked for; where that raises, the next one who asks tries again."""

    def __init__(self, build: Callable[[], A]) -> None:
        self._build = build
        self._guard = threading.Lock()
        self._app: A | None = None

    def __call__(self) -> A:
        """The app. Raises what `build` raises."""
        with self._guard:
            if self._app is None:
                self._app = self._build()
            return self._app
