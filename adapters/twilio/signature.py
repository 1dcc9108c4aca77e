"""Whether Twilio signed a request, and signing as Twilio does. No I/O, and nothing in a request makes it raise.

The rules are those of https://www.twilio.com/docs/usage/security#validating-requests; the MAC itself is computed by
twilio's own RequestValidator. Its `validate()` is not used: it raises on a missing signature and on a bad port.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator

HMAC_SHA1 = "HMAC_SHA1"
HMAC_SHA256 = "HMAC_SHA256"
ALGORITHMS = (HMAC_SHA1, HMAC_SHA256)
MAX_FIELDS = 1000

Pairs = tuple[tuple[str, str], ...]


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


class KeyKind(StrEnum):
    """What a request was signed with."""

    AUTH_TOKEN = "auth_token"
    SHARED_KEY = "shared_key"


class Carrier(StrEnum):
    """Where a request carries its parameters."""

    QUERY = "query"
    FORM = "form"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A webhook signing key of Twilio's: its id, as the settings header names it, and its secret."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """An account or subaccount and all that may sign for it. `shared_keys` maps a key's id to its secret."""

    account_sid: str
    auth_tokens: tuple[str, ...] = field(repr=False)
    shared_keys: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Key:
    """One secret, ready to compute with. `key_id` is empty for an auth token."""

    account_sid: str
    kind: KeyKind
    key_id: str
    validator: RequestValidator = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that a request may be signed with, by account. With `refuse_auth_tokens` only SharedKeys count.

    A blank secret is left out: everybody knows it.
    """

    accounts: Mapping[str, Account]
    refuse_auth_tokens: bool = False
    _tokens: Mapping[str, tuple[_Key, ...]] = field(init=False, repr=False, compare=False)
    _shared: Mapping[str, Mapping[str, _Key]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        listed = self.accounts.items()
        object.__setattr__(self, "_tokens", {sid: _token_keys(sid, account) for sid, account in listed})
        object.__setattr__(self, "_shared", {sid: _shared_keys(sid, account) for sid, account in listed})

    def tokens_of(self, account_sid: str) -> tuple[_Key, ...]:
        """The account's auth tokens; none where they are refused."""
        return () if self.refuse_auth_tokens else self._tokens[account_sid]

    def shared_of(self, account_sid: str) -> Mapping[str, _Key]:
        """The account's SharedKeys by key id."""
        return self._shared[account_sid]

    def has_keys_of(self, accounts: Iterable[str]) -> bool:
        """True when one of the accounts has any key, be it a refused one."""
        return any(self._tokens[sid] or self._shared[sid] for sid in accounts)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request on plain parts.

    `urls` are what Twilio may have signed, the most probable first, as `presented_urls` makes them: all end in the same
    path and query. `body` is raw. `signature` and `settings` are the headers X-Twilio-Signature and
    X-Twilio-Webhooks-Signature-Settings, empty when missing.
    """

    method: str
    urls: tuple[str, ...]
    content_type: str
    body: bytes
    signature: str = field(repr=False)
    settings: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The account whose key signed the request, the URL that it was signed for (no userinfo), and which key it was."""

    account_sid: str
    url: str
    key_kind: KeyKind
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Forged:
    """The check that failed, and the URL that was hashed (no userinfo; phone numbers are for the caller to mask).

    `account_sid` is the account that the request names, where we have it; else "".
    """

    check: Check
    url: str
    account_sid: str = ""


def verify(request: SignedRequest, keyring: Keyring, *, max_fields: int = MAX_FIELDS) -> Verified | Forged:
    """Verified when one of the configured keys of the account that the request names made its signature.

    A request that names no account is held against the keys of all: it may verify, and is no call callback.
    """
    url = without_userinfo(_encodable(request.urls[0])) if request.urls else ""
    if not request.signature:
        return Forged(Check.MISSING_SIGNATURE, url)
    content = _content(request, max_fields)
    if isinstance(content, Check):
        return Forged(content, url)
    known = _known_account(content.accounts, keyring)
    algorithm, key_id = parse_settings(request.settings)
    keys = _choose(keyring, content.accounts, key_id, algorithm)
    if isinstance(keys, Check):
        return Forged(keys, url, known)
    # "replace" writes "?", which is no letter of base64: such a header is unequal instead of an error.
    presented = request.signature.encode("utf-8", "replace")
    for candidate in _candidates(request.urls):
        signed = candidate + content.text
        for key in keys:
            if hmac.compare_digest(_mac(key.validator, signed, algorithm), presented):
                return Verified(key.account_sid, without_userinfo(candidate), key.kind, key.key_id)
    return Forged(Check.SIGNATURE, url, known)


def named_accounts(request: SignedRequest, max_fields: int) -> frozenset[str]:
    """The accounts that a request names, be it forged or not."""
    content = _content(request, max_fields)
    return frozenset() if isinstance(content, Check) else content.accounts


def _known_account(named: frozenset[str], keyring: Keyring) -> str:
    return next(iter(named)) if len(named) == 1 and named <= keyring.accounts.keys() else ""


