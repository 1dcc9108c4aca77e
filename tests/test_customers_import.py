"""What an import says beforehand and afterwards: the diff of a dry run, who is retired, what is kept, what was recognised."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from offhook.adapters.customers.columns import is_of_phones
from offhook.adapters.customers.csv_file import Replace, import_csv
from offhook.adapters.customers.exports import EXPORTS, recognised
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.customers.lines import ImportRefused
from offhook.pipeline.ports.customers import Brought, Source
from tests.conftest import give_tables
from tests.fakes.customers import MemoryCustomers
from tests.fakes.kept import Kept
from tests.fakes.ledger import MemoryLedger

HEADER = "phone,email,customer_id\n"
SAMPLE_FILES = Path(__file__).parent / "data" / "customers"
ANN, BO, CY = "+14155550142", "+14155550143", "+14155550144"


class Office:
    """A mapping in memory and a folder for files."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept()
        self.table = MemoryLedger(kept=self.kept)
        self.file = folder / "customers.csv"

    def imports(self, text: str, **options: Any) -> Any:
        self.file.write_text(text, encoding="utf-8")
        return import_csv(self.file, self.table, **options)

    @property
    def people(self) -> dict[str, tuple[str | None, str | None]]:
        return {phone: (one.email, one.customer_id) for phone, one in self.kept.customers.items()}

    def attributes(self, phone: str) -> dict[str, str]:
        return dict(self.table.find_customers([phone])[phone].attributes)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_every_further_column_is_kept_as_an_attribute(office: Office) -> None:
    office.imports(f"phone,email,Tier,note,\n{ANN},ann@example.com,gold, two words ,x\n{BO},bo@example.com,,,\n")
    assert office.attributes(ANN) == {"Tier": "gold", "note": "two words"}
    assert office.attributes(BO) == {}


def test_attributes_have_limits_and_what_is_beyond_them_is_said(office: Office) -> None:
    limits = ImportLimits(attributes=2, attribute=5)
    report = office.imports(
        f"phone,email,a,b,c\n{ANN},ann@example.com,1,22222,3\n{BO},bo@example.com,123456,2,3\n", limits=limits
    )
    assert office.attributes(ANN) == {"a": "1", "b": "22222"}
    assert office.attributes(BO) == {"b": "2", "c": "3"}
    assert (report.attributes_left_out, dict(report.reasons)) == (1, {"attribute_too_long": 1})


def test_rows_of_one_person_say_their_attributes_together(office: Office) -> None:
    office.imports(
        f"phone,email,tier,city\n{ANN},ann@example.com,gold,\n{ANN},ann@example.com,silver,Rome\n", conflict="first"
    )
    assert office.attributes(ANN) == {"tier": "gold", "city": "Rome"}


def test_emails_are_taken_in_lower_case_where_that_is_wanted(office: Office) -> None:
    office.imports(HEADER + f"{ANN}, Ann@Example.COM ,C1\n", lower_emails=True)
    assert office.people == {ANN: ("ann@example.com", "C1")}
    office.imports(HEADER + f"{ANN}, Ann@Example.COM ,C1\n")
    assert office.people == {ANN: ("Ann@Example.COM", "C1")}


# JSON lines


def test_lines_of_json_are_customers_with_all_that_they_name(office: Office) -> None:
    lines = [
        {"phone": ANN, "email": "ann@example.com", "customer_id": 42, "address": {"city": "Rome"}, "vip": True},
        {"phone": [BO, CY], "email": "bo@example.com", "tags": ["a", "b"], "later": None, "new": 1.5},
    ]
    report = office.imports("".join(f"{json.dumps(line)}\n" for line in lines))
    assert office.people == {ANN: ("ann@example.com", "42"), BO: ("bo@example.com", None), CY: ("bo@example.com", None)}
    assert office.attributes(ANN) == {"address.city": "Rome", "vip": "true"}
    assert office.attributes(CY) == {"tags": "a; b", "new": "1.5"}
    assert (report.rows, report.numbers, report.rejected) == (2, 3, 0)


