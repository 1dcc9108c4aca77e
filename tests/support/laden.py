"""A dashboard in which whatever a stranger can write is markup, and persons are everywhere: for a look at all of its pages."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urlencode

from offhook.adapters.twilio.spelling import EVENT_TYPE
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.job_kinds import QaFile, enqueue
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import AuditLine, Role, User, new_user_id
from offhook.service import job_runner
from tests.support.arriving import read_request
from tests.support.browsing import ACCOUNT, ANN, BO, OURS, Browsing, Person, browsing, sid

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
EVIL_ACTION = EVIL.replace("'", "")
CY, DI, ED = "+14155550103", "+14155550104", "+14155550105"
PERSONS = (ANN, BO, CY, DI, ED)
EMAILS = ("ann.lee@example.com", "bo.lee@example.com", "cy.lee@example.com", "ed.lee@example.com")
RULES = f"""min_duration_seconds = 30
action = '{EVIL_ACTION}'
extra = {{ caller = "{{from}}", name = "{{caller_name}}", said = '{EVIL_ACTION}' }}
[[rule]]
name = '''{EVIL}'''
skip = "much_too_short"
when = {{ max_duration_seconds = 9 }}
[[numbers]]
number = "{OURS}"
label = '''{EVIL}'''
"""
SETTINGS = {"OFFHOOK_RULES": RULES, "OFFHOOK_DASHBOARD_ROWS": "3"}
_POLICY = RetryPolicy()
_NAMES = (
    "CallerName",
    "CallerCity",
    "CallerState",
    "ForwardedFrom",
    "ApiVersion",
    "SipResponseCode",
    "SipDomain",
    EVIL,
)


def laden(url: str) -> Browsing:
    """Close its ledger at the end."""
    site = browsing(url, **SETTINGS)
    _customers(site)
    evil = dict.fromkeys(_NAMES, EVIL)
    persons = {"ForwardedFrom": CY, "CallerName": "ann.lee@example.com", "Digits": ANN[2:]}
    for number, (caller, seconds, more) in enumerate(_calls(evil, persons), start=1):
        site.call(number, caller=caller, seconds=seconds, more=more)
    _callbacks(site)
    for result, status, answer in _ANSWERS:
        _comes_to(site, result, status, answer)
    _people(site)
    _jobs(site)
    return site


def _customers(site: Browsing) -> None:
    ledger = site.service.ledger
    attributes = {f"{EVIL}name": f"{EVIL}value", "mail": EMAILS[0], "phone": ANN}
    ledger.merge_customers([Customer(ANN, EMAILS[0], EVIL, attributes=attributes)], Brought(Source.SYNC, EVIL))
    ledger.merge_customers([Customer(BO, EMAILS[1], f"id {BO}")], Brought(Source.API, EVIL))
    shared = ((EMAILS[2], EVIL), (f"{EVIL}@example.com", "C-3"))
    ledger.merge_customers([Customer(CY, None, None, people=2, others=shared)], Brought(Source.IMPORT, f"{EVIL}.csv"))


def _calls(evil: dict[str, str], persons: dict[str, str]) -> list[tuple[str, int, dict[str, str]]]:
    return [
        (ANN, 90, evil),
        (BO, 90, persons),
        (ANN, 5, {}),
        (ANN, 95, {}),
        (CY, 90, {}),
        (DI, 90, evil),
        (f"sip:{EVIL[:20]}@example.com", 90, {}),
        (DI, 91, {}),
        (BO, 92, {}),
    ]


EVERY_KIND = {20: "form", 21: "query", 22: "amd", 23: "event"}
"""The numbers of the calls that callbacks of each kind are of."""
# Each parameter that Twilio sends with the callbacks of a call.
# https://www.twilio.com/docs/voice/twiml#request-parameters https://www.twilio.com/docs/voice/api/call-resource#statuscallback
_OF_CALLBACKS = (
    *(
        "CallSid",
        "ParentCallSid",
        "From",
        "To",
        "Caller",
        "Called",
        "CallStatus",
        "Direction",
        "CallDuration",
        "Duration",
    ),
    *(
        "Timestamp",
        "SequenceNumber",
        "CallbackSource",
        "ApiVersion",
        "AnsweredBy",
        "MachineDetectionDuration",
        "StirVerstat",
    ),
    *("FromCity", "FromState", "FromZip", "FromCountry", "ToCity", "ToState", "ToZip", "ToCountry", "CallToken"),
    *("CallerCity", "CallerZip", "CallerCountry", "CalledCity", "CalledState", "CalledZip", "CalledCountry"),
    *("RecordingUrl", "RecordingSid", "RecordingDuration", "Digits", "SpeechResult", "SipCallId", "SipResponseCode"),
)
_FORM = "application/x-www-form-urlencoded"
_HEADERS = {"User-Agent": EVIL, "X-Home-Region": EVIL, "I-Twilio-Idempotency-Token": EVIL}


def _callbacks(site: Browsing) -> None:
    """Of every kind, each with markup in all that it can carry: a form, a query, who answered, and events of a stream. A call has
    one that can be read, too, so that it has a page by an id of Twilio's.
    """
    for number, kind in EVERY_KIND.items():
        known = {"AccountSid": ACCOUNT, "CallSid": sid(number), "CallStatus": "completed", "Direction": "inbound"}
        evil = dict.fromkeys(_OF_CALLBACKS, EVIL) | {EVIL: EVIL}
        site.call(number, caller=ANN, decide=False)
        for parameters in (evil | known | {"ParentCallSid": ""}, evil | {"AccountSid": ACCOUNT}):
            _arrives(site, kind, parameters)
    site.work()


def _arrives(site: Browsing, kind: str, parameters: dict[str, str]) -> None:
    target, body, content_type = f"/twilio/status?{urlencode({EVIL: EVIL})}", urlencode(parameters).encode(), _FORM
    method = "GET" if kind == "query" else "POST"
    if kind == "amd":
        without = ("CallStatus", "RecordingSid")  # with which it were another kind
        body = urlencode({name: value for name, value in parameters.items() if name not in without}).encode()
    if kind == "query":
        target, body = f"/twilio/status?{urlencode(parameters)}", b""
    if kind == "event":
        data = {"request": {"method": EVIL, "url": EVIL, "parameters": parameters}, EVIL: [EVIL, {EVIL: EVIL}]}
        event = {
            "specversion": EVIL,
            "type": f"{EVENT_TYPE}.{EVIL}",
            "id": f"{EVIL}{parameters['CallSid']}",
            "data": data,
        }
        content_type, body = "application/json", json.dumps([event]).encode()
    found = read_request(method, target, content_type, _HEADERS, body, site.at, ACCOUNT)
    assert isinstance(found, tuple), found
    site.service.ledger.append(found)


_ANSWERS = (
    (Result.DELIVERED, 200, "ok"),
    (Result.REFUSED, 422, f"{EVIL} {EMAILS[1]} {BO} (415) 555-0102"),
    (Result.MAYBE_SENT, None, EVIL),
)


def _comes_to(site: Browsing, result: Result, status: int | None, answer: str) -> None:
    ledger, now = site.service.ledger, datetime.now(UTC)
    for claimed in ledger.claim(now, 1, 60, _POLICY).taken:
        outcome = Outcome(result, f"http_{status}" if status else "deadline", status, answer)
        ledger.finish([attempt(claimed, outcome, now, now, _POLICY)], now)


def _people(site: Browsing) -> None:
    """A provider of single sign-on may name anybody anything; so may an admin a token."""
    ledger, now = site.service.ledger, datetime.now(UTC)
    line = AuditLine(now, EVIL, EVIL, EVIL, EVIL)
    ledger.users.add(User(new_user_id(), f"{EVIL}@example.com", Role.VIEWER, None, now, zone=EVIL), line)
    admin = site.person(Role.ADMIN)
    assert admin.post("/setup/tokens", page="/setup", name=EVIL, scope="calls:read").status_code == 200


def _jobs(site: Browsing) -> None:
    admin, service = site.person(Role.ADMIN), site.service
    rows = f"phone,email,customer_id,{EVIL}\n{DI},,{EVIL},{EVIL}\n{ED},{EMAILS[3]},{ED},x\n{EVIL},a@example.com,,\n{ANN[2:]}x,,,\n"
    for text, name in ((rows, f"{EVIL}.csv"), (f"{EVIL},\n", f"{EVIL}.csv"), ("\x89PNG\r\n\x1a\n", "=x.csv")):
        file = (io.BytesIO(text.encode("latin-1", "replace")), name)
        assert admin.post("/customers/uploads", page="/customers", file=file).status_code == 303
    tried = (io.BytesIO(RULES.replace("30", "20").encode()), f"{EVIL}.toml")
    assert admin.post("/rules/backtest", page="/rules", file=tried, days="7").status_code == 303
    enqueue(service.ledger.jobs, QaFile(f"{datetime.now(UTC):%Y-%m}"), EVIL, datetime.now(UTC))
    runner = job_runner(service.settings, service.ledger, service.judge)
    while runner.once():
        pass


@dataclass(frozen=True)
class Seen:
    path: str
    answer: Any

    @cached_property
    def page(self) -> Page:
        """Read once, however often it is looked at."""
        return Page(self.answer.text)


def every_page(site: Browsing, person: Person, most: int = 400) -> Iterator[Seen]:
    """Each address that may be got, and each that links on those lead to."""
    rules = [rule for rule in site.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    todo = [re.sub(r"<\w+>", quote(EVIL, safe=""), rule.rule) for rule in rules if rule.rule != "/static/<name>"]
    todo += [f"/customers/jobs/{job.id}" for job in site.service.ledger.jobs.latest(99)]
    known, plain = set(todo), set(map(unquote, todo))
    while todo:
        path = todo.pop(0)
        seen = Seen(path, person.get(path))
        yield seen
        links = [*seen.page.links, seen.answer.headers.get("Location", "")]
        new = [urldefrag(link)[0] for link in links if link.startswith("/") and not link.startswith(("//", "/static"))]
        fresh = [link for link in dict.fromkeys(new) if unquote(link) not in plain]
        todo += fresh[: max(0, most - len(known))]
        known |= set(fresh)
        plain |= set(map(unquote, fresh))


class Page(HTMLParser):
    """What a browser would make of a page: its links, and what of it would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.runs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.links += [value for name, value in given.items() if name in ("href", "hx-get")]
        is_ours = tag != "script" or re.fullmatch(r"/static/offhook\.\w{16}\.js", given.get("src", ""))
        wrong = [name for name, value in given.items() if name.startswith(("on", "hx-on")) or _is_code(name, value)]
        if not is_ours or wrong or tag in ("img", "iframe", "object", "embed", "base", "style", "svg"):
            self.runs.append(self.get_starttag_text() or tag)


def _is_code(name: str, value: str) -> bool:
    return name in ("href", "src", "action", "formaction", "hx-get", "hx-post") and bool(
        re.match(r"\s*(javascript|vbscript|data):(?!,$)", value, re.IGNORECASE)
    )
