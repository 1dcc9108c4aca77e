"""A noun lives once: what two rooms need is imported from its owner, and written in no second place."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
# Two rooms of one line, which never know each other: what a file of rules and what a recording may hold, where a request that was
# pasted and where a proxy's answer has its head. That they are alike is chance.
BY_CHANCE = {r"re.compile('[\ud800-\udfff]')", r"re.compile(b'\\r?\\n\\r?\\n')"}


def is_a_list(value: ast.expr) -> bool:
    """Two words or more."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("frozenset", "tuple"):
        return any(map(is_a_list, value.args))
    if not isinstance(value, ast.Tuple | ast.List | ast.Set):
        return False
    return len(value.elts) > 1 and all(isinstance(each, ast.Constant) for each in value.elts)


def is_a_noun(value: ast.expr) -> bool:
    """A list of words, a long number, a pattern, or a part of a table of moves: nothing that is written alike by chance."""
    match value:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return number > 1_000_000
        case ast.Call(func=ast.Attribute(attr="sources" | "targets")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="compile")):
            return True
    return is_a_list(value)


def test_no_list_pattern_or_part_of_a_table_is_written_in_two_rooms() -> None:
    found = defaultdict(set)
    for room in ("offhook", "adapters"):
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" not in path.parts:
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and is_a_noun(node.value):
                        found[ast.unparse(node.value)].add(str(path.resolve().relative_to(ROOT)))
    assert len(found) > 100
    assert {noun: paths for noun, paths in found.items() if len(paths) > 1 and noun not in BY_CHANCE} == {}
