"""What is exported, redacted and replayed on a fresh ledger comes to the same decisions and, up to the pseudonyms, payloads.

For every recording of the library, and for calls that nobody thought of. Nothing depends on order or repetition.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.adapters.commands.recordings import recordings
from offhook.adapters.ledger.schema import metadata
from offhook.adapters.recordings.format import Record, parameters, read
from offhook.adapters.recordings.redact import Redactor
from offhook.adapters.rules_file.reading import parse as parse_rules
from offhook.pipeline.customer import Customer
from offhook.pytest_offhook import ACCOUNT_SID, LIBRARY, Pipeline, open_pipeline
from tests.conftest import give_tables

NAMES = sorted(path.stem for path in LIBRARY.glob("*.jsonl"))
KEY = "sixteen characters or more"
DEFAULT_RULES = ""
RULES = """
statuses = ["completed", "busy", "no-answer"]
directions = ["inbound", "outbound-api"]
extra = { seconds = "{duration_seconds}", label = "{label}", legs = "{legs}", status = "{status}", by = "{answered_by}" }

# +1 765 555 0100 is the number on television
[[numbers]]
number = "+1 765-555-0100"
label = "TV"
action = "tv_call"
revenue = 27.50

[[numbers]]
number = '+442079460100'
label = "London"

[[rule]]
name = "Short ones of London"
when = { tracked_numbers = ["London", "television"], max_duration_seconds = 15 }
skip = "caller_again"

[[rule]]
name = "Whom we know by now"
when.first_call = false
convert.revenue = 9

