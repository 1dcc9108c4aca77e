"""Asks Twilio's REST API what it knows of callbacks that failed. Reads, and never changes anything at Twilio.

https://www.twilio.com/docs/usage/monitor-alert
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from requests import RequestException
from requests.adapters import HTTPAdapter
from requests.utils import urldefragauth
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from offhook.adapters.proxies import parse_proxy

RETRIES = 5
PAGE_SIZE = 1000
_BUSY = (429, 500, 502, 503, 504)
_NO_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")


class TwilioRefused(Exception):
    """Twilio's REST API did not answer, or with an error. The text says what to do and holds no secret."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks: an API key with its secret, or the account itself with its auth token. `api_url` replaces Twilio's hosts.

    `ca_file` replaces the usual authorities, `proxy_url` (http://user:password@host:port) is the way out; "" for neither.
    """

    account_sid: str
    user: str
    password: str = field(repr=False)
    api_url: str = ""
    timeout_seconds: float = 30.0
    ca_file: str = ""
    proxy_url: str = field(default="", repr=False)

    def client(self) -> Client:
        return Client(self.user, self.password, self.account_sid, http_client=_Http(self))


class _Way(HTTPAdapter):
    """Tries a read again when Twilio is busy (429, 20429) or in trouble: reading twice does no harm.

    A proxy gets its user and password in the header alone: no address that an error could show holds them.
    """

    def __init__(self, proxy_url: str) -> None:
        authorization = parse_proxy(proxy_url).authorization if proxy_url else ""
        self._proxy_headers = {"Proxy-Authorization": authorization} if authorization else {}
        self._proxy_address = urldefragauth(proxy_url) if proxy_url else ""
        # A connection that does not come about is tried again, too, but not where the other side has answered no.
        super().__init__(
            max_retries=_Again(RETRIES, backoff_factor=0.5, status_forcelist=_BUSY, allowed_methods=["GET"])
        )

    def proxy_headers(self, proxy: str) -> dict[str, str]:  # noqa: ARG002  (requests' signature)
        return self._proxy_headers

    def send(self, *request: Any, **options: Any) -> Any:
        way = {"http": self._proxy_address, "https": self._proxy_address} if self._proxy_address else {}
        return super().send(*request, **{**options, "proxies": way})


class _Again(Retry):
    """Not after a certificate that is not trusted or a proxy that refuses: the next try would come to the same."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if error is not None and _pool is not None and _is_lasting(error):
            raise MaxRetryError(_pool, url or "", error)
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _Http(TwilioHttpClient):  # type: ignore[misc]  # the library ships no types
    """Goes the way that `access` says, and by nothing of the environment: no proxy, no .netrc, no other authorities."""

    def __init__(self, access: Access) -> None:
        super().__init__(timeout=access.timeout_seconds)
        self._api_url = access.api_url.rstrip("/")
        self.session.trust_env = False
        self.session.verify = access.ca_file or True
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, _Way(access.proxy_url))

    def request(self, method: str, url: str, *rest: Any, **more: Any) -> Response:
        if self._api_url:
            parts = urlsplit(url)
            url = f"{self._api_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().request(method, url, *rest, **more)


def alerts(access: Access, since: datetime) -> Iterator[Mapping[str, Any]]:
    """Twilio's alerts since then, whole: each is fetched by itself, because the list leaves the callback's parameters out.

    Twilio keeps them for 30 days. Raises TwilioRefused.
    """
    try:
        for listed in access.client().monitor.v1.alerts.stream(start_date=since, page_size=PAGE_SIZE):
            fetched = listed.fetch()
            yield {
                "request_variables": fetched.request_variables,
                "request_url": fetched.request_url,
                "request_method": fetched.request_method,
                "date_created": fetched.date_created,
            }
    except (TwilioException, RequestException) as error:
        raise TwilioRefused(_explained(error)) from None


def _explained(error: Exception) -> str:
    status = _status(error)
    if status in (401, 403):
        return (
            f"Twilio's REST API answered {status}: check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN "
            "(or TWILIO_API_KEY and TWILIO_API_SECRET)."
        )
    if status:
        return (
            f"Twilio's REST API answered {status} ({getattr(error, 'msg', '') or 'it says nothing more'}); try later."
        )
    if certificate := _certificate_error(error):
        return (
            f"Twilio's REST API cannot be trusted: certificate verify failed: {certificate}. Where a company's network "
            "opens TLS, name the file of its authority (PEM) in OFFHOOK_CA_FILE."
        )
    if refused := _refused_by_proxy(error):
        return (
            f"The proxy opens no way to Twilio's REST API: it answered {refused}. Check the address, user and password in "
            "OFFHOOK_EGRESS_PROXY, and whether it lets this machine reach api.twilio.com and monitor.twilio.com."
        )
    return f"Twilio's REST API cannot be reached ({type(error).__name__}); try later."


def _status(error: Exception) -> int | None:
    """The status of the answer. The library's own exceptions carry it, or the answer itself, which a page does."""
    answers = [each for each in error.args if isinstance(each, Response)]
    return getattr(error, "status", None) or (answers[0].status_code if answers else None)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was made of: requests and urllib3 wrap theirs in several ways."""
    seen: dict[int, BaseException] = {}
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen[id(one)] = one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return iter(seen.values())


def _is_lasting(error: Exception) -> bool:
    return bool(_certificate_error(error)) or _refused_by_proxy(error).startswith("4")


def _certificate_error(error: BaseException) -> str:
    found = [one for one in _behind(error) if isinstance(one, ssl.SSLCertVerificationError)]
    return found[0].verify_message if found else ""


def _refused_by_proxy(error: BaseException) -> str:
    """The status that a proxy answered to CONNECT, which http.client leaves in a text."""
    texts = (_NO_TUNNEL.match(str(one)) for one in _behind(error) if isinstance(one, OSError))
    return next((found[1] for found in texts if found), "")
