"""Where a conversion that was refused is decided anew, because a person asked. Only where nothing can have been counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.callback import CallKey
from offhook.pipeline.ports.books import Decided, KnownCalls
from offhook.pipeline.story import ConversionLine


class Rebuilding(Protocol):
    """New bytes in the place of those that were refused; the old ones are kept. Each method raises LedgerUnavailable."""

    def known_calls(self) -> KnownCalls:
        """What is known of calls and callers whenever it is asked. Takes nobody's turn, and no lock."""

    def may_be_rebuilt(self, found: Sequence[ConversionLine]) -> set[CallKey]:
        """Of these, as they were read, those of which nothing can have been counted: `nothing_can_have_counted` of
        pipeline/delivery.py, over every attempt that is known now.
        """

    def rebuild(self, decided: Collection[Decided], fences: Mapping[CallKey, int], now: datetime) -> int:
        """Put these in the place of what was refused, due at `now`, and journal each decision. Returns how many.

        Each is a Convert with its payload, and `fences` has for each the `fence` of the conversion as it was read. One
        that was claimed since then, or of which anything can have been counted, stays as it is, and so does what is no
        conversion. An error leaves each as it was or rebuilt, nothing between.
        """
