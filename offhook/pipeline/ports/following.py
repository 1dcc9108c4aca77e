"""Callbacks as they come in, for whoever follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offhook.pipeline.callback import RawCallback


class Following(Protocol):
    """Callbacks as they come in, each once."""

    def fresh(self, limit: int = 500) -> Sequence[RawCallback]:
        """Up to `limit` that were not given yet. Raises LedgerUnavailable."""
