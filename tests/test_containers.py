"""The image and what runs beside it: built and run where there is a container engine, otherwise read by linters.

What the image would hold is run here in any case, from a folder that holds nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.needed import may_lack, require
from tests.support.processes import REPOSITORY, Web, bare_environment, environment, flask, free_port
from tests.support.tree import copy_tree
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, Twilio, callback, new_sid
from tests.support.waiting import HANGS_AFTER_SECONDS, wait_until

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]
COMPOSE = REPOSITORY / "compose.yaml"
SETTINGS = {
    "POSTGRES_PASSWORD": "secret",
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "PUBLIC_URL": PUBLIC_URL,
    "ROCKERBOX_ADVERTISER_ID": "advertiser-for-tests",
    "ROCKERBOX_URL": "http://127.0.0.1:9/none",
}


def program(name: str) -> str:
    """One of requirements-dev.txt. Where it is missing, what it would have read is said not to be read; in CI that fails."""
    found = Path(sys.executable).parent / name
    require(found.exists(), f"{name} is missing: pip install --require-hashes -r requirements-dev.txt")
    return str(found)


def ran(*command: str, folder: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "DOCKER_HOST")}
    return subprocess.run(command, cwd=folder, env={**known, **(env or {})}, capture_output=True, text=True)


# With an engine


def has_engine() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "info"], capture_output=True, timeout=HANGS_AFTER_SECONDS).returncode == 0
    )


@contextmanager
def composed(folder: Path) -> Iterator[list[str]]:
    """What begins each command. At the end its containers, network and volume are gone."""
    compose = [program("docker-compose"), "--project-name", f"offhook-test-{os.getpid()}"]
    try:
        yield compose
    finally:
        ran(*compose, "down", "--volumes", "--rmi", "local", folder=folder)


@pytest.mark.timeout(1200)
def test_an_engine_builds_the_image_and_brings_postgres_web_and_worker_up(tmp_path: Path) -> None:
    may_lack(has_engine(), "container engine")
    port, tree = free_port(), copy_tree(tmp_path / "tree")
    (tree / ".env").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    with composed(tree) as compose:
        # Healthy is web when /readyz says so, from within, and worker when it runs.
        up = ran(
            *compose,
            "up",
            "--build",
            "--wait",
            "web",
            "worker",
            folder=tree,
            env=SETTINGS | {"PORT": str(port)},
        )
        assert up.returncode == 0, up.stderr
        assert Twilio(port).send(callback(new_sid())).status == 204
        who = ran(*compose, "exec", "-T", "web", "id", "-u", folder=tree)
        assert who.stdout.strip() == "10001"
        tools = ran(*compose, "exec", "-T", "web", "sh", "-c", "command -v gcc make curl git pip", folder=tree)
        assert tools.stdout == ""
        assert ran(*compose, "exec", "-T", "web", "python", "-m", "pip", folder=tree).returncode == 1


# Without one


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    return ran(program("hadolint"), "--no-color", str(dockerfile), folder=dockerfile.parent)


def test_the_dockerfile_is_what_a_linter_would_write(tmp_path: Path) -> None:
    found = lint(REPOSITORY / "Dockerfile")
    assert (found.returncode, found.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text(re.sub(r"python:\S+ AS", "python:latest AS", DOCKERFILE))
    assert "DL3007" in lint(worse).stdout  # it reads


def read_by_compose(file: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Docker's own reading of a compose file, which asks no engine."""
    return ran(program("docker-compose"), "--file", str(file), "config", *words, folder=file.parent, env=env)


def test_docker_reads_the_compose_file_and_finds_four_services(tmp_path: Path) -> None:
    read = read_by_compose(COMPOSE, "--services", POSTGRES_PASSWORD="secret")
    assert (read.returncode, sorted(read.stdout.split())) == (0, ["db", "migrate", "web", "worker"]), read.stderr
    worse = tmp_path / "compose.yaml"
    worse.write_text(COMPOSE.read_text().replace("condition: service_healthy", "condition: well"))
    assert "depends_on.db.condition" in read_by_compose(worse, POSTGRES_PASSWORD="secret").stderr  # it reads


