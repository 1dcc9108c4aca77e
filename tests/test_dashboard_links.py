"""Links of one use in the wrong hands: too late, too often, at once, and for somebody who is another one by now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from offhook.pipeline.users import AuditLine, Invite, Role, new_secret
from offhook.settings import given
from tests.support.browsing import Browsing, Person, browsing
from tests.support.dashboard import PASSWORD, add_user
from tests.support.readers import TERMINAL, at_once, words

only_sqlite = pytest.mark.mostly("sqlite")


@pytest.fixture
def site(database_url: str) -> Iterator[Browsing]:
    found = browsing(database_url, PUBLIC_URL="https://calls.example.org/")
    found.app.config["SESSION_COOKIE_SECURE"] = False  # the test's client speaks plain HTTP
    yield found
    found.service.ledger.close()


def link(site: Browsing, email: str | None, role: Role = Role.VIEWER, *, minutes: float = 15) -> str:
    """The path of a new link."""
    ledger, now = site.service.ledger, site.service.ledger.clock()
    secret, kept = new_secret()
    made = now - timedelta(days=1)
    invite = Invite(kept, email, role, made, now + timedelta(minutes=minutes))
    ledger.invites.add(invite, AuditLine(now, "test", "link made", email or "the first user", "test"))
    return f"/invite/{secret}"


def follow(client: FlaskClient, path: str, **fields: str) -> int:
    """What is answered to somebody who opens a link and presses its button; a form that cannot be had is left out."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login").text)
    assert token is not None
    return client.post(path, data={"csrf_token": token[1], **fields}).status_code


def may_see(client: FlaskClient, path: str) -> bool:
    return client.get(path).status_code == 200


@only_sqlite
def test_the_first_link_makes_an_admin_with_a_good_password(site: Browsing) -> None:
    path, client = link(site, None, Role.ADMIN), site.app.test_client()
    for email, password in (("x", PASSWORD), ("first@example.com", "short"), ("first@example.com", "password12345")):
        assert follow(client, path, email=email, password=password) == 400
    assert follow(client, path, email="first@example.com", password=PASSWORD) == 303
    assert may_see(client, "/audit")


@only_sqlite
def test_a_link_for_the_first_user_is_none_as_soon_as_there_is_one(site: Browsing) -> None:
    path, client = link(site, None, Role.ADMIN), site.app.test_client()
    assert may_see(client, path)
    add_user(site.service.ledger, "ann@example.com", Role.VIEWER)
    assert client.get(path).status_code == 404
    assert follow(client, path, email="eve@example.com", password=PASSWORD) == 404
    assert [one.email for one in site.service.ledger.users.every()] == ["ann@example.com"]


@only_sqlite
def test_a_link_is_none_after_its_time(site: Browsing) -> None:
    path, client = link(site, "bo@example.com", minutes=-0.01), site.app.test_client()
    assert (client.get(path).status_code, follow(client, path)) == (404, 404)
    assert not may_see(client, "/account")


def test_of_many_who_follow_a_link_at_once_one_comes_in(site: Browsing) -> None:
    path = link(site, "bo@example.com")
    clients = [site.app.test_client() for _ in range(6)]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(lambda client: follow(client, path), clients))
    assert sorted(answers) == [303, 404, 404, 404, 404, 404]
    assert sum(may_see(client, "/account") for client in clients) == 1


@only_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_mails_scanner_that_opens_a_link_does_not_use_it_up(site: Browsing, method: str) -> None:
    path, scanner, bo = link(site, "bo@example.com"), site.app.test_client(), site.app.test_client()
    assert scanner.open(path, method=method).status_code == 200
    assert not may_see(scanner, "/account")
    assert follow(bo, path) == 303