@dataclass(frozen=True, slots=True)
class _Content:
    """What a request says before anybody has verified it: the accounts it names, the text signed after its URL."""

    accounts: frozenset[str]
    text: str


def _content(request: SignedRequest, max_fields: int) -> _Content | Check:
    query = query_of(request.urls[0]) if request.urls else ""
    match carrier(request.method, request.content_type, query):
        case Carrier.JSON:
            if not _body_hash_matches(query, request.body):
                return Check.BODY_HASH
            return _Content(frozenset(filter(None, map(event_account, json_events(request.body)))), "")
        case Carrier.QUERY:
            pairs = form_pairs(query, max_fields) if "AccountSid" in query else ()
            return Check.TOO_MANY_FIELDS if pairs is None else _Content(_accounts_in(pairs), "")
        case Carrier.FORM:
            pairs = form_pairs(request.body, max_fields)
            return Check.TOO_MANY_FIELDS if pairs is None else _Content(_accounts_in(pairs), signed_text(pairs))


def carrier(method: str, content_type: str, query: str) -> Carrier:
    """Where the parameters are. Verifying and reading must agree on it, so both ask here.

    The content type is not signed, `bodySHA256` is: a request signed for a hashed body is never read as a form.
    """
    if method.upper() != "POST":
        return Carrier.QUERY
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json") or "bodySHA256=" in query:
        return Carrier.JSON
    return Carrier.FORM


def query_of(target: str) -> str:
    """The query of a URL or raw target, with real characters. Without the fragment: that is not signed."""
    return as_text(target).partition("#")[0].partition("?")[2]


def form_pairs(form: bytes | str, max_fields: int | None = None) -> Pairs | None:
    """The parameters of a form body or query in order, empties and duplicates kept; None when over `max_fields`."""
    text = form.decode("utf-8", "replace") if isinstance(form, bytes) else form
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=max_fields))
    except ValueError:
        return None


def signed_text(pairs: Iterable[tuple[str, str]]) -> str:
    """What Twilio signs after the URL: the names in code-point order, each value of a name sorted and once.

    Sorting distinct pairs is the same, and done once a request; RequestValidator would do it for every URL and key.
    """
    return "".join(chain.from_iterable(sorted(set(pairs))))


def json_events(body: bytes) -> tuple[dict[str, Any], ...]:
    """The CloudEvents of a JSON body, an array or a single one; none when it is no such JSON."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):  # bad JSON or UTF-8, a number of thousands of digits; nested too deeply
        return ()
    return tuple(event for event in (told if isinstance(told, list) else [told]) if isinstance(event, dict))


def event_parameters(event: Mapping[str, Any]) -> dict[str, Any]:
    """The callback's own fields in a voice event, `data.request.parameters`; empty when it has none."""
    inner = _object(_object(event.get("data")).get("request"))
    return _object(inner.get("parameters"))


def event_account(event: Mapping[str, Any]) -> str:
    """The account that a CloudEvent speaks of; empty when it names none."""
    data = _object(event.get("data"))
    named = event_parameters(event).get("AccountSid") or data.get("accountSid") or data.get("account_sid")
    return named if isinstance(named, str) else ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _accounts_in(pairs: Pairs) -> frozenset[str]:
    return frozenset(value for name, value in pairs if name == "AccountSid" and value)


def _body_hash_matches(query: str, body: bytes) -> bool:
    hashes = [value for name, value in form_pairs(query) or () if name == "bodySHA256"]
    actual = sha256(body).hexdigest().encode()
    return bool(hashes) and hmac.compare_digest(hashes[0].lower().encode("utf-8", "replace"), actual)


def _choose(keyring: Keyring, named: frozenset[str], key_id: str | None, algorithm: str) -> tuple[_Key, ...] | Check:
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


def sign(url: str, pairs: Iterable[tuple[str, str]], secret: str, algorithm: str = HMAC_SHA1) -> str:
    """X-Twilio-Signature for a request to `url` with these form values; none for GET and for a JSON body.

    As Twilio does, without fragment and userinfo. For a JSON body give the URL that `with_body_hash` returns. Raises
    ValueError for an algorithm that is not in ALGORITHMS, and for characters that UTF-8 cannot write.
    """
    text = without_userinfo(url.partition("#")[0]) + signed_text(pairs)
    return str(RequestValidator(secret).compute_signature(text, None, algorithm))


Signer = Callable[[str, Iterable[tuple[str, str]], str], dict[str, str]]
"""(URL, form values or none, how the original was signed) -> the headers that prove that Twilio sent it."""


def by_auth_token(token: str) -> Signer:
    """Signs as Twilio does with an account's auth token."""
    return lambda url, pairs, _signing: {"X-Twilio-Signature": sign(url, pairs, token)}


