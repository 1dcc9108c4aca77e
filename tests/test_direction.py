"""Imports point one way: main -> service -> commands -> recordings -> the other adapters -> pipeline.

The contract stands in pyproject.toml; here it is seen to fail.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
ALLOWED = (*sys.stdlib_module_names, "offhook.pipeline", "phonenumbers")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([str(program), "--no-cache"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("adapters", "offhook"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contract_holds(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("offhook/pipeline/call.py", "import offhook.adapters.web"),
        ("offhook/pipeline/steps.py", "import offhook.settings"),
        ("offhook/service.py", "import offhook.main"),
        ("offhook/api_and_dashboard.py", "import offhook.service"),
        ("offhook/from_settings.py", "import offhook.api_and_dashboard"),
        ("adapters/commands/db.py", "import offhook.from_settings"),
        ("adapters/web/routes.py", "import offhook.adapters.twilio.signature"),
        ("adapters/ledger/store.py", "import offhook.adapters.rockerbox.client"),
        ("adapters/rockerbox/client.py", "import offhook.settings"),
        ("adapters/twilio/reading.py", "import offhook.adapters.commands.db"),
        ("adapters/twilio/spelling.py", "import offhook.adapters.recordings.format"),
        ("adapters/recordings/replay.py", "import offhook.adapters.commands.db"),
        ("adapters/commands/db.py", "import offhook.main"),
        ("adapters/commands/db.py", "import offhook.adapters.dashboard.door"),
        ("adapters/dashboard/setup.py", "import offhook.adapters.commands.db"),
        ("adapters/dashboard/setup.py", "import offhook.settings"),
        ("adapters/web/routes.py", "import offhook.adapters.dashboard.door"),
        ("adapters/commands/db.py", "import offhook.service"),
        ("adapters/dashboard/setup.py", "import offhook.adapters.api.app"),
        ("adapters/api/app.py", "import offhook.adapters.dashboard.door"),
        ("adapters/recordings/replay.py", "import offhook.adapters.api.app"),
    ],
)
def test_an_import_against_the_direction_breaks_the_contract(copy: Path, file: str, line: str) -> None:
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_the_pipeline_imports_the_standard_library_and_phonenumbers_alone() -> None:
    foreign = []
    for path in sorted((ROOT / "offhook" / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign += [
                f"{path.name}: {name}"
                for name in names
                if not f"{name}.".startswith(tuple(f"{one}." for one in ALLOWED))
            ]
    assert foreign == []


def test_the_service_is_one_page_of_plain_calls_with_the_drawing() -> None:
    text = (ROOT / "offhook" / "service.py").read_text()
    assert len(text.splitlines()) <= 300
    assert [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)] == []
    assert "adapters/web/front.py" in (ast.get_docstring(ast.parse(text)) or "")
