"""One POST to Rockerbox, and what its answer means (Outcome). It may never raise for what the other side does, follow a
redirect, outlast its deadline, or show the advertiser id.

https://help.rockerbox.com "Webhooks": the id in the query is the only credential. Status codes, limits and error bodies
are not documented; the rules of `outcome_of` are HTTP's own (RFC 9110, RFC 6585).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from requests import PreparedRequest, Request, Response
from requests.exceptions import RequestException

from offhook.adapters.proxies import Proxy, parse_proxy
from offhook.adapters.rockerbox import payload as payloads
from offhook.adapters.rockerbox.dedupe import DedupeKey
from offhook.adapters.way_out.deadline import BoundedAdapter, Flight, read_body, reason_of
from offhook.adapters.way_out.dialing import Dialer
from offhook.adapters.way_out.proxy import HEAD_BYTES
from offhook.adapters.way_out.request import asked_for, let_in, trusting
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.delivery import (
    KEY_LACKS,
    LATER_STATUSES,
    MAYBE_SENT_STATUSES,
    NOT_TAKEN_STATUSES,
    REFUSED_STATUSES,
    Outcome,
    Result,
)
from offhook.pipeline.reasons import remedy
from offhook.pipeline.version import VERSION

USER_AGENT = f"Offhook/{VERSION}"
KEPT_ANSWER_CHARACTERS = 2000

_SECONDS = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_LISTED = re.compile(r"[A-Za-z]+,[^,]*|[^,]+")  # a date has a comma of its own
_FAR_SECONDS = 1e9  # more than any cap, and small enough to reckon with

_log = logging.getLogger(__name__)


def outcome_of(
    status: int,
    answer: str = "",
    retry_after: str | None = None,
    now: datetime | None = None,
    maybe_sent: Collection[int] = MAYBE_SENT_STATUSES,
) -> Outcome:
    """What an answer means. `retry_after` is the header as it came; `now` (UTC) is only asked for a date in it.

    `maybe_sent` are the statuses that say nothing about whether it arrived.
    """
    if 200 <= status <= 299:
        return Outcome(Result.DELIVERED, "delivered", status, answer)
    wait = retry_after_seconds(retry_after, now or datetime.now(UTC))
    result = _result_of(status, maybe_sent)
    return Outcome(result, reason_of(status), status, answer, None if result is Result.REFUSED else wait)


def _result_of(status: int, maybe_sent: Collection[int]) -> Result:
    """Anything but a 2xx.

    A redirect is never followed, for it would carry the customer's data elsewhere: it is the url that is wrong. Of a 4xx
    that is not known nobody can say that the payload is at fault, and `dead` is for ever: it waits, with an alert. A 5xx
    that is not known says nothing about whether it arrived.
    """
    if status in maybe_sent:
        return Result.MAYBE_SENT
    if status in NOT_TAKEN_STATUSES or status in LATER_STATUSES:
        return Result.RETRY
    if status in REFUSED_STATUSES:
        return Result.REFUSED
    return Result.BLOCKED if 300 <= status <= 499 else Result.MAYBE_SENT


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds to wait, 0 or more; None when there is no header or none of it can be read.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after: seconds, or a date. What people write besides is read as
    they mean it: fractions, and lists (a header that came twice), of which the longest wait holds.
    """
    parts = [part.strip() for part in _LISTED.findall(header or "")]
    waits = [wait for part in parts if (wait := _wait(part, now)) is not None]
    return min(_FAR_SECONDS, max(0.0, *waits)) if waits else None


def _wait(text: str, now: datetime) -> float | None:
    """One wait; negative when the time has gone by."""
    if _SECONDS.fullmatch(text):
        return float(text)
    at = http_date(text)
    return None if at is None else (at - now).total_seconds()


