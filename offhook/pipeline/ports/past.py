"""The calls that were decided, in the order in which they came, with what was decided of each. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction, RawCallback, Status
from offhook.pipeline.rules.held import Held


class PastCall(NamedTuple):
    """A call that was decided, as the ledger keeps it: its own leg without Twilio's parameters, and none of the legs that it
    dialled. `reason` is the first word of its newest decision, which was made by the rules of `rules_version`; `rule` is the
    rule that decided, "" for the last one and where none was asked. `from_` and `to` are as Twilio wrote them. Times are UTC.
    """

    key: CallKey
    first_received_at: datetime
    state: CallState
    reason: str
    status: Status
    direction: Direction
    from_: str
    to: str
    duration_seconds: int | None
    ended_at: datetime | None
    final_at: datetime | None
    rules_version: str = ""
    rule: str = ""

    @property
    def ours(self) -> str:
        """Our end."""
        return self.from_ if self.direction is Direction.OUTBOUND_API else self.to


@dataclass(frozen=True, slots=True)
class RulesUsed:
    """Rules that began to hold in place of others, or came back: the number of that, their version, when it was, and their
    file as it was written."""

    number: int
    version: str
    began_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class ListUsed:
    """A file of numbers that rules named: what it was called, the digest of its numbers (`NumberList`), and how many."""

    file: str
    digest: str
    count: int


class Past(Protocol):
    """Pages of the past; each method raises LedgerUnavailable."""

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        """Up to `limit` calls that were first received at or after `since` and are converted, skipped or parked: the oldest
        first, those after `after`. None is given twice."""

    def waiting(self, at_most: int) -> Collection[CallKey] | None:
        """The calls of which callbacks wait to be folded; None where more than `at_most` callbacks do."""

    def callbacks_of(self, keys: Collection[CallKey]) -> Mapping[CallKey, Sequence[RawCallback]]:
        """All callbacks of these calls and of their legs, with what their parameters are read from: without headers and
        content type, and without the target where the body has them. Without calls of whose legs a callback waits to be
        folded, and those that are no calls of their own any more."""

    def count_since(self, since: datetime, at_most: int) -> int:
        """How many calls were first received since then, whatever their state, counted up to `at_most`."""

    def rules_used(self, limit: int, at: int = 0) -> Sequence[RulesUsed]:
        """Each time that rules began to hold, the newest first; from this number on, where one is given."""

    def use_of(self, version: str) -> int | None:
        """The number of the newest time that the rules of this version began to hold; None where they never did."""

    def text_of(self, version: str) -> str | None:
        """The file of the rules of this version as it was when they were first used; None of rules that never were."""

    def held(self, version: str) -> Held | None:
        """What held by the rules of this version, defaults and all; None where that was not kept."""

    def lists_used(self, version: str) -> Sequence[ListUsed]:
        """The files of numbers that the rules of this version named, as they were when the rules were first used."""

    def listed(self, digest: str, limit: int) -> Sequence[str]:
        """The numbers (E.164) of such a file in their order, up to `limit`; empty where nothing is kept under the digest."""
