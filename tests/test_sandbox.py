"""The sandbox Rockerbox: takes what the documentation allows, counts the first of each key, shows what it kept."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adapters.rockerbox.sandbox import Sandbox

pytestmark = pytest.mark.unit

GOOD = {"email": "a@example.test", "action": "call", "timestamp": "1773324000", "order_id": "CA1"}
NONE = {"counted": 0, "duplicate": 0, "not_counted": 0, "invalid": 0}


def ask(sandbox: Sandbox, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=10)
    connection.request(method, path, body)
    response = connection.getresponse()
    told = response.status, response.read().decode()
    connection.close()
    return told


def tell(sandbox: Sandbox, **fields: Any) -> tuple[int, dict[str, Any]]:
    told = {name: value for name, value in {**GOOD, **fields}.items() if value is not None}
    status, text = ask(sandbox, "POST", "/webhook/data?advertiser=x", json.dumps(told).encode())
    return status, json.loads(text)


def test_the_first_of_an_order_id_counts_and_later_ones_are_ignored() -> None:
    with Sandbox() as sandbox:
        assert tell(sandbox)[1]["verdict"] == "counted"
        assert tell(sandbox, action="another")[1]["verdict"] == "duplicate"
        assert sandbox.counts() == NONE | {"counted": 1, "duplicate": 1}


@pytest.mark.parametrize(("cross_day", "verdict"), [(False, "counted"), (True, "duplicate")])
def test_the_next_day_counts_again_unless_cross_day_is_on(cross_day: bool, verdict: str) -> None:
    with Sandbox(cross_day=cross_day) as sandbox:
        tell(sandbox)
        assert tell(sandbox, timestamp=str(1773324000 + 86_400))[1]["verdict"] == verdict


def test_a_key_of_email_date_and_action_makes_two_calls_of_a_day_one() -> None:
    with Sandbox(dedupe=("email", "date", "action")) as sandbox:
        tell(sandbox)
        assert tell(sandbox, order_id="CA2")[1]["verdict"] == "duplicate"


def test_a_key_that_names_a_field_which_is_not_sent_counts_nothing() -> None:
    with Sandbox() as sandbox:
        assert tell(sandbox, order_id=None)[1]["verdict"] == "not_counted"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"action": None}, "action"),
        ({"email": None}, "email or customer_id"),
        ({"timestamp": 1773324000}, "timestamp must be text"),
        ({"timestamp": "yesterday"}, "epoch seconds"),
        ({"conversion_source": "tv"}, "conversion_source"),
    ],
)
def test_a_wrong_event_is_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    with Sandbox() as sandbox:
        status, told = tell(sandbox, **fields)
        assert (status, told["verdict"]) == (400, "invalid")
        assert reason in " ".join(told["reasons"])


@pytest.mark.parametrize("body", [b"", b"[]", b"[{}]", b"nonsense", b"\xff", b"[" * 5000])
def test_what_is_no_single_event_is_refused(body: bytes) -> None:
    with Sandbox() as sandbox:
        assert ask(sandbox, "POST", "/webhook/data?advertiser=x", body)[0] == 400
        assert ask(sandbox, "POST", "/webhook/data?advertiser=x", b"x" * 70_000)[0] == 413


def test_fifty_at_once_with_one_order_id_count_once() -> None:
    with Sandbox() as sandbox, ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: tell(sandbox), range(50)))
        assert sandbox.counts() == NONE | {"counted": 1, "duplicate": 49}


def test_the_page_and_the_json_show_what_came_and_run_nothing_of_it() -> None:
    with Sandbox() as sandbox:
        tell(sandbox, action="<script>alert(1)</script>")
        page = ask(sandbox, "GET", "/")[1]
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert json.loads(ask(sandbox, "GET", "/events.json")[1])["counts"] == NONE | {"counted": 1}