def http_date(text: str | None) -> datetime | None:
    """A date of HTTP in any of its three forms, as an aware time; None when it is none. Total.

    https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats
    """
    try:
        at = parsedate_to_datetime(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def unanswered(flight: Flight, error: Exception) -> Outcome:
    """A request without an answer: safe to send again only if nothing of it was written."""
    if not flight.trouble:
        # The type alone: the text of an exception may hold anything.
        _log.warning("rockerbox_error", extra={"error": type(error).__name__})
    result = Result.MAYBE_SENT if flight.written else Result.RETRY
    return Outcome(result, flight.trouble or "error", answer=flight.detail[:KEPT_ANSWER_CHARACTERS])


class _LoggedOnce:
    """What keeps every conversion from Rockerbox and is for a person to mend, logged once until something gets through."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._logged: set[tuple[str, str]] = set()

    def log(self, trouble: str, detail: str) -> None:
        with self._guard:
            is_known = (trouble, detail) in self._logged
            self._logged.add((trouble, detail))
        if not is_known:
            _log.error("rockerbox_out_of_reach", extra={"reason": trouble, "error": detail, "remedy": remedy(trouble)})

    def forget(self) -> None:
        if self._logged:
            with self._guard:
                self._logged.clear()


class Rockerbox:
    """Rockerbox's webhook as a Destination. Use one for all threads; `close` it at the end.

    `connect_timeout_seconds` covers TCP, a proxy's tunnel and TLS, `total_deadline_seconds` the whole attempt. `pool_size`
    is how many threads send at once. `ca_file` (PEM, or a folder of hashed certificates) replaces the usual authorities.
    `proxy_url` is `http://user:password@host:port`; "" for none, and the environment's are never used.
    `dedupe_key` is the account's: what lacks a field of it counts nothing there, so it is held and never sent.
    `maybe_sent_statuses`: see `outcome_of`. `resolver` looks names up, `steady` counts the seconds of idle connections.
    Raises ValueError for a url or proxy that cannot be used and for an empty advertiser id, OSError for a `ca_file` without
    certificates.
    """

    def __init__(
        self,
        url: str,
        advertiser_id: str,
        *,
        connect_timeout_seconds: float = 5.0,
        total_deadline_seconds: float = 15.0,
        max_answer_bytes: int = 65536,
        pool_size: int = 32,
        ca_file: str | None = None,
        maybe_sent_statuses: Collection[int] = MAYBE_SENT_STATUSES,
        resolver: Resolver | None = None,
        proxy_url: str = "",
        dedupe_key: DedupeKey | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = _prepared(url)
        self._proxy = parse_proxy(proxy_url) if proxy_url else None
        self._target = _target(asked_for(self._request, self._proxy), advertiser_id)
        self._secrets = _secrets(advertiser_id, self._proxy)
        self._dedupe_key = dedupe_key
        self._connect_timeout_seconds = connect_timeout_seconds
        self._total_deadline_seconds = total_deadline_seconds
        self._max_answer_bytes = max_answer_bytes
        self._maybe_sent_statuses = frozenset(maybe_sent_statuses)
        self._resolver = resolver or Resolver()
        self._dialer = Dialer()
        self._steady = steady
        self._trouble = _LoggedOnce()
        self._adapter = BoundedAdapter(pool_size, trusting(ca_file))

    def __repr__(self) -> str:
        return f"Rockerbox(host={urlsplit(self._request.url).hostname!r})"

    def encode(self, conversion: Conversion) -> bytes:
        """The bytes that every attempt will send."""
        return payloads.encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        """One attempt: one POST, at most `total_deadline_seconds` long. Never raises for what the other side does."""
        lacking = self._dedupe_key and self._dedupe_key.lacking(payload)
        if lacking:
            return Outcome(Result.HELD, f"{KEY_LACKS}{lacking}")
        ends_at = time.monotonic() + self._total_deadline_seconds
        most_bytes = HEAD_BYTES + self._max_answer_bytes
        flight = Flight(
            self._target,
            ends_at,
            self._connect_timeout_seconds,
            most_bytes,
            self._resolver,
            self._dialer,
            self._proxy,
            steady=self._steady,
        )
        try:
            response = self._adapter.fly(self._carrying(payload), flight)
        except Exception as error:
            if flight.needs_person:
                self._trouble.log(flight.trouble, flight.detail)
            return unanswered(flight, error)
        self._trouble.forget()
        return self._read(response)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _read(self, response: Response) -> Outcome:
        retry_after = response.headers.get("Retry-After")
        outcome = outcome_of(response.status_code, "", retry_after, maybe_sent=self._maybe_sent_statuses)
        is_clear = outcome.result is not Result.MAYBE_SENT
        answer = self._presentable(read_body(response, self._max_answer_bytes, keep=is_clear))
        return replace(outcome, answer=answer, answered_at=http_date(response.headers.get("Date")))

    def _carrying(self, payload: bytes) -> PreparedRequest:
        request = self._request.copy()
        request.body = payload
        request.headers["Content-Length"] = str(len(payload))
        let_in(request, self._proxy)
        return request

    def _presentable(self, body: bytes) -> str:
        """Readable, fit for any database (no NUL), without our secrets, cut."""
        text = body.decode("utf-8", "replace").replace("\0", "\ufffd")
        for secret, name in self._secrets.items():
            text = text.replace(secret, name)
        return text[:KEPT_ANSWER_CHARACTERS]


def _prepared(url: str) -> PreparedRequest:
    """The constant parts of the request, without the secret."""
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    try:
        prepared = Request("POST", _without_advertiser(url), headers).prepare()
    except RequestException as error:
        raise ValueError("the url of Rockerbox cannot be used") from error
    if urlsplit(prepared.url).scheme not in ("http", "https"):
        raise ValueError("the url of Rockerbox must begin with https:// or http://")
    return prepared


def _without_advertiser(url: str) -> str:
    """People paste the url as Rockerbox shows it, id included; the setting of the id is the one that counts."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != "advertiser"]
    return parts._replace(query="&".join(kept), fragment="").geturl()


def _secrets(advertiser_id: str, proxy: Proxy | None) -> dict[str, str]:
    """What an answer may not show, the longest first, and what is shown in its place."""
    named = {advertiser_id: "[advertiser id]", quote(advertiser_id, safe=""): "[advertiser id]"}
    named |= dict.fromkeys(proxy.secrets if proxy else (), "[proxy's password]")
    return dict(sorted(named.items(), key=lambda pair: len(pair[0]), reverse=True))


def _target(path: str, advertiser_id: str) -> str:
    if not advertiser_id:
        raise ValueError("the advertiser id of Rockerbox is empty")
    return f"{path}{'&' if '?' in path else '?'}advertiser={quote(advertiser_id, safe='')}"
