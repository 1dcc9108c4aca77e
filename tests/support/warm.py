"""Starts `flask ...` and `gunicorn ...` from a process that has their modules already, and forks for each.

Reading the modules is most of what a short command costs, and the suite starts some thousand processes. What comes out is a
process like any other: with its own memory, environment, folder, session, signals and exit code. What a start from nothing does
is tried where it is the subject (the wheel, the Procfile, the lines of the README; `warm_flask` serves other scripts), and by
`Popen` wherever a test changes what Python itself reads at its start.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).parents[2]
_PROGRAMS = ("flask", "gunicorn")
_PYTHON_MAY_SAY = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
_LONGEST_REQUEST = 1 << 20


def can_start(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether the command is one of ours, and nothing in its environment changes how Python itself starts."""
    ours = tuple(command[:2]) == (sys.executable, "-m") and command[2] in _PROGRAMS
    said = {name: value for name, value in env.items() if name.startswith("PYTHON")}
    same_words = all(env.get(name) == os.environ.get(name) for name in ("LANG", "LC_ALL", "LC_CTYPE"))
    return ours and said == _PYTHON_MAY_SAY and same_words


class Started:
    """A process that was started here: as much of `subprocess.Popen` as our tests use."""

    def __init__(self, status_fd: int) -> None:
        self._status = FileIO(status_fd)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            more = self._status.read(1)
            if not more:
                raise RuntimeError("the process that starts others has ended")
            line += more
        return line

    def poll(self) -> int | None:
        """The exit code, once there is one; a signal's number below zero."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired`."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._line()))
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As `kill`; nothing once it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def __del__(self) -> None:
        self._status.close()


def start(
    command: Sequence[str], env: Mapping[str, str], folder: Path, standard: Sequence[int], *, own_session: bool
) -> Started:
    """A command that `can_start`, with these as its standard input, output and error."""
    asked = json.dumps([command[2:], dict(env), str(folder), own_session]).encode()
    reads, writes = os.pipe()
    try:
        socket.send_fds(_starter(), [asked], [*standard, writes])
    finally:
        os.close(writes)
    return Started(reads)


@cache
def _starter() -> socket.socket:
    """The other end is closed with this process, however it ends; then the starter ends, too."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OFFHOOK"))},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours


def main(fd: int) -> None:
    """Fork for each request until nobody can ask any more."""
    _read_modules()
    gc.freeze()  # what is there stays in memory that is shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for what became of the keepers
    asking = socket.socket(fileno=fd)
    while True:
        asked, fds, _, _ = socket.recv_fds(asking, _LONGEST_REQUEST, 4)
        if not asked:
            return
        if os.fork() == 0:
            asking.close()
            _keep(asked, fds)
        for passed in fds:
            os.close(passed)


def _read_modules() -> None:
    """All that web, worker and commands are made of. `app` is not: importing it starts something."""
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: F401

    from offhook import main, service  # noqa: F401
    from offhook.adapters.commands.listed import LISTED
    from offhook.adapters.way_out.request import trusting

    for command in LISTED:
        command.load()
    trusting(None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]:
        del sys.modules[name]  # it takes the folder in which it is imported for the one to run in


def _keep(asked: bytes, fds: Sequence[int]) -> NoReturn:
    """Start what was asked for, and say what became of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, status = fds
    arguments, env, folder, own_session = json.loads(asked)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        if own_session:
            os.setsid()
        _become(env, folder, standard)
        _run(arguments, folder)
    os.write(status, b"%d\n" % pid)
    for passed in standard:
        os.close(passed)
    _, ended = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # whoever asked is gone
        os.write(status, b"%d\n" % ended)
    os._exit(0)


def _become(env: Mapping[str, str], folder: str, standard: Sequence[int]) -> None:
    for number, passed in enumerate(standard):
        os.dup2(passed, number)
        os.close(passed)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = FileIO(number, "w" if number else "r", closefd=False)
        stream = TextIOWrapper(BufferedWriter(raw) if number else BufferedReader(raw), line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run(arguments: list[str], folder: str) -> NoReturn:
    module, *rest = arguments
    sys.path[:1] = [folder, str(REPOSITORY)]
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main(int(sys.argv[1]))
