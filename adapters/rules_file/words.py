"""How a mistake in the rules is said: what was written, what was meant perhaps. Checks nothing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from offhook.pipeline.rules.between import BETWEEN
from offhook.pipeline.rules.conditions import CONDITIONS
from offhook.pipeline.rules.results import OF_NUMBER, RESULTS
from offhook.pipeline.rules.templates import ALIASES, quoted

OF_FILE = (*CONDITIONS, *RESULTS, *BETWEEN, "numbers", "rule", "groups", "ours")
_OF_NUMBER = ("number", "label", *OF_NUMBER)
OF_RULE = ("name", "when", "skip", "convert", "when_unknown")


def known_at(place: Sequence[str | int]) -> Collection[str]:
    """The keys that may stand where a wrong one was found."""
    if len(place) == 1:
        return OF_FILE
    if place[0] == "ours":
        return ("numbers",)
    if place[0] != "rule":
        return _OF_NUMBER
    inner = {"when": tuple(CONDITIONS), "convert": OF_NUMBER}
    return inner[str(place[2])] if len(place) > 3 else OF_RULE


def unknown_key(key: str, known: Collection[str]) -> str:
    """What is said of a key that is not one of `known`, those of the table in which it stands."""
    if key in CONDITIONS and "when" in known:
        return f'"{key}" is a condition; write it as when.{key}.'
    if key in OF_FILE and "number" in known:
        return (
            f'"{key}" is for the whole file, and here it belongs to the block above it; move it above the first [line].'
        )
    if key in _OF_NUMBER and "rule" in known:
        return f'"{key}" belongs to a tracked number; write it below a line [[numbers]].'
    return f"{shown(key)} is no setting{closest(key, known)}"


def closest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says a word is not known."""
    if word in ALIASES:
        return f'; did you mean "{ALIASES[word]}"?'
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else f". Known: {', '.join(sorted(known))}."


def shown(value: object) -> str:
    """A value of TOML as a message may quote it; never long, never raises."""
    if isinstance(value, str):
        short = value if len(value) <= 60 else f"{value[:60]}..."
        return quoted(short)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "table"
        return f"a {kind}" if value else f"an empty {kind}"
    if isinstance(value, int) and abs(value) > 10**20:  # Python refuses to write out the longest
        return "a very long number"
    return str(value)[:60]
