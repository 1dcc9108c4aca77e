"""Where the sessions of the dashboard's users are kept, and the key that their cookies are signed with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.users import AuditLine, Session


class Sessions(Protocol):
    """A row a session; whoever takes it away ends it. Each method raises LedgerUnavailable."""

    def add(self, session: Session, over_before: datetime, line: AuditLine) -> None:
        """Keep a new one with the audit's line; some of those that began before `over_before` are taken away."""

    def with_id(self, session_id: str) -> Session | None:
        """The session of this hash; None where there is none, or no longer."""

    def seen(self, session_id: str, at: datetime) -> None:
        """It was used at this time; the latest stays. Nothing happens where there is none."""

    def of_user(self, user_id: str) -> Sequence[Session]:
        """All of a user's, the first begun first."""

    def end(self, session_id: str, line: AuditLine) -> bool:
        """It is none from now on. False, and no line, where there is none."""

    def end_all(self, user_id: str, line: AuditLine) -> int:
        """None of the user's is one from now on: how many there were."""

    def key(self) -> str:
        """The key that cookies are signed with, the same for all processes; made at the first call."""
