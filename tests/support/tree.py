"""A copy of the repository as it would be pushed: what is tracked or could be, links as links, nothing that lies about beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.processes import REPOSITORY


def copy_tree(to: Path) -> Path:
    """Into the folder `to`, which is made where it is not there."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, to / name, follow_symlinks=False)
    return to
