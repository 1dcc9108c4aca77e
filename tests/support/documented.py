"""Reads the command lines out of Markdown, and which of them are marked as not to be run. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHELL = frozenset({"", "sh", "shell", "bash", "console"})
NO_SHELL = frozenset({"csv", "ini", "json", "mermaid", "python", "text", "toml", "yaml"})
_FENCE = re.compile(r" {0,3}```([a-z]*)$")
_MARK = re.compile(r"<!-- not run: (\S.*) -->")
_INLINE = re.compile(r"`((?:\.venv/bin/)?(?:flask|offhook) [^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of command lines. `why_not_run` is the reason of its mark, "" where it has none; `line` counts from 1."""

    page: str
    line: int
    text: str
    why_not_run: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, markdown: str) -> Iterator[Block]:
    """Each block of command lines, fenced or indented. Raises ValueError for a fence of a language that is in no list."""
    lines, before, number = markdown.splitlines(), "", 0
    while number < len(lines):
        end, text = _block_at(lines, number, page)
        if end > number:
            if text:
                mark = _MARK.fullmatch(before)
                yield Block(page, number + 1, text, mark[1] if mark else "")
            before = ""
        elif lines[number].strip():
            before = lines[number].strip()
        number = max(end, number + 1)


def _block_at(lines: list[str], start: int, page: str) -> tuple[int, str]:
    """(where the block ends that begins here, its command lines, "" where it has none); the start itself where none begins."""
    fence = _FENCE.match(lines[start])
    if fence:
        end = next(i for i in range(start + 1, len(lines)) if lines[i].strip() == "```")
        if fence[1] not in SHELL | NO_SHELL:
            raise ValueError(f"{page}:{start + 1}: is a block of {fence[1]} run, or not? Put it into one of the lists.")
        return end + 1, "\n".join(lines[start + 1 : end]) if fence[1] in SHELL else ""
    if not lines[start].startswith("    ") or (start and lines[start - 1].strip()):
        return start, ""
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("    ")), len(lines))
    return end, "\n".join(line[4:] for line in lines[start:end])


def inline(markdown: str) -> list[str]:
    """The commands of Offhook that a sentence or a table names, in their order, without where flask is."""
    return [found.removeprefix(".venv/bin/") for found in _INLINE.findall(markdown)]


def pages(root: Path) -> dict[str, str]:
    """README, all of docs/, and the README of bench/ and recordings/: path -> text."""
    files = [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted(root.glob("[br]e*/README.md"))]
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files}
