"""A retry of what was refused: what has changed since is said, new bytes go out where nothing can have been counted, and
what may have arrived is never decided anew."""

from __future__ import annotations

import json
import os
import pty
import sys
from contextlib import closing

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.processes import flask, start
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")

OLD, NEW = "caller@example.test", "corrected@example.test"
RESET = {"OFFHOOK_RESEND_AMBIGUOUS": "never"}


def rests(offhook: Offhook, behaviour: sinks.Behaviour, state: str, **env: str) -> str:
    """A call whose conversion rests in this state, and whose caller has another email by now."""
    sid = new_sid()
    offhook.sink.behave(behaviour)
    with offhook.web() as web, offhook.worker(**env):
        assert web.twilio.send(callback(sid)).status == 204
        wait_until(lambda: offhook.states() == {state: 1}, shows=lambda: str(offhook.states()))
    offhook.sink.behave(sinks.answer())
    ledger.change(offhook.database_url, f"UPDATE customers SET email = '{NEW}'")
    return sid


def retry(offhook: Offhook, *words: str) -> tuple[int, str]:
    done = flask("conversions", "retry", *words, env=offhook.env(), folder=offhook.folder)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def emails(offhook: Offhook) -> list[str]:
    return [json.loads(request.body)["email"] for request in offhook.sink.requests]


def deliver(offhook: Offhook) -> None:
    with offhook.worker():
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: str(offhook.states()))


def test_a_retry_says_what_has_changed_and_a_rebuild_sends_it_and_keeps_both_in_the_story(offhook: Offhook) -> None:
    sid = rests(offhook, sinks.answer(400, b"bad email caller@example.test"), "dead")
    code, said = retry(offhook, sid, "--rebuild", "--in-clear")
    assert (code, f"email: {OLD} -> {NEW}" in said) == (0, True)
    deliver(offhook)
    assert emails(offhook) == [OLD, NEW]
    assert {json.loads(request.body)["order_id"] for request in offhook.sink.requests} == {sid}
    story = flask("conversions", "show", sid, "--in-clear", "--raw", env=offhook.env(), folder=offhook.folder).stdout
    until, is_sent = story.index("What was sent until"), story.index("What is sent")
    assert until < story.index(OLD, until) < story.index("\n     1  ", until) < is_sent
    assert is_sent < story.index(NEW, is_sent) < story.index("\n     2  ", is_sent)
    assert "decided_anew" in story
    masked = flask("conversions", "show", sid, env=offhook.env(), folder=offhook.folder).stdout
    assert OLD not in masked and NEW not in masked


def test_without_a_word_and_without_a_terminal_the_same_bytes_are_sent_and_the_change_is_said(offhook: Offhook) -> None:
    sid = rests(offhook, sinks.answer(400), "dead")
    code, said = retry(offhook, sid)
    assert (code, "have changed since" in said, "--rebuild sends" in said) == (0, True, True)
    assert OLD not in said and NEW not in said and "c***@example.test -> another one" in said
    deliver(offhook)
    assert emails(offhook) == [OLD, OLD]


def test_what_may_have_arrived_is_never_decided_anew(offhook: Offhook) -> None:
    sid = rests(offhook, sinks.close_before_answer(), "ambiguous", **RESET)
    for words in ((sid, "--rebuild"), (sid, "--rebuild", "--yes"), ("--all", "ambiguous", "--rebuild", "--yes")):
        code, said = retry(offhook, *words)
        assert (code, "never decided anew" in said, offhook.states()) == (1, True, {"ambiguous": 1}), said
    assert retry(offhook, sid)[0] == 1  # without --yes, as before
    assert retry(offhook, sid, "--yes")[0] == 0
    offhook.sink.behave(sinks.answer(400))
    with offhook.worker():
        wait_until(lambda: offhook.states() == {"dead": 1})
    code, said = retry(offhook, sid, "--rebuild")  # refused in the end, and the first copy is as doubtful as ever
    assert (code, "never decided anew" in said, offhook.states()) == (1, True, {"dead": 1})
    assert emails(offhook) == [OLD, OLD]


def test_what_would_not_be_sent_today_stays_and_what_is_the_same_is_sent(offhook: Offhook) -> None:
    sid = rests(offhook, sinks.answer(400), "dead")
    rules = offhook.folder / "offhook.toml"
    rules.write_text("min_duration_seconds = 86400\n")
    code, said = retry(offhook, sid, "--rebuild")
    assert (code, "today it would not be sent: too_short" in said, offhook.states()) == (1, True, {"dead": 1})
    rules.write_text("min_duration = 86400\n")
    code, said = retry(offhook, sid, "--rebuild")
    assert (code, "--as-it-is" in said, offhook.states()) == (1, True, {"dead": 1})
    rules.unlink()
    ledger.change(offhook.database_url, f"UPDATE customers SET email = '{OLD}'")
    code, said = retry(offhook, sid, "--rebuild")
    assert (code, "have changed" in said, ledger.count(offhook.database_url, "replaced")) == (0, False, 0)
    assert offhook.states() == {"pending": 1}


@pytest.mark.parametrize(("answer", "sent"), [("new", NEW), ("", NEW), ("old", OLD), ("none", None)])
def test_a_terminal_is_asked(offhook: Offhook, answer: str, sent: str | None) -> None:
    if answer in ("", "none") and not offhook.database_url.startswith("sqlite"):
        pytest.skip("the same on both")
    sid = rests(offhook, sinks.answer(400), "dead")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flask", "conversions", "retry", sid]
    with closing(os.fdopen(ours, "r+b", buffering=0)) as terminal:
        running = start(command, offhook.env(), offhook.folder, [theirs] * 3, own_session=False)
        os.close(theirs)
        said = b""
        while b"[new]" not in said:
            said += terminal.read(1000)
        terminal.write(f"{answer}\n".encode())
        with pytest.raises(OSError, match="Input/output"):  # how Linux says that nobody holds the other end
            while said := terminal.read(1000):
                pass
        assert running.wait() == 0
    [row] = ledger.query(offhook.database_url, "SELECT state, payload FROM conversions")
    assert json.loads(bytes(row["payload"]))["email"] == (sent or OLD)
    assert row["state"] == ("dead" if sent is None else "pending")
