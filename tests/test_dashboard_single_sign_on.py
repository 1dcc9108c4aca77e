"""Single sign-on: the dashboard's pages and a real provider of OpenID Connect (panva's oidc-provider), and one that forges."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from joserfc.jwk import OctKey, RSAKey

from offhook.adapters.passwords import hash_of
from offhook.main import commands_alone
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import AuditFilter, Role
from tests.sinks import Sink, black_hole, drip_body
from tests.support.browser import axe_findings, page_of
from tests.support.browsing import Browsing, browsing
from tests.support.dashboard import PASSWORD, Site, add_user
from tests.support.providers import (
    CALLBACK,
    Forger,
    RealProvider,
    Visitor,
    asked_of,
    forging_provider,
    led_to,
    real_provider,
    settings_for,
)
from tests.support.readers import TERMINAL
from tests.support.readers import words as words_of

pytestmark = pytest.mark.mostly("sqlite")

ANN: Mapping[str, Any] = {"email": "ann@example.com", "email_verified": True}


@pytest.fixture(scope="module")
def provider() -> Iterator[RealProvider]:
    with real_provider({}) as running:
        yield running


@pytest.fixture(scope="module")
def forging() -> Iterator[Forger]:
    with forging_provider() as running:
        yield running


@pytest.fixture
def forger(forging: Forger) -> Forger:
    forging.be_honest()
    return forging


class Dashboards:
    """Those of a test, over one database."""

    def __init__(self, url: str) -> None:
        self._url, self._made = url, list[Browsing]()

    def by(self, issuer: str, **more: str) -> Browsing:
        self._made.append(browsing(self._url, **settings_for(issuer, **more)))
        return self._made[-1]

    def close(self) -> None:
        for one in self._made:
            one.service.ledger.close()


@pytest.fixture
def dashboards(database_url: str) -> Iterator[Dashboards]:
    found = Dashboards(database_url)
    yield found
    found.close()


def visitor(site: Browsing) -> Visitor:
    return Visitor(site.app.test_client())


def comes_by(site: Browsing, provider: RealProvider, login: str = "ann") -> tuple[Visitor, Any]:
    """Somebody who signs in at the real provider, and the answer to that."""
    who = visitor(site)
    return who, who.comes_back(provider.sign_in(who.sent_to(), login))


def forged(site: Browsing, forger: Forger, who: Visitor | None = None, said: str = "code=c") -> Any:
    """The answer to a browser that comes back from the forger with this."""
    someone = who or visitor(site)
    asked = asked_of(someone.sent_to())
    forger.nonce = asked["nonce"]
    return someone.client.get(f"{CALLBACK}?{said}&state={asked['state']}")


def audit(site: Browsing) -> list[tuple[str, str, str]]:
    """(what, of what, who), the oldest first."""
    lines = site.service.ledger.audit.lines(AuditFilter(), None, 50)
    return [(one.what, one.of_what, one.who) for one in reversed(lines)]


def said_by(answer: Any) -> str:
    found = re.search(r'role="alert">([^<]*)<', answer.text)
    assert found is not None, answer.text
    assert 'name="password"' in answer.text, "a password still leads in"
    return unescape(found[1])


def by_password_in(who: Visitor, email: str = "ann@example.com") -> Any:
    token = re.search(r'name="csrf_token" value="([^"]+)"', who.client.get("/login").text)
    assert token is not None
    return who.client.post("/login", data={"csrf_token": token[1], "email": email, "password": PASSWORD})


def test_somebody_whom_the_provider_knows_comes_in_as_a_viewer_and_to_the_page_that_was_asked_for(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    who, answer = comes_by(site, provider)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/setup")
    assert "ann@example.com, viewer" in who.client.get("/account").text
    assert audit(site) == [
        ("user added by single sign-on", "ann@example.com", "ann@example.com"),
        ("sign in", "single sign-on", "ann@example.com"),
    ]
    user = site.service.ledger.users.with_email("ann@example.com")
    assert user is not None
    assert user.identity is not None
    assert (user.identity.issuer, user.identity.subject) == (provider.issuer, "ann")


def test_set_up_and_the_command_say_who_is_linked_and_since_when(dashboards: Dashboards, forger: Forger) -> None:
    site = dashboards.by(forger.issuer)
    began = site.service.ledger.clock()
    forged(site, forger)
    add_user(site.service.ledger, "bo@example.com", Role.VIEWER, None)
    page = site.person(Role.ADMIN).get("/setup").text
    ann, bo = (
        words_of(page.partition(f"<td>{name}@example.com</td>")[2].partition("</tr>")[0]) for name in ("ann", "bo")
    )
    assert f"{forger.issuer}, since {began:%b} " in ann
    assert forger.issuer not in bo
    app = commands_alone()
    app.extensions["offhook"] = site.service
    listed = json.loads(app.test_cli_runner().invoke(args=["users", "list", "--json"]).stdout)
    by_email = {one["email"]: one for one in listed}
    assert by_email["ann@example.com"]["single_sign_on"] == forger.issuer
    assert datetime.fromisoformat(by_email["ann@example.com"]["linked_at"]) >= began.replace(microsecond=0)
    assert (by_email["bo@example.com"]["single_sign_on"], by_email["bo@example.com"]["linked_at"]) == (None, None)


def test_what_is_asked_of_the_provider_is_a_code_with_pkce_a_state_and_a_nonce(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    first, second = (asked_of(visitor(dashboards.by(provider.issuer)).sent_to()) for _ in range(2))
    assert (first["response_type"], first["code_challenge_method"]) == ("code", "S256")
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


def test_what_somebody_may_do_goes_by_the_claim_at_each_sign_in(dashboards: Dashboards, provider: RealProvider) -> None:
    site = dashboards.by(
        provider.issuer, OFFHOOK_OIDC_ROLE_CLAIM="groups", OFFHOOK_OIDC_ROLES="it=admin,growth=operator"
    )
    statuses = []
    for groups in (["it", "growth"], ["growth"], ["sales"], None):
        provider.knows({"ann": ANN if groups is None else {**ANN, "groups": groups}})
        who, answer = comes_by(site, provider)
        statuses.append((answer.status_code, who.client.get("/audit").status_code))
    assert statuses == [(303, 200), (303, 403), (403, 303), (403, 303)]
    assert ("role operator by single sign-on", "ann@example.com", "ann@example.com") in audit(site)
    assert audit(site)[-1] == ("sign-in refused", "single sign-on: no role", "ann@example.com")


def test_whoever_may_not_come_in_reads_why_and_can_use_a_password(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    site = dashboards.by(provider.issuer)
    refused = {
        "unverified": ({**ANN, "email_verified": False}, "does not say that your email is verified"),
        "unsaid": ({"email": "ann@example.com"}, "does not say that your email is verified"),
        "foreign": ({**ANN, "email": "ann@evil.example"}, "none of those that may come in"),
        "nameless": ({"email_verified": True}, "does not say what your email is"),
    }
    provider.knows({login: claims for login, (claims, _) in refused.items()})
    for login, (_, words) in refused.items():
        who, answer = comes_by(site, provider, login)
        assert answer.status_code == 403
        assert words in said_by(answer)
        assert not who.is_in
    assert not site.service.ledger.users.every()
    assert {(what, who) for what, _, who in audit(site)} == {("sign-in refused", "unknown")}


def test_who_was_disabled_stays_out_and_their_old_session_with_them(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    before, _ = comes_by(site, provider)
    user = site.service.ledger.users.with_email("ann@example.com")
    assert user is not None
    line = site.service.ledger.audit.lines(AuditFilter(), None, 1)[0]
    site.service.ledger.users.disable(user.id, site.service.ledger.clock(), line)
    after, answer = comes_by(site, provider)
    assert answer.status_code == 403
    assert "may not come in any more" in said_by(answer)
    assert not before.is_in
    assert not after.is_in


def test_a_user_who_was_there_is_found_by_the_verified_email_and_nobody_else_by_it_later(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    site = dashboards.by(provider.issuer)
    add_user(site.service.ledger, "ann@example.com", Role.ADMIN)
    provider.knows({"ann": ANN, "successor": ANN})
    who, _ = comes_by(site, provider)
    assert who.client.get("/audit").status_code == 200
    other, answer = comes_by(site, provider, "successor")
    assert "is another account at the provider" in said_by(answer)
    assert not other.is_in


def test_a_code_or_a_state_counts_once_and_in_the_browser_that_was_sent_away_alone(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    who, thief = visitor(site), visitor(site)
    goes_to = who.sent_to()
    with who.client.session_transaction() as cookie:
        copied = dict(cookie)
    came = provider.sign_in(goes_to, "ann")
    assert thief.comes_back(came).status_code == 400  # login CSRF: a browser that began nothing
    thief.sent_to()
    assert thief.comes_back(came).status_code == 400  # nor one that began something else
    assert who.comes_back(came).status_code == 303
    assert who.comes_back(came).status_code == 400
    with thief.client.session_transaction() as cookie:
        cookie.update(copied)  # all that the other browser had before
    assert "finished already" in said_by(thief.comes_back(came))
    assert not thief.is_in
    reasons = [of_what for what, of_what, _ in audit(site) if what == "sign-in refused"]
    assert reasons == ["single sign-on: state", "single sign-on: used already"]


def test_a_used_code_is_refused_by_the_provider_and_the_page_says_to_begin_again(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    who = visitor(site)
    came = provider.sign_in(who.sent_to(), "ann")
    asked = asked_of(came)
    assert who.comes_back(came).status_code == 303
    other = visitor(site)
    state = asked_of(other.sent_to())["state"]
    answer = other.client.get(f"{CALLBACK}?code={quote(asked['code'])}&state={state}&iss={quote(provider.issuer)}")
    assert (answer.status_code, "used already or is too old" in said_by(answer)) == (400, True)


def test_a_sign_in_is_a_new_session_whatever_the_browser_had(dashboards: Dashboards, provider: RealProvider) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    who = visitor(site)
    goes_to = who.sent_to()
    attacker = site.person(Role.VIEWER)
    with attacker.client.session_transaction() as cookie:
        planted = cookie["sid"]
    with who.client.session_transaction() as cookie:
        cookie["sid"] = planted
    assert who.comes_back(provider.sign_in(goes_to, "ann")).status_code == 303
    with who.client.session_transaction() as cookie:
        assert cookie["sid"] != planted
        assert cookie.keys() == {"sid", "_permanent"}
        kept = hashed(cookie["sid"])
    assert site.service.ledger.sessions.with_id(kept) is not None
    assert attacker.get("/account").status_code == 303, "what the browser had before has ended"


def test_sign_in_leads_nowhere_but_to_a_page_of_ours(dashboards: Dashboards, forger: Forger) -> None:
    site = dashboards.by(forger.issuer)
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example"):
        who = visitor(site)
        asked = asked_of(who.sent_to(elsewhere))
        forger.nonce = asked["nonce"]
        answer = who.client.get(f"{CALLBACK}?code=c&state={asked['state']}")
        assert answer.headers["Location"] == "/"


STRANGER = RSAKey.generate_key(2048, {"kid": "1"})


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["offhook", "another"]},
        {"aud": None},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"iat": 9_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"at_hash": "another"},
    ],
    ids=json.dumps,
)
def test_an_id_token_that_is_not_for_this_sign_in_lets_nobody_in(
    dashboards: Dashboards, forger: Forger, claims: dict[str, Any]
) -> None:
    forger.claims = claims
    site = dashboards.by(forger.issuer)
    answer = forged(site, forger)
    assert (answer.status_code, "cannot be trusted" in said_by(answer)) == (400, True)
    assert audit(site) == [("sign-in refused", "single sign-on: forged", "unknown")]


@pytest.mark.parametrize("how", ["another key", "our own secret", "no signature", "changed", "none"])
def test_an_id_token_that_the_provider_did_not_sign_lets_nobody_in(
    dashboards: Dashboards, forger: Forger, how: str
) -> None:
    if how == "another key":
        forger.signs_with = STRANGER
    if how == "our own secret":  # whoever knows it could sign as HS256
        forger.signs_with, forger.algorithm = OctKey.import_key("of-the-tests-alone" * 3), "HS256"
    site = dashboards.by(forger.issuer)
    who = visitor(site)
    asked = asked_of(who.sent_to())
    forger.nonce = asked["nonce"]
    header, payload, signature = forger.id_token().split(".")
    bare = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    texts = {"no signature": f"{header}.{payload}.", "changed": f"{header}.{payload[:-2]}AA.{signature}"}
    texts["none"] = f"{bare}.{payload}."
    if how in texts:
        token = {"access_token": "a", "token_type": "Bearer", "id_token": texts[how]}
        forger.answers["/token"] = (200, json.dumps(token).encode())
    answer = who.client.get(f"{CALLBACK}?code=c&state={asked['state']}")
    assert (answer.status_code, "cannot be trusted" in said_by(answer)) == (400, True)
    assert not who.is_in


def test_the_honest_token_of_the_same_provider_lets_somebody_in(dashboards: Dashboards, forger: Forger) -> None:
    """So that what is refused above is refused for what it is. The provider's keys are asked for anew each time."""
    site = dashboards.by(forger.issuer)
    assert forged(site, forger).status_code == 303
    forger.key = RSAKey.generate_key(2048, {"kid": "2"})
    forger.key = RSAKey.import_key({**forger.key.as_dict(private=True), "kid": "1"})
    assert forged(site, forger).status_code == 303
    assert {"code_verifier", "redirect_uri", "code"} <= forger.forms[-1].keys()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/.well-known/openid-configuration", 200, b"no JSON"),
        ("/.well-known/openid-configuration", 200, b"[" * 100_000),
        ("/.well-known/openid-configuration", 200, b"{}"),
        ("/.well-known/openid-configuration", 500, b""),
        ("/.well-known/openid-configuration", 302, b""),
        ("/.well-known/openid-configuration", 200, b" " * 300_000 + b"{}"),
        ("/jwks", 200, b"no JSON"),
        ("/token", 200, b"no JSON"),
        ("/token", 503, b"busy"),
        ("/token", 200, b"[]"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_page_that_says_so_with_the_password_still_there(
    dashboards: Dashboards, forger: Forger, path: str, status: int, body: bytes
) -> None:
    site = dashboards.by(forger.issuer)
    who = visitor(site)
    if path.startswith("/.well-known"):
        forger.answers[path] = (status, body)
        answer = who.begins()
    else:
        asked = asked_of(who.sent_to())
        forger.answers[path] = (status, body)
        answer = who.client.get(f"{CALLBACK}?code=c&state={asked['state']}")
    assert answer.status_code in (502, 504)
    assert "Use your password" in said_by(answer) or "use your password" in said_by(answer)


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 7},
    ],
    ids=json.dumps,
)
def test_a_configuration_of_another_issuer_or_without_tls_is_none(
    dashboards: Dashboards, forger: Forger, changed: dict[str, Any]
) -> None:
    path = "/.well-known/openid-configuration"
    forger.answers[path] = (200, json.dumps({**json.loads(forger.answer(path)[1]), **changed}).encode())
    assert visitor(dashboards.by(forger.issuer)).begins().status_code == 502


