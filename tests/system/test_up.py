"""`flask up` with something configured: what it says is so when it says it, and what keeps it from starting is said first."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.processes import Up, environment, flask, free_port
from tests.support.twilio import Twilio


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(f"sqlite:///{tmp_path}/offhook.db", PORT=str(free_port()))


def test_what_it_says_listens_does_and_what_ends_is_called_by_its_name(env: dict[str, str], tmp_path: Path) -> None:
    with Up(env, tmp_path, ready="Web listens on port") as up:
        assert Twilio(up.port).get("/healthz").status == 200  # at the first try
        worker = next(pid for pid in up.children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(worker, signal.SIGKILL)
        assert up.wait() == 1
        assert "The worker process ended by itself (signal 9)" in up.log
        assert "['" not in up.log


def test_a_busy_port_is_said_before_anything_is_done(env: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", int(env["PORT"]))):
        done = flask("up", env=env, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Port {env['PORT']} cannot be used (another program listens there)" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_that_was_left_open_in_a_copied_example_is_said_before_anything_is_done(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / ".env.example"
    (tmp_path / ".env").write_text(example.read_text())
    bare = {
        name: value for name, value in environment("").items() if name in ("PATH", "HOME", "PYTHONPATH", "FLASK_APP")
    }
    done = flask("up", env=bare, folder=tmp_path)
    assert done.returncode == 2
    for name in ("TWILIO_ACCOUNT_SID", "PUBLIC_URL: is the placeholder", "ROCKERBOX_ADVERTISER_ID"):
        assert name in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
