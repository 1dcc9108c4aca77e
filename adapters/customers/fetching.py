"""A list of customers from an HTTP(S) address into a file: only where it is another than last time, and never without an end.

Whole or not at all: what is too large, takes too long or breaks off is refused. Shows no secret of the address.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Request, Response, Session
from requests.adapters import BaseAdapter
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException
from requests.utils import get_auth_from_url, urldefragauth
from urllib3.exceptions import HTTPError

from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.proxies import parse_proxy
from offhook.adapters.way_out.deadline import BoundedAdapter, Flight
from offhook.adapters.way_out.dialing import Dialer
from offhook.adapters.way_out.proxy import HEAD_BYTES
from offhook.adapters.way_out.request import asked_for, let_in, trusting
from offhook.adapters.way_out.resolver import Resolver

_CHUNK = 65536
_CONNECT_SECONDS = 30.0
_FRAMES = 2  # what comes in small chunks is so many times of what is in them, at most


@dataclass(frozen=True, slots=True)
class Access:
    """How an address is asked. `authorization` is the header's value, "" for none, or for what the address itself holds.

    `seconds` bounds all of it, from the look-up of the name to the last byte, `max_bytes` what comes, unpacked. `ca_file`
    replaces the usual authorities, `proxy_url` is the way out; "" for neither.
    """

    authorization: str = field(default="", repr=False)
    max_bytes: int = 1_000_000_000
    seconds: float = 600.0
    ca_file: str = ""
    proxy_url: str = field(default="", repr=False)


def fetch(url: str, version: str | None, into: Path, access: Access) -> str | None:
    """Write what the address holds to `into`, where it is not `version` any more. Returns its version, as If-None-Match or
    If-Modified-Since ask for it; the same as before where nothing was written, "" where the address names none.

    https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests. Raises ImportRefused.
    """
    name, way = shown(url), None
    try:
        way = _InTime(access, time.monotonic() + access.seconds)
        with _session(way) as session, session.send(_request(session, url, version, access), stream=True) as got:
            if got.status_code == 304 and version:
                return version
            if got.status_code != 200:
                raise ImportRefused(f"{name} answered {got.status_code}.")
            with into.open("wb") as file:
                _save(got, file, access.max_bytes, name)
            return _version(got)
    except (RequestException, HTTPError, OSError) as error:
        if way and way.is_over:
            raise ImportRefused(f"{name} took longer than it may (OFFHOOK_CUSTOMERS_SYNC_SECONDS).") from None
        raise ImportRefused(f"{name} cannot be fetched ({(way and way.trouble) or type(error).__name__}).") from None


def shown(url: str) -> str:
    """The address without what may be a secret: user, password, query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{url.partition(':')[0]}://..."
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


class _InTime(BaseAdapter):
    """Requests that all end by one time (monotonic): the first, and those that its answers lead to.

    Raises OSError for a `ca_file` that cannot be read.
    """

    def __init__(self, access: Access, until: float) -> None:
        super().__init__()
        self._max_bytes = access.max_bytes
        self._until = until
        self._proxy = parse_proxy(access.proxy_url) if access.proxy_url else None
        self._ways = Resolver(), Dialer()
        self._adapter = BoundedAdapter(1, trusting(access.ca_file or None))
        self.trouble = ""

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        most = HEAD_BYTES + _FRAMES * self._max_bytes
        target = asked_for(request, self._proxy)
        flight = Flight(target, self._until, _CONNECT_SECONDS, most, *self._ways, self._proxy)
        let_in(request, self._proxy)
        try:
            response = self._adapter.fly(request, flight)
        finally:
            self.trouble = flight.trouble
        if response.is_redirect:
            flight.may_read_bytes = HEAD_BYTES  # its body is read into memory
        return response

    def close(self) -> None:
        self._adapter.close()


def _session(way: _InTime) -> Session:
    session = Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, way)
    return session


def _request(session: Session, url: str, version: str | None, access: Access) -> PreparedRequest:
    headers = {"Accept-Encoding": "gzip", "User-Agent": "Offhook"}
    if version:
        kind, _, value = version.partition(" ")
        headers[{"etag": "If-None-Match"}.get(kind, "If-Modified-Since")] = value
    if access.authorization:
        headers["Authorization"] = access.authorization
    user, password = get_auth_from_url(url)
    auth = HTTPBasicAuth(user, password) if user and not access.authorization else None
    return session.prepare_request(Request("GET", urldefragauth(url), headers=headers, auth=auth))


def _version(got: Response) -> str:
    """The version in one text: `etag "abc"`, or `modified Thu, ...`."""
    etag, modified = got.headers.get("ETag"), got.headers.get("Last-Modified")
    return f"etag {etag}" if etag else f"modified {modified}" if modified else ""


def _save(got: Response, file: IO[bytes], max_bytes: int, name: str) -> None:
    size = 0
    for piece in _pieces(got):
        size += len(piece)
        if size > max_bytes:
            raise ImportRefused(f"{name} is larger than {max_bytes:,} bytes (OFFHOOK_CUSTOMERS_SYNC_MAX_BYTES).")
        file.write(piece)


def _pieces(got: Response) -> Iterator[bytes]:
    """What came, as it comes: a drip is no reason to wait for more. Unpacked."""
    while piece := got.raw.read1(_CHUNK, decode_content=True):
        yield piece
