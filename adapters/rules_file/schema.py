"""The file of rules as a JSON schema, made from the tables that the program goes by. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offhook.pipeline.rules.between import BETWEEN
from offhook.pipeline.rules.conditions import CONDITIONS
from offhook.pipeline.rules.kinds import (
    MAX_REVENUE,
    MAX_TEXT,
    Amount,
    Codes,
    DayParts,
    ExtraFields,
    HolidaysOf,
    Kind,
    Line,
    ListFile,
    Seconds,
    Span,
    Template,
    TrackedNumbers,
    ValueTests,
    Word,
    Words,
    YesNo,
    Zone,
)
from offhook.pipeline.rules.results import OF_NUMBER, RESULTS

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_TEXTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_NUMBER: Schema = {"type": "string", "description": "A phone number, best with + and its country code."}
_VALUE: Schema = {"type": ["string", "number", "boolean"]}
_TEST: Schema = {
    "anyOf": [
        {"type": ["string", "integer", "boolean"]},
        {"type": "array", "items": {"type": ["string", "integer", "boolean"]}, "minItems": 1},
        {"type": "object", "properties": {"matches": {"type": "string"}}, "required": ["matches"]},
        {"type": "object", "properties": {"at_least": {"type": "number"}, "at_most": {"type": "number"}}},
    ]
}
_AMOUNT: Schema = {"anyOf": [{"type": "number", "minimum": 0, "maximum": int(MAX_REVENUE)}, {"type": "string"}]}
_EXTRA: Schema = {"anyOf": [{"type": "object", "additionalProperties": _VALUE}, {"type": "array", "items": _TEXT}]}


def json_schema() -> Schema:
    """The whole file (draft 2020-12)."""
    every = {**CONDITIONS, **RESULTS, **BETWEEN}
    own = {key: _of(RESULTS[key]) for key in OF_NUMBER}
    number = _table({"number": _NUMBER, "label": _TEXT, **own}, "number")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The rules of Offhook (offhook.toml)",
        **_table(
            {
                **{key: _of(entry) for key, entry in every.items()},
                "numbers": {"type": "array", "items": number, "description": "The tracked numbers."},
                "groups": {"type": "object", "additionalProperties": {"type": "array", "items": _NUMBER}},
                "ours": _table({"numbers": {"type": "array", "items": _NUMBER}}, "numbers"),
                "rule": {
                    "type": "array",
                    "items": _rule(own),
                    "description": "In their order: the first that matches.",
                },
            }
        ),
    }


def _rule(own: Mapping[str, Schema]) -> Schema:
    convert = {"anyOf": [{"const": True}, _table(own)], "description": "It counts, and what is sent otherwise."}
    parts = {
        "name": _TEXT,
        "when": _table({key: _of(entry) for key, entry in CONDITIONS.items()}),
        "when_unknown": _of(BETWEEN["when_unknown"]),
        "skip": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9_]{1,39}$",
            "description": "It does not count: the reason.",
        },
        "convert": convert,
    }
    return {**_table(parts, "name"), "oneOf": [{"required": ["skip"]}, {"required": ["convert"]}]}


def _table(parts: Mapping[str, Schema], *required: str) -> Schema:
    needs = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(parts), "additionalProperties": False, **needs}


def _of(entry: Any) -> Schema:
    return {**_KINDS[type(entry.kind)](entry.kind), "description": entry.explained}


_KINDS: Mapping[type[Kind[Any]], Callable[[Any], Schema]] = {
    Seconds: lambda kind: {"type": "integer", "minimum": kind.at_least, "maximum": kind.at_most},
    Words: lambda kind: {"type": "array", "items": {"enum": list(kind.known)}, "minItems": 1},
    Word: lambda kind: {"enum": list(kind.known)},
    YesNo: lambda _: {"type": "boolean"},
    Line: lambda _: dict(_TEXT),
    Template: lambda _: dict(_TEXT),
    Amount: lambda _: dict(_AMOUNT),
    ExtraFields: lambda _: dict(_EXTRA),
    Span: lambda _: {"anyOf": [{"type": "string", "pattern": "^[0-9]+ *[smhd]$"}, {"type": "integer", "minimum": 1}]},
    Zone: lambda _: dict(_TEXT),
    Codes: lambda _: dict(_TEXTS),
    DayParts: lambda _: {"anyOf": [_TEXT, _TEXTS]},
    HolidaysOf: lambda _: dict(_TEXT),
    TrackedNumbers: lambda _: dict(_TEXTS),
    ListFile: lambda _: dict(_TEXT),
    ValueTests: lambda _: {"type": "object", "additionalProperties": _TEST, "minProperties": 1},
}
