"""Golden files: what came out of a test once and was found right, as JSON to be read and reviewed by people.

Compares by value, names each call and field that differs, and writes only when it is asked to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters.private_file import write_whole

Outcomes = Mapping[str, Mapping[str, Any]]
"""CallSid -> what became of the call, of values that JSON knows."""

MAX_TOLD = 50  # differences in one message


class GoldenError(Exception):
    """There is no golden file, or it cannot be read. The message says what to do."""


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
    """As it stands in the file: sorted by call, a field a line, so that a change of one is a change of one line."""
    return json.dumps(dict(sorted(outcomes.items())), indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldenError(f"there is no {path}; run pytest --update-golden to make it, and look at it") from None
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path} cannot be read ({error}); correct it or run pytest --update-golden") from None
    if not isinstance(told, dict):
        raise GoldenError(f"{path} is no JSON object; run pytest --update-golden to make it anew")
    return told


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a run that is broken off must leave the file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def differences(found: Mapping[str, Any], golden: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each call or field that differs."""
    for call_sid in sorted({*found, *golden}):
        if call_sid not in golden:
            yield f"{call_sid}: is new ({_shown(found[call_sid])})"
        elif call_sid not in found:
            yield f"{call_sid}: is gone (golden: {_shown(golden[call_sid])})"
        else:
            yield from (f"{call_sid}: {told}" for told in _fields("", found[call_sid], golden[call_sid]))


def _fields(name: str, found: Any, golden: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(golden, dict):
        for key in sorted({*found, *golden}):
            inner = f"{name}.{key}" if name else key
            yield from _fields(inner, found.get(key, _ABSENT), golden.get(key, _ABSENT))
    elif _exact(found) != _exact(golden):
        yield f"{name or 'it'} is {_shown(found)}, golden: {_shown(golden)}"


_ABSENT = object()


def _exact(value: Any) -> str:
    """To Python 1 and True are equal, to the receiver of a conversion they are not."""
    return "" if value is _ABSENT else json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)[:200]


def message(path: Path, told: list[str]) -> str:
    """What a failing test says."""
    more = [f"... and {len(told) - MAX_TOLD} more"] if len(told) > MAX_TOLD else []
    lines = [f"  {line}" for line in (*told[:MAX_TOLD], *more)]
    return "\n".join(
        [
            f"{len(told)} differences from {path}:",
            *lines,
            "If this is right: pytest --update-golden, and review the change.",
        ]
    )
