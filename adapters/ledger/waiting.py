"""What waits in the ledger, and until when: one question, answered from the ends of indexes, whatever the ledger's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.ledger.engine import Database
from adapters.ledger.schema import moment
from pipeline.ports import Waiting

MAPPING_VERSION = "mapping_version"
COUNTED_UP_TO = 10_000  # nobody reads more of a number; to count on would take longer with every call

_OLDEST = "FROM callbacks WHERE folded = 0 ORDER BY seq LIMIT 1"
_QUESTION = f"""SELECT
 (SELECT seq {_OLDEST}),
 (SELECT received_at {_OLDEST}),
 (SELECT min(settle_at) FROM calls WHERE state = 'settling'),
 (SELECT min(due_at) FROM conversions WHERE state = 'pending'),
 (SELECT min(lease_until) FROM conversions WHERE state = 'sending'),
 (SELECT min(first_attempt_at) FROM conversions WHERE state = 'pending' AND maybe_sent = 1),
 (SELECT max(open_until) FROM breakers),
 (SELECT value FROM counters WHERE name = '{MAPPING_VERSION}')"""


def bounded_count(state: str) -> str:
    """How many conversions rest in a state, counted up to one more than COUNTED_UP_TO."""
    few = f"SELECT 1 FROM conversions WHERE state = '{state}' LIMIT {COUNTED_UP_TO + 1}"
    return f"(SELECT count(*) FROM ({few}) AS few)"


_HELD = " + ".join(bounded_count(state) for state in ("dead", "ambiguous", "quarantined"))


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. Ages are seconds since the oldest came; 0.0 when nothing waits. Of each state that needs a person at
    most COUNTED_UP_TO + 1 are counted. `oldest_callback` is the number of the one that waits longest to be folded.
    """

    oldest_callback: int | None
    unfolded_age_seconds: float
    undecided_age_seconds: float
    undelivered_age_seconds: float
    held_for_a_person: int


def read_waiting(database: Database) -> Waiting:
    """Raises LedgerUnavailable."""
    return _waiting(database.ask(_QUESTION))


def _waiting(row: Sequence[Any]) -> Waiting:
    seq, received, settled, due, leased, doubtful, open_until, version = row
    return Waiting(
        oldest_callback=seq,
        oldest_received_at=moment(received),
        settled_at=moment(settled),
        due_at=moment(due),
        door_opens_at=moment(open_until),
        leased_until=moment(leased),
        doubtful_since=moment(doubtful),
        mapping_version=version or 0,
    )


def read_backlog(database: Database, now: datetime) -> Backlog:
    """Raises LedgerUnavailable."""
    *row, held = database.ask(f"{_QUESTION}, {_HELD}")
    found = _waiting(row)

    def age(oldest: datetime | None) -> float:
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())

    return Backlog(found.oldest_callback, age(found.oldest_received_at), age(found.settled_at), age(found.due_at), held)
