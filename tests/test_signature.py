"""What counts as signed by Twilio: the vectors of seven SDKs, every key, every forgery, and no input that raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from offhook.adapters.twilio.keys import Account, Keyring, parse_keyring
from offhook.adapters.twilio.signature import Check, Forged, Verified, sign, verify
from offhook.adapters.twilio.spelling import (
    ALGORITHMS,
    HMAC_SHA1,
    HMAC_SHA256,
    SETTINGS_HEADER,
    candidates,
    presented_urls,
    settings_header,
    signed_text,
    with_body_hash,
    without_userinfo,
)
from offhook.pipeline.arrival import SIGNATURE_HEADER, Arrived
from tests.support.arriving import arrived, signed_so, to_urls

pytestmark = pytest.mark.unit

FORM = "application/x-www-form-urlencoded"
SID = "AC" + "1" * 32
OTHER_SID = "AC" + "2" * 32
URL = "https://hooks.example.com/twilio/status"
TOKEN, SECRET = "the-auth-token", "the-shared-secret"
KEY_ID = "webhooks_sharedkey_1"
PAIRS = (("AccountSid", SID), ("CallSid", "CA1"), ("CallStatus", "completed"), ("FromCity", ""), ("To", "+1 555"))
VECTORS = json.loads((Path(__file__).parent / "data" / "signature_vectors.json").read_text(encoding="utf-8"))["vectors"]

Pairs = tuple[tuple[str, str], ...]


def ring(*accounts: Account, refuse: bool = False) -> Keyring:
    return Keyring({account.account_sid: account for account in accounts}, refuse)


def account(sid: str = SID, tokens: tuple[str, ...] = (TOKEN,), shared: Mapping[str, str] | None = None) -> Account:
    return Account(sid, tokens, shared or {})


def form_post(pairs: Pairs = PAIRS, url: str = URL, signature: str | None = None, settings: str = "") -> Arrived:
    signed = sign(url, pairs, TOKEN) if signature is None else signature
    return arrived("POST", (url,), FORM, urlencode(pairs).encode(), signed, settings)


def json_post(value: object, url: str = URL, secret: str = TOKEN) -> Arrived:
    body = json.dumps(value).encode()
    signed_url = with_body_hash(url, body)
    return arrived("POST", (signed_url,), "application/json", body, sign(signed_url, (), secret), "")


def check_of(request: Arrived, keyring: Keyring, **limits: int) -> str:
    found = verify(request, keyring, **limits)
    return found.check if isinstance(found, Forged) else "verified"


def vector_pairs(vector: Mapping[str, Any]) -> Pairs:
    each = ((name, value if isinstance(value, list) else [value]) for name, value in vector["params"].items())
    return tuple((name, value) for name, values in each for value in values)


def vector_request(vector: Mapping[str, Any], pairs: Pairs | None = None, host: str = "") -> Arrived:
    """The vector as it comes over the wire: the base is configured, the target is latin-1 as WSGI has it."""
    scheme, _, rest = vector["presented_url"].partition("://")
    netloc, _, target = rest.partition("/")
    wire_target = f"/{target}".encode().decode("latin-1")
    body, content_type = urlencode(vector_pairs(vector) if pairs is None else pairs).encode(), FORM
    if "body" in vector:
        body, content_type = vector["body"].encode(), "application/json"
    urls = presented_urls((f"{scheme}://{host or netloc}/",), wire_target)
    return arrived("POST", urls, content_type, body, vector["signature"], "")


def ring_of(vector: Mapping[str, Any]) -> Keyring:
    return ring(account(OTHER_SID, ("of-another-account",)), account(tokens=("rotated", vector["token"])))


def test_there_are_vectors_of_every_kind() -> None:
    assert len(VECTORS) >= 26
    assert any("body" in vector for vector in VECTORS)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_of_twilios_sdks_verifies(vector: Mapping[str, Any]) -> None:
    found = verify(vector_request(vector), ring_of(vector))
    assert isinstance(found, Verified)
    assert found.account_sid == SID
    assert "@" not in found.url


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_is_computed_alike_by_our_text_and_twilios_own_concatenation(vector: Mapping[str, Any]) -> None:
    validator = RequestValidator(vector["token"])
    assert (
        validator.compute_signature(vector["signed_url"] + signed_text(vector_pairs(vector)), None)
        == (vector["signature"])
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_without_its_signature_is_refused(vector: Mapping[str, Any]) -> None:
    missing = signed_so(vector_request(vector), signature="")
    assert check_of(missing, ring_of(vector)) == Check.MISSING_SIGNATURE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_with_a_signature_that_is_none_is_refused(vector: Mapping[str, Any]) -> None:
    for wrong in (" ", "=", vector["signature"][:-2], vector["signature"] + " ", "é", "\ud800", "A" * 28):
        assert check_of(signed_so(vector_request(vector), signature=wrong), ring_of(vector)) == Check.SIGNATURE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_with_a_tampered_value_is_refused(vector: Mapping[str, Any]) -> None:
    if "body" in vector:
        tampered = replace(vector_request(vector), body=vector["body"].encode() + b" ")
        assert check_of(tampered, ring_of(vector)) == Check.BODY_HASH
        return
    pairs = vector_pairs(vector) or (("none", ""),)
    tampered = vector_request(vector, ((pairs[0][0], pairs[0][1] + "0"), *pairs[1:]))
    assert check_of(tampered, ring_of(vector)) == Check.SIGNATURE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_with_an_added_parameter_is_refused(vector: Mapping[str, Any]) -> None:
    urls = tuple(url + "&added=1" if "?" in url else url + "?added=1" for url in vector_request(vector).urls)
    assert check_of(to_urls(vector_request(vector), urls), ring_of(vector)) == Check.SIGNATURE
    if "body" not in vector:
        added = vector_request(vector, (*vector_pairs(vector), ("Added", "")))
        assert check_of(added, ring_of(vector)) == Check.SIGNATURE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_for_another_host_is_refused(vector: Mapping[str, Any]) -> None:
    assert check_of(vector_request(vector, host="elsewhere.example.com"), ring_of(vector)) == Check.SIGNATURE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_vector_of_another_token_is_refused(vector: Mapping[str, Any]) -> None:
    assert check_of(vector_request(vector), ring(account(tokens=("another",)))) == Check.SIGNATURE


@pytest.mark.parametrize("vector", [v for v in VECTORS if "body" not in v], ids=lambda v: v["id"])
@pytest.mark.parametrize("signature", [None, "A" * 28])
def test_twilios_own_validate_says_the_same(vector: Mapping[str, Any], signature: str | None) -> None:
    request = vector_request(vector)
    presented = vector["signature"] if signature is None else signature
    own = RequestValidator(vector["token"]).validate(vector["presented_url"], Multi(vector_pairs(vector)), presented)
    ours = verify(signed_so(request, signature=presented), ring_of(vector))
    assert isinstance(ours, Verified) == own


class Multi(dict[str, list[str]]):
    """What twilio's validator takes for parameters that come twice."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getall(self, name: str) -> list[str]:
        return self[name]


