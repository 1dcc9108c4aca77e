"""Who comes in by single sign-on, as whom, and with which role: on a ledger in memory, whatever the provider."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offhook.pipeline.single_sign_on import Account, Admission, Refusal, come_in
from offhook.pipeline.users import AuditLine, Identity, Role, User
from tests.fakes.callbacks import NOON
from tests.fakes.kept import Kept
from tests.fakes.users import MemoryUsers

pytestmark = pytest.mark.unit

THERE = Identity("https://id.example.com", "s-1")
ANN = Account(THERE, "Ann@Example.com", True)
OURS = Admission(frozenset({"example.com"}))
BY_GROUP = Admission(OURS.domains, {"it": Role.ADMIN, "growth": Role.OPERATOR})


def line(what: str, of_what: str, who: str) -> AuditLine:
    return AuditLine(NOON, who, what, of_what, "127.0.0.1")


@pytest.fixture
def kept() -> Kept:
    return Kept()


def comes(kept: Kept, account: Account = ANN, admission: Admission = OURS) -> User | Refusal:
    return come_in(MemoryUsers(kept), account, admission, NOON, line)


def known(kept: Kept, **values: object) -> User:
    made = replace(User("1", "ann@example.com", Role.OPERATOR, "hash", NOON), **values)  # type: ignore[arg-type]
    assert MemoryUsers(kept).add(made, line("user added", made.email, "test"))
    return made


def done(kept: Kept) -> list[str]:
    return [one.what for one in kept.audit]


def test_whoever_is_new_is_a_viewer_without_a_password(kept: Kept) -> None:
    made = comes(kept)
    assert isinstance(made, User)
    assert (made.email, made.role, made.password_hash, made.identity) == ("ann@example.com", Role.VIEWER, None, THERE)
    assert comes(kept) == made
    assert done(kept) == ["user added by single sign-on"]


def test_the_first_time_a_verified_email_leads_to_the_user_who_was_there(kept: Kept) -> None:
    before = known(kept)
    assert comes(kept) == replace(before, identity=THERE, linked_at=NOON)
    assert done(kept)[1:] == ["single sign-on linked"]


def test_an_email_that_somebody_else_has_at_the_provider_now_does_not_make_them_that_user(kept: Kept) -> None:
    comes(kept)
    assert comes(kept, replace(ANN, identity=replace(THERE, subject="s-2"))) is Refusal.TAKEN
    [only] = MemoryUsers(kept).every()
    assert only.identity == THERE


def test_who_has_another_email_at_the_provider_now_is_the_same_user(kept: Kept) -> None:
    first = comes(kept)
    assert comes(kept, replace(ANN, email="ann.married@example.com")) == first


def test_another_provider_that_is_set_up_later_leads_to_the_same_users(kept: Kept) -> None:
    first, elsewhere = comes(kept), Identity("https://new.example.com", "7")
    assert isinstance(first, User)
    assert comes(kept, replace(ANN, identity=elsewhere)) == replace(first, identity=elsewhere)


@pytest.mark.parametrize(
    ("account", "admission", "refusal"),
    [
        (replace(ANN, email=""), OURS, Refusal.NO_EMAIL),
        (replace(ANN, email="ann"), OURS, Refusal.NO_EMAIL),
        (replace(ANN, is_verified=False), OURS, Refusal.UNVERIFIED),
        (replace(ANN, email="ann@example.com.evil.example"), OURS, Refusal.DOMAIN),
        (replace(ANN, email="ann@sub.example.com"), OURS, Refusal.DOMAIN),
        (ANN, BY_GROUP, Refusal.NO_ROLE),
        (replace(ANN, groups=("sales",)), BY_GROUP, Refusal.NO_ROLE),
    ],
)
def test_whoever_may_not_come_in_leaves_no_user_behind(
    kept: Kept, account: Account, admission: Admission, refusal: Refusal
) -> None:
    assert comes(kept, account, admission) is refusal
    assert not MemoryUsers(kept).every()


def test_who_is_disabled_stays_out_linked_or_not(kept: Kept) -> None:
    someone = known(kept, disabled_at=NOON)
    assert comes(kept) is Refusal.DISABLED
    MemoryUsers(kept).link(someone.id, THERE, line("linked", "", ""))
    assert comes(kept) is Refusal.DISABLED


def test_the_highest_role_of_the_groups_counts_and_is_that_of_each_sign_in(kept: Kept) -> None:
    roles = []
    for groups in (("it", "growth"), ("growth", "other"), ("it",)):
        came = comes(kept, replace(ANN, groups=groups), BY_GROUP)
        assert isinstance(came, User)
        roles.append(came.role)
    assert roles == [Role.ADMIN, Role.OPERATOR, Role.ADMIN]
    assert done(kept)[1:] == ["role operator by single sign-on", "role admin by single sign-on"]


def test_without_groups_a_role_that_was_given_here_stays(kept: Kept) -> None:
    known(kept, role=Role.ADMIN)
    came = comes(kept)
    assert isinstance(came, User)
    assert came.role is Role.ADMIN
