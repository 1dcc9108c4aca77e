"""Golden files: what came out of a test once and was found right, as JSON to be read and reviewed by people.

Written only when somebody asks for it. What is compared stands in golden_values.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offhook.adapters.private_file import write_whole
from offhook.adapters.recordings.format import HALF
from offhook.adapters.recordings.golden_values import GoldenError, Outcomes, differences, plain

OPTION = "--offhook-update-golden"
MAX_SHOWN = 50  # differences in one message


def check(path: Path, outcomes: Outcomes, *, update: bool) -> list[str]:
    """The differences, a sentence each; none when all is as in the file. With `update` the file is written instead.

    Raises GoldenError.
    """
    found = json.loads(text_of(outcomes))  # as it would come back from the file
    if update:
        _write(path, text_of(outcomes))
        return []
    return list(differences(found, _read(path)))


def text_of(outcomes: Outcomes) -> str:
    """As it stands in the file: sorted by call, a field a line, so that a change of one is a change of one line.

    Raises GoldenError for a value that no file can hold.
    """
    text = json.dumps(dict(sorted(plain(outcomes, "").items())), indent=2, ensure_ascii=False)
    return HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        outcomes = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldenError(f"there is no {path}; run pytest {OPTION} to make it, and look at it") from None
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path} cannot be read ({error}); correct it or run pytest {OPTION}") from None
    if not isinstance(outcomes, dict):
        raise GoldenError(f"{path} is no JSON object; run pytest {OPTION} to make it anew")
    return outcomes


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a run that is broken off must leave the file as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise GoldenError(
            f"{path} cannot be written ({error.strerror}); make its folder writable for {OPTION}"
        ) from None


def message(path: Path, differing: list[str]) -> str:
    """What a failing test says."""
    more = [f"... and {len(differing) - MAX_SHOWN} more"] if len(differing) > MAX_SHOWN else []
    lines = [f"  {line}" for line in (*differing[:MAX_SHOWN], *more)]
    return "\n".join(
        [
            f"{len(differing)} differences from {path}:",
            *lines,
            f"If this is right: pytest {OPTION}, and review the change.",
        ]
    )