# Keys


@pytest.mark.parametrize("token", ["old", "new"])
def test_every_token_of_an_account_counts_while_it_rotates(token: str) -> None:
    request = form_post(signature=sign(URL, PAIRS, token))
    assert isinstance(verify(request, ring(account(tokens=("old", "new")))), Verified)
    assert check_of(request, ring(account(tokens=("third",)))) == Check.SIGNATURE


def test_a_subaccounts_token_speaks_for_the_subaccount_alone() -> None:
    both = ring(account(tokens=("parent",)), account(OTHER_SID, ("child",)))
    of_child = (("AccountSid", OTHER_SID), *PAIRS[1:])
    found = verify(form_post(of_child, signature=sign(URL, of_child, "child")), both)
    assert isinstance(found, Verified)
    assert found.account_sid == OTHER_SID
    assert check_of(form_post(of_child, signature=sign(URL, of_child, "parent")), both) == Check.SIGNATURE


def test_an_account_that_is_not_configured_is_refused_whoever_signed() -> None:
    assert check_of(form_post(), ring(account(OTHER_SID))) == Check.UNKNOWN_ACCOUNT


def test_with_no_keys_everything_is_refused_even_what_an_empty_secret_signed() -> None:
    assert check_of(form_post(), ring()) == Check.NO_KEYS
    blank = ring(account(tokens=("", " "), shared={KEY_ID: ""}))
    assert check_of(form_post(signature=sign(URL, PAIRS, "")), blank) == Check.NO_KEYS
    assert check_of(form_post(), ring(account(tokens=()), account(OTHER_SID))) == Check.NO_KEYS
    beside = ring(account(tokens=("", TOKEN)))
    assert check_of(form_post(signature=sign(URL, PAIRS, "")), beside) == Check.SIGNATURE


