"""The dashboard's door: off without a user. Imports nothing that intake would have to pay for; the rest is loaded at first use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal, Protocol

from offhook.pipeline.arrival import SIGNATURE_HEADER
from offhook.pipeline.ports.invites import Invites
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.ports.users import Users

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_SIGNATURE = f"HTTP_{SIGNATURE_HEADER.upper().replace('-', '_')}"
_HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), ("Content-Type", "text/plain")]


class _Ledger(Protocol):
    """What is asked of the ledger: whether anybody may come in."""

    @property
    def users(self) -> Users: ...
    @property
    def invites(self) -> Invites: ...


class DashboardDoor:
    """A WSGI app before the dashboard, which `build` makes when the first request comes in while it is on.

    `wished` None: on when there is a user, or a link that makes one; looked up every `look_seconds`. Whoever signs a request
    as Twilio does, to an address that is none, is `otherwise`'s, as is everybody while it is off.
    """

    def __init__(
        self,
        wished: Literal["on", "off"] | None,
        ledger: _Ledger,
        build: Callable[[], WsgiApp],
        otherwise: WsgiApp,
        look_seconds: float,
        clock: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wished, self._ledger, self._build, self._otherwise = wished, ledger, build, otherwise
        self._look_seconds, self._clock, self._steady = look_seconds, clock, steady
        self._guard = threading.Lock()
        self._is_on = False
        self._known_until = float("-inf")
        self._app: WsgiApp | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._wished == "off" or environ.get(_SIGNATURE):
            return self._otherwise(environ, start_response)
        try:
            app = self._built() if self._wished == "on" or self._somebody_may_come() else self._otherwise
        except LedgerUnavailable:
            start_response("503 SERVICE UNAVAILABLE", [*_HEADERS, ("Retry-After", "2")])
            return (b"The database does not answer now. Try again in a moment.\n",)
        return app(environ, start_response)

    def _somebody_may_come(self) -> bool:
        if self._steady() >= self._known_until:
            self._is_on = bool(self._ledger.users.every()) or self._ledger.invites.any_open(self._clock())
            self._known_until = self._steady() + self._look_seconds
        return self._is_on

    def _built(self) -> WsgiApp:
        with self._guard:
            if self._app is None:
                self._app = self._build()
            return self._app