def test_userinfo_counts_for_the_same_subject_alone(dashboards: Dashboards, forger: Forger) -> None:
    path = "/.well-known/openid-configuration"
    known = json.loads(forger.answer(path)[1]) | {"userinfo_endpoint": f"{forger.issuer}/me"}
    forger.answers[path] = (200, json.dumps(known).encode())
    forger.claims = {"email": None, "email_verified": None}
    site = dashboards.by(forger.issuer)
    for subject, status in (("s-2", 400), ("s-1", 303)):
        forger.answers["/me"] = (200, json.dumps({"sub": subject, **ANN}).encode())
        assert forged(site, forger).status_code == status


def test_a_provider_that_is_down_or_slow_costs_no_more_than_its_time(dashboards: Dashboards) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = dashboards.by(f"http://127.0.0.1:{free.getsockname()[1]}")
        answer = visitor(down).begins()
    assert (answer.status_code, "cannot be reached now" in said_by(answer)) == (502, True)
    for behaviour in (black_hole(), drip_body()):
        with Sink(behaviour) as sink:
            slow = dashboards.by(f"http://127.0.0.1:{sink.port}", OFFHOOK_OIDC_SECONDS="0.3")
            answer = visitor(slow).begins()
        assert (answer.status_code, "took too long" in said_by(answer)) == (504, True)


