"""A file as the contracts keep one: brought in chunks that fit no piece."""

from __future__ import annotations

from offhook.pipeline.job_files import keep_file
from offhook.pipeline.jobs import FileRole
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON


def kept(ledger: WholeLedger, content: bytes, most: int = 10_000_000) -> int:
    """The number of an upload with this content."""
    chunks = [content[first : first + 100_001] for first in range(0, len(content), 100_001)]
    return keep_file(ledger.job_files, FileRole.UPLOAD, "customers.csv", chunks, most, NOON)
