"""Records from whatever people have: every callback comes over whole, bystanders stop nothing, losses are reported, secrets stay.

`tests/data/exports/` has a file of each exporter's layout: the same two calls of fictional persons, among bystanders.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.recordings.format import Record, RecordingError, dump, parameters, parse
from offhook.adapters.recordings.found import ANY_ACCOUNT, Defaults, Found, Unused, moment
from offhook.adapters.recordings.sources import Source, from_alerts, from_file, kind_of

pytestmark = pytest.mark.unit

EXPORTS = Path(__file__).parent / "data" / "exports"
AT = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)
CALLED_AT = datetime(2021, 3, 12, 16, 29, 59, tzinfo=UTC)
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


def found_in(raw: str | bytes, kind: Source | None = None) -> list[Found]:
    return list(from_file(raw.encode() if isinstance(raw, str) else raw, kind, DEFAULTS, "file"))


def records(found: list[Found]) -> list[Record]:
    return [each for each in found if isinstance(each, Record)]


def unused(found: list[Found]) -> list[Unused]:
    return [each for each in found if isinstance(each, Unused)]


def pairs_in(raw: str | bytes, kind: Source | None = None) -> list[tuple[tuple[str, str], ...]]:
    """The parameters of what is taken; nothing that names a call may be left."""
    found = found_in(raw, kind)
    assert [each for each in unused(found) if each.has_call] == []
    return [parameters(record) for record in records(found)]


FIRST, SECOND = "CA" + "1" * 32, "CA" + "2" * 32
# file -> (CallSids in their order, how many bystanders are counted)
FILES: dict[str, tuple[tuple[str, ...], int]] = {
    "ngrok-inspector.json": ((SECOND, FIRST), 1),
    "webhook-site.json": ((SECOND, FIRST), 1),
    "postman-collection.json": ((FIRST, SECOND), 2),
    "charles.chlsj": ((FIRST, SECOND), 2),
    "charles.chlsx": ((FIRST, SECOND), 1),
    "browser.har": ((FIRST, SECOND), 1),
    "copied.curl.sh": ((FIRST,), 1),
    "copied.curl.cmd.txt": ((SECOND,), 0),
    "postman.curl.txt": ((FIRST, SECOND), 0),
    "two-requests.http": ((FIRST, SECOND), 1),
    "parameters.jsonl": ((FIRST, SECOND), 1),
    "parameters.csv": ((FIRST, SECOND), 0),
    "app.log": ((FIRST, SECOND), 3),
    "console.log": ((FIRST, SECOND), 0),
    "werkzeug.log": ((FIRST, SECOND), 0),
    "alerts-fetched.json": ((FIRST, SECOND), 1),
    "alert-single.json": ((FIRST,), 0),
    "alerts-cli.json": ((FIRST, SECOND), 0),
}
CALL_LOGS = ("Calls.json", "calls-cli.json", "Calls.xml", "console-calls.csv")
CITIES = {FIRST: "Zürich", SECOND: "Muncie"}
CALLERS = {FIRST: "+17655550142", SECOND: "+17655550143"}


def export(name: str) -> list[Found]:
    return found_in((EXPORTS / name).read_bytes())


@pytest.mark.parametrize("name", FILES)
def test_every_callback_of_an_export_is_taken_and_bystanders_are_counted(name: str) -> None:
    found = export(name)
    sids, bystanders = FILES[name]
    taken = [dict(parameters(record)) for record in records(found)]
    assert tuple(each["CallSid"] for each in taken) == sids
    assert [each["From"] for each in taken] == [CALLERS[sid] for sid in sids]
    assert [each["FromCity"] for each in taken] == [CITIES[sid] for sid in sids]
    assert {each["FromState"] for each in taken} == {""}
    assert {len(each) for each in taken} == {16}
    assert [each.has_call for each in unused(found)] == [False] * bystanders
    assert {record.received_at.replace(second=0, microsecond=0) for record in records(found)} == {
        datetime(2026, 3, 12, 15, 0, tzinfo=UTC)
    }
    assert {record.path_and_query.partition("?")[0] for record in records(found)} == {"/twilio/status"}


@pytest.mark.parametrize("path", sorted(EXPORTS.iterdir()), ids=lambda path: path.name)
def test_no_secret_is_taken_from_any_export(path: Path) -> None:
    for record in records(export(path.name)):
        assert "s3cret" not in dump(record)
        assert parse(dump(record)) == record


def test_each_export_of_the_folder_is_tried() -> None:
    assert {path.name for path in EXPORTS.iterdir()} == {*FILES, *CALL_LOGS, "alerts-list.json"}


@pytest.mark.parametrize("name", CALL_LOGS)
def test_twilios_log_of_calls_gives_callbacks_that_say_they_were_assembled(name: str) -> None:
    found = export(name)
    assert unused(found) == []
    assert [(record.captured, "assembled" in record.about) for record in records(found)] == [(False, True)] * 2
    first, second = (dict(parameters(record)) for record in records(found))
    account = "AC" + "0" * 31 + "1"
    expected = {"CallSid": FIRST, "AccountSid": account, "From": "+17655550142", "To": "+17655550100"}
    expected |= {"Caller": "+17655550142", "Called": "+17655550100", "Direction": "inbound", "CallStatus": "completed"}
    expected |= {"CallDuration": "62", "Duration": "2", "Timestamp": "Thu, 12 Mar 2026 15:00:01 +0000"}
    assert first == first | expected
    assert (second["CallStatus"], second["CallDuration"]) == ("no-answer", "0")
    assert records(found)[0].received_at == datetime(2026, 3, 12, 15, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"Duration": "0:01:02"}, {"CallDuration": "62"}),
        ({"Duration": "1 min 2 sec"}, {"CallDuration": "62"}),
        ({"Duration": "?"}, {"CallDuration": None}),
        ({"Direction": "Outgoing API"}, {"Direction": "outbound-api"}),
        ({"Direction": "Outgoing Dial"}, {"Direction": "outbound-dial"}),
        ({"Status": "No Answer"}, {"CallStatus": "no-answer"}),
        ({"From": "'+17655550142"}, {"From": "+17655550142"}),
        ({"Start Time": "15:04:05 PDT 2026-03-12"}, {"Timestamp": "Thu, 12 Mar 2026 22:04:05 +0000"}),
        ({"Account Sid": ""}, {"AccountSid": ANY_ACCOUNT}),
    ],
)
def test_the_consoles_words_become_those_of_callbacks(row: dict[str, str], expected: dict[str, str | None]) -> None:
    cells = {"Call Sid": FIRST, "From": "+1", "To": "+1", "Status": "Completed", "Direction": "Incoming"}
    cells |= {"Start Time": "2026-03-12 15:00:01", "Duration": "1", "Account Sid": "AC1"} | row
    (record,) = records(found_in(";".join(cells) + "\r\n" + ";".join(cells.values()) + "\r\n"))
    params = dict(parameters(record))
    assert {name: params.get(name) for name in expected} == expected


def test_a_call_without_a_time_is_reported_and_not_given_another() -> None:
    found = found_in(
        f"Sid,From,To,Status,Start Time\n{FIRST},+1,+1,Completed,soon\n,,,,\n{SECOND},+1,+1,Busy,2026-03-12T15:00:00Z\n"
    )
    assert len(records(found)) == 1
    assert [(each.place, each.has_call) for each in unused(found)] == [("file, line 2", True)]


def test_a_list_of_alerts_says_that_the_parameters_are_not_in_it() -> None:
    found = unused(export("alerts-list.json"))
    assert [each.has_call for each in found] == [True, True]
    assert "--twilio-alerts" in found[0].reason


# HAR


def entry(method: str = "POST", url: str = "https://x.example/twilio/status", **more: Any) -> dict[str, Any]:
    request = {"method": method, "url": url, "headers": [{"name": "user-agent", "value": "TwilioProxy/1.1"}], **more}
    return {"startedDateTime": "2026-03-12T15:00:00.000+01:00", "request": request, "response": {"status": 204}}


def har(*entries: Any) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode("utf-8-sig")


FORM_TYPE = "application/x-www-form-urlencoded"
LISTED = [{"name": name, "value": value} for name, value in PAIRS]
ENCODED = [{"name": name, "value": value} for name, _, value in (each.partition("=") for each in BODY.split("&"))]
POST_DATA = [
    {"mimeType": FORM_TYPE, "text": BODY},
    {"mimeType": FORM_TYPE, "text": base64.b64encode(BODY.encode()).decode(), "encoding": "base64"},
    {"mimeType": FORM_TYPE, "text": base64.b64encode(BODY.encode()).decode(), "_encoding": "base64"},
    {"mimeType": FORM_TYPE, "params": LISTED},
    {"mimeType": FORM_TYPE, "params": ENCODED},
]


@pytest.mark.parametrize("post_data", POST_DATA)
def test_a_har_file_gives_its_callbacks_however_it_holds_the_body(post_data: dict[str, Any]) -> None:
    (record,) = records(found_in(har(entry(postData=post_data))))
    assert record.form == PAIRS
    assert (record.received_at, record.method, record.path_and_query) == (AT, "POST", "/twilio/status")
    assert record.headers == (("Content-Type", FORM_TYPE), ("User-Agent", "TwilioProxy/1.1"))


def test_listed_parameters_that_were_decoded_are_not_decoded_again() -> None:
    listed = [
        {"name": "CallSid", "value": "CA1"},
        {"name": "From", "value": "+17655550142"},
        {"name": "Odd", "value": "a%41"},
    ]
    assert pairs_in(har(entry(postData={"params": listed}))) == [
        (("CallSid", "CA1"), ("From", "+17655550142"), ("Odd", "a%41"))
    ]


def test_a_har_file_gives_get_callbacks_and_events_and_counts_the_rest() -> None:
    events = '[{"data": {"request": {"parameters": {"CallSid": "CA1"}}}}]'
    found = found_in(
        har(
            entry("GET", f"https://x.example/twilio/status?{BODY}#rc=5"),
            entry("GET", "https://x.example/favicon.ico"),
            {"request": {"method": "GET", "url": "https://x.example/without/a/time"}},
            7,
            {"request": "of nothing"},
            entry("OPTIONS"),
            entry(postData={"mimeType": "application/json", "text": '{"hello": 1}'}),
            entry(url="https://x.example/e?bodySHA256=00", postData={"mimeType": "application/json", "text": events}),
        )
    )
    first, second = records(found)
    assert parameters(first) == PAIRS
    assert (second.json, second.path_and_query) == (events, "/e")
    assert [(each.place, each.has_call) for each in unused(found)] == [
        (f"file, entry {number}", False) for number in (2, 3, 5, 6, 7)
    ]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (entry(postData={"text": "CallSid=%", "encoding": "base64"}), "base64"),
        (entry("PUT", postData={"mimeType": FORM_TYPE, "text": BODY}), "the method PUT"),
        (entry(postData={"mimeType": "application/json", "text": '{"CallSid": "CA1"'}), "JSON body"),
        (entry(url="https://x.example/?CallSid=CA1"), "not in a form"),
    ],
)
def test_a_callback_that_cannot_be_used_is_reported_and_costs_no_other(made: Any, words: str) -> None:
    found = found_in(har(made, entry(postData=POST_DATA[0])))
    assert [record.form for record in records(found)] == [PAIRS]
    ((loss),) = unused(found)
    assert (loss.place, loss.has_call) == ("file, entry 1", True)
    assert words in loss.reason


# Raw requests

RAW = (
    "POST /twilio/status?tenant=1 HTTP/1.1\n"
    "Host: x.example\n"
    "i-twilio-idempotency-token: abc\n"
    "X-Twilio-Signature: s3cret\n"
    f"Content-Type: {FORM_TYPE}\n"
    f"Content-Length: {len(BODY)}\n"
    "\n"
    f"{BODY}"
)


@pytest.mark.parametrize("raw", [RAW, RAW.replace("\n", "\r\n"), RAW + "\n", "\n" + RAW + "\r\n\r\n"])
def test_a_raw_request_is_read_with_either_line_end(raw: str) -> None:
    (record,) = records(found_in(raw))
    assert record.form == PAIRS
    assert (record.path_and_query, record.received_at) == ("/twilio/status?tenant=1", AT)
    assert ("I-Twilio-Idempotency-Token", "abc") in record.headers
    assert "s3cret" not in dump(record)


UNFRAMED = RAW.replace(f"Content-Length: {len(BODY)}\n", "")
CHUNKED = UNFRAMED.replace("\n\n", "\nTransfer-Encoding: chunked\n\n").replace(
    BODY, f"{20:x}\r\n{BODY[:20]}\r\n{len(BODY) - 20:x};x=1\r\n{BODY[20:]}\r\n0\r\n\r\n"
)
LOST_LINE = UNFRAMED.replace("\n\n", "\n")
NOT_FOUND = "HTTP/1.1 404 Not Found\nContent-Length: 9\n\nNot Found\n"


@pytest.mark.parametrize(
    "between", ["", "\n", "\r\n\r\n", f"\n\n{NOT_FOUND}\n", "\n### the next one\n", "\n\nGET /health HTTP/1.1\n\n"]
)
@pytest.mark.parametrize(
    "one", [RAW, UNFRAMED, CHUNKED, LOST_LINE], ids=["framed", "unframed", "chunked", "no empty line"]
)
def test_all_raw_requests_of_a_file_are_taken_whatever_stands_between_them(one: str, between: str) -> None:
    if not between and one is not RAW:  # without a length nothing says where the first one ends
        between = "\n"
    assert pairs_in(one + between + one + between + RAW) == [PAIRS] * 3


def test_a_raw_get_request_needs_no_body_and_no_empty_line() -> None:
    (record,) = records(found_in(f"GET /s?{BODY} HTTP/1.1\nHost: x"))
    assert (record.method, record.form, parameters(record)) == ("GET", None, PAIRS)
    assert pairs_in(f"\r\nGET /s?{BODY}\r\nHost: x") == [PAIRS]


def test_twilios_own_time_goes_before_ours() -> None:
    body = "CallSid=CA1&Timestamp=Fri%2C+12+Mar+2021+16%3A29%3A59+%2B0000"
    lines = (f"POST / HTTP/1.1\n\n{body}", body, f"2026-03-12T15:00:00Z {body}", f"curl http://x -d '{body}'")
    for raw in (*lines, json.dumps({"time": "2026-03-12T15:00:00Z", "body": body})):
        assert [record.received_at for record in records(found_in(raw))] == [CALLED_AT], raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("PUT / HTTP/1.1\n\nCallSid=CA1", "the method PUT"),
        ("POST / HTTP/1.1\nContent-Length: 99\n\nCallSid=CA1", "cut off"),
        ("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\nff\nCallSid=CA1\n0\n", "cut off"),
        ("GET / HTTP/1.1\nHost: x\n\n2026 INFO CallSid=CA1", "not in a form"),
    ],
)
def test_a_raw_request_that_cannot_be_read_is_reported_with_its_line(raw: str, words: str) -> None:
    found = found_in(f"{raw}\n\n{RAW}")
    assert [record.form for record in records(found)] == [PAIRS]
    (loss,) = [each for each in unused(found) if each.has_call]
    assert loss.place.startswith("file, ")
    assert words in loss.reason


# Copy as cURL


@pytest.mark.parametrize(
    "command",
    [
        f"curl -X POST 'https://x.example/s' -d '{BODY}'",
        f'$ curl https://x.example/s --request POST --data-binary "{BODY}" -o /dev/null',
        f"curl -XPOST -d'{BODY[:20]}' --url https://x.example/s \\\n -u user:s3cret --data-raw '{BODY[21:]}'",
        f"curl.exe https://x.example/s -H 'Cookie: a=s3cret' -b s3cret --json '' --data '{BODY}'".replace(
            "--json '' ", ""
        ),
        f"curl 'https://x.example/s?{BODY}'",
    ],
)
def test_a_copied_command_gives_the_callback_that_it_would_send(command: str) -> None:
    command = command.replace(BODY[20:21] + "' --url", "' --url")
    (record,) = records(found_in(command))
    assert parameters(record)[0] == ("CallSid", "CA1")
    assert record.path_and_query.startswith("/s")
    assert "s3cret" not in dump(record)


def test_a_command_that_cannot_be_read_is_reported_and_costs_no_other() -> None:
    found = found_in(f"curl http://x -d 'CallSid=CA1\n\ncurl http://x -d '{BODY}'\ncurl http://x -d @body.txt\n")
    assert len(unused(found)) >= 1
    assert all(each.has_call for each in unused(found))


# Lines


def test_form_bodies_are_read_line_by_line() -> None:
    found = records(list(from_file(f"{BODY}\n\nCallSid=CA2\r\n".encode(), None, Defaults(AT, "/hook"), "log")))
    assert [record.form for record in found] == [PAIRS, (("CallSid", "CA2"),)]
    assert {(record.method, record.path_and_query) for record in found} == {("POST", "/hook")}


@pytest.mark.parametrize(
    "line",
    [
        "INFO body={}",
        '{{"level": "info", "body": "{}"}}',
        "[2026-03-12 15:00:00] local.DEBUG: {}  ",
        "handler:({}),",
        "<135>Mar 12 heroku/web.1 - - {}",
        '10.0.0.1 - - [12/Mar/2026:15:00:02 +0000] "GET /s?{} HTTP/1.1" 204 0',
        "https://x.example/s?{} asked for",
        "http.request body='{}' status=204",
        "`{}`;",
    ],
)
def test_any_line_of_a_log_with_a_callback_in_it_gives_it_whole(line: str) -> None:
    assert pairs_in(f"\ufeffstarted\n{line.format(BODY)}\nended\n") == [PAIRS]
    assert pairs_in(line.format(BODY.replace("&", "&amp;")) + "\n" + BODY) == [PAIRS, PAIRS]
    assert pairs_in(line.format(BODY).encode("utf-16")) == [PAIRS]


def test_fields_of_a_structured_log_are_put_together_and_say_so() -> None:
    (record,) = records(
        found_in(f'2026-03-12T15:00:00Z INFO CallSid={FIRST} CallStatus=completed FromCity="ST LOUIS" dur=3ms')
    )
    assert record.form == (("CallSid", FIRST), ("CallStatus", "completed"), ("FromCity", "ST LOUIS"))
    assert (record.captured, record.received_at) == (False, AT.replace(hour=15))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"INFO call CallSid={FIRST} is over", "without the other parameters"),
        (f"INFO body={BODY}...", "cut off"),
        (f'"POST /s?{BODY} HTTP/1.1" 204', "a POST whose body is not there"),
        ("INFO CallSid: 'CA1' saved", "not in a form that can be read"),
        ('{"callSid": "CA1", "msg": "saved"}', "not in a form that can be read"),
    ],
)
def test_a_line_that_names_a_call_and_has_no_callback_is_reported(line: str, words: str) -> None:
    found = found_in(f"{BODY}\nnothing\n{line}\n{BODY}")
    assert [record.form for record in records(found)] == [PAIRS, PAIRS]
    assert [(each.place, each.has_call) for each in unused(found)] == [("file, line 2", False), ("file, line 3", True)]
    assert words in unused(found)[1].reason


def test_a_line_of_a_million_characters_is_read_in_one_pass() -> None:
    """Counted, not timed: nothing but what a run of text ends at is looked for from the middle of it."""
    long = "x" * 1_000_000
    assert pairs_in(f"{long} {BODY} {long}") == [PAIRS]
    assert pairs_in(long) == []


# JSON


@pytest.mark.parametrize(
    "wrap",
    [
        lambda params: params,
        lambda params: [params, {"MessageSid": "SM1"}],
        lambda params: {"body": params},
        lambda params: {"method": "POST", "path": "/twilio/status", "headers": {"cookie": "s3cret"}, "body": params},
        lambda params: {"httpMethod": "POST", "path": "/twilio/status", "isBase64Encoded": True, "headers": {},
                        "body": base64.b64encode(BODY.encode()).decode()},
        lambda params: {"Records": [{"event": {"Payload": json.dumps({"webhook": {"request": {"parameters": params}}})}}]},
        lambda params: {"text": f"got {BODY}"},
    ],
)  # fmt: skip
def test_parameters_in_json_are_found_wherever_they_stand(wrap: Any) -> None:
    params = {
        "CallSid": "CA1",
        "From": "+17655550142",
        "FromCity": "Zürich",
        "Twice": ["a", "b"],
        "Empty": None,
        "Spaces": " a ",
    }
    for raw in (json.dumps(wrap(params)), json.dumps(wrap(params), indent=1), "log\n" + json.dumps(wrap(params))):
        assert pairs_in(raw) == [PAIRS]


def test_events_and_recordings_are_taken_as_they_are() -> None:
    event = {"specversion": "1.0", "type": "com.twilio.voice.status-callback.call.completed", "id": "EZ1"}
    event |= {"data": {"request": {"parameters": {"CallSid": "CA1"}}}}  # type: ignore[dict-item]
    (of_event,) = records(found_in(json.dumps(event) + "\n"))
    assert json.loads(of_event.json or "") == [event]
    kept = Record(AT, "POST", "/s", form=PAIRS, about="kept")
    assert records(found_in(dump(kept) + "\n" + dump(kept))) == [kept, kept]


ALERT: dict[str, Any] = {
    "sid": "NO1",
    "error_code": "11200",
    "request_method": "POST",
    "request_url": "https://calls.example.com/twilio/status",
    "date_created": "2021-03-12T16:29:59Z",
}


@pytest.mark.parametrize("variables", [BODY, {"CallSid": "CA1"}, json.dumps({"CallSid": "CA1"})])
@pytest.mark.parametrize("created", [CALLED_AT, "2021-03-12T16:29:59+00:00", "Fri, 12 Mar 2021 16:29:59 +0000"])
def test_an_alert_gives_the_callback_that_was_lost(variables: object, created: object) -> None:
    alert = {**ALERT, "date_created": created, "request_variables": variables}
    (record,) = records(list(from_alerts([alert], DEFAULTS)))
    assert record.form == (PAIRS if variables == BODY else (("CallSid", "CA1"),))
    assert (record.received_at, record.path_and_query) == (CALLED_AT, "/twilio/status")


@pytest.mark.parametrize("url", ["https://x.example/s?t=1", f"https://x.example/s?t=1&{BODY}"])
def test_an_alert_of_a_get_callback_has_its_parameters_in_the_query_once(url: str) -> None:
    alert = {**ALERT, "request_method": "GET", "request_url": url, "request_variables": BODY}
    (record,) = records(list(from_alerts([alert], DEFAULTS)))
    assert (record.method, parameters(record)) == ("GET", (("t", "1"), *PAIRS))


def test_alerts_that_are_of_no_call_or_cannot_be_read_stop_no_other() -> None:
    odd: list[dict[str, object]] = [
        {"request_variables": "MessageSid=SM1"},
        {"request_variables": 7},
        {"date_created": "soon", "request_variables": BODY},
    ]
    found = list(from_alerts([ALERT, *({**ALERT, **each} for each in odd)], DEFAULTS))
    assert [record.received_at for record in records(found)] == [AT]
    assert [each.has_call for each in unused(found)] == [False, False, False]


# What a file is


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (har(entry(postData=POST_DATA[0])), Source.JSON),
        (b"{", Source.FORM),
        (b'{"log": {', Source.JSON),
        (b'[{"cut": ', Source.JSON),
        (f"[2026-03-12] {BODY}".encode(), Source.FORM),
        (b'{"a": 1}\n{"a": 2}\n', Source.FORM),
        (RAW.encode(), Source.HTTP),
        (f"a stream\n{RAW}".encode(), Source.HTTP),
        (f"curl http://x -d '{BODY}'".encode(), Source.CURL),
        (BODY.encode(), Source.FORM),
        (b"<charles-session/>", Source.XML),
        (b"Call Sid,From\n", Source.CSV),
    ],
)
def test_what_a_file_is_shows_in_it(raw: bytes, kind: Source) -> None:
    assert kind_of(raw) is kind


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"PK\x03\x04xl/", "ZIP archive"),
        (b"\x1f\x8b\x08", "gunzip"),
        (b"\x89PNG\r\n", "picture"),
        (b"%PDF-1.7", "PDF"),
        (b"\xac\xed\x00\x05sr", r"Charles .*\.chlsj"),
        (b"\xd4\xc3\xb2\xa1", "network capture"),
        (b"abc\0def", "binary data"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"<Response><Dial/></Response>", "XML of another kind"),
        (b"<charles-session><transaction", "XML that cannot be read"),
        (b'{"log": {"entries": [', r"JSON that was cut off"),
    ],
)
def test_a_file_that_can_hold_no_callback_is_called_by_what_it_looks_like(raw: bytes, words: str) -> None:
    with pytest.raises(RecordingError, match=f"file: looks like .*{words}"):
        found_in(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "an empty file"),
        ("hello\nworld\n", "2 lines of text"),
        ("Phone,Email\n+1,a@example.com\n", "the columns Phone, Email"),
        ('{"name": "x", "version": 1}', "with name, version"),
        ("GET /health HTTP/1.1\n\n", "raw requests"),
    ],
)
def test_a_file_without_a_callback_is_called_by_what_it_looks_like(raw: str, words: str) -> None:
    found = found_in(raw)
    assert records(found) == []
    assert words in unused(found)[-1].reason
    assert not any(each.has_call for each in unused(found))


@pytest.mark.parametrize(
    "value",
    ["2021-03-12T16:29:59Z", "2021-03-12 16:29:59", "2021-03-12 16:29:59 UTC", 1615566599, 1615566599000.0, "1615566599",
     "12/Mar/2021:17:29:59 +0100", "08:29:59 PST 2021-03-12", "Fri, 12 Mar 2021 08:29:59 PST", CALLED_AT + timedelta(0)],
)  # fmt: skip
def test_a_time_is_read_in_the_spellings_of_logs_and_exports(value: object) -> None:
    assert moment(value) == CALLED_AT


@pytest.mark.parametrize("value", ["soon", "", None, True, "2021-99-99", [], float("nan"), 10**40])
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment(value) is None


# Whatever comes

values = st.text(st.characters(), max_size=20)  # lone surrogates too: JSON can hold them
forms = st.dictionaries(values, values | st.none() | st.integers() | st.lists(values, max_size=2), max_size=5)
trees = st.recursive(
    forms | values | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(values, inner, max_size=3),
)


@given(forms, values)
def test_whatever_an_alert_holds_becomes_a_record_that_can_be_read_again(variables: dict[str, Any], path: str) -> None:
    alert = {**ALERT, "request_url": f"https://x.example/{path}", "request_variables": {**variables, "CallSid": "CA1"}}
    for method in ("POST", "GET"):
        for record in records(list(from_alerts([{**alert, "request_method": method}], DEFAULTS))):
            assert parse(dump(record)) == record


@given(trees, st.sampled_from(["CallSid", "request", "requestVariables", "method", "log", "sid", "data", "body"]))
def test_no_json_whatever_raises_anything_else(tree: Any, name: str) -> None:
    call = {name: tree, "CallSid": "CA1", "url": "/s", "type": "com.twilio.x"}
    for each in (call, {name: tree, "method": "POST", "url": "/s"}, [call, tree]):
        for record in records(found_in(json.dumps(each))):
            assert parse(dump(record)) == record


STARTS = (
    *(
        "",
        "POST /s?CallSid=1 HTTP/1.1\r\n",
        "GET /s?CallSid=1",
        "POST /s HTTP/1.1\n\nCallSid=CA1&",
        "curl -d CallSid=CA1 '",
    ),
    *(
        "Call Sid,From,To,Status\nCA1,",
        "<charles-session>",
        "{'CallSid': '",
        "[('CallSid', 'CA1'), (",
        "GET /?CallSid=",
        "[{",
    ),
)


@given(st.sampled_from(STARTS), st.binary(max_size=200) | values.map(lambda text: text.encode("utf-8", "replace")))
def test_no_file_whatever_raises_anything_else(start: str, rest: bytes) -> None:
    try:
        found = found_in(start.encode() + rest)
    except RecordingError:
        return
    for record in records(found):
        assert parse(dump(record)) == record


@given(
    st.lists(
        st.sampled_from([BODY, "nothing", RAW, json.dumps({"CallSid": "CA9", "From": "+1"})]), min_size=1, max_size=5
    )
)
def test_no_callback_is_lost_without_a_word_however_kinds_are_mixed(parts: list[str]) -> None:
    found = found_in("\n".join(parts) + "\n")
    named = sum("CallSid" in part for part in parts)
    assert len(records(found)) + sum(each.has_call for each in unused(found)) == named
