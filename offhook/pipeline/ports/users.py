"""Where the dashboard's users are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.users import AuditLine, Identity, Role, User


class Users(Protocol):
    """The users. What changes one writes the audit's line in the same transaction, and none where nothing changed.

    Each method raises LedgerUnavailable.
    """

    def add(self, user: User, line: AuditLine) -> bool:
        """Keep a new one. False, and nothing is kept, where another has this email, or is this at a provider."""

    def every(self) -> Sequence[User]:
        """All of them by their emails."""

    def with_id(self, user_id: str) -> User | None:
        """The user of this id; None where there is none."""

    def with_email(self, email: str) -> User | None:
        """The user of this email in lower case; None where there is none."""

    def with_identity(self, identity: Identity) -> User | None:
        """The user who is this at a provider; None where nobody is."""

    def link(self, user_id: str, identity: Identity, line: AuditLine) -> bool:
        """The user is this at a provider from the line's time on, and nobody else there. False where another user is, or there is
        no such user.
        """

    def set_password(self, user_id: str, password_hash: str, line: AuditLine) -> bool:
        """Another password; all sessions and open links of the user end. False where there is no such user."""

    def set_role(self, user_id: str, role: Role, line: AuditLine) -> bool:
        """Another role, from the next request on. False where there is no such user."""

    def set_zone(self, user_id: str, zone: str, line: AuditLine) -> bool:
        """The time zone that the user chose. False where there is no such user."""

    def disable(self, user_id: str, at: datetime | None, line: AuditLine) -> bool:
        """Nobody may come in as this user from `at` on; all sessions and open links end. None: may again. False for nobody."""

    def remove(self, user_id: str, line: AuditLine) -> bool:
        """Take the user away, with all sessions and open links. False where there is none."""
