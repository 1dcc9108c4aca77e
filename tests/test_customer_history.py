"""What was known of a caller and when: a call is matched as of now or as of its own time, and an import can be taken back."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.calls_listed import PAGE
from offhook.pipeline.customer import Customer
from offhook.pipeline.emails import Emails
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.steps import AsOf, decide_batch, fold_batch, review_parked_batch
from offhook.pipeline.undoing import Undoing, undo, undoing
from offhook.settings import given
from tests.conftest import give_tables
from tests.fakes.callbacks import CALLER, NOON, OTHER, raw, sid
from tests.fakes.ledger import MemoryLedger
from tests.fakes.steps import JUDGE

ANN, EVE = Customer(CALLER, "ann@example.com", "C1"), Customer(CALLER, "eve@example.com", None)
BO, CY = Customer(OTHER, "bo@example.com", "C2"), Customer(OTHER, "cy@example.com", None)
THIRD = Customer("+14155550177", None, "C3")
HOUR = timedelta(hours=1)
UNDO = Brought(Source.UNDO, "import", run="undo")


def brought(run: int) -> Brought:
    return Brought(Source.IMPORT, "crm.csv", run=str(run))


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    made = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield made
    made.close()


# As of now, or of the call


def credited(ledger: SqlLedger, as_of: AsOf, *, at: Any, number: int = 1) -> str | None:
    """Whose call it is, by what is sent of it; None while it waits."""
    judge = replace(JUDGE, as_of=as_of)
    ledger.append([raw(number, at=at)])
    fold_batch(ledger, judge, 100)
    decide_batch(ledger, judge, ledger.clock() + HOUR, 100)
    review_parked_batch(ledger, judge, ledger.clock(), 100)
    [story] = ledger.stories.of_call(sid(number))
    return None if story.conversion is None else json.loads(story.conversion.payload)["email"]


def test_a_caller_is_who_has_the_number_now_or_who_had_it_at_the_call(ledger: SqlLedger) -> None:
    ledger.merge_customers([ANN], brought(1))
    then = ledger.clock()
    ledger.merge_customers([EVE], brought(2))
    assert credited(ledger, AsOf.NOW, at=then) == "eve@example.com"
    assert credited(ledger, AsOf.CALL, at=then, number=2) == "ann@example.com"
    assert credited(ledger, AsOf.CALL, at=ledger.clock(), number=3) == "eve@example.com"


def test_a_caller_who_was_not_known_at_the_call_is_the_first_who_was_known_later(ledger: SqlLedger) -> None:
    then = ledger.clock() - HOUR
    assert credited(ledger, AsOf.CALL, at=then) is None
    ledger.merge_customers([ANN], brought(1))
    ledger.merge_customers([EVE], brought(2))
    assert credited(ledger, AsOf.CALL, at=then) == "ann@example.com"


def test_who_was_retired_after_the_call_is_its_caller_as_of_then(ledger: SqlLedger) -> None:
    ledger.merge_customers([ANN], brought(1))
    then = ledger.clock()
    ledger.retire_customers([CALLER], brought(2))
    assert credited(ledger, AsOf.NOW, at=then) is None
    assert credited(ledger, AsOf.CALL, at=then, number=2) == "ann@example.com"


def test_of_several_people_at_the_call_the_one_is_taken_who_has_the_number_alone_later(ledger: SqlLedger) -> None:
    ledger.merge_customers([Customer(CALLER, None, None, people=2)], brought(1))
    then = ledger.clock()
    assert credited(ledger, AsOf.CALL, at=then) is None
    ledger.merge_customers([EVE], brought(2))
    assert credited(ledger, AsOf.CALL, at=then) == "eve@example.com"


# Undone


def summed(pages: Iterator[Undoing]) -> tuple[set[str | None], set[str], set[str]]:
    every = list(pages)
    return (
        {one.email for page in every for one in page.restored},
        {phone for page in every for phone in page.retired},
        {phone for page in every for phone in page.changed_since},
    )


def test_an_import_is_taken_back_and_what_others_changed_since_stays(ledger: SqlLedger) -> None:
    ledger.merge_customers([ANN, BO], brought(1))
    ledger.merge_customers([EVE, CY, THIRD], brought(2))
    ledger.merge_customers([replace(CY, email="late@example.com")], brought(3))
    expected = ({"ann@example.com"}, {THIRD.phone}, {OTHER})
    assert summed(undoing(ledger.history, 2)) == expected
    assert dict(ledger.find_customers([CALLER])) == {CALLER: EVE}, "to look changes nothing"
    assert summed(undo(ledger.history, ledger, 2, UNDO)) == expected
    found = ledger.find_customers([CALLER, OTHER, THIRD.phone])
    assert found == {CALLER: ANN, OTHER: replace(CY, email="late@example.com")}


def test_whoever_an_import_retired_is_there_again(ledger: SqlLedger) -> None:
    ledger.merge_customers([ANN, BO], brought(1))
    ledger.retire_customers([CALLER], brought(2))
    assert summed(undo(ledger.history, ledger, 2, UNDO)) == ({"ann@example.com"}, set(), set())
    assert dict(ledger.find_customers([CALLER, OTHER])) == {CALLER: ANN, OTHER: BO}


PEOPLE = st.sampled_from([ANN, EVE, BO, CY, THIRD, Customer(CALLER, None, None, people=2)])


@settings(max_examples=100, deadline=None)
@given_any(
    before=st.lists(PEOPLE, max_size=4),
    merged=st.lists(PEOPLE, max_size=4),
    retired=st.sets(PEOPLE.map(lambda one: one.phone)),
)
def test_after_an_import_is_undone_everything_is_as_it_was(
    before: list[Customer], merged: list[Customer], retired: set[str]
) -> None:
    ledger = MemoryLedger()
    phones = [CALLER, OTHER, THIRD.phone]
    for one in before:
        ledger.merge_customers([one], Brought(Source.IMPORT, "before"))
    held = dict(ledger.find_customers(phones))
    for one in merged:
        ledger.merge_customers([one], Brought(Source.IMPORT, "undone"))
    ledger.retire_customers(retired, Brought(Source.IMPORT, "undone"))
    for line in ledger.history.imports(10):
        if line.name == "undone":
            assert summed(undo(ledger.history, ledger, line.id, UNDO))[2] == set()
    assert dict(ledger.find_customers(phones)) == held


# The commands


class Console:
    def __init__(self) -> None:
        from offhook.service import create_app

        self.app = create_app()

    def __call__(self, *words: str, stdin: str | None = None) -> Result:
        return self.app.test_cli_runner().invoke(args=list(words), input=stdin)

    def imports(self, text: str) -> None:
        Path("crm.csv").write_text(f"phone,email,customer_id,tier\n{text}")
        assert self("customers", "import", "crm.csv").exit_code == 0


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Console:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", give_tables(f"sqlite:///{tmp_path}/offhook.db", request))
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_NICE", "0")
    return Console()


def test_a_customer_is_shown_by_number_email_or_id_with_attributes_and_history(console: Console) -> None:
    console.imports(f"{CALLER},ann@example.com,C1,gold\n")
    console.imports(f"{CALLER},eve@example.com,C9,\n{OTHER},eve@example.com,C9,\n")
    for who in (CALLER, "(415) 555-0100", "ann@example.com", "C1"):
        found = json.loads(console("customers", "show", who, "--json", "--in-clear").stdout)
        assert (found["phone"], found["email"]) == (CALLER, "eve@example.com")
        history = [(line["email"], line["brought_by"], line["ended_by"]) for line in found["history"]]
        assert history == [
            ("ann@example.com", "1 import crm.csv", "2 import crm.csv"),
            ("eve@example.com", "2 import crm.csv", None),
        ]
        assert found["history"][0]["attributes"] == {"tier": "gold"}
    both = json.loads(console("customers", "show", "EVE@example.com", "--json", "--in-clear").stdout)
    assert [one["phone"] for one in both] == [CALLER, OTHER]
    shown = console("customers", "show", "C9").stdout
    assert "e***@example.com" in shown and "2 import crm.csv" in shown and CALLER not in shown


def test_imports_are_listed_and_undone_after_a_look_and_a_yes(console: Console) -> None:
    console.imports(f"{CALLER},ann@example.com,C1,gold\n")
    console.imports(f"{CALLER},eve@example.com,C9,\n{OTHER},bo@example.com,C2,\n")
    listed = json.loads(console("customers", "imports", "--json").stdout)
    assert [(one["id"], one["added"], one["changed"]) for one in listed] == [(2, 1, 1), (1, 1, 0)]
    looked = json.loads(console("customers", "undo", "2", "--dry-run", "--json").stdout)
    assert (looked["restored"], looked["retired"], looked["changed_since"]) == (1, 1, 0)
    refused = console("customers", "undo", "2", stdin="n\n")
    assert refused.exit_code == 1 and "\ncount  what\n    1  restored\n" in refused.stdout
    assert console("customers", "show", OTHER).exit_code == 0
    assert console("customers", "undo", "2", "--yes").exit_code == 0
    assert console("customers", "show", OTHER).exit_code == 1
    found = json.loads(console("customers", "show", CALLER, "--json", "--in-clear").stdout)
    assert (found["email"], found["attributes"]) == ("ann@example.com", {"tier": "gold"})
    [last, second, _] = json.loads(console("customers", "imports", "--json").stdout)
    assert last["source"] == "undo" and second["undone_at"] is not None
    assert console("customers", "undo", "99").exit_code == 2


def test_who_loses_a_number_by_taking_an_import_back_is_shown_beforehand(console: Console) -> None:
    later, third = "+14155550102", "+14155550103"
    console.imports(f"{CALLER},ann@example.com,C1,gold\n{third},di@example.com,C5,\n")
    console.imports(
        f"{CALLER},eve@example.com,C9,\n{OTHER},bo@example.com,C2,\n{later},cy@example.com,C3,\n{third},,C6,\n{third},,C7,\n"
    )
    console.imports(f"{later},fay@example.com,C4,\n")
    words = ("customers", "undo", "2", "--dry-run")
    samples = json.loads(console(*words, "--json", "--in-clear").stdout)["samples"]
    found = [(one["what"], one["phone"], one["email"], one["was"] and one["was"]["email"]) for one in samples]
    assert sorted(found) == [
        ("changed since", later, "fay@example.com", None),
        ("restored", CALLER, "ann@example.com", "eve@example.com"),
        ("restored", third, "di@example.com", None),
        ("retired", OTHER, None, "bo@example.com"),
    ]
    [shared] = [one["was"] for one in samples if one["phone"] == third]
    assert shared["customers"] == 2
    shown = console(*words).stdout
    assert re.search(r"retired +\S+0101 +- +- +b\*\*\*@example.com C2", shown)
    assert re.search(r"restored +\S+0103 +d\*\*\*@example.com +C5 +2 customers", shown)
    assert re.search(r"changed since +\S+0102 +f\*\*\*@example.com +C4 +-", shown)


def test_numbers_that_nobody_knows_are_listed_and_filled_in_and_imported(console: Console) -> None:
    from tests.contracts.test_unknown import keep_calls

    ledger = console.app.extensions["offhook"].ledger
    keep_calls(ledger)
    assert "+1415***0177" in console("unknown").stdout
    listed = json.loads(console("unknown", "--json", "--in-clear").stdout)
    assert [(one["phone"], one["calls"]) for one in listed] == [("+14155550177", 2), (OTHER, 2)]
    for shown in ("--json", "--csv"):
        few = console("unknown", shown, "--limit", "1")
        assert "There are more than this one:" in few.stderr
    file = console("unknown", "--csv")
    assert file.stderr == ""
    lines = file.stdout.splitlines()
    assert lines[0] == "phone,email,customer_id,calls,oldest_at,latest_at"
    filled = [line.replace(",,", ",cy@example.com,", 1) if "0177" in line else line for line in lines]
    Path("unknown.csv").write_text("\n".join(lines))
    blank = console("customers", "import", "unknown.csv")
    assert blank.exit_code == 1 and "No row of it was filled in: the mapping is as it was." in blank.stderr
    Path("unknown.csv").write_text("\n".join([*filled, "+999123456789,,,1,,", "x,eve@example.com,,1,,"]))
    preview = json.loads(console("customers", "import", "unknown.csv", "--dry-run", "--json").stdout)
    assert (preview["releases"], preview["oldest_released_at"]) == (2, "2026-03-12T12:02:00Z")
    assert (preview["added"], preview["rejected"], preview["left_empty"]) == (1, 1, 2)
    Path("unknown.csv.rejected.csv").unlink()
    Path("unknown.csv").write_text("\n".join(filled))
    said = console("customers", "import", "unknown.csv", "--strict")
    assert said.exit_code == 0 and "1  left empty" in said.stdout and "NOT used" not in said.stderr
    assert not Path("unknown.csv.rejected.csv").exists()
    assert "This releases 2 waiting calls, the oldest of 2026-03-12" in said.stderr
    assert ledger.find_customers(["+14155550177"])["+14155550177"] == Customer("+14155550177", "cy@example.com", None)


def test_all_customers_of_a_shared_number_are_listed_with_who_is_credited(console: Console) -> None:
    console.imports(f"{CALLER},ann@example.com,C1,\n{CALLER},eve@example.com,C9,\n{OTHER},bo@example.com,C2,\n")
    listed = json.loads(console("customers", "conflicts", "--json", "--in-clear").stdout)
    rows = [(one["phone"], one["customers"], one["email"], one["credited"]) for one in listed]
    assert rows == [(CALLER, 2, "ann@example.com", False), (CALLER, 2, "eve@example.com", False)]
    assert console("customers", "import", "crm.csv", "--conflict", "last").exit_code == 0
    listed = json.loads(console("customers", "conflicts", "--json").stdout)
    assert [(one["email"], one["credited"]) for one in listed] == [
        ("a***@example.com", False),
        ("e***@example.com", True),
    ]


@pytest.mark.parametrize("shown", ["--format=table", "--json", "--csv"])
def test_numbers_of_several_customers_go_on_behind_a_page_and_it_is_said_that_there_are_more(
    console: Console, shown: str
) -> None:
    people = (("ann@example.com", "C1"),)
    every = [Customer(f"+1415555{number:04}", None, None, people=2, others=people) for number in range(PAGE + 2)]
    console.app.extensions["offhook"].ledger.merge_customers(every)
    cut = console("customers", "conflicts", shown, "--limit", str(PAGE + 1))
    assert (cut.stdout.count("a***@"), cut.stderr) == (
        PAGE + 1,
        f"There are more than these {PAGE + 1}: --limit shows more.\n",
    )
    whole = console("customers", "conflicts", shown, "--limit", str(PAGE + 2))
    assert (whole.stdout.count("a***@"), whole.stderr) == (PAGE + 2, "")


def test_each_of_the_several_customers_of_a_number_is_shown_by_it(console: Console) -> None:
    console.imports(f"{CALLER},ann@example.com,C1,\n{CALLER},eve@example.com,C9,\n{OTHER},bo@example.com,C2,\n")
    shown = console("customers", "show", CALLER)
    assert shown.exit_code == 1 and "2 customers have +1415***0100" in shown.stderr
    assert "a***@example.com" in shown.stdout and "e***@example.com" in shown.stdout and CALLER not in shown.output
    found = json.loads(console("customers", "show", CALLER, "--json", "--reveal").stdout)
    assert (found["phone"], found["email"]) == (CALLER, None)
    people = [(one["email"], one["customer_id"], one["customers"], one["credited"]) for one in found["people"]]
    assert people == [("ann@example.com", "C1", 2, False), ("eve@example.com", "C9", 2, False)]
    [row] = csv.DictReader(io.StringIO(console("customers", "show", CALLER, "--csv").stdout))
    assert [one["email"] for one in json.loads(row["people"])] == ["a***@example.com", "e***@example.com"]
    assert console("customers", "import", "crm.csv", "--conflict", "last").exit_code == 0
    found = json.loads(console("customers", "show", CALLER, "--json", "--reveal").stdout)
    assert (found["email"], [one["credited"] for one in found["people"]]) == ("eve@example.com", [False, True])
    assert json.loads(console("customers", "show", OTHER, "--json").stdout)["people"] == []


@pytest.mark.parametrize(("name", "conflict"), [("ann@example.com", "none"), ("C9", "none"), ("C1", "last")])
def test_each_of_the_several_customers_of_a_number_is_found_by_email_and_by_id(
    console: Console, name: str, conflict: str
) -> None:
    console.imports(f"{CALLER},ann@example.com,C1,\n{CALLER},eve@example.com,C9,\n{OTHER},bo@example.com,C2,\n")
    assert console("customers", "import", "crm.csv", "--conflict", conflict).exit_code == 0
    shown = console("customers", "show", name, "--json", "--reveal")
    found = json.loads(shown.stdout)
    assert [(one["email"], one["customer_id"]) for one in found["people"]] == [
        ("ann@example.com", "C1"),
        ("eve@example.com", "C9"),
    ]
    assert (shown.exit_code, found["customer_id"]) == ((1, None) if conflict == "none" else (0, "C9"))
    console.app.extensions["offhook"].ledger.append([raw(1)])
    fold_batch(console.app.extensions["offhook"].ledger, JUDGE, 10)
    assert sid(1) in console("explain", name).stdout


@pytest.mark.parametrize(
    ("emails", "sent"),
    [
        (Emails(), "ann@example.com"),
        (Emails(lower=False), "Ann@Example.com"),
        (Emails(hashed=True), sha256(b"ann@example.com").hexdigest()),
        (Emails(lower=False, hashed=True), sha256(b"ann@example.com").hexdigest()),
    ],
)
def test_an_email_is_sent_as_the_settings_say_and_kept_as_it_is(emails: Emails, sent: str) -> None:
    ledger = MemoryLedger()
    ledger.merge_customers([Customer(CALLER, "Ann@Example.com", None)])
    ledger.append([raw(1)])
    judge = replace(JUDGE, emails=emails)
    fold_batch(ledger, judge, 10)
    assert decide_batch(ledger, judge, NOON + HOUR, 10) == 1
    [story] = ledger.stories.of_call(sid(1))
    assert story.conversion is not None and json.loads(story.conversion.payload)["email"] == sent
    assert ledger.find_customers([CALLER])[CALLER].email == "Ann@Example.com"
    assert Emails(hashed=True).sent("a" * 64) == "a" * 64
    assert emails.sent(" ") is None and emails.sent(None) is None