@only_sqlite
def test_a_viewers_link_lets_in_nobody_who_may_more_by_now(site: Browsing) -> None:
    """It is a way in without a password, made for a viewer, and may lie in a mail box for a day."""
    users, client = site.service.ledger.users, site.app.test_client()
    bo = add_user(site.service.ledger, "bo@example.com", Role.VIEWER)
    path = link(site, bo.email)
    users.set_role(bo.id, Role.ADMIN, AuditLine(bo.created_at, "test", "role admin", bo.email, "test"))
    assert follow(client, path) == 403
    assert not may_see(client, "/account")


@only_sqlite
def test_who_came_by_a_link_and_may_more_by_now_learns_how_to_come_in_again(site: Browsing) -> None:
    admin, ledger = site.person(Role.ADMIN), site.service.ledger
    bo, ann = add_user(ledger, "bo@example.com", Role.VIEWER, None), add_user(ledger, "ann@example.com", Role.ADMIN)
    client = site.app.test_client()
    assert follow(client, link(site, bo.email)) == 303
    command = "In a terminal: flask users password --email {} --password-stdin"
    assert "You have none. After this session an admin here makes another link for you." in words(
        client.get("/account").text
    )
    assert post(admin, f"/setup/users/{bo.id}/role", role="operator") == 303
    said = words(client.get("/account").text)
    assert "You have none. A link lets in viewers alone" in said and command.format(bo.email) in said
    said = words(admin.get("/setup").text)
    assert command.format(bo.email) in said and command.format(ann.email) not in said
    for someone, role in ((bo, "operator"), (ann, "admin")):
        refused = admin.post("/setup/users/invite", page="/setup", email=someone.email)
        said = words(refused.text)
        assert refused.status_code == 409
        assert f"A link lets in viewers alone, and {someone.email} is {role}." in said
        assert command.format(someone.email) in said.partition("Health")[0]
    assert not TERMINAL.search(at_once(refused.text).partition("Health")[0])
    assert post(admin, f"/setup/users/{bo.id}/role", role="viewer") == 303
    assert post(admin, f"/setup/users/{bo.id}/disable") == 303
    refused = admin.post("/setup/users/invite", page="/setup", email=bo.email)
    assert refused.status_code == 303
    assert f"{bo.email} is disabled: enable them first." in words(admin.get("/setup").text)


@only_sqlite
@pytest.mark.parametrize("what", ["disable", "remove"])
def test_who_is_shut_out_does_not_come_back_by_a_link_of_before(site: Browsing, what: str) -> None:
    admin, client = site.person(Role.ADMIN), site.app.test_client()
    bo = add_user(site.service.ledger, "bo@example.com", Role.VIEWER)
    path = link(site, bo.email)
    assert post(admin, f"/setup/users/{bo.id}/{what}") == 303
    assert follow(client, path) == 404
    assert not may_see(client, "/account")


@only_sqlite
def test_a_link_leads_to_the_address_that_is_set_whatever_the_request_says(site: Browsing) -> None:
    """A proxy that ends TLS makes it http, and a forged Host leads elsewhere: the secret would go there."""
    admin = site.person(Role.ADMIN)
    token = re.search(r'name="csrf_token" value="([^"]+)"', admin.get("/setup").text)
    assert token is not None
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    form = {"csrf_token": token[1], "email": "bo@example.com"}
    # The test's client sends its cookie to its own host alone, so that what carries it is written out.
    [cookie] = [f"{one.key}={one.value}" for one in [admin.client.get_cookie("__Host-offhook")] if one]
    page = site.app.test_client(use_cookies=False).post(
        "/setup/users/invite", data=form, headers={**forged, "Cookie": cookie}
    )
    assert "https://calls.example.org/invite/" in page.text
    assert "evil.example" not in page.text


def test_without_an_address_a_link_is_of_this_machine() -> None:
    assert given({"PORT": "8123"}).own_url == "http://127.0.0.1:8123"


def post(person: Person, path: str, **fields: Any) -> int:
    return int(person.post(path, page="/setup", **fields).status_code)
