"""The tokens of the API, a row each. Holds no secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, text, update

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import insert
from offhook.adapters.ledger.schema import tokens
from offhook.adapters.ledger.users import write_line
from offhook.pipeline.tokens import Token
from offhook.pipeline.users import AuditLine

_UNLESS_NAMED = "ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING"


class TokensTable:
    """`Tokens` of pipeline/ports/tokens.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token, line: AuditLine) -> bool:
        row = {
            "id": token.id,
            "name": token.name,
            "scopes": " ".join(token.scopes),
            "secret_hash": token.secret_hash,
            "created_at": token.created_at,
        }
        with self._database.write() as connection:
            insert(tokens, [row], _UNLESS_NAMED).run(connection)
            is_kept = connection.execute(select(tokens.c.id).where(tokens.c.id == token.id)).first() is not None
            if is_kept:
                write_line(connection, line)
        return is_kept

    def every(self) -> Sequence[Token]:
        with self._database.read() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id)).all()
        return [_token(row) for row in rows]

    def revoke(self, name: str, now: datetime, line: AuditLine) -> bool:
        found = update(tokens).where(tokens.c.name == name, text("revoked_at IS NULL")).values(revoked_at=now)
        with self._database.write() as connection:
            is_revoked = connection.execute(found).rowcount > 0
            if is_revoked:
                write_line(connection, line)
        return is_revoked

    def used(self, token_id: str, at: datetime) -> None:
        earlier = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < at)
        with self._database.write() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token_id, earlier).values(last_used_at=at))


def _token(row: Row[Any]) -> Token:
    scopes = tuple(row.scopes.split())
    return Token(row.id, row.name, scopes, row.secret_hash, row.created_at, row.last_used_at, row.revoked_at)
