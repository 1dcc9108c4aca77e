"""A TOML text as Rules, or every mistake in it with its line and its remedy. Opens no file, decides nothing.

The models are made from the tables of pipeline/rules/: an entry there is a field here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
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

from offhook.adapters.rules_file.beside import Beside, read_numbers
from offhook.adapters.rules_file.lines import Lines
from offhook.adapters.rules_file.problems import Mistake, Problem, RulesError
from offhook.adapters.rules_file.toml import NotToml, read
from offhook.adapters.rules_file.values import field_type
from offhook.adapters.rules_file.words import known_at, shown, unknown_key
from offhook.pipeline.phone import to_e164
from offhook.pipeline.reasons import REASONS
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import CONDITIONS, only
from offhook.pipeline.rules.kinds import Line, NumberList
from offhook.pipeline.rules.limits import USUAL, RuleLimits
from offhook.pipeline.rules.results import OF_NUMBER, Number, Own
from offhook.pipeline.rules.templates import in_line

ReadNumber = Callable[[str], str | None]


def parse(
    text: str,
    *,
    region: str = "US",
    file_name: str = "offhook.toml",
    folder: Path | None = None,
    files: dict[Path, bytes] | None = None,
    may_read: frozenset[Path] | None = None,
    listed: Callable[[str], NumberList] | None = None,
    limits: RuleLimits = USUAL,
) -> Rules:
    """The rules in a TOML text. Raises RulesError, and nothing else, with every mistake, its line and its remedy.

    `region` (two letters) is the country of numbers written without one; `file_name` is for the messages; `folder` is where
    files stand that the rules name, None where there is none. What was read of them is put into `files`; those that are not
    in `may_read` are not read, where that is given; none is where there is a `listed` (`Beside`).
    """
    text = text.removeprefix("\ufeff")
    beside = Beside(lambda number: to_e164(number, region), folder, may_read=may_read, listed=listed, limits=limits)
    beside = beside if files is None else replace(beside, files=files)
    try:
        found = _read(read(text), text, beside)
    except NotToml as error:
        raise RulesError((error.problem,), file_name) from None
    except RecursionError:
        raise RulesError((Problem(0, "this is nested too deeply to be read."),), file_name) from None
    if isinstance(found, Rules):
        return found
    raise RulesError(tuple(sorted(found, key=lambda problem: problem.line)), file_name)


def _read(table: Mapping[str, Any], text: str, beside: Beside) -> Rules | list[Problem]:
    lines = Lines(text)
    problems = [
        *_twice(table.get("numbers"), lines, beside.number),
        *_same_names(table.get("rule"), lines),
        *_named_twice(table, lines),
        *_without_zone(table, lines),
        *_not_one_result(table.get("rule"), lines),
    ]
    try:
        file = _File.model_validate(table, context=replace(beside, names=_names(table, beside)))
    except ValidationError as error:
        return [*problems, *(_problem(one, lines) for one in error.errors(include_url=False))]
    if problems:
        return problems
    numbers = [Number(**_written(block)) for block in file.numbers]
    blocks = {"numbers": {each.number: each for each in numbers}, "blocks": tuple(map(_rule, file.rule))}
    plain = {key: value for key, value in _written(file).items() if key in SETTINGS}
    return Rules(**{**plain, **blocks, "ours": frozenset(file.ours.numbers), "text": text, "limits": beside.limits})


def _rule(block: Any) -> Rule:
    own = None if block.skip else Own(**_written(block.convert))
    return Rule(block.name, only(_written(block.when)), block.skip, own, block.when_unknown)


def _names(table: Mapping[str, Any], beside: Beside) -> dict[str, frozenset[str]]:
    """The groups and the labels of tracked numbers; what is wrong with them is said where they stand."""
    found: dict[str, frozenset[str]] = {}
    blocks = table.get("numbers")
    for block in blocks if isinstance(blocks, list) else []:
        label, number = (block.get(key) for key in ("label", "number")) if isinstance(block, dict) else (None, None)
        if isinstance(label, str) and isinstance(number, str) and (e164 := beside.number(number)):
            found[label.strip()] = found.get(label.strip(), frozenset()) | {e164}
    groups = table.get("groups")
    for name, listed in groups.items() if isinstance(groups, dict) else ():
        every = [beside.number(one) for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
        found[name] = frozenset(filter(None, every))
    return found


def _same_names(blocks: Any, lines: Lines) -> Iterator[Problem]:
    """Two rules of one name: a decision names the rule that it was made by."""
    first: dict[str, int] = {}
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        written = block.get("name") if isinstance(block, dict) else None
        name = written.strip() if isinstance(written, str) else None
        line = lines.of(("rule", index, "name"))
        if name in first:
            yield Problem(
                line, f"a rule is called {shown(name)} in line {first[name]}, too; give each a name of its own."
            )
        elif name is not None:
            first[name] = line


def _named_twice(table: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    """A group that is called as a tracked number: which of the two is meant, nobody knows."""
    groups, blocks = table.get("groups"), table.get("numbers")
    written = [block.get("label") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    labels = {label.strip() for label in written if isinstance(label, str)}
    for name in groups if isinstance(groups, dict) else ():
        if name in labels:
            yield Problem(
                lines.of(("groups", name)), f"a tracked number has the label {shown(name)}, too; rename the group."
            )


def _without_zone(table: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    """Hours and days of nobody knows where."""
    if "time_zone" in table:
        return
    asked_by_rules = ((("rule", index, "when"), block.get("when")) for index, block in _tables(table.get("rule")))
    for place, asked in [((), table), *((place, when) for place, when in asked_by_rules if isinstance(when, dict))]:
        for key in (key for key, one in CONDITIONS.items() if one.needs_zone and key in asked):
            remedy = 'write e.g. time_zone = "America/New_York" above the first [line].'
            yield Problem(lines.of((*place, key)), f"{key} needs the time zone in which it is meant; {remedy}")


def _not_one_result(blocks: Any, lines: Lines) -> Iterator[Problem]:
    """Rules that say both or neither of skip and convert, whatever else is wrong with them."""
    for index, block in _tables(blocks):
        if ("skip" in block) == ("convert" in block):
            name, both = block.get("name"), "both" if "skip" in block else "neither"
            which = shown(name) if isinstance(name, str) else "this one"
            problem = f"a rule has one result, skip or convert; {which} has {both}"
            remedy = 'Write skip = "a_reason", or convert = true.'
            yield Problem(lines.of(("rule", index)), in_line(f"{problem}. {remedy}"))


def _tables(blocks: Any) -> list[tuple[int, dict[str, Any]]]:
    """The blocks of a list with their places; that something else is none is said of the list."""
    every = enumerate(blocks if isinstance(blocks, list) else [])
    return [(index, block) for index, block in every if isinstance(block, dict)]


def _written(model: BaseModel) -> dict[str, Any]:
    """What is in the file. For all else the tables have a default."""
    return {key: getattr(model, key) for key in model.model_fields_set}


def _problem(error: Mapping[str, Any], lines: Lines) -> Problem:
    """One of pydantic's errors, in our words."""
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        message = unknown_key(place[-1], known_at(place))
    elif error["type"] == "missing":
        message = _no_number("it is missing") if place[0] == "numbers" else _NO_NAME
    else:
        message = str(error["ctx"]["error"])
    return Problem(lines.of(place), in_line(message))


