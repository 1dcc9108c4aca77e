"""Who is credited: whichever spelling a number has, nobody where several have it, and nobody for what is no number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from offhook.adapters.customers.csv_file import import_csv
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.payload import encode
from offhook.adapters.rules_file.reading import parse
from offhook.adapters.twilio.reading import read
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.ends import Numbering
from offhook.pipeline.reasons import remedy
from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import (
    Judge,
    ParkedReview,
    attempt,
    decide_batch,
    fold_batch,
    leave_unfinished_batch,
    review_parked_batch,
)
from offhook.service import build, create_app
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import read_request
from tests.support.readers import NEVER

ACCOUNT = "AC00000000000000000000000000000001"
CALLER, OTHER, OURS = "+14155550142", "+14155550143", "+14155550100"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CASES = {case["id"]: case for case in map(json.loads, (Path(__file__).parent / "data" / "callers.jsonl").open())}


class Destination:
    def encode(self, conversion: Conversion) -> bytes:
        return encode(conversion)

    def send(self, payload: bytes) -> Outcome:
        raise AssertionError("nothing is sent here")


class Office:
    """A ledger, its bookkeeper, and files of customers."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.ledger = SqlLedger(given({"DATABASE_URL": url}).database_url)
        self.judge = Judge(Rules(), Numbering("US"), Destination().encode, read, settle_seconds=0)
        self._calls = 0
        self._now = NOON

    def imports(self, csv: str, **options: Any) -> Any:
        path = self.folder / "customers.csv"
        path.write_text(csv, encoding="utf-8")
        return import_csv(path, self.ledger, **options)

    def is_called(self, caller: str = CALLER, **more: str) -> str:
        """A completed call; its CallSid."""
        self._calls += 1
        sid = f"CA{self._calls:032x}"
        params = {"CallSid": sid, "AccountSid": ACCOUNT, "From": caller, "To": OURS, "CallStatus": "completed"}
        self.receives(params | {"Direction": "inbound", "CallDuration": "63"} | more)
        return sid

    def receives(self, params: Mapping[str, str]) -> None:
        form = "application/x-www-form-urlencoded"
        raws = read_request("POST", "/twilio/status", form, {}, urlencode(params).encode(), NOON, ACCOUNT)
        assert isinstance(raws, tuple)
        self.ledger.append(raws)

    def decides(self) -> None:
        """Everything that waits, what is parked included."""
        self._now += timedelta(seconds=1)
        while fold_batch(self.ledger, self.judge, 10) + decide_batch(self.ledger, self.judge, self._now, 10):
            pass
        walk = ParkedReview()
        for _ in range(100):
            if walk.after is None:
                return
            review_parked_batch(self.ledger, self.judge, self._now, 10, walk)
        raise AssertionError("the review has no end")

    def story(self, sid: str) -> tuple[str, list[str], str]:
        """State, the words of each decision, and who was credited."""
        [story] = self.ledger.stories.of_call(sid)
        words = ["+".join(reason.word for reason in one.reasons) for one in story.decisions]
        payload = json.loads(story.conversion.payload) if story.conversion else {}
        return story.call.state, words, payload.get("email", payload.get("external_id", ""))

    def sentence(self, sid: str) -> str:
        [story] = self.ledger.stories.of_call(sid)
        return story.decisions[-1].reasons[-1].sentence

    def version(self) -> int:
        return self.ledger.mapping_version()


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    opened = Office(database_url, tmp_path)
    yield opened
    opened.ledger.close()


HEADER = "phone,email,customer_id\n"
ANN, BO = f"{CALLER},ann@example.com,1\n", f"{CALLER},bo@example.com,2\n"


def decided(office: Office, case: str) -> tuple[str, list[str], str]:
    params = dict(CASES[case]["params"])
    columns = tuple(CASES[case].get("columns", "phone,email,customer_id").split(","))
    office.imports(CASES[case]["csv"], columns=columns)
    office.receives(params)
    office.decides()
    return office.story(params["CallSid"])


