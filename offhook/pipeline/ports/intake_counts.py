"""Where it is counted what was refused, or was no callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from offhook.pipeline.refusals import IntakeSums, Run


class IntakeCounts(Protocol):
    """Where the sums are kept. Nothing of this is ever worth a callback: whoever adds does it aside, and seldom."""

    def add(self, counts: Mapping[str, int], runs: Sequence[Run]) -> Sequence[Run]:
        """Add to the sums, and to the runs of these accounts. Returns those as they stand then. Raises LedgerUnavailable.

        A run is over when a callback of its account has come since it began (of any account, for strangers' run): what is
        added begins a new one, or is a run of 0 where it is over itself.
        """

    def sums(self) -> IntakeSums:
        """The sums, and the runs that go on. Raises LedgerUnavailable."""
