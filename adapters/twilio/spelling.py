"""How Twilio spells a request: its URL, its parameters, the hash of its body. Pure: no key, no I/O, and nothing in a request makes
it raise. Verifying reads by it and signing writes by it, so that each rule of the wire stands here once.

https://www.twilio.com/docs/usage/security#validating-requests; Event Streams: https://www.twilio.com/docs/events
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from hashlib import sha256
from itertools import chain
from typing import Any
from urllib.parse import unquote_plus

HMAC_SHA1 = "HMAC_SHA1"
HMAC_SHA256 = "HMAC_SHA256"
ALGORITHMS = (HMAC_SHA1, HMAC_SHA256)
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded; charset=UTF-8"
JSON_CONTENT_TYPE = "application/json"
TOKEN_HEADER = "I-Twilio-Idempotency-Token"
REGION_HEADER = "X-Home-Region"
AGENT_HEADER = "User-Agent"
KEPT_HEADERS = (TOKEN_HEADER, REGION_HEADER, AGENT_HEADER)
"""What is worth keeping of the headers that Twilio sends, the content type aside."""
AGENT = "TwilioProxy/"
"""How Twilio's User-Agent begins; a version follows."""
EVENT_TYPE = "com.twilio.voice.status-callback"
"""How the type of an event of a call begins."""

_ACCOUNT_PARAMETER = "AccountSid"
_ACCOUNT_IN_DATA = ("accountSid", "account_sid")
ACCOUNT_NAMES = frozenset({_ACCOUNT_PARAMETER, *_ACCOUNT_IN_DATA})
"""What an account is called by: in parameters, and in the data of an event."""

ENDS = ("From", "To", "Caller", "Called")
ADDRESSES = frozenset({*ENDS, "ForwardedFrom"})
"""The parameters that are the address of somebody, as a number or otherwise."""

_BODY_HASH = "bodySHA256"

Pairs = tuple[tuple[str, str], ...]


class Carrier(StrEnum):
    """Where a request carries its parameters."""

    QUERY = "query"
    FORM = "form"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Content:
    """What a request says, read once, before anybody has verified it.

    `pairs` are its parameters in order, none of JSON; `events` the CloudEvents of a JSON body. `accounts` are those that it
    names. `text` is the parameters as Twilio signs them behind a URL.
    """

    carrier: Carrier
    pairs: Pairs
    events: tuple[dict[str, Any], ...]
    accounts: frozenset[str]
    text: str

    @property
    def signed(self) -> str:
        """What is signed after the URL: the parameters of a form; those of a query are in the URL, and so is JSON's hash."""
        return self.text if self.carrier is Carrier.FORM else ""


def content_of(where: Carrier, query: str, body: bytes, max_fields: int | None = None) -> Content | None:
    """What stands in the query or the body, wherever `carrier` says; None when there are more than `max_fields`."""
    if where is Carrier.JSON:
        events = json_events(body)
        return Content(where, (), events, frozenset(filter(None, map(event_account, events))), "")
    pairs = form_pairs(query if where is Carrier.QUERY else body, max_fields)
    return None if pairs is None else Content(where, pairs, (), _accounts_in(pairs), signed_text(pairs))


def carrier(method: str, content_type: str, query: str) -> Carrier:
    """Where the parameters are. Verifying and reading must agree on it, so both ask here.

    The content type is not signed, `bodySHA256` is: a request signed for a hashed body is never read as a form.
    """
    if is_in_query(method):
        return Carrier.QUERY
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == JSON_CONTENT_TYPE or media_type.endswith("+json") or f"{_BODY_HASH}=" in query:
        return Carrier.JSON
    return Carrier.FORM


def is_in_query(method: str) -> bool:
    """True where a request has its parameters in its URL, and none in its body."""
    return method.upper() != "POST"


def query_of(target: str) -> str:
    """The query of a URL or raw target, with real characters. Without the fragment: that is not signed."""
    return as_text(target).partition("#")[0].partition("?")[2]


def form_pairs(form: bytes | str, max_fields: int | None = None) -> Pairs | None:
    """The parameters of a form body or query in order, empties and duplicates kept; None when over `max_fields`.

    The same as `urllib.parse.parse_qsl` gives, at a third of its price: each callback is read three times.
    """
    text = form.decode("utf-8", "replace") if isinstance(form, bytes) else form
    fields = text.split("&") if text else []
    if max_fields is not None and len(fields) > max_fields:
        return None
    pairs = [field.partition("=") for field in fields if field]
    return tuple([(_unquoted(name), _unquoted(value)) for name, _, value in pairs])


