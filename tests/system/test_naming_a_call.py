"""`conversions show` finds a call by what people have: its CallSid in any case, the caller's number; and hides persons."""

from __future__ import annotations

import json

import pytest

from offhook.pipeline.phone import mask
from tests.support import ledger
from tests.support.processes import flask
from tests.support.twilio import CALLER, OURS, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")

NATIONAL = f"({CALLER[2:5]}) {CALLER[5:8]}-{CALLER[8:]}"
OTHER = "+14155550177"


class Console:
    def __init__(self, offhook: Offhook) -> None:
        self.offhook = offhook

    def __call__(self, *words: str) -> tuple[int, str]:
        done = flask(*words, env=self.offhook.env(), folder=self.offhook.folder)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr


def test_a_call_is_found_in_any_case_and_by_its_callers_number_and_persons_are_hidden(offhook: Offhook) -> None:
    (offhook.folder / "offhook.toml").write_text('[extra]\ncaller = "{from}"\n')
    console, sid, unknown = Console(offhook), new_sid(), new_sid()
    with offhook.web() as web, offhook.worker():
        assert web.twilio.send(callback(sid)).status == 204
        assert web.twilio.send(callback(unknown, From=OTHER)).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 1})
        wait_until(lambda: ledger.count(offhook.database_url, "calls", "state = 'parked'") == 1)
    for name in (sid, sid.lower(), f" {sid.upper()},", CALLER, NATIONAL):
        code, story = console("conversions", "show", name)
        assert (code, f"Call {sid}" in story) == (0, True), (name, story)
        assert "c***@example.test" in story and "***" + CALLER[-4:] in story and OURS in story
        for person in ("caller@example.test", CALLER, CALLER[2:], CALLER[5:]):
            assert person not in story
    code, story = console("conversions", "show", OTHER)
    assert (code, "Unknown caller. " in story, OTHER in story) == (0, True, False)
    clear = console("conversions", "show", sid, "--in-clear")[1]
    assert CALLER in clear and "caller@example.test" in clear and OURS in clear


def test_the_calls_of_a_number_are_listed_also_before_they_are_decided(offhook: Offhook) -> None:
    console, sids = Console(offhook), [new_sid() for _ in range(3)]
    with offhook.web() as web:
        assert web.twilio.send(callback(sids[0], CallStatus="ringing")).status == 204
        code, said = console("conversions", "show", CALLER)
        assert (code, "no worker has taken in" in said) == (1, True)
        with offhook.worker(OFFHOOK_SETTLE_SECONDS="3600"):
            for sid in sids[1:]:
                assert web.twilio.send(callback(sid)).status == 204
            wait_until(lambda: ledger.count(offhook.database_url, "calls") == 3)
    code, said = console("conversions", "show", NATIONAL)
    assert (code, [sid in said for sid in sids], CALLER in said) == (0, [True] * 3, False)
    code, said = console("conversions", "show", OTHER)
    assert (code, OTHER in said) == (1, False)


def test_another_shape_is_refused_with_what_was_expected(offhook: Offhook) -> None:
    expected = {
        "CA123": "this has 5",
        "CA" + "g" * 32: "other characters",
        "AC" + "0" * 32: "begins with AC",
        "12": "phone number",
    }
    for name, why in expected.items():
        code, said = Console(offhook)("conversions", "show", name)
        assert (code, why in said, "arrived" in said) == (2, True, False), said


def test_a_retry_takes_call_sids_alone(offhook: Offhook) -> None:
    code, said = Console(offhook)("conversions", "retry", CALLER)
    assert (code, "flask explain" in said) == (2, True)


def test_a_call_is_explained_by_whatever_name_a_person_has_for_it(offhook: Offhook) -> None:
    (offhook.folder / "offhook.toml").write_text('order_id = "order-{call_sid}"\n')
    console, first, second = Console(offhook), new_sid(), new_sid()
    (offhook.folder / "new.csv").write_text(f"phone,email,customer_id\n{CALLER},caller@example.test,C1042\n")
    assert console("customers", "import", "new.csv")[0] == 0
    with offhook.web() as web, offhook.worker():
        assert web.twilio.send(callback(first)).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 1})
        for name in (first, CALLER, NATIONAL, "Caller@Example.test", "C1042", f"order-{first}"):
            code, said = console("explain", name)
            assert (code, "In Rockerbox. This call is in Rockerbox" in said) == (0, True), (name, said)
            assert CALLER not in said and "caller@example.test" not in said
        assert CALLER in console("explain", first, "--reveal")[1]
        assert web.twilio.send(callback(second)).status == 204
        wait_until(lambda: offhook.states() == {"delivered": 2})
    code, said = console("explain", "C1042")
    assert (code, first in said, second in said, "flask explain CALLSID" in said) == (0, True, True, True)
    said = console("explain", "C1042", "--json")[1]
    listed = json.loads(said[: said.rindex("]") + 1])
    assert [(one["outcome"], one["customer"]) for one in listed] == [("delivered", mask(CALLER))] * 2
    found = json.loads(console("explain", second, "--json")[1])
    assert (found["verdict"], found["call_sid"], found["today"]["same"]) == ("delivered", second, True)
    counted = json.loads(console("today", "--since", "1h", "--json")[1])
    assert (counted["calls"], counted["converted"], counted["by_reason"]) == (2, 2, {"delivered": 2})
    assert console("explain", "C9")[0] == 2
    assert console("explain", "nobody@example.test")[0] == 1
