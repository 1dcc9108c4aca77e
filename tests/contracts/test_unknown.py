"""What `UnknownCallers` promises: whose calls wait, how many, and since when."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import UNNAMED
from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller
from offhook.pipeline.steps import give_up_batch, review_parked_batch
from offhook.pipeline.story import CallFilter
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, raw

THIRD = "+14155550177"
HOUR = 60 * MINUTE


def keep_calls(ledger: WholeLedger) -> None:
    """Two of OTHER, two of THIRD, which called last, and one of the caller whom we know."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(1), raw(2, caller=OTHER), raw(3, caller=OTHER, at=NOON + MINUTE)])
    ledger.append([raw(4, caller=THIRD, at=NOON + 2 * MINUTE), raw(5, caller=THIRD, at=NOON + 3 * MINUTE)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + HOUR) == 5


OF_OTHER = UnknownCaller(OTHER, 2, NOON, NOON + MINUTE)
OF_THIRD = UnknownCaller(THIRD, 2, NOON + 2 * MINUTE, NOON + 3 * MINUTE)


def test_whoever_is_not_known_is_listed_with_the_calls_that_wait(ledger: WholeLedger) -> None:
    assert list(ledger.unknown.callers("", 10)) == []
    keep_calls(ledger)
    every = sorted([OF_OTHER, OF_THIRD], key=lambda one: one.phone)
    assert list(ledger.unknown.callers("", 10)) == every
    assert list(ledger.unknown.callers("", 1)) == every[:1]
    assert list(ledger.unknown.callers(every[0].phone, 1)) == every[1:]


def test_whether_more_are_unknown_than_so_many(ledger: WholeLedger) -> None:
    assert not ledger.unknown.are_more_than(0)
    keep_calls(ledger)
    assert [ledger.unknown.are_more_than(count) for count in range(4)] == [True, True, False, False]


def test_whoever_called_most_often_comes_first_and_then_whoever_called_last(ledger: WholeLedger) -> None:
    keep_calls(ledger)
    assert list(ledger.unknown.most_frequent(10)) == [OF_THIRD, OF_OTHER]
    ledger.append([raw(6, caller=OTHER, at=NOON + 4 * MINUTE)])
    steps.fold(ledger)
    steps.decide(ledger, NOON + HOUR)
    assert list(ledger.unknown.most_frequent(1)) == [UnknownCaller(OTHER, 3, NOON, NOON + 4 * MINUTE)]


def test_whoever_called_last_comes_first(ledger: WholeLedger) -> None:
    keep_calls(ledger)
    assert list(ledger.unknown.latest(10)) == [OF_THIRD, OF_OTHER]
    ledger.append([raw(6, caller=OTHER, at=NOON + 4 * MINUTE)])
    steps.fold(ledger)
    steps.decide(ledger, NOON + HOUR)
    assert [one.phone for one in ledger.unknown.latest(10)] == [OTHER, THIRD]


def test_every_caller_stands_on_one_page_in_either_order(ledger: WholeLedger) -> None:
    """Some called as often as others, and some at the same moment."""
    phones = [f"+141555502{number:02}" for number in range(7)]
    calls = [(phone, minute) for at, phone in enumerate(phones) for minute in range(at % 3 + 1)]
    ledger.append([raw(n, caller=phone, at=NOON + minute * MINUTE) for n, (phone, minute) in enumerate(calls, start=1)])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON + HOUR) == len(calls)
    for ask in (ledger.unknown.most_frequent, ledger.unknown.latest):
        whole, seen = list(ask(10)), list[UnknownCaller]()
        after: CallersMark | None = None
        assert {one.phone for one in whole} == set(phones)
        while page := ask(2, after):
            seen += page
            after = CallersMark(page[-1].calls, page[-1].latest_at, page[-1].phone)
        assert seen == whole


class Days:
    """Calls and their legs by lot, whose callers become known or do not, and what has to be listed of them."""

    def __init__(self, ledger: WholeLedger, seed: int) -> None:
        self._ledger, self._lot = ledger, random.Random(seed)
        self._legs, self._minutes = 0, 0
        self._parked: dict[str, tuple[str, datetime]] = {}
        self.left = set[str]()
        """Where calls went that were parked."""

    def go_on(self) -> None:
        kinds: list[Callable[[], object]] = [
            self._is_called,
            self._is_called,
            self._joins,
            self._learns,
            self._gives_up,
        ]
        self._minutes += 1
        self._lot.choice(kinds)()
        steps.fold(self._ledger)
        steps.decide(self._ledger, NOON + HOUR)
        self._look()

    def _is_called(self) -> None:
        for _ in range(self._lot.randint(1, 3)):
            self._legs += 1
            self._arrives(self._legs, None)

    def _joins(self) -> None:
        """A leg that stood as a call of its own, or a new one, hangs from another; it may have been heard of before that."""
        if self._legs > 1:
            child = self._lot.randint(2, self._legs + 1)
            self._legs = max(self._legs, child)
            self._arrives(child, self._lot.randint(1, child - 1))

    def _arrives(self, leg: int, parent: int | None) -> None:
        phone = self._lot.choice([CALLER, OTHER, THIRD])
        at = NOON + self._lot.randint(self._minutes - 3, self._minutes) * MINUTE
        self._ledger.append([raw(leg, parent=parent, caller=phone, at=at)])

    def _learns(self) -> None:
        phone = self._lot.choice([CALLER, OTHER, THIRD])
        self._ledger.merge_customers([Customer(phone, "ann@example.com", None)])
        while review_parked_batch(self._ledger, steps.JUDGE, NOON + HOUR, 10):
            pass
        self._ledger.retire_customers([phone], UNNAMED)

    def _gives_up(self) -> None:
        give_up_batch(self._ledger, steps.JUDGE, NOON + self._minutes * MINUTE, 120, 2)

    def _look(self) -> None:
        every = {one.call.key.call_sid: one.call for one in self._ledger.stories.calls(CallFilter(), None, 100).calls}
        parked = {sid: call for sid, call in every.items() if call.state == "parked"}
        self.left |= {every[sid].state if sid in every else "merged" for sid in self._parked.keys() - parked.keys()}
        self._parked = {sid: (str(call.customer_phone), call.first_received_at) for sid, call in parked.items()}

    def counted(self) -> list[UnknownCaller]:
        came: dict[str, list[datetime]] = {}
        for phone, at in self._parked.values():
            came.setdefault(phone, []).append(at)
        return [UnknownCaller(phone, len(at), min(at), max(at)) for phone, at in sorted(came.items())]


def test_whatever_becomes_of_calls_the_lists_are_what_a_count_of_them_gives(ledger: WholeLedger) -> None:
    days = Days(ledger, 1)
    for _ in range(24):
        days.go_on()
        every = days.counted()
        latest = sorted(every, key=lambda one: one.latest_at, reverse=True)
        assert list(ledger.unknown.callers("", 10)) == every
        assert list(ledger.unknown.latest(10)) == latest
        assert list(ledger.unknown.most_frequent(10)) == sorted(latest, key=lambda one: -one.calls)
    assert days.left == {"converted", "skipped", "merged"}
