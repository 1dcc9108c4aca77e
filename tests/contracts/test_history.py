"""What `History` promises: what was said of a number, from when to when, and what brought it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.history import HistoryLine, SharedNumber
from tests.contracts.conftest import WholeLedger
from tests.contracts.day import MINUTE
from tests.fakes.callbacks import CALLER, NOON, OTHER

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
    assert (ledger.history.import_of(FIRST), ledger.history.import_of(SECOND)) == (first, second)
    assert ledger.history.import_of(Brought(FIRST.source, FIRST.name, run="another")) is None


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


def test_a_customer_is_found_by_every_email_and_id_that_was_ever_said(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO], FIRST)
    ledger.merge_customers([EVE], SECOND)
    asked = ("ann@example.com", "ANN@example.com", "C1", "eve@example.com", "C2", "nobody")
    found = [list(ledger.history.numbers_named(name)) for name in asked]
    assert found == [[CALLER], [CALLER], [CALLER], [CALLER], [OTHER], []]


def test_the_numbers_that_an_import_touched_are_those_of_which_it_said_anything_new(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO], FIRST)
    ledger.merge_customers([EVE, BO], SECOND)
    assert {phone for page in ledger.history.touched(1) for phone in page} == {CALLER, OTHER}
    assert {phone for page in ledger.history.touched(2) for phone in page} == {CALLER}
    ledger.retire_customers([OTHER], SECOND)
    assert {phone for page in ledger.history.touched(2) for phone in page} == {CALLER, OTHER}
    assert list(ledger.history.touched(3)) == []


def test_an_import_is_found_by_its_number_and_can_be_marked(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN], FIRST)
    ledger.history.mark_undone(1, NOON)
    found = ledger.history.import_(1)
    assert found is not None and (found.name, found.undone_at) == ("crm.csv", NOON)
    assert ledger.history.import_(2) is None


def test_a_row_is_found_by_its_number(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, Customer(OTHER, None, None, people=2)], FIRST)
    for line in ledger.history.of_numbers([CALLER, OTHER]):
        assert line.customer.row is not None
        assert ledger.history.line(line.customer.row) == line
    assert ledger.history.line(10**6) is None


def test_imports_follow_by_key(ledger: WholeLedger) -> None:
    for run in "123":
        ledger.merge_customers([replace(ANN, customer_id=run)], Brought(Source.IMPORT, "crm.csv", run=run))
    assert [one.id for one in ledger.history.imports(2)] == [3, 2]
    assert [one.id for one in ledger.history.imports(2, 2)] == [1]
    assert list(ledger.history.imports(2, 1)) == []


def test_who_had_a_number_at_a_time_is_found_and_else_who_had_it_first(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, Customer(OTHER, None, None, people=2)], FIRST)
    ledger.merge_customers([EVE], SECOND)
    first, second = ledger.history.of_numbers([CALLER])
    asked = {(CALLER, first.from_at - MINUTE), (CALLER, first.from_at), (CALLER, second.from_at), (OTHER, NOON)}
    with ledger.books() as books:
        assert books is not None
        found = books.customers_as_of(asked)
    assert found == {
        (CALLER, first.from_at - MINUTE): ANN,
        (CALLER, first.from_at): ANN,
        (CALLER, second.from_at): EVE,
    }


PEOPLE = (("ann@example.com", "C1"), ("eve@example.com", None))


def test_the_several_customers_of_a_number_are_listed_whoever_is_credited(ledger: WholeLedger) -> None:
    nobody, last = Customer(CALLER, None, None, people=2, others=PEOPLE), replace(BO, others=PEOPLE[:1])
    ledger.merge_customers([nobody, last], FIRST)
    expected = sorted([SharedNumber(CALLER, PEOPLE), SharedNumber(OTHER, PEOPLE[:1])], key=lambda one: one.phone)
    assert list(ledger.history.shared_numbers("", 10)) == expected
    assert list(ledger.history.shared_numbers("", 1)) == expected[:1]
    assert list(ledger.history.shared_numbers(expected[0].phone, 10)) == expected[1:]


def test_the_several_customers_of_a_number_are_found_by_it_in_any_spelling(ledger: WholeLedger) -> None:
    luz = Customer("+525512345678", "luz@example.com", None, others=PEOPLE)
    unnamed = Customer("+14155550103", None, None, people=3)
    ledger.merge_customers([Customer(CALLER, None, None, people=2, others=PEOPLE), BO, luz, unnamed], FIRST)
    found = ledger.history.shared_among([CALLER, OTHER, "+5215512345678", "+14155550103", "+14155550104"])
    expected = [SharedNumber(CALLER, PEOPLE), SharedNumber("+5215512345678", PEOPLE), SharedNumber("+14155550103", ())]
    assert list(found) == expected
    assert list(ledger.history.shared_among([])) == []


def test_who_the_several_are_changes_with_the_latest_list_and_ends_with_it(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(CALLER, None, None, people=2, others=PEOPLE)], FIRST)
    ledger.merge_customers([Customer(CALLER, None, None, people=2, others=PEOPLE[::-1])], SECOND)
    assert list(ledger.history.shared_numbers("", 10)) == [SharedNumber(CALLER, PEOPLE[::-1])]
    ledger.merge_customers([replace(ANN, others=PEOPLE), replace(BO, others=PEOPLE)], SECOND)
    ledger.merge_customers([ANN], SECOND)
    ledger.retire_customers([OTHER], SECOND)
    assert list(ledger.history.shared_numbers("", 10)) == []
