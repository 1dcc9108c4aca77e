"""`flask up` (`make run`): everything on this machine. With nothing configured a demonstration, otherwise the real thing."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from adapters.commands.context import LedgerCommand, fail, offhook
from adapters.commands.sandbox import tell
from adapters.private_file import PRIVATE_FOLDER, open_to_append
from adapters.recordings.replay import Replay, Tape, plan, replay, target
from adapters.rockerbox.sandbox import Sandbox
from adapters.twilio.signature import by_auth_token

ACCOUNT = "AC00000000000000000000000000000001"  # the account of all recordings
START_SECONDS = 20.0
STOP_SECONDS = 27.0
_HOME = Path(__file__).parents[2]
_RECORDINGS = _HOME / "recordings"
_APP = f"{__name__.removesuffix('adapters.commands.up')}app"  # installed it is within a package
_SCRATCH = Path(".run")
_LOCK = "lock"


@click.command(cls=LedgerCommand)
@with_appcontext
def up() -> None:
    """Run web and worker together, until Ctrl-C.

    With nothing configured this is a demonstration: SQLite in .run/, a sandbox Rockerbox on loopback, a sample mapping,
    and recorded callbacks sent signed. With a .env (see .env.example) it is the real thing.
    """
    service = offhook()
    configured = Path(".env").exists() or not service.settings.missing_for_web()
    service.ledger.close()
    stop = _stop_when_asked()
    if configured:
        _real(service.settings.port, service.settings.worker == "separate", stop)
    else:
        _demonstration(service.settings.port, stop)


def _stop_when_asked() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _real(port: int, with_worker: bool, stop: threading.Event) -> None:
    env = {**os.environ, "FLASK_APP": _APP}
    _run_once("db", "upgrade", env=env)
    with ExitStack() as running:
        processes = [running.enter_context(_process(_WEB, env))]
        if with_worker:
            processes.append(running.enter_context(_process(_WORKER, env)))
        click.echo(f"Web on port {port}, worker beside it. Ctrl-C stops both.")
        _wait(processes, stop)


def _demonstration(port: int, stop: threading.Event) -> None:
    lock = _take_folder()
    port = _free_port(port)
    with ExitStack() as running:
        sandbox = running.enter_context(Sandbox(on_event=tell))
        env = _demonstration_environment(port, sandbox.url)
        click.secho("Demonstration: nothing is configured, so nothing leaves this machine.", bold=True)
        _run_once("db", "upgrade", env=env)
        _run_once("customers", "import", str(_RECORDINGS / "customers.csv"), "--rejects", ".run/rejected.csv", env=env)
        web = running.enter_context(_process(_WEB, env, _SCRATCH / "web.log", lock))
        worker = running.enter_context(_process(_WORKER, env, _SCRATCH / "worker.log", lock))
        _wait_until_up(port, web)
        click.secho(
            "\nRecorded callbacks go to /twilio/status, signed; each conversion as it arrives at the sandbox:",
            bold=True,
        )
        _send_recordings(port, env["TWILIO_AUTH_TOKEN"])
        _wait_until_quiet(sandbox, stop)
        _what_next(port, sandbox, env)
        _wait([web, worker], stop)


def _take_folder() -> int:
    """The demonstration's folder, emptied and ours alone, and the descriptor of the lock that says so.

    What is started gets the lock too, so the folder is taken for as long as anything uses it, even when we are killed.
    """
    if _SCRATCH.is_symlink():
        fail(f"{_SCRATCH} is a symbolic link, and a demonstration empties its folder: remove the link.", 2)
    try:
        _SCRATCH.mkdir(PRIVATE_FOLDER, exist_ok=True)
        lock = open_to_append(_SCRATCH / _LOCK)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _SCRATCH.chmod(PRIVATE_FOLDER)
        _empty_folder()
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        process = (_SCRATCH / _LOCK).read_text(errors="replace").strip()
        fail(
            f"A demonstration is running in this folder already (process {process}, or what it started), and is left alone.\n"
            "End it with Ctrl-C in its terminal, or start another one in another folder."
        )
    except OSError as error:
        fail(f"The demonstration needs the folder {_SCRATCH}: {error}", 2)
    return lock


def _empty_folder() -> None:
    for path in _SCRATCH.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _demonstration_environment(port: int, sandbox_url: str) -> dict[str, str]:
    ours = {
        "DATABASE_URL": f"sqlite:///{(_SCRATCH / 'demo.db').absolute()}",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        "ROCKERBOX_ADVERTISER_ID": "demonstration",
        "ROCKERBOX_URL": f"{sandbox_url}/webhook/data",
        "OFFHOOK_SETTLE_SECONDS": "1",
        "FLASK_APP": _APP,
    }
    # The sandbox is on this machine, and a proxy is not.
    return {name: value for name, value in os.environ.items() if name.upper() != "OFFHOOK_EGRESS_PROXY"} | ours


def _free_port(wished: int) -> int:
    """The port that was asked for, or any other when somebody has it."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wished


