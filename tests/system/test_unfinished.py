"""A call without an end, as an operator comes to know of it: the worker's log, /readyz, the commands."""

from __future__ import annotations

import pytest

from tests.support.processes import environment, flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")


def test_the_worker_warns_of_a_call_without_an_end_and_readyz_and_the_commands_say_it(offhook: Offhook) -> None:
    sid, env = new_sid(), {"OFFHOOK_UNFINISHED_HOURS": "0.0003"}
    with offhook.web() as web, offhook.worker(**env) as worker:
        assert web.twilio.send(callback(sid, "in-progress")).status == 204
        worker.wait_for_log("calls_unfinished")
        wait_until(lambda: b'"calls_unfinished":1' in web.twilio.get("/readyz").body)
        commands = [
            ("conversions", "list"),
            ("conversions", "list", "--state", "unfinished"),
            ("conversions", "show", sid, "--raw"),
        ]
        for words in commands:
            done = flask(*words, env=environment(offhook.database_url), folder=offhook.folder)
            assert done.returncode == 0, done.stderr
            assert "unfinished" in done.stdout and sid in done.stdout and "on the number itself" in done.stdout, words
        assert web.twilio.send(callback(sid)).status == 204
        offhook.sink.wait_for(1)
