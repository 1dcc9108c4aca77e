"""What people read of the ledger. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.ports.following import Following
from offhook.pipeline.story import (
    AttemptLine,
    CallFilter,
    CallLine,
    CallOutcome,
    CallsPage,
    ConversionFilter,
    ConversionLine,
    ConversionsPage,
    NeedsPeople,
    PageMark,
    Story,
    WayOut,
)


class Stories(Protocol):
    """What people read of the ledger. Changes nothing; each method raises LedgerUnavailable.

    Calls that turned out to be legs of others are not among the calls.
    """

    def conversions(self, states: Collection[str], limit: int) -> Sequence[ConversionLine]:
        """The newest conversions first: those in one of the states, or all where none is named."""

    def conversions_page(self, wanted: ConversionFilter, after: PageMark | None, limit: int) -> ConversionsPage:
        """The conversions that are wanted, up to `limit`, the newest first, from behind `after`."""

    def conversions_of(self, keys: Collection[CallKey]) -> Sequence[ConversionLine]:
        """The conversions under these keys, as many as there are."""

    def latest_attempts(self, keys: Collection[CallKey]) -> Mapping[CallKey, AttemptLine]:
        """Of each of these conversions the attempt that was journaled last; none where there was none."""

    def way_out(self) -> WayOut:
        """Whether the destination takes anything."""

    def conversion_counts(self) -> Mapping[str, int]:
        """How many conversions are in each state that any is in, counted up to COUNTED_UP_TO + 1."""

    def needs_people(self) -> NeedsPeople:
        """How much waits for somebody now, counted up to a bound."""

    def unfinished(self, limit: int) -> Sequence[CallLine]:
        """The calls that were called unfinished and still are, the latest first."""

    def unfinished_count(self) -> int:
        """How many of them there are, counted up to COUNTED_UP_TO + 1."""

    def of_call(self, call_sid: str) -> Sequence[Story]:
        """The call of this CallSid (a child leg's will do), in each account that has one."""

    def calls_of(self, phone: str, limit: int) -> Sequence[CallLine]:
        """The calls whose customer has this number (E.164), the newest first."""

    def calls(self, wanted: CallFilter, after: PageMark | None, limit: int) -> CallsPage:
        """The calls that are wanted, up to `limit`, the newest first, from behind `after`. Only calls that are counted: see
        `Tallies.is_whole`. Of calls that are not wanted it looks at LOOKED_AT or a few more, and may then have found fewer with
        others behind `after`: no question takes long."""

    def with_order_id(self, order_id: str, limit: int) -> Sequence[CallLine]:
        """The calls whose conversion has this order id, the newest conversion first; `limit` bounds those
        that are looked at."""

    def phones_of(self, name: str, limit: int) -> Sequence[str]:
        """The numbers (E.164) of the customers with this email, in lower case or as it is written, or this customer id; those
        as well that several are said to have, whoever of them is credited."""

    def has_callbacks(self, call_sid: str) -> bool:
        """Whether any callback of this leg, or of a child of it, has arrived."""

    def latest_callback_at(self) -> datetime | None:
        """When the callback arrived that was kept last; None where there is none."""

    def latest_delivered_at(self) -> datetime | None:
        """When the conversion arrived that arrived last of all, whenever it was made; None where none has."""

    def every_callback(self, *, since: datetime | None = None, call_sid: str | None = None) -> Iterator[RawCallback]:
        """All callbacks in the order of their arrival, a page at a time, so that memory stays small.

        `since` is the earliest arrival; `call_sid` names a leg, whose children come with it.
        """

    def outcomes(self) -> Sequence[CallOutcome]:
        """What became of every call, in the order in which their first callbacks came."""

    def following(self) -> Following:
        """Gives the callbacks that come in from now on."""
