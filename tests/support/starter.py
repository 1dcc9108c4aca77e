"""The process that has the modules of our programs already and forks for each start: what `warm.py` asks, from outside.

It knows nothing of tests, and what it starts is to behave as if it had been started from nothing.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from pkgutil import walk_packages
from typing import NoReturn

from gunicorn.config import Chdir
from sqlalchemy.engine import Engine

import offhook
from offhook.adapters.dashboard.assets import bundles
from offhook.adapters.ledger import sqlite
from offhook.adapters.way_out.request import trusting

REPOSITORY = Path(__file__).parents[2]
_LONGEST_REQUEST = 1 << 20
_ARE_READ_BY_OTHERS = ("offhook.pytest_offhook", "offhook.adapters.ledger.migrations.")  # pytest, and Alembic
_COME_LATE = (
    "psycopg",
    "pysqlite3.dbapi2",
    "rich.console",
    "rich.table",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "gunicorn.glogging",
)


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
    """All that web, worker and commands are made of, also what they read when they come to need it. `app` is not: importing
    it starts something.
    """
    for each in walk_packages(offhook.__path__, "offhook."):
        if not each.name.startswith(_ARE_READ_BY_OTHERS):
            import_module(each.name)
    for name in _COME_LATE:
        import_module(name)
    trusting(None)
    bundles()
    sqlite.module()


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
    Chdir.default = folder  # gunicorn takes the folder in which it is imported for the one to run in
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
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    if code is None or isinstance(code, int):
        _end(code or 0)
    sys.exit(code)  # type: ignore[arg-type]


def _end(code: int) -> None:
    """As Python ends, but that it takes no module apart: that is most of what a short command costs here, for each page of
    memory that it touches is copied. Returns where that is left to Python: what was written goes nowhere.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads, as the next does for nobody
    atexit._run_exitfuncs()
    for each in gc.get_objects():  # of this process alone: the others are frozen
        if type(each) is Engine:
            each.dispose()  # SQLite's files are put together as the last one closes them
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
