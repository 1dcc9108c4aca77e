"""What is refused is counted in memory and written in sums; a run of refusals is over with the first callback accepted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given as for_all
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.twilio.explaining import explain
from offhook.adapters.twilio.keys import Account, Keyring
from offhook.adapters.twilio.signature import Check, Forged, sign, verify
from offhook.adapters.twilio.spelling import presented_urls
from offhook.adapters.web.routes import shown_path
from offhook.adapters.web.tally import Tally, TallyLimits
from offhook.pipeline.arrival import Arrived, Explained
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.refusals import IntakeSums, Run, joined, unless_over
from offhook.settings import given
from tests.support import ledger as by_hand
from tests.support.arriving import arrived, read_request
from tests.support.waiting import wait_until

OURS, OTHER = f"AC{1:032x}", f"AC{2:032x}"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
QUIET = TallyLimits(write_seconds=3600, refused_before_error=5, error_every_seconds=3600)


def why() -> Explained:
    return Explained("https://a.test/twilio/status?To=%2B14155550300", None, "Usually this.")


class Counted:
    """A ledger's counts; says how often it was asked, and may fail."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.added: list[Mapping[str, int]] = []
        self.is_down = False

    def add(self, counts: Mapping[str, int], runs: Sequence[Run]) -> Sequence[Run]:
        if self.is_down:
            raise LedgerUnavailable("down", "unreachable")
        found = self._ledger.intake_counts.add(counts, runs)
        self.added.append(counts)  # now it can be read
        return found

    def sums(self) -> IntakeSums:
        return self._ledger.intake_counts.sums()


@pytest.fixture
def ledger(database_url: str) -> Iterator[SqlLedger]:
    opened = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
    yield opened
    opened.close()


def accept(ledger: SqlLedger, at: datetime, account: str = OURS) -> None:
    body = urlencode({"AccountSid": account, "CallSid": f"CA{at}", "CallStatus": "completed"}).encode()
    found = read_request("POST", "/twilio/status", "", {}, body, at, account)
    assert isinstance(found, tuple)
    ledger.append(found)


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == "callbacks_refused"]


def test_a_flood_is_one_write_and_then_one_for_all_that_gathered(ledger: SqlLedger) -> None:
    counts = Counted(ledger)
    tally = Tally(counts, QUIET)

    def refuse(number: int) -> None:
        account = (OURS, "")[number % 2]
        tally.refused("signature", account, NOON, why)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(refuse, range(10_000)))
    wait_until(lambda: counts.added)
    assert len(counts.added) == 1, "the next one comes in an hour"
    tally.write()
    assert ledger.intake_sums().counts == {"refused/signature/known": 5000, "refused/signature/unknown": 5000}
    assert {run.account: run.count for run in ledger.intake_sums().runs} == {OURS: 5000, "": 5000}


