"""A worker's sign of life: left in the ledger now and then, taken back at a clean end. It never stops a worker.

Whoever asks whether a worker is alive (/readyz, `flask rules check`) reads it there.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offhook.pipeline.ports.signs import Sign, SignsOfLife
from offhook.pipeline.repeated import EVERY_SECONDS, Repeated
from offhook.pipeline.trouble import Trouble

log = logging.getLogger("offhook.worker")

_FORGET_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class HeartPace:
    """How often a sign is left, and for how long that of a worker that vanished is kept. Seconds."""

    every_seconds: float = 15.0
    kept_seconds: float = 86_400.0
    log_repeat_seconds: float = EVERY_SECONDS


class Heart:
    """Leaves the signs of one worker. `clock` is the ledger's time, `steady` counts seconds; `version` is Offhook's."""

    def __init__(
        self,
        signs: SignsOfLife,
        pace: HeartPace,
        clock: Callable[[], datetime],
        version: str,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signs = signs
        self._pace = pace
        self._clock = clock
        self._steady = steady
        self._sign = Sign(uuid.uuid4().hex, socket.gethostname(), os.getpid(), version, "", clock())
        self._left_at = self._forgot_at = float("-inf")
        self._trouble = Trouble(Repeated(log, "no_sign_of_life", pace.log_repeat_seconds))

    def beat(self, rules_version: str) -> None:
        """Leave a sign where one is due, or the rules are others than the last one says. Never raises."""
        now = self._steady()
        if rules_version == self._sign.rules_version and now - self._left_at < self._pace.every_seconds:
            return
        self._left_at = now
        self._sign = replace(self._sign, rules_version=rules_version)
        with self._trouble.watching():
            self._leave()

    def stop(self) -> None:
        """This worker has ended. Never raises."""
        with self._trouble.watching():
            self._signs.take_back_sign(self._sign.worker_id)

    def _leave(self) -> None:
        self._signs.leave_sign(self._sign, self._clock())
        if self._steady() - self._forgot_at >= min(self._pace.kept_seconds, _FORGET_EVERY_SECONDS):
            self._signs.forget_signs(self._clock() - timedelta(seconds=self._pace.kept_seconds))
            self._forgot_at = self._steady()
