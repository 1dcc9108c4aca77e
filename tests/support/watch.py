"""A process beside each run of the tests that ends what the run has started, when the run itself was ended by a signal.

It waits at the other end of a pipe, which closes with whoever holds it, however that one ends. Run as a program it is that
process; what is to be ended is given to it through the functions.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_STARTING_SECONDS = 5.0  # pg_ctl may be on its way still
_ENDING_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.1


def group_runs(leader_pid: int) -> None:
    """A process group that must not outlive this run."""
    _send(f"+group {leader_pid}")


def group_ended(leader_pid: int) -> None:
    _send(f"-group {leader_pid}")


def cluster_runs(folder: Path) -> None:
    """A folder with a Postgres in `data`: both must not outlive this run."""
    _send(f"+cluster {folder}")


def cluster_ended(folder: Path) -> None:
    _send(f"-cluster {folder}")


def _send(line: str) -> None:
    stdin = _watcher().stdin
    assert stdin is not None
    with suppress(BrokenPipeError):  # somebody ended it: then nobody watches
        stdin.write(f"{line}\n".encode())
        stdin.flush()


@cache
def _watcher() -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C and a kill of our group leave it."""
    command = [sys.executable, "-P", __file__]  # not the modules beside it
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")


def main() -> None:
    """Until the pipe closes; then what is still there is ended."""
    there: dict[str, set[str]] = {"group": set(), "cluster": set()}
    for line in sys.stdin:
        kind, _, what = line[1:].rstrip("\n").partition(" ")
        (there[kind].add if line[0] == "+" else there[kind].discard)(what)
    for leader in there["group"]:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(leader), signal.SIGKILL)
    for folder in there["cluster"]:
        _end_cluster(Path(folder))


def _end_cluster(folder: Path) -> None:
    """At once, as in a crash: its files are thrown away."""
    until = time.monotonic() + _STARTING_SECONDS
    while (server := _server_of(folder)) is None and folder.exists() and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_SECONDS)
    with suppress(psutil.Error):
        if server is not None:
            _end(server)
    shutil.rmtree(folder, ignore_errors=True)


def _end(server: psutil.Process) -> None:
    server.send_signal(signal.SIGQUIT)  # https://www.postgresql.org/docs/current/server-shutdown.html
    try:
        server.wait(_ENDING_SECONDS)
    except psutil.TimeoutExpired:
        server.kill()


def _server_of(folder: Path) -> psutil.Process | None:
    """The postmaster that has its data there, and no other process that got its number."""
    try:
        server = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
        return server if any(str(folder) in word for word in server.cmdline()) else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


if __name__ == "__main__":
    main()
