"""The sandbox Rockerbox: takes what the documentation allows, counts the first of each key, shows what it kept."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.rockerbox.sandbox import Day, NotLoopback, Sandbox, ScriptError, Verdict
from offhook.pipeline.delivery import Result
from tests.support.processes import Process, bare_environment, flask
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

pytestmark = pytest.mark.unit

GOOD = {"email": "a@example.test", "action": "call", "timestamp": "1773324000", "order_id": "CA1"}
NONE = {"counted": 0, "duplicate": 0, "not_counted": 0, "invalid": 0}


def ask(sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=HANGS_AFTER_SECONDS)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def send(sandbox: Sandbox, **fields: Any) -> tuple[int, dict[str, Any]]:
    event = {name: value for name, value in {**GOOD, **fields}.items() if value is not None}
    status, text = ask(sandbox, "POST", "/webhook/data?advertiser=x", json.dumps(event).encode())
    return status, json.loads(text)


def test_the_first_of_an_order_id_counts_and_later_ones_are_ignored() -> None:
    with Sandbox() as sandbox:
        assert send(sandbox)[1]["verdict"] == "counted"
        assert send(sandbox, action="another")[1]["verdict"] == "duplicate"
        assert sandbox.counts() == NONE | {"counted": 1, "duplicate": 1}


@pytest.mark.parametrize(("cross_day", "verdict"), [(False, "counted"), (True, "duplicate")])
def test_the_next_day_counts_again_unless_cross_day_is_on(cross_day: bool, verdict: str) -> None:
    with Sandbox(cross_day=cross_day) as sandbox:
        send(sandbox)
        assert send(sandbox, timestamp=str(1773324000 + 86_400))[1]["verdict"] == verdict


def test_a_key_of_email_date_and_action_makes_two_calls_of_a_day_one() -> None:
    with Sandbox(dedupe=("email", "date", "action")) as sandbox:
        send(sandbox)
        assert send(sandbox, order_id="CA2")[1]["verdict"] == "duplicate"


def test_a_key_that_names_a_field_which_is_not_sent_counts_nothing() -> None:
    with Sandbox() as sandbox:
        assert send(sandbox, order_id=None)[1]["verdict"] == "not_counted"


WRONG = [
    ({"action": None}, "action is missing"),
    ({"action": ""}, "action is missing"),
    ({"action": 7}, "action must be text"),
    ({"email": None}, "email or customer_id"),
    ({"email": ""}, "email or customer_id"),
    ({"email": ["a@example.test"]}, "email must be text"),
    ({"customer_id": 7}, "customer_id must be text"),
    ({"customer_id": "a@example.test"}, "send it as email"),
    ({"timestamp": None}, "timestamp is missing"),
    ({"timestamp": 1773324000}, "timestamp must be text"),
    ({"timestamp": "yesterday"}, "epoch seconds"),
    ({"timestamp": "1773324000.5"}, "epoch seconds"),
    ({"timestamp": "1773324000123"}, "milliseconds"),
    ({"timestamp": "٣"}, "epoch seconds"),
    ({"order_id": 7}, "order_id must be text"),
    ({"conversion_source": "tv"}, "conversion_source must be one of"),
    ({"conversion_source": None, "revenue": "$27.50"}, "revenue must be dollars.cents"),
    ({"revenue": "27.5"}, "revenue"),
    ({"revenue": "1,000.00"}, "revenue"),
    ({"revenue": "-1.00"}, "revenue"),
    ({"revenue": -1}, "revenue"),
    ({"revenue": 27.505}, "revenue"),
    ({"revenue": True}, "revenue"),
    ({"revenue": []}, "revenue"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG)
def test_a_wrong_event_is_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    with Sandbox() as sandbox:
        status, answer = send(sandbox, **fields)
        assert (status, answer["verdict"]) == (400, "invalid")
        assert reason in " ".join(answer["reasons"])
        assert sandbox.counts()[Verdict.INVALID] == 1


RIGHT = [
    {},
    {"email": None, "customer_id": "C-1"},
    {"email": "d41d8cd98f00b204e9800998ecf8427e"},
    {"revenue": "27.50"},
    {"revenue": 27.5},
    {"revenue": 0},
    {"conversion_source": "phone"},
    {"conversion_source": "in_store"},
    {"anything": {"nested": [1]}, "city": "東京"},
]


@pytest.mark.parametrize("fields", RIGHT)
def test_an_event_as_the_documentation_has_it_counts(fields: dict[str, Any]) -> None:
    with Sandbox() as sandbox:
        status, answer = send(sandbox, **fields)
        assert (status, answer["verdict"]) == (200, "counted")


def test_every_reason_is_given_at_once() -> None:
    with Sandbox() as sandbox:
        assert len(send(sandbox, action=None, email=None, revenue="x")[1]["reasons"]) == 3


def test_an_event_of_no_advertiser_is_refused_and_advertisers_do_not_share_their_keys() -> None:
    body = json.dumps(GOOD).encode()
    with Sandbox() as sandbox:
        assert ask(sandbox, "POST", "/webhook/data", body)[0] == 400
        for advertiser, verdict in (("a", "counted"), ("b", "counted"), ("a", "duplicate")):
            assert f'"{verdict}"' in ask(sandbox, "POST", f"/webhook/data?advertiser={advertiser}", body)[1]


def test_the_day_is_that_of_the_conversion_or_of_the_arrival() -> None:
    yesterday = str(int(datetime.now(UTC).timestamp()) - 86_400)
    for day, verdict in ((Day.TIMESTAMP, "counted"), (Day.ARRIVAL, "duplicate")):
        with Sandbox(day=day) as sandbox:
            send(sandbox, timestamp=str(int(datetime.now(UTC).timestamp())))
            assert send(sandbox, timestamp=yesterday)[1]["verdict"] == verdict


@pytest.mark.parametrize("body", [b"", b"[]", b"[{}]", b"nonsense", b"\xff", b"[" * 5000])
def test_what_is_no_single_event_is_refused(body: bytes) -> None:
    with Sandbox() as sandbox:
        assert ask(sandbox, "POST", "/webhook/data?advertiser=x", body)[0] == 400
        assert ask(sandbox, "POST", "/webhook/data?advertiser=x", b"x" * 70_000)[0] == 413


def test_fifty_at_once_with_one_order_id_count_once() -> None:
    with Sandbox() as sandbox, ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: send(sandbox), range(50)))
        assert sandbox.counts() == NONE | {"counted": 1, "duplicate": 49}


def test_the_page_and_the_json_show_what_came_and_run_nothing_of_it() -> None:
    with Sandbox() as sandbox:
        send(sandbox, action="<script>alert(1)</script>")
        page = ask(sandbox, "GET", "/")[1]
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert json.loads(ask(sandbox, "GET", "/events.json")[1])["counts"] == NONE | {"counted": 1}


# Failing on command


def post_raw(sandbox: Sandbox, seconds: float = HANGS_AFTER_SECONDS) -> tuple[bytes, bool]:
    """(all bytes that came back to one event, whether the connection was reset)."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    body = json.dumps(GOOD).encode()
    head = f"POST /webhook/data?advertiser=x HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(head.encode() + body)
        parts: list[bytes] = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            return b"".join(parts), True
        except TimeoutError:
            parts.append(b"<silence>")
        return b"".join(parts), False


