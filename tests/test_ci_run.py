"""`.ci/run` on machines that lack something: what is said to whom, and that the tests run all the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.unit

THERE = ("bash", "env", "dirname")  # what any machine has


def machine(folder: Path, **programs: str) -> Path:
    """A folder that is all of a PATH: bash and its like, `make`, and `programs` by name, each the text of a shell script."""
    for name in THERE:
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    for name, script in ({"make": 'echo "ran: make $*, CI=$CI"'} | programs).items():
        (folder / name.replace("_", "-")).write_text(f"#!{folder}/bash\n{script}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return folder


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(path / "bash"), str(REPOSITORY / ".ci" / "run")]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, timeout=HANGS_AFTER_SECONDS)


def test_who_may_install_nothing_sees_what_to_ask_for_and_the_tests_run(tmp_path: Path) -> None:
    somebody = 'case "$1" in -u) echo 1000;; -un) echo ann;; esac'
    done = run(machine(tmp_path, id=somebody, sudo="exit 1", apt_get="echo must not run", npm="", openssl="", curl=""))
    assert "not to be installed by ann: chromium-headless-shell" in done.stdout, done.stdout + done.stderr
    assert "    apt-get install --no-install-recommends chromium-headless-shell" in done.stdout
    assert "must not run" not in done.stdout
    assert done.stdout.endswith("ran: make test, CI=true\n") and done.returncode == 0


@pytest.mark.parametrize(
    ("who", "as_root"), [("0", "exit 1"), ("1000", 'shift; exec "$@"')], ids=["root", "a user who may become root"]
)
def test_who_may_install_does_so_and_nothing_is_printed_of_it(who: str, as_root: str, tmp_path: Path) -> None:
    asked = f'echo "$*" >>{tmp_path}/asked'
    done = run(machine(tmp_path, id=f"echo {who}", sudo=as_root, true="", apt_get=asked, npm="", openssl="", curl=""))
    assert (done.returncode, done.stdout) == (0, "ran: make test, CI=true\n"), done.stderr
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update == "update -qq" and install.startswith(
        "install -y -qq --no-install-recommends chromium-headless-shell"
    )


def test_each_run_of_the_soak_looks_where_nobody_looked_before() -> None:
    """In CI examples are the same at every run, unless this is asked for."""
    recipe = (REPOSITORY / "Makefile").read_text(encoding="utf-8").partition("\nsoak:")[2].partition("\n\n")[0]
    runs = [line for line in recipe.splitlines() if "pytest" in line]
    assert len(runs) == 3
    assert [line for line in runs if "--hypothesis-profile random" not in line] == []


@pytest.mark.parametrize("browser", ["chromium", "chromium_browser", "chromium_headless_shell"])
def test_where_nothing_is_missing_nothing_is_asked(browser: str, tmp_path: Path) -> None:
    there = dict.fromkeys((browser, "pgbouncer", "npm", "openssl", "curl"), "")
    assert run(machine(tmp_path, **there)).stdout == "ran: make test, CI=true\n"