def test_a_name_that_comes_late_is_kept_too(office: Office) -> None:
    first = [{"phone": ANN, "email": f"{number}@example.com"} for number in range(150)]
    office.imports(
        "".join(f"{json.dumps(one)}\n" for one in [*first, {"phone": BO, "email": "b@x.yz", "tier": "gold"}])
    )
    assert office.attributes(BO) == {"tier": "gold"}


@pytest.mark.parametrize("line", ["{", "[1]", "42", '{"phone": "+14155550143", "email": "b@x.yz"', "{}" * 40_000])
def test_a_line_that_is_no_object_costs_no_other_line(office: Office, line: str) -> None:
    good = json.dumps({"phone": ANN, "email": "ann@example.com"})
    report = office.imports(f"{good}\n\n{line}\n{good}\n")
    assert office.people == {ANN: ("ann@example.com", None)}
    assert (report.rows, report.rejected) == (2, 1)


def test_an_array_is_no_file_of_lines(office: Office) -> None:
    with pytest.raises(ImportRefused, match="an object a line"):
        office.imports(json.dumps([{"phone": ANN}], indent=2))


# The exports of usual programs


@pytest.mark.parametrize(
    ("file", "program", "phones", "email", "customer_id"),
    [
        ("shopify", "Shopify", ("Phone", "Default Address Phone"), "Email", "Customer ID"),
        ("hubspot", "HubSpot", ("Phone Number", "Mobile Phone Number"), "Email", "Record ID"),
        ("salesforce", "Salesforce", ("Phone", "Mobile", "Home Phone"), "Email", "Contact ID"),
        (
            "pipedrive",
            "Pipedrive",
            ("Person - Phone - Work", "Person - Phone - Mobile"),
            "Person - Email - Work",
            "Person - ID",
        ),
        ("mailchimp", "Mailchimp", ("Phone Number",), "Email Address", ""),
        ("google-contacts", "Google Contacts", ("Phone 1 - Value", "Phone 2 - Value"), "E-mail 1 - Value", ""),
    ],
)
def test_an_export_is_recognised_by_its_header_and_needs_no_names(
    tmp_path: Path, file: str, program: str, phones: tuple[str, ...], email: str, customer_id: str
) -> None:
    table = MemoryCustomers(Kept())
    report = import_csv(SAMPLE_FILES / f"{file}.csv", table, rejects_path=tmp_path / "r.csv")
    columns = report.columns
    assert columns is not None and columns.program == program
    assert tuple(name for name, _ in columns.phones) == phones
    assert (columns.names[columns.email] if columns.email is not None else "") == email
    assert (columns.names[columns.customer_id] if columns.customer_id is not None else "") == customer_id
    assert report.added > 0


def test_each_program_of_the_table_is_recognised_by_its_own_names() -> None:
    for export in EXPORTS:
        names = dict.fromkeys([*export.signature, *export.phones[:2], *export.emails[:1], *export.ids[:1], "Else"])
        found = recognised(list(names))
        assert found is not None and found[0] == export.program
        assert set(export.phones[:2]) <= set(found[1])


def test_a_header_that_nobody_writes_is_not_guessed(office: Office) -> None:
    assert recognised(["Phone", "Email", "Lead ID"]) is None
    assert recognised(["phone", "email", "customer_id"]) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("Mobile Phone", True),
        ("Default Address Phone", True),
        ("home_phone", True),
        ("WorkPhone", True),
        ("Phone 2", True),
        ("Phone (Work)", True),
        ("Mobile No.", True),
        ("Telefon", True),
        ("Phone Verified", False),
        ("Phone Type", False),
        ("Phone Country", False),
        ("No Phone", False),
        ("Do Not Phone", False),
        ("Fax", False),
        ("Emergency Contact Phone", False),
        ("Mobile Address", False),
        ("Address", False),
        ("T\u00e9l\u00e9phone", False),
        ("Smartphone", False),
        ("", False),
    ],
)
def test_a_column_of_phones_is_known_by_its_words(name: str, is_one: bool) -> None:
    assert is_of_phones(name) is is_one


