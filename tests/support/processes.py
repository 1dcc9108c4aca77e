"""Offhook as its users run it: real gunicorn, real `flask worker`, started and killed by process group.

They run in an empty folder with an environment made here, so that a developer's `.env` and shell stay out of it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from tests.support import warm, watch
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, Twilio
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """Enough for Python to find the code, and no setting of Offhook's."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR")}
    return kept | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "FLASK_APP": "app",
        "FLASK_SKIP_DOTENV": "1",
    }


# On a busy machine an answer may take seconds. What tries a deadline or a lease names its own.
PATIENT = {"OFFHOOK_DEADLINE_SECONDS": "30", "OFFHOOK_LEASE_SECONDS": "60"}
READS_AS_LONG_AS_IT_TAKES = {"OFFHOOK_PAGE_STATEMENT_SECONDS": "60", "OFFHOOK_STATEMENT_SECONDS": "3600"}
IMPATIENT = {"OFFHOOK_DEADLINE_SECONDS": "1", "OFFHOOK_LEASE_SECONDS": "3"}


def environment(database_url: str, sink_url: str = "http://127.0.0.1:9/none", **changes: str) -> dict[str, str]:
    """Settings for a quick Offhook that serves ACCOUNT_SID and delivers to `sink_url`."""
    settings = {
        "DATABASE_URL": database_url,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "PUBLIC_URL": PUBLIC_URL,
        "ROCKERBOX_ADVERTISER_ID": "advertiser-for-tests",
        "ROCKERBOX_URL": sink_url,
        "OFFHOOK_SETTLE_SECONDS": "0",
        "OFFHOOK_POLL_SECONDS": "0.05",
        **PATIENT,
        **READS_AS_LONG_AS_IT_TAKES,
        "OFFHOOK_RETRY_BASE_SECONDS": "0.1",
        "OFFHOOK_RETRY_CAP_SECONDS": "0.5",
        "OFFHOOK_DELIVERY_THREADS": "8",
        "OFFHOOK_READY_CACHE_SECONDS": "0",
        "WEB_CONCURRENCY": "1",
    }
    return bare_environment() | settings | changes


def wrong_clock(ahead_seconds: int) -> dict[str, str]:
    """Of a process on a machine whose clock is so far ahead (negative: behind)."""
    folder = Path(__file__).parent / "wrong_clock"
    return {"PYTHONPATH": f"{folder}:{REPOSITORY}", "CLOCK_AHEAD_SECONDS": str(ahead_seconds)}


def standard_sqlite() -> dict[str, str]:
    """Of a process on a machine where pysqlite3 has no wheel: Python's own SQLite is all there is."""
    return {"PYTHONPATH": f"{Path(__file__).parent / 'standard_sqlite'}:{REPOSITORY}"}