def _twice(blocks: Any, lines: Lines, read_number: ReadNumber) -> Iterator[Problem]:
    """A number that has two blocks, however it is spelled in each."""
    first: dict[str, int] = {}
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        written = block.get("number") if isinstance(block, dict) else None
        number = read_number(written) if isinstance(written, str) else None
        line = lines.of(("numbers", index, "number"))
        if number in first:
            problem = f"{number} is there twice, in line {first[number]} and in line {line}"
            yield Problem(line, f"{problem}; keep one of them.")
        elif number is not None:
            first[number] = line


def _blocks(value: object) -> object:
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    raise Mistake("write each tracked number as a block that begins with [[numbers]] (two brackets).")


def _number(value: object, info: ValidationInfo) -> str:
    beside = cast("Beside", info.context)
    number = beside.number(value) if isinstance(value, str) else None
    if number is None:
        raise Mistake(_no_number(f"you wrote {shown(value)}"))
    return number


def _no_number(problem: str) -> str:
    form = "a phone number in quotes, best with + and its country code"
    return f'number must be {form}; {problem}. Write e.g. number = "+14155550100".'


_NO_NAME = 'a rule needs a name. Write e.g. name = "Night calls".'
_WORD = re.compile(r"[a-z][a-z0-9_]{1,39}")


