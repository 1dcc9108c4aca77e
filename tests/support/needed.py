"""What a test needs of the machine: where it is missing the test is skipped with a plain word, and in CI it fails."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

_Thing = TypeVar("_Thing")


def require(there: _Thing | None, reason: str) -> _Thing:
    """What is there. Skips where it is None or False; in CI, where nothing may be missing, it fails."""
    if there:
        return there
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