def test_a_request_that_names_two_accounts_is_refused() -> None:
    twice = (*PAIRS, ("AccountSid", OTHER_SID))
    assert check_of(form_post(twice), ring(account(), account(OTHER_SID))) == Check.MIXED_ACCOUNTS


def test_a_request_that_names_no_account_is_held_against_all_keys() -> None:
    found = verify(form_post(PAIRS[1:]), ring(account(OTHER_SID, ("other",)), account()))
    assert isinstance(found, Verified)
    assert found.account_sid == SID
    assert check_of(form_post(PAIRS[1:]), ring(account(OTHER_SID, ("other",)))) == Check.SIGNATURE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("spelling", [settings_header, lambda key, name: f" algorithm = {name.lower()} , key = {key} "])
def test_a_shared_key_verifies_with_either_algorithm(algorithm: str, spelling: Any) -> None:
    keys = ring(account(shared={KEY_ID: SECRET, "another": "x"}))
    request = form_post(signature=sign(URL, PAIRS, SECRET, algorithm), settings=spelling(KEY_ID, algorithm))
    found = verify(request, keys)
    assert isinstance(found, Verified)
    assert (found.account_sid, found.url) == (SID, URL)
    assert check_of(signed_so(request, signature=sign(URL, PAIRS, TOKEN, algorithm)), keys) == Check.SIGNATURE
    assert check_of(signed_so(request, settings=settings_header("another", algorithm)), keys) == Check.SIGNATURE


def test_the_two_algorithms_are_not_the_same() -> None:
    keys = ring(account(shared={KEY_ID: SECRET}))
    signed = sign(URL, PAIRS, SECRET, HMAC_SHA256)
    assert check_of(form_post(signature=signed, settings=settings_header(KEY_ID, HMAC_SHA1)), keys) == Check.SIGNATURE
    assert check_of(form_post(signature=signed, settings=f"key={KEY_ID}"), keys) == Check.SIGNATURE
    defaulted = form_post(signature=sign(URL, PAIRS, SECRET), settings=f"key={KEY_ID}")
    assert isinstance(verify(defaulted, keys), Verified)


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        ("key=webhooks_sharedkey_evil,algorithm=HMAC_SHA256", Check.UNKNOWN_SHARED_KEY),
        ("key=,algorithm=HMAC_SHA256", Check.UNKNOWN_SHARED_KEY),
        ("algorithm=HMAC_SHA1", Check.UNKNOWN_SHARED_KEY),
        ("nonsense", Check.UNKNOWN_SHARED_KEY),
        (f"key={SID},algorithm=HMAC_SHA1", Check.UNKNOWN_SHARED_KEY),
        (f"key={KEY_ID},algorithm=NONE", Check.UNSUPPORTED_ALGORITHM),
        (f"key={KEY_ID},algorithm=HMAC_MD5", Check.UNSUPPORTED_ALGORITHM),
        (f"key=evil,key={KEY_ID}", Check.UNKNOWN_SHARED_KEY),
    ],
)
def test_an_attackers_settings_header_selects_nothing_but_configured_keys(settings: str, check: Check) -> None:
    keys = ring(account(shared={KEY_ID: SECRET}), account(OTHER_SID, ("x",), {"webhooks_sharedkey_other": "y"}))
    assert check_of(form_post(settings=settings), keys) == check


