"""Honest callbacks beside clients that never finish a request: latencies with and without them, in turns. 127.0.0.1 only.

By default 400 half-open connections, half of them silent and half of them in the middle of a header, and 100 bodies that
come at a byte a second. What the server closes (after OFFHOOK_REQUEST_SECONDS) is opened again, so that there are always so many.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from load import Connections
from rig import Template, database, folder, kinds, percentile, table, web

_BEGINNING = b"POST /twilio/status HTTP/1.1\r\nHost: bench.example.com\r\nX-Twilio-Signature: "
_HALF_BODY = _BEGINNING + b"bm8=\r\nContent-Length: 60000\r\n\r\nCallSid=CA"


class Attackers:
    """Connections that are never done, in a thread of their own."""

    def __init__(self, port: int, half_open: int, dripping: int) -> None:
        self._port = port
        self._beginnings = [b"", _BEGINNING] * (half_open // 2) + [_HALF_BODY] * dripping
        self._poll = selectors.DefaultSelector()
        self._stop = threading.Event()
        self.opened = 0
        for beginning in self._beginnings:
            self._open(beginning)

    def _open(self, beginning: bytes) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.sendall(beginning)
        sock.setblocking(False)
        self._poll.register(sock, selectors.EVENT_READ, beginning)
        self.opened += 1

    def run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            for key, _ in self._poll.select(0.1):
                self._poll.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                self._open(key.data)
            if time.monotonic() >= due:
                due += 1
                self._drip()

    def _drip(self) -> None:
        for key in list(self._poll.get_map().values()):
            if key.data == _HALF_BODY:
                with suppress(OSError):
                    key.fileobj.send(b"0")  # type: ignore[union-attr]

    def close(self) -> None:
        self._stop.set()
        for key in list(self._poll.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


@contextmanager
def attackers(port: int, half_open: int, dripping: int) -> Iterator[Attackers]:
    running = Attackers(port, half_open, dripping)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running._stop.set()
        thread.join()
        running.close()


def honest(port: int, requests: list[bytes], per_second: float) -> list[float]:
    """Milliseconds of each callback's answer, in order of size."""
    connections = Connections(port, 16)
    try:
        run = connections.paced(requests, per_second, lambda _number, _at: None)
    finally:
        connections.close()
    return sorted(wait * 1000 for wait in run.latencies)


def measure(kind: str, arguments: argparse.Namespace) -> None:
    numbers, template = itertools.count(), Template.load()
    alone: list[float] = []
    beside: list[float] = []
    opened = 0
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        url = stack.enter_context(database(kind, place))
        port, _ = stack.enter_context(web({"DATABASE_URL": url}, place))
        for _ in range(arguments.rounds):
            requests = [template.request(next(numbers)) for _ in range(int(arguments.rate * arguments.seconds) * 2)]
            half = len(requests) // 2
            alone += honest(port, requests[:half], arguments.rate)
            with attackers(port, arguments.half_open, arguments.dripping) as hostile:
                beside += honest(port, requests[half:], arguments.rate)
                opened += hostile.opened
    show(kind, sorted(alone), sorted(beside), opened, arguments)


def show(kind: str, alone: list[float], beside: list[float], opened: int, arguments: argparse.Namespace) -> None:
    print(f"\n{kind}: {len(beside)} callbacks at {arguments.rate:g}/s beside {opened} connections that were never done")
    rows = []
    for share in (0.5, 0.99):
        without, among = percentile(alone, share), percentile(beside, share)
        rows.append([f"p{share * 100:.0f}", without, among, among / without])
    table(("", "alone ms", "beside them ms", "ratio"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="sqlite")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=3, metavar="1-10")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each run, at most 30")
    parser.add_argument("--rate", type=float, default=100.0, help="callbacks a second, at most 500")
    parser.add_argument("--half-open", type=int, choices=range(801), default=400, metavar="0-800")
    parser.add_argument("--dripping", type=int, choices=range(801), default=100, metavar="0-800")
    arguments = parser.parse_args()
    arguments.rate, arguments.seconds = min(arguments.rate, 500.0), min(arguments.seconds, 30.0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for kind in kinds(arguments.database):
        measure(kind, arguments)


if __name__ == "__main__":
    main()
