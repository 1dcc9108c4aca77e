"""A TCP connection to whichever of a name's addresses answers first, within a time. Never leaves the whole time to one address.

https://www.rfc-editor.org/rfc/rfc8305 ("Happy Eyeballs"): the families take turns, and where an address has said nothing
for a moment, the next one is tried beside it.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from types import TracebackType
from typing import Any, Self

# One of those that `socket.getaddrinfo` gives.
Address = tuple[Any, ...]
SocketOptions = Iterable[tuple[Any, ...]]

BESIDE_SECONDS = 0.25  # RFC 8305, section 5: the next address is tried after so long
DISTRUST_SECONDS = 600.0  # an address that did not serve is tried after the others for so long


class Dialer:
    """Opens connections, and remembers for a while which addresses did not serve. Safe for threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._distrusted: dict[Any, float] = {}

    def dial(
        self, addresses: Iterable[Address], remaining: Callable[[], float], options: SocketOptions = ()
    ) -> socket.socket:
        """A connected socket without a timeout of its own. `remaining` gives the seconds left, or raises TimeoutError.

        Raises that TimeoutError, or the OSError of the last address when each of them failed.
        """
        waiting = deque(self.in_order(addresses))
        with _Race(tuple(options)) as race:
            pause = min(BESIDE_SECONDS, remaining() / (len(waiting) or 1))
            next_at = 0.0
            while waiting or race.runners:
                if waiting and time.monotonic() >= next_at:
                    race.start(waiting.popleft())
                    next_at = time.monotonic() + pause
                until_next = max(0.0, next_at - time.monotonic()) if waiting else remaining()
                if race.fell(min(until_next, remaining())):
                    next_at = 0.0  # who has failed is followed at once
                if race.winner is not None:
                    self._distrust_all(race.losers)
                    return race.winner
            raise race.trouble

    def in_order(self, addresses: Iterable[Address]) -> list[Address]:
        """Each once, the families taking turns, the system's first address first; those last that did not serve lately."""
        by_family: dict[Any, list[Address]] = {}
        for address in dict.fromkeys(addresses):
            by_family.setdefault(address[0], []).append(address)
        turns = chain.from_iterable(zip_longest(*by_family.values()))
        return sorted((each for each in turns if each is not None), key=self._is_distrusted)

    def distrust(self, where: Any) -> None:
        """`where` (a socket's peer) took the connection and did not serve, so the other addresses come before it now."""
        self._distrust_all([where])

    def _distrust_all(self, places: Iterable[Any]) -> None:
        now = time.monotonic()
        with self._guard:
            kept = {where: until for where, until in self._distrusted.items() if until > now}
            self._distrusted = kept | dict.fromkeys(places, now + DISTRUST_SECONDS)

    def _is_distrusted(self, address: Address) -> bool:
        with self._guard:
            return self._distrusted.get(address[4], 0.0) > time.monotonic()


class _Race:
    """Connections under way. `winner` is the first that stands; the others are closed in the end.

    `losers` are the places of those that were started and do not stand; `trouble` is what the last of them failed with.
    """

    def __init__(self, options: tuple[tuple[Any, ...], ...]) -> None:
        self._options = options
        self._poll = selectors.PollSelector()  # holds no file of its own
        self._places: dict[socket.socket, Any] = {}
        self.winner: socket.socket | None = None
        self.losers: list[Any] = []
        self._has_failed = False
        self.trouble = OSError("the name has no address")

    @property
    def runners(self) -> int:
        return len(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._places:
            sock.close()
        self._poll.close()

    def start(self, address: Address) -> None:
        """Begin; a failure that shows at once is a loser like any other."""
        family, kind, protocol, _, where = address
        self.losers.append(where)  # until it wins
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine has not
            self._note(error)
            return
        self._places[sock] = where
        try:
            for option in self._options:
                sock.setsockopt(*option)
            sock.setblocking(False)
            self._judge(sock, sock.connect_ex(where))
        except OSError as error:
            self._drop(sock, error)

    def fell(self, seconds: float) -> bool:
        """Wait for news. True when one has failed since the last look."""
        ready = self._poll.select(seconds) if self._places and self.winner is None else []
        for key, _ in ready:
            sock: Any = key.fileobj
            self._poll.unregister(sock)
            if self.winner is None:
                self._judge(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        has_failed, self._has_failed = self._has_failed, False
        return has_failed

    def _judge(self, sock: socket.socket, code: int) -> None:
        if code == errno.EINPROGRESS:
            self._poll.register(sock, selectors.EVENT_WRITE)
        elif code:
            self._drop(sock, OSError(code, "the connection failed"))
        else:
            self.losers.remove(self._places.pop(sock))
            self.winner = sock

    def _drop(self, sock: socket.socket, error: OSError) -> None:
        del self._places[sock]
        sock.close()
        self._note(error)

    def _note(self, error: OSError) -> None:
        self.trouble, self._has_failed = error, True
