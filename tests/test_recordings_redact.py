"""What is exported names nobody: no original value is left, and who was the same is still the same."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.recordings import kept
from offhook.adapters.recordings.format import (
    KEPT_HEADERS,
    Record,
    RecordingError,
    dump,
    encoded,
    parameters,
    parse,
    query_pairs,
    read,
)
from offhook.adapters.recordings.redact import Redactor
from offhook.adapters.rules_file import reading as rules
from offhook.adapters.twilio.spelling import Pairs
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import CallerKind, caller

pytestmark = pytest.mark.unit

LIBRARY = Path(__file__).parent.parent / "recordings"
NAMES = sorted(path.stem for path in LIBRARY.glob("*.jsonl"))
AT = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)
KEY = b"a key of sixteen bytes or more"
TWILIOS_OWN = (
    *("Direction", "Timestamp", "CallbackSource", "SequenceNumber", "ApiVersion", "CallStatus", "Duration"),
    *("CallDuration", "SipResponseCode", "AnsweredBy", "MachineDetectionDuration"),
    *("FromCountry", "ToCountry", "CallerCountry", "CalledCountry"),
)


def form(*pairs: tuple[str, str]) -> Record:
    return Record(AT, "POST", "/twilio/status", form=pairs)


def one(name: str, value: str, redactor: Redactor | None = None) -> str:
    """What becomes of one value."""
    return parameters((redactor or Redactor(KEY)).record(form((name, value))))[0][1]


def everything_in(record: Record) -> Pairs:
    """Every parameter, wherever it stands, and the SIDs of an event."""
    if record.json is None:
        return (*parameters(record), *query_pairs(record.path_and_query))
    events = json.loads(record.json)
    of_events = [pair for event in events for pair in event["data"]["request"]["parameters"].items()]
    return (*of_events, *((name, event["data"]["sid"]) for event in events for name in ["sid"]))


@pytest.mark.parametrize("name", NAMES)
def test_no_original_value_is_left_in_an_exported_recording(name: str) -> None:
    originals = list(read(LIBRARY / f"{name}.jsonl"))
    redactor = Redactor()
    exported = [redactor.record(record) for record in originals]
    text = unquote_plus("\n".join(map(dump, exported)))
    values = {value for record in exported for _, value in everything_in(record)}
    for record in originals:
        for parameter, value in everything_in(record):
            if parameter in TWILIOS_OWN or value == "" or caller(value, "US").kind is CallerKind.WITHHELD:
                continue
            assert value not in values
            assert len(value) < 6 or value not in text
            number = caller(value, "US").e164
            assert number is None or number.removeprefix("+1") not in text
        for header, value in record.headers:
            assert header != "I-Twilio-Idempotency-Token" or value not in text


@pytest.mark.parametrize("name", NAMES)
def test_parameters_keep_their_order_their_number_and_their_empties(name: str) -> None:
    redactor = Redactor()
    for record in read(LIBRARY / f"{name}.jsonl"):
        redacted = redactor.record(record)
        if record.json is not None:
            continue
        before, after = parameters(record), parameters(redacted)
        assert len(before) == len(after)
        assert all(new[1] == "" for old, new in zip(before, after, strict=True) if old[1] == "")
        assert [new[0] for new in after if new[0] in TWILIOS_OWN] == [old[0] for old in before if old[0] in TWILIOS_OWN]
        assert [new for new in after if new[0] in TWILIOS_OWN] == [old for old in before if old[0] in TWILIOS_OWN]
        assert parse(dump(redacted)) == redacted


@pytest.mark.parametrize("name", NAMES)
def test_who_was_the_same_is_the_same_and_who_was_not_is_not(name: str) -> None:
    """Callers, ours, calls and legs: the pseudonyms are a renaming, one to one."""
    redactor = Redactor()
    renamed: dict[str, str] = {}
    for record in read(LIBRARY / f"{name}.jsonl"):
        for old, new in zip(everything_in(record), everything_in(redactor.record(record)), strict=True):
            if old[0] in ("From", "To", "Caller", "Called", "CallSid", "ParentCallSid", "AccountSid"):
                assert renamed.setdefault(identity(old[1]), identity(new[1])) == identity(new[1])
    assert len(set(renamed.values())) == len(renamed)


def identity(value: str) -> str:
    return caller(value, "US").e164 or value


def test_a_number_has_one_pseudonym_in_every_spelling_and_place() -> None:
    redactor = Redactor()
    expected = redactor.number("+17655550142")
    spellings = ("+17655550142", "(765) 555-0142", "1 765 555 0142", "whatsapp:+17655550142", "+1 765-555-0142")
    for name in ("From", "To", "ForwardedFrom", "SomethingNew"):
        for spelling in spellings:
            assert caller(one(name, spelling, redactor), "US").e164 == expected
    assert one("From", "whatsapp:+17655550142", redactor) == f"whatsapp:{expected}"
    assert one("From", "sip:+17655550142@pbx.example.com:5060", redactor) == f"sip:{expected}@example.invalid"
    assert redactor.customer(Customer("+17655550142", None, None)).phone == expected


def test_a_national_spelling_is_read_in_the_country_in_which_the_pipeline_reads_it() -> None:
    redactor = Redactor(region="US")
    expected = redactor.number("+442079460018")
    inbound = redactor.record(form(("From", "020 7946 0018"), ("ToCountry", "GB"), ("Direction", "inbound")))
    outbound = redactor.record(form(("To", "020 7946 0018"), ("FromCountry", "GB"), ("Direction", "outbound-api")))
    assert parameters(inbound)[0] == ("From", expected)
    assert parameters(outbound)[0] == ("To", expected)


FICTION = {
    "+1": r"\+1[2-9][0-9]{2}55501[0-9]{2}",
    "+44": r"\+44(1(1[345678]|[2345]1|61)4960|1914980|1632960|7700900)[0-9]{3}",
    "+33": r"\+33(19900|26191|35301|46571|53649|63998)[0-9]{4}",
}


@given(st.sampled_from(["+1765", "+1416", "+44207946", "+447911", "+3361", "+4930", "+35840"]), st.integers(0, 999_999))
def test_a_pseudonym_is_a_number_of_the_same_country_kept_for_fiction_where_one_is(start: str, rest: int) -> None:
    e164 = caller(f"{start}{rest:0{12 - len(start)}d}", "US").e164
    if e164 is None:
        return
    pseudonym = Redactor().number(e164)
    assert pseudonym != e164
    assert caller(pseudonym, "DE").e164 == pseudonym
    for code, pattern in FICTION.items():
        if e164.startswith(code):
            assert re.fullmatch(pattern, pseudonym)
    assert e164[:3] == pseudonym[:3] or e164.startswith("+1")
    assert len(e164) == len(pseudonym) or not e164.startswith(("+1", "+4930", "+358"))


def test_two_numbers_never_become_one_even_where_few_are_left() -> None:
    redactor = Redactor(KEY)
    pseudonyms = Counter(redactor.number(f"+1765{number:07}") for number in range(2_000_000, 2_012_000))
    assert len(pseudonyms) == 12_000  # more than the best range holds


def test_nobody_gets_the_own_number_of_somebody_who_was_seen_before() -> None:
    first_choice = Redactor(KEY).number("+17655550142")
    redactor = Redactor(KEY)
    redactor.number(first_choice)
    assert redactor.number("+17655550142") != first_choice


def test_a_country_that_has_no_number_left_is_refused_and_none_is_doubled() -> None:
    redactor = Redactor(KEY)
    with pytest.raises(RecordingError, match="export fewer callers"):
        for number in range(14_001):
            redactor.number(f"+4479110{number:05}")


def test_a_key_makes_the_same_pseudonyms_in_every_file_and_none_makes_others() -> None:
    record = next(read(LIBRARY / "answered.jsonl"))
    row = Customer("+17655550142", "anna@example.org", "4711")
    assert Redactor(KEY).record(record) == Redactor(KEY).record(record)
    assert Redactor(KEY).customer(row) == Redactor(KEY).customer(row)
    assert Redactor().record(record) != Redactor().record(record)
    assert Redactor(KEY).record(record) != Redactor(KEY + b"!").record(record)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Redactor(b"short")


@pytest.mark.parametrize("spelling", ["anonymous", "Restricted", "+266696687", "+7378742833", "", "PRIVATE"])
def test_who_is_nobody_stays_nobody(spelling: str) -> None:
    assert one("From", spelling) == spelling


@pytest.mark.parametrize("code", ["12345", "911", " 4711 "])
def test_a_short_code_becomes_another_of_its_length_and_always_the_same(code: str) -> None:
    """Behind a switchboard they are people's extensions."""
    redactor = Redactor(KEY)
    pseudonym = one("From", code, redactor)
    assert pseudonym == one("To", code, redactor) != code.strip()
    assert (len(pseudonym), caller(pseudonym, "US").kind) == (len(code.strip()), CallerKind.SHORT_CODE)
    assert one("From", "54321", redactor) != pseudonym


