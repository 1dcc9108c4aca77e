"""Requests to the provider by the house's way out: each ends by one time, is read so far and no further, and follows no redirect."""

from __future__ import annotations

import time
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import ConnectionError as NoConnection

from offhook.adapters.proxies import Proxy
from offhook.adapters.way_out.deadline import BoundedAdapter, Flight, read_body
from offhook.adapters.way_out.dialing import Dialer
from offhook.adapters.way_out.proxy import HEAD_BYTES
from offhook.adapters.way_out.request import asked_for, let_in
from offhook.adapters.way_out.resolver import Resolver


class Unreachable(NoConnection):
    """No whole answer came. `word` is what the way out says of it; `detail` is for a log, and holds no secret."""

    def __init__(self, word: str, detail: str = "") -> None:
        super().__init__(word)
        self.word, self.detail = word, detail


class Way:
    """How the provider is reached: through `proxy` where there is one, by connections that are kept. Safe to use from many threads."""

    def __init__(self, adapter: BoundedAdapter, resolver: Resolver, proxy: Proxy | None, max_bytes: int) -> None:
        self.adapter, self.resolver, self.proxy, self.max_bytes = adapter, resolver, proxy, max_bytes
        self.dialer = Dialer()


class InTime(BaseAdapter):
    """What a Session of requests sends by: all that it sends ends within `seconds` from now."""

    def __init__(self, way: Way, seconds: float) -> None:
        super().__init__()
        self._way, self._seconds = way, seconds
        self._ends_at = time.monotonic() + seconds

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Raises Unreachable."""
        way = self._way
        most = HEAD_BYTES + way.max_bytes + 1
        request.headers["Accept-Encoding"] = "identity"
        target = asked_for(request, way.proxy)
        let_in(request, way.proxy)
        flight = Flight(target, self._ends_at, self._seconds, most, way.resolver, way.dialer, way.proxy)
        try:
            response = way.adapter.fly(request, flight)
        except Exception as error:
            raise Unreachable(flight.trouble or type(error).__name__, flight.detail) from None
        body = read_body(response, way.max_bytes + 1)
        if flight.trouble:
            raise Unreachable(flight.trouble, flight.detail)
        if len(body) > way.max_bytes:
            raise Unreachable("too_large", f"more than {way.max_bytes} bytes")
        if 300 <= response.status_code <= 399:
            raise Unreachable("redirect", str(response.status_code))
        response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Nothing: the connections are the way's."""
