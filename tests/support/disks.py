"""Disks that run full and get room again. Imports nothing of Offhook."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_BLOCK = b"\0" * 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder to put a database in. `fill(pid)` leaves no room for the process group of `pid`, `free(pid)` undoes it."""

    folder: Path
    fill: Callable[[int], None]
    free: Callable[[int], None]


class CannotMount(Exception):
    """Mounting a file system needs rights that this run does not have."""


@contextmanager
def small_tmpfs(folder: Path, size: str = "4m") -> Iterator[Disk]:
    """A file system of its own, filled by a file to the last block: writes fail with ENOSPC. Raises CannotMount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "offhook-test", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMount from error
    ballast = folder / "ballast"

    def fill(_pid: int) -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(_BLOCK)

    try:
        yield Disk(folder, fill, lambda _pid: ballast.unlink())
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    """The processes may write no file beyond its first 4 KB (RLIMIT_FSIZE): writes fail with EFBIG. Needs no rights."""
    folder.mkdir()

    def limit(pid: int, length: int) -> None:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))

    yield Disk(folder, lambda pid: limit(pid, 4096), lambda pid: limit(pid, resource.RLIM_INFINITY))
