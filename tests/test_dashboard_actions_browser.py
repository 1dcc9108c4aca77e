"""Each action of the dashboard, used in a real Chromium as the least role that may: found on its page, filled in, done, and said so
in a sentence, without a word in the console. One running service for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.jobs import FileRole
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.tokens import new_token
from offhook.pipeline.users import AuditLine, Role, User
from tests.conftest import give_tables
from tests.support.browser import page_of
from tests.support.browsing import ACCOUNT, RULES, browsing
from tests.support.dashboard import PASSWORD, Site, add_user
from tests.test_dashboard_audited import ACTIONS, LIST, NOTHING_DONE, Scene

VIEWER, OPERATOR, ADMIN = Role
ELSEWHERE = {"POST /login/oidc"}  # in test_dashboard_single_sign_on.py, where there is a provider


@dataclass
class Desk:
    """A page in a browser, and what an action needs to be there."""

    page: Any
    scene: Scene
    site: Site

    def opens(self, address: str) -> Any:
        """The part of the page that people work in."""
        self.page.goto(address)
        return self.page.locator("main")

    def signs_in(self, user: User) -> None:
        """As somebody of whose session no other test knows."""
        client = self.site.anybody()
        assert client.sign_in(user.email).status_code == 303
        self.page.context.add_cookies(
            [{"name": n, "value": v, "url": self.site.url} for n, v in client.cookies.items()]
        )


def confirm(where: Any, label: str, yes: str = "Yes", **fields: str) -> None:
    """Open what asks first, fill in its fields, and press its button."""
    asks = where.locator("details.confirm", has=where.page.locator("summary", has_text=label)).first
    asks.locator("summary").click()
    for name, value in fields.items():
        asks.locator(f"[name={name}]").fill(value)
    asks.get_by_role("button", name=yes, exact=True).click()


def row_of(where: Any, text: str) -> Any:
    return where.locator("tr", has_text=text)


Use = Callable[[Desk], None]


@dataclass(frozen=True)
class Action:
    """`says` is read afterwards in the page; of a file it is what its name begins with. `role` is None for nobody."""

    role: Role | None
    use: Use
    says: str
    is_file: bool = False


def signs_in(desk: Desk) -> None:
    user = add_user(desk.scene.ledger, "comes@example.com", VIEWER)
    main = desk.opens("/login")
    main.get_by_label("Email").fill(user.email)
    main.get_by_label("Password").fill(PASSWORD)
    main.get_by_role("button", name="Sign in").click()


def signs_out(desk: Desk) -> None:
    desk.signs_in(add_user(desk.scene.ledger, "leaves@example.com", VIEWER))
    desk.opens("/account")
    desk.page.locator("details.menu summary").click()
    desk.page.get_by_role("button", name="Sign out", exact=True).click()


def signs_out_everywhere(desk: Desk) -> None:
    desk.signs_in(add_user(desk.scene.ledger, "leaves.all@example.com", VIEWER))
    confirm(desk.opens("/account"), "Sign out everywhere")


def follows_link(desk: Desk) -> None:
    desk.opens(desk.scene.link("guest@example.com")).get_by_role("button", name="Come in").click()


def chooses_zone(desk: Desk) -> None:
    main = desk.opens("/account")
    main.get_by_label("Show times of").select_option("Europe/Vienna")
    main.get_by_role("button", name="Use it").click()


def changes_password(desk: Desk) -> None:
    desk.signs_in(add_user(desk.scene.ledger, "changes@example.com", VIEWER))
    main = desk.opens("/account")
    main.get_by_label("The password of now").fill(PASSWORD)
    main.get_by_label("The new one").fill("another walk by the sea")
    main.get_by_role("button", name="Change it").click()


def reveals(desk: Desk) -> None:
    made = desk.scene.unknown()
    desk.opens(f"/calls/{made}").get_by_role("button", name="Show", exact=True).first.click()
    desk.page.locator(".revealed").wait_for()


def on_call(make: Callable[[Scene], str], label: str, yes: str, **fields: str) -> Use:
    return lambda desk: confirm(desk.opens(f"/calls/{make(desk.scene)}"), label, yes, **fields)


def refused_of_who_changed(scene: Scene) -> str:
    made = scene.refused("+14155558010")
    scene.site.know("+14155558010", "cy.two@example.com")
    return made


def adds_unknown(desk: Desk) -> None:
    made = desk.scene.unknown()
    row = desk.opens("/unknown?order=latest").locator("tr", has=desk.page.locator(f'a[href*="{made}"]'))
    confirm(row, "Add the customer", "Add", email="a@example.com")


def downloads_unknown(desk: Desk) -> None:
    desk.scene.unknown()
    confirm(desk.opens("/unknown"), "Download the list to fill in", "Download")


def adds_customer(desk: Desk) -> None:
    main = desk.opens("/customers")
    main.get_by_label("Phone", exact=True).fill("+1 415 555 8003")
    main.get_by_label("Customer id", exact=True).fill("C-9")
    main.get_by_role("button", name="Add", exact=True).click()


def uploads(desk: Desk) -> None:
    main = desk.opens("/customers")
    main.get_by_label("File", exact=True).set_input_files(
        {"name": "crm.csv", "mimeType": "text/csv", "buffer": LIST.encode()}
    )
    main.get_by_role("button", name="Look at it").click()


def on_looked_at(label: str, yes: str) -> Use:
    return lambda desk: confirm(desk.opens(f"/customers/jobs/{desk.scene.looked_at()}"), label, yes)


def undoes(desk: Desk) -> None:
    brought = Brought(Source.IMPORT, "crm.csv", run=str(next(desk.scene.numbers)))
    desk.scene.ledger.merge_customers([Customer("+14155558002", "di@example.com", None)], brought)
    [line] = desk.scene.ledger.history.imports(1)
    confirm(desk.opens(f"/customers/imports/{line.id}"), "Take it back", "Take it back")


def stops(desk: Desk) -> None:
    desk.scene.job()
    confirm(desk.opens("/rockerbox").locator("#work-qa"), "Stop it", "Stop it")


def takes_qa(desk: Desk) -> None:
    made = desk.scene.job()
    desk.scene.work()
    [file] = [one for one in desk.scene.ledger.job_files.of_job(made) if one.role is FileRole.RESULT]
    form = desk.opens("/rockerbox").locator("details.confirm", has=desk.page.locator(f'form[action$="/{file.id}"]'))
    form.locator("summary").click()
    form.get_by_role("button", name="Download", exact=True).click()


def previews(desk: Desk) -> None:
    made = desk.scene.refused()
    main = desk.opens("/deliveries")
    main.get_by_label(f"Pick {made}").check()
    main.get_by_role("button", name="Send the picked ones again").click()


def sends_again(desk: Desk) -> None:
    made = desk.scene.refused()
    main = desk.opens("/deliveries")
    confirm(main.locator("tr", has=desk.page.locator(f'input[value="{ACCOUNT}/{made}"]')), "Send again", "Send again")


def tries_out(desk: Desk) -> None:
    main = desk.opens("/rules")
    main.get_by_label("A file of rules").set_input_files(
        {"name": "new.toml", "mimeType": "text/plain", "buffer": RULES.encode()}
    )
    main.get_by_role("button", name="Try them").click()


def writes_qa(desk: Desk) -> None:
    main = desk.opens("/rockerbox")
    main.get_by_label("Month").fill("2026-10")
    main.get_by_role("button", name="Write the file").click()


def checks(desk: Desk) -> None:
    for _ in range(3):  # more than this service's pages look at
        desk.scene.refused()
    desk.opens("/rockerbox").get_by_role("button", name="Have all of them checked by a worker").click()


def invites(desk: Desk) -> None:
    main = desk.opens("/setup")
    main.get_by_label("Email").last.fill("new@example.com")
    main.get_by_role("button", name="Make a link of one use").click()


def to_user(label: str, *, disabled: bool = False) -> Use:
    def use(desk: Desk) -> None:
        ledger = desk.scene.ledger
        user = ledger.users.with_email(desk.scene.site.person(VIEWER).email)  # who is signed in
        if disabled:
            assert ledger.users.disable(user.id, ledger.clock(), _line(desk, "user disabled"))
        confirm(row_of(desk.opens("/setup"), user.email), label, "Set it" if label == "Role" else "Yes")

    return use


def makes_token(desk: Desk) -> None:
    main = desk.opens("/setup")
    main.get_by_label("Name", exact=True).fill("crm")
    main.get_by_label("calls:read").check()
    main.get_by_role("button", name="Make it").click()


def revokes(desk: Desk) -> None:
    desk.scene.ledger.tokens.add(new_token("shop", ["calls:read"], desk.scene.ledger.clock())[0], _line(desk, "made"))
    confirm(row_of(desk.opens("/setup"), "shop"), "Revoke")


def _line(desk: Desk, what: str) -> AuditLine:
    return AuditLine(desk.scene.ledger.clock(), "test", what, "", "test")


def on_calls(label: str, yes: str) -> Use:
    return lambda desk: confirm(desk.opens("/calls"), label, yes)


USES: Mapping[str, Action] = {
    "POST /login": Action(None, signs_in, "comes@example.com, viewer"),
    "POST /logout": Action(None, signs_out, "Sign in"),
    "POST /invite/<secret>": Action(None, follows_link, "guest@example.com, viewer"),
    "POST /account/zone": Action(VIEWER, chooses_zone, "Times are of Europe/Vienna now."),
    "POST /account/password": Action(
        None, changes_password, "The password is changed, and every other session has ended."
    ),
    "POST /account/sign-out-everywhere": Action(None, signs_out_everywhere, "You are signed out everywhere."),
    "POST /reveal": Action(OPERATOR, reveals, "+1415555"),
    "POST /calls.csv": Action(OPERATOR, on_calls("CSV with numbers and emails", "Download"), "calls", is_file=True),
    "POST /calls/files": Action(
        OPERATOR, on_calls("Have a worker write a file", "Write it"), "A worker writes the file now."
    ),
    "POST /calls/<call_sid>/customer": Action(
        OPERATOR,
        on_call(Scene.unknown, "Add this customer", "Add", email="a@example.com"),
        "The customer is added, and 1 call",
    ),
    "POST /calls/<call_sid>/decide": Action(
        OPERATOR, on_call(Scene.too_short, "Decide again", "Decide again"), "It was decided again."
    ),
    "POST /calls/<call_sid>/retry": Action(
        OPERATOR, on_call(Scene.refused, "Send again", "Send again"), "It is sent again in a moment."
    ),
    "POST /calls/<call_sid>/rebuild": Action(
        OPERATOR,
        on_call(refused_of_who_changed, "Decide again and send", "Decide again and send"),
        "It was decided again, and is sent in a moment.",
    ),
    "POST /unknown.csv": Action(OPERATOR, downloads_unknown, "unknown", is_file=True),
    "POST /unknown/<call_sid>/customer": Action(OPERATOR, adds_unknown, "The customer is added, and 1 call"),
    "POST /customers": Action(OPERATOR, adds_customer, "The customer is added."),
    "POST /customers/uploads": Action(OPERATOR, uploads, "What crm.csv would change"),
    "POST /customers/jobs/<job_id>/import": Action(OPERATOR, on_looked_at("Import it", "Import"), "Import of crm.csv"),
    "POST /customers/jobs/<job_id>/rejected.csv": Action(
        OPERATOR, on_looked_at("Download the rows that were not used", "Download"), "rejected", is_file=True
    ),
    "POST /customers/imports/<import_id>/undo": Action(OPERATOR, undoes, "It is being taken back."),
    "POST /jobs/<job_id>/stop": Action(OPERATOR, stops, "It stops in a moment. What was done until then stays done."),
    "POST /jobs/files/<file_id>": Action(OPERATOR, takes_qa, "rockerbox-qa", is_file=True),
    "POST /deliveries/preview": Action(OPERATOR, previews, "What would be sent again"),
    "POST /deliveries/retry": Action(OPERATOR, sends_again, "1 is sent again in a moment."),
    "POST /rules/backtest": Action(ADMIN, tries_out, "A worker goes through the calls now."),
    "POST /rockerbox/qa": Action(OPERATOR, writes_qa, "A worker writes the file now."),
    "POST /rockerbox/checks": Action(OPERATOR, checks, "A worker looks at all of them now."),
    "POST /setup/users/invite": Action(ADMIN, invites, "A link of one use; send it to them."),
    "POST /setup/users/<user_id>/role": Action(ADMIN, to_user("Role"), "is viewer now."),
    "POST /setup/users/<user_id>/disable": Action(ADMIN, to_user("Disable"), "may no longer come in."),
    "POST /setup/users/<user_id>/enable": Action(ADMIN, to_user("Enable", disabled=True), "may come in again."),
    "POST /setup/users/<user_id>/sign-out": Action(ADMIN, to_user("Sign out"), "1 session of viewer-"),
    "POST /setup/users/<user_id>/remove": Action(ADMIN, to_user("Remove"), "is removed."),
    "POST /setup/tokens": Action(ADMIN, makes_token, "The new token. It is shown this once: offhook_"),
    "POST /setup/tokens/revoke": Action(ADMIN, revokes, 'The token "shop" is revoked.'),
}


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Scene]]:
    folder = tmp_path_factory.mktemp("actions")
    url = give_tables(f"sqlite:///{folder}/offhook.db", request)
    site, inside = Site(url, folder, OFFHOOK_RULES=RULES, OFFHOOK_DASHBOARD_AT_ONCE="2"), browsing(url)
    site.web.start()
    yield site, Scene(inside)
    site.close()
    inside.service.ledger.close()


def test_each_action_is_used() -> None:
    assert USES.keys() == (ACTIONS.keys() | NOTHING_DONE) - ELSEWHERE


IN_SOAK = {
    route for route in USES if route.startswith("POST /setup/users/<user_id>") and not route.endswith("/sign-out")
}
# What another test in a browser uses by the way, and what is as another one here.
IN_SOAK |= {
    "POST /login",
    "POST /logout",
    "POST /account/sign-out-everywhere",
    "POST /reveal",
    "POST /calls/files",
    "POST /calls/<call_sid>/customer",
    "POST /calls/<call_sid>/retry",
    "POST /unknown.csv",
    "POST /unknown/<call_sid>/customer",
    "POST /customers/uploads",
    "POST /customers/jobs/<job_id>/import",
    "POST /jobs/files/<file_id>",
    "POST /deliveries/preview",
    "POST /deliveries/retry",
    "POST /rules/backtest",
    "POST /rockerbox/qa",
    "POST /setup/users/invite",
    "POST /setup/tokens",
    "POST /setup/tokens/revoke",
}


@pytest.mark.parametrize(
    "route", [pytest.param(route, marks=[pytest.mark.soak] if route in IN_SOAK else []) for route in USES]
)
def test_an_action_is_found_used_and_said_to_be_done(browser: Any, running: tuple[Site, Scene], route: str) -> None:
    site, scene = running
    action = USES[route]
    with page_of(browser, site, action.role) as page:
        sent = []
        page.on(
            "request", lambda request: sent.append(urlsplit(request.url).path) if request.method == "POST" else None
        )
        if action.is_file:
            with page.expect_download() as found:
                action.use(Desk(page, scene, site))
            assert found.value.suggested_filename.startswith(action.says)
        else:
            action.use(Desk(page, scene, site))
            page.get_by_text(action.says).first.wait_for(state="attached")
            assert action.says in page.locator("body").text_content()
        match = scene.site.app.url_map.bind("localhost").match
        assert [f"POST {match(path, 'POST', return_rule=True)[0].rule}" for path in sent] == [route]


# By the keyboard alone: keys that are pressed, and nothing that a script puts the focus on

_FOCUS = """() => {
    const at = document.activeElement, look = getComputedStyle(at), box = at.getBoundingClientRect()
    const isSeen = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) >= 2 && box.bottom > 0 && box.top < innerHeight
        && box.right > 0 && box.left < innerWidth
    const name = at.getAttribute('aria-label') || at.labels?.[0]?.textContent || at.textContent || ''
    return [at === document.body ? '' : at.tagName.toLowerCase(), name.replace(/\\s+/g, ' ').trim(), isSeen]
}"""
_MOST_STOPS = 150


def tabs_to(page: Any, tag: str, name: str) -> None:
    """Press Tab until this has the focus. Wherever it is on the way, it is seen."""
    for _ in range(_MOST_STOPS):
        page.keyboard.press("Tab")
        at, said, is_seen = page.evaluate(_FOCUS)
        assert is_seen or not at, (at, said)
        if at == tag and said.startswith(name):
            return
    raise AssertionError(f"nobody gets to {tag} {name!r} of {page.url}")


def comes_in(page: Any, email: str) -> None:
    page.goto("/")
    page.locator("#email:focus").wait_for()  # a moment after the page is there
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("search").wait_for()


def test_why_a_call_is_not_in_rockerbox_is_answered_by_the_keyboard_alone(
    browser: Any, running: tuple[Site, Scene]
) -> None:
    site, scene = running
    scene.site.call(900, caller="+14155559001", seconds=1)
    with page_of(browser, site) as page:
        comes_in(page, "viewer@example.com")
        tabs_to(page, "a", "Skip to the page")
        tabs_to(page, "input", "Search")
        page.keyboard.type("(415) 555-9001")
        page.keyboard.press("Enter")
        page.locator("h1.verdict").wait_for()
        assert "Does not count: This call is not in Rockerbox because it lasted 1 s" in page.locator("h1").inner_text()
        tabs_to(page, "a", "Skip to the page")
        page.keyboard.press("Enter")
        tabs_to(page, "a", "Calls")  # the first link of the page, and none of the header's
        assert page.evaluate("document.activeElement.closest('main') !== null")
        page.keyboard.press("Enter")
        page.wait_for_url("**/calls")
        tabs_to(page, "select", "Time")
        page.keyboard.press("ArrowUp")  # from all time
        tabs_to(page, "summary", "Columns")
        page.keyboard.press("Space")
        tabs_to(page, "input", "Reason")
        page.keyboard.press("Space")
        tabs_to(page, "button", "Show")
        page.keyboard.press("Enter")
        page.wait_for_url("**/calls?span=90&**")
        assert "too short" in row_of(page.locator("main"), "Does not count").first.inner_text()


def test_an_unknown_caller_becomes_a_customer_by_the_keyboard_alone(browser: Any, running: tuple[Site, Scene]) -> None:
    site, scene = running
    scene.site.call(901, caller="+14155559002")
    with page_of(browser, site) as page:
        comes_in(page, "operator@example.com")
        tabs_to(page, "a", "Unknown callers")
        page.keyboard.press("Enter")
        page.wait_for_url("**/unknown")
        tabs_to(page, "a", "Latest")
        page.keyboard.press("Enter")
        page.wait_for_url("**/unknown?order=latest")
        tabs_to(page, "summary", "Add the customer")
        page.keyboard.press("Enter")
        tabs_to(page, "input", "Email")
        page.keyboard.type("keys@example.com")
        tabs_to(page, "button", "Add")
        page.keyboard.press("Space")
        page.locator(".flash").wait_for()
        assert "The customer is added, and 1 call was decided again" in page.locator(".flash").inner_text()
    [found] = scene.ledger.find_customers(["+14155559002"]).values()
    assert found.email == "keys@example.com"
