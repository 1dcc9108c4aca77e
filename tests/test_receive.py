"""The way in is one function: whatever arrives comes to callbacks, to another kind, or to a refusal that says why."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.twilio.keys import Account, Keyring
from offhook.adapters.twilio.reading import pairs
from offhook.adapters.twilio.receive import receive
from offhook.adapters.twilio.signature import sign
from offhook.adapters.twilio.spelling import Pairs, presented_urls, with_body_hash
from offhook.pipeline.arrival import SIGNATURE_HEADER, Arrived, OtherKind, Refused
from offhook.pipeline.callback import RawCallback
from tests.support.arriving import NOW, arrived

pytestmark = pytest.mark.unit

SID, TOKEN, BASE, PATH = f"AC{1:032x}", "a-token", "https://calls.example.test", "/twilio/status"
KEYS = Keyring({SID: Account(SID, (TOKEN,), {})})
CALL: Pairs = (
    ("AccountSid", SID),
    ("CallSid", "CA1"),
    ("CallStatus", "completed"),
    ("b", " 2 "),
    ("a", ""),
    ("b", "1"),
)


def posted(params: Pairs = CALL, signature: str | None = None, headers: Mapping[str, str] | None = None) -> Arrived:
    signed = sign(BASE + PATH, params, TOKEN) if signature is None else signature
    return arrived("POST", (BASE + PATH,), "", urlencode(params).encode(), signed, target=PATH, headers=headers)


def refused(request: Arrived) -> Refused:
    found = receive(request, KEYS)
    assert isinstance(found, Refused)
    return found


def test_what_was_verified_is_what_is_kept() -> None:
    (kept,) = receive(posted(), KEYS)  # type: ignore[misc]
    assert pairs(kept) == CALL
    assert (kept.account_sid, kept.call_sid, kept.received_at, kept.target) == (SID, "CA1", NOW, PATH)


def test_a_callback_by_get_is_kept_with_the_target_as_it_came() -> None:
    target = f"{PATH}?{urlencode(CALL)}&City=M%C3%BCnchen"
    (kept,) = receive(arrived("GET", (BASE + target,), "", b"", sign(BASE + target, (), TOKEN), target=target), KEYS)  # type: ignore[misc]
    assert kept.target == target
    assert pairs(kept) == (*CALL, ("City", "München"))


def test_a_signed_batch_of_events_without_a_call_is_of_another_kind() -> None:
    body = b'[{"type": "com.twilio.messaging.message.sent"}]'
    url = with_body_hash(BASE + PATH, body)
    request = arrived("POST", (url,), "application/json", body, sign(url, (), TOKEN))
    assert receive(request, KEYS) == OtherKind("event_stream")


def test_what_is_signed_and_no_callback_is_a_400_of_the_account_that_signed() -> None:
    assert refused(posted(CALL[:2])) == Refused(400, "missing_call_status", BASE + PATH, SID)


def test_a_forgery_is_a_403_that_can_be_explained() -> None:
    found = refused(posted(signature="x"))
    assert (found.http_status, found.check, found.url, found.account) == (403, "signature", BASE + PATH, SID)
    assert found.explain is not None
    assert found.explain().compared_url == BASE + PATH


@pytest.mark.parametrize(("agent", "is_explained"), [("curl/8", False), ("TwilioProxy/1.1", True)])
def test_what_is_not_signed_is_explained_only_where_twilio_seems_to_have_sent_it(
    agent: str, is_explained: bool
) -> None:
    found = refused(posted(signature="", headers={"User-Agent": agent}))
    assert (found.http_status, found.check) == (403, "missing_signature")
    assert (found.explain is not None) is is_explained


def test_no_request_has_more_fields_than_allowed_whether_or_not_it_names_an_account() -> None:
    for params in (CALL, CALL[1:]):
        target = f"{PATH}?{urlencode(params)}"
        request = arrived("GET", (BASE + target,), "", b"", sign(BASE + target, (), TOKEN), target=target)
        found = receive(request, KEYS, max_fields=len(params) - 1)
        assert isinstance(found, Refused)
        assert found.check == "too_many_fields"


anything = st.text(st.characters(), max_size=40)
wsgi_text = st.text(st.characters(max_codepoint=255), max_size=40)


@given(
    method=st.sampled_from(["POST", "GET", "HEAD"]) | anything,
    target=wsgi_text.map(lambda text: f"/{text}"),
    content_type=st.sampled_from(["", "application/json"]) | anything,
    body=st.binary(max_size=80) | anything.map(lambda text: text.encode("utf-8", "surrogatepass")),
    is_signed=st.booleans(),
)
def test_whatever_arrives_signed_or_not_comes_to_one_of_three(
    method: str, target: str, content_type: str, body: bytes, is_signed: bool
) -> None:
    urls = presented_urls([BASE], target)
    signature = sign(urls[0], (), TOKEN) if is_signed else "x"
    found = receive(arrived(method, urls, content_type, body, signature, target=target), KEYS)
    if isinstance(found, Refused | OtherKind):
        return
    assert is_signed
    assert all(isinstance(each, RawCallback) for each in found)


def test_a_signature_is_in_nothing_that_is_kept_or_shown() -> None:
    request = posted()
    (kept,) = receive(request, KEYS)  # type: ignore[misc]
    assert request.headers[SIGNATURE_HEADER] not in f"{kept!r} {request!r}"
