"""What the status-callback URL answers, seen from outside: 204 kept, 403 forged, 400, 405, 413, and nothing stored for those."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import ledger
from tests.support.processes import Web
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, PATH, PUBLIC_URL, Pairs, callback, new_sid, sign_by_hmac
from tests.support.waiting import HANGS_AFTER_SECONDS
from tests.system.conftest import Offhook

SECOND_URL = "https://offhook-123.platform.test"
SUBACCOUNT = "AC00000000000000000000000000000002"
SHARED_ACCOUNT = "AC00000000000000000000000000000003"
KEY_ID = "webhooks_sharedkey_1"
VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signature_vectors.json").read_text())["vectors"]


@pytest.fixture
def web(offhook: Offhook) -> Iterator[Web]:
    keyring = {
        SUBACCOUNT: {"auth_tokens": ["sub-old", "sub-new"]},
        SHARED_ACCOUNT: {"shared_keys": {KEY_ID: "shared-secret"}},
    }
    settings = {"PUBLIC_URL": f"{PUBLIC_URL},{SECOND_URL}", "TWILIO_AUTH_TOKEN": f"{AUTH_TOKEN},next-token"}
    with offhook.web(TWILIO_KEYRING=json.dumps(keyring), **settings) as running:
        yield running


def ask(web: Web, method: str, target: str, body: bytes | str = b"", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=HANGS_AFTER_SECONDS)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body or None, named)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def post(web: Web, pairs: Pairs, url: str = PUBLIC_URL + PATH, token: str = AUTH_TOKEN, target: str = PATH) -> int:
    signature = sign_by_hmac(url, pairs, token)
    form = "application/x-www-form-urlencoded"
    return ask(web, "POST", target, urlencode(pairs), Content_Type=form, X_Twilio_Signature=signature).status


def kept(offhook: Offhook) -> int:
    return ledger.count(offhook.database_url, "callbacks")


def test_a_signed_callback_is_kept_and_answered_with_an_empty_204(web: Web, offhook: Offhook) -> None:
    pairs = [*callback(new_sid()), ("Empty", ""), ("Spaces", "  a  b "), ("Twice", "b"), ("Twice", "a")]
    signature = sign_by_hmac(PUBLIC_URL + PATH, pairs, AUTH_TOKEN)
    form = "application/x-www-form-urlencoded"
    answer = ask(web, "POST", PATH, urlencode(pairs), Content_Type=form, X_Twilio_Signature=signature)
    assert (answer.status, answer.getheader("Content-Type")) == (204, None)
    [row] = ledger.query(offhook.database_url, "SELECT body, target FROM callbacks")
    assert (bytes(row["body"]).decode(), row["target"]) == (urlencode(pairs), PATH)


def test_the_same_callback_again_is_answered_204_and_kept_once(web: Web, offhook: Offhook) -> None:
    pairs = callback(new_sid())
    assert [post(web, one) for one in (pairs, pairs, list(reversed(pairs)))] == [204, 204, 204]
    assert kept(offhook) == 1


def forgeries_of(pairs: Pairs, other_token: str) -> dict[str, tuple[Pairs, str | None]]:
    url = PUBLIC_URL + PATH
    good = sign_by_hmac(url, pairs, AUTH_TOKEN)
    return {
        "missing": (pairs, None),
        "empty": (pairs, ""),
        "tampered": ([(n, "0" if n == "CallDuration" else v) for n, v in pairs], good),
        "added": ([*pairs, ("Added", "1")], good),
        "other host": (pairs, sign_by_hmac("https://elsewhere.test" + PATH, pairs, AUTH_TOKEN)),
        "other token": (pairs, sign_by_hmac(url, pairs, other_token)),
    }


@pytest.mark.mostly("sqlite")
def test_each_forgery_of_each_vector_is_refused_with_one_line_and_nothing_kept(web: Web, offhook: Offhook) -> None:
    form = "application/x-www-form-urlencoded"
    for vector in VECTORS:
        texts = [(f"V{name}", value) for name, value in vector["params"].items() if isinstance(value, str)]
        for name, (sent, signature) in forgeries_of([*callback(new_sid()), *texts], vector["token"]).items():
            headers = {} if signature is None else {"X_Twilio_Signature": signature}
            answer = ask(web, "POST", PATH, urlencode(sent), Content_Type=form, **headers)
            assert answer.status == 403, (vector["id"], name)
    lines = [json.loads(line) for line in web.log.splitlines() if "callback_forged" in line]
    assert [line["check"] for line in lines] == (["missing_signature"] * 2 + ["signature"] * 4) * len(VECTORS)
    assert {line["hashed_url"] for line in lines} == {PUBLIC_URL + PATH}
    assert AUTH_TOKEN not in web.log
    assert kept(offhook) == 0


@pytest.mark.mostly("sqlite")
def test_rotation_subaccounts_and_a_second_public_url_verify(web: Web, offhook: Offhook) -> None:
    assert post(web, callback(new_sid()), token="next-token") == 204
    assert post(web, callback(new_sid(), AccountSid=SUBACCOUNT), token="sub-new") == 204
    assert post(web, callback(new_sid()), url=SECOND_URL + PATH) == 204
    assert post(web, callback(new_sid()), url=f"{PUBLIC_URL}:443{PATH}") == 204
    assert post(web, callback(new_sid(), AccountSid=SUBACCOUNT)) == 403
    assert post(web, callback(new_sid(), AccountSid="AC" + "9" * 32)) == 403
    assert kept(offhook) == 4


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(("algorithm", "digest"), [("HMAC_SHA1", hashlib.sha1), ("HMAC_SHA256", hashlib.sha256)])
def test_a_shared_key_verifies_and_an_auth_token_is_refused_beside_it(
    algorithm: str, digest: Callable[[], Any], web: Web, offhook: Offhook
) -> None:
    pairs = callback(new_sid(), AccountSid=SHARED_ACCOUNT)
    text = PUBLIC_URL + PATH + "".join(name + value for name, value in sorted(pairs))
    mac = base64.b64encode(hmac.new(b"shared-secret", text.encode(), digest).digest()).decode()
    headers = {"Content_Type": "application/x-www-form-urlencoded", "X_Twilio_Signature": mac}
    for key_id, status in ((KEY_ID, 204), ("webhooks_sharedkey_9", 403)):
        settings = f"key={key_id},algorithm={algorithm}"
        answer = ask(web, "POST", PATH, urlencode(pairs), X_Twilio_Webhooks_Signature_Settings=settings, **headers)
        assert answer.status == status
    assert post(web, callback(new_sid(), AccountSid=SHARED_ACCOUNT), token="shared-secret") == 403
    assert kept(offhook) == 1


def test_a_callback_by_get_is_kept(web: Web, offhook: Offhook) -> None:
    target = f"{PATH}?{urlencode(callback(new_sid(), CallerCity='Zürich %27 @'))}"
    signature = sign_by_hmac(PUBLIC_URL + target, [], AUTH_TOKEN)
    assert ask(web, "GET", target, X_Twilio_Signature=signature).status == 204
    assert ask(web, "GET", target + "&Added=1", X_Twilio_Signature=signature).status == 403
    assert kept(offhook) == 1


def test_a_json_batch_is_verified_by_its_hash_and_kept_event_by_event(web: Web, offhook: Offhook) -> None:
    kind = "com.twilio.voice.status-callback.call.completed"
    payloads = [{"request": {"parameters": dict(callback(new_sid()))}} for _ in range(3)]
    events = [{"id": uuid.uuid4().hex, "type": kind, "data": data} for data in payloads]
    body = json.dumps(events).encode()
    target = f"{PATH}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = sign_by_hmac(PUBLIC_URL + target, [], AUTH_TOKEN)
    headers = {"Content_Type": "application/json", "X_Twilio_Signature": signature}
    assert ask(web, "POST", target, body.replace(b"completed", b"busy", 1), **headers).status == 403
    assert ask(web, "POST", target, body, **headers).status == 204
    assert kept(offhook) == 3


@pytest.mark.mostly("sqlite")
def test_what_is_signed_but_no_call_callback_is_answered_400(web: Web, offhook: Offhook) -> None:
    assert post(web, [("AccountSid", ACCOUNT_SID), ("Anything", "1")]) == 400
    assert post(web, []) == 400
    assert kept(offhook) == 0


@pytest.mark.mostly("sqlite")
def test_other_methods_are_answered_405(web: Web) -> None:
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        assert ask(web, method, PATH).status == 405


@pytest.mark.mostly("sqlite")
def test_a_callback_over_64_kb_is_answered_413_and_not_kept(web: Web, offhook: Offhook) -> None:
    assert post(web, [*callback(new_sid()), ("Long", "x" * 66_000)]) == 413
    assert post(web, [*callback(new_sid()), ("Long", "x" * 60_000)]) == 204
    assert kept(offhook) == 1


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"CallSid=%00&AccountSid=%FF",
        b"=&=&&=",
        b"a" * 5000,
        b"[" * 50_000,
        b'{"a":' * 9000,
        "ünï".encode(),
    ],
)
def test_no_body_becomes_a_500(body: bytes, web: Web, offhook: Offhook) -> None:
    for content_type in (
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data; boundary=x",
        "",
        "\xff",
    ):
        for target in (PATH, PATH + "?bodySHA256=zz", PATH + "?%ff=%00&AccountSid=" + ACCOUNT_SID):
            for signature in ("", "bm8=", "\xe9\xe9"):
                answer = ask(web, "POST", target, body, Content_Type=content_type, X_Twilio_Signature=signature)
                assert answer.status == 403
    assert kept(offhook) == 0


@pytest.mark.mostly("sqlite")
def test_signed_nonsense_is_answered_400_or_kept_but_never_a_500(web: Web, offhook: Offhook) -> None:
    for nonsense in ("\0", "\ufffd", "x" * 3000, "☎" * 40, "+" * 40):
        for name in (
            "CallSid",
            "CallStatus",
            "From",
            "To",
            "CallDuration",
            "SequenceNumber",
            "Timestamp",
            "ParentCallSid",
        ):
            assert post(web, callback(new_sid(), **{name: nonsense})) in (204, 400), (name, nonsense)


@pytest.mark.mostly("sqlite")
def test_without_a_public_url_the_trusted_proxies_words_serve(offhook: Offhook) -> None:
    with offhook.web(PUBLIC_URL="", TWILIO_TRUSTED_PROXIES="1") as web:
        assert "PUBLIC_URL is not set" in web.log
        pairs = callback(new_sid())
        headers = {
            "Content_Type": "application/x-www-form-urlencoded",
            "Host": "proxy.test",
            "X_Forwarded_Proto": "http, https",
        }
        for forwarded, status in (("evil.test, good.test", 204), ("good.test, evil.test", 403)):
            signature = sign_by_hmac("https://good.test" + PATH, pairs, AUTH_TOKEN)
            answer = ask(
                web, "POST", PATH, urlencode(pairs), X_Twilio_Signature=signature, X_Forwarded_Host=forwarded, **headers
            )
            assert answer.status == status
    assert kept(offhook) == 1


@pytest.mark.mostly("sqlite")
def test_log_lines_are_json_with_masked_numbers_and_the_platforms_request_id(web: Web) -> None:
    target = f"{PATH}?{urlencode(callback(new_sid()))}"
    ask(web, "GET", target, X_Twilio_Signature="bm8=", X_Request_ID="abc-123")
    [line] = [json.loads(line) for line in web.log.splitlines() if "callback_forged" in line]
    assert line["request_id"] == "abc-123"
    assert "5550100300" not in web.log
    assert "***" in line["hashed_url"]
