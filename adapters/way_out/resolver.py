"""Name look-ups that end in time: each in a thread of its own, for nothing can interrupt one. Never more than a few at once.

Whoever asks for the same name at the same time shares one look-up. A resolver that hangs holds at most `max_threads`
threads; those who ask meanwhile wait for one of these, no longer than they may.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

# Of one name: what `socket.getaddrinfo` gives.
Addresses = list[Any]
LookUp = Callable[[str, int, int, int], Addresses]
Question = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A look-up under way."""

    question: Question
    since: float = field(default_factory=time.monotonic)
    answer: Future[Addresses] = field(default_factory=Future)


class Resolver:
    """Looks names up within a time. Safe for threads.

    `look_up` is the system's unless another one is given. One under way that takes longer than `stale_seconds` is no
    longer relied on: the next who asks begins another, while there are fewer than `max_threads`.
    """

    def __init__(
        self, look_up: LookUp = socket.getaddrinfo, *, max_threads: int = 4, stale_seconds: float = 5.0
    ) -> None:
        self._look_up = look_up
        self._max_threads = max_threads
        self._stale_seconds = stale_seconds
        self._guard = threading.Lock()
        self._under_way: list[_Asked] = []

    def addresses(self, host: str, port: int, family: int, seconds: float) -> Addresses:
        """As `socket.getaddrinfo`, for a stream. Raises TimeoutError after `seconds`, else what that raises."""
        try:  # an address needs nobody
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        except (socket.gaierror, UnicodeError):
            return self._asked((host, port, family)).answer.result(seconds)

    def _asked(self, question: Question) -> _Asked:
        """The look-up to wait for: one that is under way, or a new one."""
        with self._guard:
            same = [one for one in self._under_way if one.question == question]
            fresh = [one for one in same if time.monotonic() - one.since < self._stale_seconds]
            if fresh:
                return fresh[-1]
            if len(self._under_way) >= self._max_threads:
                return same[-1] if same else _Asked(question)  # its answer never comes
            begun = _Asked(question)
            threading.Thread(target=self._run, args=(begun,), name="resolver", daemon=True).start()
            self._under_way.append(begun)  # its thread waits for the guard before it takes it out
            return begun

    def _run(self, asked: _Asked) -> None:
        try:
            asked.answer.set_result(self._look_up(*asked.question, socket.SOCK_STREAM))
        except Exception as error:
            asked.answer.set_exception(error)
        finally:
            with self._guard:
                self._under_way.remove(asked)