def test_while_the_ledger_is_down_counts_gather_and_the_error_is_logged_all_the_same(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counted(ledger)
    counts.is_down = True
    tally = Tally(counts, QUIET)
    for second in range(6):
        tally.refused("signature", OURS, NOON + second * SECOND, why)
        tally.other("recording")

    def written_and_logged() -> int:
        """By this thread or by the tally's own, whichever has the counts."""
        tally.write()
        return len(errors(caplog))

    wait_until(written_and_logged)
    [line] = errors(caplog)
    assert (line.levelname, line.check, line.account_sid) == ("ERROR", "signature", OURS)  # type: ignore[attr-defined]
    assert "14155550300" not in line.we_hashed  # type: ignore[attr-defined]
    assert counts.added == []
    counts.is_down = False
    sums = {"refused/signature/known": 6, "other/recording": 6}
    wait_until(lambda: written_and_logged() and ledger.intake_sums().counts == sums)
    [run] = ledger.intake_sums().runs
    assert run == Run(OURS, 6, NOON, NOON + 5 * SECOND)
    assert len(errors(caplog)) == 1


def test_a_bug_in_what_is_said_does_not_end_the_counting(ledger: SqlLedger) -> None:
    counts = Counted(ledger)
    tally = Tally(counts, TallyLimits(refused_before_error=1, write_seconds=0.01))

    def broken() -> Explained:
        raise RuntimeError("a bug")

    tally.refused("signature", OURS, NOON, broken)
    wait_until(lambda: counts.added)
    tally.other("recording")
    wait_until(lambda: ledger.intake_sums().counts.get("other/recording") == 1)


def test_a_run_is_of_one_account_and_is_over_when_one_of_its_own_is_accepted(ledger: SqlLedger) -> None:
    add = ledger.intake_counts.add
    assert add({}, [Run(OURS, 3, NOON, NOON), Run("", 3, NOON, NOON)])[0].count == 3
    accept(ledger, NOON + SECOND, OTHER)
    assert add({}, [Run(OURS, 2, NOON + 2 * SECOND, NOON + 3 * SECOND)]) == [Run(OURS, 5, NOON, NOON + 3 * SECOND)]
    assert [run.account for run in ledger.intake_sums().runs] == [OURS], "strangers' are over with anybody's"
    accept(ledger, NOON + 4 * SECOND)
    assert ledger.intake_sums().runs == []
    later = Run(OURS, 1, NOON + 5 * SECOND, NOON + 5 * SECOND)
    assert add({}, [later]) == [later]
    accept(ledger, NOON + 7 * SECOND)
    written_late = Run(OURS, 9, NOON + 6 * SECOND, NOON + 8 * SECOND)
    assert [run.count for run in add({}, [written_late])] == [0], "one was accepted among them"
    assert ledger.intake_sums().runs == []


@for_all(
    events=st.lists(st.tuples(st.sampled_from(["refused", "accepted", "written"]), st.sampled_from([OURS, OTHER])))
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_what_is_counted_of_a_run_is_what_came_since_the_last_one_accepted(
    ledger: SqlLedger, database_url: str, events: list[tuple[str, str]]
) -> None:
    """Whenever the sums are written: never more than were refused since, and all of them where each is written at once."""
    for table in ("callbacks", "counters"):
        by_hand.change(database_url, f"DELETE FROM {table}")
    counts, refused, since = Counted(ledger), dict.fromkeys([OURS, OTHER], 0), dict.fromkeys([OURS, OTHER], 0)
    for number, (event, account) in enumerate(events):
        at = NOON + number * SECOND
        if event == "accepted":
            accept(ledger, at, account)
            since[account] = 0
        elif event == "refused":
            refused[account] += 1
            since[account] += 1
            counts.add({f"refused/signature/{account}": 1}, [Run(account, 1, at, at)])
    sums = ledger.intake_sums()
    assert {run.account: run.count for run in sums.runs} == {account: n for account, n in since.items() if n}
    assert sums.counts == {f"refused/signature/{account}": n for account, n in refused.items() if n}


@pytest.mark.unit
def test_a_run_of_strangers_is_over_with_anybodys_callback() -> None:
    run = joined(Run("", 2, NOON, NOON), Run("", 1, NOON + SECOND, NOON + SECOND))
    assert run == Run("", 3, NOON, NOON + SECOND)
    assert unless_over(run, {OURS: NOON - SECOND}) is run
    assert unless_over(run, {OURS: NOON}) is None
    assert unless_over(Run(OURS, 3, NOON, NOON), {OTHER: NOON}) is not None


# What Twilio may have been given instead

TOKEN = "0123456789abcdef0123456789abcdef"
KEYS = Keyring({OURS: Account(OURS, (TOKEN,), {})})
PAIRS = (("AccountSid", OURS), ("CallSid", "CA1"))


def refused(signed_for: str, base: str, target: str = "/twilio/status", token: str = TOKEN) -> Arrived:
    body = urlencode(PAIRS).encode()
    signature = sign(signed_for, PAIRS, token)
    headers = {"Host": "real.test", "X-Forwarded-Host": "x y, front.test"}
    return arrived("POST", presented_urls([base], target), "", body, signature, target=target, headers=headers)


GIVEN = {
    "http, and it is https": ("http://a.test/twilio/status", "https://a.test", "signs for http://"),
    "https, and it is http": ("https://a.test/twilio/status", "http://a.test", "signs for https://"),
    "a slash that a proxy took off": ("https://a.test/twilio/status/", "https://a.test", "slash"),
    "the host it was sent to": ("https://real.test/twilio/status", "https://a.test", "another address"),
    "the host of a proxy": ("https://front.test/twilio/status", "https://a.test", "another address"),
    "both wrong": ("http://real.test/twilio/status/", "https://a.test", "another address"),
    "a path that a proxy does not strip": ("https://a.test/twilio/status", "https://a.test/hook", "another address"),
}


@pytest.mark.unit
@pytest.mark.parametrize("name", GIVEN)
def test_the_address_that_twilio_was_given_is_found(name: str) -> None:
    given_, base, words = GIVEN[name]
    request = refused(given_, base)
    found = verify(request, KEYS)
    assert isinstance(found, Forged) and (found.check, found.account_sid) == (Check.SIGNATURE, OURS)
    guess = explain(request, KEYS, found.check, 100)
    assert guess.hashed_url == given_
    assert words in guess.usually and "PUBLIC_URL" in guess.usually and TOKEN not in guess.usually


@pytest.mark.unit
@for_all(
    check=st.sampled_from(Check),
    host=st.text(max_size=300),
    target=st.text(max_size=50),
    body=st.binary(max_size=50),
    urls=st.lists(st.text(max_size=30), max_size=2),
    signature=st.text(max_size=30),
)
def test_an_explanation_is_a_sentence_whatever_was_sent(
    check: Check, host: str, target: str, body: bytes, urls: list[str], signature: str
) -> None:
    headers = {"Host": host, "X-Forwarded-Host": host}
    request = arrived("POST", urls, "", body, signature, target=target, headers=headers)
    guess = explain(request, KEYS, check, 100)
    assert guess.hashed_url is None and len(guess.usually) > 20 and TOKEN not in guess.usually


@pytest.mark.unit
@for_all(st.text(max_size=3000))
def test_a_path_in_the_log_is_short_and_printable(path: str) -> None:
    shown = shown_path(path)
    assert len(shown) <= 203 and shown.isprintable()
