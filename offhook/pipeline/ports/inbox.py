"""Where callbacks are kept. Nothing is acknowledged that this has not kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offhook.pipeline.callback import RawCallback


class Inbox(Protocol):
    """Where callbacks are kept."""

    def append(self, callbacks: Sequence[RawCallback]) -> None:
        """Keep them durably; those already kept stay as they are. Returns only after the commit is on disk.

        Raises LedgerUnavailable; then nothing may be acknowledged.
        """