def test_who_gave_up_at_the_provider_reads_that_and_the_providers_own_words_stay_outside(
    dashboards: Dashboards, forger: Forger
) -> None:
    site = dashboards.by(forger.issuer)
    for error, words in (("access_denied", "You did not sign in"), ("server_error", "could not sign you in")):
        who = visitor(site)
        state = asked_of(who.sent_to())["state"]
        answer = who.client.get(f"{CALLBACK}?error={error}&error_description=<b>call+me</b>&state={state}")
        assert answer.status_code == 403
        assert words in said_by(answer)
        assert "call me" not in answer.text


def test_a_client_that_the_provider_does_not_know_names_the_settings(
    dashboards: Dashboards, provider: RealProvider
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer, OFFHOOK_OIDC_CLIENT_SECRET="another")
    _, answer = comes_by(site, provider)
    assert (answer.status_code, "ask whoever runs Offhook" in said_by(answer)) == (502, True)
    assert not TERMINAL.search(said_by(answer))


def test_so_many_sign_ins_are_begun_from_one_address(dashboards: Dashboards, forger: Forger) -> None:
    more = {"OFFHOOK_SIGN_IN_ADDRESS_TRIES": "2", "OFFHOOK_SIGN_IN_WINDOW_SECONDS": "86400"}
    site = dashboards.by(forger.issuer, **more)
    assert [visitor(site).begins().status_code for _ in range(3)] == [200, 200, 429]
    assert len(forger.asked) == 2


