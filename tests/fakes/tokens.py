"""Tokens in memory: `Tokens` without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.tokens import Token
from offhook.pipeline.users import AuditLine
from tests.fakes.kept import Kept
from tests.fakes.users import write_line


class MemoryTokens:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, token: Token, line: AuditLine) -> bool:
        if self._holds(token.name) is not None:
            return False
        self._kept.tokens[token.id] = token
        write_line(self._kept, line)
        return True

    def every(self) -> Sequence[Token]:
        return sorted(self._kept.tokens.values(), key=lambda token: (token.created_at, token.id))

    def revoke(self, name: str, now: datetime, line: AuditLine) -> bool:
        found = self._holds(name)
        if found is None:
            return False
        self._kept.tokens[found.id] = replace(found, revoked_at=now)
        write_line(self._kept, line)
        return True

    def used(self, token_id: str, at: datetime) -> None:
        found = self._kept.tokens.get(token_id)
        if found is not None and (found.last_used_at is None or found.last_used_at < at):
            self._kept.tokens[token_id] = replace(found, last_used_at=at)

    def _holds(self, name: str) -> Token | None:
        return next((one for one in self._kept.tokens.values() if one.name == name and one.revoked_at is None), None)
