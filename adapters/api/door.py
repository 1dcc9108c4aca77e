"""The API's door: off without a token; who may come in, how often. Imports nothing that intake would have to pay for.

All tokens are held in memory for a few seconds, so that a flood of wrong ones asks the ledger nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from offhook.adapters.problem_details import CONTENT_TYPE, Problem, later, problem
from offhook.adapters.wsgi import CAREFUL_HEADERS, BuiltOnce, WsgiApp
from offhook.pipeline.ports.tokens import Tokens
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.tokens import Presented, Token, is_of, presented

log = logging.getLogger("offhook.api")

DOCUMENT = "/api/v1/openapi.json"
TOKEN, SECRET = "offhook.token", "offhook.secret"
"""The environ's keys for the Token of who asks, and for the secret, by which fingerprints are made."""

_OFF = problem(404, "not-found")
_UNKNOWN = problem(
    401,
    "unauthorized",
    "Authorization: Bearer offhook_..., as `flask tokens create` showed it",
    headers={"WWW-Authenticate": "Bearer"},
)


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """See the settings of the same names."""

    tokens_seconds: float
    used_seconds: float
    requests_per_second: float
    burst: int


class Door:
    """A WSGI app before the API itself, which `build` makes when the first request comes in."""

    def __init__(
        self,
        tokens: Tokens,
        build: Callable[[], WsgiApp],
        limits: DoorLimits,
        clock: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens, self._limits, self._clock, self._steady = tokens, limits, clock, steady
        self._built = BuiltOnce(build)
        self._guard = threading.Lock()
        self._known: Mapping[str, Token] = {}
        self._known_until = float("-inf")
        self._left: dict[str, tuple[float, float]] = {}
        self._used_at: dict[str, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            self._let_in(environ)
            app = self._built()
        except LedgerUnavailable:
            return _answer(later("unavailable"), start_response)
        except Problem as problem:
            return _answer(problem, start_response)
        return app(environ, start_response)

    def _let_in(self, environ: dict[str, Any]) -> None:
        """Raises Problem."""
        known = self._valid()
        if not known:
            raise _OFF
        if environ.get("PATH_INFO") == DOCUMENT:
            return
        shown = _shown(environ.get("HTTP_AUTHORIZATION", ""))
        token = known.get(shown.id) if shown else None
        if shown is None or token is None or not is_of(token, shown):
            raise _UNKNOWN
        self._not_too_often(token.id)
        self._note_use(token.id)
        environ[TOKEN], environ[SECRET] = token, shown.secret

    def _valid(self) -> Mapping[str, Token]:
        if self._steady() >= self._known_until:
            every = self._tokens.every()
            self._known = {one.id: one for one in every if one.revoked_at is None}
            self._known_until = self._steady() + self._limits.tokens_seconds
        return self._known

    def _not_too_often(self, token_id: str) -> None:
        """A bucket that fills by the second. Raises Problem when it is empty."""
        now, rate = self._steady(), self._limits.requests_per_second
        with self._guard:
            left, at = self._left.get(token_id, (float(self._limits.burst), now))
            left = min(float(self._limits.burst), left + (now - at) * rate)
            self._left[token_id] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if left < 1:
            raise later("too-many-requests", int((1 - left) / rate) + 1, 429)

    def _note_use(self, token_id: str) -> None:
        """Seldom; what the ledger does not take now is noted at a later request."""
        now = self._steady()
        with self._guard:
            if now - self._used_at.get(token_id, float("-inf")) < self._limits.used_seconds:
                return
            self._used_at[token_id] = now
        try:
            self._tokens.used(token_id, self._clock())
        except LedgerUnavailable as error:
            log.warning("token_use_not_noted", extra={"error": str(error)})


def _shown(header: str) -> Presented | None:
    scheme, _, text = header.partition(" ")
    return presented(text.strip()) if scheme.lower() == "bearer" else None


def _answer(problem: Problem, start_response: Callable[..., Any]) -> Iterable[bytes]:
    status = f"{problem.status} {HTTPStatus(problem.status).phrase.upper()}"
    start_response(status, [("Content-Type", CONTENT_TYPE), *problem.headers.items(), *CAREFUL_HEADERS])
    return (problem.body().encode(),)