_WEB = [sys.executable, "-m", "gunicorn", "-c", str(_HOME / "gunicorn.conf.py"), f"{_APP}:app"]
_WORKER = [sys.executable, "-m", "flask", "worker"]


def _run_once(*arguments: str, env: Mapping[str, str]) -> None:
    done = subprocess.run([sys.executable, "-m", "flask", *arguments], env=env, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


@contextmanager
def _process(
    command: list[str], env: Mapping[str, str], log: Path | None = None, *inherited: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, so that Ctrl-C reaches it through us, once; ended when we end."""
    with ExitStack() as files:
        output = files.enter_context(os.fdopen(open_to_append(log), "ab")) if log else None
        child = subprocess.Popen(
            command, env=env, stdout=output, stderr=output, start_new_session=True, pass_fds=inherited
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()


# The environment's proxies do not know this machine's own ports.
_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _wait_until_up(port: int, web: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and web.poll() is None:
        try:
            with _directly.open(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    fail(f"The web process did not start; it said:\n{(_SCRATCH / 'web.log').read_text(errors='replace')}")


def _send_recordings(port: int, token: str) -> None:
    names = sorted(path for path in _RECORDINGS.glob("*.jsonl") if path.stem != "shop-day")
    tape = Tape.of_files(names)
    options = Replay(speed=None, shift_to=datetime.now(UTC), account_sid=ACCOUNT)
    to = target(f"http://127.0.0.1:{port}")
    summary = replay(plan(tape, options), to, by_auth_token(token))
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(summary.by_status.items()))
    click.echo(f"{summary.sent} callbacks sent: {answers}")


def _wait_until_quiet(sandbox: Sandbox, stop: threading.Event) -> None:
    """Until no conversion has come for a while."""
    known, quiet = -1, 0
    while quiet < 4 and not stop.wait(0.5):
        now = len(sandbox.events())
        quiet = quiet + 1 if now == known and now else 0
        known = now


def _what_next(port: int, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    click.secho("\nUp. Ctrl-C ends it.", bold=True)
    click.echo(f"  {sandbox.url}  what Rockerbox would have got (also /events.json)")
    click.echo(f"  http://127.0.0.1:{port}/readyz  is it ready, what waits")
    click.echo("  Why is a call there, or not? In another terminal:")
    click.echo(f"    export DATABASE_URL={env['DATABASE_URL']}")
    click.echo("    .venv/bin/flask conversions list")
    click.echo("    .venv/bin/flask conversions show CALLSID")
    click.echo("  Logs: .run/web.log, .run/worker.log")
    click.echo(
        "  Next: cp .env.example .env, fill it in, copy offhook.toml.example to offhook.toml, and run this again."
    )


def _wait(processes: list[subprocess.Popen[bytes]], stop: threading.Event) -> None:
    """Until asked to stop, or until one of them ends by itself: then all end, with its exit code."""
    while not stop.wait(0.5):
        for child in processes:
            if child.poll() is not None:
                fail(f"{child.args!r} ended by itself, exit code {child.returncode}.", child.returncode or 1)