@pytest.mark.parametrize(
    ("case", "state", "words"),
    [
        ("shopify-apostrophe-id", "converted", ["counts"]),
        ("restricted-plus-one", "skipped", ["caller_withheld"]),
        ("mexico-521", "converted", ["counts"]),
        ("switchboard-extensions", "parked", ["several_customers"]),
    ],
)
def test_what_others_met_comes_out_right(office: Office, case: str, state: str, words: list[str]) -> None:
    assert decided(office, case)[:2] == (state, words)


def test_ids_that_are_none_name_nobody(office: Office) -> None:
    report = office.imports(CASES["id-lost-digits-and-null"]["csv"])
    rejects = report.rejects_path.read_text()
    assert (rejects.count("id_lost_digits"), rejects.count("no_customer")) == (1, 3)
    assert [row["customer_id"] for row in by_hand.query(office.url, "SELECT customer_id FROM customers")] == [None]


def test_a_call_from_a_number_of_several_people_waits_until_it_is_one_persons(office: Office) -> None:
    office.imports(HEADER + ANN + BO)
    sid = office.is_called()
    office.decides()
    assert office.story(sid) == ("parked", ["several_customers"], "")
    assert office.sentence(sid).startswith(f"2 customers have the number {CALLER}")
    office.decides()  # it is not journaled again and again
    before = office.version()
    office.imports(HEADER + ANN + BO)
    assert office.version() == before
    office.imports(HEADER + BO)
    office.decides()
    assert office.version() > before
    assert office.story(sid) == ("converted", ["several_customers", "counts"], "bo@example.com")
    assert by_hand.count(office.url, "shared_numbers") == 0


def test_whoever_had_the_number_before_is_not_credited_either(office: Office) -> None:
    office.imports(HEADER + ANN)
    office.imports(HEADER + ANN + BO)
    sid = office.is_called()
    office.decides()
    assert office.story(sid)[:2] == ("parked", ["several_customers"])
    office.imports(HEADER + ANN + BO, conflict="first")
    office.decides()
    assert office.story(sid) == ("converted", ["several_customers", "counts"], "ann@example.com")


def test_calls_that_waited_as_unknown_are_decided_once_more_when_several_have_the_number(office: Office) -> None:
    sids = [office.is_called() for _ in range(7)] + [office.is_called(OTHER)]
    office.decides()
    assert office.story(sids[0]) == ("parked", ["caller_not_in_mapping"], "")
    office.imports(HEADER + ANN + BO + f"{OTHER},cy@example.com,3\n")
    for _ in range(4):
        office.decides()
    every = [office.story(sid) for sid in sids[:-1]]
    assert {words[-1] for _, words, _ in every} == {"several_customers"}
    assert {len(words) for _, words, _ in every} == {2}
    assert office.story(sids[-1])[2] == "cy@example.com"  # behind them in the walk, and not held up


@pytest.mark.parametrize(("kept", "calls"), [("+5215555550142", "+525555550142"), ("+525555550142", "+5215555550142")])
def test_a_customer_is_found_under_either_spelling_of_the_line(office: Office, kept: str, calls: str) -> None:
    """Also one that an earlier version has kept, which did not know that they are one."""
    by_hand.add_customer(office.url, kept, "mx@example.com")
    sid = office.is_called(calls)
    office.decides()
    assert office.story(sid) == ("converted", ["counts"], "mx@example.com")
    assert [row.key.call_sid for row in office.ledger.stories.calls_of(kept, 5)] == [sid]
    office.imports(f"{HEADER}{calls},new@example.com,\n")
    sid = office.is_called(kept)
    office.decides()
    assert office.story(sid)[2] == "new@example.com"


def test_a_call_that_an_earlier_version_parked_under_another_spelling_is_found_by_the_mapping(office: Office) -> None:
    sid = office.is_called("+5215555550142")
    office.decides()
    by_hand.change(office.url, "UPDATE calls SET customer_phone = '+5215555550142'")
    office.imports(f"{HEADER}+525555550142,mx@example.com,\n")
    office.decides()
    assert office.story(sid) == ("converted", ["caller_not_in_mapping", "counts"], "mx@example.com")


