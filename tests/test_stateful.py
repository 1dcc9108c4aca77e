"""Many calls and legs of two accounts, their callbacks in any order and doubled, death at every commit point, days passing.

Whatever happens: never more than one conversion a call, as Rockerbox counts by the day of arrival in its zone, each sent
with the same bytes every time, none missing, and every copy that left in the journal.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

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

from offhook.adapters.ledger.schema import attempts, calls, conversions, metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.twilio.reading import read
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Resend, Result, RetryPolicy, Sending, State
from offhook.pipeline.ends import Numbering
from offhook.pipeline.ports.outbox import Attempt, Claimed
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules import Rules
from offhook.pipeline.sending_again import RETRYABLE
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
from tests.support.arriving import read_request
from tests.support.postgres import PostgresServer

# What becomes of a request: whether it arrives, and whether its answer does.
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
RESULTS = st.sampled_from(["no_answer", "gateway", *HEARD, "released"])  # what may have arrived is where it gets hard
LEASE_SECONDS, DEADLINE_SECONDS = 60, 15
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the test is of our steps, not of the disk
# Two accounts with calls of the same CallSids: what belongs to one is never the other's.
ACCOUNTS = ["AC00000000000000000000000000000001", "AC00000000000000000000000000000002"]
RULES = Rules(order_id="{account_sid}/{call_sid}")
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
# What an account may have set. Each is tried for itself: by lot the one that holds most would hardly come up.
SETTINGS = [
    (Resend.SAME_DAY, "America/New_York"),
    (Resend.SAME_DAY, "Asia/Kolkata"),
    (Resend.NEVER, "UTC"),
    (Resend.ALWAYS, "America/New_York"),
]
CALLERS = [f"+1415555010{number}" for number in range(4)]
KNOWN_AT_FIRST, KNOWN_LATER = CALLERS[:2], CALLERS[2:3]  # the last one stays unknown


class Died(LedgerUnavailable):
    """The process was killed at a commit; a request's own thread learns of it from the one that writes."""

    def __init__(self) -> None:
        super().__init__("killed")


def customer(phone: str) -> Customer:
    return Customer(phone, f"{phone[1:]}@example.com", phone)


Call = tuple[str, str]  # AccountSid and CallSid


@dataclass(frozen=True)
class Copy:
    """One request that arrived: of which call, with which bytes, on which of Rockerbox's days."""

    call: Call
    payload: bytes
    day: date


class Destination:
    """Rockerbox as its rules say: of each order id it counts the first of each day, by the time of arrival in its zone.

    `result` is what becomes of the next request, `takes_seconds` how long it is on its way.
    """

    def __init__(self, clock: Callable[[], datetime], zone: ZoneInfo) -> None:
        self._clock, self._zone = clock, zone
        self.copies: list[Copy] = []
        self.result = "answered"
        self.takes_seconds = 0

    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        if ARRIVES.get(self.result):
            arrives_at = self._clock() + timedelta(seconds=self.takes_seconds)
            account, sid = json.loads(payload)["order_id"].split("/")
            self.copies.append(Copy((account, sid), payload, arrives_at.astimezone(self._zone).date()))
        return HEARD[self.result]

    def of(self, call: Call) -> list[Copy]:
        """What a person sees on Rockerbox's page: every copy, counted or ignored."""
        return [copy for copy in self.copies if copy.call == call]

    def calls(self) -> set[Call]:
        return {copy.call for copy in self.copies}

    def counted(self, call: Call) -> int:
        """As how many conversions it counts there."""
        return len({copy.day for copy in self.of(call)})


def callbacks_of(account: str, number: int, caller: str, legs: int, status: str) -> list[RawCallback]:
    """Everything that Twilio sends of one call: its own callbacks and those of its child legs."""
    root = f"CA{number:032x}"
    callbacks = [
        _callback(account, root, None, caller, "inbound", one, place)
        for place, one in enumerate(("ringing", "in-progress", status))
    ]
    for leg in range(legs):
        sid = f"CA{number + 1000:016x}{leg + 1:016x}"
        # A child of a child now and then: a call that was handed on.
        parent = root if leg < 2 else f"CA{number + 1000:016x}{leg:016x}"
        callbacks += [
            _callback(account, sid, parent, caller, "outbound-dial", one, place)
            for place, one in enumerate(("initiated", "completed"))
        ]
    return callbacks


