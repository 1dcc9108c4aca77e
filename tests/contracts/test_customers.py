"""What `Customers` promises."""

from __future__ import annotations

from datetime import timedelta

from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import Brought, Source
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import CALLER, NOON, OTHER

HOUR = timedelta(hours=1)

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
    assert ledger.merge_customers([Customer(CALLER, None, None, people=2)]) == (0, 1, 0)
    assert ledger.find_customers([CALLER])[CALLER].people == 2
    assert ledger.merge_customers([ANN]) == (0, 1, 0)
    assert dict(ledger.find_customers([CALLER])) == {CALLER: ANN}


def test_a_number_that_nobody_has_alone_any_more_is_a_change_of_its_import_and_the_first_time_alone(
    ledger: WholeLedger,
) -> None:
    ledger.merge_customers([ANN], CRM)
    two, three = (Customer(CALLER, None, None, people=people) for people in (2, 3))
    assert ledger.merge_customers([two, Customer(OTHER, None, None, people=2)], LATER) == (0, 1, 0)
    assert ledger.merge_customers([two], LATER) == (0, 0, 0)
    assert ledger.merge_customers([three], LATER) == (0, 1, 0)
    line = ledger.history.import_of(LATER)
    assert line is not None and (line.added, line.changed, line.unchanged, line.retired) == (0, 2, 0, 0)


def test_a_line_is_found_by_each_of_its_spellings_under_the_one_that_was_asked_for(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(OLD_SPELLING, "luz@example.com", None)])
    for asked in (OLD_SPELLING, SPELLING):
        assert dict(ledger.find_customers([asked])) == {asked: Customer(asked, "luz@example.com", None)}


CRM = Brought(Source.IMPORT, "crm.csv", run="1")
LATER = Brought(Source.IMPORT, "crm.csv", run="2")
TIER = Customer(CALLER, "ann@example.com", "C1", attributes={"tier": "gold", "Straße": "Ü 1"})


def test_attributes_are_kept_and_another_one_is_a_change(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN])
    assert ledger.merge_customers([TIER], CRM) == (0, 1, 0)
    assert ledger.find_customers([CALLER])[CALLER].attributes == TIER.attributes
    assert ledger.merge_customers([TIER], CRM) == (0, 0, 1)
    assert ledger.merge_customers([ANN], CRM) == (0, 1, 0)
    assert ledger.find_customers([CALLER]) == {CALLER: ANN}


def test_who_is_found_names_the_row_of_history_that_says_so(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO], CRM)
    rows = {phone: one.row for phone, one in ledger.find_customers([CALLER, OTHER]).items()}
    of_history = {line.customer.phone: line.customer.row for line in ledger.history.of_numbers([CALLER, OTHER])}
    assert rows == of_history and None not in rows.values()


def test_how_long_an_answer_is_good_is_kept_and_renewed_without_a_change(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN], Brought(Source.LOOKUP, "crm", NOON))
    version = ledger.mapping_version()
    assert ledger.find_customers([CALLER])[CALLER].fresh_until == NOON
    assert ledger.merge_customers([ANN], Brought(Source.LOOKUP, "crm", NOON + HOUR)) == (0, 0, 1)
    assert ledger.find_customers([CALLER])[CALLER].fresh_until == NOON + HOUR
    ledger.merge_customers([ANN], CRM)
    assert ledger.find_customers([CALLER])[CALLER].fresh_until is None
    assert ledger.mapping_version() == version
    assert len(ledger.history.of_numbers([CALLER])) == 1


def test_how_long_several_people_have_a_number_is_kept_and_renewed_without_a_change(ledger: WholeLedger) -> None:
    shared = Customer(CALLER, None, None, people=2)
    ledger.merge_customers([shared], Brought(Source.LOOKUP, "crm", NOON))
    version, found = ledger.mapping_version(), []
    found.append(ledger.find_customers([CALLER])[CALLER].fresh_until)
    for brought in (Brought(Source.LOOKUP, "crm", NOON + HOUR), CRM):
        ledger.merge_customers([shared], brought)
        found.append(ledger.find_customers([CALLER])[CALLER].fresh_until)
    assert found == [NOON, NOON + HOUR, None]
    assert ledger.mapping_version() == version
    assert len(ledger.history.of_numbers([CALLER])) == 1


def test_who_is_retired_is_known_no_more_and_the_others_are(ledger: WholeLedger) -> None:
    shared = Customer("+14155550102", None, None, people=2)
    ledger.merge_customers([ANN, BO, shared])
    version = ledger.mapping_version()
    assert ledger.retire_customers([CALLER, shared.phone, "+14155550199"], LATER) == 2
    assert dict(ledger.find_customers([CALLER, OTHER, shared.phone])) == {OTHER: BO}
    assert ledger.mapping_version() > version
    assert ledger.retire_customers([CALLER], LATER) == 0
    assert ledger.retire_customers([], LATER) == 0
    assert ledger.merge_customers([ANN]) == (1, 0, 0)


def test_a_line_is_retired_by_each_of_its_spellings(ledger: WholeLedger) -> None:
    ledger.merge_customers([Customer(OLD_SPELLING, "luz@example.com", None)])
    assert ledger.retire_customers([SPELLING], LATER) == 1
    assert dict(ledger.find_customers([OLD_SPELLING, SPELLING])) == {}


def test_every_number_of_which_anything_is_known_is_listed_page_by_page(ledger: WholeLedger) -> None:
    ledger.merge_customers([ANN, BO, Customer("+14155550102", None, None, people=2)])
    every = sorted([CALLER, OTHER, "+14155550102"])
    assert list(ledger.known_phones("", 10)) == every
    assert list(ledger.known_phones("", 2)) == every[:2]
    assert list(ledger.known_phones(every[1], 2)) == every[2:]
    ledger.retire_customers(every, LATER)
    assert list(ledger.known_phones("", 10)) == []
