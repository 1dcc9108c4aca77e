"""This repository as pip and uv install it: from its wheel, its sdist and editable, each into an empty environment.

Another project that uses it: the example of docs/testing.md, word for word. The demonstration, from the wheel.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY, Up, bare_environment
from tests.support.tree import copy_tree

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
        self.python = str(folder / "venv" / "bin" / "python")
        self.env = {name: value for name, value in bare_environment().items() if name in ("PATH", "HOME", "LANG")}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *rest = command
        return subprocess.run(
            [str(self.folder / "venv" / "bin" / program), *rest],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )

    def test(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "pytest", "-p", "no:cacheprovider", *options)


def succeeds(*command: str) -> None:
    """A command of this Python's, which must succeed."""
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """How pip is asked for each form. The sdist is made of the tree, and the wheel of the sdist."""
    source, dist = copy_tree(tmp_path_factory.mktemp("clone") / "offhook"), tmp_path_factory.mktemp("dist")
    succeeds("build", "--installer", "uv", "--outdir", str(dist), str(source))
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return {"wheel": [f"{wheel}[pytest]"], "sdist": [str(sdist)], "editable": ["--editable", str(source)]}


@pytest.fixture(scope="module")
def project(forms: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Another one, with the wheel, all that the wheel asks for, and pytest. uv takes seconds where pip takes a minute."""
    made = Project(tmp_path_factory.mktemp("another-project"))
    succeeds("venv", "--without-pip", str(made.folder / "venv"))
    succeeds("uv", "pip", "install", "--system-certs", "--python", made.python, *forms["wheel"])
    for name, text in examples().items():
        (made.folder / name).write_text(text)
    for name in OTHERS:
        (made.folder / name).write_text("mine = True\n")
    return made


@pytest.fixture(scope="module", params=["wheel", "sdist", "editable"])
def installed(
    request: pytest.FixtureRequest, forms: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The tree is built by pip, the sdist by uv, as that takes half as long; what they need comes by uv, which looks at each."""
    if request.param == "wheel":
        whole: Project = request.getfixturevalue("project")
        return whole
    made = Project(tmp_path_factory.mktemp(request.param))
    succeeds("venv", "--without-pip", str(made.folder / "venv"))
    needed = ("-r", str(REPOSITORY / "pyproject.toml"))
    succeeds("uv", "pip", "install", "--system-certs", "--python", made.python, *needed)
    if request.param == "sdist":
        succeeds("uv", "pip", "install", "--system-certs", "--python", made.python, "--no-deps", *forms["sdist"])
    else:
        succeeds("pip", "--python", made.python, "install", "--quiet", "--no-deps", *forms["editable"])
    return made


_WHAT_IS_THERE = """
from importlib import metadata
from pathlib import Path
import offhook
import offhook.adapters.web.routes
print(metadata.metadata("offhook")["License-Expression"])
for name in ("py.typed", "gunicorn.conf.py", "recordings/shop-day.jsonl", "recordings/customers.csv"):
    print((Path(offhook.__file__).parent / name).is_file())
print(offhook.adapters.web.routes.__file__)
"""


def test_each_form_is_whole(installed: Project, forms: dict[str, list[str]], tmp_path: Path) -> None:
    there = installed.run("python", "-c", _WHAT_IS_THERE)
    assert there.stdout.split()[:-1] == ["Apache-2.0", "True", "True", "True", "True"], there.stderr
    is_the_tree_itself = forms["editable"][-1] in there.stdout
    assert is_the_tree_itself == installed.folder.name.startswith("editable")
    succeeds("uv", "pip", "check", "--python", installed.python)
    installed.env["DATABASE_URL"] = f"sqlite:///{tmp_path}/offhook.db"
    migrated = installed.run("offhook", "db", "upgrade")
    assert "SQLite ledger: empty ->" in migrated.stdout, migrated.stderr
    del installed.env["DATABASE_URL"]


def test_without_the_driver_of_postgres_it_is_said_how_to_install_it(project: Project) -> None:
    project.env["DATABASE_URL"] = "postgres://offhook@127.0.0.1:9/offhook"
    refused = project.run("offhook", "db", "upgrade")
    assert (refused.returncode, "pip install 'offhook[postgres]'" in refused.stderr) == (2, True), refused.stderr
    del project.env["DATABASE_URL"]


def test_the_wheel_demonstrates_itself_in_an_empty_folder(project: Project, tmp_path: Path) -> None:
    with Up(project.env, tmp_path, program=[str(project.folder / "venv" / "bin" / "offhook")]) as up:
        assert re.search(r"^counted +phone_call .* order CA[0-9a-f]{32}", up.log, re.MULTILINE), up.log
        up.interrupt()
        assert up.wait() == 0, up.log
        assert "Traceback" not in up.log
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run", "up.log"]


def test_the_example_of_the_documentation_runs_in_a_project_of_its_own(project: Project) -> None:
    """What its golden file has is all that it comes to: of what is changed in it, that alone differs."""
    assert sorted(examples()) == ["app.py", "test_calls.py"]
    made = project.test("--offhook-update-golden")
    assert (made.returncode, "2 passed" in made.stdout) == (0, True), made.stdout + made.stderr
    [golden] = project.folder.glob("golden/test_calls/*.json")
    text = golden.read_text()
    golden.write_text(text.replace('"action": "phone_call"', '"action": "another"', 1))
    failed = project.test().stdout
    assert "1 failed, 1 passed" in failed
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
    program = (
        "import settings, pipeline, adapters, app; print(settings.mine, pipeline.mine, adapters.mine, app.app.name)"
    )
    assert project.run("python", "-c", program).stdout.split() == ["True", "True", "True", "app"]
    files = "from importlib.metadata import files; print(*files('offhook'), sep='\\n')"
    listed = project.run("python", "-c", files).stdout.split()
    assert {name.split("/")[0].split("-")[0] for name in listed if not name.startswith("..")} == {"offhook"}


def test_the_command_is_there_under_its_own_name(project: Project) -> None:
    form = "CallSid=CA1&From=%2B17655550142&CallStatus=completed"
    (project.folder / "log.txt").write_text(form + "\n")
    done = project.run("offhook", "recordings", "import", "log.txt", "--output", "calls.jsonl")
    assert (done.returncode, "1 callback written" in done.stderr) == (0, True), done.stderr
    where = ("--to", "http://127.0.0.1:9", "--auth-token", "x", "--speed", "max")
    sent = project.run("offhook", "recordings", "replay", "calls.jsonl", *where)
    assert (sent.returncode, "1 without an answer" in sent.stdout) == (1, True), sent.stdout + sent.stderr


def names(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"^ *[\"']*([A-Za-z][A-Za-z0-9-]*)(?=[\[><=])", text, re.M)}


def test_what_is_asked_of_pip_is_what_is_deployed() -> None:
    """Each direct dependency of pyproject.toml stands in requirements.in, the other way round, and is pinned."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    direct = names((REPOSITORY / "requirements.in").read_text())
    assert names("\n".join(asked)) == direct
    assert direct <= names((REPOSITORY / "requirements.txt").read_text())


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_is_pinned_with_hashes_and_no_index_is_named(file: str) -> None:
    text = (REPOSITORY / file).read_text()
    pins = re.split(r"^(?=[A-Za-z])", text, flags=re.M)[1:]
    assert len(pins) > 30
    assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []
    assert "://" not in text