def test_a_shared_key_of_another_account_is_unknown_here() -> None:
    keys = ring(account(), account(OTHER_SID, (), {KEY_ID: SECRET}))
    request = form_post(signature=sign(URL, PAIRS, SECRET), settings=settings_header(KEY_ID, HMAC_SHA1))
    assert check_of(request, keys) == Check.UNKNOWN_SHARED_KEY


def test_auth_tokens_are_refused_where_shared_keys_are_meant() -> None:
    shared = {KEY_ID: SECRET}
    assert check_of(form_post(), ring(account(shared=shared), refuse=True)) == Check.AUTH_TOKEN_REFUSED
    assert check_of(form_post(), ring(account(tokens=(), shared=shared))) == Check.AUTH_TOKEN_REFUSED
    assert check_of(form_post(PAIRS[1:]), ring(account(shared=shared), refuse=True)) == Check.AUTH_TOKEN_REFUSED
    assert check_of(form_post(), ring(account(shared=shared))) == "verified"
    request = form_post(signature=sign(URL, PAIRS, SECRET, HMAC_SHA256), settings=settings_header(KEY_ID))
    assert isinstance(verify(request, ring(account(shared=shared), refuse=True)), Verified)


# What is signed


def test_the_query_is_never_merged_into_the_form() -> None:
    url = f"{URL}?AccountSid={OTHER_SID}&CallSid=CA9"
    found = verify(form_post(url=url), ring(account()))
    assert isinstance(found, Verified)
    assert found.account_sid == SID


def test_a_get_request_signs_its_query_and_names_its_account_there() -> None:
    url = f"{URL}?{urlencode(PAIRS)}"
    request = arrived("GET", (url,), "", b"", sign(url, (), TOKEN), "")
    assert isinstance(verify(request, ring(account())), Verified)
    assert check_of(request, ring(account(OTHER_SID))) == Check.UNKNOWN_ACCOUNT
    assert check_of(to_urls(request, (url + "&CallStatus=busy",)), ring(account())) == Check.SIGNATURE


def test_more_fields_than_allowed_are_refused_and_no_exception() -> None:
    assert check_of(form_post(), ring(account()), max_fields=len(PAIRS)) == "verified"
    assert check_of(form_post(), ring(account()), max_fields=len(PAIRS) - 1) == Check.TOO_MANY_FIELDS
    assert check_of(replace(form_post(), body=b"&" * 65_536), ring(account())) == Check.TOO_MANY_FIELDS
    in_query = arrived("GET", (f"{URL}?{urlencode(PAIRS)}",), "", b"", "x", "")
    assert check_of(in_query, ring(account()), max_fields=1) == Check.TOO_MANY_FIELDS


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/cloudevents-batch+json", "", FORM])
def test_a_json_body_counts_by_its_hash_whatever_its_unsigned_content_type(media: str) -> None:
    request = replace(json_post([{"data": {"accountSid": SID}}]), content_type=media)
    assert isinstance(verify(request, ring(account())), Verified)
    assert check_of(replace(request, body=request.body + b" "), ring(account())) == Check.BODY_HASH
    assert check_of(replace(request, body=b""), ring(account())) == Check.BODY_HASH


def test_the_body_hash_may_be_in_capitals_and_is_over_the_bytes() -> None:
    body = b'{"name": "\xff"}'
    url = f"{URL}?bodySHA256={sha256(body).hexdigest().upper()}"
    request = arrived("POST", (url,), "application/json", body, sign(url, (), TOKEN), "")
    assert isinstance(verify(request, ring(account())), Verified)


