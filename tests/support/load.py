"""Calls that come in all the time, and a record of what was acknowledged. Imports nothing of Offhook."""

from __future__ import annotations

import threading
from collections import Counter
from http.client import HTTPException
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from tests.support import ledger
from tests.support.twilio import Answer, Pairs, Twilio, callback, new_sid
from tests.support.waiting import HANGS_AFTER_SECONDS

SidAndStatus = tuple[str, str]  # CallSid, CallStatus


class Load:
    """Callers in threads of their own, each sending the callbacks of one call after another until the `with` ends.

    As Twilio with `#rc=1`, a callback that was not acknowledged is sent once more; then it is given up.
    `acknowledged` are those that were answered 204; `answers` counts all statuses, 0 for no answer at all.
    """

    def __init__(self, twilio: Twilio, threads: int = 4, pause_seconds: float = 0.04) -> None:
        self._twilio, self._pause_seconds = twilio, pause_seconds
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(threads)]
        self.acknowledged: set[SidAndStatus] = set()
        self.answers: Counter[int] = Counter()
        self.refusals: list[Answer] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(HANGS_AFTER_SECONDS)

    @property
    def acknowledged_calls(self) -> set[str]:
        with self._guard:
            return {call_sid for call_sid, _ in self.acknowledged}

    def count(self, status: int) -> int:
        with self._guard:
            return self.answers[status]

    def _call(self) -> None:
        while not self._stop.is_set():
            call_sid = new_sid()
            for status in ("ringing", "completed"):
                pairs = callback(call_sid, status)
                if self._send(pairs) or self._send(pairs):
                    with self._guard:
                        self.acknowledged.add((call_sid, status))
                self._stop.wait(self._pause_seconds)

    def _send(self, pairs: Pairs) -> bool:
        """True when it was answered 204."""
        answer: Answer | None
        try:
            answer = self._twilio.send(pairs)
        except (OSError, HTTPException):
            answer = None
        with self._guard:
            self.answers[answer.status if answer else 0] += 1
            if answer is not None and answer.status != 204:
                self.refusals.append(answer)
        return answer is not None and answer.status == 204


def stored(database_url: str) -> Counter[SidAndStatus]:
    """Every callback in the ledger, and how often it stands there."""
    found: Counter[SidAndStatus] = Counter()
    for row in ledger.query(database_url, "SELECT call_sid, body FROM callbacks"):
        found[row["call_sid"], parse_qs(bytes(row["body"]).decode())["CallStatus"][0]] += 1
    return found


def assert_kept(load: Load, database_url: str) -> None:
    """Nothing acknowledged is lost, nothing is kept twice."""
    kept = stored(database_url)
    lost = load.acknowledged - set(kept)
    assert not lost, f"{len(lost)} of {len(load.acknowledged)} acknowledged callbacks are not in the ledger: {lost}"
    twice = {callback: times for callback, times in kept.items() if times > 1}
    assert not twice, f"kept more than once: {twice}"