def _callback(
    account: str, sid: str, parent: str | None, caller: str, direction: str, status: str, place: int
) -> RawCallback:
    params = {"CallSid": sid, "AccountSid": account, "From": caller, "To": "+14155550199", "Direction": direction}
    params |= {"CallStatus": status, "SequenceNumber": str(place), "CallDuration": "10"}
    params |= {"Timestamp": "Thu, 12 Mar 2026 12:00:00 +0000"} | ({"ParentCallSid": parent} if parent else {})
    body = urlencode(params).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOON, account)
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
    """What one account has set is a class of its own."""

    resend: ClassVar[Resend]
    zone: ClassVar[ZoneInfo]

    @initialize(calls=st.integers(1, 3))
    def start(self, calls: int) -> None:
        """Some calls of each account stand in the outbox from the beginning: the way there is long, and most befalls them there."""
        self.policy = replace(POLICY, resend=self.resend, day_zone=self.zone)
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        self._make_ledger()
        self.ledger = self._new_ledger()
        self.ledger.merge_customers([customer(phone) for phone in KNOWN_AT_FIRST])
        self.mapped = set(KNOWN_AT_FIRST)
        self.destination = Destination(lambda: self.now, self.zone)
        self.judge = Judge(RULES, Numbering("US"), self.destination.encode, read, settle_seconds=20)
        self.now = datetime(2026, 3, 12, 23, 50, tzinfo=self.zone).astimezone(UTC)  # soon the day turns
        self.unsent: list[RawCallback] = []
        self.acknowledged: set[str] = set()
        self.expected: dict[Call, str] = {}
        self.roots: set[Call] = set()
        self.sent: set[tuple[str, str, int]] = set()
        self.delivered: set[Call] = set()
        self.claimed: list[tuple[Sending, datetime]] = []
        self.unwritten: list[Attempt] = []
        self.dies: str | None = None
        for number in range(calls):
            for account in ACCOUNTS:
                self.a_call_comes_as_far_as_the_outbox(account, number, CALLERS[number])

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
        account=st.sampled_from(ACCOUNTS),
        number=st.integers(0, 3),
        caller=st.sampled_from(CALLERS),
        legs=st.integers(0, 3),
        status=st.sampled_from(["completed", "busy"]),
    )
    def a_call_takes_place(self, account: str, number: int, caller: str, legs: int, status: str) -> None:
        call = (account, f"CA{number:032x}")
        if call in self.roots:
            return
        self.roots.add(call)
        self.unsent += callbacks_of(account, number, caller, legs, status)
        if status == "completed":
            self.expected[call] = caller

    @rule(account=st.sampled_from(ACCOUNTS), number=st.integers(0, 3), caller=st.sampled_from(CALLERS[:3]))
    def a_call_comes_as_far_as_the_outbox(self, account: str, number: int, caller: str) -> None:
        """In one step, so that what may befall it there is met often."""
        self.a_call_takes_place(account, number, caller, 0, "completed")
        self._keep(self.unsent)
        self.acknowledged |= {raw.dedupe_key for raw in self.unsent}
        self.unsent = []
        fold_batch(self.ledger, self.judge, 100)
        self.now += timedelta(seconds=21)
        decide_batch(self.ledger, self.judge, self.now, 100)

    @rule(
        result=RESULTS,
        dies=st.sampled_from([None, None, "before", "after"]),
        writes=st.sampled_from([True, True, False]),
        waits_seconds=st.sampled_from([61, 61, 0]),
        limit=st.sampled_from([5, 5, 1]),
    )
    def a_worker_claims_sends_and_writes(
        self, result: str, dies: str | None, writes: bool, waits_seconds: int, limit: int = 5
    ) -> None:
        """In one step, too; or it is killed before it writes, and only the lease shows it."""
        self.now += timedelta(seconds=waits_seconds)
        self.ledger.expire_leases(self.now, self.policy)
        self.a_worker_claims(limit, None)
        while self.claimed:
            self._send(*self.claimed.pop(), result, 1)
        done, self.unwritten = self.unwritten, []
        if writes:
            self.dies = dies
            self._may_die(lambda: self._write(done))

    @rule(result=RESULTS, seconds=st.sampled_from([1, -DEADLINE_SECONDS]))
    def what_may_have_arrived_is_claimed_before_midnight_and_sent_about_it(self, result: str, seconds: int) -> None:
        """It was claimed while a second copy might leave, and waits in a queue until none may that takes its full time."""
        self.a_worker_claims_sends_and_writes("no_answer", None, True, 61)
        self.midnight_comes(-DEADLINE_SECONDS - 1)
        self.a_worker_claims(5, None)
        self.now += timedelta(seconds=DEADLINE_SECONDS + 1 + seconds)
        while self.claimed:
            self._send(*self.claimed.pop(), result, DEADLINE_SECONDS)

    @precondition(lambda self: self.unsent)
    @rule(data=st.data(), again=st.booleans(), dies=st.sampled_from([None, None, "before", "after"]))
    def callbacks_arrive(self, data: st.DataObject, again: bool, dies: str | None) -> None:
        """Twilio sends some that are left, in any order, and may send one a second time."""
        count = data.draw(st.integers(1, min(6, len(self.unsent))))
        chosen = [self.unsent[data.draw(st.integers(0, len(self.unsent) - 1))] for _ in range(count)]
        self.dies = dies
        stored = self._may_die(lambda: self._keep(chosen))
        if stored:
            self.acknowledged |= {raw.dedupe_key for raw in chosen}
            self.unsent = [raw for raw in self.unsent if again or raw not in chosen]

    def _keep(self, chosen: list[RawCallback]) -> bool:
        self.ledger.append(chosen)
        return True

    @rule(seconds=st.sampled_from([1, 5, 21, 61, 61, 6 * 3600, 24 * 3600 - 90]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([-DEADLINE_SECONDS - 1, -DEADLINE_SECONDS, -1, 0, 1, 90]))
    def midnight_comes(self, seconds: int) -> None:
        """At Rockerbox; it is then that a second copy may count. So many seconds before it or after."""
        today = self.now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        at = (today + timedelta(days=1)).astimezone(UTC) + timedelta(seconds=seconds)
        self.now = max(self.now, at)

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
        self._may_die(lambda: self.ledger.merge_customers([customer(phone) for phone in KNOWN_LATER]))
        if dies != "before":
            self.mapped |= set(KNOWN_LATER)

    @rule(limit=st.integers(1, 5), dies=st.sampled_from([None, "before", "after"]))
    def a_worker_claims(self, limit: int, dies: str | None) -> None:
        self.dies = dies
        claimed = self._may_die(lambda: self.ledger.claim(self.now, limit, LEASE_SECONDS, self.policy)) or Claimed()
        assert len(claimed.taken) <= limit
        assert not self.delivered & {sending.key for sending in claimed.taken}, "it rests"
        ends_at = self.now + timedelta(seconds=LEASE_SECONDS)
        self.claimed += [(sending, ends_at) for sending in claimed.taken]

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), result=RESULTS, takes_seconds=st.integers(0, DEADLINE_SECONDS))
    def a_worker_sends(self, data: st.DataObject, result: str, takes_seconds: int) -> None:
        """Any time after the claim, but never so late that its lease could end meanwhile."""
        self._send(*self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1))), result, takes_seconds)

    def _send(self, sending: Sending, ends_at: datetime, result: str, takes_seconds: int) -> None:
        if result == "released" or self.now + timedelta(seconds=DEADLINE_SECONDS) > ends_at:
            released = Outcome(Result.RELEASED, "stopped")
            self.unwritten.append(attempt(sending, released, self.now, self.now, self.policy))
            return
        self.destination.result, self.destination.takes_seconds = result, takes_seconds
        self._deliver(sending)

    def _deliver(self, sending: Sending) -> None:
        self.unwritten.append(deliver(sending, self.destination, self.policy, lambda: self.now))
        if self.unwritten[-1].outcome.result is not Result.HELD:
            self.sent.add((*sending.key, sending.fence))

    @precondition(lambda self: self.unwritten)
    @rule(count=st.integers(1, 3), again=st.booleans(), dies=st.sampled_from([None, "before", "after"]))
    def results_are_written(self, count: int, again: bool, dies: str | None) -> None:
        """Perhaps long after the lease ended: then another worker has it, and this one's word changes nothing but by a 2xx.

        A worker that does not know whether its commit came through writes them again.
        """
        done, self.unwritten = self.unwritten[:count], self.unwritten[count:]
        self.dies = dies
        self._may_die(lambda: self._write(done))
        if again:
            self._write(done)

    def _write(self, done: list[Attempt]) -> int:
        moved = self.ledger.finish(done, self.now).moved
        self.delivered |= {one.sending.key for one in moved if one.next.state is State.DELIVERED}
        return len(moved)

    @rule()
    def a_person_looks_at_what_is_held(self) -> None:
        """Sends again what has not arrived, and nothing else."""
        resting = self.ledger.stories.conversions(RETRYABLE, 1000)
        missing = [row for row in resting if not self.destination.of(row.key)]
        self.ledger.retry([row.key for row in missing], self.now)

    @rule(dies=st.sampled_from([None, "before", "after"]))
    def late_leases_are_taken_back(self, dies: str | None) -> None:
        self.dies = dies
        self._may_die(lambda: self.ledger.expire_leases(self.now, self.policy))

    @invariant()
    def each_call_is_sent_with_one_payload(self) -> None:
        if hasattr(self, "destination"):
            payloads = {(copy.call, copy.payload) for copy in self.destination.copies}
            assert len(payloads) == len(self.destination.calls())

    @invariant()
    def no_call_counts_twice_unless_the_policy_allows_it(self) -> None:
        """By the account's setting a second copy is harmless with ALWAYS alone, whatever the day; with NEVER none leaves."""
        if not hasattr(self, "destination"):
            return
        for call in self.destination.calls():
            if self.policy.resend is not Resend.ALWAYS:
                assert self.destination.counted(call) == 1, "a second copy on another day"
            if self.policy.resend is Resend.NEVER:
                assert len(self.destination.of(call)) == 1, "a second copy, and nobody allowed it"

    @invariant()
    def what_was_acknowledged_is_kept(self) -> None:
        if hasattr(self, "ledger"):
            kept = {raw.dedupe_key for raw in self.ledger.stories.every_callback()}
            assert self.acknowledged <= kept

    def teardown(self) -> None:
        """Everything calms down: now each call that counts has been sent, once as Rockerbox counts, and no other."""
        if not hasattr(self, "ledger"):
            return
        try:
            self._calm_down()
            arrived = self.destination.calls()
            assert arrived == {call for call, caller in self.expected.items() if caller in self.mapped}
            with self.ledger.database.read() as connection:
                rows = connection.execute(select(conversions)).all()
                parked = connection.execute(select(calls).where(calls.c.state == "parked")).all()
                tried = connection.execute(select(attempts)).all()
            assert {row.state for row in rows} <= {
                "delivered",
                "ambiguous",
                "dead",
            }  # the last two: a person saw it there
            assert {(row.account_sid, row.call_sid) for row in parked} == set(self.expected) - arrived
            assert {(row.account_sid, row.call_sid) for row in tried} == arrived
            assert {(row.account_sid, row.call_sid, row.fence) for row in tried} >= self.sent, "a copy left unseen"
            assert len({(row.account_sid, row.call_sid, row.fence, row.result) for row in tried}) == len(tried)
            self.no_call_counts_twice_unless_the_policy_allows_it()
        finally:
            self.ledger.close()
            self.folder.cleanup()

    def _calm_down(self) -> None:
        self._write(self.unwritten)
        self.destination.result, self.destination.takes_seconds = "answered", 0
        if self.unsent:
            self.ledger.append(self.unsent)
        for _ in range(200):
            self.now += timedelta(seconds=61)
            worked = fold_batch(self.ledger, self.judge, 100) + decide_batch(self.ledger, self.judge, self.now, 100)
            worked += review_parked_batch(self.ledger, self.judge, self.now, 100)
            worked += len(self.ledger.expire_leases(self.now, self.policy))
            for sending in self.ledger.claim(self.now, 50, 60, self.policy).taken:
                self._deliver(sending)
                worked += self._write([self.unwritten.pop()])
            self.a_person_looks_at_what_is_held()
            states = self.ledger.stories.conversion_counts()
            if not worked and not states.get("pending") and not states.get("sending"):
                return
        raise AssertionError("it never came to rest")


POLICY = RetryPolicy(max_expired_leases=1000, cap_seconds=60, margin_seconds=DEADLINE_SECONDS)
EXAMPLES = int(os.environ.get("OFFHOOK_STATEFUL_EXAMPLES", "12"))  # of each


def run(machine: type[Pipeline], resend: Resend, zone: str, examples: int) -> None:
    """Any number of days of an account that has set this."""
    of_account = type("OfAccount", (machine,), {"resend": resend, "zone": ZoneInfo(zone)})
    run_state_machine_as_test(
        of_account,
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.unit
@pytest.mark.parametrize(("resend", "zone"), SETTINGS)
def test_one_conversion_a_call_whatever_happens(resend: Resend, zone: str) -> None:
    run(Pipeline, resend, zone, EXAMPLES)


@pytest.mark.parametrize(("resend", "zone"), SETTINGS)
def test_one_conversion_a_call_whatever_happens_on_postgres(
    postgres: PostgresServer, resend: Resend, zone: str
) -> None:
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
        run(OnPostgres, resend, zone, max(3, EXAMPLES // 4))
    finally:
        migrating.close()