@pytest.mark.parametrize("media", ["application/json", "application/cloudevents+json"])
def test_a_json_body_without_a_hash_is_refused_though_the_url_is_signed(media: str) -> None:
    request = arrived("POST", (URL,), media, b"{}", sign(URL, (), TOKEN), "")
    assert check_of(request, ring(account())) == Check.BODY_HASH


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"data": {"request": {"parameters": {"AccountSid": SID}}}}, {"data": {"account_sid": SID}}], "verified"),
        ([{"data": {"request": {"parameters": {"AccountSid": SID}}, "accountSid": OTHER_SID}}], "verified"),
        ([{"data": {"accountSid": SID}}, {"data": {"accountSid": OTHER_SID}}], Check.MIXED_ACCOUNTS),
        ([{"data": {"accountSid": OTHER_SID}}], Check.SIGNATURE),
        ([{"data": {"accountSid": "AC9"}}], Check.UNKNOWN_ACCOUNT),
        ([{"data": None}, 7, {"data": {"request": [], "accountSid": 7}}], "verified"),
    ],
)
def test_every_event_of_a_batch_must_be_the_signing_accounts(events: object, expected: str) -> None:
    keys = ring(account(), account(OTHER_SID, ("other",)))
    assert check_of(json_post(events), keys) == expected


def test_json_that_cannot_be_parsed_names_no_account_and_raises_nothing() -> None:
    for body in (b"[" * 60_000, b"1" * 6_000, b'{"a":' * 10_000, b"\xff\xfe", b"", b'["\\ud800"]'):
        url = with_body_hash(URL, body)
        request = arrived("POST", (url,), "application/json", body, sign(url, (), TOKEN), "")
        assert isinstance(verify(request, ring(account())), Verified)


# The URL


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        ("https://h.example.com", "https://h.example.com:443"),
        ("http://h.example.com", "http://h.example.com:80"),
        ("https://h.example.com:8443", "https://h.example.com"),
        ("http://h.example.com:8080", "http://h.example.com"),
        ("https://u:p@h.example.com:8443", "https://h.example.com"),
        ("https://u:p@h.example.com", "https://h.example.com:443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]"),
        ("https://H.Example.com", "https://H.Example.com"),
    ],
)
def test_the_port_and_the_userinfo_may_be_signed_or_not(configured: str, signed: str) -> None:
    text = f"{signed}/twilio/status{signed_text(PAIRS)}"
    request = replace(
        form_post(signature=RequestValidator(TOKEN).compute_signature(text, None)),
        urls=presented_urls((configured,), "/twilio/status"),
    )
    assert isinstance(verify(request, ring(account())), Verified)


@pytest.mark.parametrize("host", ["h:99999", "h:abc", "h:", "[::1", "[::1]:x", "u@:@h:-1", "", ":", "[", "]:9"])
def test_a_port_or_host_that_is_none_raises_nothing(host: str) -> None:
    for scheme in ("https", "http", "", "ftp"):
        url = f"{scheme}://{host}/twilio/status"
        assert isinstance(verify(form_post(url=url), ring(account())), Verified)
        assert check_of(form_post(url=url, signature="x"), ring(account())) == Check.SIGNATURE


def test_quote_at_and_colon_of_a_query_may_be_signed_unescaped_but_nothing_else() -> None:
    wire = f"{URL}?to=%27a%40b%3a%3A%2F"
    signed = f"{URL}?to='a@b::%2F"
    assert isinstance(verify(form_post(url=wire, signature=sign(signed, PAIRS, TOKEN)), ring(account())), Verified)
    decoded = f"{URL}?to='a@b::/"
    assert check_of(form_post(url=wire, signature=sign(decoded, PAIRS, TOKEN)), ring(account())) == Check.SIGNATURE


def test_a_fragment_is_not_signed() -> None:
    request = to_urls(form_post(), (f"{URL}#rc=5&rp=all",))
    assert isinstance(verify(request, ring(account())), Verified)


