"""Many calls and legs, their callbacks in any order and doubled, the process dying at every commit point, days passing.

Whatever happens: never more than one conversion a call, as Rockerbox counts by the day of arrival, each told with the same
bytes every time, and none missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from offhook.adapters.ledger.inspect import RETRYABLE
from offhook.adapters.ledger.schema import attempts, calls, conversions, metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read, read_request
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Conversion, Numbering
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy, Sending
from offhook.pipeline.ports import Attempt, Claimed, LedgerUnavailable
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import (
    Judge,
    attempt,
    decide_batch,
    deliver,
    fold_batch,
    leave_unfinished_batch,
    review_parked_batch,
)
from offhook.settings import given
from tests.support.postgres import PostgresServer

# What becomes of a request: whether it arrives, and what is heard of it.
ARRIVES = {"answered": True, "no_answer": True, "gateway": True, "lost": False, "busy": False, "blocked": False}
HEARD = {
    "answered": Outcome(Result.DELIVERED, "delivered", 200),
    "no_answer": Outcome(Result.MAYBE_SENT, "reset"),
    "lost": Outcome(Result.MAYBE_SENT, "reset"),
    "gateway": Outcome(Result.MAYBE_SENT, "http_502", 502),
    "busy": Outcome(Result.RETRY, "http_503", 503),
    "blocked": Outcome(Result.BLOCKED, "http_403", 403),
    "refused": Outcome(Result.REFUSED, "http_400", 400),
}
RESULTS = st.sampled_from([*HEARD, "released"])
LEASE_SECONDS, DEADLINE_SECONDS = 60, 15
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the test is of our steps, not of the disk
ACCOUNT = "AC00000000000000000000000000000001"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
EVENING = datetime(2026, 3, 12, 23, 58, tzinfo=UTC)  # soon the day turns
CALLERS = [f"+1415555010{number}" for number in range(4)]
KNOWN_AT_FIRST, KNOWN_LATER = CALLERS[:2], CALLERS[2:3]  # the last one stays unknown


class Died(LedgerUnavailable):
    """The process was killed at a commit; a request's own thread learns of it from the one that writes."""

    def __init__(self) -> None:
        super().__init__("killed")


class Customer:
    def __init__(self, phone: str) -> None:
        self.phone, self.email, self.customer_id, self.people = phone, f"{phone[1:]}@example.com", phone, 1


class Destination:
    """Rockerbox as its rules say: of each order id it counts the first of each day, by the time of arrival.

    `result` is what becomes of the next request, `takes_seconds` how long it is on its way.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.received: dict[bytes, set[date]] = {}
        self.result = "answered"
        self.takes_seconds = 0

    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        if ARRIVES.get(self.result):
            arrives_at = self._clock() + timedelta(seconds=self.takes_seconds)
            self.received.setdefault(payload, set()).add(arrives_at.date())
        return HEARD[self.result]

    def has(self, call_sid: str) -> bool:
        """What a person sees on Rockerbox's page."""
        return any(call_sid.encode() in payload for payload in self.received)


def callbacks_of(number: int, caller: str, legs: int, status: str) -> list[RawCallback]:
    """Everything that Twilio sends of one call: its own callbacks and those of its child legs."""
    root = f"CA{number:032x}"
    told = [
        _callback(root, None, caller, "inbound", one, place)
        for place, one in enumerate(("ringing", "in-progress", status))
    ]
    for leg in range(legs):
        sid = f"CA{number + 1000:016x}{leg + 1:016x}"
        # A child of a child now and then: a call that was handed on.
        parent = root if leg < 2 else f"CA{number + 1000:016x}{leg:016x}"
        told += [
            _callback(sid, parent, caller, "outbound-dial", one, place)
            for place, one in enumerate(("initiated", "completed"))
        ]
    return told


def _callback(sid: str, parent: str | None, caller: str, direction: str, status: str, place: int) -> RawCallback:
    params = {"CallSid": sid, "AccountSid": ACCOUNT, "From": caller, "To": "+14155550199", "Direction": direction}
    params |= {"CallStatus": status, "SequenceNumber": str(place), "CallDuration": "10"}
    params |= {"Timestamp": "Thu, 12 Mar 2026 12:00:00 +0000"} | ({"ParentCallSid": parent} if parent else {})
    body = urlencode(params).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, ACCOUNT)
    assert isinstance(found, tuple)
    return found[0]


@cache
def _migrated() -> Path:
    """A ledger with its tables and nothing in it, to copy."""
    path = Path(tempfile.mkdtemp(dir=IN_MEMORY)) / "ledger.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.migrations.upgrade()
    ledger.close()
    return path


