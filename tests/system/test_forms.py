"""Every command that lists or shows does so as a table, as JSON and as CSV, and hides persons in each."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from tests import sinks
from tests.support.twilio import CALLER, OURS, callback, new_sid
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until
from tests.system.conftest import Offhook

EMAIL = "caller@example.test"
pytestmark = pytest.mark.mostly("postgres")

_RUN = """
import json, sys
from app import app

runner = app.test_cli_runner()
for words in json.load(sys.stdin):
    done = runner.invoke(args=words)
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
"""


def run(commands: list[list[str]], offhook: Offhook) -> list[str]:
    """What each of them prints: all in one process, as the start of one takes longer than all of them together."""
    ended = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(commands),
        env=offhook.env(),
        cwd=offhook.folder,
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER_SECONDS,
    )
    done = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [code for code, _, _ in done] == [0] * len(commands), (done, ended.stderr)
    return [printed for _, printed, _ in done]


def test_each_form_says_the_same_and_none_a_whole_number_or_email(offhook: Offhook) -> None:
    sid = new_sid()
    offhook.sink.behave(sinks.answer(400, f"bad email {EMAIL}".encode()))
    with offhook.web() as web, offhook.worker():
        assert web.twilio.send(callback(sid)).status == 204
        wait_until(lambda: offhook.states() == {"dead": 1}, lambda: str(offhook.states()))

        commands = {
            ("conversions", "list"): "call_sid",
            ("conversions", "show", sid): "call_sid",
            ("conversions", "show", CALLER): "call_sid",
            ("explain", sid): "verdict",
            ("calls", "list"): "outcome",
            ("tallies", "rebuild"): "moved",
            ("customers", "show", CALLER): "phone",
            ("rules", "check"): "process",
            ("settings",): "setting",
            ("db", "current"): "needed",
            ("db", "history"): "revision",
            ("version",): "Python",
        }
        forms = (("--json",), ("--csv",), ("--format", "table"), ())
        said = run([[*words, *form] for words in commands for form in forms], offhook)
        of_calls = (("calls", "list"), ("conversions", "show"), ("explain", sid))
        of_a_call = [at for at, words in enumerate(commands) if words[:2] in of_calls]
        by_number = {4 * at + form for at in of_a_call for form in range(4)}
        assert [text for text in said if any(whole in text for whole in (CALLER, EMAIL))] == []
        assert {at for at, text in enumerate(said) if OURS in text} == by_number  # a tracked number is nobody's secret
        for at, (words, column) in enumerate(commands.items()):
            as_json, as_csv, as_table, by_default = said[4 * at : 4 * at + 4]
            assert column in json.dumps(json.loads(as_json)), words
            [first, *_] = csv.DictReader(io.StringIO(as_csv))
            assert column in first, words
            assert as_table == by_default != "", words

        [listed], [story] = json.loads(said[0]), json.loads(said[4])
        assert [one["reason"] for one in story["decisions"][0]["reasons"]] != []
        [attempt] = story["attempts"]
        assert (story["conversion"]["state"], attempt["status_code"], attempt["number"]) == ("dead", 400, 1)
        assert story["conversion"]["payload"]["order_id"] == sid
        [clear] = run([["conversions", "show", sid, "--json", "--in-clear"]], offhook)
        assert CALLER in clear and EMAIL in clear
        assert (listed["call_sid"], listed["state"], listed["attempts"]) == (sid, "dead", 1)
