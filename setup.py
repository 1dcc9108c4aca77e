"""Builds the wheel: everything goes into one package, `offhook`, and all else stands in pyproject.toml.

Here the modules are called app, settings, adapters and pipeline. Installed under these names they would take the place of
other projects' modules (whose own Flask app is an `app.py`, too), so in the wheel `from adapters...` is `from offhook.adapters...`.
"""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
MODULES = ("app", "service", "settings", "pasted", "pytest_offhook")
PACKAGES = ("adapters", "pipeline")
DATA = ("recordings/*.jsonl", "recordings/customers.csv", "gunicorn.conf.py")
_NAMES = "|".join((*MODULES, *PACKAGES))
_FROM = re.compile(rf"^(\s*)from ({_NAMES})(?=[. ])", re.MULTILINE)
_IMPORT = re.compile(rf"^\s*import (?:{_NAMES})\b.*", re.MULTILINE)


class BuildOffhook(build_py):
    """Copies the modules into `offhook`, their imports of one another changed to match."""

    def run(self) -> None:
        if self.editable_mode:
            raise SystemExit("install it without -e: the modules are moved into the package `offhook` when it is built")
        package = Path(self.build_lib) / "offhook"
        shutil.rmtree(package, ignore_errors=True)  # what an earlier build left must not get in
        for source in sources():
            target = package / source.relative_to(HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".py":
                target.write_text(within_offhook(source.read_text(encoding="utf-8"), source), encoding="utf-8")
            else:
                target.write_bytes(source.read_bytes())
        (package / "__init__.py").write_text('"""Offhook, installed: see the README of its repository."""\n')

    def get_source_files(self) -> list[str]:
        return [str(source.relative_to(HERE)) for source in sources()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: ARG002 (the base's signature)
        return [str(path) for path in (Path(self.build_lib) / "offhook").rglob("*") if path.is_file()]


def sources() -> list[Path]:
    """All files of the wheel."""
    modules = [HERE / f"{name}.py" for name in MODULES]
    packaged = [path for name in PACKAGES for path in (HERE / name).rglob("*") if path.suffix in (".py", ".mako")]
    return sorted([*modules, *packaged, *(path for pattern in DATA for path in HERE.glob(pattern))])


def within_offhook(text: str, source: Path) -> str:
    """The module's text as one of the package."""
    found = _IMPORT.search(text)
    if found:
        raise SystemExit(f"{source}: write {found[0].strip()!r} as `from ... import ...`, which can be moved")
    return _FROM.sub(r"\1from offhook.\2", text)


if __name__ == "__main__":
    setup(packages=["offhook"], package_dir={"offhook": "."}, cmdclass={"build_py": BuildOffhook})
