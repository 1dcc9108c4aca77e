"""The way out through a proxy: the tunnel (CONNECT) that it opens. Sends no byte of a request, shows no password.

https://www.rfc-editor.org/rfc/rfc9110#name-connect
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from http import HTTPStatus

from offhook.adapters.proxies import Proxy

HEAD_BYTES = 65536
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9][0-9])(?![0-9])")


class ProxyRefused(OSError):
    """The proxy opens no tunnel. `word` is a status as text, or `no_answer`, or `bad_answer`."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the proxy opens no tunnel: {word}")
        self.word = word


def open_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int, remaining: Callable[[], float]) -> None:
    """Let `sock`, which is connected to the proxy, lead to host and port. `remaining` gives the seconds left, or raises
    TimeoutError.

    Raises ProxyRefused, TimeoutError, or OSError when the connection is lost.
    """
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    lines += [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
    sock.settimeout(remaining())
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    status, rest = _answer(sock, b"", remaining)
    while 100 <= status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS:
        status, rest = _answer(sock, rest, remaining)
    if not 200 <= status <= 299:
        raise ProxyRefused(str(status))
    if rest:  # over TLS it is for us to speak first, so this is not the destination's
        raise ProxyRefused("bad_answer")


def _answer(sock: socket.socket, began: bytes, remaining: Callable[[], float]) -> tuple[int, bytes]:
    """The status of one head that starts with `began`, and what came behind it."""
    head = began
    while (end := _END_OF_HEAD.search(head)) is None:
        if len(head) > HEAD_BYTES:
            raise ProxyRefused("bad_answer")
        sock.settimeout(remaining())
        piece = sock.recv(4096)
        if not piece:
            raise ProxyRefused("bad_answer" if head else "no_answer")
        head += piece
    status = _STATUS.match(head)
    if status is None:
        raise ProxyRefused("bad_answer")
    return int(status[1]), head[end.end() :]
