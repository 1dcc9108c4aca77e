"""What `Sessions` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.users import AuditFilter, AuditLine, Session
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

HOUR = timedelta(hours=1)
LINE = AuditLine(NOON, "ann@example.com", "sign in", "password", "127.0.0.1")
OURS = Session("s1", "1", NOON, NOON, "127.0.0.1")
LATER = replace(OURS, id="s2", created_at=NOON + HOUR)
OTHERS = replace(OURS, id="s3", user_id="2", came_by="https://id.example.com")


def test_sessions_are_found_by_their_hash_and_by_their_user(ledger: WholeLedger) -> None:
    for one in (LATER, OURS, OTHERS):
        ledger.sessions.add(one, NOON - HOUR, LINE)
    assert (ledger.sessions.with_id("s1"), ledger.sessions.with_id("s9")) == (OURS, None)
    assert list(ledger.sessions.of_user("1")) == [OURS, LATER]


def test_the_last_use_is_the_latest(ledger: WholeLedger) -> None:
    ledger.sessions.add(OURS, NOON - HOUR, LINE)
    ledger.sessions.seen("s9", NOON)
    for at in (NOON + HOUR, NOON):
        ledger.sessions.seen("s1", at)
    assert ledger.sessions.with_id("s1") == replace(OURS, seen_at=NOON + HOUR)


def test_what_ended_is_none_and_ends_once(ledger: WholeLedger) -> None:
    for one in (OURS, LATER, OTHERS):
        ledger.sessions.add(one, NOON - HOUR, LINE)
    assert ledger.sessions.end("s1", replace(LINE, what="sign out"))
    assert not ledger.sessions.end("s1", replace(LINE, what="never"))
    assert ledger.sessions.end_all("1", replace(LINE, what="everywhere")) == 1
    assert [ledger.sessions.with_id(one) for one in ("s1", "s2", "s3")] == [None, None, OTHERS]
    acts = [one.what for one in ledger.audit.lines(AuditFilter(), None, 10)]
    assert acts == ["everywhere", "sign out", "sign in", "sign in", "sign in"]


def test_old_ones_go_when_new_ones_come(ledger: WholeLedger) -> None:
    ledger.sessions.add(OURS, NOON, LINE)
    ledger.sessions.add(LATER, NOON + HOUR, LINE)
    assert list(ledger.sessions.of_user("1")) == [LATER]


def test_the_key_of_cookies_stays_the_same(ledger: WholeLedger) -> None:
    assert ledger.sessions.key() == ledger.sessions.key()
    assert len(ledger.sessions.key()) == 64
