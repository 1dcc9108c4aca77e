"""From verified requests to callbacks: what is kept, what makes two of them the same, and that reading is total."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.twilio.keys import Account, Keyring
from offhook.adapters.twilio.reading import EVENT_STREAM, moment, pairs, read
from offhook.adapters.twilio.signature import Forged, Verified, sign, verify
from offhook.adapters.twilio.spelling import form_pairs, parsed_time
from offhook.pipeline.arrival import OtherKind, Refused
from offhook.pipeline.callback import Callback, Direction, RawCallback, Status
from tests.support.arriving import ANY_URL, arrived, read_request

pytestmark = pytest.mark.unit

FORM = "application/x-www-form-urlencoded"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
SID = "AC" + "0" * 31 + "1"
TARGET = "/twilio/status"
NEEDED = (("AccountSid", SID), ("CallSid", "CA1"), ("CallStatus", "completed"))
RECORDED = {
    line["id"]: line["params"]
    for line in map(
        json.loads, (Path(__file__).parent / "data" / "callbacks.jsonl").read_text(encoding="utf-8").splitlines()
    )
}

Pairs = tuple[tuple[str, str], ...]


def form(params: Pairs, headers: Mapping[str, str] | None = None, account: str = SID) -> RawCallback:
    found = read_request("POST", TARGET, FORM, headers or {}, urlencode(params).encode(), NOW, account)
    assert isinstance(found, tuple), found
    (raw,) = found
    return raw


def reason(params: Pairs, account: str = SID) -> str:
    found = read_request("POST", TARGET, FORM, {}, urlencode(params).encode(), NOW, account)
    assert isinstance(found, Refused)
    return found.check


def refused(check: str) -> Refused:
    return Refused(400, check, ANY_URL, SID)


def event(params: object, event_id: object = "EZ1", kind: object = "com.twilio.voice.status-callback.call.v1") -> Any:
    return {"specversion": "1.0", "type": kind, "id": event_id, "data": {"request": {"parameters": params}}}


def batch(sent: object) -> tuple[RawCallback, ...] | Refused | OtherKind:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return read_request("POST", TARGET + "?bodySHA256=0", "application/json", {}, body, NOW, SID)


def events(sent: object) -> tuple[RawCallback, ...]:
    found = batch(sent)
    assert isinstance(found, tuple), found
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_callback_is_kept_exactly_as_it_came(name: str) -> None:
    params = tuple(RECORDED[name].items())
    raw = form(params, account=RECORDED[name]["AccountSid"])
    assert raw.body == urlencode(params).encode()
    assert pairs(raw) == params
    assert raw.call_sid == RECORDED[name]["CallSid"]
    assert raw.parent_call_sid == RECORDED[name].get("ParentCallSid")
    assert (raw.method, raw.target, raw.content_type, raw.source) == ("POST", TARGET, FORM, "webhook")
    assert dict(read(raw).params) == RECORDED[name]


def test_an_inbound_completed_call_in_our_words() -> None:
    callback = read(form(tuple(RECORDED["inbound-completed"].items())))
    assert callback.status is Status.COMPLETED
    assert callback.direction is Direction.INBOUND
    assert (callback.from_, callback.to) == ("+14155550300", "+14155550200")
    assert callback.duration_seconds == 10  # CallDuration; Duration says 1, a billed minute
    assert callback.sequence_number == 0
    assert callback.occurred_at == datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)


def test_duplicates_empties_spaces_and_order_are_kept() -> None:
    params = (*NEEDED, ("b", " 2 "), ("a", ""), ("b", "1"), ("b", " 2 "), ("ñ", "é+&="))
    raw = form(params)
    assert pairs(raw) == params
    assert read(raw).params["b"] == " 2 "


def test_a_get_callback_has_its_parameters_in_the_query() -> None:
    target = f"{TARGET}?{urlencode(NEEDED)}&City=M\xc3\xbcnchen&x=%FF"
    found = read_request("GET", target, "", {}, b"CallSid=ignored", NOW, SID)
    assert isinstance(found, tuple)
    assert pairs(found[0]) == (*NEEDED, ("City", "München"), ("x", "\ufffd"))
    assert found[0].target == target


def test_what_stands_behind_a_hash_is_not_signed_and_so_not_read() -> None:
    found = read_request("GET", f"{TARGET}?{urlencode(NEEDED)}#&CallStatus=busy", "", {}, b"", NOW, SID)
    assert isinstance(found, tuple)
    assert read(found[0]).status is Status.COMPLETED


def test_a_post_has_none_of_its_parameters_in_the_query() -> None:
    found = read_request("POST", f"{TARGET}?{urlencode(NEEDED)}", FORM, {}, b"", NOW, SID)
    assert found == refused("missing_account_sid")


def test_few_headers_are_kept_and_never_a_signature() -> None:
    headers = {
        "X-Twilio-Signature": "s",
        "X-Twilio-Webhooks-Signature-Settings": "key=k",
        "Authorization": "a",
        "User-Agent": "TwilioProxy/1.1\x00",
        "I-Twilio-Idempotency-Token": "t",
    }
    raw = form(NEEDED, headers)
    assert raw.headers == (("I-Twilio-Idempotency-Token", "t"), ("User-Agent", "TwilioProxy/1.1\ufffd"))


@pytest.mark.parametrize(("name", "word"), [("AccountSid", "account_sid"), ("CallSid", "call_sid")])
def test_a_request_without_what_names_a_call_is_no_callback(name: str, word: str) -> None:
    others = tuple(pair for pair in NEEDED if pair[0] != name)
    assert reason(others) == f"missing_{word}"
    assert reason((*others, (name, ""))) == f"missing_{word}"
    assert reason((*others, (name, "C\x00"))) == f"bad_{word}"
    assert reason((*others, (name, "C" * 3_000))) == f"bad_{word}"


def test_a_request_without_a_status_is_no_callback() -> None:
    assert reason(NEEDED[:2]) == "missing_call_status"
    assert reason((*NEEDED[:2], ("CallStatus", "\x00"))) == "bad_call_status"


def test_another_account_than_the_verified_one_is_no_callback() -> None:
    assert reason(NEEDED, account="AC2") == "mixed_accounts"
    assert reason((*NEEDED, ("AccountSid", "AC2"))) == "mixed_accounts"


def test_a_parent_that_could_not_be_stored_is_none() -> None:
    for parent in ("", "CA\x00", "C" * 3_000):
        assert form((*NEEDED, ("ParentCallSid", parent))).parent_call_sid is None


# The same callback


def test_order_duplicates_and_headers_make_no_other_callback() -> None:
    params = (*NEEDED, ("a", "1"), ("a", "2"))
    keys = {form(order).dedupe_key for order in permutations(params)}
    keys.add(form((*params, ("a", "1")), {"I-Twilio-Idempotency-Token": "another"}).dedupe_key)
    assert len(keys) == 1


@pytest.mark.parametrize("added", [("b", ""), ("SequenceNumber", "1"), ("CallStatus", "busy")])
def test_another_parameter_or_value_makes_another_callback(added: tuple[str, str]) -> None:
    assert form((*NEEDED, added)).dedupe_key != form(NEEDED).dedupe_key


def test_moved_boundaries_verify_under_the_same_signature_and_so_are_the_same_callback() -> None:
    sent = (*NEEDED, ("From", "+1555"), ("To", "+1666"))
    moved = (*NEEDED, ("Fro", "m+1555To+1666"))
    url, token = f"https://h.example.com{TARGET}", "t"
    keys = Keyring({SID: Account(SID, (token,), {})}, False)
    replayed = arrived("POST", (url,), FORM, urlencode(moved).encode(), sign(url, sent, token), "")
    assert isinstance(verify(replayed, keys), Verified)
    assert form(moved).dedupe_key == form(sent).dedupe_key


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.text("ab")), max_size=5), st.data())
def test_whatever_verifies_under_a_signature_has_one_key(extra: list[tuple[str, str]], data: st.DataObject) -> None:
    sent = (*NEEDED, *((f"x{name}", value) for name, value in extra))
    text = "".join(name + value for name, value in sorted(set(sent[len(NEEDED) :])))
    cut = data.draw(st.integers(0, len(text)))
    moved = (*NEEDED, (text[:cut], text[cut:]))
    url = "https://h.example.com/"
    keys = Keyring({SID: Account(SID, ("t",), {})}, False)
    request = arrived("POST", (url,), FORM, urlencode(moved).encode(), sign(url, sent, "t"), "")
    if isinstance(verify(request, keys), Forged):  # cut before the first letter, the text sorts elsewhere
        return
    assert form(moved).dedupe_key == form(sent).dedupe_key


def test_no_account_can_use_up_the_key_of_another_s_callback() -> None:
    """Two accounts may sign the very same text: its boundaries are moved, so that each finds its own id in it."""
    other = "AC" + "2" * 32
    theirs = (("A", f"ccountSid{SID}"), ("AccountSid", f"{other}"), ("CallSid", "CA1"), ("CallStatus", "completed"))
    ours = (("AccountSid", SID), (f"AccountSid{other}", ""), ("CallSid", "CA1"), ("CallStatus", "completed"))
    assert sign(TARGET, ours, "t") == sign(TARGET, theirs, "t"), "the same text is signed"
    assert form(ours).dedupe_key != form(theirs, account=other).dedupe_key


def test_get_and_post_of_the_same_parameters_are_the_same_callback() -> None:
    found = read_request("GET", f"{TARGET}?{urlencode(NEEDED)}", "", {}, b"", NOW, SID)
    assert isinstance(found, tuple)
    assert found[0].dedupe_key == form(NEEDED).dedupe_key


# Event Streams


def test_each_voice_event_of_a_batch_is_a_callback_of_its_own() -> None:
    one, two = dict(NEEDED), {**dict(NEEDED), "CallSid": "CA2", "City": "Zürich", "ParentCallSid": "CA1"}
    found = events([event(one), event({}, "EZ0", "com.twilio.messaging.message.sent"), event(two, "EZ2"), 5, "x"])
    assert [raw.call_sid for raw in found] == ["CA1", "CA2"]
    assert found[1].parent_call_sid == "CA1"
    assert all(raw.source == EVENT_STREAM for raw in found)
    assert json.loads(found[1].body) == [event(two, "EZ2")]
    assert "Zürich".encode() in found[1].body
    assert dict(pairs(found[1])) == two
    assert read(found[1]).status is Status.COMPLETED


def test_a_single_event_outside_an_array_is_read_too() -> None:
    assert events(event(dict(NEEDED)))[0].call_sid == "CA1"


def test_an_event_is_the_same_by_its_id_and_by_its_content_when_it_has_none() -> None:
    base, more = dict(NEEDED), {**dict(NEEDED), "a": "1"}
    assert events([event(base)])[0].dedupe_key == events([event(more)])[0].dedupe_key
    assert events([event(base)])[0].dedupe_key != events([event(base, "EZ2")])[0].dedupe_key
    assert events([event(base, None)])[0].dedupe_key != events([event(more, None)])[0].dedupe_key
    turned = dict(reversed(list(event(base, None).items())))
    assert events([event(base, None)])[0].dedupe_key == events([turned])[0].dedupe_key
    assert len(events([event(base), event(base)])) == 1


@pytest.mark.parametrize("event_id", ["EZ1", None])
def test_an_event_of_one_account_is_never_one_of_another_whatever_its_id(event_id: str | None) -> None:
    other = "AC" + "2" * 32
    body = json.dumps([event({**dict(NEEDED), "AccountSid": other}, event_id)]).encode()
    theirs = read_request("POST", TARGET + "?bodySHA256=0", "application/json", {}, body, NOW, other)
    assert isinstance(theirs, tuple)
    assert theirs[0].dedupe_key != events([event(dict(NEEDED), event_id)])[0].dedupe_key


def test_an_event_of_another_account_refuses_the_batch() -> None:
    foreign = event({**dict(NEEDED), "AccountSid": "AC2"}, "EZ2")
    assert batch([event(dict(NEEDED)), foreign]) == refused("mixed_accounts")


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ([], "no_call_event"),
        ([{}], "no_call_event"),
        ([event(dict(NEEDED), kind=7)], "no_call_event"),
        ([event({})], "missing_account_sid"),
        ([event(None)], "missing_account_sid"),
        ([event({"AccountSid": SID})], "missing_call_sid"),
        ([event({**dict(NEEDED), "CallSid": "\ud800"})], "bad_call_sid"),
        (b"[" * 60_000, "no_call_event"),
        (b"9" * 6_000, "no_call_event"),
        (b"\xff", "no_call_event"),
        (b"", "no_call_event"),
    ],
)
def test_a_batch_without_a_call_is_no_callback(sent: object, word: str) -> None:
    assert batch(sent) == refused(word)


TEST_EVENT = {"specversion": "1.0", "type": "com.twilio.eventstreams.test-event", "source": "Sink", "id": "EZ1"}


@pytest.mark.parametrize("sent", [[TEST_EVENT], TEST_EVENT, [event(dict(NEEDED), kind="com.twilio.voice.insights.x")]])
def test_a_batch_of_other_events_is_twilios_and_none_of_our_affair(sent: object) -> None:
    assert batch(sent) == OtherKind("event_stream")


ABOUT = dict(NEEDED[:2])


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        (ABOUT | {"RecordingSid": "RE1", "RecordingStatus": "completed"}, "recording"),
        (ABOUT | {"RecordingStatus": "failed", "AnsweredBy": "human"}, "recording"),
        (ABOUT | {"ConferenceSid": "CF1", "StatusCallbackEvent": "participant-join"}, "conference"),
        ({"AccountSid": SID, "ConferenceSid": "CF1", "StatusCallbackEvent": "conference-end"}, "conference"),
        ({"AccountSid": SID, "MessageSid": "SM1", "SmsSid": "SM1", "MessageStatus": "sent"}, "message"),
        (ABOUT | {"TranscriptionSid": "GT1", "CallStatus": ""}, "transcription"),
    ],
)
def test_what_is_about_something_else_than_a_calls_status_is_called_by_its_kind(
    params: dict[str, str], kind: str
) -> None:
    found = read_request("POST", TARGET, FORM, {}, urlencode(params).encode(), NOW, SID)
    assert found == OtherKind(kind)
    found = read_request("GET", f"{TARGET}?{urlencode(params)}", "", {}, b"", NOW, SID)
    assert found == OtherKind(kind)


def test_a_status_callback_that_mentions_a_recording_is_a_status_callback() -> None:
    assert form((*NEEDED, ("RecordingSid", "RE1"), ("ConferenceSid", "CF1"))).source == "webhook"


def test_the_result_of_machine_detection_is_kept_as_a_callback_without_a_status() -> None:
    result = (*NEEDED[:2], ("AnsweredBy", "machine_end_beep"), ("MachineDetectionDuration", "4100"))
    raw = form(result)
    assert (raw.source, read(raw).status, read(raw).params["AnsweredBy"]) == ("amd", "unknown", "machine_end_beep")
    assert reason((("AccountSid", SID), ("AnsweredBy", "human"))) == "missing_call_sid"
    assert reason((*NEEDED[:2], ("AnsweredBy", "\x00"))) == "bad_answered_by"


def test_values_that_are_no_strings_are_their_json_text_and_null_is_empty() -> None:
    odd = {"n": 10, "b": True, "l": [1, "ü"], "z": None, "s": "\ud800\x00"}
    (raw,) = events([event({**dict(NEEDED), **odd, "CallDuration": 7})])
    params = dict(pairs(raw))
    assert [params[name] for name in "nblzs"] == ["10", "true", '[1,"ü"]', "", "\ud800\x00"]
    assert read(raw).params["s"] == "\ufffd\ufffd"
    assert read(raw).duration_seconds == 7
    raw.body.decode("utf-8")


def test_deep_nesting_within_an_event_raises_nothing() -> None:
    nested = event({**dict(NEEDED), "d": "DEEP"}, "DEEP2", "com.twilio.voice.status-callback")
    for place in (b'"DEEP"', b'"DEEP2"', b'"com.twilio.voice.status-callback"', b'"1.0"'):
        for depth in (*range(700, 1_000), 3_000, 9_000):  # among them those that can be read, yet not written again
            deep = b"[" * depth + b"1" + b"]" * depth
            assert_storable(batch(json.dumps([nested]).encode().replace(place, deep)))


# In our words


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.UNKNOWN])
def test_every_status_of_twilio_is_known(status: Status) -> None:
    assert read(form((*NEEDED[:2], ("CallStatus", status.value)))).status is status


def test_what_is_unknown_becomes_unknown_or_none() -> None:
    callback = read(form((*NEEDED[:2], ("CallStatus", "teleported"), ("Direction", "up"), ("Timestamp", "soon"))))
    assert (callback.status, callback.direction, callback.occurred_at) == (Status.UNKNOWN, Direction.UNKNOWN, None)
    assert (callback.duration_seconds, callback.sequence_number, callback.from_, callback.to) == (None, None, "", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0", 0), ("61", 61), (" 7 ", 7), ("10000000", 10**7)],
        *[(text, None) for text in ("10000001", "-1", "1.5", "", "٣", "1" * 5_000, "0x1", "1_0", "NaN", "²")],
    ],
)
def test_a_duration_is_whole_seconds_within_reason(text: str, seconds: int | None) -> None:
    assert read(form((*NEEDED, ("CallDuration", text)))).duration_seconds == seconds


def test_the_billed_minutes_are_never_the_duration() -> None:
    assert read(form((*NEEDED, ("Duration", "3")))).duration_seconds is None


def test_a_sequence_number_is_bounded() -> None:
    assert read(form((*NEEDED, ("SequenceNumber", "3")))).sequence_number == 3
    assert read(form((*NEEDED, ("SequenceNumber", str(2**31))))).sequence_number is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri, 12 Mar 2021 16:29:59 +0000", datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)),
        ("Fri, 12 Mar 2021 16:29:59 -0000", datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)),
        ("Fri, 12 Mar 2021 18:29:59 +0200", datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)),
        ("2021-03-12T16:29:59Z", datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)),
        ("2021-03-12T17:29:59.5+01:00", datetime(2021, 3, 12, 16, 29, 59, 500_000, tzinfo=UTC)),
        ("2021-03-12T16:29:59", datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+10:00", None),
        ("Fri, 99 Mar 2021 16:29:59 +0000", None),
        ("Fri, 12 Mar 2021 16:29:59 +9999999999", None),
        ("", None),
        ("\x00", None),
    ],
)
def test_a_time_is_utc_or_none(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected
    assert expected is None or moment(text).tzinfo is UTC  # type: ignore[union-attr]


def test_a_time_without_a_zone_is_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        times = moment("2021-03-12T16:29:59"), moment("Fri, 12 Mar 2021 16:29:59 -0000")
    time.tzset()
    assert times == (datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC),) * 2


def test_nul_becomes_the_replacement_character_in_params_and_stays_in_the_raw_one() -> None:
    raw = form((*NEEDED, ("From", "+1\x00"), ("a\x00", "b")))
    callback = read(raw)
    assert callback.from_ == "+1\ufffd"
    assert callback.params["a\ufffd"] == "b"
    assert ("From", "+1\x00") in pairs(raw)


# Whatever comes

anything = st.text(st.characters(), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
fields = ("CallDuration", "SequenceNumber", "Timestamp", "Direction", "CallStatus", "From", "ParentCallSid")
any_params = st.dictionaries(st.sampled_from(fields) | anything, anything | json_values, max_size=5)


def assert_storable(found: tuple[RawCallback, ...] | OtherKind | Refused) -> None:
    for raw in found if isinstance(found, tuple) else ():
        callback = read(raw)
        assert isinstance(callback, Callback)
        kept = (raw.target, raw.content_type, raw.call_sid, raw.parent_call_sid or "", callback.from_, callback.to)
        for text in (*kept, *callback.params, *callback.params.values(), *(value for _, value in raw.headers)):
            text.encode("utf-8")
            assert "\x00" not in text
        assert len(raw.dedupe_key) == 64


@given(
    method=st.sampled_from(["POST", "GET"]) | anything,
    target=st.just(f"{TARGET}?{urlencode(NEEDED)}") | anything,
    content_type=st.sampled_from([FORM, "application/json"]) | anything,
    user_agent=anything,
    body=st.binary(max_size=60) | st.binary(max_size=30).map(lambda tail: urlencode(NEEDED).encode() + b"&" + tail),
)
def test_no_request_whatever_raises(method: str, target: str, content_type: str, user_agent: str, body: bytes) -> None:
    assert_storable(read_request(method, target, content_type, {"User-Agent": user_agent}, body, NOW, SID))


@given(st.dictionaries(st.sampled_from(fields) | anything, anything, max_size=6))
def test_no_form_whatever_raises(params: dict[str, str]) -> None:
    body = urlencode((*NEEDED, *params.items()), errors="surrogatepass").encode()
    assert_storable(read_request("POST", TARGET, FORM, {}, body, NOW, SID))


@given(st.lists(json_values | st.builds(event, json_values, json_values), max_size=3), any_params, json_values)
def test_no_event_whatever_raises(others: list[Any], params: dict[str, Any], event_id: Any) -> None:
    found = batch([*others, event({**params, **dict(NEEDED)}, event_id)])
    assert_storable(found)
    assert found == refused("mixed_accounts") or isinstance(found, tuple)


@given(st.binary(max_size=60), anything, st.sampled_from(["webhook", EVENT_STREAM, "rest"]), anything)
def test_no_stored_row_whatever_raises_when_it_is_read_anew(body: bytes, target: str, source: str, method: str) -> None:
    raw = RawCallback("k", SID, "CA1", None, NOW, method, target, FORM, (), body, source)
    assert isinstance(read(raw), Callback)


@given(st.text("a+&=;%41f\u00e9\ud800 ") | st.text(), st.none() | st.integers(0, 4))
def test_a_form_is_read_as_the_standard_library_reads_it(text: str, most: int | None) -> None:
    try:
        expected = tuple(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=most))
    except ValueError:
        expected = None
    assert form_pairs(text, most) == expected


# A name that is escaped, stands alone or comes twice, an empty value, a NUL that cannot be stored.
ODD_FIELDS = st.sampled_from(
    ["From", "Fr%6Fm=b", "From=", "x+y=1", "", "=", "From=%2B1+%41", "To=%00", "To=\x00", "a=b=c", "Cit%79=1"]
)


@given(
    st.lists(ODD_FIELDS | st.builds("{}={}".format, st.sampled_from(fields), st.text("a%2B+\u00e9 ")), max_size=6),
    st.booleans(),
)
def test_of_a_callback_a_few_parameters_are_read_as_all_are(given_params: list[str], is_in_query: bool) -> None:
    text = "&".join(given_params)
    how = (
        ("GET", f"/x?{text}".encode().decode("latin-1"), "", (), b"")
        if is_in_query
        else ("POST", "/x", FORM, (), text.encode())
    )
    raw = RawCallback("k", SID, "CA1", None, NOW, *how)
    names = frozenset({"City", "a", "ToCountry"})
    whole, some = read(raw), read(raw, names)
    assert {name: some.params.get(name) for name in (*names, "From", "To")} == {
        name: whole.params.get(name) for name in (*names, "From", "To")
    }
    assert replace(some, params={}) == replace(whole, params={})


def test_of_an_event_all_parameters_are_there_whoever_asks_for_a_few() -> None:
    (raw,) = events([event({**dict(NEEDED), "CallerCity": "Paris"})])
    assert read(raw, frozenset({"CallerCity"})) == read(raw)


@given(
    weekday=st.sampled_from(["Tue", "Xyz"]),
    day=st.integers(0, 32),
    month=st.sampled_from(["Jan", "Feb", "Nov", "Dec", "Nov."]),
    year=st.integers(1, 2999),
    clock=st.tuples(st.integers(0, 24), st.integers(0, 60), st.integers(0, 61)),
    zone=st.sampled_from(["+0000", "+0000", "+0100", "-0000", "GMT"]),
)
def test_a_time_is_read_as_the_library_reads_it(
    weekday: str, day: int, month: str, year: int, clock: tuple[int, int, int], zone: str
) -> None:
    text = f"{weekday}, {day:02} {month} {year:04} {':'.join(f'{part:02}' for part in clock)} {zone}"
    try:
        expected = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        assert parsed_time(text) is None
    else:
        found = parsed_time(text)
        assert found == expected and found is not None and found.tzinfo == expected.tzinfo
