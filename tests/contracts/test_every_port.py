"""Each port is a file, and each has a contract."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
PORTS = ROOT / "offhook" / "pipeline" / "ports"
WITHOUT = {"__init__"}  # a docstring
# What a port is made of or hands out, beside it in its file.
PARTS = {"KnownCalls", "Bookkeeping", "CustomerTable", "Encode", "News"}
# Methods whose promise is in the contract of another port, with what they need.
ELSEWHERE = {
    ("books", "calls_before"): "past",
    ("books", "customers_as_of"): "history",
    ("books", "waited"): "look_ups",
    ("books", "answered"): "look_ups",
    ("books", "release"): "look_ups",
    ("stories", "following"): "following",
}


def protocols() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every Protocol, with the port in whose file it stands."""
    for path in sorted(PORTS.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
                yield path.stem, node


def methods() -> list[tuple[str, str]]:
    """Of each port what is called by name: neither what is read nor what is called itself."""
    return [
        (port, each.name)
        for port, protocol in protocols()
        for each in protocol.body
        if isinstance(each, ast.FunctionDef) and not each.decorator_list and not each.name.startswith("__")
    ]


def is_called(name: str, port: str) -> bool:
    contract = (Path(__file__).parent / f"test_{port}.py").read_text(encoding="utf-8")
    return re.search(rf"\.{name}\(", contract) is not None


def test_each_port_has_a_contract_under_its_name() -> None:
    ports = {path.stem for path in PORTS.glob("*.py")} - WITHOUT
    contracts = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert ports == contracts - {"every_port"}


def test_the_package_of_ports_holds_a_docstring_and_no_more() -> None:
    [only] = ast.parse((PORTS / "__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)


def test_no_port_knows_another_layer() -> None:
    for path in PORTS.glob("*.py"):
        assert "offhook.adapters" not in path.read_text(), path.name


def test_a_file_holds_one_port_and_its_parts() -> None:
    found = [(port, node.name) for port, node in protocols() if node.name not in PARTS]
    ports = [port for port, _ in found]
    assert [each for each in found if ports.count(each[0]) > 1] == []
    assert {node.name for _, node in protocols()} >= PARTS


def test_every_method_of_a_port_is_called_by_a_contract() -> None:
    known = methods()
    assert len(known) > 100
    assert [each for each in known if not is_called(each[1], ELSEWHERE.get(each, each[0]))] == []
    assert [each for each in ELSEWHERE if each not in known or is_called(each[1], each[0])] == []
