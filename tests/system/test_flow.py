"""From the callback to Rockerbox, through HTTP and the commands: what counts, what is sent, what is parked and why."""

from __future__ import annotations

import fcntl
import json
import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.processes import IMPATIENT, Process, Web, WorkerProcess, flask
from tests.support.twilio import CALLER, OURS, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

RULES = f"""
action = "call"
min_duration_seconds = 5
extra = {{ seconds = "{{duration_seconds}}", city = "{{CallerCity}}" }}

[[numbers]]
number = "{OURS}"
label = "TV spring"
action = "tv_call"
revenue = 27.5
extra = {{ label = "{{label}}" }}
"""


def lines_of(process: Process, event: str = "") -> list[dict[str, Any]]:
    """The lines of its log, or those of one event."""
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event or not event]


def send(web: Web, *callbacks: list[tuple[str, str]]) -> None:
    assert [web.twilio.send(one).status for one in callbacks] == [204] * len(callbacks)


def test_a_call_of_a_known_customer_is_sent_once_as_the_documentation_says(offhook: Offhook) -> None:
    (offhook.folder / "offhook.toml").write_text(RULES)
    sid = new_sid()
    with offhook.web() as web, offhook.worker():
        final = callback(sid, CallDuration="61", Timestamp="Fri, 12 Mar 2021 16:29:59 +0000")
        send(web, final, callback(sid, "ringing", SequenceNumber="0"), final)
        offhook.sink.wait_for(1)
        send(
            web,
            callback(new_sid(), CallDuration="4"),
            callback(new_sid(), From="anonymous"),
            callback(new_sid(), "busy"),
        )
        wait_until(lambda: ledger.count(offhook.database_url, "decisions") == 4, shows=lambda: "no decisions")
    [request] = offhook.sink.requests
    assert request.method == "POST"
    assert request.path.endswith("?advertiser=advertiser-for-tests")
    assert json.loads(request.body) == {
        "email": "caller@example.test",
        "action": "tv_call",
        "timestamp": "1615566599",
        "conversion_source": "phone",
        "order_id": sid,
        "revenue": "27.50",
        "seconds": "61",
        "city": "LAFAYETTE",
        "label": "TV spring",
    }
    reasons = {row["reasons"] for row in ledger.query(offhook.database_url, "SELECT reasons FROM decisions")}
    words = {word for each in reasons for word, _ in json.loads(each)}
    assert words == {"counts", "too_short", "caller_withheld", "status"}


@pytest.mark.mostly("sqlite")
def test_a_parent_and_its_child_legs_are_one_call_in_either_order(offhook: Offhook) -> None:
    parents = [new_sid(), new_sid()]
    with offhook.web() as web, offhook.worker(OFFHOOK_SETTLE_SECONDS="0.5"):
        for first, parent in enumerate(parents):
            leg = callback(new_sid(), "completed", "child-leg-no-answer", ParentCallSid=parent)
            both = [callback(parent), leg]
            send(web, *(both if first == 0 else reversed(both)))
        offhook.sink.wait_for(2)
        wait_until(lambda: ledger.count(offhook.database_url, "callbacks", "folded = 1") == 4, shows=lambda: "unfolded")
    assert {json.loads(request.body)["order_id"] for request in offhook.sink.requests} == set(parents)
    assert ledger.count(offhook.database_url, "conversions") == 2


@pytest.mark.mostly("sqlite")
def test_a_parked_call_is_sent_when_its_caller_comes_into_the_mapping(offhook: Offhook) -> None:
    sid = new_sid()
    with offhook.web() as web, offhook.worker():
        send(web, callback(sid, From="+14155550123"))
        wait_until(
            lambda: ledger.count(offhook.database_url, "calls", "state = 'parked'") == 1, shows=lambda: "not parked"
        )
        mapping = offhook.folder / "customers.csv"
        mapping.write_text("phone,email,customer_id\n(415) 555-0123,late@example.test,C-1\n")
        for count in ("1  added", "1  unchanged"):
            done = flask("customers", "import", str(mapping), env=offhook.env(), folder=offhook.folder)
            assert done.returncode == 0, done.stderr
            assert count in done.stdout
        offhook.sink.wait_for(1)
    results = ledger.query(offhook.database_url, "SELECT result FROM decisions ORDER BY id")
    assert [row["result"] for row in results] == ["parked", "converted"]


