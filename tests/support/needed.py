"""What a test needs of the machine: where it is missing the test is left out with a plain word, and in CI it fails.

But for what no CI needs to have, `MAY_LACK`: each with its reason. What was left out is named at the end of a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypeVar

import pytest

_Thing = TypeVar("_Thing")

MAY_LACK: Mapping[str, str] = {
    "mounts": "mounting a file system is for root, and in most containers for nobody; disks are full by a limit of files",
    "namespaces": "a network of its own is refused in most containers, and here and there to all but root",
    "container engine": "no container engine is here: the image was not built and compose.yaml not run, only read by linters",
    "package index": "the package index cannot be reached, and whoever has the packages already needs none",
}
"""What even CI may be without, and why."""

_LEFT_OUT = "left out: "


def require(there: _Thing | None, reason: str) -> _Thing:
    """What is there. Leaves the test out where it is None or False; in CI, where nothing may be missing, it fails."""
    if there:
        return there
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(_LEFT_OUT + reason)


def may_lack(there: _Thing | None, what: str, detail: str = "") -> _Thing:
    """What is there. Leaves the test out where it is None or False, in CI as well, for the reason that `MAY_LACK` has."""
    if there:
        return there
    said = " ".join(detail.split())[-300:]
    pytest.skip(f"{_LEFT_OUT}{MAY_LACK[what]}{said and f' ({said})'}")


def left_out(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """Each test that the machine lacked something for, and what."""
    found = []
    for one in skipped:
        reason = one.longrepr[2] if isinstance(one.longrepr, tuple) else str(one.longrepr)
        if _LEFT_OUT in reason:
            found.append(f"left out: {one.nodeid}, because {reason.partition(_LEFT_OUT)[2]}")
    return found
