"""Files that hold personal data: for their owner's eyes alone, and whole or not there at all. Knows no format."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
_BEGINNING, _END = ".offhook-", ".part"
_OTHERS = stat.S_IRWXO


@contextmanager
def written_whole(path: Path) -> Iterator[IO[str]]:
    """A text file (UTF-8, line ends as written) that takes the place of `path` when the block ends without an error.

    Until then it stands beside `path`, and whatever was at `path` stays: a full disk, an error, a kill leave that as it
    was. A symbolic link at `path` is refused, for somebody else may have put it there. A device or a pipe is written
    through. Raises OSError, at the beginning where it cannot be written at all.
    """
    if _is_written_through(path):
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    _remove_leftovers(path.parent)
    descriptor, beside = _begun(path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def placed_whole(path: Path, *, replace: bool) -> Iterator[Path]:
    """The path of an empty file beside `path`, for somebody else to fill, that takes its place when the block ends well.

    What is at `path` is replaced only where `replace` says so. Raises OSError, FileExistsError among them.
    """
    if _is_written_through(path):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    if path.exists() and not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    _remove_leftovers(path.parent)
    descriptor, beside = _begun(path.parent)
    try:
        yield beside
        os.fsync(descriptor)
        if replace:
            beside.replace(path)
        else:
            _name_first(beside, path)
    finally:
        beside.unlink(missing_ok=True)
        os.close(descriptor)
    _sync(path.parent)


def _name_first(beside: Path, path: Path) -> None:
    """Give what stands beside the name, unless somebody was quicker. Raises OSError."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links (FAT)
        if path.exists():
            raise
        beside.rename(path)


def write_whole(path: Path, text: str) -> None:
    """`text` as the content of `path`; see `written_whole`. Raises OSError."""
    with written_whole(path) as file:
        file.write(text)


def open_to_append(path: Path) -> int:
    """A descriptor that appends to `path`, made where there is none, its owner's alone from now on. Raises OSError.

    A symbolic link is refused.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def hide_from_others(path: Path) -> None:
    """Take all rights from those who are neither its owner nor in its group, and those of the group with them.

    What others may not read anyway stays as it is: a group that reads the database was given that on purpose. So does
    what is not ours, or not there.
    """
    with suppress(OSError):
        found = path.stat()
        if found.st_mode & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(found.st_mode & stat.S_IRWXU)


def _begun(folder: Path) -> tuple[int, Path]:
    """A new file in `folder`, locked, which says that it is no leftover."""
    while True:
        path = folder / f"{_BEGINNING}{secrets.token_hex(8)}{_END}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return descriptor, path
        os.close(descriptor)  # somebody took it for one before it was locked


def _is_written_through(path: Path) -> bool:
    """True for a device or a pipe, e.g. /dev/null, which must not be replaced by a file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a symbolic link; name the file itself", str(path))
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return not stat.S_ISREG(mode)


def _remove_leftovers(folder: Path) -> None:
    """What killed processes had begun: nobody sees it, and it holds persons. Those under way hold their lock."""
    for path in folder.glob(f"{_BEGINNING}*{_END}"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _sync(folder: Path) -> None:
    """Make the new name last; where a folder cannot be synced, the file is there all the same."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
