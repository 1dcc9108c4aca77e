"""A `flask` for scripts of a shell that starts in `warm`: reading the modules is most of what a short command costs.

It is a small program beside the script. It hands its words, environment, folder and standard streams to whoever has
written it, and ends as the command ended.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from tests.support import warm

_ASKS = """#!{python} -ISE
import json, os, socket, sys
asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asking.connect({address!r})
message = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(asking, [message], [0, 1, 2])
sys.exit(int(asking.recv(16)))
"""
_LONGEST = 1 << 20


@contextmanager
def warm_flask(program: Path) -> Iterator[None]:
    """While this lasts, `program` is a command that does what `python -m flask` does."""
    with TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        address = f"{short}/flask"
        listening.bind(address)
        listening.listen()
        program.write_text(_ASKS.format(python=sys.executable, address=address))
        program.chmod(0o755)
        answering = Thread(target=_answer, args=(listening,))
        answering.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            answering.join()


def _answer(listening: socket.socket) -> None:
    with suppress(OSError):  # it is shut down
        while True:
            asking, _ = listening.accept()
            Thread(target=_run, args=(asking,)).start()


def _run(asking: socket.socket) -> None:
    """One command to its end. 128 and the signal's number when a signal ended it, as a shell has it."""
    with asking:
        message, streams, _, _ = socket.recv_fds(asking, _LONGEST, 3)
        words, env, folder = json.loads(message)
        command = [sys.executable, "-m", "flask", *words]
        assert warm.can_start(command, env), env
        started = warm.start(command, env, Path(folder), streams, own_session=False)
        for stream in streams:
            os.close(stream)
        code = started.wait()
        asking.send(b"%d" % (code if code >= 0 else 128 - code))
