"""While callbacks come in pages take their share of a process's time and no more; else all that they like."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.web.ration import Page, Ration, RationLimits

pytestmark = pytest.mark.unit

SHARE, BUSY, WAIT = 0.1, 5, 2.0


@dataclass
class Machine:
    """A process whose clock and processor are moved by hand. Who sleeps is woken when that is over."""

    now: float = 1000.0
    used: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = RationLimits(SHARE, BUSY, WAIT)
        self.ration = Ration(limits, lambda: self.now, lambda: self.used, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.come(BUSY)

    def come(self, callbacks: int) -> None:
        for _ in range(callbacks):
            self.ration.callback_came()

    def page(self, seconds: float) -> float | None:
        """One that computes for so long; how long it is to stay away, None where it was served."""
        page = self.ration.begin()
        if not isinstance(page, Page):
            return page
        self.used += seconds
        self.now += seconds
        page.end()
        return None


def test_without_callbacks_a_page_waits_for_nothing() -> None:
    machine = Machine()
    assert [machine.page(10.0) for _ in range(20)] == [None] * 20
    assert machine.slept == []


def test_a_few_callbacks_leave_pages_alone() -> None:
    machine = Machine()
    for _ in range(20):
        machine.come(BUSY - 1)
        assert machine.page(0.3) is None
        machine.now += 2.0
    assert machine.slept == []


def test_a_page_waits_until_the_one_before_is_paid_back() -> None:
    machine = Machine()
    machine.come(BUSY)
    assert machine.page(0.2) is None  # 0.1 were saved up
    machine.come(BUSY)
    assert machine.page(0.0) is None
    assert sum(machine.slept) == pytest.approx(0.1 / SHARE - 0.2, abs=0.01)


def test_one_that_would_wait_for_too_long_is_sent_away_at_once_and_hears_when_to_come() -> None:
    machine = Machine()
    machine.come(BUSY)
    assert machine.page(0.9) is None
    machine.come(BUSY)
    assert machine.page(0.1) == pytest.approx(0.8 / SHARE - 0.9)
    assert machine.slept == []


def test_when_callbacks_cease_nothing_is_owed() -> None:
    machine = Machine()
    machine.come(BUSY)
    machine.page(50.0)
    machine.come(BUSY)
    assert machine.page(1.0) is not None
    machine.now += 1.5
    assert machine.page(1.0) is None


def test_of_several_that_wait_one_begins_at_a_time() -> None:
    machine = Machine()
    machine.come(BUSY)
    for _ in range(30):  # what a page takes as a rule is learned
        machine.page(0.05)
        machine.come(BUSY)
    first = machine.ration.begin()
    assert isinstance(first, Page)
    slept = len(machine.slept)
    assert isinstance(machine.ration.begin(), Page)
    assert len(machine.slept) > slept  # the first has ended no page yet, and is counted


@given(st.lists(st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 3.0)), max_size=60))
def test_over_any_time_pages_take_their_share_what_was_saved_up_and_one_page_more(
    pages: list[tuple[float, float]],
) -> None:
    machine = Machine()
    began, most = machine.now, 0.0
    for seconds, pause in pages:
        machine.now += pause
        machine.come(BUSY)
        before = machine.used
        if machine.page(seconds) is None:
            most = max(most, seconds)
            assert before <= SHARE * (machine.now - began) + SHARE + most + 1e-6