def test_a_password_leads_in_as_before(dashboards: Dashboards, forger: Forger) -> None:
    site = dashboards.by(forger.issuer)
    add_user(site.service.ledger, "bo@example.com", Role.VIEWER)
    assert by_password_in(visitor(site), "bo@example.com").status_code == 303


def test_there_is_no_button_where_nothing_is_set_up(database_url: str) -> None:
    site = browsing(database_url)
    assert "Sign in with" not in site.app.test_client().get("/login").text
    assert site.app.test_client().get(CALLBACK).status_code == 404
    site.service.ledger.close()


def test_the_browser_comes_back_to_the_address_that_it_knows(dashboards: Dashboards, forger: Forger) -> None:
    where = {"PUBLIC_URL": "https://calls.example.org,https://other.example.org"}
    for more, home in (
        (where, "https://calls.example.org"),
        (where | {"OFFHOOK_DASHBOARD_URL": "https://d.example.org/"}, "https://d.example.org"),
    ):
        asked = asked_of(visitor(dashboards.by(forger.issuer, **more)).sent_to())
        assert asked["redirect_uri"] == home + CALLBACK


ISSUER = "{issuer}"


@pytest.mark.parametrize(
    ("names_itself", "said", "status"),
    [
        (True, f"&iss={ISSUER}", 303),
        (True, "", 400),
        (True, "&iss=", 400),
        (True, "&iss=https://evil.example", 400),
        (True, f"&iss={ISSUER}/", 400),
        (True, f"&iss={ISSUER}&iss={ISSUER}", 400),
        (True, f"&iss={ISSUER}&iss=https://evil.example", 400),
        (None, "", 303),
        (None, f"&iss={ISSUER}", 303),
        (None, "&iss=https://evil.example", 400),
    ],
)
def test_a_browser_that_another_provider_sends_back_does_not_come_in(
    dashboards: Dashboards, forger: Forger, names_itself: bool | None, said: str, status: int
) -> None:
    """Mix-up: the code of one provider would be shown to another. https://www.rfc-editor.org/rfc/rfc9207"""
    if names_itself is not None:
        forger.metadata = {"authorization_response_iss_parameter_supported": names_itself}
    site = dashboards.by(forger.issuer)
    for came_with in ("code=c", "error=access_denied"):
        who = visitor(site)
        answer = forged(site, forger, who, came_with + said.format(issuer=forger.issuer))
        if status == 400:
            assert (answer.status_code, "cannot be trusted" in said_by(answer)) == (400, True)
            assert not who.is_in
        else:
            assert answer.status_code == (303 if came_with == "code=c" else 403)
    assert ("/token" in forger.asked) == (status == 303), "a code that may be of another is shown to nobody"
    refused = [("sign-in refused", "single sign-on: forged", "unknown")] * 2
    assert (audit(site) == refused) == (status == 400)


