"""The dashboard's door through real HTTP: who may come in, who may see what, and what an attacker tries."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from datetime import timedelta

import pytest
import requests

from offhook.api_and_dashboard import dashboard
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import AuditFilter, AuditLine, Role
from offhook.service import build
from offhook.settings import given
from tests.support.dashboard import PASSWORD, Client, Site, add_user
from tests.support.raw import Raw, ask
from tests.support.waiting import HANGS_AFTER_SECONDS

VIEWER, OPERATOR, ADMIN = Role
NOBODY = "nobody"

# path -> what is answered to nobody, viewer, operator, admin. Each route of the dashboard has a row: a test holds it to that.
ANSWERS: dict[str, tuple[int, int, int, int]] = {
    "GET /": (303, 200, 200, 200),
    "GET /setup": (303, 200, 200, 200),
    "GET /audit": (303, 403, 403, 200),
    "GET /audit.csv": (303, 403, 403, 200),
    "GET /account": (303, 200, 200, 200),
    "GET /calls": (303, 200, 200, 200),
    "GET /calls/new": (303, 200, 200, 200),
    "GET /overview/now": (303, 200, 200, 200),
    "GET /calls.csv": (303, 200, 200, 200),
    "GET /calls/<call_sid>": (303, 404, 404, 404),
    "GET /search": (303, 200, 200, 200),
    "GET /deliveries": (303, 200, 200, 200),
    "GET /rules": (303, 200, 200, 200),
    "GET /rules/<version>": (303, 404, 404, 404),
    "GET /rockerbox": (303, 200, 200, 200),
    "POST /deliveries/preview": (303, 403, 303, 303),
    "POST /deliveries/retry": (303, 403, 303, 303),
    "POST /rules/backtest": (303, 403, 403, 303),
    "POST /rockerbox/qa": (303, 403, 303, 303),
    "POST /rockerbox/checks": (303, 403, 303, 303),
    "GET /unknown": (303, 200, 200, 200),
    "GET /unknown.csv": (303, 200, 200, 200),
    "GET /customers": (303, 200, 200, 200),
    "GET /customers/conflicts": (303, 200, 200, 200),
    "GET /customers/imports": (303, 200, 200, 200),
    "GET /customers/imports/<import_id>": (303, 404, 404, 404),
    "GET /customers/jobs/<job_id>": (303, 404, 404, 404),
    "GET /customers/jobs/<job_id>/progress": (303, 404, 404, 404),
    "POST /unknown.csv": (303, 403, 200, 200),
    "POST /unknown/<call_sid>/customer": (303, 403, 404, 404),
    "POST /customers": (303, 403, 303, 303),
    "POST /customers/uploads": (303, 403, 303, 303),
    "POST /customers/imports/<import_id>/undo": (303, 403, 404, 404),
    "POST /customers/jobs/<job_id>/import": (303, 403, 404, 404),
    "POST /jobs/<job_id>/stop": (303, 403, 404, 404),
    "POST /jobs/files/<file_id>": (303, 404, 404, 404),
    "GET /jobs/of/<name>": (303, 404, 404, 404),
    "POST /customers/jobs/<job_id>/rejected.csv": (303, 403, 404, 404),
    "POST /calls.csv": (303, 403, 200, 200),
    "POST /calls/files": (303, 403, 303, 303),
    "POST /calls/<call_sid>/customer": (303, 403, 404, 404),
    "POST /calls/<call_sid>/decide": (303, 403, 404, 404),
    "POST /calls/<call_sid>/retry": (303, 403, 404, 404),
    "POST /calls/<call_sid>/rebuild": (303, 403, 404, 404),
    "GET /login": (200, 303, 303, 303),
    "POST /login/oidc": (404, 404, 404, 404),  # where it is set up: test_dashboard_single_sign_on.py
    "GET /login/oidc/callback": (404, 404, 404, 404),
    "GET /invite/<secret>": (404, 404, 404, 404),
    "GET /static/<name>": (404, 404, 404, 404),
    "POST /account/zone": (303, 303, 303, 303),
    "POST /account/password": (303, 400, 400, 400),
    "POST /reveal": (303, 403, 404, 404),
    "POST /invite/<secret>": (404, 404, 404, 404),
    "POST /setup/users/invite": (303, 403, 403, 303),
    "POST /setup/users/<user_id>/role": (303, 403, 403, 404),
    "POST /setup/users/<user_id>/disable": (303, 403, 403, 404),
    "POST /setup/users/<user_id>/enable": (303, 403, 403, 404),
    "POST /setup/users/<user_id>/sign-out": (303, 403, 403, 404),
    "POST /setup/users/<user_id>/remove": (303, 403, 403, 404),
    "POST /setup/tokens": (303, 403, 403, 303),
    "POST /setup/tokens/revoke": (303, 403, 403, 303),
}
ELSEWHERE = {
    "POST /login",
    "POST /logout",
    "POST /account/sign-out-everywhere",
}  # they end sessions; tests of their own


def client_of(site: Site, who: str) -> Client:
    return site.anybody() if who == NOBODY else site.role(Role(who))


@pytest.mark.parametrize("who", [NOBODY, *Role])
def test_each_page_and_action_answers_each_role_as_the_table_says(site: Site, who: str) -> None:
    client = client_of(site, who)
    client.get("/login" if who == NOBODY else "/account")
    at = [NOBODY, *Role].index(who)
    got = {}
    for route in ANSWERS:
        method, path = route.split()
        filled = re.sub(r"<\w+>", "none-such", path)
        got[route] = (client.get(filled) if method == "GET" else client.post(filled)).status_code
    assert got == {route: answers[at] for route, answers in ANSWERS.items()}


@pytest.mark.mostly("sqlite")
def test_each_route_has_a_row_in_the_table(database_url: str) -> None:
    service = build(given({"DATABASE_URL": database_url}))
    rules = list(dashboard(service).url_map.iter_rules())
    routes = {f"{method} {rule.rule}" for rule in rules for method in rule.methods or () if method in ("GET", "POST")}
    assert routes == ANSWERS.keys() | ELSEWHERE
    service.ledger.close()


def test_nothing_is_done_without_the_token_of_the_form(site: Site) -> None:
    client = site.role(VIEWER)
    client.get("/account")
    for forged in ("", "x", client.token[:-2], site.role(OPERATOR).token):
        answer = client.post("/account/zone", forged, zone="Europe/Vienna")
        assert answer.status_code == 400
        assert "no longer valid" in answer.text
    user = site.ledger.users.with_email("viewer@example.com")
    assert user is not None
    assert user.zone == ""
    assert client.post("/account/zone", zone="").status_code == 303


def test_a_form_that_a_browser_says_comes_from_elsewhere_is_refused(site: Site) -> None:
    client = site.role(VIEWER)
    client.get("/account")
    for came_from, status in (("cross-site", 400), ("same-site", 400), ("same-origin", 303)):
        headers = {"Sec-Fetch-Site": came_from}
        data = {"csrf_token": client.token, "zone": ""}
        answer = client.http.post(f"{site.url}/account/zone", data=data, headers=headers, allow_redirects=False)
        assert answer.status_code == status


def test_a_stolen_cookie_is_worth_nothing_after_sign_out_here_or_everywhere(site: Site) -> None:
    add_user(site.ledger, "stolen@example.com", VIEWER)
    for leave in ("/logout", "/account/sign-out-everywhere"):
        client, thief = site.anybody(), site.anybody()
        client.sign_in("stolen@example.com")
        thief.http.cookies.update(client.http.cookies)
        assert thief.get("/setup").status_code == 200
        assert client.post(leave).status_code == 303
        assert thief.get("/setup").status_code == 303
        assert client.get("/setup").status_code == 303


def test_whoever_signs_in_gets_a_session_that_nobody_could_know_before(site: Site) -> None:
    """Session fixation: the cookie that an attacker planted is none afterwards, and sees nothing."""
    client, attacker = site.anybody(), site.anybody()
    attacker.get("/login")
    client.http.cookies.update(attacker.http.cookies)
    before = client.cookies
    assert client.sign_in("viewer@example.com").status_code == 303
    assert client.cookies != before
    assert attacker.get("/setup").status_code == 303
    first = client.cookies
    client.get("/account")
    client.post("/logout")
    client.sign_in("viewer@example.com")
    assert client.cookies != first


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "javascript:alert(1)",
        "/a\r\nX: y",
        "///x",
    ],
)
def test_sign_in_leads_nowhere_but_to_a_page_of_ours(site: Site, elsewhere: str) -> None:
    assert site.anybody().sign_in("viewer@example.com", goes_to=elsewhere).headers["Location"] == "/"
    answer = site.role(VIEWER).http.get(f"{site.url}/login", params={"next": elsewhere}, allow_redirects=False)
    assert answer.headers["Location"] == "/"


def test_sign_in_leads_back_to_the_page_that_was_asked_for(site: Site) -> None:
    turned_away = site.anybody().get("/setup?x=1")
    assert turned_away.headers["Location"] == "/login?next=/setup?x%3D1"
    assert site.anybody().sign_in("viewer@example.com", goes_to="/setup?x=1").headers["Location"] == "/setup?x=1"


def test_every_page_says_what_a_browser_may_do_with_it(site: Site) -> None:
    for path, status in (("/setup", 200), ("/login", 303), ("/none-such", 404), ("/audit", 403)):
        answer = site.role(VIEWER).get(path)
        assert answer.status_code == status
        said = answer.headers
        assert said["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in said["Content-Security-Policy"]
        assert "unsafe" not in said["Content-Security-Policy"]
        assert (said["X-Content-Type-Options"], said["X-Frame-Options"]) == ("nosniff", "DENY")
        assert said["Referrer-Policy"] == "same-origin"


def test_where_there_is_no_page_whoever_is_signed_in_finds_the_others_and_the_search(site: Site) -> None:
    for answer in (site.role(VIEWER).get("/none-such"), site.role(VIEWER).get("/logout")):
        assert answer.status_code in (404, 405)
        assert 'role="search"' in answer.text
        assert 'href="/deliveries"' in answer.text
    nobody = site.anybody().get("/none-such")
    assert (nobody.status_code, 'role="search"' in nobody.text) == (404, False)
    assert "Sign in to look for a call" in nobody.text
    assert "search above" not in nobody.text


def test_cookies_are_for_the_server_alone(site: Site) -> None:
    [said] = [site.anybody().get("/login").headers["Set-Cookie"]]
    assert "HttpOnly" in said
    assert "SameSite=Lax" in said


@pytest.mark.mostly("sqlite")
def test_behind_https_the_cookie_is_bound_to_the_host(database_url: str) -> None:
    service = build(given({"DATABASE_URL": database_url, "PUBLIC_URL": "https://calls.example.org"}))
    answer = dashboard(service).test_client().get("/login")
    assert answer.headers["Set-Cookie"].startswith("__Host-offhook=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    service.ledger.close()


def test_static_files_are_kept_for_ever_under_the_name_of_their_hash(site: Site) -> None:
    page = site.anybody().get("/login").text
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = requests.get(site.url + path, timeout=HANGS_AFTER_SECONDS)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert re.search(r"\.[0-9a-f]{16}\.(css|js)$", path)


def test_the_answer_to_somebody_unknown_is_that_to_a_wrong_password(site: Site) -> None:
    add_user(site.ledger, "known@example.com", VIEWER)
    add_user(site.ledger, "bylink@example.com", VIEWER, password=None)
    said = set()
    for email in ("known@example.com", "unknown@example.com", "bylink@example.com"):
        client = site.anybody()
        client.get("/login")
        answer = client.post("/login", email=email, password="not the password")
        page = re.sub(r'value="[^"]*"', "", answer.text)
        said.add((answer.status_code, page, frozenset(answer.headers) - {"Date"}))
    assert [status for status, _, _ in said] == [401]


@pytest.mark.mostly("sqlite")
def test_somebody_unknown_is_checked_as_long_as_anybody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work is done: one verification with the same parameters, whoever asks."""
    from argon2 import PasswordHasher, extract_parameters

    checked: list[object] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, known: str, password: str) -> bool:
        checked.append(extract_parameters(known))
        return verify(hasher, known, password)

    service = build(given({"DATABASE_URL": database_url}))
    add_user(service.ledger, "ann@example.com", VIEWER)
    monkeypatch.setattr(PasswordHasher, "verify", counted)
    app = dashboard(service)
    app.config["WTF_CSRF_ENABLED"] = False
    for email in ("ann@example.com", "eve@example.com", "no email"):
        app.test_client().post("/login", data={"email": email, "password": "wrong"})
    assert len(checked) == 3
    assert len(set(map(str, checked))) == 1
    service.ledger.close()


