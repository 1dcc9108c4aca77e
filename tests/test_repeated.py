"""A trouble that goes on is said at once and then with a count; another one is never hidden behind it."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import MOST_KINDS, Repeated, kind_of

pytestmark = pytest.mark.unit

EVERY = 10.0


class Lines(logging.Handler):
    """What was logged: (event, fields)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


class Bench:
    """A Repeated whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.logged = Lines()
        log = logging.Logger("of this test alone", logging.DEBUG)
        log.addHandler(self.logged)
        self.repeated = Repeated(log, "trouble", EVERY, lambda: self.now)

    def log(self, kind: str) -> int | None:
        """How many were left out before, as the line that it made says; None when it made none."""
        before = len(self.logged.lines)
        self.repeated.log(logging.ERROR, kind, {"kind": kind})
        made = self.logged.lines[before:]
        assert len(made) <= 1
        assert all((line.getMessage(), line.kind) == ("trouble", kind) for line in made)  # type: ignore[attr-defined]
        return getattr(made[0], "left_out", 0) if made else None

    def works(self) -> int | None:
        """The same of the line that says that it is over."""
        before = len(self.logged.lines)
        self.repeated.works()
        made = self.logged.lines[before:]
        assert [line.getMessage() for line in made] in ([], ["trouble_over"])
        return int(made[0].left_out) if made else None  # type: ignore[attr-defined]


STEPS = st.lists(
    st.sampled_from(["a", "b", "c", "works"]) | st.floats(0.1, 2.5 * EVERY).map(lambda seconds: round(seconds, 1)),
    max_size=60,
)


@given(STEPS)
def test_every_one_is_either_said_or_counted_and_each_kind_at_once(steps: list[str | float]) -> None:
    bench = Bench()
    happened: Counter[str] = Counter()
    said_at: dict[str, float] = {}
    seen_at = 0.0
    counted = 0
    for step in [*steps, EVERY + 1, "works"]:  # beyond what sums of floats come to
        if isinstance(step, float):
            bench.now += step
        elif step == "works":
            left_out = bench.works()
            is_over = bool(said_at) and bench.now - seen_at >= EVERY
            assert (left_out is not None) == is_over
            if left_out is not None:
                counted += left_out
                said_at.clear()
        else:
            happened[step] += 1
            left_out = bench.log(step)
            must_be_said = step not in said_at or bench.now - said_at[step] >= EVERY
            assert (left_out is not None) == must_be_said
            seen_at = bench.now
            if left_out is not None:
                counted += 1 + left_out
                said_at[step] = bench.now
    assert counted == happened.total()
    assert bench.works() is None  # once


def test_more_kinds_than_can_be_counted_are_each_said() -> None:
    bench = Bench()
    kinds = [str(number) for number in range(MOST_KINDS + 20)]
    assert [bench.log(kind) for kind in kinds] == [0] * len(kinds)
    assert [bench.log(kind) for kind in kinds] == [None] * MOST_KINDS + [0] * 20


def log_often(repeated: Repeated, times: int) -> None:
    for _ in range(times):
        repeated.log(40, "a", {})


def test_many_threads_lose_no_count() -> None:
    bench = Bench()
    threads = [threading.Thread(target=log_often, args=(bench.repeated, 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.now += EVERY
    assert len(bench.logged.lines) == 1
    assert bench.works() == 8 * 500 - 1


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def raised_elsewhere(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            raised(LedgerUnavailable("no such table: calls", "no_tables")),
            LedgerUnavailable("callbacks", "no_tables"),
            True,
        ),
        (LedgerUnavailable("full", "full"), LedgerUnavailable("full", "read_only"), False),
        (raised(LedgerUnavailable("port 5432 refused")), raised(LedgerUnavailable("port 6543 refused")), True),
        (raised(LedgerUnavailable("deadlock detected")), raised(LedgerUnavailable("out of memory")), False),
        (raised(KeyError("CallSid")), raised(ValueError("CallSid")), False),
        (raised(KeyError("CallSid")), raised_elsewhere(KeyError("CallSid")), False),
        (raised(KeyError("CallSid")), raised(KeyError("CallSid")), True),
    ],
)
def test_errors_are_of_one_kind_when_they_ask_the_same_of_a_person(
    one: Exception, other: Exception, same: bool
) -> None:
    assert (kind_of(one) == kind_of(other)) is same


def test_an_unexpected_error_comes_with_its_traceback_once() -> None:
    bench = Bench()
    for _ in range(3):
        try:
            dict[str, str]()["gone"]
        except KeyError as error:
            bench.repeated.log_error(error)
    [line] = bench.logged.lines
    assert line.exc_info and line.exc_info[0] is KeyError
