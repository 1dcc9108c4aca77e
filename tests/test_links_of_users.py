"""For whom a link of one use is made, and as whom it lets in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import Identity, Invite, NoLink, Role, User, comes_back, lets_in, new_link, why_no_link

pytestmark = pytest.mark.unit
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
BO = User("1", "bo@example.com", Role.VIEWER, None, NOON)
DISABLED = replace(BO, disabled_at=NOON)
LINK = Invite("id", BO.email, Role.VIEWER, NOON, NOON)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (None, None),
        (BO, None),
        (DISABLED, NoLink.DISABLED),
        (replace(BO, role=Role.OPERATOR), NoLink.MAY_MORE),
        (replace(DISABLED, role=Role.ADMIN), NoLink.MAY_MORE),
    ],
)
def test_a_link_is_made_for_viewers_who_may_come_in_and_for_who_is_new(known: User | None, why: NoLink | None) -> None:
    assert why_no_link(known) is why


def test_a_link_holds_for_its_seconds_and_is_kept_as_a_hash() -> None:
    for email, role in ((BO.email, Role.VIEWER), (None, Role.ADMIN)):
        secret, made = new_link(email, NOON, 60)
        assert made == Invite(hashed(secret), email, role, NOON, NOON + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("link", "known", "lets"),
    [
        (LINK, BO, True),
        (LINK, DISABLED, False),
        (LINK, replace(BO, role=Role.ADMIN), False),
        (LINK, replace(BO, email="ann@example.com"), False),
        (replace(LINK, email=None, role=Role.ADMIN), replace(BO, role=Role.ADMIN), False),
    ],
)
def test_a_link_lets_in_as_whom_it_was_made_for_and_takes_over_nobody(link: Invite, known: User, lets: bool) -> None:
    assert lets_in(link, known) is lets


def test_who_may_more_than_a_viewer_comes_back_by_a_password_or_single_sign_on_alone() -> None:
    operator = replace(BO, role=Role.OPERATOR)
    assert comes_back(BO) and not comes_back(operator)
    assert comes_back(replace(operator, password_hash="hash"))
    assert comes_back(replace(operator, identity=Identity("https://id.example", "bo")))
