"""A callback as it came, on a call's page: read where Twilio's rules say that its parameters are, and without anybody in clear."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from offhook.adapters.dashboard.way import Raw, as_came
from offhook.adapters.twilio.spelling import FORM_CONTENT_TYPE
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.masking import masking

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANN, STRANGER = "+14155550101", "4155550177"


def shown(method: str, target: str, content_type: str = FORM_CONTENT_TYPE, body: str = "") -> Raw:
    raw = RawCallback("key", "AC1", "CA1", None, NOON, method, target, content_type, (), body.encode())
    return as_came(raw, masking([ANN]))


def test_a_signed_hash_of_the_body_makes_it_json_whatever_its_content_type_says() -> None:
    body = f'{{"data": {{"From": "{ANN[1:]}", "CallStatus": "completed"}}}}'
    raw = shown("POST", "/s?bodySHA256=00ff", "text/plain", body)
    assert raw.fields == ()
    assert raw.text == '{"data": {"From": "1415***0101", "CallStatus": "completed"}}'


def test_a_fragment_is_no_part_of_a_parameter() -> None:
    assert shown("GET", "/s?CallSid=CA1#x").fields == (("CallSid", "CA1"),)


def test_parameters_are_in_the_body_of_a_post_alone() -> None:
    assert shown("PUT", "/s?CallSid=CA1", body="CallSid=CA2").fields == (("CallSid", "CA1"),)
    assert shown("POST", "/s?CallSid=CA1", body="CallSid=CA2").fields == (("CallSid", "CA2"),)


def test_nobody_stands_in_clear_in_the_name_of_a_field() -> None:
    names = [name for name, _ in shown("POST", "/s", body=f"a {STRANGER} b&ann@example.com=1&CallSid=CA1").fields]
    assert names == ["a 415***0177 b", "a***@example.com", "CallSid"]


def test_whoever_json_names_is_hidden_as_in_a_form() -> None:
    raw = shown("POST", "/s", "application/json", '[{"CallerName": "ANN \\"A\\" LEE", "CallToken":"x", "To": ""}]')
    assert raw.text == '[{"CallerName": "hidden", "CallToken":"hidden", "To": ""}]'
    assert shown("POST", "/s", body="CallerName=ANN&CallToken=").fields == (("CallerName", "hidden"), ("CallToken", ""))