def _skip(value: object) -> str:
    """A reason word of the brand's own."""
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        problem = "skip must be a reason in one word: 2 to 40 of a-z, 0-9 and _, beginning with a letter"
        raise Mistake(f'{problem}; you wrote {shown(value)}. Write e.g. skip = "at_night".')
    if value in REASONS:
        raise Mistake(
            f"skip: {shown(value)} is a reason of Offhook's own, and would be taken for it; choose another word."
        )
    return value


def _table_or_true(value: object) -> object:
    if value is True:
        return {}
    if isinstance(value, dict):
        return value
    raise Mistake(f"convert must be true or a table; you wrote {shown(value)}. Write convert = true.")


def _when(value: object) -> object:
    if isinstance(value, dict):
        return value
    raise Mistake(
        f"when must be a table of conditions; you wrote {shown(value)}. Write e.g. when.min_talk_seconds = 30."
    )


def _rules(value: object) -> object:
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    raise Mistake("write each rule as a block that begins with [[rule]] (two brackets).")


def _group(value: object, info: ValidationInfo) -> frozenset[str]:
    return read_numbers("a group", replace(cast("Beside", info.context), names={}), value).numbers


_KNOWN_KEYS = ConfigDict(extra="forbid")
_FIELDS: dict[str, Any] = {key: (field_type(key, entry.kind), None) for key, entry in SETTINGS.items()}
_OWN: dict[str, Any] = {key: _FIELDS[key] for key in OF_NUMBER}
_Block: Any = create_model(
    "_Block",
    __config__=_KNOWN_KEYS,
    number=(Annotated[str, PlainValidator(_number)], ...),
    label=(field_type("label", Line(example="Television")), None),
    **_OWN,
)
_When: Any = create_model("_When", __config__=_KNOWN_KEYS, **{key: _FIELDS[key] for key in CONDITIONS})
_Convert: Any = create_model("_Convert", __config__=_KNOWN_KEYS, **_OWN)
_Rule: Any = create_model(
    "_Rule",
    __config__=_KNOWN_KEYS,
    name=(field_type("name", Line(example="Night calls")), ...),
    when=(Annotated[_When, BeforeValidator(_when)], _When()),
    skip=(Annotated[str | None, PlainValidator(_skip)], None),
    convert=(Annotated[_Convert | None, BeforeValidator(_table_or_true)], None),
    when_unknown=_FIELDS["when_unknown"],
)
_Ours: Any = create_model(
    "_Ours", __config__=_KNOWN_KEYS, numbers=(Annotated[frozenset[str], PlainValidator(_group)], ...)
)
_File: Any = create_model(
    "_File",
    __config__=_KNOWN_KEYS,
    numbers=(Annotated[list[_Block], BeforeValidator(_blocks)], []),
    rule=(Annotated[list[_Rule], BeforeValidator(_rules)], []),
    groups=(dict[str, Annotated[frozenset[str], PlainValidator(_group)]], {}),
    ours=(_Ours, _Ours.model_construct(numbers=frozenset())),
    **_FIELDS,
)
