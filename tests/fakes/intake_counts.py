"""The sums of what was refused, in memory: `IntakeCounts` without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from offhook.pipeline.refusals import IntakeSums, Run, joined, unless_over
from tests.fakes.kept import Kept


class MemoryIntakeCounts:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, counts: Mapping[str, int], runs: Sequence[Run]) -> Sequence[Run]:
        self._kept.intake_counts.update(counts)
        for run in runs:
            self._kept.runs[run.account] = self._after(self._kept.runs.get(run.account), run)
        return [self._kept.runs[run.account] for run in runs]

    def _after(self, before: Run | None, more: Run) -> Run:
        if unless_over(more, self._accepted()) is None:
            return Run(more.account, 0, more.since, more.last)
        return joined(before if before and before.count and unless_over(before, self._accepted()) else None, more)

    def _accepted(self) -> dict[str, datetime]:
        """When the latest callback of each account came."""
        came = sorted(self._kept.callbacks.values(), key=lambda raw: raw.received_at)
        return {raw.account_sid: raw.received_at for raw in came}

    def sums(self) -> IntakeSums:
        going_on = [run for run in self._kept.runs.values() if run.count and unless_over(run, self._accepted())]
        return IntakeSums(dict(self._kept.intake_counts), going_on)
