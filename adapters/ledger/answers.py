"""What was answered to writes of the API, by the keys of whoever sent them. Names no person, and keeps each for a while."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, select, text, update

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import answers, micros
from offhook.pipeline.ports.answered import Answer, Asked, Seen

_MOST_FORGOTTEN = 100  # each new key takes so many old ones away, so that they never gather
_FORGET = text(
    "DELETE FROM answers WHERE (token_id, key) IN "
    f"(SELECT token_id, key FROM answers WHERE free_at <= :now ORDER BY free_at LIMIT {_MOST_FORGOTTEN})"
)
_TAKE = text(
    "INSERT INTO answers (token_id, key, fingerprint, kept_until, free_at) "
    "VALUES (:token_id, :key, :fingerprint, :kept_until, :free_at) ON CONFLICT (token_id, key) DO NOTHING"
)


class AnswersTable:
    """`Answered` of pipeline/ports/answered.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, asked: Asked, now: datetime, kept_until: datetime, ends_by: datetime) -> Seen | None:
        row = {
            "token_id": asked.token_id,
            "key": asked.key,
            "fingerprint": asked.fingerprint,
            "kept_until": micros(kept_until),
            "free_at": micros(ends_by),
        }
        free = delete(answers).where(_is(asked), answers.c.free_at <= now)
        with self._database.write() as connection:
            connection.execute(_FORGET, {"now": micros(now)})
            connection.execute(free)
            if connection.execute(_TAKE, row).rowcount:
                return None
            before = connection.execute(select(answers).where(_is(asked))).one()
        answer = None if before.status is None else Answer(before.status, before.body)
        return Seen(before.fingerprint, answer)

    def answered(self, asked: Asked, answer: Answer) -> None:
        values = {"status": answer.status, "body": answer.body, "free_at": answers.c.kept_until}
        ours = update(answers).where(_is(asked), answers.c.fingerprint == asked.fingerprint).values(**values)
        with self._database.write() as connection:
            connection.execute(ours)

    def give_up(self, asked: Asked) -> None:
        ours = (_is(asked), answers.c.fingerprint == asked.fingerprint, answers.c.status.is_(None))
        with self._database.write() as connection:
            connection.execute(delete(answers).where(*ours))


def _is(asked: Asked) -> ColumnElement[bool]:
    return and_(answers.c.token_id == asked.token_id, answers.c.key == asked.key)