@pytest.mark.mostly("sqlite")
def test_a_running_worker_takes_changed_rules_up_and_holds_on_to_them_when_the_next_are_wrong(offhook: Offhook) -> None:
    rules = offhook.folder / "offhook.toml"

    def decided() -> list[str]:
        rows = ledger.query(offhook.database_url, "SELECT result FROM decisions ORDER BY id")
        return [row["result"] for row in rows]

    with offhook.web() as web, offhook.worker(OFFHOOK_RULES_SETTLE_SECONDS="0.2") as worker:
        send(web, callback(new_sid()))
        wait_until(lambda: decided() == ["converted"])
        rules.write_text("min_duration_seconds = 86400\n")
        worker.wait_for_log("rules_changed")
        rules.write_text("min_duration_second = 1\n")
        worker.wait_for_log("rules_not_changed")
        send(web, callback(new_sid()))
        wait_until(lambda: decided() == ["converted", "skipped"])
        assert worker.log.count("rules_not_changed") == 1


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("behaviour", ["500", "429", "reset", "drip", "black_hole"])
def test_a_destination_in_trouble_gets_the_same_bytes_again_until_it_takes_them(
    behaviour: str, offhook: Offhook
) -> None:
    trouble = {
        "500": sinks.answer(500),
        "429": sinks.rate_limited("1"),
        "reset": sinks.reset(),
        "drip": sinks.drip_head(),
        "black_hole": sinks.black_hole(),
    }[behaviour]
    offhook.sink.behave(trouble, sinks.answer())
    silent = IMPATIENT if behaviour in ("drip", "black_hole") else {}
    with offhook.web() as web, offhook.worker(**silent):
        send(web, callback(new_sid()))
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: str(offhook.states()))
    assert len({request.body for request in offhook.sink.requests}) == 1
    assert ledger.count(offhook.database_url, "attempts") == 2


@pytest.mark.mostly("sqlite")
def test_a_refused_conversion_is_dead_and_a_person_can_send_it_again(offhook: Offhook) -> None:
    sid = new_sid()
    offhook.sink.behave(sinks.answer(400, b'{"error":"no such advertiser"}'), sinks.answer())
    with offhook.web() as web, offhook.worker() as worker:
        send(web, callback(sid))
        wait_until(lambda: offhook.states() == {"dead": 1}, shows=lambda: str(offhook.states()))
        worker.wait_for_log("conversion_dead")
        assert [line["level"] for line in lines_of(worker, "conversion_dead")] == ["ERROR"]
        story = flask("conversions", "show", sid, env=offhook.env(), folder=offhook.folder).stdout
        assert "no such advertiser" in story
        assert CALLER not in story
        listed = flask("conversions", "list", env=offhook.env(), folder=offhook.folder).stdout
        states, counts = (line.split() for line in listed.splitlines()[-2:])
        assert dict(zip(states, counts, strict=True)) == dict.fromkeys(states, "0") | {"dead": "1"}
        done = flask("conversions", "retry", sid, env=offhook.env(), folder=offhook.folder)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: str(offhook.states()))


def test_what_may_have_arrived_yesterday_is_held_for_a_person(offhook: Offhook) -> None:
    """The day has turned since the first attempt: Rockerbox would count a second copy."""
    sid = new_sid()
    offhook.sink.behave(sinks.reset())
    with offhook.web() as web, offhook.worker(OFFHOOK_RETRY_BASE_SECONDS="600", OFFHOOK_RETRY_CAP_SECONDS="600"):
        send(web, callback(sid))
        wait_until(lambda: ledger.count(offhook.database_url, "attempts") == 1, shows=lambda: "no attempts")
    day = 86_400 * 1_000_000
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    ledger.change(
        offhook.database_url,
        f"UPDATE conversions SET state = 'pending', lease_until = NULL, due_at = {now}, first_attempt_at = {now - day}",
    )
    with offhook.worker() as worker:
        wait_until(lambda: offhook.states() == {"ambiguous": 1}, shows=lambda: str(offhook.states()))
        worker.wait_for_log("conversion_ambiguous")
    [error] = lines_of(worker, "conversion_ambiguous")
    assert (error["level"], error["reason"], error["call_sid"]) == ("ERROR", "day_turned", sid)
    refused = flask("conversions", "retry", sid, env=offhook.env(), folder=offhook.folder)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr


