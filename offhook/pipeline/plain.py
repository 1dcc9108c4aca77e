"""Records as plain values, which JSON can hold: what commands print, and what is kept of a job's result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

Record = Any
"""A frozen dataclass, or a sequence of (column, value), or a mapping of them. Values are what `plain` takes."""


def plain(value: object) -> Any:
    """What JSON can hold: times in ISO 8601 with a Z, money as text, dataclasses and (column, value) mappings as objects."""
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return plain(value.value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case bytes():
            return value.decode(errors="replace")
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
        case _ if is_dataclass(value):
            return plain(values_of(value))
    return str(value)


def values_of(record: Record) -> dict[str, object]:
    """Its columns with their values."""
    if is_dataclass(record):
        return {field.name: getattr(record, field.name) for field in fields(record)}
    return dict(record)
