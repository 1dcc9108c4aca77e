"""`flask up` (`make run`): everything on this machine. With nothing configured a demonstration, otherwise the real thing."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

import click
from flask import current_app
from flask.cli import with_appcontext

from offhook.adapters.commands import demonstration
from offhook.adapters.commands.context import LedgerCommand, Offhook, fail, known_settings, stop_when_asked
from offhook.adapters.commands.listed import LISTED
from offhook.adapters.commands.sandbox import show_event
from offhook.adapters.private_file import PRIVATE_FOLDER, open_to_append
from offhook.adapters.recordings.replay import Replay, Tape, plan, replay, target
from offhook.adapters.rockerbox.sandbox import Sandbox
from offhook.adapters.twilio.signature import by_auth_token
from offhook.pipeline.arrival import CALLBACK_PATH
from offhook.settings import Settings, SettingsError, given

ACCOUNT = "AC00000000000000000000000000000001"  # the account of all recordings
START_SECONDS = 20.0
STOP_SECONDS = 27.0
_HOME = Path(__file__).parents[2]
_RECORDINGS = _HOME / "recordings"
_DAY_OF_A_SHOP = "shop-day.jsonl"
_APP = "offhook.main:create_app"
_SCRATCH = Path(".run")
_LOCK = "lock"
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"


@click.command(cls=LedgerCommand)
@with_appcontext
def up() -> None:
    """Run web and worker together, until Ctrl-C.

    With nothing configured this is a demonstration: SQLite in .run/, a Rockerbox of its own on this machine, sample
    customers, and recorded callbacks that are sent signed. With a .env (see .env.example) it is the real thing.

    \b
    flask up
    """
    settings = known_settings(lambda found: [*found.missing_for_web(), *found.missing_for_worker()])
    stop = stop_when_asked()
    if Path(".env").exists() or _has_keys(settings):
        _real(settings, stop)
    else:
        _demonstration(settings.port, stop)


def _has_keys(settings: Settings) -> bool:
    try:
        return settings.has_keys
    except SettingsError as error:
        fail(str(error), 2)


def _real(settings: Settings, stop: threading.Event) -> None:
    missing = [*settings.missing_for_web(), *settings.missing_for_worker()]
    if missing:
        fail("Offhook cannot start:\n" + "\n".join(f"  {each}" for each in missing), 2)
    why_not = _why_not(_EVERYWHERE, settings.port)
    if why_not:
        fail(f"Port {settings.port} cannot be used ({why_not}). End what listens there, or set PORT to another one.")
    env = {**os.environ, "FLASK_APP": _APP}
    with _service(settings):
        _run("db", "upgrade")
    with ExitStack() as running:
        children = {"web": running.enter_context(_process(_WEB, env))}
        if settings.worker == "separate":
            children["worker"] = running.enter_context(_process(_WORKER, env))
        if _is_up(settings.port, children["web"], stop):
            beside = "the worker runs beside it. Ctrl-C stops both." if len(children) > 1 else "Ctrl-C stops it."
            click.echo(f"Web listens on port {settings.port}; {beside}")
            _first_link(env)
        _wait(children, stop)


def _demonstration(port: int, stop: threading.Event) -> None:
    lock = _take_folder()
    port = _free_port(port)
    web_command = [*_WEB, "--bind", f"{_LOOPBACK}:{port}"]
    with ExitStack() as running:
        is_live = threading.Event()
        sandbox = running.enter_context(Sandbox(on_event=lambda event: show_event(event) if is_live.is_set() else None))
        env = _demonstration_environment(port, sandbox.url)
        click.secho("Demonstration: nothing is configured, so nothing leaves this machine.", bold=True)
        with _service(given(env)) as service:
            _run("db", "upgrade")
            _run("customers", "import", str(_RECORDINGS / "customers.csv"), "--rejects", ".run/rejected.csv")
            door = _a_month(service, sandbox)
        web = running.enter_context(_process(web_command, env, _SCRATCH / "web.log", lock))
        worker = running.enter_context(_process(_WORKER, env, _SCRATCH / "worker.log", lock))
        if not _is_up(port, web, stop):
            _fail_not_up(stop)
        click.secho(
            f"\nRecorded callbacks go to {CALLBACK_PATH}, signed; each conversion as it arrives at the sandbox:",
            bold=True,
        )
        is_live.set()
        before = len(sandbox.events())
        _send_recordings(port, env["TWILIO_AUTH_TOKEN"])
        _wait_until_quiet(sandbox, before, stop)
        _what_next(port, sandbox, env, door)
        _wait({"web": web, "worker": worker}, stop)


def _first_link(env: Mapping[str, str]) -> None:
    """Print the link that makes the first user of the dashboard, while there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "users", "invite", "--first"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        click.echo(f"The dashboard has no user yet. Make the first, an admin, by this link: {done.stdout.strip()}")
        click.echo(f"{done.stderr.strip()} Another one: flask users invite --first")


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
        "OFFHOOK_CUSTOMERS_NICE": "0",  # no callback waits for the import, and this process goes on
        "FLASK_APP": _APP,
        **_sample_rules(),
    }
    # The sandbox is on this machine, and a proxy is not.
    return {name: value for name, value in os.environ.items() if name.upper() != "OFFHOOK_EGRESS_PROXY"} | ours


