"""Asks Twilio's REST API what it knows of callbacks that failed. Reads, and never changes anything at Twilio.

https://www.twilio.com/docs/usage/monitor-alert
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from requests import RequestException
from requests.adapters import HTTPAdapter
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.util import Retry

RETRIES = 5
PAGE_SIZE = 1000


class TwilioRefused(Exception):
    """Twilio's REST API did not answer, or with an error. The text says what to do and holds no secret."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks: an API key with its secret, or the account itself with its auth token. `api_url` replaces Twilio's hosts."""

    account_sid: str
    user: str
    password: str
    api_url: str = ""
    timeout_seconds: float = 30.0

    def client(self) -> Client:
        return Client(self.user, self.password, self.account_sid, http_client=_Http(self.api_url, self.timeout_seconds))


class _Http(TwilioHttpClient):  # type: ignore[misc]  # the library ships no types
    """Tries a read again when Twilio is busy (429, 20429) or in trouble: reading twice does no harm."""

    def __init__(self, api_url: str, timeout_seconds: float) -> None:
        super().__init__(timeout=timeout_seconds)
        self._api_url = api_url.rstrip("/")
        again = Retry(RETRIES, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=["GET"])
        if self.session is not None:
            self.session.mount("https://", HTTPAdapter(max_retries=again))
            self.session.mount("http://", HTTPAdapter(max_retries=again))

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
    return f"Twilio's REST API cannot be reached ({type(error).__name__}); try later."


def _status(error: Exception) -> int | None:
    """The status of the answer. The library's own exceptions carry it, or the answer itself, which a page does."""
    answers = [each for each in error.args if isinstance(each, Response)]
    return getattr(error, "status", None) or (answers[0].status_code if answers else None)
