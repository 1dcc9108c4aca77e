"""Where workers say that they are alive. Nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's sign of life: who it is, Offhook's version and that of the rules by which it decides now."""

    worker_id: str
    host: str
    pid: int
    version: str
    rules_version: str
    started_at: datetime


class SignsOfLife(Protocol):
    """Where workers say that they are alive. Each raises LedgerUnavailable."""

    def leave_sign(self, sign: Sign, now: datetime) -> None:
        """This worker is alive at `now`."""

    def take_back_sign(self, worker_id: str) -> None:
        """This worker has ended."""

    def forget_signs(self, before: datetime) -> None:
        """Remove those of workers that were seen last before then."""
