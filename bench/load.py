"""The load client: raw sockets and one epoll in one process, so that it takes little of the cores it shares with the server.

Requests are whole before the clock starts. An answer is taken by its first line and its end alone. 127.0.0.1 only.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_OK = b"HTTP/1.1 204"
_LONGEST_WAIT_SECONDS = 60.0


@dataclass(slots=True)
class Run:
    """What a run saw: latencies in seconds, how long it took, and what the client itself cost."""

    seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class Connections:
    """Keep-alive connections to one server."""

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self._socks[sock.fileno()] = sock
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def close(self) -> None:
        self._poll.close()
        for sock in self._socks.values():
            sock.close()

    def closed_loop(self, requests: Iterable[bytes], seconds: float) -> Run:
        """Every connection sends its next request as soon as it has an answer, until the time or the requests end."""
        run, feed, clock = Run(), iter(requests), time.perf_counter
        sent: dict[int, float] = {}
        cpu, start = time.process_time(), clock()
        until = start + seconds
        for number, sock in self._socks.items():
            sent[number] = clock()
            sock.send(next(feed))
        while sent:
            for number, _ in self._answers():
                now = self._take(number, sent, run)
                following = next(feed, None) if now < until else None
                if following is not None:
                    sent[number] = now
                    self._socks[number].send(following)
        run.seconds, run.client_cpu_seconds = clock() - start, time.process_time() - cpu
        return run

    def paced(self, requests: Iterable[bytes], per_second: float, answered: Callable[[int, float], None]) -> Run:
        """Requests at a steady pace, whatever the server does; `answered(n, monotonic time)` for each 204.

        One that had to wait for a free connection counts from when it was due: a server that stands still is not spared.
        """
        run, free, start = Run(), deque(self._socks), time.monotonic()
        sent: dict[int, float] = {}
        numbers: dict[int, int] = {}
        for count, request in enumerate(requests):
            at, late = start + count / per_second, False
            while (now := time.monotonic()) < at or not free:
                late = late or (now >= at and not free)
                for number, _ in self._poll.poll(max(0.0, at - now)) if free else self._answers():
                    self._take(number, sent, run)
                    answered(numbers[number], time.monotonic())
                    free.append(number)
            number = free.popleft()
            numbers[number], sent[number] = count, at if late else time.perf_counter()
            self._socks[number].send(request)
        while sent:
            for number, _ in self._answers():
                self._take(number, sent, run)
                answered(numbers[number], time.monotonic())
        run.seconds = time.monotonic() - start
        return run

    def _answers(self) -> list[tuple[int, int]]:
        """Connections on which an answer has come. Raises when none does: a bench waits for no dead server."""
        found = self._poll.poll(_LONGEST_WAIT_SECONDS)
        if not found:
            raise RuntimeError(f"no answer for {_LONGEST_WAIT_SECONDS} s")
        return found

    def _take(self, number: int, sent: dict[int, float], run: Run) -> float:
        """One answer; a 204 has no body, so its head is all of it. Raises for any other: a bench of refusals says nothing."""
        answer = self._socks[number].recv(4096)
        now = time.perf_counter()
        if not answer.startswith(_OK):
            raise RuntimeError(f"not a 204: {answer[:200]!r}")
        run.latencies.append(now - sent.pop(number))
        return now
