"""Whether Twilio signed a request, and signing as Twilio does. No I/O, and nothing in a request makes it raise.

The rules are those of https://www.twilio.com/docs/usage/security#validating-requests; the MAC itself is computed by
twilio's own RequestValidator. Its `validate()` is not used: it raises on a missing signature and on a bad port.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

from twilio.request_validator import RequestValidator

from offhook.adapters.twilio.keys import Key, Keyring
from offhook.adapters.twilio.spelling import (
    ALGORITHMS,
    HMAC_SHA1,
    SETTINGS_HEADER,
    Carrier,
    Content,
    Pairs,
    candidates,
    carrier,
    content_of,
    encodable,
    is_body_of,
    parse_settings,
    query_of,
    settings_header,
    signed_text,
    without_userinfo,
)
from offhook.pipeline.arrival import SIGNATURE_HEADER, Arrived

MAX_FIELDS = 1000


class Check(StrEnum):
    """The check that a forged request failed, in the one word that stands in the log."""

    MISSING_SIGNATURE = "missing_signature"
    TOO_MANY_FIELDS = "too_many_fields"
    BODY_HASH = "body_hash"
    NO_KEYS = "no_keys"
    MIXED_ACCOUNTS = "mixed_accounts"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_SHARED_KEY = "unknown_shared_key"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    AUTH_TOKEN_REFUSED = "auth_token_refused"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Verified:
    """The account whose key signed the request, the URL that it was signed for (no userinfo), and what the request says: the
    very content that was verified, so that nobody reads another one.
    """

    account_sid: str
    url: str
    content: Content = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Forged:
    """The check that failed, and the URL that was hashed (no userinfo; phone numbers are for the caller to mask).

    `account_sid` is the account that the request names, where we have it; else "".
    """

    check: Check
    url: str
    account_sid: str = ""


def verify(request: Arrived, keyring: Keyring, *, max_fields: int = MAX_FIELDS) -> Verified | Forged:
    """Verified when one of the configured keys of the account that the request names made its signature.

    A request that names no account is held against the keys of all: it may verify, and is no call callback.
    """
    url = without_userinfo(encodable(request.urls[0])) if request.urls else ""
    signature = request.headers.get(SIGNATURE_HEADER, "")
    if not signature:
        return Forged(Check.MISSING_SIGNATURE, url)
    content = _content(request, max_fields)
    if isinstance(content, Check):
        return Forged(content, url)
    algorithm, key_id = parse_settings(request.headers.get(SETTINGS_HEADER, ""))
    keys = _choose(keyring, content.accounts, key_id, algorithm)
    if isinstance(keys, Check):
        return Forged(keys, url, _known_account(content.accounts, keyring))
    # "replace" writes "?", which is no letter of base64: such a header is unequal instead of an error.
    found = _signer(request.urls, content.signed, keys, algorithm, signature.encode("utf-8", "replace"))
    if found is None:
        return Forged(Check.SIGNATURE, url, _known_account(content.accounts, keyring))
    signed_url, key = found
    return Verified(key.account_sid, without_userinfo(signed_url), content)


def _content(request: Arrived, max_fields: int) -> Content | Check:
    query = query_of(request.target)
    where = carrier(request.method, request.content_type, query)
    if where is Carrier.JSON and not is_body_of(query, request.body):
        return Check.BODY_HASH
    return content_of(where, query, request.body, max_fields) or Check.TOO_MANY_FIELDS


def _signer(
    urls: tuple[str, ...], text: str, keys: tuple[Key, ...], algorithm: str, presented: bytes
) -> tuple[str, Key] | None:
    """The URL and the key that make this signature."""
    for url in candidates(urls):
        for key in keys:
            if hmac.compare_digest(_mac(key.validator, url + text, algorithm), presented):
                return url, key
    return None


def named_accounts(request: Arrived, max_fields: int) -> frozenset[str]:
    """The accounts that a request names, be it forged or not."""
    content = _content(request, max_fields)
    return frozenset() if isinstance(content, Check) else content.accounts


def _known_account(named: frozenset[str], keyring: Keyring) -> str:
    return next(iter(named)) if len(named) == 1 and named <= keyring.accounts.keys() else ""


def _choose(keyring: Keyring, named: frozenset[str], key_id: str | None, algorithm: str) -> tuple[Key, ...] | Check:
    """The keys that may have signed. The settings header is the sender's word: it selects among ours, no more."""
    if not keyring.has_keys_of(keyring.accounts):
        return Check.NO_KEYS
    if len(named) > 1:
        return Check.MIXED_ACCOUNTS
    if not named <= keyring.accounts.keys():
        return Check.UNKNOWN_ACCOUNT
    accounts = named or keyring.accounts.keys()
    if not keyring.has_keys_of(accounts):
        return Check.NO_KEYS
    if key_id is None:
        return tuple(chain.from_iterable(map(keyring.tokens_of, accounts))) or Check.AUTH_TOKEN_REFUSED
    if algorithm not in ALGORITHMS:
        return Check.UNSUPPORTED_ALGORITHM
    shared = [keyring.shared_of(account).get(key_id) for account in accounts]
    return tuple(key for key in shared if key) or Check.UNKNOWN_SHARED_KEY


def _mac(validator: RequestValidator, text: str, algorithm: str) -> bytes:
    return str(validator.compute_signature(text, None, algorithm)).encode()


def sign(url: str, pairs: Iterable[tuple[str, str]], secret: str, algorithm: str = HMAC_SHA1) -> str:
    """X-Twilio-Signature for a request to `url` with these form values; none for GET and for a JSON body.

    As Twilio does, without fragment and userinfo. For a JSON body give the URL that `with_body_hash` returns. Raises
    ValueError for an algorithm that is not in ALGORITHMS, and for characters that UTF-8 cannot write.
    """
    text = without_userinfo(url.partition("#")[0]) + signed_text(pairs)
    return str(RequestValidator(secret).compute_signature(text, None, algorithm))


Signer = Callable[[str, Pairs, str], Mapping[str, str]]
"""(URL, form values or none, how the original was signed) -> the headers that prove that Twilio sent it."""


def by_auth_token(token: str) -> Signer:
    """Signs as Twilio does with an account's auth token."""
    return lambda url, pairs, _signing: {SIGNATURE_HEADER: sign(url, pairs, token)}


def by_shared_key(key_id: str, secret: str, algorithm: str) -> Signer:
    """Signs with a SharedKey. Raises ValueError for an algorithm that is none of ALGORITHMS."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
    settings = settings_header(key_id, algorithm)
    return lambda url, pairs, _signing: {
        SIGNATURE_HEADER: sign(url, pairs, secret, algorithm),
        SETTINGS_HEADER: settings,
    }
