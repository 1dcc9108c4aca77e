"""Where it is counted what was refused, or was no callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from offhook.pipeline.refusals import Run


class IntakeCounts(Protocol):
    """Where the sums are kept. Nothing of this is ever worth a callback: whoever adds does it aside, and seldom."""

    def add(self, counts: Mapping[str, int], runs: Sequence[Run]) -> Sequence[Run]:
        """Add to the sums, and to the runs of these accounts. Returns those as they stand then. Raises LedgerUnavailable."""