def test_a_row_whose_worker_vanished_three_times_is_quarantined(offhook: Offhook) -> None:
    sid = new_sid()
    offhook.sink.behave(sinks.black_hole())
    with offhook.web() as web:
        send(web, callback(sid))
    for fence in (1, 2, 3):
        with offhook.worker(OFFHOOK_LEASE_SECONDS="4", OFFHOOK_DEADLINE_SECONDS="3"):  # killed at the end of the block
            claimed = f"state = 'sending' AND fence = {fence}"
            wait_until(
                partial(ledger.count, offhook.database_url, "conversions", claimed), shows=lambda: str(offhook.states())
            )
        ledger.change(offhook.database_url, "UPDATE conversions SET lease_until = 1")
    with offhook.worker() as worker:
        wait_until(lambda: offhook.states() == {"quarantined": 1}, shows=lambda: str(offhook.states()))
        worker.wait_for_log("conversion_quarantined")
    [error] = lines_of(worker, "conversion_quarantined")
    assert (error["level"], error["reason"], error["call_sid"]) == ("ERROR", "leases_expired", sid)


def holds_a_lock(url: str) -> bool:
    """Whether somebody is within a transaction of this database."""
    if not url.startswith("sqlite"):
        working = (
            "datname = current_database() AND pid <> pg_backend_pid() AND state IN ('active', 'idle in transaction')"
        )
        return ledger.count(url, "pg_stat_activity", working) > 0
    with Path(f"{ledger.sqlite_file(url)}.lock").open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stall(worker: WorkerProcess, url: str) -> None:
    """Stop it where it holds no lock, behind which everybody would wait for it."""

    def is_stalled_without_a_lock() -> bool:
        worker.stall()
        if holds_a_lock(url):
            worker.go_on()
            return False
        return True

    wait_until(is_stalled_without_a_lock)


def test_an_answer_that_comes_after_the_lease_delivers_and_nothing_is_sent_a_second_time(offhook: Offhook) -> None:
    """A worker that is stopped for a while, as a machine that is moved: another one takes its lease."""
    sid = new_sid()
    offhook.sink.behave(sinks.after(0.5, sinks.answer()))
    patient = {"OFFHOOK_RETRY_BASE_SECONDS": "3600", "OFFHOOK_RETRY_CAP_SECONDS": "3600"}
    slow = {"OFFHOOK_DEADLINE_SECONDS": "60", "OFFHOOK_LEASE_SECONDS": "100"}
    with offhook.web() as web, offhook.worker(**patient, **slow) as stalled:
        send(web, callback(sid))
        offhook.sink.wait_for(1)
        stall(stalled, offhook.database_url)
        ledger.change(offhook.database_url, "UPDATE conversions SET lease_until = 1")
        with offhook.worker(**patient):
            wait_until(lambda: offhook.states() == {"pending": 1}, shows=lambda: str(offhook.states()))
            stalled.go_on()
            wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: str(offhook.states()))
    assert len(offhook.sink.requests) == 1
    story = flask("conversions", "show", sid, "--raw", env=offhook.env(), folder=offhook.folder).stdout
    assert "In Rockerbox (late_answer)" in story
    assert re.search(r"^ +\d  .*  delivered +delivered +none: it came late", story, re.MULTILINE)


@pytest.mark.mostly("sqlite")
def test_six_seconds_of_403_kill_nothing_and_are_one_error(offhook: Offhook) -> None:
    """A firewall or a CDN in front of Rockerbox that has taken a dislike to us for a while."""
    offhook.sink.behave(sinks.answer(403, b"<html>Forbidden</html>"))
    quick = {
        "OFFHOOK_BLOCKED_BASE_SECONDS": "0.5",
        "OFFHOOK_BREAKER_BASE_SECONDS": "0.2",
        "OFFHOOK_BREAKER_CAP_SECONDS": "0.5",
    }
    with offhook.web() as web, offhook.worker(**quick) as worker, offhook.worker(**quick):
        until = time.monotonic() + 6
        sids = {new_sid() for _ in range(40)}
        for sid in sids:
            send(web, callback(sid))
        wait_until(lambda: time.monotonic() > until)
        assert set(offhook.states()) <= {"pending", "sending"}
        offhook.sink.behave(sinks.answer())
        wait_until(lambda: offhook.states() == {"delivered": 40}, shows=lambda: str(offhook.states()))
        wait_until(lambda: "destination_accepts_again" in worker.log)
    errors = [line for line in lines_of(worker) if line["level"] not in ("INFO", "WARNING")]
    assert [(line["event"], line["reason"]) for line in errors] == [("destination_refuses", "http_403")]
    assert [line["level"] for line in lines_of(worker, "destination_accepts_again")] == ["INFO"]
    accepted = [seen for seen in offhook.sink.requests if json.loads(seen.body)["order_id"] in sids]
    assert len({seen.body for seen in accepted}) == 40