def flask(*arguments: str, env: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`flask ARGUMENTS`, to its end."""
    return run([sys.executable, "-m", "flask", *arguments], env, folder)


def run(
    command: Sequence[str], env: Mapping[str, str], folder: Path, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command to its end, with `given` to read and what it has written."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(given.encode())
        files = [stdin, stdout, stderr]
        for file in files:
            file.seek(0)
        code = start(command, env, folder, [file.fileno() for file in files], own_session=False).wait()
        for file in files:
            file.seek(0)
        return subprocess.CompletedProcess(command, code, stdout.read().decode(), stderr.read().decode())


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    standard: Sequence[int],
    *,
    own_session: bool,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes] | warm.Started:
    """With these as standard input, output and error."""
    if not pass_fds and warm.can_start(command, env):
        return warm.start(command, env, folder, standard, own_session=own_session)
    stdin, stdout, stderr = standard
    return subprocess.Popen(
        command,
        env=env,
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
        pass_fds=tuple(pass_fds),
    )


class Process:
    """A command in a process group of its own, its output in a file. Killed at the end of a `with`."""

    def __init__(
        self, command: list[str], env: Mapping[str, str], folder: Path, name: str, pass_fds: Collection[int] = ()
    ) -> None:
        self._command, self._env, self._folder, self._pass_fds = command, dict(env), folder, pass_fds
        self.log_path = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | warm.Started | None = None
        self._log_begins = 0

    def start(self) -> Self:
        self._log_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log, Path(os.devnull).open() as nothing:
            standard = [nothing.fileno(), log.fileno(), log.fileno()]
            self._process = start(
                self._command, self._env, self._folder, standard, own_session=True, pass_fds=self._pass_fds
            )
        watch.group_runs(self.pid)
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote since it was started last."""
        return self.log_path.read_bytes()[self._log_begins :].decode(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the whole group; nothing is said, nothing is flushed."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(HANGS_AFTER_SECONDS)
        watch.group_ended(self.pid)

    def terminate(self) -> None:
        """SIGTERM, as a platform sends it to the process that it started."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """SIGHUP: gunicorn's word for reading settings and code again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stall(self) -> None:
        """SIGSTOP. Returns when every thread has stopped: after the signal each may still take a lock."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(self._is_stalled)

    def _is_stalled(self) -> bool:
        try:
            threads = [path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # one that ended meanwhile
            return False
        return all(each.rpartition(")")[2].split()[0] == "T" for each in threads)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def children(self) -> set[int]:
        """The processes that it has started and that run."""
        return {int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()}

    def wait(self) -> int:
        """The exit code. Raises TimeoutExpired when it does not end."""
        assert self._process is not None
        return self._process.wait(HANGS_AFTER_SECONDS)

    def wait_for_log(self, text: str) -> None:
        def said_or_ended() -> bool:
            return text in self.log or not self.is_running

        wait_until(said_or_ended, shows=lambda: f"no {text!r} in:\n{self.log[-3000:]}")
        if text not in self.log:
            raise AssertionError(f"it ended before it said {text!r}:\n{self.log[-3000:]}")


def _port_of(fd: int) -> int:
    with socket.socket(fileno=os.dup(fd)) as known:
        return int(known.getsockname()[1])


def _activated(command: list[str], fd: int | None) -> list[str]:
    """As systemd starts a service that has a socket: https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html"""
    start = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
    )
    start += "os.execv(sys.argv[2], sys.argv[2:])"
    return command if fd is None else [sys.executable, "-c", start, str(fd), *command]


class Web(Process):
    """`gunicorn app:app` on a free port, which it keeps when it is started again."""

    def __init__(
        self, env: Mapping[str, str], folder: Path, name: str = "web", *, tree: Path = REPOSITORY, fd: int | None = None
    ) -> None:
        """`fd` is a listening socket that stays with whoever opened it; `tree` another copy of the code."""
        self.port = free_port() if fd is None else _port_of(fd)
        command = [sys.executable, "-m", "gunicorn", "-c", str(tree / "gunicorn.conf.py"), "app:app"]
        env = {**env, "PORT": str(self.port)} | ({} if tree == REPOSITORY else {"PYTHONPATH": str(tree)})
        super().__init__(_activated(command, fd), env, folder, name, () if fd is None else (fd,))
        self.twilio = Twilio(self.port)

    def _wait_ready(self) -> None:
        def answers_or_ended() -> bool:
            return not self.is_running or self._is_alive()

        wait_until(answers_or_ended, shows=lambda: self.log[-3000:])
        if not self.is_running:
            raise AssertionError(f"gunicorn ended at its start:\n{self.log[-3000:]}")

    def _is_alive(self) -> bool:
        try:
            return self.twilio.get("/healthz").status == 200
        except OSError:
            return False


class WorkerProcess(Process):
    """`flask worker`."""

    def __init__(self, env: Mapping[str, str], folder: Path, name: str = "worker") -> None:
        super().__init__([sys.executable, "-m", "flask", "worker"], env, folder, name)

    def _wait_ready(self) -> None:
        self.wait_for_log("worker_started")


class Up(Process):
    """`flask up`, or another program's `up`, until it says `ready`. Ended gently: a killed one leaves web and worker running."""

    def __init__(
        self,
        env: Mapping[str, str],
        folder: Path,
        *,
        ready: str = "Up. Ctrl-C ends it.",
        program: Sequence[str] = (sys.executable, "-m", "flask"),
    ) -> None:
        self.port = free_port()
        super().__init__([*program, "up"], {**env, "PORT": str(self.port), "PYTHONUNBUFFERED": "1"}, folder, "up")
        self._ready = ready

    def _wait_ready(self) -> None:
        self.wait_for_log(self._ready)

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        if self.is_running:
            self.interrupt()
            self.wait()
        super().kill()