@pytest.mark.parametrize("email", ["ann@example.com", "eve@example.com"])
def test_an_account_bears_so_many_attempts_whoever_makes_them_and_whatever_process_counts(
    database_url: str, email: str
) -> None:
    known = {
        "DATABASE_URL": database_url,
        "OFFHOOK_SIGN_IN_ACCOUNT_TRIES": "3",
        "OFFHOOK_SIGN_IN_WINDOW_SECONDS": "86400",
    }
    services = [build(given(known)) for _ in range(2)]
    add_user(services[0].ledger, "ann@example.com", VIEWER)
    said = []
    for n in range(5):
        app = dashboard(services[n % 2])
        app.config["WTF_CSRF_ENABLED"] = False
        right = {"email": email, "password": PASSWORD if n == 4 else "wrong"}
        said.append(
            app.test_client().post("/login", data=right, environ_base={"REMOTE_ADDR": f"10.0.0.{n}"}).status_code
        )
    assert said == [401, 401, 401, 429, 429]
    for service in services:
        service.ledger.close()


def test_an_address_bears_so_many_attempts_whatever_the_account(database_url: str) -> None:
    known = {
        "DATABASE_URL": database_url,
        "OFFHOOK_SIGN_IN_ADDRESS_TRIES": "2",
        "OFFHOOK_SIGN_IN_WINDOW_SECONDS": "86400",
    }
    service = build(given(known))
    app = dashboard(service)
    app.config["WTF_CSRF_ENABLED"] = False
    forms = [{"email": f"{n}@example.com", "password": "wrong"} for n in range(3)]
    assert [app.test_client().post("/login", data=form).status_code for form in forms] == [401, 401, 429]
    service.ledger.close()


