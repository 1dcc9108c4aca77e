"""Each action of the dashboard that is carried out is one line of the audit: who, what, of what, from where. What is refused is
none, or the line of its refusal. What is new is found by itself, in the app's own map of addresses.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.job_kinds import QaFile, enqueue
from offhook.pipeline.jobs import FileRole
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.tokens import new_token
from offhook.pipeline.users import AuditFilter, AuditLine, Invite, Role, User, new_secret
from offhook.service import job_runner
from tests.support.browsing import ACCOUNT, RULES, Browsing, Person, browsing, sid
from tests.support.dashboard import PASSWORD, add_user
from tests.support.ledger import change
from tests.test_dashboard_doors import ANSWERS

VIEWER, OPERATOR, ADMIN = Role
NOBODY = "unknown"
LIST = "phone,email,customer_id\n+14155558001,ann@example.com,C-1\nno number,bo@example.com,\n"
Lines = Sequence[tuple[str, str]]


@dataclass
class Scene:
    """A dashboard, and what each action needs: of its own, so that none depends on another."""

    site: Browsing
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    answer: Any = None
    written: Sequence[AuditLine] = ()

    @property
    def ledger(self) -> Any:
        return self.site.service.ledger

    def post(self, person: Person, path: str, page: str = "/account", **fields: Any) -> str:
        """Who it was, as the audit has it. `written` are the lines of it, the oldest first, without those of what prepared it."""
        before = self.ledger.audit.lines(AuditFilter(), None, 1)[0].seq
        self.answer = person.post(path, page=page, **fields)
        lines = self.ledger.audit.lines(AuditFilter(), None, 20)
        self.written = [one for one in reversed(lines) if one.seq > before]
        return person.email

    def unknown(self) -> str:
        """The CallSid of a call that waits for a customer."""
        number = next(self.numbers)
        return self.site.call(number, caller=f"+1415555{1000 + number}")

    def too_short(self) -> str:
        return self.site.call(next(self.numbers), seconds=1)

    def refused(self, caller: str = "+14155558009") -> str:
        """The CallSid of a call that Rockerbox refused."""
        return self.site.refused(next(self.numbers), caller=caller)

    def user(self, role: Role = VIEWER) -> User:
        return add_user(self.ledger, f"user{next(self.numbers)}@example.com", role, None)

    def with_password(self) -> Person:
        """Somebody who has signed in by a password."""
        known = add_user(self.ledger, f"user{next(self.numbers)}@example.com", VIEWER)
        person = Person(self.site.app.test_client(), known.email)
        person.post("/login", page="/login", email=known.email, password=PASSWORD)
        return person

    def anybody(self, email: str = NOBODY) -> Person:
        return Person(self.site.app.test_client(), email)

    def link(self, email: str) -> str:
        secret, kept = new_secret()
        now = self.ledger.clock()
        line = AuditLine(now, "test", "link made", email, "test")
        self.ledger.invites.add(Invite(kept, email, VIEWER, now, now + timedelta(hours=1)), line)
        return f"/invite/{secret}"

    def job(self) -> int:
        return enqueue(self.ledger.jobs, QaFile("2026-10"), "test", self.ledger.clock())

    def work(self) -> None:
        service = self.site.service
        runner = job_runner(service.settings, service.ledger, service.judge)
        while runner.once():
            pass

    def uploaded(self, text: str) -> str:
        return self.post(self.site.person(OPERATOR), "/customers/uploads", file=(io.BytesIO(text.encode()), "crm.csv"))

    def looked_at(self) -> int:
        """The job that has looked at a file of customers."""
        self.uploaded(LIST)
        self.work()
        return int(self.answer.headers["Location"].rpartition("/")[2])


Did = tuple[str, Lines]
"""Who did it, and the lines that this is."""
Act = Callable[[Scene], Did]


@pytest.fixture(scope="module")
def scene(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    file = tmp_path_factory.mktemp("audited") / "offhook.db"
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), file)
    more = {"OFFHOOK_SIGN_IN_ADDRESS_TRIES": "100000", "OFFHOOK_UPLOAD_MAX_BYTES": "1024"}
    found = browsing(f"sqlite:///{file}", **more)
    yield Scene(found)
    found.service.ledger.close()


def signs_in(scene: Scene) -> Did:
    known = add_user(scene.ledger, f"user{next(scene.numbers)}@example.com", VIEWER)
    scene.post(scene.anybody(), "/login", "/login", email=known.email, password=PASSWORD)
    return known.email, [("sign in", "password")]


def changes_password(scene: Scene) -> Did:
    """Two things happen: the password is another one, and every session has ended, so that a new one begins."""
    person = scene.with_password()
    who = scene.post(person, "/account/password", old=PASSWORD, new="another walk by the sea")
    return who, [("password changed", who), ("sign in", "password changed")]


def follows_link(scene: Scene) -> Did:
    """Two things happen: there is a user more, and that one is in."""
    email = f"user{next(scene.numbers)}@example.com"
    path = scene.link(email)
    scene.post(scene.anybody(), path, path)
    return email, [("user added by link", email), ("sign in", "link")]


def as_(role: Role, path: str, *lines: tuple[str, str], **fields: Any) -> Act:
    return lambda scene: (scene.post(scene.site.person(role), path, **fields), lines)


def of_call(what: str, make: Callable[[Scene], str], line: str, **fields: Any) -> Act:
    def act(scene: Scene) -> Did:
        made = make(scene)
        return scene.post(scene.site.person(OPERATOR), what.format(sid=made), **fields), [(line, made)]

    return act


def reveals(scene: Scene) -> Did:
    made = scene.unknown()
    return scene.post(scene.site.person(OPERATOR), "/reveal", kind="caller", of=made), [("reveal caller", made)]


def rebuilds(scene: Scene) -> Did:
    made = scene.refused("+14155558010")
    scene.site.know("+14155558010", "cy.two@example.com")
    return scene.post(scene.site.person(OPERATOR), f"/calls/{made}/rebuild"), [("decide again and send", made)]


def sends_picked(scene: Scene) -> Did:
    made = scene.refused()
    who = scene.post(scene.site.person(OPERATOR), "/deliveries/retry", "/deliveries", key=f"{ACCOUNT}/{made}")
    return who, [("send again", made)]


def reveals_unknown(scene: Scene) -> Did:
    scene.unknown()
    listed = len(scene.ledger.unknown.most_frequent(1000))
    who = scene.post(scene.site.person(OPERATOR), "/unknown.csv")
    return who, [("reveal unknown callers", f"a file of {listed} numbers")]


def undoes(scene: Scene) -> Did:
    brought = Brought(Source.IMPORT, "crm.csv", run=str(next(scene.numbers)))
    scene.ledger.merge_customers([Customer("+14155558002", "di@example.com", None)], brought)
    [line] = scene.ledger.history.imports(1)
    who = scene.post(scene.site.person(OPERATOR), f"/customers/imports/{line.id}/undo")
    return who, [("import taken back", f"import {line.id}")]


def uploads(scene: Scene) -> Did:
    return scene.uploaded(LIST), [("customers looked at", "crm.csv")]


def imports(scene: Scene) -> Did:
    path = f"/customers/jobs/{scene.looked_at()}/import"
    return scene.post(scene.site.person(OPERATOR), path), [("customers imported", "crm.csv")]


def takes_rejected(scene: Scene) -> Did:
    job = scene.looked_at()
    who = scene.post(scene.site.person(OPERATOR), f"/customers/jobs/{job}/rejected.csv")
    return who, [("reveal rejected rows", f"job {job}")]


def stops(scene: Scene) -> Did:
    job = scene.job()
    return scene.post(scene.site.person(OPERATOR), f"/jobs/{job}/stop"), [("job stopped", f"job {job}")]


def takes_qa(scene: Scene) -> Did:
    job = scene.job()
    scene.work()
    [file] = [one for one in scene.ledger.job_files.of_job(job) if one.role is FileRole.RESULT]
    return scene.post(scene.site.person(OPERATOR), f"/jobs/files/{file.id}"), [("reveal qa file", file.name)]


def to_user(what: str, line: str, **fields: Any) -> Act:
    def act(scene: Scene) -> Did:
        user = scene.user()
        who = scene.post(scene.site.person(ADMIN), f"/setup/users/{user.id}/{what}", "/setup", **fields)
        return who, [(line, user.email)]

    return act


def revokes(scene: Scene) -> Did:
    scene.ledger.tokens.add(new_token("shop", ["calls:read"], scene.ledger.clock())[0], _line("token made"))
    return scene.post(scene.site.person(ADMIN), "/setup/tokens/revoke", name="shop"), [("token revoked", "shop")]


def tries_out(scene: Scene) -> Did:
    file = (io.BytesIO(RULES.encode()), "new.toml")
    return scene.post(scene.site.person(ADMIN), "/rules/backtest", file=file, days="7"), [("rules tried out", "7 days")]


def _line(what: str) -> AuditLine:
    return AuditLine(datetime.now(UTC), "test", what, "", "test")


ACTIONS: Mapping[str, Act] = {
    "POST /login": signs_in,
    "POST /logout": as_(VIEWER, "/logout", ("sign out", "")),
    "POST /invite/<secret>": follows_link,
    "POST /account/zone": as_(VIEWER, "/account/zone", ("time zone chosen", "Europe/Vienna"), zone="Europe/Vienna"),
    "POST /account/password": changes_password,
    "POST /account/sign-out-everywhere": as_(VIEWER, "/account/sign-out-everywhere", ("sign out everywhere", "")),
    "POST /reveal": reveals,
    "POST /calls.csv": as_(OPERATOR, "/calls.csv", ("reveal calls", "a file of calls; filters: none")),
    "POST /calls/<call_sid>/customer": of_call(
        "/calls/{sid}/customer", Scene.unknown, "customer added", email="a@example.com"
    ),
    "POST /calls/<call_sid>/decide": of_call("/calls/{sid}/decide", Scene.too_short, "decide again"),
    "POST /calls/<call_sid>/retry": of_call("/calls/{sid}/retry", Scene.refused, "send again"),
    "POST /calls/<call_sid>/rebuild": rebuilds,
    "POST /unknown.csv": reveals_unknown,
    "POST /unknown/<call_sid>/customer": of_call(
        "/unknown/{sid}/customer", Scene.unknown, "customer added", email="a@example.com"
    ),
    "POST /customers": as_(
        OPERATOR,
        "/customers",
        ("customer added", mask("+14155558003")),
        phone="+1 415 555 8003",
        email="ed@example.com",
    ),
    "POST /customers/uploads": uploads,
    "POST /customers/jobs/<job_id>/import": imports,
    "POST /customers/jobs/<job_id>/rejected.csv": takes_rejected,
    "POST /customers/imports/<import_id>/undo": undoes,
    "POST /jobs/<job_id>/stop": stops,
    "POST /deliveries/retry": sends_picked,
    "POST /rules/backtest": tries_out,
    "POST /rockerbox/qa": as_(OPERATOR, "/rockerbox/qa", ("qa file asked for", "2026-10"), month="2026-10"),
    "POST /rockerbox/checks": as_(OPERATOR, "/rockerbox/checks", ("conversions checked", "7 days"), check="7"),
    "POST /jobs/files/<file_id>": takes_qa,
    "POST /calls/files": as_(OPERATOR, "/calls/files", ("calls file asked for", "numbers hidden in part")),
    "POST /setup/users/invite": as_(
        ADMIN, "/setup/users/invite", ("link made", "new@example.com"), email="new@example.com"
    ),
    "POST /setup/users/<user_id>/role": to_user("role", "role operator", role="operator"),
    "POST /setup/users/<user_id>/disable": to_user("disable", "user disabled"),
    "POST /setup/users/<user_id>/enable": to_user("enable", "user enabled"),
    "POST /setup/users/<user_id>/sign-out": to_user("sign-out", "sessions ended"),
    "POST /setup/users/<user_id>/remove": to_user("remove", "user removed"),
    "POST /setup/tokens": as_(ADMIN, "/setup/tokens", ("token made", "crm"), name="crm", scope="calls:read"),
    "POST /setup/tokens/revoke": revokes,
}
NOTHING_DONE = {
    "POST /login/oidc",  # leads to the provider; who comes back writes the line: test_dashboard_single_sign_on.py
    "POST /deliveries/preview",  # changes nothing, and shows nobody
}


FILES: Mapping[str, tuple[str, str]] = {
    "/audit.csv": ("/audit.csv?what=send+again&who=ann@example.com", "audit.csv; filters: what, who"),
    "/calls.csv": ("/calls.csv?number=%2B14155550199", "calls.csv; filters: number"),
    "/unknown.csv": ("/unknown.csv", "unknown.csv; filters: none"),
}
"""What leaves in a file by GET -> such an address, and of what its line is."""


def test_each_file_that_is_read_has_a_row(scene: Scene) -> None:
    rules = list(scene.site.app.url_map.iter_rules())
    assert {rule.rule for rule in rules if "GET" in (rule.methods or set()) and "csv" in rule.rule} == FILES.keys()


@pytest.mark.parametrize("file", FILES)
def test_a_list_that_leaves_in_a_file_is_one_line_and_its_head_alone_is_none(scene: Scene, file: str) -> None:
    person, (path, of_what) = scene.site.person(ADMIN), FILES[file]
    assert (person.get(path).status_code, person.client.head(path).status_code) == (200, 200)
    lines = scene.ledger.audit.lines(AuditFilter(who=person.email), None, 20)
    done = [(one.what, one.of_what, one.from_where) for one in lines if one.from_where]  # the fixture's own has none
    assert done == [("file taken", of_what, "127.0.0.1")]


def test_a_file_is_kept_only_after_its_line(sqlite_template: str, tmp_path: Path) -> None:
    """An action without its line never happens: no line can be written here, and nothing is left of the file."""
    file = tmp_path / "offhook.db"
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), file)
    site = browsing(f"sqlite:///{file}")
    operator = site.person(OPERATOR)
    change(f"sqlite:///{file}", "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
    answer = operator.post("/customers/uploads", page="/account", file=(io.BytesIO(LIST.encode()), "crm.csv"))
    assert answer.status_code >= 500
    assert site.service.ledger.job_files.file(1) is None
    site.service.ledger.close()


def test_each_action_has_a_row(scene: Scene) -> None:
    rules = list(scene.site.app.url_map.iter_rules())
    changing = {
        f"{method} {rule.rule}" for rule in rules for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    assert changing == ACTIONS.keys() | NOTHING_DONE


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_one_line_of_who_what_and_from_where(scene: Scene, action: str) -> None:
    began = scene.ledger.clock()
    who, lines = ACTIONS[action](scene)
    assert scene.answer.status_code in (200, 303), scene.answer.text
    assert [(one.what, one.of_what) for one in scene.written] == list(lines)
    assert {(one.who, one.from_where) for one in scene.written} == {(who, "127.0.0.1")}
    assert all(began <= one.at <= scene.ledger.clock() for one in scene.written)
    assert not [one for one in scene.written if re.search(r"\+\d{7}", one.of_what)], "no caller in clear"


def wrong_password(scene: Scene) -> Did:
    known = scene.user()
    scene.post(scene.anybody(), "/login", "/login", email=known.email, password="wrong")
    return known.email, [("sign-in refused", "password")]


def wrong_password_of_now(scene: Scene) -> Did:
    """Somebody who found a browser that was left open, perhaps."""
    who = scene.post(scene.with_password(), "/account/password", old="wrong", new="another walk by the sea")
    return who, [("password change refused", who)]


def link_of_somebody_who_may_more_by_now(scene: Scene) -> Did:
    user = scene.user(ADMIN)
    path = scene.link(user.email)
    scene.post(scene.anybody(), path, path)
    return NOBODY, [("sign-in refused", f"link of {user.email}")]


def name_taken(scene: Scene) -> Did:
    scene.ledger.tokens.add(new_token("taken", ["calls:read"], scene.ledger.clock())[0], _line("token made"))
    return scene.post(scene.site.person(ADMIN), "/setup/tokens", name="taken", scope="calls:read"), []


def stops_what_is_over(scene: Scene) -> Did:
    job = scene.job()
    scene.work()
    return scene.post(scene.site.person(OPERATOR), f"/jobs/{job}/stop"), []


def myself(scene: Scene) -> Did:
    person = scene.site.person(ADMIN)
    me = scene.ledger.users.with_email(person.email)
    return scene.post(person, f"/setup/users/{me.id}/remove"), []


def wrong_rules(scene: Scene) -> Did:
    file = (io.BytesIO(b"[[rule]]\nnonsense = 1\n"), "new.toml")
    return scene.post(scene.site.person(ADMIN), "/rules/backtest", file=file), []


def refused_to(path: str, make: Callable[[Scene], str], role: Role = OPERATOR, /, **fields: Any) -> Act:
    return lambda scene: (scene.post(scene.site.person(role), path.format(made=make(scene)), **fields), [])


def nothing(_scene: Scene) -> str:
    return ""


REFUSED: Mapping[str, Act] = {
    "a wrong password": wrong_password,
    "somebody unknown": lambda scene: (
        scene.post(scene.anybody(), "/login", "/login", email="eve@example.com", password="wrong"),
        [("sign-in refused", "password")],
    ),
    "a wrong password of now": wrong_password_of_now,
    "a link of somebody who may more by now": link_of_somebody_who_may_more_by_now,
    "no time zone": refused_to("/account/zone", nothing, zone="Europe/Nowhere"),
    "no such value to show": refused_to("/reveal", nothing, kind="caller", of=sid(9_999)),
    "a call that is decided": refused_to("/calls/{made}/decide", Scene.refused),
    "a call that waits for nobody": refused_to("/calls/{made}/retry", Scene.unknown),
    "a call that comes to the same": refused_to("/calls/{made}/rebuild", Scene.refused),
    "a customer without a name": refused_to("/calls/{made}/customer", Scene.unknown),
    "an unknown caller without a name": refused_to("/unknown/{made}/customer", Scene.unknown),
    "no phone number": refused_to("/customers", nothing, phone="x", email="a@example.com"),
    "no file": refused_to("/customers/uploads", nothing),
    "a file that is too large": lambda scene: (scene.uploaded(LIST + "x" * 5000), []),
    "no such import": refused_to("/customers/imports/999999/undo", nothing),
    "a job that has looked at nothing": refused_to("/customers/jobs/{made}/import", lambda scene: str(scene.job())),
    "a job that is over": stops_what_is_over,
    "nothing picked": refused_to("/deliveries/retry", nothing),
    "wrong rules": wrong_rules,
    "no month": refused_to("/rockerbox/qa", nothing, month="soon"),
    "no email": refused_to("/setup/users/invite", nothing, ADMIN, email="ann"),
    "a link for somebody who may more": refused_to("/setup/users/invite", nothing, ADMIN, email="boss@example.com"),
    "no role": refused_to("/setup/users/{made}/role", lambda scene: scene.user().id, ADMIN, role="king"),
    "myself": myself,
    "a name that is taken": name_taken,
    "no such token": refused_to("/setup/tokens/revoke", nothing, ADMIN, name="none"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_no_line_or_the_line_of_its_refusal(scene: Scene, what: str) -> None:
    if scene.ledger.users.with_email("boss@example.com") is None:
        add_user(scene.ledger, "boss@example.com", ADMIN, None)
    who, lines = REFUSED[what](scene)
    assert scene.answer.status_code < 500
    assert [(one.what, one.of_what) for one in scene.written] == list(lines)
    assert {(one.who, one.from_where) for one in scene.written} <= {(who, "127.0.0.1")}


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
def test_whoever_may_not_writes_nothing(scene: Scene, role: Role) -> None:
    """What is forged writes nothing either: test_dashboard_attacks.py."""
    refusing = [route for route in ACTIONS if route in ANSWERS and ANSWERS[route][1 + list(Role).index(role)] == 403]
    assert len(refusing) > 5
    person = scene.site.person(role)
    for route in refusing:
        scene.post(person, re.sub(r"<\w+>", "1", route.removeprefix("POST ")))
        assert (scene.answer.status_code, scene.written) == (403, []), route
