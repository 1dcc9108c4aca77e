"""Who comes in by a provider of OpenID Connect, as whom, and what they may do. Believes what was verified before; checks no token.

A user is found by who they are at the provider (issuer and subject). Only the first time a verified email leads to a user who was
there before: an email that somebody else has later does not make them that user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from offhook.pipeline.ports.users import Users
from offhook.pipeline.users import AuditLine, Identity, Role, User, new_user_id, plain_email

Line = Callable[[str, str, str], AuditLine]
"""The audit's line of what, of what, and who."""


class Refusal(StrEnum):
    """Why somebody whom the provider knows does not come in: words of reasons.OF_SIGN_IN."""

    NO_EMAIL = "no_email"
    UNVERIFIED = "email_not_verified"
    DOMAIN = "other_domain"
    NO_ROLE = "no_role"
    DISABLED = "user_disabled"
    TAKEN = "email_of_another"


@dataclass(frozen=True, slots=True)
class Account:
    """What the provider says of somebody. `groups` are the values of the claim that roles go by."""

    identity: Identity
    email: str
    is_verified: bool
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may come in: emails of these domains, in lower case. `roles` has a role for each group; empty: whoever is new is a
    viewer, and roles are given here.
    """

    domains: frozenset[str]
    roles: Mapping[str, Role] = field(default_factory=dict)


def come_in(users: Users, account: Account, admission: Admission, now: datetime, line: Line) -> User | Refusal:
    """The user whom this account lets in, made or linked where it comes for the first time, with the role of now.

    Raises LedgerUnavailable.
    """
    role = _role_of(account, admission)
    refused = _why_not(account, admission, role)
    if refused is not None:
        return refused
    found = _user_of(users, account, role or Role.VIEWER, now, line)
    if isinstance(found, Refusal):
        return found
    if role is not None and role is not found.role:
        users.set_role(found.id, role, line(f"role {role} by single sign-on", found.email, found.email))
    return users.with_id(found.id) or Refusal.DISABLED  # removed meanwhile


def _why_not(account: Account, admission: Admission, role: Role | None) -> Refusal | None:
    email = plain_email(account.email)
    if email is None:
        return Refusal.NO_EMAIL
    if not account.is_verified:
        return Refusal.UNVERIFIED
    if email.rpartition("@")[2] not in admission.domains:
        return Refusal.DOMAIN
    return Refusal.NO_ROLE if admission.roles and role is None else None


def _role_of(account: Account, admission: Admission) -> Role | None:
    """The highest that a group gives; None where none gives any."""
    given = {admission.roles[group] for group in account.groups if group in admission.roles}
    return max(given, key=list(Role).index, default=None)


def _user_of(users: Users, account: Account, role: Role, now: datetime, line: Line) -> User | Refusal:
    identity, email = account.identity, plain_email(account.email) or ""
    known = users.with_identity(identity) or users.with_email(email)
    if known is None:
        made = User(new_user_id(), email, role, None, now, identity=identity, linked_at=now)
        if users.add(made, line("user added by single sign-on", email, email)):
            return made
        known = users.with_identity(identity)  # at the same moment, in another window
    if known is None:
        return Refusal.TAKEN
    if known.disabled_at is not None:
        return Refusal.DISABLED
    if known.identity == identity:
        return known
    # Another issuer is another provider that was set up since: what it verifies counts, as it did the first time.
    if known.identity is not None and known.identity.issuer == identity.issuer:
        return Refusal.TAKEN
    is_linked = users.link(known.id, identity, line("single sign-on linked", known.email, known.email))
    return known if is_linked else Refusal.TAKEN