def test_any_of_several_public_urls_may_be_the_signed_one() -> None:
    bases = ("https://custom.example.com", "https://app.example.com/")
    signed = sign("https://app.example.com/twilio/status", PAIRS, TOKEN)
    request = replace(form_post(signature=signed), urls=presented_urls(bases, "/twilio/status"))
    found = verify(request, ring(account()))
    assert isinstance(found, Verified)
    assert found.url == "https://app.example.com/twilio/status"


@pytest.mark.parametrize(
    ("base", "target", "url"),
    [
        ("https://h", "/s?a=%27", "https://h/s?a=%27"),
        ("https://h/", "//s", "https://h//s"),
        ("https://h", "http://inner:9/s?u=http://x/", "https://h/s?u=http://x/"),
        ("https://h", "http://inner?a", "https://h/?a"),
        ("https://h", "s", "https://h/s"),
        ("https://h", "*", "https://h/*"),
        ("https://h", "/s#f", "https://h/s"),
        ("https://h/#f", "/s", "https://h/s"),
        ("https://u:p@H/", "/s", "https://u:p@H/s"),
        ("https://h/mount/", "/s", "https://h/mount/s"),
        ("https://h/mount", "/mount/s", "https://h/mount/s"),
        ("https://h/mount", "/mountain", "https://h/mount/mountain"),
        ("https://h", "/Espa\xc3\xb1a", "https://h/España"),
        ("https://h", "/bad\xff", "https://h/bad\xff"),
    ],
)
def test_a_presented_url_is_the_base_and_the_raw_target(base: str, target: str, url: str) -> None:
    assert presented_urls((base,), target)[0] == url


def test_the_same_url_is_presented_once() -> None:
    assert presented_urls(("https://h", "https://h/", "https://i"), "/s") == ("https://h/s", "https://i/s")


def test_a_refusal_shows_the_url_without_userinfo_and_nothing_shows_a_secret() -> None:
    keys = ring(account(tokens=("hidden-1",), shared={KEY_ID: "hidden-2"}))
    request = signed_so(form_post(url="https://hidden-3:hidden-4@h.example.com/s"), signature="hidden-5")
    found = verify(request, keys)
    assert found == Forged(Check.SIGNATURE, "https://h.example.com/s", SID)
    assert "hidden" not in f"{found!r} {keys!r} {account(tokens=('hidden',))!r}"
    assert "hidden-5" not in repr(request)


@given(st.text(), st.text(), st.text())
def test_candidates_are_few_and_each_stands_once(netloc: str, path: str, query: str) -> None:
    url = f"https://{netloc}/{path}?{query}"
    found = list(candidates((url, url)))
    assert 1 <= len(found) <= 8
    assert len(set(found)) == len(found)
    assert all("#" not in candidate for candidate in found)


# The keyring setting