class Pipeline(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self._make_ledger()
        self.ledger = self._new_ledger()
        self.ledger.merge_customers([Customer(phone) for phone in KNOWN_AT_FIRST])
        self.mapped = set(KNOWN_AT_FIRST)
        self.destination = Destination(lambda: self.now)
        self.judge = Judge(Rules(), Numbering("US"), self.destination, read, settle_seconds=20)
        self.now = EVENING
        self.unsent: list[RawCallback] = []
        self.acknowledged: set[str] = set()
        self.expected: dict[str, str] = {}
        self.roots: dict[str, list[str]] = {}
        self.claimed: list[tuple[Sending, datetime]] = []
        self.unwritten: list[Attempt] = []
        self.dies: str | None = None

    def _make_ledger(self) -> None:
        shutil.copy(_migrated(), f"{self.folder.name}/ledger.db")

    def _new_ledger(self) -> SqlLedger:
        ledger = SqlLedger(self._url())
        for name in ("write", "execute_alone"):
            setattr(ledger.database, name, getattr(self, f"_dying_{name}")(getattr(ledger.database, name)))
        return ledger

    def _url(self) -> str:
        return f"sqlite:///{self.folder.name}/ledger.db"

    def _dying_write(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def dying(**limits: Any) -> Iterator[Any]:
            with write(**limits) as connection:
                yield connection
                self._die("before")
            self._die("after")

        return dying

    def _dying_execute_alone(self, execute: Callable[..., None]) -> Callable[..., None]:
        def dying(*arguments: Any) -> None:
            self._die("before")
            execute(*arguments)
            self._die("after")

        return dying

    def _die(self, point: str) -> None:
        if getattr(self, "dies", None) == point:
            self.dies = None
            raise Died

    def _may_die(self, step: Callable[[], Any]) -> Any:
        """A step of a process that may be killed in it; then a new process begins with nothing but the ledger."""
        try:
            return step()
        except Died:
            self.ledger.close()
            self.ledger = self._new_ledger()
            return None
        finally:
            self.dies = None

    @rule(
        number=st.integers(0, 5),
        caller=st.sampled_from(CALLERS),
        legs=st.integers(0, 3),
        status=st.sampled_from(["completed", "busy"]),
    )
    def a_call_takes_place(self, number: int, caller: str, legs: int, status: str) -> None:
        sid = f"CA{number:032x}"
        if sid in self.roots:
            return
        told = callbacks_of(number, caller, legs, status)
        self.roots[sid] = [raw.dedupe_key for raw in told]
        self.unsent += told
        if status == "completed":
            self.expected[sid] = caller

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), again=st.booleans(), dies=st.sampled_from([None, None, "before", "after"]))
    def callbacks_arrive(self, data: st.DataObject, again: bool, dies: str | None) -> None:
        """Twilio sends some that are left, in any order, and may send one a second time."""
        count = data.draw(st.integers(1, min(6, len(self.unsent))))
        chosen = [self.unsent[data.draw(st.integers(0, len(self.unsent) - 1))] for _ in range(count)]
        self.dies = dies
        stored = self._may_die(lambda: self.ledger.append(chosen) or True)
        if stored:
            self.acknowledged |= {raw.dedupe_key for raw in chosen}
            self.unsent = [raw for raw in self.unsent if again or raw not in chosen]

    @rule(seconds=st.sampled_from([1, 5, 21, 61, 61, 6 * 3600, 24 * 3600 - 90]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(limit=st.integers(1, 10), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_folds(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: fold_batch(self.ledger, self.judge, limit))

    @rule(limit=st.integers(1, 10), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_decides(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: decide_batch(self.ledger, self.judge, self.now, limit))
        self._may_die(lambda: review_parked_batch(self.ledger, self.judge, self.now, limit))

    @rule(limit=st.integers(1, 10), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_calls_open_ones_unfinished(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: leave_unfinished_batch(self.ledger, self.judge, self.now, 3600, limit))

    @rule(dies=st.sampled_from([None, "before", "after"]))
    def the_mapping_grows(self, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: self.ledger.merge_customers([Customer(phone) for phone in KNOWN_LATER]))
        if dies != "before":
            self.mapped |= set(KNOWN_LATER)

    @rule(limit=st.integers(1, 5), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_claims(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        claimed = self._may_die(lambda: self.ledger.claim(self.now, limit, LEASE_SECONDS, POLICY)) or Claimed()
        ends_at = self.now + timedelta(seconds=LEASE_SECONDS)
        self.claimed += [(sending, ends_at) for sending in claimed.taken]

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), result=RESULTS, takes_seconds=st.integers(0, DEADLINE_SECONDS))
    def a_worker_sends(self, data: st.DataObject, result: str, takes_seconds: int) -> None:
        """Any time after the claim, but never so late that its lease could end meanwhile."""
        sending, ends_at = self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1)))
        if result == "released" or self.now + timedelta(seconds=DEADLINE_SECONDS) > ends_at:
            released = Outcome(Result.RELEASED, "stopped")
            self.unwritten.append(attempt(sending, released, self.now, self.now, POLICY))
            return
        self.destination.result, self.destination.takes_seconds = result, takes_seconds
        self.unwritten.append(deliver(sending, self.destination, POLICY, lambda: self.now))

    @precondition(lambda self: self.unwritten)
    @rule(count=st.integers(1, 3), again=st.booleans(), dies=st.sampled_from([None, "before", "after"]))
    def results_are_written(self, count: int, again: bool, dies: str | None) -> None:
        """Perhaps long after the lease ended: then another worker has it, and this one's word changes nothing but by a 2xx.

        A worker that does not know whether its commit came through writes them again.
        """
        done, self.unwritten = self.unwritten[:count], self.unwritten[count:]
        self.dies = dies
        self._may_die(lambda: self.ledger.finish(done, self.now))
        if again:
            self.ledger.finish(done, self.now)

    @rule()
    def a_person_looks_at_what_is_held(self) -> None:
        """Sends again what has not arrived, and nothing else."""
        resting = self.ledger.inspection.conversions(RETRYABLE, 1000)
        missing = [row for row in resting if not self.destination.has(row.call_sid)]
        self.ledger.inspection.retry([(row.account_sid, row.call_sid) for row in missing], self.now)

    @rule(dies=st.sampled_from([None, "before", "after"]))
    def late_leases_are_taken_back(self, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: self.ledger.expire_leases(self.now, POLICY))

    @invariant()
    def each_call_is_told_with_one_payload(self) -> None:
        if not hasattr(self, "destination"):
            return
        order_ids = [payload.split(b'"order_id":"')[1][:34] for payload in self.destination.received]
        assert len(order_ids) == len(set(order_ids))

    @invariant()
    def no_call_counts_on_two_days(self) -> None:
        if hasattr(self, "destination"):
            assert all(len(days) == 1 for days in self.destination.received.values())

    @invariant()
    def what_was_acknowledged_is_kept(self) -> None:
        if hasattr(self, "ledger"):
            kept = {raw.dedupe_key for raw in self.ledger.inspection.every_callback()}
            assert self.acknowledged <= kept

    def teardown(self) -> None:
        """Everything calms down: now each call that counts has been told, once as Rockerbox counts, and no other."""
        if not hasattr(self, "ledger"):
            return
        try:
            self._calm_down()
            told = {payload.split(b'"order_id":"')[1][:34].decode() for payload in self.destination.received}
            assert told == {sid for sid, caller in self.expected.items() if caller in self.mapped}
            with self.ledger.database.read() as connection:
                rows = connection.execute(select(conversions)).all()
                parked = connection.execute(select(calls).where(calls.c.state == "parked")).all()
                tried = connection.execute(select(attempts)).all()
            assert {row.state for row in rows} <= {
                "delivered",
                "ambiguous",
                "dead",
            }  # the last two: a person saw it there
            assert {row.call_sid for row in parked} == set(self.expected) - told
            assert {row.call_sid for row in tried} == told
            self.no_call_counts_on_two_days()
        finally:
            self.ledger.close()
            self.folder.cleanup()

    def _calm_down(self) -> None:
        self.ledger.finish(self.unwritten, self.now)
        self.destination.result, self.destination.takes_seconds = "answered", 0
        if self.unsent:
            self.ledger.append(self.unsent)
        for _ in range(200):
            self.now += timedelta(seconds=61)
            worked = fold_batch(self.ledger, self.judge, 100) + decide_batch(self.ledger, self.judge, self.now, 100)
            worked += review_parked_batch(self.ledger, self.judge, self.now, 100)
            worked += len(self.ledger.expire_leases(self.now, POLICY))
            for sending in self.ledger.claim(self.now, 50, 60, POLICY).taken:
                done = deliver(sending, self.destination, POLICY, lambda: self.now)
                worked += len(self.ledger.finish([done], self.now).moved)
            self.a_person_looks_at_what_is_held()
            states = self.ledger.inspection.conversion_counts()
            if not worked and not states.get("pending") and not states.get("sending"):
                return
        raise AssertionError("it never came to rest")


POLICY = RetryPolicy(max_expired_leases=1000, cap_seconds=60, margin_seconds=DEADLINE_SECONDS)
EXAMPLES = int(os.environ.get("OFFHOOK_STATEFUL_EXAMPLES", "40"))

TestPipelineOnSqlite = pytest.mark.unit(Pipeline.TestCase)
TestPipelineOnSqlite.settings = hypothesis_settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_one_conversion_a_call_whatever_happens_on_postgres(postgres: PostgresServer) -> None:
    url = given({"DATABASE_URL": postgres.fresh_database()}).database_url
    migrating = SqlLedger(url)
    migrating.migrations.upgrade()

    class OnPostgres(Pipeline):
        def _url(self) -> str:
            return url

        def _make_ledger(self) -> None:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            with migrating.database.write() as connection:
                connection.exec_driver_sql(f"TRUNCATE {names}")

    try:
        run_state_machine_as_test(
            OnPostgres, settings=hypothesis_settings(TestPipelineOnSqlite.settings, max_examples=max(5, EXAMPLES // 4))
        )
    finally:
        migrating.close()
