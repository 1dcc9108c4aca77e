"""On a platform: its own word for the public address, rules as text in a setting, and no file with persons in git."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.settings import platform_url
from tests.support.needed import require
from tests.support.processes import REPOSITORY, environment, flask, run

RULES = 'action = "rang"\nmin_duration_seconds = 30\n'


@pytest.mark.parametrize(
    ("said", "url"),
    [
        (
            {"HEROKU_APP_DEFAULT_DOMAIN_NAME": "calls-1234567890ab.herokuapp.com"},
            "https://calls-1234567890ab.herokuapp.com",
        ),
        ({"RENDER_EXTERNAL_URL": "https://calls.onrender.com/"}, "https://calls.onrender.com"),
        ({"RAILWAY_PUBLIC_DOMAIN": "calls.up.railway.app"}, "https://calls.up.railway.app"),
        ({"FLY_APP_NAME": "calls"}, "https://calls.fly.dev"),
        ({"FLY_APP_NAME": ""}, None),
        ({"RENDER_EXTERNAL_URL": "calls.onrender.com"}, None),
        ({"RAILWAY_PUBLIC_DOMAIN": "a b/../"}, None),
        ({"HEROKU_APP_NAME": "calls"}, None),
    ],
)
def test_what_a_platform_says_is_the_address(said: dict[str, str], url: str | None) -> None:
    found = platform_url(said)
    assert (found and found[1]) == url


def settings_of(folder: Path, **changes: str) -> str:
    """The public addresses of a process with this environment."""
    env = environment("sqlite:///offhook.db") | changes
    script = "from offhook.settings import load; print(','.join(load().public_urls))"
    done = subprocess.run([sys.executable, "-c", script], env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_explicit_public_url_wins_over_the_platforms_word(tmp_path: Path) -> None:
    assert settings_of(tmp_path, FLY_APP_NAME="calls", PUBLIC_URL="") == "https://calls.fly.dev"
    assert settings_of(tmp_path, FLY_APP_NAME="calls", PUBLIC_URL="https://a.example") == "https://a.example"
    (tmp_path / ".env").write_text("PUBLIC_URL=https://b.example\n")
    assert settings_of(tmp_path, FLY_APP_NAME="calls", PUBLIC_URL="") == "https://b.example"


def test_rules_as_text_hold_and_a_file_beside_them_is_said_to_be_set_aside(tmp_path: Path) -> None:
    env = environment("sqlite:///offhook.db", OFFHOOK_RULES=RULES)
    alone = flask("rules", "check", env=env, folder=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "") and alone.stdout.startswith("OFFHOOK_RULES: version ")
    (tmp_path / "offhook.toml").write_text('action = "another"\n')
    both = flask("rules", "check", env=env, folder=tmp_path)
    assert (both.stdout == alone.stdout and '"rang"' in both.stdout) or "rang" in both.stdout
    assert "OFFHOOK_RULES holds the rules; the file offhook.toml is set aside" in both.stderr


def test_wrong_rules_as_text_are_reported_by_the_name_of_the_setting_and_the_line(tmp_path: Path) -> None:
    env = environment("sqlite:///offhook.db", OFFHOOK_RULES='min_duration_seconds = "ten"\n')
    done = flask("worker", env=env, folder=tmp_path)
    assert done.returncode != 0 and "OFFHOOK_RULES:1: min_duration_seconds" in done.stdout + done.stderr


def imported(folder: Path, text: str, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    env = environment("sqlite:///offhook.db") | changes
    assert flask("db", "upgrade", env=env, folder=folder).returncode == 0
    command = [sys.executable, "-m", "flask", "customers", "import", "-", *options]
    return run(command, env, folder, text)


@pytest.mark.parametrize(
    ("options", "changes"), [(("--rejects", "-"), {}), ((), {"DYNO": "run.1"})], ids=["asked for", "on a one-off dyno"]
)
def test_what_is_imported_from_standard_input_gives_its_rejected_rows_back_by_standard_error(
    options: tuple[str, ...], changes: dict[str, str], tmp_path: Path
) -> None:
    text = "phone,email,customer_id\n(415) 867-5309,ann@example.com,C1\nnobody,bob@example.com,C2\n"
    done = imported(tmp_path, text, *options, **changes)
    assert done.returncode == 0 and "1  added" in done.stdout
    assert re.search(r"^3?.*nobody,bob@example\.com,C2", done.stderr, re.M) and "See the lines above" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "reject" in path.name] == []


def test_rejected_rows_of_standard_input_may_go_to_a_file_as_well(tmp_path: Path) -> None:
    done = imported(tmp_path, "phone,email\nnobody,bob@example.com\n", "--rejects", "bad.csv", DYNO="run.1")
    assert "See bad.csv" in done.stderr and "bob@example.com" in (tmp_path / "bad.csv").read_text()


PERSONS = [
    "customers.csv", "Kunden 2026.CSV.gz", "customers.csv.rejected.csv", "crm.xlsx", "calls.jsonl", "tunnel.har", "offhook.db",
    "offhook.db-wal", "offhook.db-wal.replaced-1", "offhook-2026-03-12.db", "offhook.dump", "backups/monday.sql", ".env",
    "replaced/offhook.db", "exports/mapping.csv", "replaced.sqlite3",
]  # fmt: skip


def git(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments], cwd=REPOSITORY, input=text, capture_output=True, text=True
    )


def test_no_file_with_persons_gets_into_git_by_mistake() -> None:
    require(git("rev-parse").returncode == 0, "this copy is no clone")
    taken = git("check-ignore", "--stdin", "--no-index", text="\n".join(PERSONS)).stdout.splitlines()
    assert [name for name in PERSONS if name not in taken] == []
    ours = git("ls-files").stdout.splitlines()
    assert [name for name in ours if name.endswith(".pyc")] == []
    assert git("check-ignore", "--stdin", "--no-index", text="\n".join(ours)).stdout == ""


def test_the_heroku_button_asks_for_nothing_that_nobody_can_know() -> None:
    asked = json.loads((REPOSITORY / "app.json").read_text())["env"]
    needed = {name for name, about in asked.items() if about.get("required", True)}
    assert needed == {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "ROCKERBOX_ADVERTISER_ID"}
    assert "herokuapp.com" not in (REPOSITORY / "README.md").read_text()