def test_all_columns_of_phones_are_taken_though_no_program_writes_such_a_header(console: Console) -> None:
    header = "Email,Phone,Mobile Phone,Default Address Phone,Phone Verified,mobile phone\n"
    console.file.write_text(f"{header}an@example.com,,{ANN},{BO},yes,\nbo@example.com,{CY},,,no,x\n")
    found = console.json("customers", "import", "customers.csv", "--json")
    assert (found["added"], found["rejected"]) == (3, 0)
    assert found["columns"]["phone"] == ["Phone", "Mobile Phone", "Default Address Phone"]
    assert found["columns"]["attributes"] == ["Phone Verified", "mobile phone"]
    mine = console.json("customers", "show", "an@example.com", "--json", "--in-clear")
    assert [one["phone"] for one in mine] == [ANN, BO]
    said = console("customers", "import", "customers.csv").stdout
    assert 'Taken: phones from "Phone" and "Mobile Phone" and "Default Address Phone", email from "Email".' in said
    named = console.json(
        "customers", "import", "customers.csv", "--json", "--columns", "Default Address Phone,Email,", "--dry-run"
    )
    assert named["columns"]["phone"] == ["Default Address Phone"]


def test_a_header_without_the_columns_names_those_that_may_be_meant(office: Office) -> None:
    with pytest.raises(ImportRefused, match=r'may be --columns "Mobile\|Home Phone,E-Mail,Kunden-ID"'):
        office.imports("Mobile,Home Phone,Phone Type,E-Mail,Kunden-ID\n")


def test_columns_that_were_named_are_taken_whatever_program_wrote_the_file(tmp_path: Path) -> None:
    table = MemoryCustomers(Kept())
    named = ("Default Address Phone", "Email", "Customer ID")
    report = import_csv(SAMPLE_FILES / "shopify.csv", table, columns=named, rejects_path=tmp_path / "r.csv")
    assert report.columns is not None and report.columns.program is None


# Replacing


def everybody(*phones: str) -> str:
    return HEADER + "".join(f"{phone},a{phone[-4:]}@example.com,\n" for phone in phones)


def test_whoever_is_not_in_the_file_is_retired_and_only_then(office: Office) -> None:
    office.imports(everybody(ANN, BO, CY))
    assert office.imports(everybody(ANN, BO)).removed == 0
    report = office.imports(everybody(ANN, BO), replacing=Replace(0.5))
    assert (report.removed, report.unchanged, set(office.people)) == (1, 2, {ANN, BO})


def test_more_than_a_share_is_not_retired_and_nothing_is_changed(office: Office) -> None:
    office.imports(everybody(ANN, BO, CY))
    with pytest.raises(ImportRefused, match=r"2 of 3 numbers .* 20%.*--yes-retire"):
        office.imports(everybody(ANN, "+14155550199"), replacing=Replace(0.2))
    assert set(office.people) == {ANN, BO, CY}
    office.imports(everybody(ANN, "+14155550199"), replacing=Replace(1.0))
    assert set(office.people) == {ANN, "+14155550199"}


def test_a_line_stays_whichever_of_its_spellings_is_in_the_file(office: Office) -> None:
    office.imports(everybody("+5215512345678"))
    assert office.imports(everybody("+525512345678"), replacing=Replace(0.0)).removed == 0


def test_what_an_import_brought_carries_its_name_in_history(office: Office) -> None:
    office.imports(everybody(ANN))
    office.imports(everybody(ANN), brought=Brought(Source.SYNC, "https://crm", run="7"))
    names = [(one.source, one.name) for one in office.table.history.imports(10)]
    assert names == [("sync", "https://crm"), ("import", "customers.csv")]


# The command


