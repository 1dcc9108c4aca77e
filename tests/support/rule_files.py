"""Any file of rules, as Hypothesis draws it: every condition with every form of value, blocks, groups, labels, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from offhook.pipeline.callback import Direction, Status, is_terminal
from offhook.pipeline.rules.between import CalledBackTime, RepeatOn, Unknown
from offhook.pipeline.rules.conditions import CONDITIONS, Day
from offhook.pipeline.rules.results import Time

CALLER, LONDON, OURS, OTHER = "+14155550142", "+442071838750", "+14155550100", "+14155550101"
AGENT = "+14155550177"
BLOCKED = "blocked.txt"
LISTED = f"# robocalls\n{CALLER}  # every day\n(415) 555-0143\n"

Table = dict[str, Any]


def toml(value: object) -> str:
    """A value as TOML writes it; a table is an inline one."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml(key)} = {toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class File:
    """A file of rules by its parts, each as it is written."""

    common: Table
    groups: Table
    ours: list[str]
    numbers: list[Table]
    blocks: list[Table]

    def text(self) -> str:
        lines = [f"{key} = {toml(value)}" for key, value in self.common.items()]
        if self.groups:
            lines += ["[groups]", *(f"{toml(name)} = {toml(value)}" for name, value in self.groups.items())]
        if self.ours:
            lines += ["[ours]", f"numbers = {toml(self.ours)}"]
        for header, tables in (("numbers", self.numbers), ("rule", self.blocks)):
            for table in tables:
                lines += [f"[[{header}]]", *(f"{toml(key)} = {toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"

    def with_blocks(self, *blocks: Table) -> File:
        return replace(self, blocks=list(blocks))


_ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8).filter(str.strip)
_COLUMN = st.sampled_from(["tier", "Größe", "value"]) | _ANY_TEXT
_PARAM = st.sampled_from(["Menu", "StirVerstat"]) | _ANY_TEXT
_WHOLE = st.integers(-3, 100)
_DECIMAL = _WHOLE | st.decimals(-10, 100, places=2).map(str).map(float).map(lambda one: float(f"{one:.2f}"))
_LIMITS = st.fixed_dictionaries({"at_least": _DECIMAL}, optional={"at_most": _DECIMAL.map(lambda one: one + 200)})
_PATTERNS = st.sampled_from(["^[0-9]+$", "gold", "^a+-b*$", "ü", "", "^(yes|no)$"]).filter(bool)
_TEST = st.one_of(
    st.sampled_from(["gold", "12", "ü"]),
    _ANY_TEXT,
    _WHOLE,
    st.booleans(),
    st.lists(_ANY_TEXT | _WHOLE, min_size=1, max_size=3),
    _LIMITS,
    st.fixed_dictionaries({"matches": _PATTERNS}),
)
_CLOCK = st.integers(0, 24 * 60)
_PART = st.tuples(_CLOCK, _CLOCK).filter(lambda both: both[0] not in (both[1], 24 * 60)).map(
    lambda both: f"{both[0] // 60:02}:{both[0] % 60:02}-{both[1] // 60:02}:{both[1] % 60:02}"
)  # fmt: skip
_SPAN = st.sampled_from(["90s", "10m", "4h", "30d"]) | st.integers(1, 86_400)
_PLACE = st.sampled_from(["US", "US-CA", "gb", "DE-BY"])


def _some(words: object) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(list(words)), min_size=1, max_size=3)  # type: ignore[call-overload]


