"""The ledger's time, held against a database whose answers take as long as they like: it is the database's, and never goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.ledger import clock as module
from offhook.adapters.ledger.clock import LedgerClock

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
MILLISECONDS = st.integers(0, 2_000)


class Steady:
    """The clock that nobody sets, set by the test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, milliseconds: int) -> float:
        self.now += milliseconds / 1_000
        return self.now


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    made = Steady()
    monkeypatch.setattr(module, "steady_seconds", made)
    return made


def truth(steady: Steady) -> datetime:
    return NOON + timedelta(seconds=steady.now)


@given(questions=st.lists(st.tuples(MILLISECONDS, MILLISECONDS, MILLISECONDS), min_size=1))
def test_it_never_goes_back_and_is_as_near_as_the_quickest_answer(questions: list[tuple[int, int, int]]) -> None:
    steady, clock = Steady(), LedgerClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "steady_seconds", steady)
        read, quickest = [], timedelta.max
        for before, until_said, until_answered in questions:
            asked_at = steady.passes(before)
            steady.passes(until_said)
            said = truth(steady)
            clock.anchor(said, asked_at, steady.passes(until_answered))
            read.append(clock())
            quickest = min(quickest, timedelta(milliseconds=until_said + until_answered))
            assert timedelta(0) <= truth(steady) - read[-1] <= quickest + timedelta(microseconds=2 * len(read))
        assert read == sorted(read)


def test_where_the_database_s_own_clock_is_set_it_follows(steady: Steady) -> None:
    clock = LedgerClock()
    for said in (NOON, NOON - timedelta(hours=1), NOON + timedelta(hours=1)):
        asked_at = steady.passes(1_000)
        clock.anchor(said, asked_at, steady.passes(10))
        assert timedelta(0) <= clock() - said <= timedelta(milliseconds=10)


def test_until_the_database_has_said_anything_it_is_the_machine_s() -> None:
    assert LedgerClock(machine=lambda: NOON)() == NOON
