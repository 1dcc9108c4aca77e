"""Numbers are learned while calls come in and workers are killed: each waiting call is released once, and none is missed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import ledger
from tests.support.processes import Web, WorkerProcess, flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook
from tests.system.test_kill import PATIENT, assert_sent_once, everything_is_done, kill_again_and_again

_SENDERS = 4


def test_numbers_are_learned_while_calls_come_and_workers_are_killed(offhook: Offhook) -> None:
    learned_under_kills(offhook, numbers=120, imports=3, kills=3, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_ten_thousand_numbers_are_learned_while_calls_come_and_workers_are_killed(offhook: Offhook) -> None:
    """Five minutes on SQLite and nine on Postgres, on two busy cores."""
    learned_under_kills(offhook, numbers=10_000, imports=25, kills=40, seed=2)


def another_worker(offhook: Offhook) -> WorkerProcess:
    return WorkerProcess(offhook.env(**PATIENT), offhook.folder, "other")


class Calls:
    """One call from each number, and which of them were acknowledged."""

    def __init__(self, web: Web, phones: list[str]) -> None:
        self._web = web
        self.sids = {phone: new_sid() for phone in phones}
        self.acknowledged: set[tuple[str, str]] = set()

    def send(self, phones: list[str]) -> None:
        for phone in phones:
            assert self._web.twilio.send(callback(self.sids[phone], "completed", From=phone)).status == 204
            self.acknowledged.add((self.sids[phone], "completed"))


def learned_under_kills(offhook: Offhook, numbers: int, imports: int, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    phones = [f"+1415555{number:04d}" for number in range(numbers)]
    called = draw.sample(phones, numbers)
    with offhook.web() as web, offhook.worker(**PATIENT) as worker, another_worker(offhook) as other:
        calls = Calls(web, phones)
        with ThreadPoolExecutor(_SENDERS + 2) as threads:
            under_way: list[Future[Any]] = [
                threads.submit(calls.send, called[first::_SENDERS]) for first in range(_SENDERS)
            ]
            under_way += [
                threads.submit(kill_again_and_again, one, kills, random.Random(seed + place))
                for place, one in enumerate((worker, other))
            ]
            *most, last = slices(draw.sample(phones, numbers), imports)
            for some in most:
                learn(offhook, some)
            # Else everybody might be known before a worker lived long enough to decide anything.
            wait_until(lambda: parked(offhook) > 0, shows=lambda: f"{offhook.states()} {worker.log[-2000:]}")
            learn(offhook, last)
            for one in under_way:
                one.result()
        wait_until(lambda: nothing_waits(offhook), shows=lambda: f"{offhook.states()} {worker.log[-2000:]}")
    url = offhook.database_url
    assert parked(offhook) > 0, "no call ever waited for its caller"
    assert ledger.count(url, "conversions") == len(calls.acknowledged) == numbers
    converted = ledger.query(url, "SELECT call_sid FROM decisions WHERE result = 'converted'")
    assert set(Counter(row["call_sid"] for row in converted).values()) == {1}
    assert_sent_once(offhook, calls)


def parked(offhook: Offhook) -> int:
    """How often it was decided that a call waits for its caller."""
    return ledger.count(offhook.database_url, "decisions", "result = 'parked'")


def nothing_waits(offhook: Offhook) -> bool:
    return everything_is_done(offhook) and not ledger.count(offhook.database_url, "calls", "state = 'parked'")


def slices(phones: list[str], many: int) -> Iterator[list[str]]:
    return (phones[first::many] for first in range(many))


def learn(offhook: Offhook, phones: list[str]) -> None:
    file = offhook.folder / "learned.csv"
    file.write_text("phone,email\n" + "".join(f"{phone},{phone[1:]}@example.com\n" for phone in phones))
    done = flask("customers", "import", str(file), env=offhook.env(), folder=offhook.folder)
    assert done.returncode == 0, done.stderr
