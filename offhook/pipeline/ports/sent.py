"""What was made for the destination and what arrived there, read by period: for its checks and reports. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.callback import CallKey
from offhook.pipeline.story import ConversionLine, HourCount


class Sent(Protocol):
    """Conversions by period, whatever their number; each method raises LedgerUnavailable."""

    def made(self, since: datetime, until: datetime) -> Iterator[Sequence[ConversionLine]]:
        """Those that were made from `since` on and before `until`, the oldest first, a page at a time, so that memory stays
        small. Each once, as it stands when its page is read.
        """

    def returning(self, keys: Collection[CallKey]) -> set[CallKey]:
        """Of these conversions, those whose caller had called before with a call that was converted: the same number, and
        first reported earlier.
        """

    def delivered(self, since: datetime, until: datetime) -> Sequence[HourCount]:
        """How many arrived from `since` on and before `until`, by hour and action, in their order."""
