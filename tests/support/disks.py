"""Disks that run full and get room again. Imports nothing of Offhook."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.needed import may_lack

_BLOCK = b"\0" * 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder to put a database in. `fill(pid)` leaves no room for the process group of `pid`, `free(pid)` undoes it."""

    folder: Path
    fill: Callable[[int], None]
    free: Callable[[int], None]


@contextmanager
def small_tmpfs(folder: Path, size: str = "4m") -> Iterator[Disk]:
    """A file system of its own, filled by a file to the last block: writes fail with ENOSPC."""
    folder.mkdir()
    with mounted(folder, size):
        yield _with_ballast(folder)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """An empty file system over the folder. The test is left out where this run may not mount."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "offhook-test", str(folder)]
    may_lack(shutil.which("mount"), "mounts")
    done = subprocess.run(command, capture_output=True, text=True)
    may_lack(done.returncode == 0, "mounts", done.stderr)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _with_ballast(folder: Path) -> Disk:
    ballast = folder / "ballast"

    def fill(_pid: int) -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(_BLOCK)

    return Disk(folder, fill, lambda _pid: ballast.unlink())


@contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    """The processes may write no file beyond its first 4 KB (RLIMIT_FSIZE): writes fail with EFBIG. Needs no rights."""
    folder.mkdir()

    def limit(pid: int, length: int) -> None:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))

    yield Disk(folder, lambda pid: limit(pid, 4096), lambda pid: limit(pid, resource.RLIM_INFINITY))