def _sample_rules() -> dict[str, str]:
    """Rules by which some calls do not count, and names for the numbers; whoever has rules sees them at work instead."""
    has_own = Path("offhook.toml").exists() or {"OFFHOOK_RULES", "OFFHOOK_CONFIG"} & os.environ.keys()
    return {} if has_own else {"OFFHOOK_RULES": demonstration.RULES}


def _free_port(wished: int) -> int:
    """The port that was asked for, or any other when somebody has it."""
    why_not = _why_not(_LOOPBACK, wished)
    if not why_not:
        return wished
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    click.echo(f"Port {wished} cannot be used ({why_not}): the demonstration takes {port}.", err=True)
    return port


def _why_not(address: str, port: int) -> str:
    """What keeps a server from listening there; "" when nothing does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ""


_WEB = [sys.executable, "-m", "gunicorn", "-c", str(_HOME / "gunicorn.conf.py"), f"{_APP}()"]
_WORKER = [sys.executable, "-m", "flask", "worker"]


@contextmanager
def _service(settings: Settings) -> Iterator[Offhook]:
    """That of the commands which run within. Its database is closed before web and worker begin."""
    known = current_app.extensions
    known["offhook"] = service = known["offhook.build"](settings)
    try:
        yield service
    finally:
        service.ledger.close()
        del known["offhook"]


def _run(name: str, *arguments: str) -> None:
    """A command, in this process: to start another one takes longer than most of them."""
    [command] = [each for each in LISTED if each.name == name]
    with command.make_context(name, list(arguments), parent=click.get_current_context().parent) as context:
        context.command.invoke(context)


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


def _is_up(port: int, web: subprocess.Popen[bytes], stop: threading.Event) -> bool:
    """Whether it answers, as soon as it does; False when it ended, when somebody asked to stop, or when it takes too long."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and web.poll() is None:
        asked = HTTPConnection(_LOOPBACK, port, timeout=1)  # past any proxy that the environment names
        try:
            asked.request("GET", "/healthz")
            return asked.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            if stop.wait(0.1):
                return False
        finally:
            asked.close()
    return False


def _fail_not_up(stop: threading.Event) -> NoReturn:
    if stop.is_set():
        raise SystemExit(0)
    fail(f"The web process did not start; it said:\n{(_SCRATCH / 'web.log').read_text(errors='replace')}")


def _send_recordings(port: int, token: str) -> None:
    names = sorted(path for path in _RECORDINGS.glob("*.jsonl") if path.name != _DAY_OF_A_SHOP)
    tape = Tape.of_files(names)
    options = Replay(speed=None, shift_to=datetime.now(UTC), account_sid=ACCOUNT)
    to = target(f"http://127.0.0.1:{port}")
    summary = replay(plan(tape, options), to, by_auth_token(token))
    answers = [f"{count} x {status}" for status, count in sorted(summary.by_status.items())]
    answers += [f"{count} without an answer ({word})" for word, count in sorted(summary.errors.items())]
    click.echo(f"{summary.sent} callbacks sent: {', '.join(answers)}")


def _a_month(service: Offhook, sandbox: Sandbox) -> str:
    """Fill the demonstration's database with a month of calls. Returns the link of its one user."""
    try:
        count = demonstration.fill(service, sandbox, _RECORDINGS / _DAY_OF_A_SHOP, datetime.now(UTC))
        click.echo(f"A month of calls has been made up: {count} callbacks, kept, decided and sent to the sandbox.")
        return demonstration.link(service, sandbox)
    except demonstration.NotADemonstration as error:
        fail(f"The demonstration is not filled: {error}.")


def _wait_until_quiet(sandbox: Sandbox, before: int, stop: threading.Event) -> None:
    """Until no conversion has come for a while, of those that come after the first `before`."""
    known, quiet = -1, 0
    while quiet < 4 and not stop.wait(0.5):
        now = len(sandbox.events()) - before
        quiet = quiet + 1 if now == known and now else 0
        known = now


def _what_next(port: int, sandbox: Sandbox, env: Mapping[str, str], door: str) -> None:
    click.secho("\nUp. Ctrl-C ends it.", bold=True)
    click.echo("  The dashboard, with a month of calls in it. This link lets you in, once, on this machine:")
    click.secho(f"    {door}", bold=True)
    click.echo(f"  {sandbox.url}  what Rockerbox would have got (also /events.json)")
    click.echo(f"  http://127.0.0.1:{port}/readyz  is it ready, what waits")
    click.echo("  Why is a call there, or not? In another terminal:")
    click.echo(f"    export DATABASE_URL={env['DATABASE_URL']}")
    click.echo("    .venv/bin/flask conversions list")
    click.echo("    .venv/bin/flask explain CALLSID")
    click.echo("  Logs: .run/web.log, .run/worker.log")
    click.echo(
        "  Next: cp .env.example .env, fill it in, copy offhook.toml.example to offhook.toml, and run this again."
    )


def _wait(children: Mapping[str, subprocess.Popen[bytes]], stop: threading.Event) -> None:
    """Until asked to stop, or until one of them ends by itself: then all end, with its exit code."""
    while not stop.wait(0.5):
        for name, child in children.items():
            code = child.poll()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                fail(f"The {name} process ended by itself ({how}); its last lines say why.", code if code > 0 else 1)