def test_a_session_ends_by_itself_when_it_is_idle_and_when_it_is_old(site: Site) -> None:
    add_user(site.ledger, "idle@example.com", VIEWER)
    user = site.ledger.users.with_email("idle@example.com")
    assert user is not None
    for column, hours in (("seen_at", 9), ("created_at", 24 * 8)):
        client = site.anybody()
        client.sign_in("idle@example.com")
        assert client.get("/setup").status_code == 200
        [mine] = site.ledger.sessions.of_user(user.id)
        before = int((mine.seen_at - timedelta(hours=hours)).timestamp() * 1_000_000)
        with site.ledger.database.write() as connection:
            connection.exec_driver_sql(f"UPDATE sessions SET {column} = ? WHERE id = ?", (before, mine.id))
        assert client.get("/setup").status_code == 303
        site.ledger.sessions.end_all(user.id, AuditLine(mine.seen_at, "test", "sessions ended", "", "test"))


def test_who_is_disabled_removed_or_given_another_role_is_that_at_the_next_request(site: Site) -> None:
    user = add_user(site.ledger, "changing@example.com", VIEWER)
    client, admin = site.anybody(), site.role(ADMIN)
    client.sign_in(user.email)
    admin.get("/setup")
    assert client.get("/audit").status_code == 403
    admin.post(f"/setup/users/{user.id}/role", role="admin")
    assert client.get("/audit").status_code == 200
    admin.post(f"/setup/users/{user.id}/disable")
    assert client.get("/setup").status_code == 303
    assert client.sign_in(user.email).status_code == 401
    admin.post(f"/setup/users/{user.id}/enable")
    assert client.sign_in(user.email).status_code == 303
    admin.post(f"/setup/users/{user.id}/remove")
    assert client.get("/setup").status_code == 303
    done = [one.what for one in site.ledger.audit.lines(AuditFilter(of_what=user.email), None, 20)]
    assert done == ["user removed", "user enabled", "user disabled", "role admin", "user added"]


