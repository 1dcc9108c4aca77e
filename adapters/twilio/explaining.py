"""Why Twilio's signatures do not verify: tries what Twilio may have been given instead. Pure; it lets nobody in.

What is found here is shown to a person and never believed: a request is admitted by `signature.verify` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from offhook.adapters.twilio.keys import Keyring
from offhook.adapters.twilio.signature import Check, Verified, named_accounts, verify
from offhook.adapters.twilio.spelling import presented_urls
from offhook.pipeline.arrival import Arrived
from offhook.pipeline.reasons import OF_REFUSALS
from offhook.pipeline.sids import is_account_sid

_HOST_HEADERS = ("Host", "X-Forwarded-Host", "X-Original-Host")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")
_MOST_HOSTS = 4
_LOOKS_LIKE_A_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Guess:
    """`hashed_url` is what Twilio signed, where that came out; `usually` is a sentence with the remedy. No secret in it."""

    hashed_url: str | None
    usually: str


def explain(request: Arrived, keyring: Keyring, check: str, max_fields: int) -> Guess:
    """For a request that `verify` refused by this check."""
    if check == Check.UNKNOWN_ACCOUNT:
        return Guess(None, _other_account(request, keyring, max_fields))
    if check != Check.SIGNATURE:
        return Guess(None, _usually(check))
    tried = tuple(dict.fromkeys(_other_urls(request.urls, request.target, request.headers)))
    found = verify(replace(request, urls=tried), keyring, max_fields=max_fields) if tried else None
    if isinstance(found, Verified):
        return Guess(found.url, f"{_difference(request.urls, found.url)} {_REMEDY}")
    return Guess(None, f"{_placeholder(request, keyring, max_fields)}{OF_REFUSALS[check].advice}")


def _usually(check: str, which: int = 0, /, **names: str) -> str:
    known = OF_REFUSALS[check]
    return f"{known.sentences[which].format(word=check, **names)} {known.advice}"


_REMEDY = (
    "The token is right. Set PUBLIC_URL to the address that Twilio was given, up to the path (or without PUBLIC_URL, "
    "TWILIO_TRUSTED_PROXIES to the number of proxies), or correct the address in Twilio's console."
)


def _other_urls(urls: tuple[str, ...], target: str, headers: Mapping[str, str]) -> Iterator[str]:
    """What Twilio may have been given instead: the other scheme, with and without a slash at the end, the host that the
    request was sent to, and no path before the request's own."""
    bases = [f"{scheme}://{host}" for host in _hosts(urls, headers) for scheme in ("https", "http")]
    for url in (*urls, *presented_urls(bases, target)):
        for spelling in (url, _other_scheme(url)):
            yield spelling
            yield _other_slash(spelling)


def _hosts(urls: tuple[str, ...], headers: Mapping[str, str]) -> list[str]:
    hosts = [url.partition("://")[2].partition("/")[0].rpartition("@")[2] for url in urls[:1]]
    hosts += [host.strip() for name in _HOST_HEADERS for host in headers.get(name, "").split(",")]
    return list(dict.fromkeys(host for host in hosts if _HOST.fullmatch(host)))[:_MOST_HOSTS]


def _other_scheme(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{'http' if scheme == 'https' else 'https'}{separator}{rest}"


def _other_slash(url: str) -> str:
    path, mark, query = url.partition("?")
    return f"{path[:-1] if path.endswith('/') else f'{path}/'}{mark}{query}"


def _difference(compared: tuple[str, ...], hashed: str) -> str:
    if any(_other_scheme(url) == hashed for url in compared):
        return (
            f"Twilio signs for {hashed.partition(':')[0]}://, and we compared with {compared[0].partition(':')[0]}://."
        )
    if any(_other_slash(url) == hashed for url in compared):
        return "Twilio signs for a path with a slash at its end, and it came without (or the other way round)."
    return "Twilio signs for another address than the one that we compared with."


def _other_account(request: Arrived, keyring: Keyring, max_fields: int) -> str:
    named = [sid for sid in named_accounts(request, max_fields) if is_account_sid(sid)]
    ours = ", ".join(sorted(keyring.accounts)[:3]) or "none"
    return _usually(Check.UNKNOWN_ACCOUNT, 0 if named else 1, named=(named or [""])[0], ours=ours)


def _placeholder(request: Arrived, keyring: Keyring, max_fields: int) -> str:
    tokens = [
        token
        for sid in named_accounts(request, max_fields) & keyring.accounts.keys()
        for token in keyring.accounts[sid].auth_tokens
    ]
    if tokens and not any(map(_LOOKS_LIKE_A_TOKEN.fullmatch, tokens)):
        return "The auth token that is set is not 32 hex digits, as Twilio's are: is it a placeholder? "
    return ""