def by_shared_key(key_id: str, secret: str, algorithm: str) -> Signer:
    """Signs with a SharedKey. Raises ValueError for an algorithm that is none of ALGORITHMS."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
    told = settings_header(key_id, algorithm)
    return lambda url, pairs, _signing: {
        "X-Twilio-Signature": sign(url, pairs, secret, algorithm),
        "X-Twilio-Webhooks-Signature-Settings": told,
    }


def with_body_hash(url: str, body: bytes) -> str:
    """The URL that Twilio requests for a JSON body: `bodySHA256` is the last parameter of its query. No fragment."""
    url = url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}bodySHA256={sha256(body).hexdigest()}"


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
        return _encodable(raw)


def _encodable(text: str) -> str:
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


def _candidates(urls: tuple[str, ...]) -> Iterator[str]:
    """Every spelling that Twilio may have signed, the most probable first, each once: at most 8 a URL."""
    seen: set[str] = set()
    for url in urls:
        for candidate in _spellings(_encodable(url).partition("#")[0]):
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


def _token_keys(sid: str, account: Account) -> tuple[_Key, ...]:
    tokens = dict.fromkeys(token for token in account.auth_tokens if token.strip())
    return tuple(_Key(sid, KeyKind.AUTH_TOKEN, "", RequestValidator(token)) for token in tokens)


def _shared_keys(sid: str, account: Account) -> dict[str, _Key]:
    listed = account.shared_keys.items()
    return {
        key_id: _Key(sid, KeyKind.SHARED_KEY, key_id, RequestValidator(secret))
        for key_id, secret in listed
        if key_id and secret.strip()
    }


_SHAPE = '{"AC...": {"auth_tokens": ["..."], "shared_keys": {"webhooks_sharedkey_...": "secret"}}}'


def parse_keyring(json_text: str) -> tuple[Account, ...]:
    """The accounts of TWILIO_KEYRING, `{"AC...": {"auth_tokens": [...], "shared_keys": {id: secret}}}`.

    Raises ValueError that says where and what to do. Whatever may be a secret in the wrong place is told by its number.
    """
    try:
        told = json.loads(json_text, object_pairs_hook=_Members)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ValueError(f"is no JSON at {where} ({error.msg}); write it as {_SHAPE}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"is no JSON of this shape; write it as {_SHAPE}") from None
    accounts = tuple(_account(number, *member) for number, member in _members(told, "the whole", _SHAPE))
    if not accounts:
        raise ValueError(f"names no account; write it as {_SHAPE}")
    return accounts


class _Members(list[tuple[str, Any]]):
    """A JSON object as its members: a name that came twice is still there twice."""


def _members(told: object, where: str, shape: str) -> Iterator[tuple[int, tuple[str, Any]]]:
    if not isinstance(told, _Members):
        raise ValueError(f"{where} must be a JSON object; write it as {shape}")  # noqa: TRY004 - a setting's mistake
    seen: set[str] = set()
    for number, (name, value) in enumerate(told, start=1):
        if name in seen:
            raise ValueError(f"{where}: entry {number} has the name of an earlier one; keep one of them")
        seen.add(name)
        yield number, (name, value)


def _account(number: int, sid: str, told: object) -> Account:
    if not re.fullmatch(r"AC[0-9A-Za-z]*", sid, re.ASCII):
        raise ValueError(f"entry {number}: its name must be an Account SID (AC and 32 hex digits)")
    tokens: object = ()
    shared: object = _Members()
    for entry, (name, value) in _members(told, sid, '{"auth_tokens": [...], "shared_keys": {...}}'):
        if name == "auth_tokens":
            tokens = value
        elif name == "shared_keys":
            shared = value
        else:
            raise ValueError(f"{sid}: entry {entry} is unknown; only auth_tokens and shared_keys may stand here")
    account = Account(sid, _tokens_in(tokens, f"{sid}.auth_tokens"), _shared_in(shared, f"{sid}.shared_keys"))
    if not account.auth_tokens and not account.shared_keys:
        raise ValueError(f"{sid}: has no key; list its auth token in auth_tokens, or a key in shared_keys")
    return account


def _tokens_in(told: object, where: str) -> tuple[str, ...]:
    if not isinstance(told, list | tuple) or isinstance(told, _Members):
        raise ValueError(f'{where} must be an array of strings; write it as ["..."]')  # noqa: TRY004
    return tuple(_secret(token, f"{where}[{number}]") for number, token in enumerate(told))


def _shared_in(told: object, where: str) -> dict[str, str]:
    keys = []
    for number, (key_id, secret) in _members(told, where, '{"webhooks_sharedkey_...": "secret"}'):
        if not re.fullmatch(r"[!-+\--~]+", key_id):  # it stands in a header between "key=" and ","
            raise ValueError(f"{where}: entry {number}: its name must be the key's id, with no blank and no comma")
        keys.append(SharedKey(key_id, _secret(secret, f"{where}: entry {number}")))
    return {key.key_id: key.secret for key in keys}


def _secret(told: object, where: str) -> str:
    if not isinstance(told, str) or not told:
        raise ValueError(f"{where} must be a string that is not empty; copy the secret from the Twilio console")
    if not re.fullmatch(r"[!-~]+", told):
        raise ValueError(f"{where} holds a blank or a non-ASCII character; copy it anew from the Twilio console")
    return told
