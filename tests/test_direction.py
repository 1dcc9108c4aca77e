"""Imports point one way: app -> adapters -> pipeline. The contract stands in pyproject.toml; here it is seen to fail."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
ALLOWED = {*sys.stdlib_module_names, "pipeline", "phonenumbers"}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([str(program), "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("adapters", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


def test_the_contract_holds(copy: Path) -> None:
    told = lint_imports(copy)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("pipeline/call.py", "import adapters.web"),
        ("pipeline/steps.py", "import settings"),
        ("adapters/web/routes.py", "import adapters.twilio.signature"),
        ("adapters/ledger/store.py", "import adapters.rockerbox.client"),
        ("adapters/rockerbox/client.py", "import settings"),
        ("adapters/twilio/reading.py", "import adapters.commands.db"),
        ("adapters/commands/db.py", "import app"),
        ("adapters/commands/db.py", "import service"),
    ],
)
def test_an_import_against_the_direction_breaks_the_contract(copy: Path, file: str, line: str) -> None:
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    told = lint_imports(copy)
    assert told.returncode == 1, told.stdout + told.stderr
    assert "BROKEN" in told.stdout


def test_the_pipeline_imports_the_standard_library_and_phonenumbers_alone() -> None:
    foreign = []
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign += [f"{path.name}: {name}" for name in names if name.split(".")[0] not in ALLOWED]
    assert foreign == []