def test_short_codes_that_run_out_are_refused_and_none_is_doubled() -> None:
    redactor = Redactor(KEY)
    with pytest.raises(RecordingError, match="export fewer callers"):
        for number in range(1000):
            one("From", f"{number:03}", redactor)


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ('"Anna Example" <sip:anonymous@anonymous.invalid>', "anonymous@anonymous.invalid"),
        ("Anonymous@10.1.2.3", "anonymous@anonymous.invalid"),
        ("tel:anonymous", "anonymous"),
    ],
)
def test_nothing_that_stands_around_a_withheld_caller_is_kept(original: str, expected: str) -> None:
    assert one("From", original).removeprefix("sip:") == expected


@pytest.mark.parametrize(
    ("original", "pattern"),
    [
        ("client:anna_example", "client:user-[0-9a-f]{16}"),
        ("sip:anna@sip.brand.example", r"sip:user-[0-9a-f]{16}@example\.invalid"),
        ("sip:anonymous@10.1.2.3", r"sip:anonymous@anonymous\.invalid"),
        ("sim:DE0123456789abcdef0123456789abcdef", "sim:DE[0-9a-f]{32}"),
        ("Anna's phone", "unreadable-[0-9a-f]{16}"),
    ],
)
def test_other_callers_stay_callers_of_their_kind(original: str, pattern: str) -> None:
    redacted = one("From", original)
    assert re.fullmatch(pattern, redacted)
    assert caller(redacted, "US").kind == caller(original, "US").kind


