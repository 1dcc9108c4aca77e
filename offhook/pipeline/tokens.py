"""Who may use the API: a token's parts, what it may do, how it is made and known again. Keeps none, and stores no secret.

A token is `offhook_ID_SECRET`. The secret has 256 random bits, so that its plain SHA-256, which is kept, cannot be reversed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a token may do. None of them contains another."""

    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    CALLS_READ = "calls:read"
    CALLS_REVEAL = "calls:reveal"  # whole numbers and emails of callers, with calls:read
    CONVERSIONS_WRITE = "conversions:write"
    TALLIES_READ = "tallies:read"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its secret. `scopes` are words of Scope, or of a later version."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Presented:
    """The two parts of a token that somebody shows."""

    id: str
    secret: str


_FORM = re.compile(r"offhook_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def new_token(name: str, scopes: Iterable[str], now: datetime) -> tuple[Token, str]:
    """The token as it is kept, and the text that its user gets, once."""
    made, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    ordered = tuple(sorted(set(scopes)))
    return Token(made, name, ordered, hashed(secret), now), f"offhook_{made}_{secret}"


def hashed(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def presented(text: str) -> Presented | None:
    """The parts of a token; None where the text is none."""
    found = _FORM.fullmatch(text)
    return Presented(found[1], found[2]) if found else None


def is_of(token: Token, shown: Presented) -> bool:
    """Whether the secret is this token's. Takes as long for a wrong one."""
    return hmac.compare_digest(token.secret_hash, hashed(shown.secret))
