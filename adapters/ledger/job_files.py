"""The files of jobs, in pieces of a row each: written and removed in short transactions, between which callbacks have their turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from offhook.adapters.ledger import rows
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import job_files, job_pieces
from offhook.pipeline.jobs import FileRole, JobFile

_REMOVED_AT_ONCE = 8  # pieces
_LONGEST_PAUSE_SECONDS = 0.05
_ONCE = "ON CONFLICT (file_id, place) DO NOTHING"


class JobFilesTable:
    """`JobFiles` of pipeline/ports/job_files.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, role: FileRole, name: str, media_type: str, now: datetime) -> int:
        row = {"role": role.value, "name": name, "media_type": media_type, "size": 0, "made_at": now, "is_whole": 0}
        with self._database.write() as connection:
            return int(connection.execute(insert(job_files).values(row).returning(job_files.c.id)).scalar_one())

    def add_piece(self, file_id: int, place: int, content: bytes) -> None:
        """A transaction, and a pause as long as it took."""
        piece = rows.insert(job_pieces, [{"file_id": file_id, "place": place, "content": content}], _ONCE)
        began = time.monotonic()
        with self._database.write() as connection:
            piece.run(connection)
        time.sleep(min(_LONGEST_PAUSE_SECONDS, time.monotonic() - began))

    def complete(self, file_id: int, size: int) -> None:
        whole = update(job_files).where(job_files.c.id == file_id).values(size=size, is_whole=1)
        with self._database.write() as connection:
            connection.execute(whole)

    def remove(self, file_id: int) -> None:
        some = select(job_pieces.c.place).where(job_pieces.c.file_id == file_id).limit(_REMOVED_AT_ONCE)
        gone = delete(job_pieces).where(job_pieces.c.file_id == file_id, job_pieces.c.place.in_(some))
        is_left = True
        while is_left:
            with self._database.write() as connection:
                is_left = connection.execute(gone).rowcount > 0
        with self._database.write() as connection:
            connection.execute(delete(job_files).where(job_files.c.id == file_id))

    def file(self, file_id: int) -> JobFile | None:
        with self._database.read() as connection:
            row = connection.execute(select(job_files).where(job_files.c.id == file_id)).first()
        return None if row is None else _file(row)

    def of_job(self, job_id: int) -> Sequence[JobFile]:
        asked = select(job_files).where(job_files.c.job_id == job_id).order_by(job_files.c.id)
        with self._database.read() as connection:
            return list(map(_file, connection.execute(asked)))

    def piece(self, file_id: int, place: int) -> bytes | None:
        asked = select(job_pieces.c.content).where(job_pieces.c.file_id == file_id, job_pieces.c.place == place)
        with self._database.read(patient=True) as connection:
            found = connection.execute(asked).scalar_one_or_none()
        return None if found is None else bytes(found)


def _file(row: Row[Any]) -> JobFile:
    return JobFile(
        row.id, row.job_id, FileRole(row.role), row.name, row.media_type, row.size, row.made_at, bool(row.is_whole)
    )
