"""What arrived (RawCallback) and what it says in our words (Callback). Pure values: never reads a clock, a file or a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where a call leg stands, in Twilio's own words.

    https://www.twilio.com/docs/voice/api/call-resource#call-status-values
    """

    UNKNOWN = "unknown"
    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class Direction(StrEnum):
    """Who called whom: `inbound` a caller to a number of ours, `outbound-api` a call we placed, `outbound-dial` a child leg."""

    UNKNOWN = "unknown"
    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_DIAL = "outbound-dial"


# In the order in which a leg goes through them; it has ended with any other.
ON_ITS_WAY = (Status.UNKNOWN, Status.QUEUED, Status.INITIATED, Status.RINGING, Status.IN_PROGRESS)


def is_terminal(status: Status) -> bool:
    """True when a leg with this status will not change any more."""
    return status not in ON_ITS_WAY


class CallKey(NamedTuple):
    """What names a call or a leg. The account is part of it: one account's signature must never speak for another's call."""

    account_sid: str
    call_sid: str


@dataclass(frozen=True, slots=True)
class RawCallback:
    """One verified callback, kept exactly as it came, so that it can be read anew and replayed.

    `target` is the raw request target (path and query, byte for byte). `body` is the raw request body; for a JSON batch
    it holds the one event that this row stands for, as a batch of one. `headers` are the few worth keeping, never a
    signature. `received_at` is UTC. `dedupe_key` is a SHA-256 in hex over the signed fields alone.
    """

    dedupe_key: str
    account_sid: str
    call_sid: str
    parent_call_sid: str | None
    received_at: datetime
    method: str
    target: str
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source: str = "webhook"

    @property
    def key(self) -> CallKey:
        return CallKey(self.account_sid, self.call_sid)


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback in our words, the raw one whole beside it. What could not be read is None or UNKNOWN, never an error.

    `from_` and `to` are as Twilio wrote them (E.164, a client, a SIP address, a word for a withheld caller).
    `duration_seconds` is the length of the leg. `occurred_at` is Twilio's own time of the event, UTC.
    `params` holds every parameter by name, the last one where a name came twice.
    """

    raw: RawCallback
    status: Status
    direction: Direction
    from_: str
    to: str
    duration_seconds: int | None
    sequence_number: int | None
    occurred_at: datetime | None
    params: Mapping[str, str]