def test_an_admin_cannot_lock_everybody_out_by_mistake(site: Site) -> None:
    me = site.ledger.users.with_email("admin@example.com")
    assert me is not None
    admin = site.role(ADMIN)
    admin.get("/setup")
    for what in ("disable", "remove", "role", "sign-out"):
        assert admin.post(f"/setup/users/{me.id}/{what}", role="viewer").status_code == 400


def test_a_link_lets_one_viewer_in_once_and_looking_at_it_does_not_use_it_up(site: Site) -> None:
    admin = site.role(ADMIN)
    admin.get("/setup")
    made = admin.post("/setup/users/invite", email="Guest@Example.com")
    [path] = re.findall(r"/invite/[A-Za-z0-9_-]+", made.text)
    guest, late = site.anybody(), site.anybody()
    for _ in range(2):
        assert guest.get(path).status_code == 200
    late.get(path)
    assert guest.post(path).status_code == 303
    assert guest.get("/setup").status_code == 200
    assert guest.get("/audit").status_code == 403
    assert late.post(path).status_code == 404
    assert "guest@example.com" in guest.get("/account").text


def test_another_password_ends_every_other_session(site: Site) -> None:
    add_user(site.ledger, "twice@example.com", VIEWER)
    here, there = site.anybody(), site.anybody()
    here.sign_in("twice@example.com")
    there.sign_in("twice@example.com")
    for old, new in (("wrong", "a new and longer one"), (PASSWORD, "twice@example.com"), (PASSWORD, "short")):
        assert here.post("/account/password", old=old, new=new).status_code == 400
    assert here.post("/account/password", old=PASSWORD, new="a new and longer one").status_code == 303
    assert here.get("/setup").status_code == 200
    assert there.get("/setup").status_code == 303
    assert there.sign_in("twice@example.com").status_code == 401
    assert there.sign_in("twice@example.com", "a new and longer one").status_code == 303


