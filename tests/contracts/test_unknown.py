"""What `UnknownCallers` promises: whose calls wait, how many, and since when."""

from __future__ import annotations

from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.unknown import CallersMark, UnknownCaller
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
