"""A source that is asked by HTTP: whatever its server does, the answer is an answer, and only a 404 or an empty list is nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from offhook.adapters.customers.answers import AnswerLimits, Record, WrongAnswer, answer_of
from offhook.adapters.customers.asking_http import HttpLimits, HttpQuestion, HttpSource, paths_of, records_in
from offhook.adapters.proxies import parse_proxy
from offhook.pipeline.customer import Conflict
from offhook.pipeline.look_up import Found, Later, NotThere
from offhook.pipeline.reasons import OF_LOOK_UPS, known
from tests import sinks
from tests.support.crm import knows_or_404
from tests.support.egress import EgressProxy

PHONE = "+14155550100"
PERSON = {"email": "ann@example.com", "id": 17}
Ask = Callable[..., HttpSource]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """(url, what else is said of the question) -> a source."""
    made: list[HttpSource] = []

    def to(url: str, limits: HttpLimits | None = None, **more: Any) -> HttpSource:
        proxy = more.pop("proxy", None)
        question = HttpQuestion(url, **{"email": "$.email", "id": "$.id", **more})
        made.append(HttpSource("crm", question, limits or HttpLimits(), proxy=proxy))
        return made[-1]

    yield to
    for one in made:
        one.close()


def at(sink: sinks.Sink) -> str:
    return f"http://127.0.0.1:{sink.port}/contacts?phone={{phone}}"


QUICK = HttpLimits(deadline_seconds=0.3)
TROUBLE: dict[str, tuple[sinks.Behaviour, str]] = {
    "an error": (sinks.answer(500), "http_500"),
    "a gateway's": (sinks.answer(504), "http_504"),
    "no key": (sinks.answer(401), "http_401"),
    "a redirect": (sinks.redirect("http://127.0.0.1:1/elsewhere"), "redirect"),
    "a page": (sinks.not_json(), "wrong_json"),
    "an empty body": (sinks.answer(200, b""), "wrong_json"),
    "half of it": (sinks.answer(200, b'{"email":"ann@exa'), "wrong_json"),
    "no number": (sinks.answer(200, b'{"email":NaN}'), "wrong_json"),
    "nested too deeply": (sinks.answer(200, b"[" * 30_000 + b"]" * 30_000), "wrong_json"),
    "a text": (sinks.answer(200, b'"{}"'), "no_customer_in_answer"),
    "an error with a 200": (sinks.answer(200, b'{"error":"rate limit"}'), "no_customer_in_answer"),
    "an email that is a list": (sinks.answer(200, b'{"email":["a@example.com"],"id":1}'), "wrong_value"),
    "an id that is an object": (sinks.answer(200, b'{"email":null,"id":{}}'), "wrong_value"),
    "a long one": (sinks.answer(200, b" " * 70_000 + b"{}"), "too_large"),
    "a reset": (sinks.reset(), "reset"),
    "a reset in the body": (sinks.reset_in_body(), "reset"),
    "no answer": (sinks.close_before_answer(), "no_answer"),
    "a cut body": (sinks.cut_body(), "wrong_json"),
    "no HTTP": (sinks.raw(b"SSH-2.0-x\r\n\r\n"), "bad_answer"),
    "a head without end": (sinks.endless_head(), "bad_answer"),
    "a body without end": (sinks.endless_body(), "too_large"),
}
SLOW = {
    "never answers": sinks.black_hole(),
    "drips its head": sinks.drip_head(0.05),
    "drips its body": sinks.drip_body(0.05),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_whatever_is_no_answer_about_the_caller_is_later_with_a_word_that_is_explained(ask: Ask, what: str) -> None:
    behaviour, reason = TROUBLE[what]
    with sinks.Sink(behaviour) as sink:
        answer = ask(at(sink)).find(PHONE)
    assert isinstance(answer, Later), answer
    assert answer.reason == reason
    assert known(answer.reason, OF_LOOK_UPS) is not None


@pytest.mark.parametrize("what", SLOW)
def test_the_deadline_holds_however_the_server_drips(ask: Ask, what: str) -> None:
    with sinks.Sink(SLOW[what]) as sink:
        assert ask(at(sink), QUICK).find(PHONE) == Later("deadline")


def test_a_host_that_is_dead_or_has_no_address_is_later(ask: Ask) -> None:
    port = sinks.closed_port()
    assert ask(f"http://127.0.0.1:{port}/{{phone}}").find(PHONE) == Later("connect_refused")
    assert ask("http://nowhere.invalid/{phone}").find(PHONE) == Later("dns")
    with sinks.full_backlog() as full:
        assert ask(f"http://127.0.0.1:{full}/{{phone}}", QUICK).find(PHONE) == Later("connect_timeout")


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b'{"email":null,"id":null}', b'{"email":"","id":"n/a"}'])
def test_an_answer_that_says_nobody_is_nobody(ask: Ask, body: bytes) -> None:
    with sinks.Sink(sinks.answer(200, body)) as sink:
        assert ask(at(sink)).find(PHONE) == NotThere()


@pytest.mark.parametrize("status", [404, 204])
def test_a_404_is_nobody(ask: Ask, status: int) -> None:
    with sinks.Sink(sinks.answer(status, b"")) as sink:
        assert ask(at(sink)).find(PHONE) == NotThere()


def test_a_source_that_wants_to_be_left_alone_is(ask: Ask) -> None:
    with sinks.Sink(sinks.rate_limited("17"), sinks.rate_limited("Wed, 21 Oct 2026 07:28:00 GMT")) as sink:
        source = ask(at(sink))
        assert source.find(PHONE) == Later("http_429", wait_seconds=17)
        assert source.find(PHONE) == Later("http_429")


def test_where_the_answer_stands_is_said_by_json_paths(ask: Ask) -> None:
    body = {"total": 1, "results": [{"properties": PERSON | {"plan": {"name": "gold"}, "orders": 3, "vip": True}}]}
    paths = {"record": "$.results", "email": "$.properties.email", "id": "$.properties.id"}
    attributes = {"tier": "$.properties.plan.name", "orders": "$.properties.orders", "vip": "$..vip", "no": "$.no"}
    with sinks.Sink(sinks.answer(200, json.dumps(body).encode())) as sink:
        found = ask(at(sink), attributes=attributes, **paths).find(PHONE)
        assert found == Found("ann@example.com", "17", {"tier": "gold", "orders": "3", "vip": "true"})
        sink.behave(sinks.answer(200, b'{"total":0,"results":[]}'))
        assert ask(at(sink), **paths).find(PHONE) == NotThere()
        sink.behave(sinks.answer(200, b'{"message":"try later"}'))
        assert ask(at(sink), **paths).find(PHONE) == Later(
            "no_customer_in_answer", "nothing stands where `record` leads to"
        )


def test_the_same_person_twice_is_one_and_two_are_two(ask: Ask) -> None:
    for people, found in (
        ([PERSON, PERSON], Found("ann@example.com", "17")),
        ([PERSON, {"id": 2}], Found(None, None, people=2)),
    ):
        with sinks.Sink(sinks.answer(200, json.dumps(people).encode())) as sink:
            assert ask(at(sink)).find(PHONE) == found


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ("none", Found(None, None, people=3)),
        ("first", Found("Ann@example.com", "17", {"tier": "gold"})),
        ("last", Found(None, "3")),
    ],
)
def test_of_several_the_one_is_credited_whom_the_policy_for_shared_numbers_says(
    shared: Conflict, expected: Found
) -> None:
    ann = Record("Ann@example.com", "17", {"tier": "gold"})
    records = [ann, Record("bo@example.com"), Record("bo@example.com"), Record(), Record(None, "3")]
    found = answer_of(records, AnswerLimits(shared=shared, named=2))
    assert found == expected
    assert isinstance(found, Found) and found.others == (("Ann@example.com", "17"), ("bo@example.com", None))
    assert answer_of(records, AnswerLimits(shared=shared, named=0)) == expected
    alone = answer_of([ann, ann], AnswerLimits(shared=shared))
    assert isinstance(alone, Found) and (alone.customer_id, alone.people, alone.others) == ("17", 1, ())


def test_the_number_goes_where_the_template_says_in_each_of_its_spellings(ask: Ask) -> None:
    with sinks.Sink(knows_or_404({})) as sink:
        url = f"http://127.0.0.1:{sink.port}/by/{{digits}}?phone={{phone}}&n={{national}}"
        body = '{"phone":"{phone}","other":"{no}"}'
        headers = {"Authorization": "Bearer s3cret", "X-Mine": "1"}
        ask(url, method="POST", body=body, headers=headers).find("+442071838750")
        [seen] = sink.requests
    assert (seen.method, seen.path) == ("POST", "/by/442071838750?phone=%2B442071838750&n=02071838750")
    assert seen.body == b'{"phone":"+442071838750","other":"{no}"}'
    assert (seen.headers["authorization"], seen.headers["x-mine"]) == ("Bearer s3cret", "1")
    assert seen.headers["accept-encoding"] == "identity"


def test_connections_are_kept_and_after_trouble_are_new(ask: Ask) -> None:
    with sinks.Sink(knows_or_404({PHONE: [PERSON]})) as sink:
        source = ask(at(sink))
        assert [source.find(PHONE) for _ in range(3)] == [Found("ann@example.com", "17")] * 3
        assert sink.connections == 1
        sink.behave(sinks.reset(), knows_or_404({}))
        assert [source.find(PHONE) for _ in range(2)] == [Later("reset"), NotThere()]


def test_it_goes_out_through_the_company_s_proxy(ask: Ask) -> None:
    with sinks.Sink(knows_or_404({PHONE: [PERSON]})) as sink, EgressProxy(sink.port, login="you:too") as proxy:
        through = parse_proxy(f"http://you:too@127.0.0.1:{proxy.port}")
        source = ask("http://crm.invalid/contacts?phone={phone}", proxy=through)
        assert source.find(PHONE) == Found("ann@example.com", "17")
        [asked] = proxy.asked
        assert asked.line == "GET http://crm.invalid/contacts?phone=%2B14155550100 HTTP/1.1"


def test_neither_key_nor_number_is_shown(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"http://127.0.0.1:{sinks.closed_port()}/x?key=s3cret&phone={{phone}}"
    source = ask(url, headers={"Authorization": "Bearer t0ken"})
    shown = (
        f"{source!r} {source.find(PHONE)!r} {HttpQuestion(url, headers={'A': 't0ken'}).headers and ''} {caplog.text}"
    )
    for secret in ("s3cret", "t0ken", "4155550100"):
        assert secret not in shown


@pytest.mark.parametrize("path", ["email", "$.", "$[?", "$.a | $.b", "$.a b"])
def test_what_is_no_json_path_is_refused_at_the_start(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSONPath"):
        paths_of(HttpQuestion("http://x/{phone}", email=path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["results", "email", "id", "x"]), inner)
    ),
    max_leaves=12,
)


@for_all(document=json_values, record=st.sampled_from(["$", "$.results", "$.results[0]", "$..x"]))
def test_whatever_json_comes_it_is_an_answer_or_wrong(document: Any, record: str) -> None:
    paths = paths_of(HttpQuestion("", record=record, email="$.email", id="$.id", attributes={"x": "$.x"}))
    try:
        answer = answer_of(records_in(document, paths), AnswerLimits())
    except WrongAnswer as error:
        assert error.reason in OF_LOOK_UPS
        return
    if isinstance(answer, Found):
        assert (answer.people > 1) is (answer.email is None and answer.customer_id is None)
        assert all(isinstance(text, str) and text for text in answer.attributes.values())


def test_what_no_database_keeps_is_not_taken() -> None:
    paths = paths_of(HttpQuestion("", email="$.email", id="$.id", attributes={"a": "$.a", "b": "$.b"}))
    odd = {"email": "a\0@b.c", "id": "7\0007", "a": "x\0007", "b": "good"}
    assert answer_of(records_in(odd, paths), AnswerLimits()) == NotThere()
    assert answer_of(records_in(odd | {"id": "7"}, paths), AnswerLimits()) == Found(None, "7", {"b": "good"})


def test_an_attribute_that_is_too_long_is_left_out_as_it_is_of_a_file() -> None:
    limits = AnswerLimits(attribute=70)
    given = {"fits": "x" * 70, "long": "x" * 71, "n" * 70: "named", "n" * 71: "named too long"}
    assert answer_of([Record(customer_id="7", attributes=given)], limits) == Found(
        None, "7", {"fits": "x" * 70, "n" * 70: "named"}
    )


def test_emails_are_kept_in_lower_case_where_that_is_wanted() -> None:
    records = records_in({"email": "Ann@Example.com"}, paths_of(HttpQuestion("", email="$.email")))
    assert answer_of(records, AnswerLimits()) == Found("Ann@Example.com", None)
    assert answer_of(records, AnswerLimits(lower_emails=True)) == Found("ann@example.com", None)
