"""Where links of one use are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from offhook.pipeline.users import AuditLine, Invite


class Invites(Protocol):
    """The links, by the hash of what they hold. Each method raises LedgerUnavailable."""

    def add(self, invite: Invite, line: AuditLine) -> None:
        """Keep a new one, with the audit's line. Those that ended before it was made are taken away; one for the first user
        takes the place of the one before.
        """

    def open(self, invite_id: str, now: datetime) -> Invite | None:
        """The link, where it may still be followed at `now`."""

    def take(self, invite_id: str, now: datetime) -> bool:
        """Follow it: True once, for one of all who try, and never after its end."""

    def any_open(self, now: datetime) -> bool:
        """Whether any link may still be followed."""