[groups]
television = ["+1 765-555-0100"]
[ours]
numbers = ["+1 765-555-0199"]
"""
Outcomes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Twins:
    """An Offhook, and a fresh one that gets what the first one exports."""

    original: Pipeline
    fresh: Pipeline
    folder: Path

    def wipe(self) -> None:
        """Both as they were at the start, but for the tables themselves."""
        for pipeline in (self.original, self.fresh):
            with pipeline.service.ledger.database.write() as connection:
                for table in metadata.sorted_tables:
                    connection.execute(table.delete())

    def export(self) -> tuple[Record, ...]:
        """With everything beside it that the fresh one needs."""
        files = {name: str(self.folder / name) for name in ("calls.jsonl", "customers.csv", "rules.toml")}
        options = ("--customers", files["customers.csv"], "--rules", files["rules.toml"], "--key", KEY)
        for file in files.values():
            Path(file).unlink(missing_ok=True)
        with self.original.app.app_context():
            done = CliRunner().invoke(recordings, ["export", "--output", files["calls.jsonl"], *options])
        assert done.exit_code == 0, done.output
        self.fresh.rules((self.folder / "rules.toml").read_text())
        self.fresh.customers(self.folder / "customers.csv")
        return tuple(read(files["calls.jsonl"]))


@contextmanager
def twins(urls: tuple[str, str], folder: Path) -> Iterator[Twins]:
    with ExitStack() as stack:
        places = [folder / name for name in ("original", "fresh")]
        for place in places:
            place.mkdir()
        both = [stack.enter_context(open_pipeline(url, place)) for url, place in zip(urls, places, strict=True)]
        yield Twins(both[0], both[1], folder)


@pytest.fixture(params=["sqlite", "postgres"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twins]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            urls = (f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db")
            for url in urls:
                give_tables(url, request)
        else:
            lent = request.getfixturevalue("lent_databases")
            urls = (stack.enter_context(lent.one()), stack.enter_context(lent.one()))
        yield stack.enter_context(twins(urls, tmp_path))


def under_pseudonyms(outcomes: Outcomes) -> dict[str, dict[str, Any]]:
    """What the same calls come to when everybody in them has the pseudonym that KEY gives."""
    redactor = Redactor(KEY.encode())

    def sid(call_sid: str) -> str:
        record = Record(datetime.now(UTC), "POST", "/", form=(("CallSid", call_sid),))
        return dict(parameters(redactor.record(record)))["CallSid"]

    london = parse_rules(redactor.rules(RULES)).numbers[redactor.number("+442079460100")].label
    assert london not in (None, "London")

    def payload(fields: Mapping[str, Any]) -> dict[str, Any]:
        who = redactor.customer(Customer("+17655550142", fields.get("email"), fields.get("customer_id")))
        names = {"email": who.email, "customer_id": who.customer_id, "order_id": sid(fields["order_id"])}
        names |= {"label": london} if fields.get("label") == "London" else {}
        return {name: names.get(name, value) for name, value in fields.items()}

    def outcome(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {**fields, "conversion": payload(fields["conversion"])} if "conversion" in fields else dict(fields)

    return {sid(call_sid): outcome(fields) for call_sid, fields in outcomes.items()}


def assert_nobody_is_left(pair: Twins, recording: tuple[Record, ...]) -> None:
    """Neither in the callbacks nor in what stands beside them."""
    written = "".join((pair.folder / name).read_text() for name in ("calls.jsonl", "customers.csv", "rules.toml"))
    forms = [dict(parameters(record)) for record in recording]
    people = {form[name] for form in forms for name in ("From", "To") if "555" in form.get(name, "")}
    people |= {form["CallSid"] for form in forms if "CallSid" in form} | {"7655550100", "765-555-0100", "442079460100"}
    assert not [each for each in people if each in written]


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(DEFAULT_RULES, id="default rules", marks=pytest.mark.soak),
        pytest.param(RULES, id="rules with numbers"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_recording_of_the_library_survives_redaction(name: str, rules: str, pair: Twins) -> None:
    pair.original.rules(rules)
    pair.original.customers("customers.csv")
    pair.original.play(name)
    outcomes = pair.original.run()
    assert outcomes
    recording = pair.export()
    pair.fresh.play(recording)
    assert pair.fresh.run() == under_pseudonyms(outcomes)
    assert_nobody_is_left(pair, tuple(read(LIBRARY / f"{name}.jsonl")))


def assert_same_conversions(name: str, options: Mapping[str, int], pair: Twins) -> None:
    """As recorded, and with these options of a replay."""
    for pipeline, changes in ((pair.original, {}), (pair.fresh, options)):
        pipeline.rules(RULES)
        pipeline.customers("customers.csv")
        pipeline.play(name, **changes)
    assert pair.fresh.run() == pair.original.run()
    assert pair.fresh.conversions == pair.original.conversions


@pytest.mark.mostly("sqlite")
@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from([name for name in NAMES if name != "shop-day"]), seed=st.integers(0), copies=st.integers(1, 4)
)
def test_no_order_and_no_repetition_changes_a_conversion(name: str, seed: int, copies: int, pair: Twins) -> None:
    pair.wipe()
    assert_same_conversions(name, {"shuffle": seed, "duplicate": copies}, pair)


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": 8, "duplicate": 2},
        pytest.param({"shuffle": 7}, marks=pytest.mark.soak),
        pytest.param({"duplicate": 3}, marks=pytest.mark.soak),
    ],
)
def test_no_order_and_no_repetition_changes_a_day_of_a_shop(options: Mapping[str, int], pair: Twins) -> None:
    assert_same_conversions("shop-day", options, pair)


# Calls that nobody thought of

CALLERS = [f"+1765555014{digit}" for digit in range(4)] + ["+442079460142", "+33199000142"]
OURS = ["+17655550100", "+442079460100", "7655550100"]
SPELLINGS = [
    lambda number: number,
    lambda number: f"whatsapp:{number}",
    lambda number: f"sip:{number}@trunk.example.com",
    lambda number: number.removeprefix("+1"),
]
NOBODY = ["anonymous", "+266696687", "", "client:alice", "sip:bob@office.example.com", "Restricted", "12345"]
STATUSES = [
    "queued",
    "initiated",
    "ringing",
    "in-progress",
    "completed",
    "busy",
    "no-answer",
    "failed",
    "canceled",
    "odd",
]
START = datetime(2026, 3, 12, 14, tzinfo=UTC)

numbers = st.builds(lambda number, spell: spell(number), st.sampled_from(CALLERS), st.sampled_from(SPELLINGS))
whose = st.one_of(numbers, numbers, numbers, numbers, st.sampled_from(NOBODY))
moments = st.integers(0, 4000).map(lambda seconds: START + timedelta(seconds=seconds))


@st.composite
def calls(draw: st.DrawFn) -> list[Record]:
    """A few calls with their callbacks and legs, as Twilio might send them on a bad day."""
    records = []
    for number in range(draw(st.integers(1, 3))):
        sid = f"CA{number:032d}"
        params = {
            "From": draw(whose),
            "To": draw(st.sampled_from(OURS)),
            "Direction": draw(
                st.sampled_from([*["inbound"] * 5, "outbound-api", "outbound-api", "trunking-originating", ""])
            ),
            "ToCountry": draw(st.sampled_from(["US", "GB", ""])),
            "FromCountry": draw(st.sampled_from(["US", "GB", ""])),
            "FromCity": draw(st.sampled_from(["LAFAYETTE", "Zürich", ""])),
        }
        if params["Direction"] == "outbound-api":
            params["From"], params["To"] = params["To"], params["From"]
        records += draw(st.lists(callbacks_of(params | {"CallSid": sid}), min_size=1, max_size=4))
        child = {"CallSid": f"CA{number + 100:032d}", "ParentCallSid": sid, "Direction": "outbound-dial"}
        records += draw(st.lists(callbacks_of(params | child), max_size=2))
    return draw(st.permutations(records))


def callbacks_of(params: Mapping[str, str]) -> st.SearchStrategy[Record]:
    return st.builds(
        lambda received_at, status, duration, sequence, timed: Record(
            received_at,
            "POST",
            "/twilio/status",
            form=tuple(
                {
                    **params,
                    "AccountSid": ACCOUNT_SID,
                    "CallStatus": status,
                    **({"CallDuration": str(duration)} if duration is not None else {}),
                    **({"SequenceNumber": str(sequence)} if sequence is not None else {}),
                    **({"Timestamp": format_datetime(received_at)} if timed else {}),
                }.items()
            ),
        ),
        moments,
        st.sampled_from([*["completed"] * 9, *STATUSES]),
        st.none() | st.integers(0, 300),
        st.none() | st.integers(0, 3),
        st.booleans(),
    )


rows = st.lists(st.sampled_from(CALLERS), min_size=4, unique=True).map(
    lambda phones: [Customer(phone, f"{phone[-4:]}@example.org", f"C{phone[1:]}") for phone in phones]
)


@pytest.mark.mostly("sqlite")
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(recording=calls(), customers=rows, rules=st.sampled_from([DEFAULT_RULES, RULES]))
def test_calls_that_nobody_thought_of_survive_redaction_too(
    recording: list[Record], customers: list[Customer], rules: str, pair: Twins
) -> None:
    pair.wipe()
    pair.original.rules(rules)
    pair.original.customers(customers)
    pair.original.play(recording)
    outcomes = pair.original.run()
    exported = pair.export()
    assert len(exported) == len({json.dumps(parameters(record)) for record in recording})
    pair.fresh.play(exported)
    assert pair.fresh.run() == under_pseudonyms(outcomes)