def test_a_number_of_no_known_plan_waits_and_one_that_cannot_be_is_skipped(office: Office) -> None:
    office.imports(f"{HEADER}0000000000,zero@example.com,0\n+10000000000,zero@example.com,0\n{CALLER},,1\n")
    unknown, zeros = office.is_called("+999123456789"), office.is_called("+10000000000")
    office.decides()
    assert office.story(unknown)[:2] == ("parked", ["caller_not_in_mapping"])
    assert "cannot be read" in office.sentence(unknown) and "+999123456789" in office.sentence(unknown)
    assert office.story(zeros) == ("skipped", ["caller_not_a_phone"], "")


def test_a_sip_address_is_a_number_on_our_end_and_on_the_callers_where_a_setting_says_so(office: Office) -> None:
    office.imports(HEADER + ANN)
    rules = parse(f'only_listed_numbers = true\n[[numbers]]\nnumber = "{OURS}"\n')
    office.judge = Judge(rules, Numbering("US"), Destination().encode, read, settle_seconds=0)
    ours = office.is_called(To=f"sip:{OURS}@offhook.sip.twilio.com")
    theirs = office.is_called(f"sip:{CALLER}@pbx.example.com")
    office.decides()
    assert office.story(ours)[:2] == ("converted", ["counts"])
    assert office.story(theirs)[:2] == ("skipped", ["caller_not_a_phone"])
    office.judge = Judge(rules, Numbering("US", sip_callers=True), Destination().encode, read, settle_seconds=0)
    theirs = office.is_called(f"sip:{CALLER}@pbx.example.com")
    office.decides()
    assert office.story(theirs) == ("converted", ["counts"], "ann@example.com")


def test_the_setting_reaches_whoever_decides() -> None:
    asked = given({"OFFHOOK_SIP_CALLERS": "1", "OFFHOOK_DEFAULT_COUNTRY": "gb", "DATABASE_URL": "sqlite:///none.db"})
    assert build(asked).judge().numbering == Numbering("GB", True)
    assert given({}).numbering == Numbering("US", False)
    assert given({"OFFHOOK_CUSTOMERS_COLUMNS": "Phone|Mobile, Email,"}).customers_columns == (
        "Phone|Mobile",
        "Email",
        "",
    )


def test_a_merge_counts_persons_and_changes_and_frees_a_number_that_is_one_persons_again(office: Office) -> None:
    def merged(*rows: Customer) -> tuple[int, ...]:
        return tuple(office.ledger.merge_customers(rows))

    shared, ann = Customer(CALLER, None, None, people=3), Customer(CALLER, "ann@example.com", "1")
    other = Customer(OTHER, "bo@example.com", "2")
    assert merged(shared, other) == (1, 0, 0)
    assert office.ledger.find_customers([CALLER, OTHER, OURS]) == {CALLER: shared, OTHER: other}
    assert merged(shared, other) == (0, 0, 1)
    assert merged(ann) == (0, 1, 0)
    assert office.ledger.find_customers([CALLER]) == {CALLER: ann}
    assert merged(Customer(CALLER, None, None, people=2)) == (0, 1, 0)
    assert merged(Customer(CALLER, None, None, people=2)) == (0, 0, 0)
    assert office.ledger.find_customers([CALLER])[CALLER].people == 2


# The commands


