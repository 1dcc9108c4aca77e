"""Requests as they arrive, for what is verified and read: made of a few parts, of which tests change one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from offhook.adapters.twilio import reading
from offhook.adapters.twilio.signature import Verified
from offhook.adapters.twilio.spelling import SETTINGS_HEADER, carrier, content_of, query_of
from offhook.pipeline.arrival import SIGNATURE_HEADER, Arrived, OtherKind, Refused
from offhook.pipeline.callback import RawCallback

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ANY_URL = "https://calls.example.test/any"


def arrived(
    method: str,
    urls: Sequence[str],
    content_type: str,
    body: bytes,
    signature: str,
    settings: str = "",
    *,
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Arrived:
    """A request; its target is the first URL's path and query where none is given."""
    named = {SIGNATURE_HEADER: signature, SETTINGS_HEADER: settings, **(headers or {})}
    asked = target if target is not None else next(iter(urls), "")
    return Arrived(method, asked, tuple(urls), content_type, named, body, NOW)


def signed_so(request: Arrived, signature: str | None = None, settings: str | None = None) -> Arrived:
    """The same request with another signature, or another word of how it was made."""
    changed = {SIGNATURE_HEADER: signature, SETTINGS_HEADER: settings}
    return replace(request, headers={**request.headers, **{k: v for k, v in changed.items() if v is not None}})


def to_urls(request: Arrived, urls: Sequence[str]) -> Arrived:
    """The same request to other URLs."""
    return replace(request, urls=tuple(urls), target=next(iter(urls), ""))


def read_request(
    method: str,
    target: str,
    content_type: str,
    headers: Mapping[str, str],
    body: bytes,
    received_at: datetime,
    account_sid: str,
) -> tuple[RawCallback, ...] | OtherKind | Refused:
    """What is read in a request that this account is taken to have signed for ANY_URL."""
    query = query_of(target)
    content = content_of(carrier(method, content_type, query), query, body)
    assert content is not None
    request = Arrived(method, target, (), content_type, headers, body, received_at)
    return reading.read_request(request, Verified(account_sid, ANY_URL, content))