def form_values(form: bytes | str, names: Collection[str]) -> dict[str, str] | None:
    """What `form_pairs` gives of these names, the last value of each, at a third of its price: most of a form is not unescaped.
    None where a form is not spelled as usual: with a name that is escaped, or without an equals sign behind one.
    """
    text = form.decode("utf-8", "replace") if isinstance(form, bytes) else form
    try:
        values = dict([field.split("=", 1) for field in text.split("&")])
    except ValueError:  # a name alone, or nothing at all between two ampersands
        return None
    written = "".join(values)
    if "%" in written or "+" in written:
        return None
    return {name: _unquoted(values[name]) for name in names if name in values}


def _unquoted(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    # What numbers and times are written with, which is most of all: at a fifth of the library's price.
    usual = text.replace("+", " ").replace("%2B", "+").replace("%3A", ":").replace("%2C", ",")
    return unquote_plus(text, errors="replace") if "%" in usual else usual


def signed_text(pairs: Iterable[tuple[str, str]]) -> str:
    """What Twilio signs after the URL: the names in code-point order, each value of a name sorted and once.

    Sorting distinct pairs is the same, and done once a request; RequestValidator would do it for every URL and key.
    """
    return "".join(chain.from_iterable(sorted(set(pairs))))


def _accounts_in(pairs: Pairs) -> frozenset[str]:
    return frozenset(value for name, value in pairs if name == _ACCOUNT_PARAMETER and value)


def json_events(body: bytes) -> tuple[dict[str, Any], ...]:
    """The CloudEvents of a JSON body, an array or a single one; none when it is no such JSON."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # bad JSON or UTF-8, a number of thousands of digits; nested too deeply
        return ()
    return tuple(event for event in (value if isinstance(value, list) else [value]) if isinstance(event, dict))


def event_parameters(event: Mapping[str, Any]) -> dict[str, Any]:
    """The callback's own fields in a voice event, `data.request.parameters`; empty when it has none."""
    inner = _object(_object(event.get("data")).get("request"))
    return _object(inner.get("parameters"))


def event_account(event: Mapping[str, Any]) -> str:
    """The account that a CloudEvent speaks of; empty when it names none."""
    data = _object(event.get("data"))
    sids = (event_parameters(event).get(_ACCOUNT_PARAMETER), *map(data.get, _ACCOUNT_IN_DATA))
    named = next(filter(None, sids), "")
    return named if isinstance(named, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def is_body_of(query: str, body: bytes) -> bool:
    """True when the query holds the hash of this body, as it does for JSON."""
    hashes = [value for name, value in form_pairs(query) or () if name == _BODY_HASH]
    actual = sha256(body).hexdigest().encode()
    return bool(hashes) and hmac.compare_digest(hashes[0].lower().encode("utf-8", "replace"), actual)


def with_body_hash(url: str, body: bytes) -> str:
    """The URL that Twilio requests for a JSON body: `bodySHA256` is the last parameter of its query. No fragment."""
    url = url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}{_BODY_HASH}={sha256(body).hexdigest()}"


_HASH_IN_QUERY = re.compile(rf"(?<=[?&]){_BODY_HASH}=[^&]*&?")


def without_body_hash(url: str) -> str:
    """The URL or target as Twilio was given it: without the hash of a JSON body, which Twilio adds to the query."""
    return _HASH_IN_QUERY.sub("", url).rstrip("?&") if f"{_BODY_HASH}=" in url else url


def is_iso(text: str) -> bool:
    """True where a time can only be one of ISO 8601, as in events; those of forms are of RFC 2822."""
    return text[:4].isdigit()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# As Twilio writes it, which is read here at a fifth of the library's price: "Tue, 24 Nov 2026 01:00:00 +0000"
_USUAL_TIME = re.compile(
    rf"[A-Z][a-z]{{2}}, ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([12][0-9]{{3}}) ([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) \+0000"
)


def parsed_time(text: str) -> datetime | None:
    """A time in RFC 2822 or ISO 8601, without a zone where it names none. None when it is neither."""
    try:
        if usual := _USUAL_TIME.fullmatch(text):
            day, month, year, hour, minute, second = usual.groups()
            return datetime(
                int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
            )
        return datetime.fromisoformat(text) if is_iso(text) else parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of them seen from parsedate_to_datetime
        return None


def in_utc(moment: datetime) -> datetime:
    """The time as UTC; one without a zone is UTC already. Raises OverflowError at the ends of the calendar."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_settings(header: str) -> tuple[str, str | None]:
    """(algorithm, key id) of X-Twilio-Webhooks-Signature-Settings, `key=<id>,algorithm=HMAC_SHA256`.

    The key id is None when the header is blank, which means an auth token, and empty when the header names no key.
    """
    if not header.strip():
        return HMAC_SHA1, None
    named: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.partition("=")
        named.setdefault(name.strip(), value.strip())
    return (named.get("algorithm") or HMAC_SHA1).upper(), named.get("key", "")


def settings_header(key_id: str, algorithm: str = HMAC_SHA256) -> str:
    """X-Twilio-Webhooks-Signature-Settings as Twilio writes it for a SharedKey."""
    return f"key={key_id},algorithm={algorithm}"


def presented_urls(bases: Iterable[str], raw_target: str) -> tuple[str, ...]:
    """Each public base URL with the request's own path and query, byte for byte: what Twilio was given and signed.

    `raw_target` is the request line's target as WSGI decodes it (latin-1); of an absolute one only path and query
    count. A base may end in a slash and hold userinfo. Where it holds a path that the target repeats (a proxy that does
    not strip it), the target alone comes first.
    """
    target = _path_and_query(as_text(raw_target))
    urls: dict[str, None] = {}
    for base in bases:
        root = base.partition("#")[0].partition("?")[0].rstrip("/")
        scheme, separator, rest = root.partition("://")
        host, slash, path = rest.partition("/")
        if slash and re.match(f"/{re.escape(path)}(?:[/?]|$)", target):
            urls[f"{scheme}{separator}{host}{target}"] = None
        urls[root + target] = None
    return tuple(urls)


def _path_and_query(target: str) -> str:
    target = target.partition("#")[0]
    if target.startswith("/"):
        return target
    absolute = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*", target)
    rest = target[absolute.end() :] if absolute else target
    return rest if rest.startswith("/") else f"/{rest}"


def as_text(raw: str) -> str:
    """The real characters of a string that WSGI decoded as latin-1; itself when it is no UTF-8. Never a surrogate."""
    if raw.isascii():
        return raw
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return encodable(raw)


def encodable(text: str) -> str:
    """Without halves of characters, which UTF-8 cannot write."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def without_userinfo(url: str) -> str:
    """The URL without `user:password@`, so that it can be shown."""
    scheme, separator, netloc, rest = _split(url)
    return f"{scheme}{separator}{netloc.rpartition('@')[2]}{rest}"


def _split(url: str) -> tuple[str, str, str, str]:
    """(scheme, "://", netloc, the rest): nothing is decoded, checked or lower-cased, so nothing can fail."""
    scheme, separator, after = url.partition("://")
    if not separator:
        return "", "", "", url
    end = re.search(r"[/?#]|$", after)
    cut = end.start() if end else len(after)
    return scheme, separator, after[:cut], after[cut:]


# Twilio signs these unescaped in a query while the wire may have them escaped (twilio-node#1059, #1183).
_SIGNED_UNESCAPED = {"%27": "'", "%40": "@", "%3A": ":", "%3a": ":"}
_ESCAPED = re.compile("|".join(_SIGNED_UNESCAPED))


def candidates(urls: tuple[str, ...]) -> Iterator[str]:
    """Every spelling that Twilio may have signed, the most probable first, each once: at most 8 a URL."""
    seen: set[str] = set()
    for url in urls:
        for candidate in _spellings(encodable(url).partition("#")[0]):
            if candidate not in seen:
                seen.add(candidate)
                yield candidate


def _spellings(url: str) -> Iterator[str]:
    """As given, with the port put in or left out, without userinfo, with the query unescaped."""
    yield url
    scheme, separator, netloc, rest = _split(url)
    if not separator:
        return
    path, mark, query = rest.partition("?")
    unescaped = _ESCAPED.sub(lambda found: _SIGNED_UNESCAPED[found[0]], query) if "%" in query else query
    userinfo, at, host = netloc.rpartition("@")
    for tail in (query, unescaped):
        for who in (userinfo + at, ""):
            for where in _with_and_without_port(scheme, host):
                yield f"{scheme}{separator}{who}{where}{path}{mark}{tail}"


def _with_and_without_port(scheme: str, host: str) -> tuple[str, str]:
    """Twilio drops the port for voice over HTTPS and keeps it elsewhere; as the SDKs do, both are tried."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:  # the colons of an IPv6 address stand within brackets
        return host, f"{host}:{443 if scheme.lower() == 'https' else 80}"
    return (name, host) if port else (name, f"{host}{443 if scheme.lower() == 'https' else 80}")
