"""A destination that costs little: one process, one asyncio loop, 200 after a set delay, and when each request came.

Writes to the given file, for each request, the monotonic clock in seconds and the `order_id` of the payload.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from pathlib import Path
from typing import TextIO

_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ORDER = re.compile(rb'"order_id": *"([^"]*)"')


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay_seconds: float, journal: TextIO) -> None:
        self._delay_seconds = delay_seconds
        self._journal = journal
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._taken(body)

    def _taken(self, body: bytes) -> None:
        order = _ORDER.search(body)
        self._journal.write(f"{time.monotonic():.6f} {order.group(1).decode() if order else '-'}\n")
        assert self._transport is not None
        if self._delay_seconds:
            asyncio.get_running_loop().call_later(self._delay_seconds, self._transport.write, _ANSWER)
        else:
            self._transport.write(_ANSWER)


async def serve(port: int, delay_seconds: float, journal: TextIO) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(delay_seconds, journal), "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("journal", type=Path)
    parser.add_argument("--delay-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    with arguments.journal.open("w", encoding="utf-8", buffering=1) as journal:
        asyncio.run(serve(arguments.port, arguments.delay_seconds, journal))


if __name__ == "__main__":
    main()
