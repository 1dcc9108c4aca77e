"""Golden files: what came out of a test once and was found right, as JSON to be read and reviewed by people.

Compares by value, names each call and field that differs, and writes only when it is asked to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from offhook.adapters.private_file import write_whole

Outcomes = Mapping[str, Mapping[str, Any]]
"""CallSid -> what became of the call, of values that JSON knows or `plain` makes such."""

OPTION = "--offhook-update-golden"
MAX_TOLD = 50  # differences in one message


class GoldenError(Exception):
    """There is no golden file, or it cannot be read, written or hold this. The message says what to do."""


def check(path: Path, outcomes: Outcomes, *, update: bool) -> list[str]:
    """The differences, a sentence each; none when all is as in the file. With `update` the file is written instead.

    Raises GoldenError.
    """
    found = json.loads(text_of(outcomes))  # as it would come back from the file
    if update:
        _write(path, text_of(outcomes))
        return []
    return list(differences(found, _read(path)))


_HALF = re.compile("[\ud800-\udfff]")  # half of a character, which UTF-8 cannot write and JSON escapes


def text_of(outcomes: Outcomes) -> str:
    """As it stands in the file: sorted by call, a field a line, so that a change of one is a change of one line.

    Raises GoldenError for a value that no file can hold.
    """
    text = json.dumps(dict(sorted(plain(outcomes, "").items())), indent=2, ensure_ascii=False)
    return _HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def plain(value: Any, place: str) -> Any:
    """What stands for a value in JSON: a Decimal, UUID or path is its text, a time ISO 8601, an enum its value, a set a
    sorted list, a dataclass its fields. Raises GoldenError for any other, by its place."""
    if isinstance(value, Enum):
        return plain(value.value, place)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal | UUID | PurePath | timedelta):
        return str(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return _plain_collection(value, place)


def _plain_collection(value: Any, place: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return _plain_mapping(value, place)
    if isinstance(value, list | tuple):
        return [plain(each, f"{place}[{number}]") for number, each in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((plain(each, place) for each in value), key=_exact)
    raise GoldenError(
        f"{place or 'it'} is of type {type(value).__name__}, which no golden file holds; compare its parts"
    )


def _plain_mapping(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, each in value.items():
        told = plain(key, place)
        name = told if isinstance(told, str) else json.dumps(told)
        inner = f"{place}.{name}" if place else name
        if name in made:
            raise GoldenError(f"{inner} is there twice, under keys of two types; give each a name of its own")
        made[name] = plain(each, inner)
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldenError(f"there is no {path}; run pytest {OPTION} to make it, and look at it") from None
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path} cannot be read ({error}); correct it or run pytest {OPTION}") from None
    if not isinstance(told, dict):
        raise GoldenError(f"{path} is no JSON object; run pytest {OPTION} to make it anew")
    return told


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a run that is broken off must leave the file as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise GoldenError(
            f"{path} cannot be written ({error.strerror}); make its folder writable for {OPTION}"
        ) from None


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
            f"If this is right: pytest {OPTION}, and review the change.",
        ]
    )
