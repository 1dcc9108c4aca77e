"""The dashboard's door: off without a user. Imports nothing that intake would have to pay for; the rest is loaded at first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from offhook.adapters.wsgi import CAREFUL_HEADERS, SIGNATURE, BuiltOnce, WsgiApp
from offhook.pipeline.ports.invites import Invites
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.ports.users import Users

if TYPE_CHECKING:
    from flask import Flask

COOKIE = "offhook"
"""The session's cookie; a prefix may stand before it."""


class _Ledger(Protocol):
    """What is asked of the ledger: whether anybody may come in."""

    @property
    def users(self) -> Users: ...
    @property
    def invites(self) -> Invites: ...


class DashboardDoor:
    """A WSGI app before the dashboard, which `build` makes when the first request comes in while it is on.

    `wished` None: on when there is a user, or a link that makes one; looked up every `look_seconds`. Whoever signs a request
    as Twilio does, to an address that is none, is `otherwise`'s, as is everybody while it is off. `is_signed_in` is asked with the
    dashboard and a request's cookies.
    """

    def __init__(
        self,
        wished: Literal["on", "off"] | None,
        ledger: _Ledger,
        build: Callable[[], Flask],
        is_signed_in: Callable[[Flask, str], bool],
        otherwise: WsgiApp,
        look_seconds: float,
        retry_after_seconds: int,
        clock: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wished, self._ledger, self._otherwise = wished, ledger, otherwise
        self._built = BuiltOnce(build)
        self._is_signed_in = is_signed_in
        self._look_seconds, self._clock, self._steady = look_seconds, clock, steady
        self._come_again = ("Retry-After", str(retry_after_seconds))
        self._is_on = False
        self._known_until = float("-inf")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._wished == "off" or environ.get(SIGNATURE):
            return self._otherwise(environ, start_response)
        try:
            app = self._built() if self._wished == "on" or self._somebody_may_come() else self._otherwise
        except LedgerUnavailable:
            start_response(
                "503 SERVICE UNAVAILABLE", [*CAREFUL_HEADERS, ("Content-Type", "text/plain"), self._come_again]
            )
            return (b"The database does not answer now. Try again in a moment.\n",)
        return app(environ, start_response)

    def knows(self, cookies: str) -> bool:
        """Whether a request with these cookies is somebody's who is signed in. Nothing is loaded or asked for one that has none of
        ours. Raises LedgerUnavailable.
        """
        if self._wished == "off" or f"{COOKIE}=" not in cookies:
            return False
        return (self._wished == "on" or self._somebody_may_come()) and self._is_signed_in(self._built(), cookies)

    def _somebody_may_come(self) -> bool:
        if self._steady() >= self._known_until:
            self._is_on = bool(self._ledger.users.every()) or self._ledger.invites.any_open(self._clock())
            self._known_until = self._steady() + self._look_seconds
        return self._is_on
