"""Any history of a few calls, on both databases and in memory: what is counted is what a full count finds.

Calls begin, end and hang from each other in any order; callers become known; what is sent is taken, refused, lost or late;
a person sends it again or has it decided anew; and after each step everything that people read agrees with the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from jsonschema import Draft202012Validator, FormatChecker

from offhook.adapters.commands.explain_schema import schema
from offhook.adapters.ledger.schema import metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.counting import Cell, Told, figures, place_of
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Resend, Result, RetryPolicy, State
from offhook.pipeline.explanation import anew_of, explain
from offhook.pipeline.masking import masking
from offhook.pipeline.plain import plain
from offhook.pipeline.ports.outbox import Attempt
from offhook.pipeline.steps import (
    attempt,
    decide_anew,
    decide_batch,
    fold_batch,
    leave_unfinished_batch,
    review_parked_batch,
)
from offhook.pipeline.story import CallFilter, Story, Verdict
from offhook.settings import given
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, key, raw, read, sid
from tests.fakes.ledger import MemoryLedger
from tests.fakes.steps import JUDGE
from tests.support.postgres import PostgresServer

EXAMPLES = int(os.environ.get("OFFHOOK_STATEFUL_EXAMPLES", "12"))
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
CALLS = 5
NUMBERS = st.integers(0, CALLS - 1)
FAR = timedelta(days=400)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
OUTCOMES = {
    "taken": Outcome(Result.DELIVERED, "delivered", 200),
    "refused": Outcome(Result.REFUSED, "http_400", 400),
    "busy": Outcome(Result.RETRY, "http_503", 503),
    "lost": Outcome(Result.MAYBE_SENT, "reset"),
    "released": Outcome(Result.RELEASED, "stopped"),
    "late": Outcome(Result.DELIVERED, "delivered", 200),
}


VERDICTS: dict[str, str] = {
    "pending": "on_its_way",
    "sending": "on_its_way",
    "delivered": "delivered",
    "dead": "refused",
    "ambiguous": "held",
    "quarantined": "held",
    "parked": "unknown_caller",
    "skipped": "does_not_count",
}
VALIDATOR = Draft202012Validator(schema(), format_checker=FormatChecker())


class History(RuleBasedStateMachine):
    """What is kept by one ledger."""

    policy: ClassVar[RetryPolicy] = RetryPolicy(max_expired_leases=2, cap_seconds=60, resend=Resend.SAME_DAY)

    def opened(self) -> WholeLedger:
        return MemoryLedger()

    @initialize(known=st.booleans())
    def start(self, known: bool) -> None:
        self.ledger = self.opened()
        self.now = NOON
        self.late: list[Attempt] = []
        self.parents: dict[int, int] = {}
        if known:
            self.a_caller_becomes_known(CALLER, 1)

    @rule(
        number=NUMBERS,
        status=st.sampled_from(["ringing", "completed", "completed", "busy"]),
        parent=st.one_of(st.none(), st.none(), NUMBERS),
        caller=st.sampled_from([CALLER, OTHER]),
        hours=st.integers(-2, 2),
    )
    def a_callback_comes(self, number: int, status: str, parent: int | None, caller: str, hours: int) -> None:
        """A leg may be reported without its parent at first, and never under two: Twilio moves none."""
        hangs_from = None if parent in (None, number) else self.parents.setdefault(number, parent)
        self.ledger.append([raw(number, status, parent=hangs_from, caller=caller, at=NOON + hours * HOUR)])

    @rule(limit=st.integers(1, 10))
    def callbacks_are_folded(self, limit: int) -> None:
        fold_batch(self.ledger, JUDGE, limit)

    @rule(number=NUMBERS, status=st.sampled_from(["completed", "busy"]), caller=st.sampled_from([CALLER, OTHER]))
    def a_call_comes_and_is_decided(self, number: int, status: str, caller: str) -> None:
        self.a_callback_comes(number, status, None, caller, 0)
        self.callbacks_are_folded(10)
        self.calls_are_decided(10)

    @rule(limit=st.integers(1, 10))
    def calls_are_decided(self, limit: int) -> None:
        self.now += SECOND
        decide_batch(self.ledger, JUDGE, self.now + 3 * HOUR, limit)

    @rule(phone=st.sampled_from([CALLER, OTHER]), people=st.integers(1, 2))
    def a_caller_becomes_known(self, phone: str, people: int) -> None:
        email = "ann@example.com" if people == 1 else None
        self.ledger.merge_customers([Customer(phone, email, None, people)])

    @rule()
    def parked_calls_are_looked_at(self) -> None:
        self.now += SECOND
        review_parked_batch(self.ledger, JUDGE, self.now, 10)

    @rule()
    def open_calls_are_left(self) -> None:
        leave_unfinished_batch(self.ledger, JUDGE, self.now + 30 * HOUR, 3600.0, 10)

    @rule(comes_to=st.sampled_from(list(OUTCOMES)), limit=st.integers(1, 3))
    def a_worker_sends(self, comes_to: str, limit: int) -> None:
        self.now += timedelta(minutes=2)
        at = self.now + 3 * HOUR
        done: list[Attempt] = []
        for sending in self.ledger.claim(at, limit, 60, self.policy).taken:
            made = attempt(sending, OUTCOMES[comes_to], at, at, self.policy)
            (self.late if comes_to == "late" else done).append(made)
        self.ledger.finish(done, at)

    @rule()
    def leases_end(self) -> None:
        self.now += timedelta(minutes=2)
        self.ledger.expire_leases(self.now + 3 * HOUR, self.policy)

    @rule()
    def late_answers_come(self) -> None:
        late, self.late = self.late, []
        self.ledger.finish(late, self.now + 3 * HOUR)

    @rule(number=NUMBERS, again=st.sampled_from(["sends again", "has it decided anew", "waits a day"]))
    def a_call_comes_and_needs_a_person(self, number: int, again: str) -> None:
        """In one step: the way there is long."""
        self.a_caller_becomes_known(CALLER, 1)
        self.a_call_comes_and_is_decided(number, "completed", CALLER)
        self.a_worker_sends("lost" if again == "waits a day" else "refused", 3)
        if again == "sends again":
            self.a_person_sends_again(number)
        elif again == "has it decided anew":
            self.a_person_has_it_decided_anew(number)
        else:
            self.a_day_goes_by()
            self.a_worker_sends("taken", 1)

    @rule(number=NUMBERS, parent=NUMBERS)
    def a_converted_call_turns_out_to_be_a_leg(self, number: int, parent: int) -> None:
        self.a_caller_becomes_known(CALLER, 1)
        self.a_call_comes_and_is_decided(number, "completed", CALLER)
        self.a_callback_comes(number, "ringing", parent, CALLER, 0)
        self.a_callback_comes(parent, "completed", None, CALLER, 0)
        self.callbacks_are_folded(10)
        self.a_worker_sends("taken", 1)

    @rule()
    def a_day_goes_by(self) -> None:
        self.now += timedelta(days=1)

    @rule(number=NUMBERS)
    def a_person_sends_again(self, number: int) -> None:
        self.ledger.retry([key(number)], self.now)

    @rule(number=NUMBERS)
    def a_person_has_it_decided_anew(self, number: int) -> None:
        rebuilding = self.ledger.rebuilding
        for story in self.ledger.stories.of_call(sid(number)):
            if story.conversion is None or not rebuilding.may_be_rebuilt([story.conversion]):
                continue
            decided = decide_anew(rebuilding.known_calls(), [story.conversion.key], JUDGE, self.now)
            found = [one for one in decided if one.payload is not None]
            rebuilding.rebuild(found, {one.call.key: story.conversion.fence for one in found}, self.now)

    @rule(number=NUMBERS)
    def somebody_asks_why(self, number: int) -> None:
        """And is given what the ledger says, by the calls as they are counted and by the outbox, with nobody named."""
        for story in self.ledger.stories.of_call(sid(number)):
            anew = anew_of(self.ledger.rebuilding.known_calls(), story.call.key, JUDGE, self.now)
            found = explain(story, read, anew, masking([CALLER, OTHER, OURS]))
            assert found.verdict == self._by_the_ledger(story)
            assert found.sentence and found.remedy
            assert found.today.same is None or found.today.same == (not found.today.differences)
            if found.verdict is Verdict.DELIVERED:
                assert "delivered" in [one.result for one in found.attempts]
            shown = json.dumps(plain(found))
            VALIDATOR.validate(json.loads(shown))
            assert not [person for person in (CALLER, OTHER, "ann@") if person in shown]

    def _by_the_ledger(self, story: Story) -> str:
        pages = {one: self.ledger.stories.calls(CallFilter(outcome=one), None, 100).calls for one in Verdict}
        [counted] = [one for one in Verdict if story.call.key in [each.call.key for each in pages[one]]]
        if story.conversion is not None:
            stands = [one for one in State if story.conversion in self.ledger.stories.conversions([one], 100)]
            assert [VERDICTS[one] for one in stands] == [counted]
        else:
            assert VERDICTS.get(story.call.state, "not_finished") == counted
        return counted

    @invariant()
    def the_sums_are_those_of_a_full_count(self) -> None:
        if not hasattr(self, "ledger"):
            return
        kept = self.ledger.tallies.between(NOON - FAR, NOON + FAR)
        assert {Cell(one.hour, one.number, one.outcome, one.reason): one.calls for one in kept} == self._full_count()
        today = figures(kept)
        assert today.calls == len(self._stories())
        assert today.calls == today.converted + today.waiting + today.skipped + today.open
        assert today.calls == sum(today.by_reason.values()) == sum(today.by_outcome.values())
        assert today.calls == sum(sum(kinds.values()) for kinds in today.by_number.values())

    def teardown(self) -> None:
        """Whoever counts anew finds nothing to change."""
        if hasattr(self, "ledger"):
            done = self.ledger.tallies.count_anew()
            assert (done.moved, done.hours) == (0, 0)
            self.the_sums_are_those_of_a_full_count()
            for number in range(CALLS):
                self.somebody_asks_why(number)
            self.ledger.close()

    def _stories(self) -> dict[object, Story]:
        found = (story for number in range(CALLS) for story in self.ledger.stories.of_call(sid(number)))
        return {story.call.key: story for story in found}

    def _full_count(self) -> Counter[Cell]:
        return Counter(place.cell for place in map(place_of, map(told, self._stories().values())) if place)


def told(story: Story) -> Told:
    """What is known of a call, read as people read it."""
    call, sent = story.call, story.conversion
    return Told(
        state="open" if call.state == "unfinished" else call.state,
        first_received_at=call.first_received_at,
        direction=call.direction,
        from_=call.from_,
        to=call.to,
        is_decided=call.decided_at is not None,
        words=[reason.word for reason in story.decisions[-1].reasons] if story.decisions else (),
        delivery=sent.state if sent else None,
        why=sent.reason if sent else None,
    )


@cache
def _migrated() -> Path:
    path = Path(tempfile.mkdtemp(dir=IN_MEMORY)) / "ledger.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.migrations.upgrade()
    ledger.close()
    return path


class OnSqlite(History):
    def opened(self) -> WholeLedger:
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        shutil.copy(_migrated(), f"{self.folder.name}/ledger.db")
        return SqlLedger(f"sqlite:///{self.folder.name}/ledger.db")

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


def run(machine: type[History], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.unit
@pytest.mark.parametrize(("machine", "times"), [(History, 3), (OnSqlite, 1)])
def test_whatever_happens_is_counted(machine: type[History], times: int) -> None:
    run(machine, times * EXAMPLES)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    url = given({"DATABASE_URL": postgres.fresh_database()}).database_url
    ledger = SqlLedger(url)
    ledger.migrations.upgrade()
    ledger.close()
    yield url


def test_whatever_happens_is_counted_on_postgres(postgres_url: str) -> None:
    class OnPostgres(History):
        def opened(self) -> WholeLedger:
            ledger = SqlLedger(postgres_url)
            names = ", ".join(table.name for table in metadata.sorted_tables)
            with ledger.database.write() as connection:
                connection.exec_driver_sql(f"TRUNCATE {names}")
            return ledger

    run(OnPostgres, max(3, EXAMPLES // 4))
