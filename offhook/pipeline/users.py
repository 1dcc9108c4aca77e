"""Who may use the dashboard: users, their sessions, links of one use, and the audit's lines. Keeps none, stores no secret.

What a browser or a link carries has 256 random bits, so that its plain SHA-256, which is kept, cannot be reversed.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from offhook.pipeline.tokens import hashed


class Role(StrEnum):
    """What a user may do. Each may what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"  # retry, decide again, add and import customers, reveal
    ADMIN = "admin"  # users, tokens, rules, audit

    def may(self, needed: Role) -> bool:
        """Whether who has this role may do what `needed` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at a provider of OpenID Connect: the issuer's address, and its own name for them, which it gives to nobody
    else. https://openid.net/specs/openid-connect-core-1_0.html#ClaimStability
    """

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class User:
    """`email` in lower case. `password_hash` is Argon2's text; None for who comes by a link or single sign-on alone.
    `zone` is the time zone that the user chose, "" for the service's. `identity` is None for who never came by single sign-on;
    `linked_at` is since when it is that one, as far as it is known.
    """

    id: str
    email: str
    role: Role
    password_hash: str | None
    created_at: datetime
    disabled_at: datetime | None = None
    zone: str = ""
    identity: Identity | None = None
    linked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the hash of what the browser holds. `came_by` is the issuer of single sign-on, "" for a password or a link."""

    id: str
    user_id: str
    created_at: datetime
    seen_at: datetime
    address: str
    came_by: str = ""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds without a request, and seconds in all, after which a session is none."""

    idle_seconds: float
    whole_seconds: float

    def holds(self, session: Session, now: datetime) -> bool:
        """Whether the session is still one at `now`."""
        idle, whole = (now - at for at in (session.seen_at, session.created_at))
        return idle.total_seconds() < self.idle_seconds and whole.total_seconds() < self.whole_seconds


@dataclass(frozen=True, slots=True)
class Invite:
    """A link of one use. `email` is whom it lets in, without a password; None where the one who follows it names
    themselves and sets a password (the first admin). `id` is the hash of what the link holds.
    """

    id: str
    email: str | None
    role: Role
    made_at: datetime
    until_at: datetime


class NoLink(StrEnum):
    """Why no link is made for somebody."""

    MAY_MORE = "may more"  # it is a way in without a password, for viewers alone
    DISABLED = "disabled"


def why_no_link(known: User | None) -> NoLink | None:
    """None where a link may be made. `known` is who has the email already, None for nobody."""
    if known is not None and known.role is not Role.VIEWER:
        return NoLink.MAY_MORE
    return NoLink.DISABLED if known is not None and known.disabled_at is not None else None


def comes_back(someone: User) -> bool:
    """Whether there is a way by which they come in after their session: a link is none for who may more than a viewer."""
    return someone.role is Role.VIEWER or someone.password_hash is not None or someone.identity is not None


def new_link(email: str | None, now: datetime, seconds: float) -> tuple[str, Invite]:
    """The secret of a link, and what is kept of it: for a viewer, or without an email for the first user, an admin."""
    secret, kept = new_secret()
    role = Role.ADMIN if email is None else Role.VIEWER
    return secret, Invite(kept, email, role, now, now + timedelta(seconds=seconds))


def lets_in(link: Invite, known: User) -> bool:
    """Whether a link lets in as somebody who is there already: none takes over a user by an email that was typed, nor who is
    disabled, nor who may more by now than the link was made for.
    """
    return link.email == known.email and known.disabled_at is None and known.role is link.role


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what, to what, from where, when. `seq` is 0 until it is kept; it grows with each line."""

    at: datetime
    who: str
    what: str
    of_what: str
    from_where: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None and "" stand for any. `since` is included, `until` is not."""

    who: str = ""
    what: str = ""
    of_what: str = ""
    since: datetime | None = None
    until: datetime | None = None


_LONGEST_WORD = 500  # characters


def in_one_line(text: str) -> str:
    """What somebody else may have written, for the audit: one line that nobody can make look like two, nor like another one."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_LONGEST_WORD])


def new_secret() -> tuple[str, str]:
    """What a browser or a link gets, and the hash that is kept of it."""
    secret = secrets.token_urlsafe(32)
    return secret, hashed(secret)


def new_user_id() -> str:
    return secrets.token_hex(8)


_EMAIL = re.compile(r"[^\s@<>\"',;:()\[\]\\]+@[^\s@<>\"',;:()\[\]\\]+\.[^\s@<>\"',;:()\[\]\\.]+")
_LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets


def plain_email(text: str) -> str | None:
    """An email as users have it, in lower case; None where the text is none."""
    bare = text.strip().lower()
    return bare if len(bare) <= _LONGEST_EMAIL and bare.isprintable() and _EMAIL.fullmatch(bare) else None


@lru_cache(maxsize=64)
def zone_named(name: str) -> ZoneInfo:
    """A user's time zone, usable; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
