"""A recording that grows while callbacks come in, up to a size. Each line is in the file whole, or not at all."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from offhook.adapters.private_file import open_to_append
from offhook.adapters.recordings.format import Record, RecordingError, dump, numbered_lines, parse


class TapFile:
    """The file that a tap appends to; a context manager. It never has more than `max_bytes`.

    A file that is there already must be a recording. Raises RecordingError when it is none, cannot be written, or has
    another tap at it.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._begins_empty = not (path.exists() and path.stat().st_size)
        if not self._begins_empty:
            _check_recording(path)
        try:  # for its owner's eyes alone: even pseudonyms show when somebody called
            self._file = open_to_append(path)
        except OSError as error:
            raise RecordingError(str(path), f"cannot be written ({error.strerror}); name another file") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise RecordingError(str(path), "another tap writes to it; name another file") from None
        self._size = os.fstat(self._file).st_size

    @property
    def begins_empty(self) -> bool:
        """True when nothing was in the file before."""
        return self._begins_empty

    def append(self, record: Record) -> bool:
        """Write one callback. False when there is no room for it within `max_bytes`. Raises RecordingError."""
        line = dump(record).encode() + b"\n"
        if self._size + len(line) > self._max_bytes:
            return False
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise RecordingError(str(self._path), f"cannot be written ({error.strerror}); make room") from None
        if written < len(line):
            os.ftruncate(self._file, self._size)
            raise RecordingError(str(self._path), "cannot be written (the disk is full); make room")
        self._size += written
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def _check_recording(path: Path) -> None:
    """Its first line is read and its last one looked at: a tap must not spoil another file."""
    for _, line, place in numbered_lines(path):
        parse(line, place)
        break
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            raise RecordingError(str(path), "its last line has no end; remove that line or name another file")