@pytest.mark.mostly("sqlite")
def test_set_up_shows_no_secret_and_no_password_of_an_address(database_url: str) -> None:
    known = {
        "DATABASE_URL": database_url,
        "TWILIO_ACCOUNT_SID": f"AC{1:032x}",
        "TWILIO_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
        "ROCKERBOX_URL": "https://user:hunter2@rockerbox.example/hook?advertiser=7&api_key=hunter4&x=1",
        "OFFHOOK_EGRESS_PROXY": "http://user:hunter3@proxy.example:3128",
    }
    service = build(given(known))
    add_user(service.ledger, "ann@example.com", ADMIN)
    app = dashboard(service)
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    client.post("/login", data={"email": "ann@example.com", "password": PASSWORD})
    page = client.get("/setup").text
    assert "rockerbox.example/hook?advertiser=7&amp;api_key=***&amp;x=1" in page
    for secret in ("0123456789abcdef", "hunter2", "hunter3", "hunter4"):
        assert secret not in page
    service.ledger.close()


def test_the_cookie_holds_no_more_than_a_key_to_a_row(site: Site) -> None:
    client = site.anybody()
    client.sign_in("viewer@example.com")
    user = site.ledger.users.with_email("viewer@example.com")
    assert user is not None
    kept = {one.id for one in site.ledger.sessions.of_user(user.id)}
    from flask.sessions import SecureCookieSessionInterface

    [value] = client.cookies.values()
    signer = SecureCookieSessionInterface()
    app = type("App", (), {"secret_key": site.ledger.sessions.key(), "config": {"SECRET_KEY_FALLBACKS": None}})
    held = signer.get_signing_serializer(app).loads(value)  # type: ignore[arg-type,union-attr]
    assert hashed(held["sid"]) in kept
    assert held.keys() == {"sid", "csrf_token", "_permanent"}
    assert "example.com" not in json.dumps(held)