def test_a_sign_in_that_was_begun_by_a_version_before_is_begun_again(dashboards: Dashboards, forger: Forger) -> None:
    site = dashboards.by(forger.issuer)
    who = visitor(site)
    state = asked_of(who.sent_to())["state"]
    with who.client.session_transaction() as cookie:
        cookie["oidc"] = {name: value for name, value in cookie["oidc"].items() if name != "issuer"}
    answer = who.client.get(f"{CALLBACK}?code=c&state={state}")
    assert (answer.status_code, "Begin it again" in said_by(answer)) == (400, True)


@pytest.mark.parametrize("leave", ["/logout", "/account/sign-out-everywhere"])
def test_who_came_by_the_provider_signs_out_here_first_and_then_there(
    dashboards: Dashboards, provider: RealProvider, leave: str
) -> None:
    provider.knows({"ann": ANN})
    site = dashboards.by(provider.issuer)
    who, elsewhere, browser = visitor(site), visitor(site), requests.Session()
    for one in (who, elsewhere):
        one.comes_back(provider.sign_in(one.sent_to(), "ann", browser))
    again = visitor(site).sent_to()
    assert provider.knows_who_it_is(browser, again)
    answer = who.leaves(leave)
    assert (answer.status_code, who.is_in, elsewhere.is_in) == (200, False, leave == "/logout")
    assert "ann@example.com" not in answer.text
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    goes_to = led_to(answer)
    assert goes_to is not None
    came_back = provider.sign_out(goes_to, browser)
    assert came_back == asked_of(goes_to)["post_logout_redirect_uri"]
    assert urlsplit(came_back).path == "/login"
    assert not provider.knows_who_it_is(browser, again)


