"""A step that is made over and over never ends who makes it, and the log has why it does not work."""

from __future__ import annotations

import logging

import pytest

from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import Repeated
from offhook.pipeline.trouble import Trouble

pytestmark = pytest.mark.unit

log = logging.getLogger("of this test alone")
DOWN, BUG = LedgerUnavailable("the disk is full", "full"), KeyError("CallSid")


def makes(trouble: Trouble, error: Exception | None, otherwise: list[str]) -> None:
    """A step that raises this."""
    with trouble.watching(lambda: otherwise.append("rested"), doing="books"):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("shares", "error", "lines"),
    [
        (False, None, []),
        (False, DOWN, [("WARNING", "failed", "books", "the disk is full", False)]),
        (True, DOWN, [("WARNING", "unavailable", "books", "the disk is full", False)]),
        (False, BUG, [("ERROR", "failed", None, None, True)]),
        (True, BUG, [("ERROR", "failed", None, None, True)]),
    ],
)
def test_each_kind_of_trouble_is_a_line_of_its_own_and_calls_what_is_done_then(
    caplog: pytest.LogCaptureFixture, shares: bool, error: Exception | None, lines: list[tuple[object, ...]]
) -> None:
    caplog.set_level(logging.INFO)
    rested: list[str] = []
    makes(Trouble(Repeated(log, "failed"), Repeated(log, "unavailable") if shares else None), error, rested)
    assert [
        (one.levelname, one.getMessage(), getattr(one, "doing", None), getattr(one, "error", None), bool(one.exc_info))
        for one in caplog.records
    ] == lines
    assert rested == ["rested"] * len(lines)


def test_a_ledger_that_two_share_is_over_when_either_works_and_a_bug_only_when_its_own_step_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    failed, other, ledger = (Repeated(log, event, 10, lambda: now[0]) for event in ("failed", "other", "unavailable"))
    books, dispatch = Trouble(failed, ledger), Trouble(other, ledger)
    makes(books, DOWN, [])
    makes(dispatch, DOWN, [])
    makes(books, BUG, [])
    now[0] = 11
    makes(dispatch, None, [])
    said = [one.getMessage() for one in caplog.records]
    assert said == ["unavailable", "failed", "unavailable_over"]
    makes(books, None, [])
    assert [one.getMessage() for one in caplog.records] == [*said, "failed_over"]


def test_what_is_returned_from_a_step_is_returned_and_what_is_no_exception_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble(Repeated(log, "failed"))

    def found() -> int:
        with trouble.watching():
            return 7
        return 0

    assert found() == 7
    with pytest.raises(KeyboardInterrupt), trouble.watching():
        raise KeyboardInterrupt
    assert caplog.records == []