def test_a_database_without_a_password_is_not_brought_up(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text())
    refused = read_by_compose(tmp_path / "compose.yaml")
    assert (refused.returncode, "set POSTGRES_PASSWORD in .env" in refused.stderr) == (1, True)


def test_the_image_runs_as_nobody_in_particular_and_without_what_builds() -> None:
    assert re.search(r"^USER [1-9][0-9]*$", LAST_STAGE, re.MULTILINE)
    assert "HEALTHCHECK" in LAST_STAGE and "/readyz" in LAST_STAGE
    assert not re.search(r"\b(apt-get|gcc|make|curl|wget|install)\b", LAST_STAGE)
    # Python's image brings a pip of its own, and a virtual environment has another, unless it is made without.
    assert "pip uninstall --yes" in LAST_STAGE and "venv --without-pip" in DOCKERFILE


def test_its_health_check_says_whether_callbacks_can_be_stored(tmp_path: Path) -> None:
    found = re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", LAST_STAGE)
    assert found
    command = [sys.executable, *json.loads(found[1])[1:]]
    env = environment(f"sqlite:///{tmp_path}/offhook.db")
    with Web(env, tmp_path) as web:
        without_tables = ran(*command, folder=tmp_path, env={"PORT": str(web.port)})
        assert flask("db", "upgrade", env=env, folder=tmp_path).returncode == 0
        wait_until(lambda: web.twilio.get("/readyz").status == 200)
        ready = ran(*command, folder=tmp_path, env={"PORT": str(web.port)})
    gone = ran(*command, folder=tmp_path, env={"PORT": str(web.port)})
    assert [each.returncode for each in (without_tables, ready, gone)] == [1, 0, 1], ready.stderr


@cache
def _rules() -> list[tuple[bool, re.Pattern[str]]]:
    """Of .dockerignore, each with whether it lets in: https://docs.docker.com/build/concepts/context/#dockerignore-files"""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    return [(line.startswith("!"), re.compile(f"{_as_regex(line.removeprefix('!'))}(/.*)?")) for line in found]


def _as_regex(pattern: str) -> str:
    words = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*"}
    return re.sub(r"\\\*\\\*/|\\\*\\\*|\\\*", lambda found: words[found[0].replace("\\", "")], re.escape(pattern))


def is_sent(name: str) -> bool:
    """Whether a file gets into the context of a build: the last rule that says something of it, or of its folder, holds."""
    return next((lets_in for lets_in, rule in reversed(_rules()) if rule.fullmatch(name)), True)


@pytest.mark.parametrize(
    "name",
    [
        ".env", "offhook.db", "offhook.db-wal", "customers.csv", "offhook.toml", "calls.jsonl", ".git/config",
        "adapters/.env", "offhook/ledger.db", "recordings/mine.csv", "recordings/customers.csv.rejected.csv", ".run/demo.db",
    ],
)  # fmt: skip
def test_nothing_private_gets_into_the_context(name: str) -> None:
    assert not is_sent(name)


def copied_in(tree: Path) -> set[str]:
    """The files of a tree, by their names in it, that the last stage's COPY lines put into the image."""
    wanted = [
        source.rstrip("/")
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", LAST_STAGE, re.MULTILINE)
        for source in sources.split()
    ]
    names = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_symlink() or path.is_file()}
    return {name for name in names if is_sent(name) and any(f"{name}/".startswith(f"{each}/") for each in wanted)}


def test_what_the_image_holds_is_the_whole_program_and_enough_to_run(tmp_path: Path) -> None:
    tree, image = copy_tree(tmp_path / "tree"), tmp_path / "image"
    held = copied_in(tree)
    program_files = {path.relative_to(tree).as_posix() for path in (tree / "adapters").rglob("*") if path.is_file()}
    assert program_files - held == set()
    for name in held:
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / name, image / name, follow_symlinks=False)
    env = bare_environment() | {"DATABASE_URL": f"sqlite:///{tmp_path}/offhook.db"}
    del env["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"], cwd=image, env=env, capture_output=True, text=True
    )
    assert (done.returncode, "SQLite ledger: empty ->" in done.stdout) == (0, True), done.stderr
