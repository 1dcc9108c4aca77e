"""Another project that installs this repository with pip: the example of docs/testing.md, word for word."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY, bare_environment

OTHERS = ("settings.py", "pipeline.py", "adapters.py")  # modules of theirs that are called like ours


def examples() -> dict[str, str]:
    """The files of the document, by the names that their first lines give."""
    text = (REPOSITORY / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    return dict(blocks)


class Project:
    """A folder with a virtual environment of its own, and nothing of ours in its way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in bare_environment().items() if name in ("PATH", "HOME", "LANG")}

    def run(self, *command: str, timeout_seconds: float = 300) -> subprocess.CompletedProcess[str]:
        program, *rest = command
        return subprocess.run(
            [str(self.folder / "venv" / "bin" / program), *rest],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )

    def test(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "pytest", "-p", "no:cacheprovider", *options)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("another-project"))
    subprocess.run([sys.executable, "-m", "venv", str(made.folder / "venv")], check=True)
    source = tmp_path_factory.mktemp("clone")
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    for name in ignored.stdout.splitlines():  # pip builds in the folder: not in ours
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    done = made.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(source), "pytest")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, text in examples().items():
        (made.folder / name).write_text(text)
    for name in OTHERS:
        (made.folder / name).write_text("mine = True\n")
    yield made


@pytest.mark.timeout(400)
def test_the_example_of_the_documentation_runs_in_a_project_of_its_own(project: Project) -> None:
    assert sorted(examples()) == ["app.py", "test_calls.py"]
    without = project.test()
    assert (without.returncode, "pytest --offhook-update-golden" in without.stdout) == (1, True), without.stdout
    made = project.test("--offhook-update-golden")
    assert (made.returncode, "2 passed" in made.stdout) == (0, True), made.stdout + made.stderr
    assert "2 passed" in project.test().stdout
    [golden] = project.folder.glob("golden/test_calls/*.json")
    text = golden.read_text()
    golden.write_text(text.replace('"action": "phone_call"', '"action": "another"', 1))
    failed = project.test().stdout
    assert re.search(
        r'1 differences.*\n\s+CA[0-9a-f]{32}: conversion.action is "phone_call", golden: "another"', failed
    )
    golden.write_text(text)


@pytest.mark.parametrize("autoload", [True, False], ids=["loaded by itself, too", "by the conftest alone"])
def test_one_line_in_a_conftest_does_as_well(autoload: bool, project: Project) -> None:
    conftest = project.folder / "conftest.py"
    conftest.write_text('pytest_plugins = ["offhook.pytest_offhook"]\n')
    project.env |= {} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = project.test("-k", "in_any_order")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    conftest.unlink()
    project.env.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)


def test_their_modules_stay_theirs_and_ours_is_one_package(project: Project) -> None:
    told = "import settings, pipeline, adapters, app; print(settings.mine, pipeline.mine, adapters.mine, app.app.name)"
    assert project.run("python", "-c", told).stdout.split() == ["True", "True", "True", "app"]
    listed = project.run("python", "-m", "pip", "show", "--files", "offhook").stdout.split("Files:")[1].split()
    assert {name.split("/")[0].split("-")[0] for name in listed if not name.startswith("..")} == {"offhook"}


def test_the_command_is_there_under_its_own_name(project: Project) -> None:
    form = "CallSid=CA1&From=%2B17655550142&CallStatus=completed"
    (project.folder / "log.txt").write_text(form + "\n")
    done = project.run("offhook", "recordings", "import", "log.txt", "--output", "calls.jsonl")
    assert (done.returncode, "1 callbacks written" in done.stderr) == (0, True), done.stderr
    where = ("--to", "http://127.0.0.1:9", "--auth-token", "x", "--speed", "max")
    sent = project.run("offhook", "recordings", "replay", "calls.jsonl", *where)
    assert (sent.returncode, "1 without an answer" in sent.stdout) == (1, True), sent.stdout + sent.stderr


def test_what_is_asked_of_pip_is_what_is_deployed() -> None:
    """Each direct dependency of pyproject.toml is pinned in requirements.txt, and the other way round."""
    asked = re.search(r"^dependencies = \[(.*?)^\]", (REPOSITORY / "pyproject.toml").read_text(), re.S | re.M)
    assert asked
    names = set(re.findall(r"^ +[\"']+([A-Za-z0-9-]+)", asked[1], re.M))
    direct = (REPOSITORY / "requirements.txt").read_text().split("\n\n")[0]
    pinned = {re.split(r"[=\[]", line)[0] for line in direct.splitlines() if line and not line.startswith("#")}
    assert names == pinned
