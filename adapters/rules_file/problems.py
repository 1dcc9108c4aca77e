"""What is wrong with a file of rules: each mistake with its line and its remedy. Reads nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the line where it stands (0 when it has none), and what to write instead."""

    line: int
    message: str


class Mistake(ValueError):
    """A value that cannot be used; the text says why, and what to write instead. Its line is not known here."""


class RulesError(Exception):
    """The rules cannot be used; the text has a line for every mistake."""

    def __init__(self, problems: tuple[Problem, ...], file_name: str) -> None:
        self.problems, self.file_name = problems, file_name
        places = [f"{file_name}:{p.line}" if p.line else file_name for p in problems]
        super().__init__("\n".join(f"{place}: {p.message}" for place, p in zip(places, problems, strict=True)))