SID = "RE0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "original", "pattern"),
    [
        ("RecordingSid", SID, "RE[0-9a-f]{32}"),
        ("RecordingUrl", f"https://api.twilio.com/Recordings/{SID}", r"https://example\.invalid/[0-9a-f]{16}"),
        ("CallerName", "ANNA EXAMPLE", "CALLER [0-9a-f]{16}"),
        ("FromCity", "MUNCIE", ""),
        ("CallerZip", "47303", ""),
        ("SipCallId", "a84b4c76e66710@10.1.2.3", r"user-[0-9a-f]{16}@example\.invalid"),
        ("SourceIp", "203.0.113.9", ""),
        ("SpeechResult", "my name is Anna", ""),
        ("NewThing", "anna@example.org", r"user-[0-9a-f]{16}@example\.invalid"),
        ("NewThing", SID, "RE[0-9a-f]{32}"),
        ("CallStatus", "anna@example.org", "unknown"),
        ("CallStatus", "completed", "completed"),
        ("CallDuration", "+17655550142", ""),
        ("Timestamp", "Thu, 12 Mar 2026 14:00:00 +0000", "Thu, 12 Mar 2026 14:00:00 \\+0000"),
        ("Timestamp", "17655550142", ""),
        ("StirVerstat", "TN-Validation-Passed-A", "TN-Validation-Passed-A"),
        ("SequenceNumber", "3", "3"),
        ("CallSid", "not-a-sid", "XX[0-9a-f]{32}"),
    ],
)
def test_each_kind_of_value_is_treated_by_its_kind(name: str, original: str, pattern: str) -> None:
    assert re.fullmatch(pattern, one(name, original))