def events_after(script: str, act: Callable[[Sandbox], object], **more: Any) -> int:
    """How many events a sandbox with this script has kept after `act`."""
    with Sandbox(script=script, **more) as sandbox:
        act(sandbox)
        return len(sandbox.events())


def test_a_status_is_answered_with_its_headers_and_the_event_is_lost() -> None:
    with Sandbox(script="429 retry-after 2; 500 kept") as sandbox:
        connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=HANGS_AFTER_SECONDS)
        connection.request("POST", "/webhook/data?advertiser=x", json.dumps(GOOD))
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (429, "2")
        assert json.loads(response.read())["scripted"] == "429 retry-after 2"
        assert sandbox.events() == []
        assert send(sandbox)[0] == 500
        assert [event.answered for event in sandbox.events()] == ["500"]
        assert send(sandbox)[1]["verdict"] == "duplicate"
        assert sandbox.summary().not_kept == {"429": 1}
        connection.close()


def test_a_reset_is_a_reset_and_a_close_is_none() -> None:
    reset: list[Any] = []
    assert events_after("reset", lambda sandbox: reset.append(post_raw(sandbox))) == 0
    assert reset == [(b"", True)]
    closed: list[Any] = []
    assert events_after("close", lambda sandbox: closed.append(post_raw(sandbox))) == 0
    assert closed == [(b"", False)]
    assert events_after("reset kept", post_raw) == 1


