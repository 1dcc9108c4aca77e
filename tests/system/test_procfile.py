"""The Procfile as a platform runs it: a fresh copy of the tree, an empty disk, a Postgres, a real process manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import sinks
from tests.support.processes import Process, environment, free_port
from tests.support.tree import copy_tree
from tests.support.twilio import CALLER, Twilio, callback, new_sid
from tests.support.waiting import wait_until


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    """What a `git push` would carry, and nothing that lies about beside it."""
    return copy_tree(tmp_path / "tree")


def platform_environment(database_url: str, sink_url: str) -> dict[str, str]:
    """As Heroku gives it: its spelling of the database's address, its mark of a dyno, the commands on the PATH."""
    env = environment(database_url.replace("postgresql://", "postgres://"), sink_url, DYNO="web.1")
    del env["PYTHONPATH"], env["FLASK_APP"], env["FLASK_SKIP_DOTENV"]  # the tree must do without
    return env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_release_web_and_worker_of_the_procfile_carry_a_call_to_its_end(
    empty_database_url: str, copied_tree: Path, sink: sinks.Sink
) -> None:
    env = platform_environment(empty_database_url, sink.url)
    honcho = [sys.executable, "-m", "honcho", "--no-colour", "start"]

    release = subprocess.run([*honcho, "release"], cwd=copied_tree, env=env, capture_output=True, text=True)
    assert release.returncode == 0, release.stdout + release.stderr
    assert "Postgres ledger: empty ->" in release.stdout

    mapping = copied_tree / "customers.csv"
    mapping.write_text(f"phone,email,customer_id\n{CALLER},caller@example.test,42\n")
    command = ["flask", "customers", "import", "customers.csv"]
    imported = subprocess.run(command, cwd=copied_tree, env=env, capture_output=True, text=True)
    assert imported.returncode == 0, imported.stdout + imported.stderr

    port = free_port()
    with Process([*honcho, "-p", str(port), "web", "worker"], env, copied_tree, "honcho") as manager:
        manager.wait_for_log("worker_started")
        twilio = Twilio(port)
        wait_until(lambda: answers(twilio) or not manager.is_running, shows=lambda: manager.log[-3000:])
        call_sid = new_sid()
        assert twilio.send(callback(call_sid)).status == 204
        sent = json.loads(sink.wait_for(1)[0].body)
        assert (sent["order_id"], sent["email"], sent["customer_id"]) == (call_sid, "caller@example.test", "42")
        manager.terminate()
        manager.wait()
        assert "Traceback" not in manager.log, manager.log[-3000:]
    assert not list(copied_tree.glob("*.db*")), "the disk of a dyno is wiped: nothing may be kept on it"


def answers(twilio: Twilio) -> bool:
    try:
        return twilio.get("/readyz").status == 200
    except OSError:
        return False
