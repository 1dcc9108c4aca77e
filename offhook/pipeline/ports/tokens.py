"""Where the tokens of the API are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.tokens import Token
from offhook.pipeline.users import AuditLine


class Tokens(Protocol):
    """The tokens, without their secrets. What makes or revokes one writes the audit's line in the same transaction, and none where
    nothing changed. Each method raises LedgerUnavailable.
    """

    def add(self, token: Token, line: AuditLine) -> bool:
        """Keep a new one. False, and nothing is kept, where one that is not revoked has this name."""

    def every(self) -> Sequence[Token]:
        """All that ever were, the first made first; those of one moment by their ids."""

    def revoke(self, name: str, now: datetime, line: AuditLine) -> bool:
        """From `now` on the token of this name is none. False where none that is not revoked has it."""

    def used(self, token_id: str, at: datetime) -> None:
        """It was used at this time; the latest time stays. Nothing happens where there is none."""
