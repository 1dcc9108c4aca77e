"""What a golden file holds: values as JSON knows them, and where two of them differ. Reads and writes no file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

Outcomes = Mapping[str, Mapping[str, Any]]
"""CallSid -> what became of the call, of values that JSON knows or `plain` makes such."""


class GoldenError(Exception):
    """There is no golden file, or it cannot be read, written or hold this. The message says what to do."""


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
        plain_key = plain(key, place)
        name = plain_key if isinstance(plain_key, str) else json.dumps(plain_key)
        inner = f"{place}.{name}" if place else name
        if name in made:
            raise GoldenError(f"{inner} is there twice, under keys of two types; give each a name of its own")
        made[name] = plain(each, inner)
    return made


def differences(found: Mapping[str, Any], golden: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each call or field that differs."""
    for call_sid in sorted({*found, *golden}):
        if call_sid not in golden:
            yield f"{call_sid}: is new ({_shown(found[call_sid])})"
        elif call_sid not in found:
            yield f"{call_sid}: is gone (golden: {_shown(golden[call_sid])})"
        else:
            yield from (f"{call_sid}: {difference}" for difference in _fields("", found[call_sid], golden[call_sid]))


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