class Console:
    """`flask customers ...` on a SQLite ledger of its own."""

    def __init__(self, folder: Path) -> None:
        from offhook.service import create_app

        self.app = create_app()
        self.file = folder / "customers.csv"

    def __call__(self, *words: str) -> Result:
        return self.app.test_cli_runner().invoke(args=list(words))

    def json(self, *words: str) -> Any:
        result = self(*words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Console:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", give_tables(f"sqlite:///{tmp_path}/offhook.db", request))
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_NICE", "0")
    return Console(tmp_path)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_json_says_what_each_column_was_taken_for(console: Console, dry: tuple[str, ...]) -> None:
    console.file.write_text(f"Name, Mobile ,Phone,E-mail,,plan\nAnn,,{ANN},ann@example.com,,gold\n")
    words = ("customers", "import", "customers.csv", "--json", *dry)
    assert console.json(*words, "--columns", "phone|mobile,e-mail,id")["columns"] == {
        "phone": ["Phone", "Mobile"],
        "email": "E-mail",
        "customer_id": None,
        "attributes": ["Name", "plan"],
        "left_out": [],
        "program": None,
    }
    console.file.write_text(f"Total Spent,Phone,Email,Customer ID,Accepts Email Marketing\n7,{ANN},,C1,yes\n")
    found = console.json(*words)["columns"]
    assert (found["phone"], found["customer_id"], found["program"]) == (["Phone"], "Customer ID", "Shopify")


def test_a_dry_run_says_what_would_be_added_changed_removed_and_not_used(console: Console) -> None:
    console.file.write_text(HEADER + f"{ANN},ann@example.com,C1\n{BO},,C2\n{CY},,C3\n")
    console("customers", "import", "customers.csv")
    console.file.write_text(HEADER + f"{ANN},ann@example.com,C1\n{BO},,C8\n+14155550145,,C4\nx,,C5\n")
    words = ("customers", "import", "customers.csv", "--dry-run", "--replace", "--yes-retire")
    found = console.json(*words, "--json")
    counts = {"added": 1, "changed": 1, "unchanged": 1, "removed": 1, "conflicts": 0, "rejected": 1}
    assert {name: found[name] for name in counts} == counts
    assert found["samples"]["changed"] == [
        {
            "phone": "+1415***0143",
            "email": None,
            "customer_id": "C8",
            "was": {"phone": "+1415***0143", "email": None, "customer_id": "C2"},
        }
    ]
    assert [one["phone"] for one in found["samples"]["removed"]] == ["+1415***0144"]
    assert found["samples"]["rejected"][0]["reason"] == "phone_unreadable"
    clear = console.json(*words, "--json", "--in-clear")
    assert clear["samples"]["added"][0]["phone"] == "+14155550145"
    shown = console(*words).stdout
    assert re.search(r"rejected +\d+ +phone_unreadable", shown)
    assert "1  removed" in shown and "+1415***0144" in shown and "nothing was changed" in shown
    assert "C2" in console("customers", "show", BO).stdout


def test_a_number_that_a_file_takes_away_from_its_customer_is_a_change_wherever_it_is_counted(console: Console) -> None:
    console.file.write_text(HEADER + f"{ANN},k@example.com,\n")
    console("customers", "import", "customers.csv")
    console.file.write_text(HEADER + f"{ANN},k@example.com,\n{ANN},l@example.com,\n")
    words = ("customers", "import", "customers.csv")
    looked = console(*words, "--dry-run", "--json", "--in-clear")
    found = json.loads(looked.stdout)
    assert looked.exit_code == 1 and "1 number would be changed, and nobody's alone any more" in looked.stderr
    assert (found["added"], found["changed"], found["conflicts"]) == (0, 1, 2)
    was = {"phone": ANN, "email": "k@example.com", "customer_id": None}
    now = {"phone": ANN, "email": None, "customer_id": None, "customers": 2}
    assert found["samples"]["changed"] == [{**now, "was": was}]
    assert re.search(r"changed +\S+0142 +- +- +2 +k\*\*\*@example.com", console(*words, "--dry-run").stdout)
    taken = console(*words)
    assert taken.exit_code == 1 and "1  changed" in taken.stdout and "as it was" not in taken.output
    assert "1 number has several customers" in taken.stderr and "1 of these is counted as changed" in taken.stderr
    [line, _] = console.json("customers", "imports", "--json")
    assert (line["added"], line["changed"], line["unchanged"], line["removed"]) == (0, 1, 0, 0)
    again = console(*words)
    assert again.exit_code == 1 and "its numbers have several customers each" in again.stderr
    assert "changed" not in again.output


def test_a_file_of_no_use_that_removes_customers_does_not_say_that_all_is_as_it_was(console: Console) -> None:
    console.file.write_text(everybody(ANN))
    console("customers", "import", "customers.csv")
    console.file.write_text(HEADER + "x,bo@example.com,\n")
    refused = console("customers", "import", "customers.csv", "--replace", "--yes-retire")
    assert refused.exit_code == 1 and "No row of it was of use, but 1 number is removed." in refused.stderr
    again = console("customers", "import", "customers.csv")
    assert again.exit_code == 1 and "No row of it was of use: the mapping is as it was." in again.stderr


def test_replacing_is_refused_with_what_to_say(console: Console) -> None:
    console.file.write_text(everybody(ANN, BO))
    console("customers", "import", "customers.csv")
    console.file.write_text(everybody(ANN))
    refused = console("customers", "import", "customers.csv", "--replace")
    assert refused.exit_code == 2 and "--yes-retire" in refused.stderr
    looked = console("customers", "import", "customers.csv", "--replace", "--dry-run")
    assert looked.exit_code == 1 and looked.stderr == refused.stderr and "1 of 2 numbers is not in" in looked.stderr
    assert "1  removed" in looked.stdout and "+1415***0143" in looked.stdout
    looked = console("customers", "import", "customers.csv", "--replace", "--dry-run", "--json")
    found = json.loads(looked.stdout)
    assert (looked.exit_code, found["removed"], found["unchanged"]) == (1, 1, 1)
    assert found["refused"] in refused.stderr and [one["phone"] for one in found["samples"]["removed"]] == [
        "+1415***0143"
    ]
    assert console("customers", "show", BO).exit_code == 0
    assert console("customers", "import", "customers.csv", "--replace", "--yes-retire").exit_code == 0
    assert console("customers", "show", BO).exit_code == 1


def test_a_packed_file_that_unpacks_to_more_than_it_may_is_refused_with_what_to_do(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_UNPACKED_BYTES", "5000")
    packed = tmp_path / "customers.csv.gz"
    packed.write_bytes(gzip.compress((everybody(ANN) + "nobody,,\n" * 1000).encode()))
    bounded = Console(tmp_path)
    for command in (("import", "customers.csv.gz"), ("import", "customers.csv.gz", "--dry-run")):
        refused = bounded("customers", *command)
        assert refused.exit_code == 2 and "more than 5,000 bytes when it is unpacked" in refused.stderr
    synced = bounded("customers", "sync", "customers.csv.gz")
    assert synced.exit_code == 1 and "OFFHOOK_CUSTOMERS_UNPACKED_BYTES" in synced.stderr
    assert bounded("customers", "show", ANN).exit_code == 1
    packed.write_bytes(gzip.compress(everybody(ANN).encode()))
    assert bounded("customers", "import", "customers.csv.gz").exit_code == 0


def test_what_was_taken_for_what_is_said(console: Console) -> None:
    text = (SAMPLE_FILES / "hubspot.csv").read_text(encoding="utf-8")
    console.file.write_text(text, encoding="utf-8")
    said = console("customers", "import", "customers.csv").stdout
    assert 'export of HubSpot: phones from "Phone Number" and "Mobile Phone Number", email from "Email"' in said
    assert 'Kept as attributes: "First Name", "Last Name", "Contact owner"' in said