def test_nothing_that_a_browser_says_changes_where_signing_out_leads(dashboards: Dashboards, forger: Forger) -> None:
    forger.metadata = {"end_session_endpoint": f"{forger.issuer}/end?tenant=a%26b"}
    site = dashboards.by(forger.issuer, PUBLIC_URL="https://calls.example.org")
    who = visitor(site)
    forged(site, forger, who)
    evil = "https://evil.example"
    answer = who.leaves(f"/logout?next={evil}", next=evil, back=evil, post_logout_redirect_uri=evil, state="x")
    goes_to = led_to(answer)
    assert goes_to is not None
    assert goes_to.startswith(f"{forger.issuer}/end?")
    assert asked_of(goes_to) == {
        "tenant": "a&b",
        "client_id": "offhook",
        "post_logout_redirect_uri": "https://calls.example.org/login",
    }


@pytest.mark.parametrize("end", [None, "", 7, "http://evil.example/end", "javascript:alert(1)", "down"])
def test_without_a_sign_out_there_that_can_be_used_the_session_here_ends_all_the_same(
    dashboards: Dashboards, forger: Forger, end: object
) -> None:
    forger.metadata = {} if end is None else {"end_session_endpoint": end}
    site = dashboards.by(forger.issuer)
    who = visitor(site)
    forged(site, forger, who)
    assert who.is_in, "what is wrong with signing out keeps nobody from coming in"
    if end == "down":
        forger.answers["/.well-known/openid-configuration"] = (503, b"")
    answer = who.leaves()
    assert (answer.status_code, answer.headers["Location"], who.is_in) == (303, "/login", False)
    assert ("could not be asked to sign you out there" in who.client.get("/login").text) == bool(end)


