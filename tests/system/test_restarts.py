"""New settings, new code, a new process: at a hundred callbacks a second every one is answered 204, none refused, none cut."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.load import Load, assert_kept
from tests.support.processes import REPOSITORY, Web
from tests.support.raw import Raw, ask, signed_request
from tests.support.twilio import KeptAlive, callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

on_sqlite = pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)


def reload(web: Web) -> None:
    """SIGHUP, and wait until none of the old workers is left."""
    old = web.children
    web.hang_up()
    wait_until(lambda: web.children and not web.children & old, shows=lambda: web.log[-3000:])


def refused(web: Web) -> list[str]:
    lines = [json.loads(line) for line in web.log.splitlines() if line.startswith("{")]
    return [line["error"] for line in lines if line["event"] == "reload_refused"]


def _were_refused(web: Web, times: int) -> bool:
    return len(refused(web)) >= times


def more(load: Load, count: int) -> None:
    """Wait for so many more answers."""
    known = load.count(204)
    wait_until(lambda: load.count(204) >= known + count, shows=lambda: str(load.answers))


def test_at_sighup_no_callback_is_refused_or_cut(offhook: Offhook) -> None:
    with (
        offhook.web(WEB_CONCURRENCY="2") as web,
        Load(web.twilio, threads=3, pause_seconds=0.05) as load,
        Load(KeptAlive(web.port), threads=3, pause_seconds=0.05) as kept,
    ):
        for _ in range(2):
            more(load, 20)
            reload(web)
        more(load, 20)
        more(kept, 20)
    assert (set(load.answers), set(kept.answers)) == ({204}, {204})
    assert "Traceback" not in web.log
    assert_kept(load, offhook.database_url)
    assert_kept(kept, offhook.database_url)


@on_sqlite
def test_with_a_socket_that_stays_no_callback_is_refused_or_cut_by_stop_and_start(offhook: Offhook) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        web = Web(offhook.env(), offhook.folder, fd=server.fileno())
        with web, Load(web.twilio, threads=6, pause_seconds=0.05) as load:
            more(load, 30)
            web.terminate()
            assert web.wait() == 0, web.log[-3000:]
            web.start()
            more(load, 30)
    assert set(load.answers) == {204}
    assert_kept(load, offhook.database_url)


@on_sqlite
def test_what_is_whole_at_sigterm_is_answered_and_what_becomes_whole_too(offhook: Offhook) -> None:
    with offhook.web(OFFHOOK_WEB_THREADS="2", OFFHOOK_STORE_TIMEOUT_SECONDS="15") as web:
        head, separator, body = signed_request(callback(new_sid())).partition(b"\r\n\r\n")
        half = Raw(web.port).send(head + separator + body[:100])
        idle = Raw(web.port).send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.answer().headers["connection"] == "keep-alive"
        with closing(ledger.connect_sqlite(offhook.database_url)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            whole = [Raw(web.port).send(signed_request(callback(new_sid()))) for _ in range(6)]
            wait_until(lambda: "no_thread_free" in web.log)
            web.terminate()
            web.wait_for_log("Handling signal: term")
            half.send(body[100:])
            idle.send(signed_request(callback(new_sid())))
        answers = [raw.answer() for raw in (*whole, half, idle)]
        assert [answer.status for answer in answers] == [204] * 8
        assert {answer.headers["connection"] for answer in answers[2:]} == {"close"}
        assert web.wait() == 0


@on_sqlite
def test_settings_of_the_env_file_are_read_again_and_wrong_ones_change_nothing(offhook: Offhook) -> None:
    settings, rules = offhook.folder / ".env", offhook.folder / "offhook.toml"
    long = signed_request([*callback(new_sid()), ("Long", "x" * 5000)])
    with offhook.web() as web:
        workers = web.children
        for number, (file, text, named) in enumerate(
            (
                (settings, "OFFHOOK_MAX_CALLBACK_BYTES=many\nOFFHOOK_REQUEST_SECONDS=0", "OFFHOOK_REQUEST_SECONDS"),
                (rules, 'min_duration_seconds = "ten"', "offhook.toml:1"),
            )
        ):
            file.write_text(text + "\n")
            web.hang_up()
            wait_until(partial(_were_refused, web, number + 1), lambda: web.log[-3000:])
            assert named in refused(web)[-1]
            assert ask(web.port, long).status == 204
            file.unlink()
        assert web.children == workers, "nothing was started anew"
        settings.write_text("OFFHOOK_MAX_CALLBACK_BYTES=4096\n")
        reload(web)
        assert ask(web.port, long).status == 413
        settings.unlink()
        reload(web)
        assert ask(web.port, long).status == 204


@on_sqlite
def test_another_port_is_not_taken_while_it_runs(offhook: Offhook) -> None:
    env = {name: value for name, value in offhook.env().items() if name != "PORT"}
    web = Web(env, offhook.folder)
    del web._env["PORT"]
    (offhook.folder / ".env").write_text(f"PORT={web.port}\n")
    with web:
        (offhook.folder / ".env").write_text(f"PORT={web.port + 1}\n")
        web.hang_up()
        wait_until(lambda: refused(web))
        assert "PORT" in refused(web)[0]
        assert web.twilio.get("/healthz").status == 200


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A copy of the code that a test may change."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("adapters", "offhook"):
        shutil.copytree(REPOSITORY / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in REPOSITORY.glob("*.py"):
        shutil.copy(path, copy / path.name)
    yield copy


@on_sqlite
def test_new_code_is_read_at_sighup_and_broken_code_changes_nothing(offhook: Offhook, tree: Path) -> None:
    routes = tree / "adapters" / "web" / "routes.py"
    text = routes.read_text()
    assert 'status="alive"' in text
    with Web(offhook.env(), offhook.folder, tree=tree) as web:
        assert web.twilio.get("/healthz").body == b'{"status":"alive"}\n'
        routes.write_text(text + "\nthis is no Python\n")
        web.hang_up()
        wait_until(lambda: refused(web), shows=lambda: web.log[-3000:])
        assert "SyntaxError" in refused(web)[0]
        assert web.twilio.send(callback(new_sid())).status == 204
        routes.write_text(text.replace('status="alive"', 'status="renewed"'))
        reload(web)
        assert web.twilio.get("/healthz").body == b'{"status":"renewed"}\n'
        assert web.twilio.send(callback(new_sid())).status == 204


def test_an_inline_worker_gives_way_at_sighup_and_nothing_is_sent_twice(offhook: Offhook) -> None:
    slow = {"OFFHOOK_DEADLINE_SECONDS": "60", "OFFHOOK_LEASE_SECONDS": "200", "OFFHOOK_DELIVERY_THREADS": "2"}
    offhook.sink.behave(sinks.after(0.2, sinks.answer()))
    sids = [new_sid() for _ in range(60)]
    with offhook.web(OFFHOOK_WORKER="inline", **slow) as web:
        for number, sid in enumerate(sids):
            assert web.twilio.send(callback(sid)).status == 204
            if number % 20 == 10:
                reload(web)
        wait_until(lambda: offhook.states() == {"delivered": len(sids)}, shows=lambda: str(offhook.states()))
        assert "Traceback" not in web.log
    assert sorted(json.loads(seen.body)["order_id"] for seen in offhook.sink.requests) == sorted(sids)