def test_a_keyring_is_read() -> None:
    keyring = {SID: {"auth_tokens": ["a", "b"], "shared_keys": {KEY_ID: "s"}}, OTHER_SID: {"auth_tokens": ["c"]}}
    assert parse_keyring(json.dumps(keyring)) == (
        Account(SID, ("a", "b"), {KEY_ID: "s"}),
        Account(OTHER_SID, ("c",), {}),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 column 1"),
        ('{\n "hush', "line 2 column 2"),
        ("[" * 100_000, "write it as"),
        ("9" * 5_000, "write it as"),
        ("[]", "JSON object"),
        ("{}", "names no account"),
        ('{"hush": {"auth_tokens": ["hush"]}}', "entry 1"),
        ('{"AC1": ["hush"]}', "AC1 must be a JSON object"),
        ('{"AC1": {}}', "AC1: has no key"),
        ('{"AC1": {"hush": "hush"}}', "AC1: entry 1 is unknown"),
        ('{"AC1": {"auth_tokens": "hush"}}', "AC1.auth_tokens must be an array"),
        ('{"AC1": {"auth_tokens": {"hush": 1}}}', "AC1.auth_tokens must be an array"),
        ('{"AC1": {"auth_tokens": ["a", ""]}}', "AC1.auth_tokens[1]"),
        ('{"AC1": {"auth_tokens": [5]}}', "AC1.auth_tokens[0]"),
        ('{"AC1": {"auth_tokens": ["hush "]}}', "AC1.auth_tokens[0] holds a blank"),
        ('{"AC1": {"auth_tokens": ["hush\\ud800"]}}', "AC1.auth_tokens[0] holds a blank"),
        ('{"AC1": {"shared_keys": ["hush"]}}', "AC1.shared_keys must be a JSON object"),
        ('{"AC1": {"shared_keys": {"hush,": "hush"}}}', "AC1.shared_keys: entry 1"),
        ('{"AC1": {"shared_keys": {"k": ""}}}', "AC1.shared_keys: entry 1"),
        ('{"AC1": {"auth_tokens": ["hush"]}, "AC1": {"auth_tokens": ["b"]}}', "entry 2 has the name"),
    ],
)
def test_a_keyring_that_is_none_is_refused_with_the_place_and_without_a_secret(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).+") as caught:
        parse_keyring(text)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Whatever comes

anything = st.text(st.characters(), max_size=40)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.lists(st.tuples(words, words), max_size=12).map(tuple)


@given(forms, st.sampled_from(ALGORITHMS), st.sampled_from([URL, "http://u:p@h:81/s?a=1#f", "https://h/España?a=%27"]))
def test_what_is_signed_verifies_whatever_the_parameters(pairs: Pairs, algorithm: str, url: str) -> None:
    pairs = (("AccountSid", SID), *((f"x{name}", value) for name, value in pairs))
    keys = ring(account(shared={KEY_ID: SECRET}))
    request = form_post(pairs, url, sign(url, pairs, SECRET, algorithm), settings_header(KEY_ID, algorithm))
    assert isinstance(verify(request, keys), Verified)
    as_before = request.headers[SIGNATURE_HEADER], request.headers[SETTINGS_HEADER]
    assert check_of(form_post((*pairs, ("y", "")), url, *as_before), keys) == Check.SIGNATURE


@given(forms)
def test_our_text_is_what_twilios_validator_concatenates(pairs: Pairs) -> None:
    own = RequestValidator(TOKEN).compute_signature(URL, Multi(pairs))
    assert sign(URL, pairs, TOKEN) == own
    assert RequestValidator(TOKEN).validate(URL, Multi(pairs), own)


@given(
    method=st.sampled_from(["POST", "GET", "post", "HEAD", ""]) | anything,
    urls=st.lists(st.just(URL) | anything | anything.map(lambda t: f"https://{t}?bodySHA256={t}"), max_size=3),
    content_type=st.sampled_from([FORM, "application/json", "+json;"]) | anything,
    body=st.binary(max_size=80) | anything.map(lambda text: text.encode("utf-8", "surrogatepass")),
    signature=anything,
    settings=anything | anything.map(lambda text: f"key={KEY_ID},algorithm={text}"),
    refuse=st.booleans(),
)
def test_no_request_whatever_raises_or_verifies(
    method: str, urls: list[str], content_type: str, body: bytes, signature: str, settings: str, refuse: bool
) -> None:
    request = arrived(method, tuple(urls), content_type, body, signature, settings)
    found = verify(request, ring(account(shared={KEY_ID: SECRET}), refuse=refuse))
    assert isinstance(found, Forged)
    found.url.encode("utf-8")


@given(st.lists(anything, max_size=3), anything)
def test_no_target_whatever_raises(bases: list[str], target: str) -> None:
    for url in presented_urls(bases, target):
        without_userinfo(url)
    for url in presented_urls(("https://h.example.com",), target):
        assert url.startswith("https://h.example.com/")
        url.encode("utf-8")