def test_who_came_by_a_password_or_by_another_provider_is_sent_nowhere(
    dashboards: Dashboards, forger: Forger, provider: RealProvider
) -> None:
    forger.metadata = {"end_session_endpoint": f"{forger.issuer}/end"}
    site, later = dashboards.by(forger.issuer), dashboards.by(provider.issuer)
    linked, by_password, later_on = visitor(site), visitor(site), visitor(later)
    forged(site, forger, linked)
    user, [line] = site.service.ledger.users.every()[0], site.service.ledger.audit.lines(AuditFilter(), None, 1)
    site.service.ledger.users.set_password(user.id, hash_of(PASSWORD), line)
    by_password_in(by_password)
    forger.asked.clear()
    assert by_password.leaves().headers["Location"] == "/login"
    assert forger.asked == []
    forged(site, forger, linked)
    with linked.client.session_transaction() as cookie, later_on.client.session_transaction() as other:
        other["sid"] = cookie["sid"]
    assert later_on.is_in
    assert later_on.leaves().headers["Location"] == "/login"


def test_signing_out_there_can_be_switched_off(dashboards: Dashboards, forger: Forger) -> None:
    forger.metadata = {"end_session_endpoint": f"{forger.issuer}/end"}
    site = dashboards.by(forger.issuer, OFFHOOK_OIDC_SIGN_OUT="no")
    who = visitor(site)
    forged(site, forger, who)
    forger.asked.clear()
    assert who.leaves().headers["Location"] == "/login"
    assert (who.is_in, forger.asked) == (False, [])


def test_in_a_browser_the_buttons_lead_to_the_provider_and_back_without_a_script(
    browser: Any, provider: RealProvider, sqlite_template: str, tmp_path: Path
) -> None:
    """The policy of our pages lets a form lead to pages of ours alone, and Chromium holds redirects to it as well."""
    provider.knows({"ann": ANN})
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), tmp_path / "offhook.db")
    site = Site(f"sqlite:///{tmp_path}/offhook.db", tmp_path, **settings_for(provider.issuer), PUBLIC_URL="")
    site.web.start()
    try:
        with page_of(browser, site) as page:
            page.goto("/login")
            assert axe_findings(page) == []
        # The provider's pages ask for a font of somebody else's, and have no icon.
        with page_of(browser, site, scripts=False, expects=["ERR_FAILED", "404"]) as page:
            page.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
            page.goto("/setup")
            page.click("text=Sign in with your work account")
            page.fill("input[name=login]", "ann")
            page.fill("input[name=password]", "any")
            page.click("button[type=submit]")
            page.click("button[type=submit]")  # what the provider may say of them
            page.wait_for_url(f"{site.url}/setup")
            assert "ann@example.com, viewer" in page.content()
            page.click("summary:has-text('ann')")
            page.click("text=Sign out")
            page.click("text=Yes, sign me out")
            page.wait_for_url(f"{site.url}/login")
            page.click("text=Sign in with your work account")
            page.wait_for_selector("input[name=login]")
    finally:
        site.close()
