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
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException
from requests.utils import get_auth_from_url, urldefragauth
from urllib3.exceptions import HTTPError

from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.proxies import parse_proxy

_CHUNK = 65536
_READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """How an address is asked. `authorization` is the header's value, "" for none, or for what the address itself holds.

    `seconds` bounds all of it, `max_bytes` what comes, unpacked. `ca_file` replaces the usual authorities, `proxy_url` is the
    way out; "" for neither.
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
    until = time.monotonic() + access.seconds
    try:
        with (
            _session(access) as session,
            session.send(_request(session, url, version, access), **_options(access)) as got,
        ):
            if got.status_code == 304 and version:
                return version
            if got.status_code != 200:
                raise ImportRefused(f"{shown(url)} answered {got.status_code}.")
            with into.open("wb") as file:
                _save(got, file, until, access.max_bytes, shown(url))
            return _version(got)
    except (RequestException, HTTPError, OSError) as error:
        raise ImportRefused(f"{shown(url)} cannot be fetched ({type(error).__name__}).") from None


def shown(url: str) -> str:
    """The address without what may be a secret: user, password, query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _session(access: Access) -> Session:
    session = Session()
    session.trust_env = False
    session.verify = access.ca_file or True
    if access.proxy_url:
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Through(access.proxy_url))
    return session


class _Through(HTTPAdapter):
    """By a proxy, which gets its user and password in the header alone."""

    def __init__(self, proxy_url: str) -> None:
        authorization = parse_proxy(proxy_url).authorization
        self._headers = {"Proxy-Authorization": authorization} if authorization else {}
        self._address = urldefragauth(proxy_url)
        super().__init__()

    def proxy_headers(self, proxy: str) -> dict[str, str]:  # noqa: ARG002  (requests' signature)
        return self._headers

    def send(self, request: PreparedRequest, *rest: Any, **options: Any) -> Response:
        way = {"http": self._address, "https": self._address}
        return super().send(request, *rest, **{**options, "proxies": way})


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


def _options(access: Access) -> dict[str, Any]:
    step = min(_READ_SECONDS, access.seconds)
    return {"stream": True, "timeout": (step, step), "verify": access.ca_file or True, "allow_redirects": True}


def _version(got: Response) -> str:
    """The version in one text: `etag "abc"`, or `modified Thu, ...`."""
    etag, modified = got.headers.get("ETag"), got.headers.get("Last-Modified")
    return f"etag {etag}" if etag else f"modified {modified}" if modified else ""


def _save(got: Response, file: IO[bytes], until: float, max_bytes: int, name: str) -> None:
    size = 0
    for piece in _pieces(got):
        size += len(piece)
        if size > max_bytes:
            raise ImportRefused(f"{name} is larger than {max_bytes:,} bytes (OFFHOOK_CUSTOMERS_SYNC_MAX_BYTES).")
        if time.monotonic() > until:
            raise ImportRefused(f"{name} took longer than it may (OFFHOOK_CUSTOMERS_SYNC_SECONDS).")
        file.write(piece)


def _pieces(got: Response) -> Iterator[bytes]:
    """What came, as it comes: a drip is no reason to wait for more. Unpacked."""
    while piece := got.raw.read1(_CHUNK, decode_content=True):
        yield piece
