"""Where workers say that they are alive. Nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker and when it was seen last."""

    sign: Sign
    seen_at: datetime


class SignsOfLife(Protocol):
    """Where workers say that they are alive. Each raises LedgerUnavailable."""

    def leave_sign(self, sign: Sign, now: datetime) -> None:
        """This worker is alive at `now`."""

    def take_back_sign(self, worker_id: str) -> None:
        """This worker has ended."""

    def forget_signs(self, before: datetime) -> None:
        """Remove those of workers that were seen last before then."""

    def seen_since(self, since: datetime) -> Sequence[Seen]:
        """Those that were seen since then, the first started first; of a hundred that were seen last."""