def test_a_close_after_headers_gives_the_head_and_nothing_of_the_body() -> None:
    got: list[Any] = []
    assert events_after("close after headers", lambda sandbox: got.append(post_raw(sandbox))) == 1
    [(answer, was_reset)] = got
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" not in answer
    assert not was_reset


def test_a_drip_gives_the_whole_answer_byte_by_byte() -> None:
    got: list[Any] = []
    assert events_after("drip", lambda sandbox: got.append(post_raw(sandbox)), drip_seconds=0.001) == 1
    assert b'"verdict": "counted"' in got[0][0]
    events_after("drip", lambda sandbox: got.append(post_raw(sandbox, 0.3)), drip_seconds=3600)
    assert got[1] == (b"H<silence>", False)


def test_a_timeout_is_silence_and_does_not_keep_the_sandbox_from_ending() -> None:
    """It would hold for an hour: whoever waited for that is ended by the runner."""
    got: list[Any] = []
    assert events_after("timeout", lambda sandbox: got.append(post_raw(sandbox, 0.3)), hold_seconds=3600) == 0
    assert got == [(b"<silence>", False)]
    with Sandbox(script="timeout", hold_seconds=3600) as sandbox:
        held = threading.Thread(target=post_raw, args=(sandbox,))
        held.start()
        wait_until(lambda: sandbox.summary().not_kept)
    held.join()


def test_a_latency_comes_before_the_answer() -> None:
    got: list[Any] = []
    events_after("latency 300", lambda sandbox: got.append(post_raw(sandbox, 0.3)))
    assert got == [(b"<silence>", False)]
    assert events_after("latency 0.01", send) == 1


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("ok", Result.DELIVERED),
        ("429 retry-after 2", Result.RETRY),
        ("500", Result.RETRY),
        ("400", Result.REFUSED),
        ("reset", Result.MAYBE_SENT),
        ("close", Result.MAYBE_SENT),
        ("timeout", Result.MAYBE_SENT),
        ("drip", Result.MAYBE_SENT),
        ("latency 3", Result.MAYBE_SENT),
    ],
)
def test_offhooks_own_client_sees_each_failure_for_what_it_is(script: str, result: Result) -> None:
    with Sandbox(script=script) as sandbox:
        client = Rockerbox(f"{sandbox.url}/webhook/data", "x", total_deadline_seconds=0.5)
        outcome = client.send(json.dumps(GOOD).encode())
        assert outcome.result is result
        if "retry-after" in script:
            assert outcome.retry_after_seconds == 2


def test_another_script_can_be_set_while_it_runs_and_a_wrong_one_changes_nothing() -> None:
    with Sandbox() as sandbox:
        assert json.loads(ask(sandbox, "POST", "/script", b"2x 503")[1]) == {"script": "2x 503"}
        assert send(sandbox)[0] == 503
        assert ask(sandbox, "POST", "/script", b"nonsense")[0] == 400
        assert json.loads(ask(sandbox, "GET", "/script")[1]) == {"script": "503"}
        sandbox.play("")
        assert send(sandbox)[0] == 200
        with pytest.raises(ScriptError):
            sandbox.play("nonsense")


# Keeping and showing


def test_it_can_be_waited_for() -> None:
    with Sandbox() as sandbox, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sandbox.wait_for, 2, HANGS_AFTER_SECONDS, Verdict.COUNTED)
        for order in ("CA1", "CA1", "CA2"):
            send(sandbox, order_id=order)
        assert len(waiting.result()) == 3
        with pytest.raises(TimeoutError, match="3 events after"):
            sandbox.wait_for(4, 0.05)


def test_events_in_memory_are_bounded_and_the_counters_stay_exact() -> None:
    with Sandbox(keep=3) as sandbox:
        for number in range(10):
            send(sandbox, order_id=f"CA{number % 5}")
        assert [event.number for event in sandbox.events()] == [8, 9, 10]
        assert sandbox.counts() == NONE | {"counted": 5, "duplicate": 5}
        assert len(json.loads(ask(sandbox, "GET", "/events.json?last=2")[1])["events"]) == 2


