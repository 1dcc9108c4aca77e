"""Where each key and each member of a list stands in a TOML text. Reads no value; its readers know them from tomllib."""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib

Path = tuple[str | int, ...]
"""The keys that lead to a value, and the index of each list on the way."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_PLAIN = re.compile(r"[^,\]}#\n]+")  # a number, a date, true, false


class _Lost(Exception):
    """The text is not what the locator takes TOML to be."""


class Lines:
    """Where each key and each member of a list stands: tomllib does not say. Reads text that tomllib has accepted.

    What is not found has the line of the table that it is in.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._blocks: dict[Path, int] = {}  # the last index of each [[array of tables]]
        self._found: dict[Path, int] = {}
        with contextlib.suppress(_Lost):  # a worse line is better than no message
            self._document()

    def of(self, path: Path) -> int:
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path, 1)

    def _document(self) -> None:
        here: Path = ()
        while next_char := self._peek():
            if next_char == "[":
                here = self._header()
            else:
                self._pair(here)

    def _peek(self) -> str:
        """The next character that is neither blank nor comment; empty at the end."""
        self._take(_BLANK)
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise _Lost
        self._at = found.end()
        return found[0]

    def _skip(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _Lost
        self._at += len(mark)

    def _note(self, path: Path, at: int) -> None:
        self._found.setdefault(path, bisect.bisect_left(self._ends, at) + 1)

    def _header(self) -> Path:
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._skip("[" * brackets)
        parts = self._key()
        self._skip("]" * brackets)
        if brackets == 2:
            block = (*self._resolved(parts[:-1], start), parts[-1])
            self._blocks[block] = self._blocks.get(block, -1) + 1
        path = self._resolved(parts, start)
        self._note(path, start)
        return path

    def _resolved(self, parts: list[str], at: int) -> Path:
        """The path that a header means: [numbers.extra] belongs to the last [[numbers]]."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            self._note(path, at)
            if path in self._blocks:
                path = (*path, self._blocks[path])
        return path

    def _key(self) -> list[str]:
        """A key, dotted or not, with the blanks around it."""
        parts: list[str] = []
        while True:
            self._peek()
            written = self._take(_KEY)
            parts.append(tomllib.loads(f"key = {written}")["key"] if written[0] in "\"'" else written)
            if self._peek() != ".":
                return parts
            self._skip(".")

    def _pair(self, path: Path) -> None:
        self._peek()
        start = self._at
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._skip("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self._peek()
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if first in ('"', "'") else _PLAIN)

    def _array(self, path: Path) -> None:
        self._skip("[")
        index = 0
        while self._peek() != "]":
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            if self._peek() == ",":
                self._skip(",")
        self._skip("]")

    def _inline_table(self, path: Path) -> None:
        self._skip("{")
        while self._peek() != "}":
            self._pair(path)
            if self._peek() == ",":
                self._skip(",")
        self._skip("}")
