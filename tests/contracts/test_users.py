"""What `Users` promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.users import AuditFilter, AuditLine, Identity, Invite, Role, Session, User
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

LINE = AuditLine(NOON, "ann@example.com", "user added", "bo@example.com", "127.0.0.1")
ANN = User("1", "ann@example.com", Role.ADMIN, "hash", NOON)
BO = User("2", "bo@example.com", Role.VIEWER, None, NOON, zone="Europe/Vienna")
HOUR = NOON + timedelta(hours=1)
SESSION = Session("s1", "1", NOON, NOON, "127.0.0.1")


def lines(ledger: WholeLedger) -> list[str]:
    return [one.what for one in ledger.audit.lines(AuditFilter(), None, 10)]


def test_users_come_by_their_emails_ids_and_all_together(ledger: WholeLedger) -> None:
    assert ledger.users.add(BO, LINE)
    assert ledger.users.add(ANN, LINE)
    assert list(ledger.users.every()) == [ANN, BO]
    assert (ledger.users.with_id("2"), ledger.users.with_email("ann@example.com")) == (BO, ANN)
    assert (ledger.users.with_id("3"), ledger.users.with_email("eve@example.com")) == (None, None)


def test_an_email_is_one_users_and_a_change_of_nobody_leaves_no_line(ledger: WholeLedger) -> None:
    assert ledger.users.add(ANN, LINE)
    assert not ledger.users.add(replace(BO, email=ANN.email), LINE)
    assert not ledger.users.set_role("3", Role.ADMIN, LINE)
    assert not ledger.users.set_password("3", "hash", LINE)
    assert not ledger.users.set_zone("3", "UTC", LINE)
    assert not ledger.users.disable("3", NOON, LINE)
    assert not ledger.users.remove("3", LINE)
    assert lines(ledger) == ["user added"]
    assert list(ledger.users.every()) == [ANN]


def test_what_changes_is_that_one_user_alone(ledger: WholeLedger) -> None:
    ledger.users.add(ANN, LINE)
    ledger.users.add(BO, LINE)
    assert ledger.users.set_zone("2", "UTC", replace(LINE, what="zone"))
    assert ledger.users.set_role("2", Role.OPERATOR, replace(LINE, what="role"))
    assert list(ledger.users.every()) == [ANN, replace(BO, role=Role.OPERATOR, zone="UTC")]
    assert lines(ledger)[:2] == ["role", "zone"]


def test_another_password_being_disabled_and_being_removed_end_all_sessions_and_open_links(ledger: WholeLedger) -> None:
    ledger.users.add(ANN, LINE)
    changes: tuple[Callable[[], bool], ...] = (
        lambda: ledger.users.set_password("1", "other", LINE),
        lambda: ledger.users.disable("1", NOON, LINE),
        lambda: ledger.users.remove("1", LINE),
    )
    for change in changes:
        ledger.sessions.add(SESSION, NOON - timedelta(days=1), LINE)
        for invite in (
            Invite("i1", ANN.email, Role.VIEWER, NOON, HOUR),
            Invite("i2", BO.email, Role.VIEWER, NOON, HOUR),
        ):
            ledger.invites.add(invite, LINE)
        assert change()
        assert ledger.sessions.with_id("s1") is None
        assert [ledger.invites.take(each, NOON) for each in ("i1", "i2")] == [False, True]
    assert ledger.users.add(ANN, LINE), "the email is free again"


def test_who_is_enabled_again_is_as_before(ledger: WholeLedger) -> None:
    ledger.users.add(ANN, LINE)
    ledger.users.disable("1", NOON, LINE)
    assert ledger.users.with_id("1") == replace(ANN, disabled_at=NOON)
    ledger.sessions.add(SESSION, NOON, LINE)
    ledger.users.disable("1", None, LINE)
    assert ledger.users.with_id("1") == ANN
    assert ledger.sessions.with_id("s1") == SESSION


def test_who_somebody_is_at_a_provider_is_one_user_alone(ledger: WholeLedger) -> None:
    there = Identity("https://id.example.com", "s-1")
    assert ledger.users.add(ANN, LINE)
    linked = replace(BO, identity=there, linked_at=NOON)
    assert ledger.users.add(linked, LINE)
    assert ledger.users.with_identity(there) == linked
    assert ledger.users.with_identity(replace(there, issuer="https://other.example.com")) is None
    assert not ledger.users.link("1", there, replace(LINE, what="linked"))
    assert not ledger.users.link("3", replace(there, subject="s-3"), LINE)
    assert not ledger.users.add(replace(BO, id="4", email="cy@example.com", identity=there), LINE)
    assert lines(ledger) == ["user added", "user added"]
    other = replace(there, subject="s-2")
    assert ledger.users.link("1", other, replace(LINE, what="linked", at=HOUR))
    assert ledger.users.with_identity(other) == replace(ANN, identity=other, linked_at=HOUR)
    assert lines(ledger)[0] == "linked"
