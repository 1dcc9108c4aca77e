"""Records from HAR files, raw requests, form lines and Twilio's alerts: the parameters come over whole, secrets do not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.recordings.format import Record, RecordingError, dump, parameters, parse
from adapters.recordings.sources import (
    Defaults,
    Source,
    from_alerts,
    from_file,
    from_form_lines,
    from_har,
    from_http,
    kind_of,
    read_alerts,
)

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)
TOLD_AT = datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)
DEFAULTS = Defaults(AT)
BODY = "CallSid=CA1&From=%2B17655550142&FromCity=Z%C3%BCrich&Twice=a&Twice=b&Empty=&Spaces=+a+"
PAIRS = (
    ("CallSid", "CA1"),
    ("From", "+17655550142"),
    ("FromCity", "Zürich"),
    ("Twice", "a"),
    ("Twice", "b"),
    ("Empty", ""),
    ("Spaces", " a "),
)
SECRETS = [("X-Twilio-Signature", "s3cret"), ("Cookie", "s3cret"), ("Authorization", "Bearer s3cret")]


def entry(method: str = "POST", url: str = "https://x.example/twilio/status", **more: Any) -> dict[str, Any]:
    headers = [{"name": name, "value": value} for name, value in [*SECRETS, ("user-agent", "TwilioProxy/1.1")]]
    request = {"method": method, "url": url, "headers": headers, **more}
    return {"startedDateTime": "2026-03-12T15:00:00.000+01:00", "request": request, "response": {"status": 204}}


def har(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode("utf-8-sig")


FORM_TYPE = "application/x-www-form-urlencoded"
POST_DATA = [
    {"mimeType": FORM_TYPE, "text": BODY},
    {"mimeType": FORM_TYPE, "text": base64.b64encode(BODY.encode()).decode(), "encoding": "base64"},
    {"mimeType": FORM_TYPE, "text": base64.b64encode(BODY.encode()).decode(), "_encoding": "base64"},
    {"mimeType": FORM_TYPE, "params": [{"name": name, "value": value} for name, value in PAIRS]},
]


@pytest.mark.parametrize("post_data", POST_DATA)
def test_a_har_file_gives_its_callbacks_however_it_holds_the_body(post_data: dict[str, Any]) -> None:
    (record,) = from_har(har(entry(postData=post_data)))
    assert record.form == PAIRS
    assert (record.received_at, record.method, record.path_and_query) == (AT, "POST", "/twilio/status")
    assert record.headers == (("Content-Type", FORM_TYPE), ("User-Agent", "TwilioProxy/1.1"))


def test_a_har_file_gives_get_callbacks_and_events_and_leaves_out_the_rest() -> None:
    events = '[{"data": {"request": {"parameters": {"CallSid": "CA1"}}}}]'
    told = list(
        from_har(
            har(
                entry("GET", f"https://x.example/twilio/status?{BODY}#rc=5"),
                entry("GET", "https://x.example/favicon.ico"),
                entry("OPTIONS"),
                entry(postData={"mimeType": "application/json", "text": '{"hello": 1}'}),
                entry(
                    url="https://x.example/e?bodySHA256=00", postData={"mimeType": "application/json", "text": events}
                ),
            )
        )
    )
    assert [record.method for record in told] == ["GET", "POST"]
    assert parameters(told[0]) == PAIRS
    assert (told[1].json, told[1].path_and_query) == (events, "/e")


def test_no_secret_is_taken_from_any_source() -> None:
    raw = "POST /s HTTP/1.1\n" + "".join(f"{name}: {value}\n" for name, value in SECRETS) + f"\n{BODY}\n"
    records = [*from_har(har(entry(postData=POST_DATA[0]))), from_http(raw.encode(), DEFAULTS)]
    for record in records:
        assert "s3cret" not in dump(record)
        assert parse(dump(record)) == record


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", 'field "log" is missing or not an object'),
        ('{"log": {}}', 'field "entries"'),
        ('{"log": {"entries": [7]}}', 'entry 1: field "request"'),
        ('{"log": {"entries": [{"request": {"method": "POST", "url": "/"}}]}}', 'entry 1: field "startedDateTime"'),
    ],
)
def test_a_har_file_that_is_none_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(RecordingError) as told:
        list(from_har(text.encode(), "tunnel.har"))
    assert "tunnel.har" in str(told.value)
    assert words in str(told.value)


def test_base64_that_is_none_is_told() -> None:
    with pytest.raises(RecordingError, match=r"entry 1: .*base64"):
        list(from_har(har(entry(postData={"text": "%%%", "encoding": "base64"}))))


RAW = (
    "POST /twilio/status?tenant=1 HTTP/1.1\n"
    "Host: x.example\n"
    "i-twilio-idempotency-token: abc\n"
    f"Content-Type: {FORM_TYPE}\n"
    f"Content-Length: {len(BODY)}\n"
    "\n"
    f"{BODY}"
)


@pytest.mark.parametrize("raw", [RAW, RAW.replace("\n", "\r\n"), RAW + "\n", "\n" + RAW + "\r\n\r\n"])
def test_a_raw_request_is_read_with_either_line_end(raw: str) -> None:
    record = from_http(raw.encode(), DEFAULTS)
    assert record.form == PAIRS
    assert (record.path_and_query, record.received_at) == ("/twilio/status?tenant=1", AT)
    assert ("I-Twilio-Idempotency-Token", "abc") in record.headers


def test_a_raw_get_request_needs_no_body_and_no_empty_line() -> None:
    record = from_http(f"GET /s?{BODY} HTTP/1.1\nHost: x".encode(), DEFAULTS)
    assert (record.method, record.form, parameters(record)) == ("GET", None, PAIRS)


def test_twilios_own_time_goes_before_ours() -> None:
    body = "CallSid=CA1&Timestamp=Fri%2C+12+Mar+2021+16%3A29%3A59+%2B0000"
    assert from_http(f"POST / HTTP/1.1\n\n{body}".encode(), DEFAULTS).received_at == TOLD_AT
    assert next(from_form_lines([body], DEFAULTS)).received_at == TOLD_AT


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "line 1: is no request line"),
        ("hello", "line 1: is no request line"),
        ("PUT / HTTP/1.1\n\nCallSid=CA1", "line 1: the method PUT"),
        ("POST / HTTP/1.1\nno header\n\nCallSid=CA1", "line 2: is no header"),
        ("POST / HTTP/1.1\nHost: x", "have no end"),
        ("POST / HTTP/1.1\nContent-Length: 99\n\nCallSid=CA1", "Content-Length says 99"),
        ("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\nb\nCallSid=CA1\n0\n", "chunked"),
        ("POST / HTTP/1.1\n\nFrom=1", "has no CallSid"),
    ],
)
def test_a_raw_request_that_cannot_be_read_is_told_with_its_line(raw: str, words: str) -> None:
    with pytest.raises(RecordingError) as told:
        from_http(raw.encode(), DEFAULTS, "capture.txt")
    assert str(told.value).startswith("capture.txt")
    assert words in str(told.value)


def test_form_bodies_are_read_line_by_line() -> None:
    records = list(from_form_lines([BODY + "\n", "\n", "CallSid=CA2\r\n"], Defaults(AT, "/hook")))
    assert [record.form for record in records] == [PAIRS, (("CallSid", "CA2"),)]
    assert {(record.method, record.path_and_query) for record in records} == {("POST", "/hook")}


def test_a_line_that_is_no_callback_is_told() -> None:
    with pytest.raises(RecordingError, match=r"log\.txt, line 2: has no CallSid"):
        list(from_form_lines([BODY, "2026-03-12 INFO started"], DEFAULTS, "log.txt"))


ALERT: dict[str, Any] = {
    "sid": "NO1",
    "error_code": "11200",
    "request_method": "POST",
    "request_url": "https://calls.example.com/twilio/status",
    "date_created": "2021-03-12T16:29:59Z",
}


@pytest.mark.parametrize("variables", [BODY, {name: value for name, value in PAIRS if name != "Twice"}])
def test_an_alert_gives_the_callback_that_was_lost(variables: object) -> None:
    (record,) = from_alerts([{**ALERT, "request_variables": variables}])
    expected = PAIRS if isinstance(variables, str) else tuple(pair for pair in PAIRS if pair[0] != "Twice")
    assert record.form == expected
    assert (record.received_at, record.path_and_query) == (TOLD_AT, "/twilio/status")


@pytest.mark.parametrize("told", [TOLD_AT, "2021-03-12T16:29:59+00:00", "Fri, 12 Mar 2021 16:29:59 +0000"])
def test_an_alerts_time_is_read_as_the_client_and_as_the_api_give_it(told: object) -> None:
    (record,) = from_alerts([{**ALERT, "date_created": told, "request_variables": BODY}])
    assert record.received_at == TOLD_AT


@pytest.mark.parametrize("url", ["https://x.example/s?t=1", f"https://x.example/s?t=1&{BODY}"])
def test_an_alert_of_a_get_callback_has_its_parameters_in_the_query_once(url: str) -> None:
    alert = {**ALERT, "request_method": "GET", "request_url": url, "request_variables": BODY}
    (record,) = from_alerts([alert])
    assert (record.method, parameters(record)) == ("GET", (("t", "1"), *PAIRS))


def test_alerts_of_no_call_are_left_out() -> None:
    assert list(from_alerts([ALERT, {**ALERT, "request_variables": "MessageSid=SM1"}])) == []


@pytest.mark.parametrize(
    ("change", "words"), [({"date_created": "soon"}, "date_created"), ({"request_variables": 7}, "request_variables")]
)
def test_an_alert_that_cannot_be_read_is_told(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordingError, match=f"alerts, alert 2: .*{words}"):
        list(from_alerts([ALERT, {**ALERT, "request_variables": BODY, **change}]))


@pytest.mark.parametrize("wrap", [lambda alerts: alerts, lambda alerts: {"alerts": alerts, "meta": {}}])
def test_a_file_of_alerts_is_read(wrap: Any) -> None:
    raw = json.dumps(wrap([{**ALERT, "request_variables": BODY}])).encode()
    assert [record.form for record in read_alerts(raw)] == [PAIRS]
    with pytest.raises(RecordingError, match="no array of alerts"):
        list(read_alerts(b'{"alerts": 7}'))


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (har(entry(postData=POST_DATA[0])), Source.HAR),
        (json.dumps([{**ALERT, "request_variables": BODY}]).encode(), Source.ALERTS),
        (json.dumps({"meta": {}, "alerts": [{**ALERT, "request_variables": BODY}]}).encode(), Source.ALERTS),
        (RAW.encode(), Source.HTTP),
        (f"\r\nGET /s?{BODY}\r\nHost: x".encode(), Source.HTTP),
        (BODY.encode(), Source.FORM),
        (f"\ufeff{BODY}\n\n{BODY}\n".encode(), Source.FORM),
    ],
)
def test_what_a_file_is_shows_in_its_first_characters(raw: bytes, kind: Source) -> None:
    assert kind_of(raw) is kind
    records = list(from_file(raw, kind_of(raw), DEFAULTS, "file"))
    assert {parameters(record) for record in records} == {PAIRS}


def _all_readable(records: list[Record]) -> bool:
    return all(parse(dump(record)) == record for record in records)


values = st.text(st.characters(), max_size=20)  # lone surrogates too: JSON can hold them


@given(st.dictionaries(values, values | st.none() | st.integers(), max_size=5), values)
def test_whatever_an_alert_holds_becomes_a_record_that_can_be_read_again(variables: dict[str, Any], path: str) -> None:
    alert = {**ALERT, "request_url": f"https://x.example/{path}", "request_variables": {**variables, "CallSid": "CA1"}}
    for method in ("POST", "GET"):
        assert _all_readable(list(from_alerts([{**alert, "request_method": method}])))


@given(st.binary(max_size=200))
def test_no_raw_request_whatever_raises_anything_else(raw: bytes) -> None:
    for start in (b"", b"POST /s?CallSid=1 HTTP/1.1\r\n", b"GET /s?CallSid=1", b"POST /s HTTP/1.1\n\nCallSid=CA1&"):
        try:
            record = from_http(start + raw, DEFAULTS)
        except RecordingError:
            continue
        assert _all_readable([record])
