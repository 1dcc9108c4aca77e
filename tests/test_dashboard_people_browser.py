"""The pages of people in a real Chromium: what axe and the console say, and a customer who is added with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.job_files import keep_file
from offhook.pipeline.job_kinds import ImportCustomers, enqueue
from offhook.pipeline.jobs import FileRole
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.users import Role
from offhook.service import job_runner
from tests.conftest import give_tables
from tests.support.browser import holds_in_every_look, keep, page_of
from tests.support.browsing import ANN, BO, RULES, Browsing, browsing
from tests.support.dashboard import Site

CY, DI = "+14155550103", "+14155550104"
LIST = f"phone,email,customer_id,tier\n{ANN},ann@example.com,C-78,gold\n{DI},di@example.com,,\nnobody,x@example.com,,\n"
PAGES = {
    "unknown": "/unknown",
    "unknown-latest": "/unknown?order=latest",
    "customers": "/customers",
    "customer": "/customers?q=ann%40example.com",
    "customers-nobody": "/customers?q=nobody%40example.com",
    "conflicts": "/customers/conflicts",
    "imports": "/customers/imports",
    "import": "/customers/imports/2",
    "looked-at": "/customers/jobs/1",
    "waiting": "/customers/jobs/2",
}


@pytest.fixture(scope="module")
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Browsing]]:
    """ANN is a customer with a history, several have CY, BO is unknown; a list was looked at, and another one waits."""
    folder = tmp_path_factory.mktemp("people")
    url = give_tables(f"sqlite:///{folder}/offhook.db", request)
    site, inside = Site(url, folder, OFFHOOK_RULES=RULES), browsing(url)
    ledger = inside.service.ledger
    for email, name in (("old@example.com", "old.csv"), ("ann@example.com", "crm.csv")):
        ledger.merge_customers([Customer(ANN, email, "C-77")], Brought(Source.IMPORT, name, run=name))
    others = (("cy@example.com", None), ("cyril@example.com", "C-3"))
    ledger.merge_customers(
        [Customer(CY, None, None, people=2, others=others)], Brought(Source.SYNC, "https://crm.example")
    )
    for number, caller in enumerate([ANN, BO, BO, CY], start=1):
        inside.call(number, caller=caller)
    for _ in range(2):
        upload = keep_file(ledger.job_files, FileRole.UPLOAD, "crm.csv", [LIST.encode()], 10_000, ledger.clock())
        enqueue(ledger.jobs, ImportCustomers(upload, dry_run=True), "operator@example.com", ledger.clock())
        if upload == 1:
            assert job_runner(inside.service.settings, ledger, inside.service.judge).once()
    site.web.start()
    yield site, inside
    site.close()
    ledger.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_people_has_no_finding_of_axe_no_console_error_and_fits_its_window(
    browser: Any, people: tuple[Site, Browsing], name: str
) -> None:
    with page_of(browser, people[0], Role.OPERATOR) as page:
        page.goto(PAGES[name])
        keep(page, f"people-{name}-closed")
        page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
        holds_in_every_look(page, f"people-{name}")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_customer_is_added_on_the_list_and_seen_to_leave_it(
    browser: Any, people: tuple[Site, Browsing], scripts: bool
) -> None:
    site, inside = people
    inside.call(21 if scripts else 22, caller="+14155550141" if scripts else "+14155550142")
    with page_of(browser, site, Role.OPERATOR, scripts=scripts) as page:
        page.goto("/unknown?order=latest")
        rows = page.locator("tbody tr")
        before = rows.count()
        rows.first.locator("summary", has_text="Add the customer").click()
        rows.first.locator("input[name=email]").fill("new@example.com")
        rows.first.get_by_role("button", name="Add", exact=True).click()
        page.wait_for_selector(".flash")
        assert "1 call was decided again" in page.locator(".flash").inner_text()
        assert page.url.endswith("/unknown?order=latest")
        assert page.locator("tbody tr").count() == before - 1


def test_a_file_is_uploaded_looked_at_and_imported_while_the_page_waits(
    browser: Any, people: tuple[Site, Browsing]
) -> None:
    site, inside = people
    runner = job_runner(inside.service.settings, inside.service.ledger, inside.service.judge)
    file = {"name": "more.csv", "mimeType": "text/csv", "buffer": b"phone,email\n+14155550151,eve@example.com\n"}
    while runner.once():
        pass
    with page_of(browser, site, Role.OPERATOR) as page:
        page.goto("/customers")
        page.set_input_files("input[type=file]", file)
        page.get_by_role("button", name="Look at it").click()
        page.wait_for_selector("#progress")
        assert runner.once()
        page.wait_for_selector("[data-figure=added]")
        assert page.locator("[data-figure=added]").inner_text() == "1"
        page.locator("summary", has_text="Import it").click()
        page.get_by_role("button", name="Import", exact=True).click()
        page.wait_for_selector("#progress")
        assert runner.once()
        page.wait_for_selector("[data-figure=added]")
        assert "Import of more.csv" in page.locator("h1").inner_text()
    assert inside.service.ledger.find_customers(["+14155550151"])
