"""Persons hidden in texts that people read: emails, numbers, and the addresses of a call in any spelling."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.masking import mask_email, masking

pytestmark = pytest.mark.unit

CALLER, OURS = "+14155550123", "+442071838750"
HIDE = masking([CALLER, OURS, "client:alice.smith", None, ""])
SID = "CA" + "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann@example.com", "a***@example.com"),
        ("ann.b+tag@mail.example.com is refused", "a***@mail.example.com is refused"),
        ("ann%40example.com", "a***%40example.com"),
        ('{"email":"ann@example.com"}', '{"email":"a***@example.com"}'),
        ("No customer has the number +14155550123.", "No customer has the number +1415***0123."),
        ("4155550123", "415***0123"),
        ("call 415-555-0123 back", "call 415***0123 back"),
        ("client:alice.smith", "client:al***"),
        (SID, SID),
        ('"timestamp":"1773316800"', '"timestamp":"1773316800"'),
        ("2026-03-12 12:00:00Z, 12 s", "2026-03-12 12:00:00Z, 12 s"),
    ],
)
def test_what_is_hidden_and_what_stays(text: str, shown: str) -> None:
    assert HIDE(text) == shown


def test_our_own_number_stays_and_another_that_begins_like_it_does_not() -> None:
    hide = masking([CALLER, OURS], OURS)
    assert hide(f"{CALLER} called {OURS}, then +442071838750123") == f"+1415***0123 called {OURS}, then +4420***0123"
    assert hide('{"to":"+442071838750"}') == '{"to":"+442071838750"}'


SPELLINGS = st.sampled_from(
    ["{}{}{}", "+1{}{}{}", "1-{}-{}-{}", "({}) {}-{}", "{}.{}.{}", "+1 {} {} {}", "%2B1{}{}{}", "tel:+1{}{}{}"]
)


@given(SPELLINGS, st.sampled_from(['{{"a":"{}"}}', "see {}!", "{}", "x={}&y=1", "<p>{}</p>"]))
def test_no_spelling_of_the_caller_stays_whatever_stands_around_it(spelling: str, around: str) -> None:
    text = around.format(spelling.format("415", "555", "0123"))
    shown = HIDE(text)
    assert "5550123" not in "".join(char for char in shown if char.isdigit())
    assert around.split("{}")[0].replace("{{", "{") in shown


@given(
    st.from_regex(r"[a-zA-Z0-9._+-]{2,20}", fullmatch=True), st.sampled_from(["{}", '{{"e":"{}"}}', "a {} b", "<{}>"])
)
def test_no_email_stays(local: str, around: str) -> None:
    shown = mask_email(around.format(f"{local}@example.com"))
    assert f"{local}@" not in shown and "***@example.com" in shown


def test_json_stays_json() -> None:
    payload = json.dumps({"email": "ann@example.com", "n": 1, "from": CALLER, "id": "4155550123", "order_id": SID})
    shown = json.loads(HIDE(payload))
    assert shown == {
        "email": "a***@example.com", "n": 1, "from": "+1415***0123", "id": "415***0123", "order_id": SID,
    }  # fmt: skip
