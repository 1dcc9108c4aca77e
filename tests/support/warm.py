"""Starts `flask ...` and `gunicorn ...` from a process (`starter.py`) that has their modules already, and forks for each.

Reading the modules is most of what a short command costs, and the suite starts some thousand processes. What comes out is a
process like any other: with its own memory, environment, folder, session, signals and exit code. What a start from nothing does
is tried where it is the subject (the wheel, the Procfile, the lines of the README; `warm_flask` serves other scripts), and by
`Popen` wherever a test changes what Python itself reads at its start.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from io import FileIO
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_PROGRAMS = ("flask", "gunicorn")
_PYTHON_MAY_SAY = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


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
            [sys.executable, "-m", "tests.support.starter", str(theirs.fileno())],
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OFFHOOK"))},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours
