"""Extra fields and templates as the rules may write them: a table or a list, each name and value with what is wrong in it."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, TypeAdapter

from offhook.adapters.rules_file.problems import Mistake
from offhook.adapters.rules_file.words import OF_FILE, closest, shown
from offhook.pipeline.rules.kinds import MAX_EXTRA_INT, MAX_EXTRA_TEXT, MAX_TEXT
from offhook.pipeline.rules.results import FIXED
from offhook.pipeline.rules.templates import ALIASES, FIELDS, TOKEN, ExtraValue, is_field

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_SPACE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BRACED = re.compile(r"\{[^{}]*\}")
_LISTED = {**{name: name for name in FIELDS}, **ALIASES}


def read_extra(value: object) -> dict[str, ExtraValue]:
    """The fields in a table of names and values, or in a list of names. Raises what pydantic gathers: a mistake a field."""
    if isinstance(value, list):
        return dict(_LIST.validate_python(value))
    if not isinstance(value, dict):
        example = 'extra = { call_duration = "{duration_seconds}" } or extra = ["duration_seconds", "label"]'
        raise Mistake(f"extra must be a table or a list; you wrote {shown(value)}. Write e.g. {example}.")
    return _TABLE.validate_python({name: (name, one) for name, one in value.items()})


def _listed(name: object) -> tuple[str, ExtraValue]:
    if not isinstance(name, str):
        raise Mistake(f'extra: {shown(name)} is no field; write names in quotes, e.g. ["label"].')
    field = _LISTED.get(name, name)
    if is_field(field):
        return name, f"{{{field}}}"
    raise Mistake(f"extra: {_name_problem(name) or f'{shown(name)} is no field{closest(name, _LISTED)}'}")


def _name(name: str) -> str:
    problem = _name_problem(name)
    if problem:
        raise Mistake(f"extra: {problem}")
    return name


def _value(named: tuple[str, Any]) -> ExtraValue:
    name, value = named
    plain: ExtraValue = float(value) if isinstance(value, Decimal) else value
    problem = _value_problem(plain)
    if problem:
        raise Mistake(f"extra {shown(name)}: {problem}")
    return plain


_LIST = TypeAdapter(list[Annotated[Any, PlainValidator(_listed)]])
_TABLE = TypeAdapter(dict[Annotated[str, AfterValidator(_name)], Annotated[Any, PlainValidator(_value)]])


def _name_problem(name: str) -> str | None:
    """What is wrong with the name of an extra field, or None."""
    if name in FIXED:
        moved = "; if you mean the setting, move it above the first [line]" if name in OF_FILE else ""
        return f'"{name}" is a field of Rockerbox\'s own; choose another name, e.g. "call_{name}"{moved}.'
    if name in OF_FILE:
        return f'"{name}" is a setting; move it above the first [line], or choose another name, e.g. "call_{name}".'
    if not 0 < len(name) <= MAX_TEXT or CONTROL.search(name):
        return f"a name has 1 to {MAX_TEXT} characters in one line; you wrote {shown(name)}."
    return None


def _value_problem(value: object) -> str | None:
    """What is wrong with the value of an extra field, or None."""
    if isinstance(value, str):
        if len(value) > MAX_EXTRA_TEXT or _CONTROL_BUT_SPACE.search(value):
            return f"write at most {MAX_EXTRA_TEXT} characters, and no control characters."
        return template_problem(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        limit = f"a whole number is at most {MAX_EXTRA_INT}; put a longer one into quotes."
        return None if abs(value) <= MAX_EXTRA_INT else limit
    if isinstance(value, float) and math.isfinite(value):
        return None
    return f"write text in quotes, a number, true or false; you wrote {shown(value)}."


def template_problem(template: str) -> str | None:
    """What is wrong with a template, or None."""
    for found in TOKEN.finditer(template):
        if found[0] in ("{", "}"):
            return _brace_problem(template, found.start())
        if found[1] and not is_field(found[1]):
            return f'"{{{found[1][:60]}}}" is no field{closest(found[1], FIELDS)}'
    return None


def _brace_problem(template: str, at: int) -> str:
    braced = _BRACED.match(template, at)
    if braced:
        return f"{shown(braced[0])} is no field: write a plain name between the braces, e.g. {{call_sid}}."
    return f'there is a lone "{template[at]}"; write {template[at] * 2} for the character itself.'