def test_a_reset_forgets_everything() -> None:
    with Sandbox() as sandbox:
        send(sandbox)
        assert ask(sandbox, "POST", "/reset")[0] == 200
        assert (sandbox.events(), sandbox.counts()) == ([], NONE)
        assert send(sandbox)[1]["verdict"] == "counted"


def test_a_file_gets_each_event_and_one_that_takes_nothing_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with Sandbox(persist=file) as sandbox:
        send(sandbox)
        send(sandbox, action=None)
        assert [json.loads(line)["verdict"] for line in file.read_text().splitlines()] == ["counted", "invalid"]
    assert file.stat().st_mode & 0o077 == 0
    with Sandbox(persist=Path("/dev/full")) as sandbox:
        assert send(sandbox)[0] == 507
        assert sandbox.events() == []


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_another_sites_page_can_neither_look_nor_change(headers: dict[str, str]) -> None:
    with Sandbox() as sandbox:
        send(sandbox)
        for method, path in (("GET", "/"), ("GET", "/events.json"), ("POST", "/reset"), ("POST", "/script")):
            assert ask(sandbox, method, path, b"", **headers)[0] == 403
        assert len(sandbox.events()) == 1


def test_only_this_machine_may_come_unless_it_is_meant() -> None:
    with pytest.raises(NotLoopback, match="other machines"):
        Sandbox(host="0.0.0.0")
    with Sandbox(host="0.0.0.0", allow_remote=True) as sandbox:
        assert ":" in sandbox.url


@pytest.mark.parametrize("dedupe", [(), ("",), ("date",), ("email", "email")])
def test_a_key_that_is_none_is_refused(dedupe: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="is no key"):
        Sandbox(dedupe=dedupe)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("POST /webhook/data?advertiser=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        ("POST /webhook/data?advertiser=x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 411),
        ("POST /webhook/data?advertiser=x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + "x" * 99_999, 413),
        ("PUT /webhook/data HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_what_is_no_webhook_gets_a_clear_answer(request_text: str, status: int) -> None:
    with Sandbox() as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=HANGS_AFTER_SECONDS) as connection:
            connection.sendall(request_text.encode())
            assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
        assert sandbox.events() == []


# The command


class SandboxProcess(Process):
    """`flask sandbox --port 0`, which says where it is."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "flask", "sandbox", "--port", "0", *options]
        super().__init__(command, bare_environment(), folder, "sandbox")

    def _wait_ready(self) -> None:
        self.wait_for_log("look at http://")

    @property
    def port(self) -> int:
        return int(self.log.split("look at http://127.0.0.1:")[1].split()[0])


def test_the_command_fails_on_command_prints_each_event_and_nobodys_name(tmp_path: Path) -> None:
    order = "CA" + "0123456789abcdef" * 2
    with SandboxProcess(tmp_path, "--script", "503; reset p=0.000001", "--seed", "7") as running:
        for expected in (503, 200):
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=HANGS_AFTER_SECONDS)
            connection.request("POST", "/webhook/data?advertiser=x", json.dumps(GOOD | {"order_id": order}))
            assert connection.getresponse().status == expected
            connection.close()
        running.terminate()
        assert running.wait() == 0
        assert f"counted     call  a@***  order {order}" in running.log
        assert "1 counted, 0 duplicate" in running.log
        assert "a@example.test" not in running.log


def test_the_command_says_what_is_wrong_with_a_script_or_a_key(tmp_path: Path) -> None:
    for options, words in ((("--script", "sometimes"), "is no behaviour"), (("--dedupe", "date"), "is no key")):
        done = flask("sandbox", "--port", "0", *options, env=bare_environment(), folder=tmp_path)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    done = flask("sandbox", "--host", "0.0.0.0", env=bare_environment(), folder=tmp_path)
    assert (done.returncode, "--allow-remote" in done.stderr) == (2, True)
    for name in (signal.SIGTERM, signal.SIGINT):
        with SandboxProcess(tmp_path) as running:
            os.kill(running.pid, name)
            assert running.wait() == 0
