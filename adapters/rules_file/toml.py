"""A text as the table that it stands for, or the line that is no TOML and what to do about it. Knows no rule."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from typing import Any

from offhook.adapters.rules_file.problems import Problem


class NotToml(Exception):
    """This text is none; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_NUMBER = re.compile(r"[0-9A-Fa-f_]{19,}")


def read(text: str) -> dict[str, Any]:
    """The table that a text stands for, decimal fractions as Decimal. Raises NotToml, and RecursionError."""
    surrogate = _SURROGATE.search(text)
    if surrogate:
        raise NotToml(Problem(_line_at(text, surrogate.start()), "a character is broken; save the file as UTF-8 text."))
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise NotToml(_syntax_problem(text, error)) from None
    except (ValueError, ArithmeticError):  # more digits than Python reads: tomllib lets these errors through
        found = _LONG_NUMBER.search(text)
        message = "a number is too long to be read; put it into quotes if it is text."
        raise NotToml(Problem(_line_at(text, found.start()) if found else 0, message)) from None


# Beginnings of tomllib's messages, and what to do.
_REMEDIES = {
    "Invalid value": "Put words into quotes, and write true and false small.",
    "Illegal character": "A text in quotes ends in the line in which it began.",
    "Unescaped '\\'": "Write \\\\ for a backslash, or use '...' instead of \"...\".",
    "Cannot overwrite": "The key is there twice; keep one of them.",
    "Duplicate inline": "The key is there twice; keep one of them.",
    "Cannot declare": "The block is there twice; keep one of them. A tracked number needs two brackets: [[numbers]].",
    "Cannot mutate": "The key was given above in another form; keep one of them.",
    "Unclosed": "A closing bracket is missing.",
    "Unterminated": "The closing quotes are missing.",
    "Expected '='": "Write one key = value a line.",
    "Expected newline": "Write one key = value a line, and put words into quotes.",
}


def _syntax_problem(text: str, error: Exception) -> Problem:
    at = re.search(r" \(at line (\d+)", str(error))
    message = re.sub(r" \(at [^()]*\)$", "", str(error))
    fitting = [remedy for start, remedy in _REMEDIES.items() if message.startswith(start)]
    remedy = fitting[0] if fitting else "Put words into quotes, and write one key = value a line."
    line = int(at[1]) if at else _line_at(text, len(text.rstrip()))
    return Problem(line, f"this is not TOML: {message[:200]}. {remedy} offhook.toml.example shows how.")


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
