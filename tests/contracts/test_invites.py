"""What `Invites` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.users import AuditFilter, AuditLine, Invite, Role
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

HOUR = timedelta(hours=1)
LINE = AuditLine(NOON, "ann@example.com", "link made", "bo@example.com", "127.0.0.1")
BO = Invite("i1", "bo@example.com", Role.VIEWER, NOON, NOON + HOUR)
FIRST = Invite("i2", None, Role.ADMIN, NOON, NOON + HOUR)


def test_a_link_may_be_followed_once_and_before_its_end(ledger: WholeLedger) -> None:
    assert not ledger.invites.any_open(NOON)
    ledger.invites.add(BO, LINE)
    ledger.invites.add(FIRST, LINE)
    assert (ledger.invites.open("i1", NOON), ledger.invites.open("i2", NOON)) == (BO, FIRST)
    assert ledger.invites.open("i1", NOON + HOUR) is None
    assert not ledger.invites.take("i1", NOON + HOUR)
    assert [ledger.invites.take("i1", NOON) for _ in range(2)] == [True, False]
    assert ledger.invites.open("i1", NOON) is None
    assert (ledger.invites.any_open(NOON), ledger.invites.any_open(NOON + HOUR)) == (True, False)
    assert [one.what for one in ledger.audit.lines(AuditFilter(), None, 10)] == ["link made", "link made"]


def test_a_link_for_the_first_user_takes_the_place_of_the_one_before(ledger: WholeLedger) -> None:
    for one in (BO, FIRST, replace(FIRST, id="i3")):
        ledger.invites.add(one, LINE)
    assert [ledger.invites.open(each, NOON) is None for each in ("i1", "i2", "i3")] == [False, True, False]


def test_what_ended_goes_when_a_new_one_comes(ledger: WholeLedger) -> None:
    ledger.invites.add(BO, LINE)
    ledger.invites.add(replace(FIRST, made_at=NOON + HOUR, until_at=NOON + 2 * HOUR), LINE)
    assert ledger.invites.open("i1", NOON) is None
