"""Each port is a file, and each has a contract."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
PORTS = ROOT / "offhook" / "pipeline" / "ports"
WITHOUT = {"__init__"}  # a docstring


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
