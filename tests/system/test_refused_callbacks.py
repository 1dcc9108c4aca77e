"""Refused callbacks are no secret: counted in /readyz, and an error says what Twilio signed, what was compared, what it usually is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import ledger
from tests.support.processes import Web
from tests.support.twilio import ACCOUNT_SID, PUBLIC_URL, Answer, Pairs, Twilio, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

NUMBER = "14155550300"
OTHER_TOKEN = "0123456789abcdef0123456789abcdef"
on_sqlite = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
QUICK = {"OFFHOOK_COUNT_SECONDS": "0.05"}


def ready(web: Web) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(web.twilio.get("/readyz").body)
    return found


def lines(web: Web, event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in web.log.splitlines()]
    return [line for line in logged if line["event"] == event]


def only_error(web: Web) -> dict[str, Any]:
    wait_until(lambda: bool(lines(web, "callbacks_refused")), shows=lambda: web.log[-2000:])
    [line] = lines(web, "callbacks_refused")
    assert line["level"] == "ERROR"
    return line


def post(twilio: Twilio, path: str, pairs: Pairs, signed_for: str, method: str = "POST", **headers: str) -> Answer:
    """A form, signed for an address."""
    signed = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": twilio.sign(signed_for, pairs if method == "POST" else [], twilio.token),
    }
    return twilio._request(method, path, urlencode(pairs), signed | headers)


# What a setting that is wrong looks like, and what the error must say of it

WRONG: dict[str, tuple[dict[str, str], dict[str, str], str, str]] = {
    "http for https": (
        {},
        {"public_url": "http://calls.example.test"},
        "http://calls.example.test/",
        "signs for http://",
    ),
    "a rotated token": ({}, {"token": OTHER_TOKEN}, "unknown", "rotated"),
    "the wrong account": ({"TWILIO_ACCOUNT_SID": "AC" + "7" * 32}, {}, "unknown", ACCOUNT_SID),
}


@on_sqlite
@pytest.mark.parametrize("name", WRONG)
def test_after_some_refusals_and_none_accepted_an_error_says_what_it_usually_is(offhook: Offhook, name: str) -> None:
    settings, changes, hashed, usually = WRONG[name]
    with offhook.web(**settings, **QUICK) as web:
        changed: dict[str, Any] = {key: value.format(port=web.port) for key, value in changes.items()}
        twilio = replace(web.twilio, **changed)
        for _ in range(5):
            assert twilio.send(callback(new_sid())).status == 403
        error = only_error(web)
        facts = ready(web)
    assert hashed.format(port=web.port) in error["twilio_hashed"]
    assert usually in error["what"]
    assert error["we_hashed"].startswith(settings.get("PUBLIC_URL", PUBLIC_URL))
    assert sum(facts["callbacks_refused"].values()) == facts["callbacks_refused_in_a_row"] == 5
    assert "refused_warning" in facts
    for secret in (OTHER_TOKEN, "a-token-for-tests", "changeme", NUMBER):
        assert secret not in web.log


def test_the_run_goes_on_over_a_restart_and_is_over_with_the_first_one_accepted(offhook: Offhook) -> None:
    with offhook.web(**QUICK) as web:
        wrong = replace(web.twilio, token=OTHER_TOKEN)
        for _ in range(3):
            assert wrong.send(callback(new_sid())).status == 403
        wait_until(lambda: ready(web)["callbacks_refused_in_a_row"] == 3)
    with offhook.web(**QUICK) as web:
        wrong = replace(web.twilio, token=OTHER_TOKEN)
        for _ in range(2):
            assert wrong.send(callback(new_sid())).status == 403
        assert only_error(web)["count"] == 5
        assert web.twilio.send(callback(new_sid())).status == 204
        assert ready(web)["callbacks_refused_in_a_row"] == 0
        for _ in range(4):
            assert wrong.send(callback(new_sid())).status == 403
        wait_until(lambda: ready(web)["callbacks_refused_in_a_row"] == 4)
        assert ready(web)["callbacks_refused"] == {"signature": 9}
        assert len(lines(web, "callbacks_refused")) == 1


def test_a_flood_of_forgeries_is_a_few_rows_whatever_they_say(offhook: Offhook) -> None:
    with offhook.web(**QUICK) as web:
        for number in range(300):
            form = callback(new_sid(), AccountSid=f"AC{number + 100:032x}")
            assert post(web.twilio, "/twilio/status", form, f"https://{number}.test").status == 403
        unsigned = web.twilio._request("POST", "/twilio/status", "CallSid=CA1", {})
        assert unsigned.status == 403
        counted = {"unknown_account": 300, "missing_signature": 1}
        wait_until(lambda: ready(web)["callbacks_refused"] == counted)
        rows = ledger.query(offhook.database_url, "SELECT name, value FROM counters WHERE name LIKE 'intake/%'")
    assert {row["name"] for row in rows} == {
        "intake/sum/refused/unknown_account/unknown",
        "intake/sum/refused/missing_signature/unknown",
        *(f"intake/run/-/{what}" for what in ("count", "since", "last")),
    }


# The path


@pytest.mark.parametrize("path", ["/twilio/status/", "//twilio/status", "//twilio/status/"])
def test_a_slash_too_many_at_an_end_of_the_path_is_accepted_and_is_part_of_what_is_signed(
    offhook: Offhook, path: str
) -> None:
    sid = new_sid()
    with offhook.web() as web, offhook.worker():
        assert post(web.twilio, path, callback(sid), f"{PUBLIC_URL}{path}").status == 204
        assert post(web.twilio, path, callback(new_sid()), f"{PUBLIC_URL}/twilio/status").status == 403
        query = urlencode(callback(new_sid()))
        assert post(web.twilio, f"{path}?{query}", [], f"{PUBLIC_URL}{path}?{query}", "GET").status == 204
        unsigned = web.twilio._request("POST", path, "CallSid=CA1", {})
        assert (unsigned.status, unsigned.headers["connection"]) == (403, "close"), "its body is not waited for"
        offhook.sink.wait_for(2)


LOST = {
    "/": ("POST", 404),
    "/twilio": ("POST", 404),
    "/twilio//status": ("POST", 404),
    "/healthz": ("POST", 405),
    "/twilio/status": ("PUT", 405),
    f"/calls/%2B{NUMBER}": ("POST", 404),
    f"/calls/+{NUMBER}?To=%2B{NUMBER}": ("GET", 404),
    "/%0Aevil%1b": ("POST", 404),
    "/" + "x" * 5000: ("POST", 404),
}


@on_sqlite
def test_a_signed_request_to_a_path_that_is_none_is_a_warning_and_counted(offhook: Offhook) -> None:
    with offhook.web(**QUICK) as web:
        for path, (method, status) in LOST.items():
            before = len(lines(web, "callback_to_wrong_path"))
            assert post(web.twilio, path, callback(new_sid()), PUBLIC_URL + path, method).status == status
            [line] = lines(web, "callback_to_wrong_path")[before:]
            assert (line["level"], line["status"], line["method"]) == ("WARNING", status, method)
            assert path.startswith(line["path"]) or NUMBER in path or len(line["path"]) < 210, path
        assert web.twilio._request("POST", "/nowhere", "", {}).status == 404
        counts = {"404": 7, "405": 2}
        wait_until(lambda: ready(web)["callbacks_to_wrong_paths"] == counts)
    assert len(lines(web, "callback_to_wrong_path")) == len(LOST)
    assert NUMBER not in web.log


# Other kinds

ABOUT = [("AccountSid", ACCOUNT_SID), ("CallSid", "CA" + "e" * 32)]
RECORDING = [*ABOUT, ("RecordingSid", "RE1"), ("RecordingStatus", "completed")]
CONFERENCE = [("AccountSid", ACCOUNT_SID), ("ConferenceSid", "CF1"), ("StatusCallbackEvent", "conference-end")]
TEST_EVENT = [
    {"specversion": "1.0", "type": "com.twilio.eventstreams.test-event", "id": "EZ1", "data": {"test_id": "x"}}
]


def send_events(twilio: Twilio, events: object) -> Answer:
    from offhook.adapters.twilio.spelling import with_body_hash

    body = json.dumps(events)
    url = with_body_hash(f"{PUBLIC_URL}/twilio/status", body.encode())
    headers = {"Content-Type": "application/json", "X-Twilio-Signature": twilio.sign(url, [], twilio.token)}
    return twilio._request("POST", url.removeprefix(PUBLIC_URL), body, headers)


def test_what_else_twilio_sends_is_answered_204_and_counted(offhook: Offhook) -> None:
    amd = [*ABOUT, ("AnsweredBy", "human"), ("MachineDetectionDuration", "4100")]
    with offhook.web(**QUICK) as web:
        for form in (RECORDING, CONFERENCE, RECORDING, amd):
            assert web.twilio.send(form).status == 204
        assert send_events(web.twilio, TEST_EVENT).status == 204
        assert send_events(replace(web.twilio, token=OTHER_TOKEN), TEST_EVENT).status == 403
        expected = {"recording": 2, "conference": 1, "event_stream": 1, "amd": 1}
        wait_until(lambda: ready(web)["callbacks_of_other_kinds"] == expected, shows=lambda: str(ready(web)))
        wait_until(lambda: ready(web)["callbacks_refused"] == {"signature": 1})
    assert ledger.count(offhook.database_url, "callbacks") == 1, "only who answered is kept"


@pytest.mark.parametrize("first", ["the detection", "the call"])
def test_who_answered_is_known_to_the_call_whichever_comes_first(offhook: Offhook, first: str) -> None:
    (offhook.folder / "offhook.toml").write_text('[extra]\nwho = "{answered_by}"\n')
    sid = new_sid()
    amd: Pairs = [("AccountSid", ACCOUNT_SID), ("CallSid", sid), ("AnsweredBy", "machine_end_beep")]
    forms = [amd, callback(sid)] if first == "the detection" else [callback(sid), amd]
    with offhook.web() as web:
        for form in forms:
            assert web.twilio.send(form).status == 204
        with offhook.worker():
            offhook.sink.wait_for(1)
    assert json.loads(offhook.sink.requests[0].body)["who"] == "machine_end_beep"
