"""What takes long in the database is said once, and what takes too long is cut, once."""

from __future__ import annotations

import logging
import threading

import pytest

from offhook.adapters.ledger.watch import Watch, Watchdog
from offhook.pipeline.repeated import Repeated
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.unit

SLOW_SECONDS = 60.0


class Watched:
    """Something under way since 0, whose time is over at 100."""

    def __init__(self) -> None:
        log = logging.getLogger("offhook.ledger")
        self.slow, self.cut_off = Repeated(log, "database_slow", 0.0), Repeated(log, "database_cut_off", 0.0)
        self.cuts = 0
        self.there_is_something_to_cut = True
        self.watch = Watch(100.0, self.cut, "SELECT  1\n FROM calls", since=0.0)

    def cut(self) -> bool:
        self.cuts += 1
        return self.there_is_something_to_cut

    def look(self, *moments: float) -> None:
        for now in moments:
            self.watch.look(now, SLOW_SECONDS, self.slow, self.cut_off)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.getMessage(), record.doing) for record in caplog.records]  # type: ignore[attr-defined]


def test_a_slow_statement_is_said_once_and_so_is_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    one = Watched()
    one.look(59.9)
    assert lines(caplog) == []
    one.look(60, 61, 99)
    assert (lines(caplog), one.watch.was_slow, one.cuts) == ([("database_slow", "SELECT 1 FROM calls")], True, 0)
    one.watch.begins("SELECT 2")
    one.look(one.watch.since + 61)  # a sum of floats is not exact
    assert lines(caplog)[1:2] == [("database_slow", "SELECT 2")]


def test_between_two_statements_nothing_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    one = Watched()
    one.watch.ends()
    one.look(99)
    assert (lines(caplog), one.watch.was_slow) == ([], False)


def test_what_takes_too_long_is_cut_until_something_was_there_to_cut(caplog: pytest.LogCaptureFixture) -> None:
    one = Watched()
    one.watch.ends()
    one.there_is_something_to_cut = False
    one.look(99.9)
    assert one.cuts == 0
    one.look(100, 101)
    assert (one.cuts, one.watch.was_cut, lines(caplog)) == (2, False, [])
    one.there_is_something_to_cut = True
    one.look(102, 103)
    assert (one.cuts, one.watch.was_cut, lines(caplog)) == (3, True, [("database_cut_off", "")])


def test_the_watchdog_cuts_what_has_no_time_left_and_looks_at_nothing_that_has_ended() -> None:
    """`cut` is called from another thread: the block that is watched may hang for ever by itself."""
    dog = Watchdog(SLOW_SECONDS)
    with dog.watching("SELECT 1", seconds=3600, cut=_never) as patient:
        assert patient.doing == "SELECT 1"
    is_cut = threading.Event()

    def cut() -> bool:
        is_cut.set()
        return True

    with dog.watching("SELECT 2", seconds=0, cut=cut):
        assert is_cut.wait(HANGS_AFTER_SECONDS)
    dog.close()


def _never() -> bool:
    raise AssertionError("it had time")
