"""kill -9 of web and worker at random moments under load: what was acknowledged is kept, and sent, and sent once.

A second copy may reach the destination only where a worker was killed between sending and writing down the answer; the
journal of attempts says so then. Seeds are fixed, the moments are as random as a machine's timing.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.processes import Process
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook


class Acknowledged(Protocol):
    """Callbacks that were answered 204: CallSid and CallStatus of each."""

    acknowledged: set[tuple[str, str]]


# A poor call may be under way at many a kill here, and must not be quarantined for it.
PATIENT = {
    "OFFHOOK_MAX_EXPIRED_LEASES": "100",
    "OFFHOOK_DEADLINE_SECONDS": "1",
    "OFFHOOK_LEASE_SECONDS": "2",
    "OFFHOOK_RETRY_CAP_SECONDS": "0.2",
}
_REST = "state IN ('pending', 'sending')"


def test_kills_lose_nothing_and_double_only_what_was_in_flight(offhook: Offhook) -> None:
    under_kills(offhook, kills_of_each=5, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3])
def test_hundreds_of_kills_lose_nothing_and_double_only_what_was_in_flight(offhook: Offhook, seed: int) -> None:
    under_kills(offhook, kills_of_each=50, seed=seed)


def under_kills(offhook: Offhook, kills_of_each: int, seed: int) -> None:
    offhook.sink.behave(sinks.after(0.03, sinks.answer()))  # so that a kill finds some in flight
    with offhook.web(**PATIENT) as web, offhook.worker(**PATIENT) as worker:
        with Load(web.twilio) as load, ThreadPoolExecutor(2) as killers:
            killed = [
                killers.submit(kill_again_and_again, web, kills_of_each, random.Random(seed)),
                killers.submit(kill_again_and_again, worker, kills_of_each, random.Random(seed + 1000)),
            ]
            assert sum(one.result() for one in killed) == 2 * kills_of_each
            before = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > before + 20)  # it serves on
        wait_until(lambda: everything_is_done(offhook), shows=lambda: f"{offhook.states()} {worker.log[-2000:]}")
    assert_kept(load, offhook.database_url)
    assert_sent_once(offhook, load)


def kill_again_and_again(process: Process, times: int, draw: random.Random) -> int:
    """Kill it so many times, each a random moment after its start, and leave it running."""
    for _ in range(times):
        time.sleep(draw.uniform(0.0, 0.7))  # the moment of the kill is what is drawn
        assert process.is_running, process.log[-3000:]
        process.kill()
        process.start()
    return times


def everything_is_done(offhook: Offhook) -> bool:
    url = offhook.database_url
    return not any(
        ledger.count(url, table, where)
        for table, where in (("callbacks", "folded = 0"), ("calls", "state = 'settling'"), ("conversions", _REST))
    )


def assert_sent_once(offhook: Offhook, load: Acknowledged) -> None:
    completed = {sid for sid, status in load.acknowledged if status == "completed"}
    whole = [seen for seen in offhook.sink.requests if is_whole(seen)]
    arrived = Counter(json.loads(seen.body)["order_id"] for seen in whole)
    assert offhook.states() == {"delivered": len(arrived)}
    assert completed <= set(arrived), f"acknowledged, and never sent: {completed - set(arrived)}"
    doubtful = "SELECT call_sid, count(*) AS found FROM attempts WHERE result IN ('lease_expired', 'maybe_sent') GROUP BY call_sid"
    excused = {row["call_sid"]: row["found"] for row in ledger.query(offhook.database_url, doubtful)}
    unexcused = {sid: times for sid, times in arrived.items() if times > 1 + excused.get(sid, 0)}
    assert not unexcused, f"sent more often than the journal can explain: {unexcused}"
    bodies = {seen.body for seen in whole}
    assert len(bodies) == len(arrived), "two attempts at one call sent different bytes"


def is_whole(seen: sinks.Seen) -> bool:
    """False for what a worker was killed in the middle of: head and body are two writes, and nobody counts half of it."""
    return len(seen.body) == int(seen.headers.get("content-length", "-1"))
