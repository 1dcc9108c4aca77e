"""Lines of JSON, an object each, as rows of cells: what is nested or a list becomes one text. Knows nothing of customers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

APART = "; "  # between the values of a list, so that each of several numbers is found


def names_of_objects(lines: Iterable[str]) -> list[str]:
    """Every name in these objects, in the order of their first use; [] where the first line is none, or one without names."""
    names: dict[str, None] = {}
    for number, line in enumerate(lines):
        found = flat(line)
        if found is None and number == 0:
            return []
        names.update(dict.fromkeys(found or ()))
    return list(names)


def flat(line: str) -> Mapping[str, str] | None:
    """The object of a line as names and texts, those within others as `address.city`; None for what is no object."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
        return dict(_flat("", found)) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    elif prefix:
        yield prefix, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        plain = all(not isinstance(one, (dict, list)) for one in value)
        return APART.join(map(_text, value)) if plain else json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


def cells(found: Mapping[str, str], names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The texts in the order of the names, and those of other names."""
    known = set(names)
    return [found.get(name, "") for name in names], {name: text for name, text in found.items() if name not in known}