def _values(names: list[str]) -> dict[str, st.SearchStrategy[Any]]:
    """What each condition may be asked; `names` are labels and groups of the file."""
    return {
        "directions": _some([Direction.INBOUND.value, Direction.OUTBOUND_API.value]),
        "statuses": _some([each.value for each in Status if is_terminal(each)]),
        "min_duration_seconds": st.integers(0, 90),
        "max_duration_seconds": st.integers(1, 90),
        "only_listed_numbers": st.booleans(),
        "tracked_numbers": _some([OURS, OTHER, "(415) 555-0100", *names]),
        "answered_by_person": st.booleans(),
        "min_talk_seconds": st.integers(0, 90),
        "max_talk_seconds": st.integers(0, 90),
        "hours": _PART | st.lists(_PART, min_size=1, max_size=3) | st.just("00:00-24:00"),
        "days": _some([each.value for each in Day]),
        "holiday_in": _PLACE,
        "workday_in": _PLACE,
        "first_call": st.booleans(),
        "no_conversion_within": _SPAN,
        "no_conversion_within_of_number": _SPAN,
        "withheld": st.booleans(),
        "countries": _some(["US", "GB", "DE"]),
        "area_codes": _some(["415", "212", "20"]),
        "callers_in": st.just(BLOCKED),
        "customer": st.dictionaries(_COLUMN, _TEST, min_size=1, max_size=2),
        "params": st.dictionaries(_PARAM, _TEST, min_size=1, max_size=2),
    }


_FIXED_TEXT = st.sampled_from(["tv", "{from}", "{customer.tier}", "{{x}}", "at {ended_at}: {label}", "ü"])
_REVENUE = st.sampled_from([0, 27.5, "12.00", "{customer.value}", 10_000_000])
_EXTRA = st.dictionaries(
    st.sampled_from(["channel", "Größe"]) | _LINE.filter(lambda one: len(one) > 1 and not one.isascii()),
    _FIXED_TEXT | _WHOLE | st.booleans(),
    max_size=2,
) | st.just(["duration_seconds", "label"])
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "action": _LINE,
    "revenue": _REVENUE,
    "time": st.sampled_from([each.value for each in Time]),
    "extra": _EXTRA,
}
_UNKNOWN = st.sampled_from([each.value for each in Unknown])
_BETWEEN: dict[str, st.SearchStrategy[Any]] = {
    "repeat_within": _SPAN,
    "repeat_on": st.sampled_from([each.value for each in RepeatOn]),
    "called_back_within": st.sampled_from(["90s", "4h"]) | st.integers(1, 86_400),
    "called_back_time": st.sampled_from([each.value for each in CalledBackTime]),
    "when_unknown": _UNKNOWN,
}


def _table(optional: Mapping[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[Table]:
    keys = st.lists(st.sampled_from(sorted(optional)), max_size=most, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: optional[key] for key in chosen}))


def _block(names: list[str]) -> st.SearchStrategy[Table]:
    skips = st.fixed_dictionaries({"skip": st.sampled_from(["at_night", "robocall", "not_ours_42"])})
    converts = st.fixed_dictionaries({"convert": st.just(True) | _table(_OWN, 4)})
    rest = st.fixed_dictionaries(
        {"name": _LINE, "when": _table(_values(names), 3)}, optional={"when_unknown": _UNKNOWN}
    )
    return st.tuples(rest, skips | converts).map(lambda both: {**both[0], **both[1]})


def _name_of(block: Table) -> str:
    return str(block["name"]).strip()


@st.composite
def files(draw: st.DrawFn) -> File:
    """A file without a mistake."""
    labels = draw(st.lists(_LINE, max_size=2))
    groups = draw(
        st.dictionaries(_LINE | _ANY_TEXT, st.lists(st.sampled_from([OURS, OTHER]), min_size=1, max_size=2), max_size=2)
    )
    groups = {name: listed for name, listed in groups.items() if name not in map(str.strip, labels)}
    numbers = [
        {"number": number, "label": label, **draw(_table(_OWN, 2))}
        for number, label in zip([OURS, OTHER], labels, strict=False)
    ]
    names = [*map(str.strip, labels), *groups]
    common = draw(_table({**_values(names), **_OWN, **_BETWEEN, "order_id": st.just("call-{call_sid}")}, 4))
    return File(
        common={"time_zone": draw(st.sampled_from(["America/New_York", "Asia/Kolkata"])), **common},
        groups=groups,
        ours=draw(st.sampled_from([[], [AGENT], [AGENT, "+442071838750"]])),
        numbers=numbers,
        blocks=draw(st.lists(_block(names), max_size=5, unique_by=_name_of)),
    )


assert set(_values([])) == set(CONDITIONS)
