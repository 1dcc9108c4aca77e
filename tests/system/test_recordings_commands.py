"""`flask recordings export | tap | import`, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.load import Load
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, bare_environment, flask, run
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, CALLER, PUBLIC_URL, callback, new_sid, status_of
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")

KEY = "a key of sixteen or more"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sid_and_status(line: dict[str, Any]) -> tuple[str, str]:
    form = dict(line["form"])
    return form["CallSid"], form["CallStatus"]


class Tap(Process):
    """`flask recordings tap`, which says when it listens."""

    def __init__(self, offhook: Offhook, file: Path, *options: str) -> None:
        command = [sys.executable, "-m", "flask", "recordings", "tap", str(file), *options]
        super().__init__(command, offhook.env(), offhook.folder, "tap")

    def _wait_ready(self) -> None:
        self.wait_for_log("from now on")


def test_a_tap_has_each_accepted_callback_once_while_many_come_at_once(offhook: Offhook, tmp_path: Path) -> None:
    file = tmp_path / "tap.jsonl"
    with offhook.web() as web, Tap(offhook, file, "--in-clear") as tap:
        with Load(web.twilio, threads=8, pause_seconds=0.0) as load:
            wait_until(lambda: load.count(204) >= 200)
            again = callback(new_sid())
            assert [web.twilio.send(again).status for _ in range(5)] == [204] * 5  # numbers that no row gets
        wait_until(lambda: {sid_and_status(line) for line in lines(file)} >= load.acknowledged, shows=lambda: tap.log)
        tap.terminate()
        assert tap.wait() == 0
    kept = [sid_and_status(line) for line in lines(file)]
    assert len(kept) == len(set(kept)) == ledger.count(offhook.database_url, "callbacks")
    assert f"{len(kept)} callbacks written" in tap.log


def test_a_tap_ends_when_its_file_is_full_and_the_file_can_be_read(offhook: Offhook, tmp_path: Path) -> None:
    file = tmp_path / "tap.jsonl"
    with offhook.web() as web, Tap(offhook, file, "--max-bytes", "5000") as tap:
        with Load(web.twilio, threads=2):
            assert tap.wait() == 0
        assert "is full" in tap.log
    assert 3000 < file.stat().st_size <= 5000
    assert all(line["method"] == "POST" for line in lines(file))
    assert CALLER not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def _has_lines(file: Path, count: int) -> bool:
    return len(lines(file)) >= count


def test_a_tap_goes_on_with_its_file_only_under_the_same_key(offhook: Offhook, tmp_path: Path) -> None:
    file, sid = tmp_path / "tap.jsonl", new_sid()
    with offhook.web() as web:
        for known, status in enumerate(("ringing", "completed")):
            with Tap(offhook, file, "--key", KEY) as tap:
                assert web.twilio.send(callback(sid, status)).status == 204
                wait_until(partial(_has_lines, file, known + 1), lambda: tap.log)
    assert len({sid_and_status(line)[0] for line in lines(file)}) == 1
    assert {dict(line["form"])["From"] for line in lines(file)} != {CALLER}
    refused = flask("recordings", "tap", str(file), env=offhook.env(), folder=offhook.folder)
    assert (refused.returncode, "--key" in refused.stderr) == (2, True)


def test_a_tap_waits_for_a_database_that_is_gone_for_a_while(
    own_postgres: PostgresServer, tmp_path: Path, sink: sinks.Sink
) -> None:
    offhook, file = Offhook(own_postgres.fresh_database(), tmp_path, sink), tmp_path / "tap.jsonl"
    offhook.upgrade()
    with offhook.web() as web, Tap(offhook, file, "--in-clear") as tap:
        assert web.twilio.send(callback(new_sid())).status == 204
        wait_until(lambda: len(lines(file)) == 1, shows=lambda: tap.log)
        own_postgres.stop()
        try:
            tap.wait_for_log("waiting for it")
        finally:
            own_postgres.start()
        wait_until(lambda: status_of(web.twilio, callback(new_sid())) == 204, shows=lambda: web.log)
        wait_until(lambda: len(lines(file)) >= 2, shows=lambda: tap.log)
        assert tap.log.count("waiting for it") == 1


@pytest.mark.parametrize("content", ["no recording\n", '{"version": 1}\n'])
def test_a_tap_spoils_no_other_file(content: str, offhook: Offhook, tmp_path: Path) -> None:
    file = tmp_path / "diary.txt"
    file.write_text(content)
    refused = flask("recordings", "tap", str(file), "--key", KEY, env=offhook.env(), folder=offhook.folder)
    assert (refused.returncode, "diary.txt, line 1" in refused.stderr) == (2, True)
    assert file.read_text() == content


def test_an_export_brings_the_mapping_rows_that_it_needs_under_the_same_pseudonyms(
    offhook: Offhook, tmp_path: Path
) -> None:
    ledger.add_customer(offhook.database_url, "+14155550999", "somebody.else@example.test")
    exported, mapping = tmp_path / "calls.jsonl", tmp_path / "customers.csv"
    with offhook.web() as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        assert web.twilio.send(callback(new_sid(), From="+14155550188")).status == 204
        options = ("--customers", str(mapping), "--output", str(exported))
        done = flask("recordings", "export", *options, env=offhook.env(), folder=offhook.folder)
        again = flask("recordings", "export", *options, env=offhook.env(), folder=offhook.folder)
    assert "2 callbacks written. 1 row of" in done.stderr
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    [row] = csv.DictReader(io.StringIO(mapping.read_text()))
    callers = [dict(line["form"])["From"] for line in lines(exported)]
    assert row["phone"] == f"'{callers[0]}"  # a spreadsheet would take the bare number for a formula
    back = flask("customers", "import", str(mapping), env=offhook.env(), folder=offhook.folder)
    assert (back.returncode, "1  added" in back.stdout) == (0, True)
    assert ledger.count(offhook.database_url, "customers", f"phone = '{callers[0]}'") == 1
    assert row["email"].endswith("@example.com")
    assert not [each for each in (CALLER, "caller@example.test", "somebody") if each in mapping.read_text()]


def test_an_export_gives_what_was_asked_for_alone(offhook: Offhook) -> None:
    sid = new_sid()
    child = callback(new_sid(), "completed", "child-leg-no-answer", ParentCallSid=sid)
    with offhook.web() as web:
        for pairs in (callback(sid, "ringing"), callback(sid), child, callback(new_sid())):
            assert web.twilio.send(pairs).status == 204

    def exported(*options: str) -> list[dict[str, str]]:
        done = flask("recordings", "export", "--in-clear", *options, env=offhook.env(), folder=offhook.folder)
        assert done.returncode == 0, done.stderr
        return [dict(json.loads(line)["form"]) for line in done.stdout.splitlines()]

    assert len(exported()) == len(exported("--since", "1h")) == 4
    assert {form.get("ParentCallSid") or form["CallSid"] for form in exported("--call", sid)} == {sid}
    assert [form["CallStatus"] for form in exported("--call", sid, "--status", "ringing")] == ["ringing"]


def test_without_tables_the_commands_say_what_to_do(bare_offhook: Offhook, tmp_path: Path) -> None:
    for command in (("export",), ("tap", str(tmp_path / "tap.jsonl"))):
        done = flask("recordings", *command, env=bare_offhook.env(), folder=bare_offhook.folder)
        assert (done.returncode, "run `flask db upgrade` first" in done.stderr) == (1, True), done.stderr


def form_body(**changes: str) -> str:
    return urlencode(callback("CA" + "1" * 32, **changes))


def har(body: str) -> str:
    request: dict[str, object] = {
        "method": "POST",
        "url": "https://x.example/hook",
        "postData": {"mimeType": "x", "text": body},
    }
    request["headers"] = [{"name": "X-Twilio-Signature", "value": "s3cret"}]
    return json.dumps({"log": {"entries": [{"startedDateTime": "2026-03-12T15:00:00Z", "request": request}]}})


SOURCES = {
    "tunnel.har": har(form_body()),
    "request.txt": f"POST /twilio/status HTTP/1.1\nX-Twilio-Signature: s3cret\n\n{form_body()}",
    "log.txt": f"{form_body()}\n\n{form_body()}\n",
    "alerts.json": json.dumps([{"request_variables": form_body(), "date_created": "2026-03-12T15:00:00Z"}]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_whatever_people_have_becomes_a_recording_that_names_nobody(name: str, tmp_path: Path) -> None:
    """Through a file and through standard input, without any setting."""
    (tmp_path / name).write_text(SOURCES[name])
    env = bare_environment()
    command = [sys.executable, "-m", "flask", "recordings", "import"]
    piped = run([*command, "-", "--in-clear"], env, tmp_path, SOURCES[name])
    done = flask("recordings", "import", name, "--output", "calls.jsonl", env=env, folder=tmp_path)
    assert (done.returncode, piped.returncode) == (0, 0), done.stderr + piped.stderr
    expected = 2 if name == "log.txt" else 1
    assert f"{expected} callback{'s' if expected != 1 else ''} written" in done.stderr
    clear = [dict(json.loads(line)["form"]) for line in piped.stdout.splitlines()]
    covered = [dict(line["form"]) for line in lines(tmp_path / "calls.jsonl")]
    assert [form["From"] for form in clear] == [CALLER] * expected
    assert not [form for form in covered if form["From"] == CALLER or form["CallSid"] == "CA" + "1" * 32]
    assert [form["CallStatus"] for form in covered] == ["completed"] * expected
    assert "s3cret" not in piped.stdout + (tmp_path / "calls.jsonl").read_text()


def test_bystanders_are_counted_and_what_is_lost_is_said_with_its_place(tmp_path: Path) -> None:
    """0 when all that names a call was taken, 1 when something was not or nothing was found, 2 for what holds none."""
    (tmp_path / "log.txt").write_text(f"{form_body()}\n2026-03-12 INFO started\n")
    (tmp_path / "other.txt").write_text("nothing\n")
    (tmp_path / "cut.txt").write_text(f"{form_body()}...\n{form_body()}\n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n")

    def imported(*files: str) -> tuple[int, str]:
        done = flask("recordings", "import", *files, "--output", "calls.jsonl", env=bare_environment(), folder=tmp_path)
        return done.returncode, done.stderr

    code, said = imported("log.txt", "other.txt")
    assert (code, "1 callback written" in said, "2  no CallSid" in said) == (0, True, True), said
    code, said = imported("cut.txt")
    assert (code, re.search(r"cut\.txt, line 1 +parameters that were cut off", said) is not None) == (1, True), said
    assert len(lines(tmp_path / "calls.jsonl")) == 1
    code, said = imported("other.txt")
    assert (code, "looks like 1 lines of text" in said) == (1, True), said
    code, said = imported("log.txt", "photo.png")
    assert (code, "photo.png: looks like a picture" in said) == (2, True), said
    assert imported()[0] == 2


def test_a_call_log_without_an_account_gets_the_one_of_the_settings(tmp_path: Path) -> None:
    row = "CA" + "1" * 32 + ",+14155550177,+14155550100,Completed,Incoming,2026-03-12 15:00:01,62"
    (tmp_path / "calls.csv").write_text(f"Call Sid,From,To,Status,Direction,Start Time,Duration\n{row}\n")
    env = bare_environment() | {"TWILIO_ACCOUNT_SID": ACCOUNT_SID}
    done = flask("recordings", "import", "calls.csv", "--in-clear", env=env, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert (dict(line["form"])["AccountSid"], line["captured"]) == (ACCOUNT_SID, False)


class _Api(BaseHTTPRequestHandler):
    """As much of Twilio's REST API as alerts need: two pages, then each alert by itself; busy once."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        path, _, query = self.path.partition("?")
        if self.headers.get("Authorization") != server.expected:
            self._answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
        elif path != "/v1/Alerts":
            self._one(path.rpartition("/")[2])
        elif not server.was_busy:
            server.was_busy = True
            self._answer(429, {"code": 20429, "message": "Too Many Requests", "status": 429})
        else:
            second = "Page=1" in query
            following = None if second else "https://monitor.twilio.com/v1/Alerts?Page=1"
            listed = [_alert("NO2")] if second else [_alert("NO1"), _alert("NO3")]
            self._answer(200, {"alerts": listed, "meta": {"key": "alerts", "next_page_url": following}})

    def _one(self, sid: str) -> None:
        variables = "MessageSid=SM1" if sid == "NO3" else form_body(From="+14155550177")
        self._answer(200, _alert(sid) | {"request_variables": variables})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _alert(sid: str) -> dict[str, Any]:
    return {
        "sid": sid,
        "account_sid": ACCOUNT_SID,
        "error_code": "11200",
        "request_method": "POST",
        "request_url": "https://calls.example.test/twilio/status",
        "date_created": "2026-03-12T15:00:00Z",
    }