def test_headers_path_and_words_about_it_are_treated_too() -> None:
    record = replace(
        form(("CallSid", "CA" + "1" * 32)),
        path_and_query="/hooks/s3cret-token-9/AC" + "2" * 32 + "/status?tenant=acme&number=%2B17655550142",
        headers=(
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("I-Twilio-Idempotency-Token", "token-1"),
            ("User-Agent", "Anna's browser"),
        ),
        about="Anna called on Thursday",
    )
    redacted = Redactor(KEY).record(record)
    line = dump(redacted)
    for secret in ("s3cret", "2" * 32, "acme", "7655550142", "token-1", "Anna"):
        assert secret not in line
    assert re.fullmatch(
        r"/hooks/path-[0-9a-f]{16}/AC[0-9a-f]{32}/status\?Param-[0-9a-f]{16}=&Param-[0-9a-f]{16}=%2B1\d{10}",
        redacted.path_and_query,
    )
    assert redacted.headers[0] == record.headers[0]
    assert redacted.headers[2] == ("User-Agent", "TwilioProxy/1.1")


def test_keep_numbers_keeps_numbers_and_nothing_else() -> None:
    redactor = Redactor(KEY, keep_numbers=True)
    record = redactor.record(next(read(LIBRARY / "answered.jsonl")))
    params = dict(parameters(record))
    assert (params["From"], params["To"]) == ("+17655550142", "+17655550100")
    assert params["FromCity"] == ""
    assert params["AccountSid"] != "AC00000000000000000000000000000001"
    assert one("From", "sip:+17655550142@pbx.example.com", redactor) == "sip:+17655550142@example.invalid"
    assert redactor.customer(Customer("+17655550142", "anna@example.org", None)).email != "anna@example.org"


def test_the_mapping_goes_under_the_same_pseudonyms() -> None:
    redactor = Redactor()
    rows = [Customer("+17655550142", "anna@example.org", "4711"), Customer("+17655550143", None, "4711")]
    first, second = redactor.customers(rows)
    assert re.fullmatch(r"customer-[0-9a-f]{16}@example\.com", first.email or "")
    assert second.email is None
    assert first.customer_id == second.customer_id != "4711"
    assert one("From", "+17655550143", redactor) == second.phone


def test_events_are_treated_to_their_depths() -> None:
    event = {
        "id": "EZ1",
        "source": "/Accounts/AC" + "1" * 32,
        "data": {
            "request": {
                "url": "https://brand.example/hook",
                "parameters": {"From": "+17655550142", "CallDuration": 12, "Odd": ["Anna", 17655550142], "Flag": True},
            },
            "response": {"responseBody": "QW5uYQ==", "headers": {"+17655550143": "Anna"}},
        },
    }
    record = Record(AT, "POST", "/s", json=json.dumps([event]))
    redacted = Redactor(KEY).record(record).json or ""
    for secret in ("7655550142", "7655550143", "Anna", "brand.example", "QW5uYQ", "1" * 32, "EZ1"):
        assert secret not in redacted
    params = json.loads(redacted)[0]["data"]["request"]["parameters"]
    assert params["CallDuration"] == 12
    assert list(params)[:2] == ["From", "CallDuration"]
    assert list(params.values())[2:] == [["", 0], True]


def test_a_json_body_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(RecordingError, match="leave its callback out"):
        Redactor().record(Record(AT, "POST", "/s", json="{"))


secrets_ = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF), min_size=8, max_size=30)
unheard = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=127), min_size=3, max_size=12)
private = st.sampled_from(
    ["From", "To", "Caller", "ForwardedFrom", "CallerName", "FromCity", "CallSid", "RecordingUrl"]
)
numbers = st.integers(200_2000000, 999_9999999).map(lambda number: f"+1{number}")
values = secrets_ | numbers | st.emails() | numbers.map("whatsapp:".__add__) | numbers.map("sip:{}@host.example".format)


