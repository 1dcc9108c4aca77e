"""Any history of a few calls, on both databases and in memory: what is counted is what a full count finds, and whoever asks
why a call is in Rockerbox, or is not, is given what the ledger says.

Calls begin, end and hang from each other in any order, are called back, forwarded and repeated; callers become known, are looked
up and retired; rules change; what is sent is taken, refused, lost or late; a person sends it again or has it decided anew.
A tour of short histories makes each move of the tables of states, and comes to each verdict; the others are by lot.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from jsonschema import Draft202012Validator, FormatChecker

from offhook.adapters.commands.explain_schema import schema
from offhook.adapters.ledger.schema import metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.call import CallEvent
from offhook.pipeline.callback import CallKey, Direction
from offhook.pipeline.counting import Cell, RuleTally, call_of_tally, figures, kind_of, place_of
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Event, Outcome, Resend, Result, RetryPolicy, Sending, State
from offhook.pipeline.explanation import Explanation, anew_of, explain, rows_of_then
from offhook.pipeline.look_up import Found, Later, LookUpPolicy, number_to_ask
from offhook.pipeline.looking_up import ask, looked_up, take_in
from offhook.pipeline.masking import masking
from offhook.pipeline.plain import plain
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.steps import (
    AsOf,
    apply_rules,
    decide_anew,
    decide_batch,
    deliver,
    fold_batch,
    give_up_batch,
    leave_unfinished_batch,
    release_batch,
    review_parked_batch,
)
from offhook.pipeline.story import CallFilter, CountedCall, Story, Verdict
from offhook.settings import given
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, key, raw, read, sid
from tests.fakes.caller_source import MemorySource
from tests.fakes.ledger import MemoryLedger
from tests.fakes.steps import JUDGE
from tests.support.moves_seen import MovesSeen, every_move, picture_of
from tests.support.postgres import PostgresServer

EXAMPLES = int(os.environ.get("OFFHOOK_STATEFUL_EXAMPLES", "8"))
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
CALLS = 5
NUMBERS = st.integers(0, CALLS - 1)
FAR = timedelta(days=400)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAYS = st.sampled_from([0, 0, 0, 1])
OURS_TOO = "+14155550198"
STRANGER = "+14155550102"  # whom nobody ever knows
PEOPLE = (CALLER, OTHER, STRANGER)
CALLERS, CUSTOMERS = st.sampled_from(PEOPLE), st.sampled_from(PEOPLE[:2])
OUTCOMES = {
    "taken": Outcome(Result.DELIVERED, "delivered", 200),
    "refused": Outcome(Result.REFUSED, "http_400", 400),
    "busy": Outcome(Result.RETRY, "http_503", 503),
    "blocked": Outcome(Result.BLOCKED, "http_403", 403),
    "lost": Outcome(Result.MAYBE_SENT, "reset"),
    "released": Outcome(Result.RELEASED, "stopped"),
    "not counted": Outcome(Result.HELD, "key_lacks_email"),
}
ANN = (Found("ann@example.com", "1", {"tier": "gold"}),)
ANSWERS: dict[str, dict[str, tuple[Found, ...]]] = {
    "somebody": {CALLER: ANN, OTHER: (*ANN, Found(None, "2"))},  # the other number is that of two
    "nobody": {},
    "trouble": {},
}
LOOK_UPS = LookUpPolicy()

# Among others, what is said of the calls of the tour.
REASONS = {
    "being_looked_up",
    "called_back",
    "caller_not_in_mapping",
    "counts",
    "forwarded_by",
    "late",
    "repeat_of",
    "several_customers",
    "too_short",
    "unfinished",
    "unknown_too_long",
    "was_busy",
}

BLOCKS = f"""
repeat_within = "30m"
called_back_within = "4h"
[[numbers]]
number = "{OURS}"
label = "Spring"
[[numbers]]
number = "{OURS_TOO}"
label = "Autumn"
[[rule]]
name = "Busy"
when.statuses = ["busy"]
when.directions = ["inbound"]
skip = "was_busy"
[[rule]]
name = "Known by now"
when.first_call = false
when.only_listed_numbers = true
convert.action = "again"
[[rule]]
name = "Gold"
when.customer.tier = "gold"
convert.action = "gold_call"
convert.revenue = 12.50
"""
JUDGES = {
    "blocks": replace(JUDGE, rules=parse(BLOCKS)),
    "plain": JUDGE,
    "nothing counts": replace(JUDGE, rules=parse("min_duration_seconds = 3600"), as_of=AsOf.CALL),
}


@dataclass(frozen=True)
class Answering:
    """A destination of which every attempt comes to the same."""

    outcome: Outcome

    def send(self, payload: bytes) -> Outcome:
        return self.outcome


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
RULED = ("converted", "parked", "skipped")  # where rules have a call stand
VALIDATOR = Draft202012Validator(schema(), format_checker=FormatChecker())


class History(RuleBasedStateMachine):
    """What is kept by one ledger. `watched`: the moves of the tables that it makes are noted, which costs many reads."""

    policy: ClassVar[RetryPolicy] = RetryPolicy(
        max_expired_leases=2, cap_seconds=60, resend=Resend.SAME_DAY, horizon_seconds=36 * 3600
    )
    verdicts: ClassVar[Counter[str]] = Counter()
    reasons: ClassVar[Counter[str]] = Counter()
    watched = False

    def opened(self) -> WholeLedger:
        return MemoryLedger()

    @initialize(known=st.booleans())
    def start(self, known: bool = False) -> None:
        self.ledger = self.opened()
        self.now = NOON
        self.judge = JUDGES["blocks"]
        self.source: MemorySource | None = None
        self.late: list[Sending] = []
        self.parents: dict[int, int] = {}
        self.moves = MovesSeen(lambda: picture_of(self._stories()))
        self.ledger.keep_rules(self.judge.rules, self.now)
        if known:
            self.a_caller_becomes_known(CALLER)

    @property
    def later(self) -> datetime:
        """When every call of the day is over."""
        return self.now + 3 * HOUR

    @contextmanager
    def _watch(self, watched: Callable[[MovesSeen], AbstractContextManager[None]]) -> Iterator[None]:
        """Whenever a move is made for the first time, somebody asks why, while the call stands there."""
        if not self.watched:
            yield
            return
        with watched(self.moves):
            yield
        for call in self.moves.fresh:
            self._asks_why(call.call_sid)
        self.moves.fresh.clear()

    # What Twilio says

    @rule(
        number=NUMBERS,
        status=st.sampled_from(["ringing", "in-progress", "completed", "completed", "busy"]),
        parent=st.one_of(st.none(), st.none(), NUMBERS),
        caller=CALLERS,
        hours=st.integers(-2, 2),
        to=st.sampled_from([OURS, OURS, OURS_TOO]),
    )
    def a_callback_comes(
        self,
        number: int,
        status: str = "completed",
        parent: int | None = None,
        caller: str = CALLER,
        hours: int = 0,
        to: str = OURS,
    ) -> None:
        """A leg may be reported without its parent at first, and never under two: Twilio moves none."""
        hangs_from = None if parent in (None, number) else self.parents.setdefault(number, parent)
        at = NOON + hours * HOUR
        self.ledger.append([raw(number, status, parent=hangs_from, caller=caller, at=at, to=to)])

    @rule(number=NUMBERS, status=st.sampled_from(["completed", "busy"]), whom=CALLERS, hours=st.integers(-2, 2))
    def we_call(self, number: int, status: str = "completed", whom: str = CALLER, hours: int = 0) -> None:
        at, outbound = NOON + hours * HOUR, Direction.OUTBOUND_API
        self.ledger.append([raw(number, status, caller=OURS, to=whom, direction=outbound, at=at)])

    @rule(limit=st.integers(1, 10))
    def callbacks_are_folded(self, limit: int = 10) -> None:
        with self._watch(MovesSeen.folded):
            fold_batch(self.ledger, self.judge, limit)

    # What is decided

    @rule(number=NUMBERS, status=st.sampled_from(["completed", "busy"]), caller=CALLERS)
    def a_call_comes_and_is_decided(self, number: int, status: str = "completed", caller: str = CALLER) -> None:
        self.a_callback_comes(number, status, None, caller)
        self.callbacks_are_folded()
        self.calls_are_decided()
        self.somebody_asks_why(number)

    @rule(number=NUMBERS)
    def a_stranger_calls(self, number: int) -> None:
        self.a_call_comes_and_is_decided(number, "completed", STRANGER)

    @rule(limit=st.integers(1, 10))
    def calls_are_decided(self, limit: int = 10) -> None:
        self.now += SECOND
        looking_up = LOOK_UPS if self.source else None
        with self._watch(lambda moves: moves.decided(CallEvent.DECIDE)):
            decide_batch(self.ledger, self.judge, self.later, limit, look_ups=looking_up)

    @rule(which=st.sampled_from(list(JUDGES)), is_applied=st.booleans())
    def the_rules_change(self, which: str, is_applied: bool = True) -> None:
        """A person has calls decided by them before any worker, or a worker begins to."""
        self.judge = JUDGES[which]
        if not is_applied:
            self.ledger.keep_rules(self.judge.rules, self.now)
        else:
            self.now += SECOND
            keys = [key for key, story in self._stories().items() if story.call.state in ("skipped", "parked")]
            with self._watch(lambda moves: moves.decided(CallEvent.DECIDE_ANEW)):
                apply_rules(self.ledger, self.judge, keys, self.later)

    @rule()
    def open_calls_are_left(self) -> None:
        with self._watch(lambda moves: moves.decided(CallEvent.LEAVE)):
            leave_unfinished_batch(self.ledger, self.judge, self.now + 30 * HOUR, 3600.0, 10)

    @rule()
    def parked_calls_are_looked_at(self) -> None:
        self.now += SECOND
        with self._watch(lambda moves: moves.decided(CallEvent.DECIDE)):
            review_parked_batch(self.ledger, self.judge, self.later, 10)

    @rule()
    def parked_calls_wait_too_long(self) -> None:
        self.now += SECOND
        with self._watch(lambda moves: moves.decided(CallEvent.DECIDE)):
            give_up_batch(self.ledger, self.judge, self.later + DAY, 3600.0, 10)

    @rule(first=NUMBERS, second=NUMBERS)
    def a_missed_call_is_called_back(self, first: int, second: int) -> None:
        """In one step: the way there is long."""
        self.a_caller_becomes_known(CALLER)
        self.a_call_comes_and_is_decided(first, "busy", CALLER)
        self.we_call(second, hours=1)
        self.callbacks_are_folded()
        self.calls_are_decided()

    # Who called

    @rule(phone=CUSTOMERS, people=st.integers(1, 2), tier=st.sampled_from(["", "gold"]))
    def a_caller_becomes_known(self, phone: str = CALLER, people: int = 1, tier: str = "") -> None:
        email = "ann@example.com" if people == 1 else None
        attributes = {"tier": tier} if tier else {}
        self.ledger.merge_customers([Customer(phone, email, None, people, attributes)])

    @rule(phone=CUSTOMERS)
    def a_caller_is_retired(self, phone: str = CALLER) -> None:
        self.ledger.retire_customers([phone], Brought(Source.API, "crm"))

    @rule(finds=st.sampled_from(["nothing", "somebody", "nobody", "trouble"]))
    def callers_are_looked_up_from_now_on(self, finds: str) -> None:
        """Or no more: what waits for a look-up is due then."""
        self.source = None if finds == "nothing" else MemorySource(ANSWERS[finds])
        if self.source is None:
            release_batch(self.ledger, self.judge, self.later, 10, every=True)
        elif finds == "trouble":
            self.source.trouble = Later("timeout")

    @rule(minutes=st.sampled_from([0, 0, 10, 24 * 60]))
    def callers_are_looked_up(self, minutes: int = 0) -> None:
        """What LookingUp does (pipeline/looking_up.py), without its threads."""
        self.now += minutes * MINUTE
        if self.source is None:
            return
        wanted = self.ledger.claim_look_ups(self.later, 10, LOOK_UPS.lease_seconds)
        found = [(one, ask([self.source], one.phone)) for one in wanted]
        fresh = self.ledger.fresh_numbers([one.phone for one in wanted], self.later)
        take_in(self.ledger, [asked for _, asked in found], fresh, self.later, LOOK_UPS)
        self.ledger.finish_look_ups([looked_up(one, asked, self.later, LOOK_UPS) for one, asked in found])
        release_batch(self.ledger, self.judge, self.later, 10)

    # What is sent

    @rule(comes_to=st.sampled_from(list(OUTCOMES)), limit=st.integers(1, 3), leaves=DAYS, answered=DAYS)
    def a_worker_sends(self, comes_to: str = "taken", limit: int = 3, leaves: int = 0, answered: int = 0) -> None:
        """What it claims leaves so many days after that, and is answered so many days later."""
        self.now += 2 * MINUTE
        with self._watch(lambda moves: moves.sent(Event.CLAIM)):
            taken = self.ledger.claim(self.later, limit, 60, self.policy).taken
        self.now += leaves * DAY
        for sending in taken:
            self._send(sending, comes_to, answered)

    @rule(limit=st.integers(1, 3))
    def a_worker_is_not_heard_of_again(self, limit: int = 3) -> None:
        """For a while: its answers may come yet."""
        self.now += 2 * MINUTE
        with self._watch(lambda moves: moves.sent(Event.CLAIM)):
            self.late += self.ledger.claim(self.later, limit, 60, self.policy).taken

    @rule(comes_to=st.sampled_from(["taken", "taken", *OUTCOMES]), limit=st.integers(1, 3))
    def late_answers_come(self, comes_to: str = "taken", limit: int = 1) -> None:
        late, self.late = self.late[:limit], self.late[limit:]
        for sending in late:
            self._send(sending, comes_to, 0)

    def _send(self, sending: Sending, comes_to: str, answered: int) -> None:
        times = iter([self.later, self.later + answered * DAY])
        made = deliver(sending, Answering(OUTCOMES[comes_to]), self.policy, lambda: next(times))
        with self._watch(lambda moves: moves.sent(made.outcome.result)):
            self.ledger.finish([made], made.finished_at)

    @rule()
    def leases_end(self) -> None:
        self.now += 2 * MINUTE
        with self._watch(lambda moves: moves.sent(Result.LEASE_EXPIRED)):
            self.ledger.expire_leases(self.later, self.policy)

    @rule(days=st.integers(1, 2))
    def days_go_by(self, days: int = 1) -> None:
        self.now += days * DAY

    @rule(number=NUMBERS)
    def a_person_sends_again(self, number: int) -> None:
        with self._watch(lambda moves: moves.sent(Event.RETRY)):
            self.ledger.retry([key(number)], self.now)

    @rule(number=NUMBERS)
    def a_person_has_it_decided_anew(self, number: int) -> None:
        rebuilding = self.ledger.rebuilding
        for story in self.ledger.stories.of_call(sid(number)):
            if story.conversion is None or not rebuilding.may_be_rebuilt([story.conversion]):
                continue
            decided = decide_anew(rebuilding.known_calls(), [story.conversion.key], self.judge, self.now)
            found = [one for one in decided if one.payload is not None]
            with self._watch(lambda moves: moves.sent(Event.REBUILD)):
                rebuilding.rebuild(found, {one.call.key: story.conversion.fence for one in found}, self.now)

    @rule(number=NUMBERS, again=st.sampled_from(["sends again", "has it decided anew", "waits a day"]))
    def a_call_comes_and_needs_a_person(self, number: int, again: str) -> None:
        """In one step: the way there is long."""
        self.a_caller_becomes_known(CALLER)
        self.a_call_comes_and_is_decided(number, "completed", CALLER)
        self.a_worker_sends("lost" if again == "waits a day" else "refused")
        if again == "sends again":
            self.a_person_sends_again(number)
        elif again == "has it decided anew":
            self.a_person_has_it_decided_anew(number)
        else:
            self.days_go_by()
            self.a_worker_sends("taken", 1)

    @rule(number=NUMBERS, parent=NUMBERS)
    def a_converted_call_turns_out_to_be_a_leg(self, number: int, parent: int) -> None:
        self.a_caller_becomes_known(CALLER)
        self.a_call_comes_and_is_decided(number, "completed", CALLER)
        self.a_callback_comes(number, "ringing", parent)
        self.a_callback_comes(parent, "completed")
        self.callbacks_are_folded()
        self.a_worker_sends("taken", 1)

    # What people read of it

    @rule(number=NUMBERS)
    def somebody_asks_why(self, number: int) -> None:
        self._asks_why(sid(number))

    def _asks_why(self, call_sid: str) -> None:
        """And is given what the ledger says, by the calls as they are counted and by the outbox, with nobody named."""
        for story in self.ledger.stories.of_call(call_sid):
            anew = anew_of(self.ledger.rebuilding.known_calls(), story.call.key, self.judge, self.now)
            asked = number_to_ask(story.call.customer_phone)
            look_up = self.ledger.look_up_of(asked) if asked else None
            rows = rows_of_then(self.ledger.history, story)
            found = explain(story, read, anew, masking([*PEOPLE, OURS, OURS_TOO]), rows, look_up)
            counted = self._by_the_ledger(story)
            assert (found.verdict, _counted_for(found)) == (counted.outcome, counted.reason)
            assert found.sentence and found.remedy
            assert found.today.same is None or found.today.same == (not found.today.differences)
            if found.verdict is Verdict.DELIVERED:
                assert "delivered" in [one.result for one in found.attempts]
            assert all(one.rule is not None for one in found.decisions if one.result == "converted")
            assert all(self.ledger.kept_rules(one.rules_version) is not None for one in found.decisions)
            self.verdicts[found.verdict] += 1
            self.reasons.update({kind_of(why.reason) for one in found.decisions for why in one.reasons})
            self.reasons["being_looked_up"] += look_up is not None and found.verdict is Verdict.NOT_FINISHED
            shown = json.dumps(plain(found))
            VALIDATOR.validate(json.loads(shown))
            assert not [person for person in (*PEOPLE, "ann@") if person in shown]

    def _by_the_ledger(self, story: Story) -> CountedCall:
        page = self.ledger.stories.calls(CallFilter(), None, 100).calls
        [counted] = [each for each in page if story.call.key == each.call.key]
        assert counted in self.ledger.stories.calls(CallFilter(outcome=counted.outcome), None, 100).calls
        if story.conversion is not None:
            stands = [one for one in State if story.conversion in self.ledger.stories.conversions([one], 100)]
            assert [VERDICTS[one] for one in stands] == [counted.outcome]
        else:
            assert VERDICTS.get(story.call.state, "not_finished") == counted.outcome
        return counted

    @invariant()
    def the_sums_are_those_of_a_full_count(self) -> None:
        if not hasattr(self, "ledger"):
            return
        kept, stories = self.ledger.tallies.between(NOON - FAR, NOON + FAR), self._stories()
        assert {Cell(one.hour, one.number, one.outcome, one.reason): one.calls for one in kept} == full_count(stories)
        today = figures(kept)
        assert today.calls == len(stories)
        assert today.calls == today.converted + today.waiting + today.skipped + today.open
        assert today.calls == sum(today.by_reason.values()) == sum(today.by_outcome.values())
        assert today.calls == sum(sum(kinds.values()) for kinds in today.by_number.values())
        by_rule, by_place = Counter(sums_by_rule(stories)), Counter[tuple[str, str]]()
        for one in kept:
            by_place[one.outcome, one.reason] += one.calls
        for reach in (FAR, 3 * HOUR):  # whole days with hours around them, and hours alone
            found = self.ledger.tallies.by_rule(NOON - reach, NOON + reach)
            assert Counter(found.rules) == by_rule
            assert {(one.outcome, one.reason): one.calls for one in found.places} == by_place

    def teardown(self) -> None:
        """Whoever counts anew finds nothing to change."""
        if hasattr(self, "ledger"):
            done = self.ledger.tallies.count_anew()
            assert (done.moved, done.hours) == (0, 0)
            self.the_sums_are_those_of_a_full_count()
            for number in range(CALLS):
                self.somebody_asks_why(number)
            self.ledger.close()

    def _stories(self) -> dict[CallKey, Story]:
        found = (story for number in range(CALLS) for story in self.ledger.stories.of_call(sid(number)))
        return {story.call.key: story for story in found}


def full_count(stories: Mapping[CallKey, Story]) -> Counter[Cell]:
    return Counter(place.cell for place in map(place_of, map(call_of_tally, stories.values())) if place)


def sums_by_rule(stories: Mapping[CallKey, Story]) -> list[RuleTally]:
    """By the newest decision of each call that has it stand as it does."""
    found = Counter[tuple[str | None, str, str]]()
    for story in stories.values():
        state = "converted" if story.conversion else story.call.state
        made = [one for one in story.decisions if one.result == state and state in RULED]
        if made:
            reason = kind_of(made[-1].reasons[0].word) if state != "converted" else ""
            found[made[-1].rule, state, reason] += 1
    return [RuleTally(*place, calls) for place, calls in found.items()]


def _counted_for(found: Explanation) -> str:
    """For which reason a call is counted, by what is said of it."""
    if found.conversion is not None:
        return found.conversion.reason
    if found.call.state == "settling" or not found.decisions:
        return found.call.state if found.call.state == "settling" else "not_ended"
    return kind_of(found.decisions[-1].reasons[0].reason)


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


class Tour:
    """Short histories, which together make each move that the tables have, and come to each verdict."""

    def __init__(self, a: History) -> None:
        self.a = a
        self.a.watched = True
        self.a.start(known=True)

    def go(self) -> None:
        for part in (
            self.decided,
            self.given_up,
            self.decided_anew,
            self.open_for_long,
            self.in_a_circle,
            self.goes_on_when_it_was_decided,
            self.becomes_a_leg,
            self.has_a_leg_that_was_converted,
            self.answered,
            self.answered_too_late,
            self.asked_for_by_a_person,
            self.heard_of_late,
            self.of_a_pair,
            self.looked_up,
        ):
            part()
            self.anew()

    def decided(self) -> None:
        a = self.a
        a.a_call_comes_and_is_decided(0)
        a.a_call_comes_and_is_decided(1, "busy")
        a.a_call_comes_and_is_decided(2, caller=OTHER)
        a.a_call_comes_and_is_decided(3, caller=OTHER)
        a.a_caller_becomes_known(OTHER, people=2)
        a.parked_calls_are_looked_at()
        a.a_caller_becomes_known(OTHER)
        a.parked_calls_are_looked_at()

    def given_up(self) -> None:
        self.a.a_call_comes_and_is_decided(0, caller=OTHER)
        self.a.parked_calls_wait_too_long()

    def decided_anew(self) -> None:
        a = self.a
        for number, caller in enumerate([OTHER, CALLER, OTHER]):
            a.a_call_comes_and_is_decided(number, "completed", caller)
            for rules in ("plain", "nothing counts", "nothing counts", "plain"):
                a.the_rules_change(rules)
            a.the_rules_change("nothing counts", is_applied=False)
        a.a_caller_becomes_known(OTHER)
        a.the_rules_change("plain")

    def open_for_long(self) -> None:
        a = self.a
        a.a_callback_comes(0, "ringing")
        a.callbacks_are_folded()
        a.open_calls_are_left()
        for status in ("in-progress", "completed", "initiated"):
            a.a_callback_comes(0, status, hours=1)
            a.callbacks_are_folded()

    def in_a_circle(self) -> None:
        a = self.a
        a.a_callback_comes(0)
        a.callbacks_are_folded()
        a.a_callback_comes(1, "ringing", parent=0)
        a.a_callback_comes(0, "ringing", parent=1)
        a.callbacks_are_folded()

    def goes_on_when_it_was_decided(self) -> None:
        for status, caller in (("completed", CALLER), ("busy", CALLER), ("completed", OTHER)):
            self.anew()
            self.a.a_call_comes_and_is_decided(0, status, caller)
            self.a.a_callback_comes(0, "in-progress", caller=caller)
            self.a.callbacks_are_folded()

    def becomes_a_leg(self) -> None:
        for status, caller, is_decided in (
            ("ringing", CALLER, False),
            ("completed", CALLER, False),
            ("completed", CALLER, True),
            ("busy", CALLER, True),
            ("completed", OTHER, True),
        ):
            self.anew()
            self.a.a_callback_comes(0, status, caller=caller)
            self.a.callbacks_are_folded()
            if is_decided:
                self.a.calls_are_decided()
            self.a.a_callback_comes(0, "in-progress", parent=1)
            self.a.callbacks_are_folded()

    def has_a_leg_that_was_converted(self) -> None:
        for status, caller, is_decided in (
            ("ringing", CALLER, False),
            ("completed", CALLER, False),
            ("completed", OTHER, True),
        ):
            self.anew()
            self.a.a_call_comes_and_is_decided(1)
            self.a.a_callback_comes(0, status, caller=caller)
            self.a.callbacks_are_folded()
            if is_decided:
                self.a.calls_are_decided()
            self.a.a_callback_comes(1, "ringing", parent=0)
            self.a.callbacks_are_folded()

    def answered(self) -> None:
        for comes_to in OUTCOMES:
            self.converted()
            self.a.a_worker_sends(comes_to)

    def answered_too_late(self) -> None:
        """Beyond the horizon, on another day, or too often by nobody."""
        for comes_to in ("busy", "blocked", "lost"):
            self.converted()
            self.a.days_go_by(2)
            self.a.a_worker_sends(comes_to)
        self.converted()
        self.a.a_worker_sends("lost", answered=1)
        self.converted()
        self.a.days_go_by(2)
        self.lost()
        for days in (0, 1):
            self.converted()
            self.a.a_worker_sends("lost")
            self.a.days_go_by(days)
            self.a.a_worker_sends("taken", leaves=1 - days)
        self.converted()
        self.a.a_worker_is_not_heard_of_again()
        self.a.days_go_by()
        self.a.leases_end()

    def asked_for_by_a_person(self) -> None:
        for way in (("refused",), ("not counted",), ()):
            self.converted()
            for comes_to in way:
                self.a.a_worker_sends(comes_to)
            if not way:
                self.lost(times=2)
            self.a.a_person_sends_again(0)
        for comes_to in ("refused", "not counted"):
            self.converted()
            self.a.a_worker_sends(comes_to)
            self.a.a_person_has_it_decided_anew(0)

    def heard_of_late(self) -> None:
        for comes_to in (None, "refused", "not counted"):
            self.converted()
            self.lost()
            if comes_to:
                self.a.a_worker_sends(comes_to)
            self.a.late_answers_come()
        self.converted()
        self.lost(times=2)
        self.a.late_answers_come()
        self.converted()
        self.lost()
        self.a.a_worker_is_not_heard_of_again()
        self.a.late_answers_come("taken")
        self.a.late_answers_come("lost")

    def of_a_pair(self) -> None:
        """Called back, forwarded and called again."""
        self.a.a_missed_call_is_called_back(0, 1)
        self.a.a_callback_comes(2, to=OURS_TOO, hours=1)
        self.a.a_callback_comes(3, hours=1)
        self.a.callbacks_are_folded()
        self.a.calls_are_decided()

    def looked_up(self) -> None:
        self.anew(known=False)
        for finds in ("trouble", "nobody", "somebody", "nothing"):
            self.a.callers_are_looked_up_from_now_on(finds)
            for number, caller in enumerate(PEOPLE):
                self.a.a_call_comes_and_is_decided(number, "completed", caller)
            self.a.callers_are_looked_up(10)
            self.a.somebody_asks_why(0)
            self.a.calls_are_decided()
            self.a.days_go_by()
            self.a.callers_are_looked_up()
            self.a.calls_are_decided()
            self.a.parked_calls_are_looked_at()

    def converted(self) -> None:
        self.anew()
        self.a.a_call_comes_and_is_decided(0)

    def lost(self, times: int = 1) -> None:
        for _ in range(times):
            self.a.a_worker_is_not_heard_of_again()
            self.a.leases_end()

    def anew(self, known: bool = True) -> None:
        """Another ledger; the moves are those of all."""
        made = self.a.moves.made
        self.a.teardown()
        self.a.start(known)
        self.a.moves.made |= made


def tour(a: History) -> None:
    """Nothing of what is watched is there but by what this history did."""
    a.verdicts.clear()
    a.reasons.clear()
    Tour(a).go()
    made = a.moves.made
    a.teardown()
    assert made == every_move()
    assert set(a.verdicts) == set(Verdict)
    assert set(+a.reasons) >= REASONS


def run(machine: type[History], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.unit
@pytest.mark.parametrize("machine", [History, OnSqlite])
def test_each_move_and_each_verdict_is_explained_as_the_ledger_has_it(machine: type[History]) -> None:
    tour(machine())


@pytest.mark.unit
@pytest.mark.parametrize(("machine", "times"), [(History, 3), (OnSqlite, 1)])
def test_whatever_happens_is_counted(machine: type[History], times: int) -> None:
    run(machine, times * EXAMPLES)


@pytest.mark.unit
def test_by_lot_every_verdict_comes_up() -> None:
    """Of one lot after another, always the same ones, until all have come up: what a lot makes of it hangs on each rule above."""
    History.verdicts.clear()
    for lot in range(20):
        run(seed(lot)(type(f"Lot{lot}", (History,), {})), EXAMPLES)
        if set(History.verdicts) == set(Verdict):
            return
    pytest.fail(f"never came up: {set(Verdict) - set(History.verdicts)}")


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    url = given({"DATABASE_URL": postgres.fresh_database()}).database_url
    ledger = SqlLedger(url)
    ledger.migrations.upgrade()
    ledger.close()
    yield url


@pytest.fixture
def on_postgres(postgres_url: str) -> type[History]:
    class OnPostgres(History):
        def opened(self) -> WholeLedger:
            ledger = SqlLedger(postgres_url)
            names = ", ".join(table.name for table in metadata.sorted_tables)
            with ledger.database.write() as connection:
                connection.exec_driver_sql(f"TRUNCATE {names}")
            return ledger

    return OnPostgres


@pytest.mark.soak  # twenty thousand statements; that each port answers alike on Postgres is the contracts' to show
def test_each_move_and_each_verdict_is_explained_as_postgres_has_it(on_postgres: type[History]) -> None:
    tour(on_postgres())


def test_whatever_happens_is_counted_on_postgres(on_postgres: type[History]) -> None:
    run(on_postgres, max(3, EXAMPLES // 4))