@contextmanager
def twilio_api(expected: str) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    server.expected, server.asked, server.was_busy = expected, [], False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


BASIC = {  # user:password in base64
    "auth token": "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTphLXRva2VuLWZvci10ZXN0cw==",
    "api key": "Basic U0sxOmEtc2VjcmV0",
}


def alerts_environment(port: int, by: str) -> dict[str, str]:
    env = bare_environment() | {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_API_URL": f"http://127.0.0.1:{port}"}
    return env | ({"TWILIO_AUTH_TOKEN": AUTH_TOKEN} if by == "auth token" else API_KEY)


API_KEY = {"TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "a-secret"}


@pytest.mark.parametrize("by", BASIC)
def test_callbacks_that_failed_are_fetched_from_twilios_alerts(by: str, tmp_path: Path) -> None:
    with twilio_api(BASIC[by]) as api:
        env = alerts_environment(api.server_port, by)
        options = ("--twilio-alerts", "--since", "3d", "--in-clear")
        done = flask("recordings", "import", *options, env=env, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    forms = [dict(json.loads(line)["form"]) for line in done.stdout.splitlines()]
    assert [form["From"] for form in forms] == ["+14155550177"] * 2
    assert any("StartDate=" in asked for asked in api.asked)


def test_a_wrong_key_is_said_with_its_remedy_and_not_shown(tmp_path: Path) -> None:
    with twilio_api("another") as api:
        env = alerts_environment(api.server_port, "auth token")
        done = flask("recordings", "import", "--twilio-alerts", env=env, folder=tmp_path)
    assert (done.returncode, "check TWILIO_ACCOUNT_SID" in done.stderr) == (1, True)
    assert AUTH_TOKEN not in done.stdout + done.stderr
    bare = flask("recordings", "import", "--twilio-alerts", env=bare_environment(), folder=tmp_path)
    assert (bare.returncode, "set TWILIO_ACCOUNT_SID" in bare.stderr) == (2, True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_at_the_recorded_pace_says_how_long_it_will_take_and_what_it_sent(
    ending: signal.Signals, tmp_path: Path
) -> None:
    """Two callbacks come together, the third an hour later. Who sees the second has answered the first."""
    times = ("2026-03-12T15:00:00Z", "2026-03-12T15:00:00Z", "2026-03-12T15:59:00Z")
    recorded = [
        {"version": 1, "received_at": at, "method": "POST", "path_and_query": "/", "form": callback(new_sid())}
        for at in times
    ]
    (tmp_path / "hour.jsonl").write_text("".join(json.dumps(line) + "\n" for line in recorded))
    replay = ("recordings", "replay", "hour.jsonl", "--auth-token", "x", "--concurrency", "1")
    quick = ("--to", "http://127.0.0.1:9", "--speed", "59000")  # nobody listens there
    done = flask(*replay, *quick, env=bare_environment(), folder=tmp_path)
    assert (done.returncode, "3 without an answer" in done.stdout) == (1, True)
    assert done.stdout.startswith("0 sent in")  # nobody was there to send them to
    with sinks.Sink(sinks.answer(204, b"")) as sink:
        slow = [sys.executable, "-m", "flask", *replay, "--to", sink.url, "--speed", "10"]
        with Process(slow, bare_environment(), tmp_path, "slow") as replaying:
            replaying.wait_for_log("0:05:54")
            sink.wait_for(2)
            os.kill(replaying.pid, ending)
            assert replaying.wait() == 130
            assert re.search("[12] sent in", replaying.log)
            assert "then interrupted" in replaying.log


def recorded(*forms: list[tuple[str, str]]) -> str:
    fields = {"version": 1, "received_at": "2026-03-12T15:00:00Z", "method": "POST", "path_and_query": "/twilio/status"}
    return "".join(json.dumps(fields | {"form": form}) + "\n" for form in forms)


def test_a_replay_to_this_machine_is_signed_for_its_public_url(offhook: Offhook, tmp_path: Path) -> None:
    """The README's own line, where PUBLIC_URL is set as the README says; and a whole address does as well."""
    (tmp_path / "calls.jsonl").write_text(recorded(callback(new_sid()), callback(new_sid())))
    with offhook.web() as web:
        to = ("--to", f"http://127.0.0.1:{web.port}", "--account-sid", ACCOUNT_SID, "--auth-token", AUTH_TOKEN)
        for more in ((), ("--signed-for", f"{PUBLIC_URL}/twilio/status")):
            done = flask("recordings", "replay", "calls.jsonl", *to, *more, env=offhook.env(), folder=tmp_path)
            assert (done.returncode, "2 answered 204" in done.stdout) == (0, True), done.stdout + done.stderr
            assert ("Signed for PUBLIC_URL" in done.stderr) is not bool(more)
            assert "403" not in done.stderr


def test_the_first_refusal_of_a_replay_says_what_was_signed_and_what_is_expected(
    offhook: Offhook, tmp_path: Path
) -> None:
    other = "AC" + "9" * 32
    (tmp_path / "calls.jsonl").write_text(recorded(*(callback(new_sid(), AccountSid=other) for _ in range(3))))
    with offhook.web() as web:
        here = f"http://127.0.0.1:{web.port}"
        options = ("--to", here, "--signed-for", here, "--auth-token", "s3cret-token")
        env = offhook.env() | {"TWILIO_ACCOUNT_SID": ACCOUNT_SID}
        done = flask("recordings", "replay", "calls.jsonl", *options, env=env, folder=tmp_path)
    assert (done.returncode, "3 answered 403" in done.stdout) == (1, True), done.stdout + done.stderr
    assert done.stderr.count("403: POST was signed for") == 1
    assert f"signed for {here}/twilio/status, by the token of --auth-token, as account {other}." in done.stderr
    assert f"--signed-for {PUBLIC_URL}" in done.stderr
    assert f"--account-sid {ACCOUNT_SID}" in done.stderr
    assert "s3cret-token" not in done.stderr + done.stdout
