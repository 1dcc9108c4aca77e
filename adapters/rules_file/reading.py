"""A TOML text as Rules, or every mistake in it with its line and its remedy. Opens no file, decides nothing.

The models are made from the tables of pipeline/rules/: an entry there is a field here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    create_model,
)

from offhook.adapters.rules_file.lines import Lines
from offhook.adapters.rules_file.problems import Mistake, Problem, RulesError
from offhook.adapters.rules_file.toml import NotToml, read
from offhook.adapters.rules_file.values import field_type
from offhook.adapters.rules_file.words import OF_FILE, OF_NUMBER, shown, unknown_key
from offhook.pipeline.phone import to_e164
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.kinds import Line
from offhook.pipeline.rules.results import RESULTS, Number

ReadNumber = Callable[[str], str | None]


def parse(text: str, *, region: str = "US", file_name: str = "offhook.toml") -> Rules:
    """The rules in a TOML text. Raises RulesError, and nothing else, with every mistake, its line and its remedy.

    `region` (two letters) is the country of numbers written without one; `file_name` is for the messages.
    """
    text = text.removeprefix("\ufeff")
    try:
        table = read(text)
        found = _read(table, Lines(text), lambda number: to_e164(number, region))
    except NotToml as error:
        raise RulesError((error.problem,), file_name) from None
    except RecursionError:
        raise RulesError((Problem(0, "this is nested too deeply to be read."),), file_name) from None
    if isinstance(found, Rules):
        return found
    raise RulesError(tuple(sorted(found, key=lambda problem: problem.line)), file_name)


def _read(table: Mapping[str, Any], lines: Lines, read_number: ReadNumber) -> Rules | list[Problem]:
    problems = list(_twice(table.get("numbers"), lines, read_number))
    try:
        file = _File.model_validate(table, context=read_number)
    except ValidationError as error:
        return [*problems, *(_problem(one, lines) for one in error.errors(include_url=False))]
    numbers = [Number(**_written(block)) for block in file.numbers]
    return problems or Rules(**{**_written(file), "numbers": {each.number: each for each in numbers}})


def _written(model: BaseModel) -> dict[str, Any]:
    """What is in the file. For all else the tables have a default."""
    return {key: getattr(model, key) for key in model.model_fields_set}


def _problem(error: Mapping[str, Any], lines: Lines) -> Problem:
    """One of pydantic's errors, in our words."""
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        message = unknown_key(place[-1], OF_FILE if len(place) == 1 else OF_NUMBER)
    elif error["type"] == "missing":
        message = _no_number("it is missing")
    else:
        message = str(error["ctx"]["error"])
    return Problem(lines.of(place), message)


def _twice(blocks: Any, lines: Lines, read_number: ReadNumber) -> Iterator[Problem]:
    """A number that has two blocks, however it is spelled in each."""
    first: dict[str, int] = {}
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        written = block.get("number") if isinstance(block, dict) else None
        number = read_number(written) if isinstance(written, str) else None
        line = lines.of(("numbers", index, "number"))
        if number in first:
            told = f"{number} is there twice, in line {first[number]} and in line {line}"
            yield Problem(line, f"{told}; keep one of them.")
        elif number is not None:
            first[number] = line


def _blocks(value: object) -> object:
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    raise Mistake("write each tracked number as a block that begins with [[numbers]] (two brackets).")


def _number(value: object, info: ValidationInfo) -> str:
    read_number = cast("ReadNumber", info.context)
    number = read_number(value) if isinstance(value, str) else None
    if number is None:
        raise Mistake(_no_number(f"you wrote {shown(value)}"))
    return number


def _no_number(told: str) -> str:
    form = "a phone number in quotes, best with + and its country code"
    return f'number must be {form}; {told}. Write e.g. number = "+14155550100".'


_KNOWN_KEYS = ConfigDict(extra="forbid")
_FIELDS: dict[str, Any] = {key: (field_type(key, entry.kind), None) for key, entry in SETTINGS.items()}
_Block: Any = create_model(
    "_Block",
    __config__=_KNOWN_KEYS,
    number=(Annotated[str, PlainValidator(_number)], ...),
    label=(field_type("label", Line(example="Television")), None),
    **{key: _FIELDS[key] for key, entry in RESULTS.items() if entry.of_number},
)
_File: Any = create_model(
    "_File",
    __config__=_KNOWN_KEYS,
    numbers=(Annotated[list[_Block], BeforeValidator(_blocks)], []),
    **_FIELDS,
)
