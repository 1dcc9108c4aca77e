"""Whether a regular expression could take for ever on some text. Looks at its parts, and matches nothing.

What makes Python's engine explode are repetitions within repetitions and alternatives within them; what is left takes a time
that grows with a small power of the text, and the text has a limit (`pattern` of RuleLimits).
https://docs.python.org/3/library/re.html, https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS
"""

from __future__ import annotations

from collections.abc import Iterator
from re import _constants as codes  # the only parser of Python's expressions
from re import _parser as parser
from typing import Any

MOST_REPETITIONS = 3  # that have no upper limit to speak of
_FEW = 16  # repetitions up to here have one
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
_LOOKS = (codes.GROUPREF, codes.GROUPREF_EXISTS, codes.ASSERT, codes.ASSERT_NOT)


def why_slow(pattern: str) -> str:
    """What it holds that could take for ever; empty where nothing does. Raises re.error."""
    parts = list(_every(parser.parse(pattern), False))
    if any(code in _LOOKS for code, _, _ in parts):
        return "it refers back or looks around"
    if any(is_within and code in (*_REPEATS, codes.BRANCH) for code, _, is_within in parts):
        return "a repetition or an alternative is within a repetition"
    if sum(code in _REPEATS and many > _FEW for code, many, _ in parts) > MOST_REPETITIONS:
        return f"more than {MOST_REPETITIONS} repetitions have no small limit"
    return ""


def _every(parsed: Any, is_within: bool) -> Iterator[tuple[Any, int, bool]]:
    """Each part: its code, how often it may be repeated (0 for what is none), whether it is within a repetition."""
    for code, held in parsed:
        many = int(held[1]) if code in _REPEATS else 0
        yield code, many, is_within
        for inner in _inner(code, held):
            yield from _every(inner, is_within or many > 1)


def _inner(code: Any, held: Any) -> list[Any]:
    if code in _REPEATS:
        return [held[2]]
    if code is codes.BRANCH:
        return list(held[1])
    if code is codes.SUBPATTERN:
        return [held[-1]]
    return [held] if code is codes.ATOMIC_GROUP else []
