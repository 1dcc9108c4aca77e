"""Where the files of jobs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.jobs import FileRole, JobFile


class JobFiles(Protocol):
    """Files in pieces, so that nobody holds one whole. Each method raises LedgerUnavailable."""

    def begin(self, role: FileRole, name: str, media_type: str, now: datetime) -> int:
        """A file without content yet; its number."""

    def add_piece(self, file_id: int, place: int, content: bytes) -> None:
        """Its next piece; `place` counts from 0. A transaction of its own; the same piece twice is there once."""

    def complete(self, file_id: int, size: int) -> None:
        """It is whole, with so many bytes. Nothing happens where it was removed."""

    def remove(self, file_id: int) -> None:
        """It is gone with all its pieces."""

    def file(self, file_id: int) -> JobFile | None:
        """The one of this number."""

    def of_job(self, job_id: int) -> Sequence[JobFile]:
        """Those of a job, in the order in which they were begun."""

    def piece(self, file_id: int, place: int) -> bytes | None:
        """One piece; None behind the last one."""
