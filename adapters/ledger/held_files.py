"""Files that this process keeps open, so that no other file gets their inode numbers: a file that is made anew often gets those of
one that has just gone, and would be taken for it.

Each file is opened once, whoever holds it: closing a file gives up the process's locks of it, those of SQLite's connections
included (https://www.sqlite.org/howtocorrupt.html, 2.2). It is closed when nobody holds it any more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from contextlib import suppress

Inode = tuple[int, int]
"""Device and number."""

_guard = threading.Lock()
_open: dict[Inode, list[int]] = {}
_holders: dict[Inode, int] = {}


class HeldFiles:
    """What one holder holds."""

    def __init__(self) -> None:
        self._mine: set[Inode] = set()

    def hold(self, names: Collection[str]) -> None:
        """From now on the files that have these names now, and no others. One that is gone already is left out."""
        with _guard:
            found = {inode for name in names if (inode := _held(name)) is not None}
            for inode in found - self._mine:
                _holders[inode] = _holders.get(inode, 0) + 1
            gone, self._mine = self._mine - found, found
            for inode in gone:
                _let_go(inode)

    def release(self) -> None:
        """None of them."""
        self.hold(())


def _held(name: str) -> Inode | None:
    """Opened, if it is not yet."""
    with suppress(OSError):
        found = os.stat(name)  # noqa: PTH116 (as sqlite.py asks for it)
        if (found.st_dev, found.st_ino) in _open:
            return found.st_dev, found.st_ino
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(file)
        _open.setdefault((found.st_dev, found.st_ino), []).append(file)
        return found.st_dev, found.st_ino
    return None


def _let_go(inode: Inode) -> None:
    _holders[inode] -= 1
    if _holders[inode] == 0:
        del _holders[inode]
        for file in _open.pop(inode):
            os.close(file)