def test_a_file_is_taken_that_is_larger_than_a_callback(site: Site) -> None:
    operator = site.role(OPERATOR)
    operator.get("/customers")
    rows = "phone,email\n" + "".join(f"+1415555{n % 10_000:04},p{n}@example.com\n" for n in range(60_000))
    files = {"file": ("crm.csv", rows)}
    address = f"{site.url}/customers/uploads"
    answer = operator.http.post(
        address, data={"csrf_token": operator.token}, files=files, allow_redirects=False, timeout=HANGS_AFTER_SECONDS
    )
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/customers/jobs/")
    [kept] = site.ledger.job_files.of_job(int(answer.headers["Location"].rpartition("/")[2]))
    assert kept.size == len(rows)


def large(cookies: str = "", target: str = "/customers/uploads") -> bytes:
    """The header of a request with a body of a megabyte, whose sender waits to be let in."""
    lines = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 1000000", "Expect: 100-continue"]
    return "\r\n".join([*lines, *([f"Cookie: {cookies}"] if cookies else []), "", ""]).encode()


def carried(client: Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def test_nobody_who_is_not_signed_in_has_a_large_body_waited_for(site: Site) -> None:
    anybody, gone = site.anybody(), site.anybody()
    anybody.get("/login")
    gone.sign_in("viewer@example.com")
    over = carried(gone)
    assert gone.post("/logout").status_code == 303
    signed_in = carried(site.role(VIEWER))
    strangers = ["", carried(anybody), over, "offhook=x.y.z", signed_in[:-1], f"x{signed_in}"]
    assert all("offhook=" in cookies for cookies in strangers[1:])
    for cookies in strangers:
        for target in ("/customers/uploads", "/login", "/nowhere"):
            answer = ask(site.web.port, large(cookies, target))
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert b"Only somebody who is signed in may send as much" in answer.body
    assert "large_of_nobody" in site.web.log


def test_large_requests_hold_no_more_memory_than_so_many_may_and_strangers_take_no_place(site: Site) -> None:
    """Their bytes are held: without a limit they could fill the memory, and callbacks would be lost."""
    port, cookies = site.web.port, carried(site.role(OPERATOR))
    with ExitStack() as held:
        for _ in range(6):
            held.enter_context(Raw(port)).send(large())
        let_in = [held.enter_context(Raw(port)).send(large(cookies)) for _ in range(2)]
        assert [raw.answer().status for raw in let_in] == [100, 100]
        assert ask(port, large(cookies)).status == 503  # all places are taken
        assert ask(port, large()).status == 413  # which is no stranger's business
        assert site.anybody().get("/login").status_code == 200
        for raw in let_in:
            assert b"A file may have" in raw.send(b"x" * 1_000_000).answer().body  # the page's word, once all is here
        again = held.enter_context(Raw(port)).send(large(cookies))
        assert again.answer().status == 100
        assert again.send(b"x" * 1_000_000).answer().status == 413
