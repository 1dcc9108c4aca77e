"""Sums that went wrong, or were never kept, are made right while others work; and what keeps them bears company."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.counting import Tally
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.ports.tallies import Sums
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rule_figures import lacking
from offhook.pipeline.steps import attempt, decide_batch, fold_batch, review_parked_batch
from offhook.settings import given
from tests.contracts.day import keep_day
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, raw
from tests.support import ledger as by_hand
from tests.support.plans import watched
from tests.support.waiting import HANGS_AFTER_SECONDS

FAR = timedelta(days=400)
POLICY = RetryPolicy()


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield opened
    opened.close()


def every(ledger: SqlLedger) -> list[Tally]:
    return list(ledger.tallies.between(NOON - FAR, NOON + FAR))


@pytest.mark.parametrize(
    "harm",
    [
        ["UPDATE tallies SET calls = calls + 3"],
        ["DELETE FROM tallies"],
        ["DELETE FROM outcomes"],
        ["DELETE FROM outcomes", "DELETE FROM tallies"],
        ["UPDATE outcomes SET reason = 'new', outcome = 'on_its_way'"],
        [
            "INSERT INTO tallies (hour, number, outcome, reason, calls) SELECT hour, 'x', 'held', 'x', 5 FROM tallies LIMIT 1"
        ],
    ],
    ids=lambda harm: harm[0][:24],
)
def test_whatever_is_wrong_is_made_right(ledger: SqlLedger, database_url: str, harm: list[str]) -> None:
    keep_day(ledger)
    right = every(ledger)
    for statement in harm:
        by_hand.change(database_url, statement)
    done = ledger.tallies.count_anew()
    assert (done.calls, every(ledger)) == (4, right)
    assert done.moved + done.hours > 0
    assert (ledger.tallies.count_anew().moved, ledger.tallies.count_anew().hours) == (0, 0)


_FORGET = "UPDATE outcomes SET rule = NULL, rule_state = NULL, rule_reason = NULL"
"""With the sums by rule empty as well: a ledger of before they were kept."""


@pytest.mark.parametrize(
    "harm",
    [
        [_FORGET, "DELETE FROM rule_tallies"],
        [_FORGET],
        ["DELETE FROM rule_tallies"],
        ["UPDATE rule_tallies SET calls = calls + 3"],
        ["UPDATE rule_tallies SET calls = calls - 1 WHERE hours = 24"],
        ["UPDATE outcomes SET rule = 'Spring', rule_state = 'skipped', rule_reason = 'too_short'"],
        ["DELETE FROM outcomes", "DELETE FROM tallies", "DELETE FROM rule_tallies"],
    ],
    ids=lambda harm: " ".join(harm)[:60],
)
def test_wrong_sums_by_rule_are_made_right(ledger: SqlLedger, database_url: str, harm: list[str]) -> None:
    keep_day(ledger)
    right = by_rule(ledger)
    assert right == {("", "converted", "", 2), ("", "parked", "caller_not_in_mapping", 1)}
    for statement in harm:
        by_hand.change(database_url, statement)
    ledger.tallies.count_anew()
    assert by_rule(ledger) == right
    assert (ledger.tallies.count_anew().moved, ledger.tallies.count_anew().hours) == (0, 0)


def by_rule(ledger: SqlLedger) -> set[tuple[str | None, str, str, int]]:
    """The same of whole days, and of the hours alone."""
    midnight = NOON.replace(hour=0)
    days, hours = (
        ledger.tallies.by_rule(midnight + first, midnight + last).rules
        for first, last in ((-FAR, FAR), (timedelta(hours=1), timedelta(hours=23)))
    )
    assert days == hours
    return {(one.rule, one.state, one.reason, one.calls) for one in days}


@pytest.mark.mostly("sqlite")
def test_sums_by_rule_cost_a_batch_of_decisions_one_statement_and_a_batch_of_deliveries_none(ledger: SqlLedger) -> None:
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    ledger.append([raw(number, caller=CALLER if number % 3 else OTHER) for number in range(9)])
    steps.fold(ledger)
    with watched(ledger.database.engine) as plans:
        assert steps.decide(ledger, NOON) == 9
    assert len([one for one in plans.seen if "rule_tallies" in one]) == 1
    assert not [one for one in plans.seen if "decisions AS t" in one]
    with watched(ledger.database.engine) as plans:
        delivers(ledger)()
    assert not [one for one in plans.seen if "rule_tallies" in one or "decisions AS t" in one]


def test_decisions_of_before_rules_were_kept_are_those_where_none_was_asked(
    ledger: SqlLedger, database_url: str
) -> None:
    keep_day(ledger)
    by_hand.change(database_url, "UPDATE decisions SET rule = NULL WHERE result = 'parked'")
    assert ledger.tallies.count_anew().moved == 1
    assert by_rule(ledger) == {("", "converted", "", 2), (None, "parked", "caller_not_in_mapping", 1)}


def test_a_call_of_before_is_counted_by_rule_as_soon_as_anybody_has_to_do_with_it(
    ledger: SqlLedger, database_url: str
) -> None:
    keep_day(ledger)
    for statement in (_FORGET, "DELETE FROM rule_tallies"):
        by_hand.change(database_url, statement)
    found = ledger.tallies.by_rule(NOON - FAR, NOON + FAR)
    assert (found.rules, lacking(found)) == ([], 3)
    [sending] = ledger.claim(NOON + timedelta(hours=1), 1, 60, POLICY).taken
    ledger.finish([attempt(sending, Outcome(Result.RETRY, "http_503", 503), NOON, NOON, POLICY)], NOON)
    assert by_rule(ledger) == {("", "converted", "", 1)}
    assert lacking(ledger.tallies.by_rule(NOON - FAR, NOON + FAR)) == 2


def test_what_a_version_without_sums_by_rule_decides_is_missed_and_the_next_writer_makes_it_good(
    ledger: SqlLedger, database_url: str
) -> None:
    """It writes all but the columns of the rule and the sums by rule."""
    keep_day(ledger)
    columns = "call_sid, rule, rule_state, rule_reason"
    stood = by_hand.query(database_url, f"SELECT {columns} FROM outcomes WHERE rule_state = 'parked'")
    kept = by_hand.query(database_url, "SELECT * FROM rule_tallies")
    ledger.merge_customers([Customer(OTHER, "bo@example.com", None)])
    assert review_parked_batch(ledger, steps.JUDGE, NOON, 10) == 1
    [one] = stood
    by_hand.change(
        database_url,
        f"UPDATE outcomes SET rule = '', rule_state = 'parked', rule_reason = '{one['rule_reason']}' "
        f"WHERE call_sid = '{one['call_sid']}'",
    )
    by_hand.change(database_url, "DELETE FROM rule_tallies")
    for row in kept:
        values = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in row.values())
        by_hand.change(database_url, f"INSERT INTO rule_tallies ({', '.join(row)}) VALUES ({values})")
    assert by_rule(ledger) == {("", "converted", "", 2), ("", "parked", "caller_not_in_mapping", 1)}
    assert lacking(ledger.tallies.by_rule(NOON - FAR, NOON + FAR)) == 1
    delivers(ledger)()
    assert by_rule(ledger) == {("", "converted", "", 3)}
    assert lacking(ledger.tallies.by_rule(NOON - FAR, NOON + FAR)) == 0


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE day_tallies SET calls = calls + 3",
        "DELETE FROM day_tallies",
        "UPDATE day_tallies SET reason = reason || 'x'",
    ],
)
def test_wrong_sums_of_days_are_made_right(ledger: SqlLedger, database_url: str, harm: str) -> None:
    keep_day(ledger)
    right = month(ledger)
    by_hand.change(database_url, harm)
    assert month(ledger) != right
    ledger.tallies.count_anew()
    assert month(ledger) == right


def test_sums_of_days_follow_whoever_writes_those_of_hours(ledger: SqlLedger, database_url: str) -> None:
    """A version that knows no sums of days writes on beside this one, or again after a rollback."""
    keep_day(ledger)
    for statement in (
        f"INSERT INTO tallies SELECT hour + {3_600_000_000}, number, outcome, reason, 7 FROM tallies",
        "UPDATE tallies SET calls = calls + 5 WHERE outcome = 'refused'",
        "DELETE FROM tallies WHERE outcome = 'on_its_way'",
    ):
        by_hand.change(database_url, statement)
        found = month(ledger)
        hours = Counter[str]()
        for one in every(ledger):
            hours[one.outcome] += one.calls
        assert Counter({one.outcome: one.calls for one in found.spans}) == hours
        assert sum(one.calls for one in found.places) == hours.total()


def month(ledger: SqlLedger) -> Sums:
    """Of whole days alone."""
    midnight = NOON.replace(hour=0)
    return ledger.tallies.summed([midnight - timedelta(days=15), midnight + timedelta(days=15)])


def test_a_ledger_with_calls_of_before_is_whole_once_they_are_counted(ledger: SqlLedger, database_url: str) -> None:
    keep_day(ledger)
    right = every(ledger)
    for statement in (
        "DELETE FROM outcomes",
        "DELETE FROM tallies",
        "DELETE FROM counters WHERE name = 'tallies_whole'",
    ):
        by_hand.change(database_url, statement)
    assert not ledger.tallies.is_whole()
    assert ledger.tallies.count_anew().moved == 4
    assert ledger.tallies.is_whole()
    assert every(ledger) == right


def test_counting_anew_beside_workers_loses_nothing_and_nobody_waits_for_ever(
    ledger: SqlLedger, database_url: str
) -> None:
    """The books and two that deliver, and somebody who counts anew all the time; then nothing is wrong."""
    ledger.merge_customers([Customer(CALLER, "ann@example.com", None)])
    total, url = 120, given({"DATABASE_URL": database_url}).database_url
    others = [SqlLedger(url) for _ in range(3)]
    with at_work(keeps(ledger), delivers(others[0]), delivers(others[1]), others[2].tallies.count_anew) as stop:
        for number in range(total):
            ledger.append([raw(number, caller=CALLER if number % 3 else OTHER), raw(1000 + number, parent=number)])
        _wait(ledger, total, stop)
    for other in others:
        other.close()
    assert Counter({one.outcome: one.calls for one in every(ledger)}) == {"delivered": 80, "unknown_caller": 40}
    assert by_rule(ledger) == {("", "converted", "", 80), ("", "parked", "caller_not_in_mapping", 40)}
    done = ledger.tallies.count_anew()
    assert (done.moved, done.hours) == (0, 0)


@contextmanager
def at_work(*steps: Callable[[], object]) -> Iterator[threading.Event]:
    """Each step again and again, in a thread of its own, until the block ends, or one of them fails (then it is set)."""
    stop, failed = threading.Event(), list[BaseException]()

    def works(step: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                _once_more(step)
        except BaseException as error:
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=works, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    yield stop
    stop.set()
    for thread in threads:
        thread.join(HANGS_AFTER_SECONDS)
    assert failed == []


def keeps(ledger: SqlLedger) -> Callable[[], object]:
    def kept() -> None:
        fold_batch(ledger, steps.JUDGE, 20)
        decide_batch(ledger, steps.JUDGE, NOON, 20)

    return kept


def _once_more(step: Callable[[], object]) -> None:
    """As a worker does when the ledger is busy."""
    try:
        step()
    except LedgerUnavailable as error:
        assert error.word == "busy", error


def delivers(ledger: SqlLedger) -> Callable[[], object]:
    def delivered() -> None:
        taken = ledger.claim(NOON, 7, 60, POLICY).taken
        outcome = Outcome(Result.DELIVERED, "delivered", 200)
        ledger.finish([attempt(one, outcome, NOON, NOON, POLICY) for one in taken], NOON)

    return delivered


def _wait(ledger: SqlLedger, total: int, stop: threading.Event) -> None:
    """Until each call has come to rest."""
    done = 0
    while done < total and not stop.wait(0.05):
        done = sum(one.calls for one in every(ledger) if one.outcome in ("delivered", "unknown_caller"))