@pytest.fixture
def flask(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_NICE", "0")  # the process is that of the tests
    runner = create_app().test_cli_runner()
    return lambda *words, stdin=None: runner.invoke(args=list(words), input=stdin)


def test_the_story_and_the_mapping_name_how_many_and_show_no_number(office: Office, flask: Any) -> None:
    office.imports(HEADER + ANN + BO)
    sid = office.is_called()
    office.decides()
    story = flask("conversions", "show", sid, "--raw").stdout
    assert "several_customers: 2 customers have the number +1415***0142" in story and CALLER not in story
    shown = flask("customers", "show", CALLER)
    assert shown.exit_code == 1
    assert "2 customers have +1415***0142 (several_customers)" in shown.stderr and CALLER not in shown.output


def test_a_number_of_no_known_plan_finds_its_call_before_it_is_decided(office: Office, flask: Any) -> None:
    sid = office.is_called("+999123456789")
    assert fold_batch(office.ledger, office.judge, 10) == 1
    shown = flask("conversions", "show", "+999 123-456-789")
    assert shown.exit_code == 0 and sid in shown.stdout


@pytest.mark.mostly("sqlite")
def test_below_each_reason_that_holds_the_story_says_what_can_be_done(office: Office, flask: Any) -> None:
    sid = office.is_called()
    office.decides()
    word, what_to_do = "caller_not_in_mapping", remedy("caller_not_in_mapping")
    lines = [line.strip() for line in flask("conversions", "show", sid, "--raw").stdout.splitlines()]
    [at] = [place for place, line in enumerate(lines) if line.startswith(f"{word}: ")]
    assert lines[at + 1] == what_to_do

    office.imports(HEADER + ANN)
    office.decides()
    story = flask("conversions", "show", sid, "--raw").stdout
    assert word in story and what_to_do not in story, "that has been done"
    [claimed] = office.ledger.claim(NOON + HOUR, 1, 60, RetryPolicy()).taken
    refused = Outcome(Result.REFUSED, "http_422", 422, f"no {CALLER}")
    office.ledger.finish([attempt(claimed, refused, NOON + HOUR, NOON + HOUR, RetryPolicy())], NOON + HOUR)
    story = flask("conversions", "show", sid).stdout
    lines = [line.strip() for line in story.splitlines()]
    assert {"Needs you: Rockerbox answered 422", remedy("http_422")} <= set(lines)
    assert CALLER not in story
    assert not NEVER.search(story), NEVER.search(story)


@pytest.mark.mostly("sqlite")
def test_what_a_sentence_says_itself_is_not_said_twice(office: Office, flask: Any) -> None:
    sid = office.is_called(CallStatus="in-progress")
    office.decides()
    assert leave_unfinished_batch(office.ledger, office.judge, NOON + HOUR, 60, 10)
    parts = flask("conversions", "show", sid).stdout.split("\n\n")
    assert max(part.count(remedy("unfinished")) for part in parts) == 1


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    ("csv", "exit_code"),
    [(HEADER + ANN, 0), (HEADER + ANN + "x,,2\n", 0), (HEADER + "x,,2\n", 1), (HEADER, 1), (HEADER + ANN + BO, 1)],
)
def test_an_import_of_which_nothing_was_used_fails(flask: Any, csv: str, exit_code: int) -> None:
    result = flask("customers", "import", "-", stdin=csv)
    assert result.exit_code == exit_code
    assert ("No row of it was of use" in result.stderr) is bool(exit_code)


@pytest.mark.mostly("sqlite")
def test_what_a_person_should_know_is_said_and_what_to_do(flask: Any) -> None:
    Path("crm.csv").write_text("Phone,Mobile,Email,Lead ID\n4155550142,4155550143,ann@example.com,L1\n")
    refused = flask("customers", "import", "crm.csv")
    assert refused.exit_code == 2
    assert '--columns "phone|Mobile,email,Lead ID"' in refused.stderr and '"Mobile"' in refused.stderr
    result = flask("customers", "import", "crm.csv", "--columns", "Phone|Mobile,Email,Lead ID")
    assert result.exit_code == 0 and not result.stderr
    assert "1 row with 2 numbers read" in result.stdout and "2  added" in result.stdout
    Path("plain.csv").write_text("phone,email\n4155550144,jos\u00e9@example.com\n4155550145,a@example.com\n", "cp1252")
    result = flask("customers", "import", "plain.csv")
    assert result.stderr.startswith('plain.csv has no column "customer_id"')
    assert "flask customers import plain.csv --encoding cp1252" in result.stderr
