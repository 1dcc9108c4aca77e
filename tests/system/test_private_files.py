"""A whole day's work under the usual umask leaves no file that another user of the machine could read."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support import ledger
from tests.support.processes import Process, Up, Web, bare_environment, environment, flask, free_port
from tests.support.twilio import Twilio, callback, new_sid
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

ROWS = "phone,email,customer_id\n+14155550199,nobody,=1+1\n+14155550198,ann@example.test,C1\n"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


class Command(Process):
    """`flask ARGUMENTS` in the background, up when it says `ready`."""

    def __init__(self, *arguments: str, ready: str, env: dict[str, str], folder: Path, name: str) -> None:
        super().__init__([sys.executable, "-m", "flask", *arguments], env, folder, name)
        self._ready = ready

    def _wait_ready(self) -> None:
        self.wait_for_log(self._ready)


def demonstration(folder: Path) -> Up:
    """Behind a company's network, whose proxies know nothing of this machine's own ports."""
    names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OFFHOOK_EGRESS_PROXY")
    return Up(bare_environment() | dict.fromkeys(names, f"http://127.0.0.1:{free_port()}"), folder)


def open_to_others(folder: Path) -> dict[str, str]:
    """The files that somebody else may read, with their modes."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): oct(mode) for path, mode in modes.items() if mode & 0o077}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def post_to_sandbox(sandbox: Command) -> None:
    address = next(word for word in sandbox.log.split() if word.startswith("http://"))
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=HANGS_AFTER_SECONDS)
    connection.request("POST", "/webhook/data?advertiser=x", json.dumps({"email": "a@example.test"}))
    assert connection.getresponse().status in (200, 400)
    connection.close()


def test_a_demonstration_leaves_its_files_to_their_owner_and_a_second_one_leaves_the_first_alone(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    with demonstration(folder) as first:
        assert Twilio(first.port).get("/healthz").status == 200
        with pytest.raises(ConnectionRefusedError):  # 0.0.0.0 would be this address, too
            socket.create_connection(("127.0.0.2", first.port))
        before = {path: path.stat().st_ino for path in (folder / ".run").iterdir()}
        second = flask("up", env=bare_environment() | {"PORT": str(free_port())}, folder=folder)
        assert (second.returncode, f"process {first.pid}" in second.stderr) == (1, True), second.stderr
        assert {path: path.stat().st_ino for path in (folder / ".run").iterdir()} == before
        url = f"sqlite:///{folder}/.run/demo.db"
        assert ledger.count(url, "conversions", "state = 'delivered'") > 0
        assert open_to_others(folder / ".run") == {}
        assert names(folder / ".run") >= {
            "demo.db",
            "demo.db-wal",
            "demo.db-shm",
            "demo.db.lock",
            "web.log",
            "worker.log",
        }
        assert stat.S_IMODE((folder / ".run").stat().st_mode) == 0o700
        first.interrupt()
        assert first.wait() == 0
    with (folder / ".run" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the next one may have it


def test_every_file_of_a_whole_run_is_its_owners_alone(tmp_path: Path) -> None:
    inputs, work = tmp_path / "inputs", tmp_path / "work"
    inputs.mkdir()
    work.mkdir()
    (inputs / "customers.csv").write_text(ROWS)
    (inputs / "form.txt").write_text(urlencode(callback(new_sid())) + "\n")
    env = environment(f"sqlite:///{work}/offhook.db")

    def run(*arguments: str) -> None:
        done = flask(*arguments, env=env, folder=inputs)
        assert done.returncode == 0, (arguments, done.stderr)

    run("db", "upgrade")
    run("customers", "import", "customers.csv", "--rejects", f"{work}/rejected.csv")
    tap = Command(
        "recordings", "tap", f"{work}/tap.jsonl", "--in-clear", ready="from now on", env=env, folder=inputs, name="tap"
    )
    sandbox = Command(
        "sandbox",
        "--port",
        "0",
        "--persist",
        f"{work}/events.jsonl",
        ready="Rockerbox",
        env=env,
        folder=inputs,
        name="box",
    )
    with Web(env, inputs) as web, tap, sandbox:
        assert web.twilio.send(callback(new_sid())).status == 204
        post_to_sandbox(sandbox)
        wait_until(lambda: (work / "tap.jsonl").stat().st_size > 0)
        beside = ("--customers", f"{work}/mapping.csv", "--rules", f"{work}/rules.toml")
        run("recordings", "export", "--in-clear", "--output", f"{work}/calls.jsonl", *beside)
        run("recordings", "import", "form.txt", "--in-clear", "--output", f"{work}/imported.jsonl")
        live = {"offhook.db", "offhook.db-wal", "offhook.db-shm", "offhook.db.lock"}
        written = {
            "rejected.csv",
            "tap.jsonl",
            "events.jsonl",
            "mapping.csv",
            "rules.toml",
            "calls.jsonl",
            "imported.jsonl",
        }
        assert names(work) == live | written
        assert open_to_others(work) == {}


def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """One that an older version made, or a backup that was put back with `cp`."""
    env = environment(f"sqlite:///{tmp_path}/offhook.db")
    assert flask("db", "upgrade", env=env, folder=tmp_path).returncode == 0
    (tmp_path / "offhook.db").chmod(0o644)
    with Web(env, tmp_path) as web:
        assert web.twilio.send(callback(new_sid())).status == 204
        found = {name: mode for name, mode in open_to_others(tmp_path).items() if name.startswith("offhook.db")}
        assert found == {}
        assert (tmp_path / "offhook.db-wal").exists()