@given(st.lists(st.tuples(private | unheard.map("Odd".__add__), values), min_size=1, max_size=8))
def test_no_generated_value_is_left(pairs: list[tuple[str, str]]) -> None:
    redactor = Redactor()
    posted = dump(redactor.record(form(*pairs)))
    event: Any = [{"data": {"request": {"parameters": dict(pairs)}}}]
    streamed = dump(redactor.record(Record(AT, "POST", "/s", json=json.dumps(event))))
    names = " ".join(name for name, _ in pairs)
    for _, value in pairs:
        if caller(value, "US").kind in (CallerKind.WITHHELD, CallerKind.SHORT_CODE) or value in names:
            continue
        for line in (posted, streamed):
            assert value not in values_of(line)
            number = caller(value, "US").e164
            assert number is None or number not in line


def values_of(line: str) -> str:
    """The line without its envelope: of that, nothing comes from the form."""
    record = parse(line)
    return "\n".join(value for _, value in record.form or ()) if record.json is None else record.json


RULES = """# +1 415 555 0100 was on television
action = "tv_call"
[[numbers]]
number = "+1 (415) 555-0100"
label = 'TV'
[[numbers]]
number = '212-555-0142'
extra = { again = "+1 (415) 555-0100" }
"""


def test_rules_are_written_anew_and_decide_the_same() -> None:
    redactor = Redactor(b"k" * 16)
    covered = redactor.rules(RULES)
    written = tomllib.loads(covered)
    assert [each["number"] for each in written["numbers"]] == [
        redactor.number("+14155550100"),
        redactor.number("+12125550142"),
    ]
    assert written["action"] == "tv_call"
    assert written["numbers"][0]["label"] == "TV"  # a listed word
    assert re.fullmatch(
        "label-[0-9a-f]{16}", tomllib.loads(redactor.rules(RULES.replace("TV", "Annas TV")))["numbers"][0]["label"]
    )
    assert list(written["numbers"][1]["extra"]) == ["again"]
    assert "#" not in covered
    assert redactor.rules("") == ""
    before, after = rules.parse(RULES), rules.parse(covered)
    assert (before.action, before.statuses, before.order_id) == (after.action, after.statuses, after.order_id)


DECIDING = """
min_duration_seconds = 30
max_duration_seconds = 3600
statuses = ["completed", "busy"]
directions = ["outbound-api"]
order_id = "phone-{call_sid}"
revenue = 27.50
only_listed_numbers = true
extra = { seconds = "{duration_seconds}", where = "{SipHeader_X-Anna}", schema = 2, exact = true, size = 3049182 }
[[numbers]]
number = "+14155550100"
action = "Anna's call"
revenue = 12
"""


def test_what_decides_stays_in_rules_and_a_parameter_has_the_name_that_recordings_give_it() -> None:
    redactor = Redactor(KEY)
    before, after = rules.parse(DECIDING), rules.parse(redactor.rules(DECIDING))
    for name in (
        "min_duration_seconds",
        "max_duration_seconds",
        "statuses",
        "directions",
        "order_id",
        "revenue",
        "only_listed_numbers",
        "action",
    ):
        assert getattr(after, name) == getattr(before, name)
    ((number),) = after.numbers.values()
    assert (number.revenue, number.label) == (before.numbers["+14155550100"].revenue, None)
    ((name, _),) = parameters(redactor.record(form(("SipHeader_X-Anna", "x"))))
    assert list(after.extra.values()) == ["{duration_seconds}", f"{{{name}}}", 2, True, 0]


@pytest.mark.parametrize("toml", ["number = ", '[[numbers]]\nnumber = "1"', "unheard = 1"])
def test_rules_that_cannot_be_read_are_not_passed_on(toml: str) -> None:
    with pytest.raises(RecordingError, match="flask rules check"):
        Redactor().rules(toml)


# No trace: every value, under every name, in every place

