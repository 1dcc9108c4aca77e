"""The demonstration's month of calls, and the link to it, which nothing that is configured or reachable can have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from offhook.adapters.commands import demonstration
from offhook.adapters.recordings.format import Record
from offhook.adapters.recordings.month import month
from offhook.adapters.recordings.replay import Tape
from offhook.adapters.rockerbox.sandbox import Sandbox
from offhook.pipeline.counting import figures
from offhook.pipeline.story import Verdict
from offhook.pipeline.users import Role
from tests.support.dashboard import Site, add_user
from tests.support.demonstration import RECORDED, service_of
from tests.support.readers import NEVER, said_of_parts, words

pytestmark = pytest.mark.mostly("sqlite")
NOW = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)


def recorded() -> list[Record]:
    tape = Tape.of_files([RECORDED])
    return [tape.read(number) for number in range(len(tape))]


def test_a_month_ends_now_has_fewer_calls_at_weekends_and_is_the_same_each_time() -> None:
    days = list(month(recorded(), days=30, calls_a_day=40, ends_at=NOW, seed=1))
    again = list(month(recorded(), days=30, calls_a_day=40, ends_at=NOW, seed=1))
    assert [[record.form for record in day] for day in days] == [[record.form for record in day] for day in again]
    assert len(days) == 30
    assert NOW - timedelta(hours=4) < days[-1][-1].received_at <= NOW
    sids = [dict(record.form or ())["CallSid"] for day in days for record in day]
    assert len(set(sids)) > 500
    sunday, monday = days[-4], days[-3]  # NOW is a Wednesday
    assert len(sunday) < len(monday)
    assert days != list(month(recorded(), days=30, calls_a_day=40, ends_at=NOW, seed=2))


def test_each_page_has_something_to_see(filled: Site) -> None:
    now = filled.ledger.clock()
    found = figures(filled.ledger.tallies.between(now - timedelta(days=31), now + timedelta(hours=1)))
    for verdict in Verdict:
        assert found.by_outcome[verdict] > 0, verdict
    assert len(found.by_reason) >= 8
    assert len(found.by_number) >= 3
    assert filled.ledger.stories.conversion_counts()["pending"] >= 2
    assert found.by_reason["unfinished"] == 1


def test_no_page_of_it_has_a_word_of_the_ledgers(filled: Site) -> None:
    admin = filled.role(Role.ADMIN)
    lists = [f"/calls?outcome={verdict.value}" for verdict in Verdict]
    newest = [re.findall(r'href="(/calls/CA[0-9a-f]{32})', admin.get(path).text)[:1] for path in lists]
    assert all(newest)
    pages = [*lists, *chain(*newest), "/?range=30d", "/deliveries", "/deliveries?show=done", "/unknown", "/customers"]
    for path in (*pages, "/rules", "/rockerbox", "/audit", "/account"):
        answer = admin.get(path)
        assert (answer.status_code, NEVER.findall(words(answer.text) + said_of_parts(answer.text))) == (200, []), path


def test_a_month_is_made_up_only_in_a_new_database_on_this_machine_that_sends_to_its_own_sandbox(
    database_url: str,
) -> None:
    with Sandbox() as sandbox, Sandbox() as another:
        wrong = [
            {"PUBLIC_URL": "https://calls.example.com"},
            {"ROCKERBOX_URL": "https://webhooks.getrockerbox.com/webhook/data"},
            {"ROCKERBOX_URL": f"{another.url}/webhook/data"},
        ]
        for changes in wrong:
            service = service_of(database_url, sandbox, **changes)
            for made_up in (
                lambda one: demonstration.fill(one, sandbox, RECORDED, NOW),
                lambda one: demonstration.link(one, sandbox),
            ):
                with pytest.raises(demonstration.NotADemonstration):
                    made_up(service)
            assert not service.ledger.invites.any_open(service.ledger.clock())
            assert service.ledger.stories.latest_callback_at() is None
            service.ledger.close()


def test_nobody_gets_a_link_to_a_database_that_has_a_user(sqlite_template: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/used.db"
    Path(url.removeprefix("sqlite:///")).write_bytes(Path(sqlite_template.removeprefix("sqlite:///")).read_bytes())
    with Sandbox() as sandbox:
        service = service_of(url, sandbox)
        assert demonstration.link(service, sandbox).startswith("http://127.0.0.1:9/invite/")
        add_user(service.ledger, "ann@example.com", Role.VIEWER, None)
        with pytest.raises(demonstration.NotADemonstration):
            demonstration.link(service, sandbox)
        service.ledger.close()
