"""Many calls and legs, their callbacks in any order and doubled, the process dying at every commit point, time passing.

Whatever happens: never more than one conversion a call, each told with the same bytes every time, and none missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
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

from adapters.ledger.schema import attempts, calls, conversions, metadata
from adapters.ledger.store import SqlLedger
from adapters.rockerbox.payload import encode
from adapters.twilio.reading import read, read_request
from pipeline.call import RawCallback
from pipeline.conversion import Conversion
from pipeline.delivery import Outcome, Result, RetryPolicy, Sending
from pipeline.ports import LedgerUnavailable
from pipeline.rules import Rules
from pipeline.steps import Judge, attempt, decide_batch, fold_batch, review_parked_batch
from settings import load
from tests.support.postgres import PostgresServer

RESULTS = st.sampled_from(["answered", "no_answer", "busy", "released"])
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the test is of our steps, not of the disk
ACCOUNT = "AC00000000000000000000000000000001"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
CALLERS = [f"+1415555010{number}" for number in range(4)]
KNOWN_AT_FIRST, KNOWN_LATER = CALLERS[:2], CALLERS[2:3]  # the last one stays unknown


class Died(LedgerUnavailable):
    """The process was killed at a commit; a request's own thread learns of it from the one that writes."""

    def __init__(self) -> None:
        super().__init__("killed")


class Customer:
    def __init__(self, phone: str) -> None:
        self.phone, self.email, self.customer_id = phone, f"{phone[1:]}@example.com", phone


class Destination:
    """Rockerbox as its rules say: keeps the first of each order id, and here counts the others."""

    def __init__(self) -> None:
        self.received: dict[bytes, int] = {}

    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        self.received[payload] = self.received.get(payload, 0) + 1
        return Outcome(Result.DELIVERED, "delivered", 200)


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
        self.destination = Destination()
        self.judge = Judge(Rules(), "US", self.destination, read, settle_seconds=20)
        self.now = NOON
        self.unsent: list[RawCallback] = []
        self.acknowledged: set[str] = set()
        self.expected: dict[str, str] = {}
        self.roots: dict[str, list[str]] = {}
        self.held: list[Sending] = []
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

    def _dying_write(self, write: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def dying() -> Iterator[Any]:
            with write() as connection:
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

    @rule(seconds=st.sampled_from([1, 5, 21, 61]))
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

    @rule(dies=st.sampled_from([None, "before", "after"]))
    def the_mapping_grows(self, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: self.ledger.merge_customers([Customer(phone) for phone in KNOWN_LATER]))
        if dies != "before":
            self.mapped |= set(KNOWN_LATER)

    @rule(limit=st.integers(1, 5), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_claims(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        self.held += self._may_die(lambda: self.ledger.claim(self.now, limit, 60, POLICY)) or []

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        result=RESULTS,
        dies=st.sampled_from([None, "before", "after"]),
    )
    def a_worker_sends(self, data: st.DataObject, result: str, dies: str | None) -> None:
        """Perhaps long after its lease ended: then another worker has it, and this one's word changes nothing."""
        sending = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        outcome = self._outcome(sending, result)
        self.dies = dies
        done = attempt(sending, outcome, self.now, self.now, POLICY)
        self._may_die(lambda: self.ledger.finish([done], self.now))

    def _outcome(self, sending: Sending, result: str) -> Outcome:
        if result == "released":
            return Outcome(Result.RELEASED, "stopped")
        if result == "busy":
            return Outcome(Result.RETRY, "http_500", 500)
        outcome = self.destination.send(sending.payload)
        return outcome if result == "answered" else Outcome(Result.MAYBE_SENT, "reset")

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
            assert {row.state for row in rows} <= {"delivered"}
            assert {row.call_sid for row in parked} == set(self.expected) - told
            assert {row.call_sid for row in tried} == told
        finally:
            self.ledger.close()
            self.folder.cleanup()

    def _calm_down(self) -> None:
        if self.unsent:
            self.ledger.append(self.unsent)
        for _ in range(200):
            self.now += timedelta(seconds=61)
            worked = fold_batch(self.ledger, self.judge, 100) + decide_batch(self.ledger, self.judge, self.now, 100)
            worked += review_parked_batch(self.ledger, self.judge, self.now, 100)
            worked += self.ledger.expire_leases(self.now, POLICY)
            for sending in self.ledger.claim(self.now, 50, 60, POLICY):
                done = attempt(sending, self.destination.send(sending.payload), self.now, self.now, POLICY)
                worked += self.ledger.finish([done], self.now)
            states = self.ledger.inspection.conversion_counts()
            if not worked and not states.get("pending") and not states.get("sending"):
                return
        raise AssertionError("it never came to rest")


POLICY = RetryPolicy(max_expired_leases=1000, cap_seconds=60)
EXAMPLES = int(os.environ.get("OFFHOOK_STATEFUL_EXAMPLES", "40"))

TestPipelineOnSqlite = pytest.mark.unit(Pipeline.TestCase)
TestPipelineOnSqlite.settings = hypothesis_settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_one_conversion_a_call_whatever_happens_on_postgres(postgres: PostgresServer) -> None:
    url = load(_env_file=None, DATABASE_URL=postgres.fresh_database()).database_url
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
