"""The worker's clock beside the destination's: a difference is told once, and that it is over."""

from __future__ import annotations

import json
from email.utils import formatdate
from time import time
from typing import Any

import pytest

from tests import sinks
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook


def dated(ahead_seconds: float) -> sinks.Behaviour:
    """An answer by a clock that is so far ahead of ours."""

    def behave(exchange: sinks.Exchange) -> bool:
        date = formatdate(time() + ahead_seconds, usegmt=True)
        return sinks.answer(headers={"Date": date})(exchange)

    return behave


@pytest.mark.parametrize("ahead", [-65.0, 65.0])
def test_a_clock_that_differs_from_rockerbox_s_is_told_once_and_so_is_its_end(offhook: Offhook, ahead: float) -> None:
    def send(count: int) -> None:
        for _ in range(count):
            assert web.twilio.send(callback(new_sid())).status == 204
        expected.append(count)
        wait_until(lambda: offhook.states() == {"delivered": sum(expected)}, 20, lambda: str(offhook.states()))

    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in worker.log.splitlines() if f'"{name}"' in line]

    expected: list[int] = []
    offhook.sink.behave(dated(ahead))
    with offhook.web() as web, offhook.worker() as worker:
        send(4)
        [told] = lines("clock_differs")
        assert (told["level"], told["against"]) == ("WARNING", "destination")
        assert abs(told["ahead_seconds"] + ahead) < 5
        offhook.sink.behave(dated(0))
        send(6)
        assert [line["level"] for line in lines("clock_agrees_again")] == ["INFO"]
        assert len(lines("clock_differs")) == 1
