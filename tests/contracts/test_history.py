"""What `History` promises: what was said of a number, from when to when, and what brought it."""

from __future__ import annotations

from collections.abc import Sequence

from offhook.pipeline.conversion import Customer
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.history import HistoryLine
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, OTHER

ANN, EVE = Customer(CALLER, "ann@example.com", "C1"), Customer(CALLER, "eve@example.com", None)
BO = Customer(OTHER, None, "C2", attributes={"tier": "gold"})
FIRST, SECOND = Brought(Source.IMPORT, "crm.csv", run="1"), Brought(Source.SYNC, "https://crm", run="2")


def said(lines: Sequence[HistoryLine]) -> list[tuple[Customer, bool, int | None, int | None]]:
    """Who, whether it holds, and which imports brought and ended it."""
    return [(line.customer, line.until_at is None, line.brought_by, line.ended_by) for line in lines]


def test_of_nobody_there_is_no_history(ledger: WholeLedger) -> None:
    assert list(ledger.history.of_numbers([CALLER])) == []
    assert list(ledger.history.of_numbers([])) == []
    assert list(ledger.history.imports(10)) == []


def test_what_changed_is_kept_with_its_time_and_with_what_brought_and_ended_it(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO], FIRST)
    ledger.merge_customers([EVE, BO], SECOND)
    assert said(ledger.history.of_numbers([CALLER])) == [(ANN, False, 1, 2), (EVE, True, 2, None)]
    assert said(ledger.history.of_numbers([OTHER])) == [(BO, True, 1, None)]
    first, second = ledger.history.of_numbers([CALLER])
    assert first.until_at == second.from_at >= first.from_at


def test_who_was_retired_held_until_then(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN], FIRST)
    ledger.retire_customers([CALLER], SECOND)
    assert said(ledger.history.of_numbers([CALLER])) == [(ANN, False, 1, 2)]
    ledger.merge_customers([ANN], SECOND)
    assert said(ledger.history.of_numbers([CALLER])) == [(ANN, False, 1, 2), (ANN, True, 2, None)]


def test_that_several_people_have_a_number_is_history_as_well(ledger: WholeLedger) -> None:
    shared = Customer(CALLER, None, None, people=2)
    ledger.merge_customers([ANN], FIRST)
    ledger.merge_customers([shared], SECOND)
    ledger.merge_customers([ANN], FIRST)
    expected = [(ANN, False, 1, 2), (shared, False, 2, 1), (ANN, True, 1, None)]
    assert said(ledger.history.of_numbers([CALLER])) == expected


def test_merges_of_one_run_are_one_import_and_its_numbers_are_their_sums(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN], FIRST)
    ledger.merge_customers([ANN, BO], FIRST)
    ledger.merge_customers([EVE], SECOND)
    ledger.retire_customers([OTHER], SECOND)
    second, first = ledger.history.imports(10)
    assert (first.source, first.name, second.source, second.name) == ("import", "crm.csv", "sync", "https://crm")
    assert (first.added, first.changed, first.unchanged, first.retired) == (2, 0, 1, 0)
    assert (second.added, second.changed, second.unchanged, second.retired) == (0, 1, 0, 1)
    assert first.finished_at is not None and first.finished_at >= first.started_at and first.undone_at is None
    assert list(ledger.history.imports(1)) == [second]


def test_what_comes_row_by_row_is_one_import_a_day(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN], Brought(Source.API, "crm"))
    ledger.merge_customers([BO], Brought(Source.API, "crm"))
    found = ledger.history.imports(10)
    assert sum(one.added for one in found) == 2
    assert len(found) == len({one.started_at.date() for one in found})


def test_every_spelling_of_a_line_is_one_history(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer("+5215512345678", "luz@example.com", None)], FIRST)
    ledger.merge_customers([Customer("+525512345678", "paz@example.com", None)], SECOND)
    lines = ledger.history.of_numbers(["+5215512345678"])
    assert [line.customer.email for line in lines] == ["luz@example.com", "paz@example.com"]
    assert lines == ledger.history.of_numbers(["+525512345678", "+5215512345678"])