DIGITS = "7653049182"  # in no range of fiction, so that no pseudonym has it by chance
TRACES = ("3049182", "anna", "mustermann", "0123456789abcdef", "hunter2")
SPELLINGS = (
    *(f"+1{DIGITS}", "(765) 304-9182", "304-9182", "3049182", f"1 {DIGITS}", f"whatsapp:+1{DIGITS}", f"tel:+1-{DIGITS}"),
    *(f"sip:+1{DIGITS}@pbx.example", f'"Anna Mustermann" <sip:+1{DIGITS}@pbx.example>', f"Anna:+1{DIGITS}", f"+1{DIGITS} Anna"),
    *("anna.mustermann@example.org", "Anna Mustermann", "Anna", "ANNA", "anna-mustermann", "client:anna", "sip:anna@pbx.example"),
    *('"Anna" <sip:anonymous@anonymous.invalid>', "sip:restricted@anna.example", "anonymous;anna", "anonymous@anna.example"),
    *("CA0123456789abcdef0123456789abcdef", "ANNA0123456789abcdef0123456789abcdef", "https://example.org/anna?hunter2"),
    *("application/anna", "TN-Validation-Passed-Anna", "com.twilio.anna", "Ann, 12 Anna 2026 10:00:00 GMT", "hunter2", "anna_1"),
    *("https://events-schemas.twilio.com/Anna/1", "2026-03-12T14:00:00.3049182Z", "outbound-anna", "Anna\n3049182"),
)  # fmt: skip
SOME_NAMES = (
    "CallStatus",
    "CallDuration",
    "CallSid",
    "From",
    "FromCity",
    "FromCountry",
    "Timestamp",
    "type",
    "RecordingUrl",
    "Odd",
)
MORE_NAMES = sorted({*kept.NAMES, *SOME_NAMES, "number", "X-Header", ""})


def in_each_place(name: str, value: str) -> list[Record]:
    """Records in which the value stands everywhere."""
    quoted = quote(value, safe="")
    number = int(digits) if (digits := re.sub("[^0-9]", "", value)) else 0
    tree: dict[str, object] = {name: value, value: name, "list": [value, {name: [value, number]}]}
    tree |= {"data": {name: number, "request": {"parameters": {name: value}}}}
    headers = tuple((each, value) for each in KEPT_HEADERS)
    return [
        Record(
            AT, "POST", "/twilio/status", headers, form=((name, value), (value, name), (name + value, "1")), about=value
        ),
        Record(AT, "GET", f"/{quoted}/status?{encoded(((name, value), (value, name)))}"),
        Record(AT, "POST", f"/{name}/{quoted}?{quoted}={quoted}", form=()),
        Record(AT, "POST", "/s", headers, json=json.dumps([tree], ensure_ascii=False)),
    ]


def traces_in(text: str) -> list[str]:
    searched = unquote_plus(text).lower() + text.lower()
    return [trace for trace in TRACES if trace in searched or trace in re.sub(r"[^0-9a-z]", "", searched)]


@pytest.mark.parametrize("value", SPELLINGS)
def test_no_value_leaves_a_trace_under_any_name_in_any_place(value: str) -> None:
    redactor = Redactor()
    for name in MORE_NAMES:
        for record in in_each_place(name, value):
            redacted = redactor.record(record)
            assert traces_in(dump(redacted)) == [], (name, record)
            assert parse(dump(redacted)) == redacted


@pytest.mark.parametrize("value", SPELLINGS)
def test_no_value_leaves_a_trace_in_rules_wherever_it_stands(value: str) -> None:
    text, number = json.dumps(value), int(re.sub("[^0-9]", "", value) or 0) % 10_000_000
    line = json.dumps(value.replace("\n", " "))
    toml = f"""# {value.splitlines()[0]}
action = {line}  # {value.splitlines()[0]}
revenue = {number}
order_id = {line[:-1]}{{call_sid}}"
[extra]
{line} = {text} # behind a value {value.splitlines()[0]}
with_fields = {text[:-1]}{{from}} {{SipHeader_Anna}}"
counted = {number}
[[numbers]]
number = "+1{DIGITS}"
label = {line}
extra = {{ {line} = 3049182.5 }}
"""
    assert traces_in(toml) != []
    covered = Redactor().rules(toml)
    assert traces_in(covered) == []
    assert rules.parse(covered)


@given(st.sampled_from(SPELLINGS), st.sampled_from(MORE_NAMES), st.sampled_from(SPELLINGS))
def test_two_values_together_leave_no_trace_either(one_value: str, name: str, other: str) -> None:
    redactor = Redactor(KEY)
    for record in in_each_place(name, f"{one_value} {other}"):
        assert traces_in(dump(redactor.record(record))) == []
