"""Set-up: what it shows of health, versions and settings to whom, in a reader's words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from offhook.pipeline.health import fact_lines
from offhook.pipeline.users import Role
from tests.support.browsing import ANN, BO, Browsing, browsing
from tests.support.ledger import change, count, query
from tests.support.readers import NEVER, words
from tests.test_dashboard_words import PAGES


@pytest.fixture
def site(database_url: str) -> Iterator[Browsing]:
    found = browsing(database_url)
    yield found
    found.service.ledger.close()


def test_the_database_stands_with_its_version_and_each_fact_with_words_of_its_own(site: Browsing) -> None:
    said = words(site.person(Role.VIEWER).get("/setup").text)
    assert re.search(r"Database (SQLite|Postgres) \d+\.\d+", said)
    _, facts = site.app.extensions["offhook.dashboard"].ready()
    shown = {one.name for one in fact_lines(facts)}
    assert "Why nothing is worked on" in shown  # no worker runs here
    assert shown & {name.replace("_", " ") for name in facts} == set()
    assert not NEVER.search(said), NEVER.search(said)


@pytest.mark.mostly("sqlite")
def test_an_admin_sees_what_was_done_last_and_nobody_else_does(site: Browsing) -> None:
    admin = site.person(Role.ADMIN)
    for number in range(11):
        admin.post("/setup/users/invite", page="/setup", email=f"viewer{number}@example.com")
    lines = words(admin.get("/setup").text.partition('id="audit"')[2])
    assert re.findall(r"link made viewer(\d+)@", lines) == [str(number) for number in range(10, 0, -1)]
    assert 'href="/audit"' in admin.get("/setup").text.partition('id="audit"')[2]
    assert 'id="audit"' not in site.person(Role.OPERATOR).get("/setup").text


def test_a_page_that_says_whether_it_works_writes_nothing(site: Browsing, database_url: str) -> None:
    viewer = site.person(Role.VIEWER)
    said = [words(viewer.get(path).text) for path in ("/", "/overview/now", "/setup")]
    assert ["Ready for calls" in one for one in said] == [True, True, True]
    assert count(database_url, "counters", "name LIKE 'ready_mark_%'") == 0


@pytest.mark.mostly("sqlite")
def test_no_page_that_is_looked_at_asks_anything_by_the_connections_of_intake(site: Browsing) -> None:
    site.know(ANN, "ann@example.com")
    site.call(1)
    site.call(2, caller=BO)
    site.call(3, seconds=5)
    admin, asked = site.person(Role.ADMIN), list[str]()
    event.listen(site.service.ledger.database.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    assert {path: admin.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)
    assert asked == []


@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_a_page_says_that_a_database_takes_no_writes(site: Browsing, database_url: str) -> None:
    viewer = site.person(Role.VIEWER)
    name = query(database_url, "SELECT current_database() AS name")[0]["name"]
    change(database_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    site.app.extensions[
        "offhook.dashboard"
    ].reads.database.engine.dispose()  # sessions that began before know nothing of it
    assert "takes no writes" in words(viewer.get("/setup").text)
