"""schemathesis asks a real gunicorn whatever its OpenAPI document lets it ask, and more, and finds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offhook.pipeline.tokens import Scope
from tests.support import ledger
from tests.support.filled import fill
from tests.support.processes import REPOSITORY, Web, environment, flask

SEED = "1"
ROWS = 2_500
REACHED = {
    "GET /api/v1/calls/{sid} 200",
    "POST /api/v1/conversions/{sid}:retry 200",
    "POST /api/v1/conversions/{sid}:retry 409",
    "GET /api/v1/calls 200",
    "GET /api/v1/tallies 200",
    "GET /api/v1/customers/{phone} 200",
    "PUT /api/v1/customers/{phone} 200",
    "DELETE /api/v1/customers/{phone} 204",
    "POST /api/v1/customers:bulk 200",
}
CONFIG = """
[auth.openapi.token]
bearer = "{token}"
"""


@contextmanager
def running(url: str, folder: Path) -> Iterator[tuple[Web, str]]:
    """A web process, and a token that may do everything."""
    quick = {"OFFHOOK_API_REQUESTS_PER_SECOND": "100000", "OFFHOOK_API_BURST": "100000"}
    env = environment(url, **quick)
    scopes = [word for one in Scope for word in ("--scope", one.value)]
    made = flask("tokens", "create", "--name", "all", *scopes, "--json", env=env, folder=folder)
    with Web(env, folder) as web:
        yield web, json.loads(made.stdout)["token"]


def know_some(url: str) -> None:
    """Half of the numbers that schemathesis asks for are a customer's."""
    rows = ", ".join(f"('+141555501{number:02d}', 'c{number}@example.test', 1)" for number in range(0, 20, 2))
    ledger.change(url, f"INSERT INTO customers (phone, email, changed_at) VALUES {rows}")


@pytest.mark.mostly("sqlite")  # minutes of requests; the API's own tests are asked of both
@pytest.mark.parametrize("examples", [5, pytest.param(100, marks=pytest.mark.soak)])
def test_schemathesis_finds_nothing(database_url: str, tmp_path: Path, examples: int) -> None:
    fill(database_url, ROWS)
    know_some(database_url)
    with running(database_url, tmp_path) as (web, token):
        address = f"http://127.0.0.1:{web.port}/api/v1/openapi.json"
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", address, "--no-color"]
        command += ["--max-examples", str(examples), "--seed", SEED, "--generation-database", "none"]
        # A check of schemathesis' own bounds the time in which examples are made; machines are busy.
        command += ["--suppress-health-check", "too_slow"]
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(token=token))
        hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(REPOSITORY)}
        hooks["ANSWERED"] = str(tmp_path / "answered")
        hooks["HYPOTHESIS_STORAGE_DIRECTORY"] = str(REPOSITORY / ".hypothesis")  # which characters there are, read once
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "request_failed" not in web.log
    assert REACHED - set((tmp_path / "answered").read_text().splitlines()) == set()
