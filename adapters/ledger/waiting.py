"""What waits in the ledger, and until when: one question, answered from the ends of indexes, whatever the ledger's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import micros, moment
from offhook.pipeline.call import CallState
from offhook.pipeline.delivery import CONVERSION_MOVES, Event, State
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.story import COUNTED_UP_TO

MAPPING_VERSION = "mapping_version"
RELEASED_CHANGES = "released_changes"  # how many of the mapping's changes are of look-ups, which release their calls
# Of the table lookups, as its indexes say it.
IS_ASKED = f"state <> '{LookUpState.KNOWN}'"
IS_WANTED = f"state = '{LookUpState.WANTED}'"
TO_RELEASE = "to_release = 1"

_OLDEST = "FROM callbacks WHERE folded = 0 ORDER BY seq LIMIT 1"
_QUESTION = f"""SELECT
 (SELECT seq {_OLDEST}),
 (SELECT received_at {_OLDEST}),
 (SELECT min(settle_at) FROM calls WHERE state = '{CallState.SETTLING}'),
 (SELECT min(due_at) FROM conversions WHERE state = '{State.PENDING}'),
 (SELECT min(lease_until) FROM conversions WHERE state = '{State.SENDING}'),
 (SELECT min(first_attempt_at) FROM conversions WHERE state = '{State.PENDING}' AND maybe_sent = 1),
 (SELECT max(open_until) FROM breakers),
 (SELECT value FROM counters WHERE name = '{MAPPING_VERSION}'),
 (SELECT value FROM counters WHERE name = '{RELEASED_CHANGES}'),
 (SELECT min(due_at) FROM lookups WHERE {IS_ASKED}),
 (SELECT 1 FROM lookups WHERE {TO_RELEASE} LIMIT 1),
 (SELECT min(due_at) FROM jobs WHERE due_at IS NOT NULL)"""


_CALLER_WAITED_FOR = f"(SELECT min(wanted_at) FROM lookups WHERE {IS_WANTED})"
IS_OPEN = f"state = '{CallState.OPEN}' AND decided_at IS NULL"
IS_UNFINISHED = f"state = '{CallState.OPEN}' AND decided_at IS NOT NULL"
_OLDEST_OPEN = f"(SELECT min(first_received_at) FROM calls WHERE {IS_OPEN})"
_OLDEST_PARKED = f"(SELECT min(first_received_at) FROM calls WHERE state = '{CallState.PARKED}')"


def bounded_count(state: str) -> str:
    """How many conversions rest in a state, counted up to one more than COUNTED_UP_TO."""
    return _bounded(f"SELECT 1 FROM conversions WHERE state = '{state}'")


def _bounded(rows: str) -> str:
    return f"(SELECT count(*) FROM ({rows} LIMIT {COUNTED_UP_TO + 1}) AS few)"


def needs_people_question() -> str:
    """Conversions that wait for a person, and calls that wait for a customer."""
    parked = _bounded(f"SELECT 1 FROM calls WHERE state = '{CallState.PARKED}' ORDER BY first_received_at")
    return f"SELECT {_held()}, {parked}"


def _held() -> str:
    return " + ".join(bounded_count(state) for state in CONVERSION_MOVES.sources(Event.RETRY))


LOOK_UPS_COUNT = _bounded(f"SELECT 1 FROM lookups WHERE {IS_WANTED} ORDER BY wanted_at")
UNFINISHED_COUNT = _bounded(f"SELECT 1 FROM calls WHERE {IS_UNFINISHED} ORDER BY decided_at")
_HELD = _held()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. Ages are seconds since the oldest came; 0.0 when nothing waits. Of each state that needs a person at
    most COUNTED_UP_TO + 1 are counted, and so many unfinished calls and callers that are to be looked up. `oldest_callback`
    is the number of the one that waits longest to be folded. A call whose caller is being looked up waits to be decided.
    What a worker has taken to send and did not send before its lease was over waits, too. `workers_alive` left a sign of
    life lately; `worker_seen_seconds` is how long ago the last one of all did, None when there is none.
    """

    oldest_callback: int | None
    unfolded_age_seconds: float
    undecided_age_seconds: float
    undelivered_age_seconds: float
    held_for_a_person: int
    unfinished: int
    unanswered_age_seconds: float = 0.0
    callers_to_look_up: int = 0
    workers_alive: int = 0
    worker_seen_seconds: float | None = None


def read_waiting(database: Database, *, with_open: bool = False) -> Waiting:
    """Raises LedgerUnavailable."""
    if not with_open:
        return _waiting(database.ask(_QUESTION))
    *row, oldest, parked = database.ask(f"{_QUESTION}, {_OLDEST_OPEN}, {_OLDEST_PARKED}")
    return replace(_waiting(row), open_since=moment(oldest), parked_since=moment(parked))


def _waiting(row: Sequence[Any]) -> Waiting:
    seq, received, settled, due, leased, doubtful, open_until, version, by_look_ups, look_up_at, to_release, job_at = (
        row
    )
    return Waiting(
        oldest_callback=seq,
        oldest_received_at=moment(received),
        settled_at=moment(settled),
        due_at=moment(due),
        door_opens_at=moment(open_until),
        leased_until=moment(leased),
        doubtful_since=moment(doubtful),
        mapping_version=version or 0,
        to_review=(version or 0) - (by_look_ups or 0),
        look_up_at=moment(look_up_at),
        has_answers=to_release is not None,
        job_at=moment(job_at),
    )


def read_backlog(database: Database, now: datetime, worker_lost_seconds: float) -> Backlog:
    """Raises LedgerUnavailable."""
    since = micros(now - timedelta(seconds=worker_lost_seconds))
    alive = f"(SELECT count(*) FROM workers WHERE seen_at >= {since}), (SELECT max(seen_at) FROM workers)"
    look_ups = f"{_CALLER_WAITED_FOR}, {LOOK_UPS_COUNT}"
    asked = f"{_QUESTION}, {_HELD}, {UNFINISHED_COUNT}, {look_ups}, {alive}"
    *row, held, unfinished, waited_for, callers, workers, seen = database.ask(asked)
    found, last_seen = _waiting(row), moment(seen)

    def age(oldest: datetime | None) -> float:
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())

    return Backlog(
        found.oldest_callback,
        age(found.oldest_received_at),
        max(age(found.settled_at), age(moment(waited_for))),
        max(age(found.due_at), age(found.leased_until)),
        held,
        unfinished,
        age(moment(waited_for)),
        callers,
        workers,
        None if last_seen is None else age(last_seen),
    )
