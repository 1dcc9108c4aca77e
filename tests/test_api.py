"""The API as a client sees it: a real ledger behind the real door, without a server between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import Client

from offhook.adapters.commands.context import Offhook
from offhook.adapters.customers.json_lines import flat
from offhook.adapters.ledger.engine import Patience
from offhook.adapters.ledger.reading import Reading
from offhook.adapters.ledger.stories import StoriesOnSql
from offhook.api_and_dashboard import api as create_api
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.steps import attempt
from offhook.pipeline.tokens import Scope, new_token
from offhook.pipeline.users import AuditFilter, AuditLine
from offhook.service import build, web
from offhook.settings import given
from tests.support.arriving import read_request

ANN, BO = "+14155550101", "+14155550102"
ALL = [one.value for one in Scope]
OURS = "+14155550199"
SID = f"CA{7:032x}"


def line(what: str) -> AuditLine:
    return AuditLine(datetime.now(UTC), "test", what, "", "test")


@dataclass
class Api:
    """A client with a token."""

    service: Offhook
    client: Client
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Any:
        said = {"Authorization": f"Bearer {self.token if token is None else token}"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        data: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        here = {"REMOTE_ADDR": "127.0.0.1"}
        return self.client.open(
            f"/api/v1/{path}", method=method, headers=said, environ_base=here, buffered=True, **data
        )

    def may(self, *scopes: str) -> str:
        token, text = new_token("-".join(scopes), scopes, datetime.now(UTC))
        self.service.ledger.tokens.add(token, line("token made"))
        return text


def opened(url: str, **changes: str) -> Api:
    known = {"DATABASE_URL": url, "TWILIO_ACCOUNT_SID": f"AC{1:032x}", "TWILIO_AUTH_TOKEN": "t" * 32}
    service = build(given(known | {"OFFHOOK_API_TOKENS_SECONDS": "0.000001"} | changes))
    return Api(service, Client(web(service)))


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    found = opened(database_url)
    found.token = found.may(*ALL)
    yield found
    found.service.ledger.close()


def word(answer: Any) -> str:
    assert answer.content_type == "application/problem+json"
    return str(answer.json["type"].removeprefix("urn:offhook:problem:"))


# Who may come in


@pytest.mark.mostly("sqlite")
def test_there_is_no_api_until_there_is_a_token_nor_when_all_are_revoked(database_url: str) -> None:
    api = opened(database_url)
    assert api.ask("GET", "openapi.json").status_code == 404
    api.token = api.may("tallies:read")
    assert api.ask("GET", "openapi.json").json["openapi"].startswith("3.1")
    api.service.ledger.tokens.revoke("tallies:read", datetime.now(UTC), line("token revoked"))
    assert api.ask("GET", "openapi.json").status_code == 404
    api.service.ledger.close()


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("token", ["", "offhook_x", f"offhook_{'0' * 12}_{'a' * 43}"])
def test_whoever_shows_no_token_that_is_known_is_refused(api: Api, token: str) -> None:
    answer = api.ask("GET", f"customers/{ANN}", token=token)
    assert (answer.status_code, word(answer)) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_may_do_what_its_scopes_say_and_no_more(api: Api) -> None:
    reads = api.may("customers:read")
    assert api.ask("GET", f"customers/{ANN}", token=reads).status_code == 404
    assert word(api.ask("PUT", f"customers/{ANN}", {"email": "ann@example.com"}, token=reads)) == "forbidden"
    assert word(api.ask("GET", "tallies?since=2026-01-01T00:00:00Z", token=reads)) == "forbidden"
    assert word(api.ask("GET", "calls?reveal=true", token=api.may("calls:read"))) == "forbidden"


def test_the_last_use_of_a_token_is_written_down_once_in_a_while(api: Api) -> None:
    for _ in range(3):
        api.ask("GET", f"customers/{ANN}")
    [first] = {one.last_used_at for one in api.service.ledger.tokens.every()}
    assert first is not None


def test_more_requests_than_a_token_may_send_are_asked_to_wait(database_url: str) -> None:
    api = opened(database_url, OFFHOOK_API_BURST="2", OFFHOOK_API_REQUESTS_PER_SECOND="0.001")
    api.token, other = api.may("customers:read"), api.may("customers:read", "tallies:read")
    assert [api.ask("GET", f"customers/{ANN}").status_code for _ in range(3)] == [404, 404, 429]
    assert int(api.ask("GET", f"customers/{ANN}").headers["Retry-After"]) > 900
    assert api.ask("GET", f"customers/{ANN}", token=other).status_code == 404
    api.service.ledger.close()


# Customers


def test_a_customer_is_put_read_and_taken_away(api: Api) -> None:
    said = {"email": "Ann@Example.com", "customer_id": "C1", "attributes": {"tier": "gold"}}
    assert api.ask("PUT", f"customers/{ANN}", said).json == {"added": 1, "changed": 0, "unchanged": 0}
    assert api.ask("PUT", f"customers/{ANN}", said).json == {"added": 0, "changed": 0, "unchanged": 1}
    found = {"phone": ANN, **said, "email": "ann@example.com", "people": 1}
    assert api.ask("GET", f"customers/{ANN}").json == found
    assert api.ask("DELETE", f"customers/{ANN}").status_code == 204
    assert word(api.ask("GET", f"customers/{ANN}")) == "unknown-customer"
    assert word(api.ask("DELETE", f"customers/{ANN}")) == "unknown-customer"


def test_history_says_which_token_brought_a_row(api: Api) -> None:
    api.ask("PUT", f"customers/{ANN}", {"email": "ann@example.com"}, token=api.may("customers:write"))
    assert [(one.source, one.name) for one in api.service.ledger.history.imports(5)] == [("api", "customers:write")]


def test_many_customers_come_in_one_request_of_a_number_the_last(api: Api) -> None:
    rows = [
        {"phone": ANN, "customer_id": "C1"},
        {"phone": BO, "customer_id": "C2"},
        {"phone": ANN, "customer_id": "C3"},
    ]
    assert api.ask("POST", "customers:bulk", {"customers": rows}).json["added"] == 2
    assert api.ask("GET", f"customers/{ANN}").json["customer_id"] == "C3"


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    "body",
    [{}, {"attributes": {}}, {"email": "no email"}, {"email": None, "customer_id": "1"}, {"other": "1"}, [], "x"],
)
def test_what_names_nobody_or_is_no_customer_is_refused(api: Api, body: Any) -> None:
    answer = api.ask("PUT", f"customers/{ANN}", body)
    assert (answer.status_code, word(answer)) == (422, "invalid")


@pytest.mark.mostly("sqlite")
def test_a_body_that_is_no_json_is_answered_with_where_it_is_none(api: Api) -> None:
    for body, said in {
        b"{bad": "not JSON: Expecting property name enclosed in double quotes in line 1, column 2",
        b'{"email":\n"ann@example.com"': "not JSON: Expecting ',' delimiter in line 2, column 18",
        b'{"attributes": {"n": NaN}}': "not JSON: it is no UTF-8, or no value that JSON has",
        b'"\xff"': "not JSON: it is no UTF-8, or no value that JSON has",
        b"[" * 20_000: "not JSON: it is no UTF-8, or no value that JSON has",
    }.items():
        headers = {"Authorization": f"Bearer {api.token}"}
        answer = api.client.put(
            f"/api/v1/customers/{ANN}", data=body, content_type="application/json", headers=headers, buffered=True
        )
        assert (answer.status_code, word(answer)) == (400, "not-json")
        assert (answer.json or {})["errors"] == [{"where": "body", "what": said}]


WRONG = {
    "calls?since=yesterday": ("since", "must be a time such as 2026-11-24T18:00:00Z"),
    "calls?limit=-1": ("limit", "must be 1 or more"),
    "calls?limit=0": ("limit", "must be 1 or more"),
    "calls?limit=99999": ("limit", "must be 10000 or less"),
    "calls?limit=+1": ("limit", "must be a whole number"),
    "calls?least_seconds=-5": ("least_seconds", "must be 0 or more"),
    "calls?number=4155550101": ("number", "must be a number as + and its country code, such as +14155550101"),
    "calls?state=gone": ("state", "must be one of converted, open, parked, settling, skipped, unfinished"),
    "calls?outcome=gone": ("outcome", "must be one of 'delivered', 'on_its_way', 'held', 'refused', 'unknown_caller'"),
    "calls?source=gone": ("source", "must be one of "),
    "calls?reveal=yes": ("reveal", "must be one of 'true' or 'false'"),
    "calls?cursor=*": ("cursor", "must be the `next` of a page, as it was"),
    "calls?other=1": ("other", "is not known here"),
    "calls/CA12": ("sid", "must be the id of a call: CA and 32 of 0-9 and a-f"),
    "tallies": ("since", "is missing"),
}


@pytest.mark.mostly("sqlite")
def test_what_is_wrong_with_a_question_is_said_once_and_in_our_words(api: Api) -> None:
    for path, (where, what) in WRONG.items():
        answer = api.ask("GET", path)
        [error] = answer.json["errors"]
        assert (path, answer.status_code, error["where"]) == (path, 422, where)
        assert error["what"].startswith(what), (path, error)


@pytest.mark.mostly("sqlite")
def test_what_is_wrong_with_a_customer_is_said_once_and_in_our_words(api: Api) -> None:
    for body, (where, what) in (
        ([], ("body", "must be an object")),
        ("x", ("body", "must be an object")),
        ('{"customer_id": "1"}', ("body", "must be an object")),
        ({"email": 1}, ("email", "must be a text")),
        ({"email": "no email"}, ("email", "must be an email, or its MD5, SHA-1 or SHA-256 in hex")),
        ({"email": None, "customer_id": "1"}, ("body", "leave out what is not known, instead of null")),
        ({"customer_id": "x" * 256}, ("customer_id", "must have at most 255 characters")),
        ({"customer_id": " "}, ("customer_id", "must be characters that can be printed, without blanks around them")),
        ({"customer_id": "1", "attributes": {"a": None}}, ("attributes.a", "must be a text, a number, true or false")),
        ({"customer_id": "1", "attributes": []}, ("attributes", "must be an object")),
        ({"customer_id": "1", "attributes": {"a": []}}, ("attributes.a", "must be a text, a number, true or false")),
    ):
        assert api.ask("PUT", f"customers/{ANN}", body).json["errors"] == [{"where": where, "what": what}]
    none = api.ask("POST", "customers:bulk", {"customers": []}).json["errors"]
    assert none == [{"where": "customers", "what": "must have at least 1"}]
    lacks = api.ask("POST", "customers:bulk", {"customers": [{"customer_id": "1"}]}).json["errors"]
    assert lacks == [{"where": "customers.0.phone", "what": "is missing"}]
    key = {"Idempotency_Key": "a b"}
    [error] = api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, **key).json["errors"]
    assert error == {"where": "Idempotency-Key", "what": "must be 1 to 255 characters of ASCII without blanks"}


@pytest.mark.mostly("sqlite")
def test_numbers_and_yes_or_no_are_attributes_as_of_a_file_of_ndjson(api: Api) -> None:
    attributes = {"n": -3, "part": 0.5, "whole": 3.0, "yes": True, "no": False, "large": 10**30, "tier": "gold"}
    assert api.ask("PUT", f"customers/{ANN}", {"customer_id": "1", "attributes": attributes}).status_code == 200
    kept = {"n": "-3", "part": "0.5", "whole": "3.0", "yes": "true", "no": "false", "large": f"1{'0' * 30}"}
    assert api.ask("GET", f"customers/{ANN}").json["attributes"] == kept | {"tier": "gold"}
    of_file = flat(json.dumps(attributes))
    assert of_file == kept | {"tier": "gold"}
    headers = {"Authorization": f"Bearer {api.token}"}
    infinite = b'{"customer_id": "1", "attributes": {"n": 1e999}}'
    refused = api.client.put(
        f"/api/v1/customers/{ANN}", data=infinite, content_type="application/json", headers=headers, buffered=True
    )
    assert (refused.json or {})["errors"] == [{"where": "attributes.n", "what": "is too large a number"}]
    of_attributes = api.ask("GET", "openapi.json").json["components"]["schemas"]["CustomerIn"]["properties"][
        "attributes"
    ]
    kinds = [one["type"] for one in of_attributes["additionalProperties"]["anyOf"]]
    assert kinds == ["string", "number", "boolean"]


@pytest.mark.mostly("sqlite")
def test_a_number_in_another_form_is_refused(api: Api) -> None:
    for phone in ("4155550101", "client:ann", "+1"):
        assert word(api.ask("PUT", f"customers/{phone}", {"customer_id": "1"})) == "invalid"


@pytest.mark.mostly("sqlite")
def test_a_number_that_no_country_has_is_refused_as_in_a_file_and_said_where(api: Api) -> None:
    answer = api.ask("PUT", "customers/+1000000", {"customer_id": "1"})
    assert (answer.status_code, word(answer), answer.json["errors"][0]["where"]) == (422, "invalid", "phone")
    assert "+14155550101" in answer.json["errors"][0]["what"]
    rows = [{"phone": ANN, "customer_id": "1"}, {"phone": "+1000000", "customer_id": "2"}]
    answer = api.ask("POST", "customers:bulk", {"customers": rows})
    assert (answer.status_code, answer.json["errors"][0]["where"]) == (422, "customers.1.phone")
    assert api.ask("GET", f"customers/{ANN}").status_code == 404


def test_two_spellings_of_one_line_are_one_customer(api: Api) -> None:
    rows = [{"phone": f"+52{mobile}5512345678", "customer_id": mobile or "0"} for mobile in ("", "1")]
    assert api.ask("POST", "customers:bulk", {"customers": rows}).json["added"] == 1
    for row in rows:
        assert api.ask("GET", f"customers/{row['phone']}").json["customer_id"] == "1"
    assert api.ask("DELETE", f"customers/{rows[1]['phone']}").status_code == 204
    assert api.ask("GET", f"customers/{rows[0]['phone']}").status_code == 404


@pytest.mark.mostly("sqlite")
def test_limits_are_those_that_are_set_and_the_document_says_them(database_url: str) -> None:
    changes = {"ATTRIBUTES": "1", "ATTRIBUTE_CHARACTERS": "3"}
    api = opened(
        database_url,
        OFFHOOK_API_BULK_ROWS="7",
        OFFHOOK_API_TALLY_DAYS="2",
        **{f"OFFHOOK_CUSTOMERS_{name}": value for name, value in changes.items()},
    )
    api.token = api.may(*ALL)
    for attributes in ({"a": "1", "b": "2"}, {"a": "1234"}, {"abcd": "1"}):
        answer = api.ask("PUT", f"customers/{ANN}", {"customer_id": "1", "attributes": attributes})
        assert (answer.status_code, answer.json["errors"][0]["where"]) == (422, "attributes")
    said = {"customer_id": "1", "attributes": {"abc": "123"}}
    assert api.ask("PUT", f"customers/{ANN}", said).status_code == 200
    found = api.ask("GET", "tallies?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z").json
    assert found["until"] == "2026-01-03T00:00:00+00:00"
    schemas = api.ask("GET", "openapi.json").json["components"]["schemas"]
    for name in ("CustomerIn", "CustomerOfMany"):
        of_attributes = schemas[name]["properties"]["attributes"]
        assert (of_attributes["maxProperties"], of_attributes["additionalProperties"]["maxLength"]) == (1, 3)
    assert schemas["Bulk"]["properties"]["customers"]["maxItems"] == 7
    api.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_a_body_that_is_too_large_or_no_json_is_a_problem(database_url: str) -> None:
    api = opened(database_url, OFFHOOK_API_BODY_BYTES="1024", OFFHOOK_API_BULK_ROWS="1")
    api.token = api.may(*ALL)
    large = {"customer_id": "1", "attributes": {"a": "x" * 2000}}
    assert api.ask("PUT", f"customers/{ANN}", large).status_code == 413
    two = [{"phone": ANN, "customer_id": "1"}, {"phone": BO, "customer_id": "2"}]
    assert word(api.ask("POST", "customers:bulk", {"customers": two})) == "too-many-rows"
    form = api.client.put(f"/api/v1/customers/{ANN}", data="a=b", headers={"Authorization": f"Bearer {api.token}"})
    assert word(form) == "not-json"
    api.service.ledger.close()


# Writes that come twice


def test_the_same_key_and_request_get_the_same_answer_and_are_done_once(api: Api) -> None:
    first, again = (api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k1") for _ in range(2))
    assert first.json == again.json == {"added": 1, "changed": 0, "unchanged": 0}
    assert api.ask("DELETE", f"customers/{ANN}", Idempotency_Key="k2").status_code == 204
    assert api.ask("DELETE", f"customers/{ANN}", Idempotency_Key="k2").status_code == 204


def test_the_same_key_for_another_request_is_refused_and_another_tokens_keys_are_its_own(api: Api) -> None:
    api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k")
    for path, body in ((ANN, {"customer_id": "2"}), (BO, {"customer_id": "1"})):
        answer = api.ask("PUT", f"customers/{path}", body, Idempotency_Key="k")
        assert (answer.status_code, word(answer)) == (422, "key-of-another-request")
    other = api.may("customers:write")
    assert api.ask("PUT", f"customers/{BO}", {"customer_id": "2"}, token=other, Idempotency_Key="k").status_code == 200


def test_the_same_key_while_the_first_request_is_under_way_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: list[Any] = []
    merge = api.service.ledger.merge_customers

    def meanwhile(rows: Any, brought: Any) -> Any:
        if not inner:
            inner.append(None)
            inner.append(api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k"))
        return merge(rows, brought)

    monkeypatch.setattr(api.service.ledger, "merge_customers", meanwhile)
    assert api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k").status_code == 200
    assert (inner[1].status_code, word(inner[1])) == (409, "under-way")


def test_a_write_that_failed_may_come_again_under_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise LedgerUnavailable("full", "full")

    with monkeypatch.context() as failing:
        failing.setattr(api.service.ledger, "merge_customers", fail)
        answer = api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k")
        assert (answer.status_code, word(answer)) == (503, "unavailable")
    assert api.ask("PUT", f"customers/{ANN}", {"customer_id": "1"}, Idempotency_Key="k").status_code == 200


def test_what_is_kept_of_a_write_names_nobody(api: Api) -> None:
    api.ask("PUT", f"customers/{ANN}", {"email": "ann@example.com"}, Idempotency_Key="k")
    with api.service.ledger.database.read() as connection:
        [row] = connection.exec_driver_sql("SELECT * FROM answers").all()
    assert "ann" not in str(row)
    assert ANN[2:] not in str(row)


# Calls


def calls_come(api: Api, *sids: str, caller: str = ANN) -> None:
    """Completed calls, folded and decided."""
    for number, sid in enumerate(sids):
        params = {"CallSid": sid, "AccountSid": f"AC{1:032x}", "From": caller, "To": OURS, "Direction": "inbound"}
        body = urlencode(params | {"CallStatus": "completed", "CallDuration": "90"}).encode()
        at = datetime.now(UTC) - timedelta(minutes=10 - number)
        found = read_request(
            "POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, at, params["AccountSid"]
        )
        assert isinstance(found, tuple)
        api.service.ledger.append(found)
    worker = api.service.worker()
    while worker.keep_books_once():
        pass


@pytest.fixture
def known(database_url: str) -> Iterator[Api]:
    """An API whose ledger knows ANN, and settles calls at once."""
    found = opened(database_url, OFFHOOK_SETTLE_SECONDS="0")
    found.token = found.may(*ALL)
    found.service.ledger.merge_customers([Customer(ANN, "ann@example.com", None)])
    yield found
    found.service.ledger.close()


def test_a_call_is_explained_with_its_persons_hidden_unless_the_token_may_see_them(known: Api) -> None:
    calls_come(known, SID)
    hidden = known.ask("GET", f"calls/{SID}")
    assert (hidden.json["verdict"], hidden.json["today"]["same"]) == ("on_its_way", True)
    assert ANN not in hidden.text
    assert "ann@" not in hidden.text
    assert (hidden.json["call"]["number"], hidden.json["call"]["to_number"]) == (OURS, OURS)
    assert known.ask("GET", f"calls/{SID}?reveal=true").json["call"]["from_number"] == ANN
    assert word(known.ask("GET", f"calls/CA{9:032x}")) == "unknown-call"


def test_calls_are_listed_page_by_page_the_newest_first(known: Api) -> None:
    sids = [f"CA{number:032x}" for number in range(5)]
    calls_come(known, *sids)
    seen, cursor = [], ""
    while True:
        page = known.ask("GET", f"calls?limit=2{cursor}").json
        seen += [one["call_sid"] for one in page["calls"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sids[::-1]
    assert word(known.ask("GET", "calls?cursor=abcd")) == "unknown-cursor"


def test_calls_are_found_by_what_became_of_them_and_by_customer(known: Api) -> None:
    calls_come(known, SID)
    calls_come(known, f"CA{8:032x}", caller=BO)
    found = {
        asked: [one["call_sid"] for one in known.ask("GET", f"calls?{asked}").json["calls"]]
        for asked in ("outcome=unknown_caller", f"customer=%2B{ANN[1:]}", f"number=%2B{OURS[1:]}&outcome=on_its_way")
    }
    assert list(found.values()) == [[f"CA{8:032x}"], [SID], [SID]]
    narrowed = ("least_seconds=1&source=webhook", "most_seconds=0", "source=event-stream")
    assert [len(known.ask("GET", f"calls?{asked}").json["calls"]) for asked in narrowed] == [2, 0, 0]


def test_tallies_are_those_of_the_ledger(known: Api) -> None:
    calls_come(known, SID)
    found = known.ask("GET", f"tallies?since={datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:00:00Z}").json
    assert found["is_whole"]
    [one] = found["tallies"]
    assert (one["number"], one["outcome"], one["calls"]) == (OURS, "on_its_way", 1)


def test_a_conversion_is_sent_again_where_it_is_held_and_nowhere_else(known: Api) -> None:
    assert word(known.ask("POST", f"conversions/{SID}:retry")) == "no-conversion"
    calls_come(known, SID)
    assert word(known.ask("POST", f"conversions/{SID}:retry")) == "not-held"
    ledger, service = known.service.ledger, known.service
    [taken] = ledger.claim(ledger.clock(), 1, 60, service.policy).taken
    now = ledger.clock()
    ledger.finish([attempt(taken, Outcome(Result.REFUSED, "http_400", 400), now, now, service.policy)], now)
    assert known.ask("POST", f"conversions/{SID}:retry").json == {"retried": 1, "rebuilt": 0}
    [story] = ledger.stories.of_call(SID)
    assert story.conversion is not None
    assert story.conversion.state == "pending"


def refused(known: Api) -> None:
    """One call, whose conversion Rockerbox has refused."""
    calls_come(known, SID)
    ledger, policy = known.service.ledger, known.service.policy
    [taken] = ledger.claim(ledger.clock(), 1, 60, policy).taken
    now = ledger.clock()
    ledger.finish([attempt(taken, Outcome(Result.REFUSED, "http_400", 400), now, now, policy)], now)


def test_what_was_refused_is_decided_anew_where_that_is_asked(known: Api) -> None:
    refused(known)
    known.service.ledger.merge_customers([Customer(ANN, "ann.other@example.com", None)])
    assert known.ask("POST", f"conversions/{SID}:retry?rebuild=true").json == {"retried": 1, "rebuilt": 1}
    [story] = known.service.ledger.stories.of_call(SID)
    assert story.conversion is not None
    assert b"ann.other@example.com" in story.conversion.payload
    assert story.conversion.state == "pending"
    assert len(story.replaced) == 1


WRITES = {
    "PUT /api/v1/customers/<phone>",
    "DELETE /api/v1/customers/<phone>",
    "POST /api/v1/customers:bulk",
    "POST /api/v1/conversions/<string:sid>:retry",
}


def test_what_a_token_writes_or_reveals_is_a_line_of_the_audit_and_what_is_refused_is_none(known: Api) -> None:
    rules: Any = create_api(known.service).url_map.iter_rules()  # type: ignore[attr-defined]
    found = {f"{method} {rule.rule}" for rule in rules for method in rule.methods - {"GET", "HEAD", "OPTIONS"}}
    assert found == WRITES
    refused(known)
    named, retry = {"customer_id": "1"}, f"conversions/{SID}:retry"
    asked: list[tuple[str, str, Any, list[tuple[str, str]]]] = [
        ("PUT", f"customers/{BO}", named, [("customer added", mask(BO))]),
        ("PUT", f"customers/{BO}", {}, []),
        ("POST", "customers:bulk", {"customers": [{"phone": BO, **named}]}, [("customers imported", "1 customers")]),
        ("POST", "customers:bulk", {"customers": [{"phone": "x", **named}]}, []),
        ("DELETE", f"customers/{BO}", None, [("customer removed", mask(BO))]),
        ("DELETE", f"customers/{BO}", None, []),
        ("GET", "calls", None, []),
        ("GET", "calls?reveal=true", None, [("reveal calls", "a page of 1 calls")]),
        ("GET", f"calls/{SID}", None, []),
        ("GET", f"calls/{SID}?reveal=true", None, [("reveal call", SID)]),
        ("POST", retry, None, [("send again", SID)]),
        ("POST", retry, None, []),
    ]
    for method, path, body, lines in asked:
        before = len(written(known))
        known.ask(method, path, body)
        assert [(one.what, one.of_what) for one in written(known)[before:]] == lines, (method, path)
    known.service.ledger.merge_customers([Customer(ANN, "ann.other@example.com", None)])
    refused(known)
    answers = [known.ask("POST", f"{retry}?rebuild=true", Idempotency_Key="k").json for _ in range(2)]
    assert answers == [{"retried": 1, "rebuilt": 1}] * 2
    assert [(one.what, one.of_what) for one in written(known)[-2:]] == [
        ("send again", SID),
        ("decide again and send", SID),
    ], "what comes twice is done once"
    assert {(one.who, one.from_where) for one in written(known)} == {(f"token {'-'.join(ALL)}", "127.0.0.1")}


def written(known: Api) -> list[AuditLine]:
    """What tokens did, the oldest first."""
    lines = known.service.ledger.audit.lines(AuditFilter(), None, 50)
    return [one for one in reversed(lines) if one.who != "test"]


def test_what_would_not_be_sent_today_is_not_decided_anew_and_the_same_is_sent_as_it_is(known: Api) -> None:
    refused(known)
    known.service.ledger.retire_customers([ANN], Brought(Source.IMPORT, "gone"))
    answer = known.ask("POST", f"conversions/{SID}:retry?rebuild=true")
    assert (answer.status_code, word(answer)) == (409, "not-rebuilt")
    known.service.ledger.merge_customers([Customer(ANN, "ann@example.com", None)])
    assert known.ask("POST", f"conversions/{SID}:retry?rebuild=true").json == {"retried": 1, "rebuilt": 0}


def test_what_lacks_a_field_of_the_accounts_key_is_not_sent_as_it_is(database_url: str) -> None:
    api = opened(database_url, OFFHOOK_SETTLE_SECONDS="0")
    api.service.ledger.merge_customers([Customer(ANN, "ann@example.com", None)])
    refused(api)
    api.service.ledger.close()
    keyed = opened(database_url, ROCKERBOX_DEDUPE_KEY="customer_id,date,action")
    keyed.token = keyed.may(*ALL)
    answer = keyed.ask("POST", f"conversions/{SID}:retry")
    assert (answer.status_code, word(answer)) == (409, "lacks-a-field")
    assert "customer_id" in answer.json["detail"]
    keyed.service.ledger.close()


def test_an_explanation_says_what_a_look_up_waits_for(database_url: str) -> None:
    source = '[crm]\nurl = "http://127.0.0.1:9/{phone}"\nemail = "$.email"\n'
    api = opened(database_url, OFFHOOK_SETTLE_SECONDS="0", OFFHOOK_LOOKUPS=source)
    api.token = api.may(*ALL)
    calls_come(api, SID, caller=BO)
    assert "its caller is being looked up" in api.ask("GET", f"calls/{SID}").json["sentence"]
    api.service.ledger.close()


def test_what_takes_too_long_or_cannot_be_read_is_a_problem(known: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for word_of_ledger, said in (("slow", "took-too-long"), ("unreachable", "unavailable")):

        def fail(*_: Any, why: str = word_of_ledger) -> Any:
            raise LedgerUnavailable("x", why)

        monkeypatch.setattr(StoriesOnSql, "of_call", fail)
        answer = known.ask("GET", f"calls/{SID}")
        assert (answer.status_code, word(answer)) == (503, said)
        assert answer.headers["Retry-After"]


def test_what_the_api_reads_with_can_change_nothing_and_has_an_end(database_url: str) -> None:
    reading = Reading(given({"DATABASE_URL": database_url}).database_url, pool_size=1, patience=Patience(), seconds=0.5)
    with pytest.raises(LedgerUnavailable), reading.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM customers")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(LedgerUnavailable) as raised, reading.database.read() as connection:
        connection.exec_driver_sql(endless).all()
    assert raised.value.word == "slow"
    reading.close()
