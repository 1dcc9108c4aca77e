"""The keys that may sign for an account, and the setting that lists them. Pure; shows no secret, in no repr and no error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twilio.request_validator import RequestValidator

from offhook.pipeline.sids import ACCOUNT, LOOSE


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
class Key:
    """One secret, be it a token or a SharedKey, ready to compute with."""

    account_sid: str
    validator: RequestValidator = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that a request may be signed with, by account. With `refuse_auth_tokens` only SharedKeys count.

    A blank secret is left out: everybody knows it.
    """

    accounts: Mapping[str, Account]
    refuse_auth_tokens: bool = False
    _tokens: Mapping[str, tuple[Key, ...]] = field(init=False, repr=False, compare=False)
    _shared: Mapping[str, Mapping[str, Key]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        listed = self.accounts.items()
        object.__setattr__(self, "_tokens", {sid: _token_keys(sid, account) for sid, account in listed})
        object.__setattr__(self, "_shared", {sid: _shared_keys(sid, account) for sid, account in listed})

    def tokens_of(self, account_sid: str) -> tuple[Key, ...]:
        """The account's auth tokens; none where they are refused."""
        return () if self.refuse_auth_tokens else self._tokens[account_sid]

    def shared_of(self, account_sid: str) -> Mapping[str, Key]:
        """The account's SharedKeys by key id."""
        return self._shared[account_sid]

    def has_keys_of(self, accounts: Iterable[str]) -> bool:
        """True when one of the accounts has any key, be it a refused one."""
        return any(self._tokens[sid] or self._shared[sid] for sid in accounts)


def _token_keys(sid: str, account: Account) -> tuple[Key, ...]:
    tokens = dict.fromkeys(token for token in account.auth_tokens if token.strip())
    return tuple(Key(sid, RequestValidator(token)) for token in tokens)


def _shared_keys(sid: str, account: Account) -> dict[str, Key]:
    listed = account.shared_keys.items()
    return {key_id: Key(sid, RequestValidator(secret)) for key_id, secret in listed if key_id and secret.strip()}


_SHAPE = '{"AC...": {"auth_tokens": ["..."], "shared_keys": {"webhooks_sharedkey_...": "secret"}}}'


def parse_keyring(json_text: str) -> tuple[Account, ...]:
    """The accounts of TWILIO_KEYRING, `{"AC...": {"auth_tokens": [...], "shared_keys": {id: secret}}}`.

    Raises ValueError that says where and what to do. Whatever may be a secret in the wrong place is named by its number.
    """
    try:
        value = json.loads(json_text, object_pairs_hook=_Members)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ValueError(f"is no JSON at {where} ({error.msg}); write it as {_SHAPE}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"is no JSON of this shape; write it as {_SHAPE}") from None
    accounts = tuple(_account(number, *member) for number, member in _members(value, "the whole", _SHAPE))
    if not accounts:
        raise ValueError(f"names no account; write it as {_SHAPE}")
    return accounts


def keyring_of(accounts: Iterable[Account], *, refuse_auth_tokens: bool) -> Keyring:
    """All keys of these accounts; what is given of one account twice is taken together. One without a name is none."""
    every: dict[str, Account] = {}
    for one in accounts:
        if one.account_sid:
            known = every.get(one.account_sid, Account(one.account_sid, (), {}))
            tokens = (*known.auth_tokens, *one.auth_tokens)
            every[one.account_sid] = Account(one.account_sid, tokens, {**known.shared_keys, **one.shared_keys})
    return Keyring(every, refuse_auth_tokens)


class _Members(list[tuple[str, Any]]):
    """A JSON object as its members: a name that came twice is still there twice."""


def _members(members: object, where: str, shape: str) -> Iterator[tuple[int, tuple[str, Any]]]:
    if not isinstance(members, _Members):
        raise ValueError(f"{where} must be a JSON object; write it as {shape}")  # noqa: TRY004 - a setting's mistake
    seen: set[str] = set()
    for number, (name, value) in enumerate(members, start=1):
        if name in seen:
            raise ValueError(f"{where}: entry {number} has the name of an earlier one; keep one of them")
        seen.add(name)
        yield number, (name, value)


def _account(number: int, sid: str, members: object) -> Account:
    if not re.fullmatch(f"{ACCOUNT}{LOOSE}*", sid):  # loose: a keyring of a trial has accounts that are nobody's
        raise ValueError(f"entry {number}: its name must be an Account SID (AC and 32 hex digits)")
    tokens: object = ()
    shared: object = _Members()
    for entry, (name, value) in _members(members, sid, '{"auth_tokens": [...], "shared_keys": {...}}'):
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


def _tokens_in(tokens: object, where: str) -> tuple[str, ...]:
    if not isinstance(tokens, list | tuple) or isinstance(tokens, _Members):
        raise ValueError(f'{where} must be an array of strings; write it as ["..."]')  # noqa: TRY004
    return tuple(_secret(token, f"{where}[{number}]") for number, token in enumerate(tokens))


def _shared_in(shared: object, where: str) -> dict[str, str]:
    keys = []
    for number, (key_id, secret) in _members(shared, where, '{"webhooks_sharedkey_...": "secret"}'):
        if not re.fullmatch(r"[!-+\--~]+", key_id):  # it stands in a header between "key=" and ","
            raise ValueError(f"{where}: entry {number}: its name must be the key's id, with no blank and no comma")
        keys.append(SharedKey(key_id, _secret(secret, f"{where}: entry {number}")))
    return {key.key_id: key.secret for key in keys}


def _secret(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} must be a string that is not empty; copy the secret from the Twilio console")
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError(f"{where} holds a blank or a non-ASCII character; copy it anew from the Twilio console")
    return value
