"""What `Customers` promises."""

from __future__ import annotations

from offhook.pipeline.customer import Customer
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, OTHER

ANN = Customer(CALLER, "ann@example.com", "C1")
BO = Customer(OTHER, None, "C2")
OLD_SPELLING, SPELLING = "+5215512345678", "+525512345678"  # Mexico's mobiles were dialled with a 1


def test_who_was_merged_is_found_and_nobody_else(ledger: WholeLedger) -> None:
    assert ledger.merge_customers([ANN, BO]) == (2, 0, 0)
    assert dict(ledger.find_customers([CALLER, OTHER, "+14155550155"])) == {CALLER: ANN, OTHER: BO}
    assert dict(ledger.find_customers([])) == {}


def test_a_merge_counts_what_is_new_what_differs_and_what_stays(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO])
    third = Customer("+14155550102", "cy@example.com", None)
    assert ledger.merge_customers([ANN, Customer(OTHER, "bo@example.com", "C2"), third]) == (1, 1, 1)


def test_whoever_is_not_in_a_merge_stays(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.merge_customers([BO])
    assert dict(ledger.find_customers([CALLER])) == {CALLER: ANN}


def test_the_version_grows_with_a_change_and_with_nothing_else(ledger: WholeLedger) -> None:
    first = ledger.mapping_version()
    assert ledger.merge_customers([]) == (0, 0, 0)
    assert ledger.mapping_version() == first
    ledger.merge_customers([ANN])
    changed = ledger.mapping_version()
    assert changed > first
    ledger.merge_customers([ANN])
    assert ledger.mapping_version() == changed


def test_a_number_that_several_people_have_names_nobody_and_is_no_row_of_a_person(ledger: WholeLedger) -> None:
    shared = Customer(CALLER, None, None, people=3)
    assert ledger.merge_customers([shared]) == (0, 0, 0)
    assert dict(ledger.find_customers([CALLER])) == {CALLER: shared}
    before = ledger.mapping_version()
    assert ledger.merge_customers([shared]) == (0, 0, 0)
    assert ledger.mapping_version() == before


def test_a_number_goes_from_one_person_to_several_and_back(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    ledger.merge_customers([Customer(CALLER, None, None, people=2)])
    assert ledger.find_customers([CALLER])[CALLER].people == 2
    assert ledger.merge_customers([ANN]) == (0, 1, 0)
    assert dict(ledger.find_customers([CALLER])) == {CALLER: ANN}


def test_a_line_is_found_by_each_of_its_spellings_under_the_one_that_was_asked_for(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(OLD_SPELLING, "luz@example.com", None)])
    for asked in (OLD_SPELLING, SPELLING):
        assert dict(ledger.find_customers([asked])) == {asked: Customer(asked, "luz@example.com", None)}
