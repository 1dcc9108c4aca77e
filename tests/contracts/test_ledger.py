"""What `Ledger` promises beside the ports that it is made of: news of what was stored, and statistics that change nothing."""

from __future__ import annotations

import threading

from tests.contracts.conftest import WholeLedger
from tests.contracts.day import keep_day
from tests.fakes.callbacks import raw, sid
from tests.support.waiting import HANGS_AFTER_SECONDS


def test_there_is_no_news_of_a_ledger_that_was_only_opened_or_read(ledger: WholeLedger) -> None:
    assert list(ledger.stories.every_callback()) == []
    assert not ledger.news.wait(0)


def test_news_comes_with_a_callback_and_stays_until_it_is_cleared(ledger: WholeLedger) -> None:
    for number in (1, 2):
        ledger.append([raw(number)])
        assert (ledger.news.wait(0), ledger.news.wait(0)) == (True, True)
        ledger.news.clear()
        assert not ledger.news.wait(0)


def test_whoever_sleeps_is_woken_by_another_threads_callback_and_can_read_it(ledger: WholeLedger) -> None:
    storing = threading.Thread(target=ledger.append, args=([raw(1)],))
    storing.start()
    assert ledger.news.wait(HANGS_AFTER_SECONDS)
    assert ledger.stories.has_callbacks(sid(1))
    storing.join()


def test_statistics_change_nothing_that_is_kept(ledger: WholeLedger) -> None:
    ledger.gather_statistics()
    keep_day(ledger)
    before = [ledger.stories.of_call(sid(number)) for number in (1, 2, 3, 4)], ledger.waiting(with_open=True)
    for _ in range(2):
        ledger.gather_statistics()
        after = [ledger.stories.of_call(sid(number)) for number in (1, 2, 3, 4)], ledger.waiting(with_open=True)
        assert after == before
