"""What waits in the ledger, and until when: one question, answered from the ends of indexes, whatever the ledger's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


IS_OPEN = "state = 'open' AND decided_at IS NULL"
IS_UNFINISHED = "state = 'open' AND decided_at IS NOT NULL"
_OLDEST_OPEN = f"(SELECT min(first_received_at) FROM calls WHERE {IS_OPEN})"


def bounded_count(state: str) -> str:
    """How many conversions rest in a state, counted up to one more than COUNTED_UP_TO."""
    return _bounded(f"SELECT 1 FROM conversions WHERE state = '{state}'")


def _bounded(rows: str) -> str:
    return f"(SELECT count(*) FROM ({rows} LIMIT {COUNTED_UP_TO + 1}) AS few)"


UNFINISHED_COUNT = _bounded(f"SELECT 1 FROM calls WHERE {IS_UNFINISHED} ORDER BY decided_at")
_HELD = " + ".join(bounded_count(state) for state in ("dead", "ambiguous", "quarantined"))


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. Ages are seconds since the oldest came; 0.0 when nothing waits. Of each state that needs a person at
    most COUNTED_UP_TO + 1 are counted, and so many unfinished calls. `oldest_callback` is the number of the one that waits
    longest to be folded.
    """

    oldest_callback: int | None
    unfolded_age_seconds: float
    undecided_age_seconds: float
    undelivered_age_seconds: float
    held_for_a_person: int
    unfinished: int


def read_waiting(database: Database, *, with_open: bool = False) -> Waiting:
    """Raises LedgerUnavailable."""
    if not with_open:
        return _waiting(database.ask(_QUESTION))
    *row, oldest = database.ask(f"{_QUESTION}, {_OLDEST_OPEN}")
    return replace(_waiting(row), open_since=moment(oldest))


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
    *row, held, unfinished = database.ask(f"{_QUESTION}, {_HELD}, {UNFINISHED_COUNT}")
    found = _waiting(row)

    def age(oldest: datetime | None) -> float:
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())

    ages = (age(found.oldest_received_at), age(found.settled_at), age(found.due_at))
    return Backlog(found.oldest_callback, *ages, held, unfinished)
