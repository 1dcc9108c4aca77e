"""Every command that lists or shows does so as a table, as JSON and as CSV, and hides persons in each."""

from __future__ import annotations

import csv
import io
import json

from tests import sinks
from tests.support.processes import flask
from tests.support.twilio import CALLER, OURS, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook


def test_each_form_says_the_same_and_none_a_whole_number_or_email(offhook: Offhook) -> None:
    sid = new_sid()
    offhook.sink.behave(sinks.answer(400, b"bad email caller@example.test"))
    with offhook.web() as web, offhook.worker():
        assert web.twilio.send(callback(sid)).status == 204
        wait_until(lambda: offhook.states() == {"dead": 1}, 20, lambda: str(offhook.states()))

        def said(*words: str) -> str:
            done = flask(*words, env=offhook.env(), folder=offhook.folder)
            assert done.returncode == 0, (words, done.stderr)
            assert CALLER not in done.stdout and OURS not in done.stdout and "caller@example.test" not in done.stdout
            return done.stdout

        commands = {
            ("conversions", "list"): "call_sid",
            ("conversions", "show", sid): "call_sid",
            ("conversions", "show", CALLER): "call_sid",
            ("customers", "show", CALLER): "phone",
            ("rules", "check"): "process",
            ("settings",): "setting",
            ("db", "current"): "needed",
            ("db", "history"): "revision",
            ("version",): "Python",
        }
        for words, column in commands.items():
            assert column in json.dumps(json.loads(said(*words, "--json"))), words
            [first, *_] = csv.DictReader(io.StringIO(said(*words, "--csv")))
            assert column in first, words
            assert said(*words, "--format", "table") == said(*words) != "", words

        [story] = json.loads(said("conversions", "show", sid, "--json"))
        assert [one["reason"] for one in story["decisions"][0]["reasons"]] != []
        [attempt] = story["conversion"]["attempts"]
        assert (story["conversion"]["state"], attempt["status_code"], attempt["number"]) == ("dead", 400, 1)
        assert story["conversion"]["payload"]["order_id"] == sid
        clear = flask("conversions", "show", sid, "--json", "--in-clear", env=offhook.env(), folder=offhook.folder)
        assert CALLER in clear.stdout and "caller@example.test" in clear.stdout
        [listed] = json.loads(said("conversions", "list", "--json"))
        assert (listed["call_sid"], listed["state"], listed["attempts"]) == (sid, "dead", 1)
