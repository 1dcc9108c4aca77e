"""What keeps Offhook from starting is said at once, all of it, in plain words: no traceback, no secret, no half a start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY, environment, flask, free_port, run
from tests.support.twilio import AUTH_TOKEN

Start = Callable[[dict[str, str], Path], str]
ADVERTISER = "advertiser-for-tests"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Everything that a start needs, on SQLite, without tables."""
    return environment(f"sqlite:///{tmp_path}/offhook.db")


GUNICORN = [sys.executable, "-m", "gunicorn", "-c", str(REPOSITORY / "gunicorn.conf.py"), "app:app"]


def refused_web(env: dict[str, str], folder: Path) -> str:
    """What gunicorn said when it refused to start."""
    return refusal(run(GUNICORN, {**env, "PORT": env.get("PORT") or str(free_port())}, folder))


def refused_from_nothing(env: dict[str, str], folder: Path) -> str:
    """The same of a Python that has read none of our modules."""
    env = {**env, "PORT": str(free_port())}
    return refusal(subprocess.run(GUNICORN, env=env, cwd=folder, capture_output=True, text=True))


def refused_worker(env: dict[str, str], folder: Path) -> str:
    """What `flask worker` said when it refused to start."""
    return refusal(flask("worker", env=env, folder=folder))


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None), said
    assert "Traceback" not in said, said
    assert AUTH_TOKEN not in said and ADVERTISER not in said
    return said


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


def test_web_without_twilios_keys_names_the_settings(env: dict[str, str], tmp_path: Path) -> None:
    said = refused_from_nothing(without(env, "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"), tmp_path)
    assert "TWILIO_ACCOUNT_SID" in said and "TWILIO_AUTH_TOKEN" in said and "TWILIO_KEYRING" in said


def test_a_token_without_its_account_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    assert "TWILIO_ACCOUNT_SID" in refused_web(without(env, "TWILIO_ACCOUNT_SID"), tmp_path)


def test_a_keyring_that_is_no_keyring_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    for keyring in ('{"AC1": ', '["a-token-for-tests"]', "/no/such/file.json"):
        assert "TWILIO_KEYRING" in refused_web(env | {"TWILIO_KEYRING": keyring}, tmp_path)


def test_a_worker_without_an_advertiser_id_names_the_setting(env: dict[str, str], tmp_path: Path) -> None:
    assert "ROCKERBOX_ADVERTISER_ID" in refused_worker(without(env, "ROCKERBOX_ADVERTISER_ID"), tmp_path)


def test_an_inline_worker_needs_what_both_need(env: dict[str, str], tmp_path: Path) -> None:
    bare = without(env, "ROCKERBOX_ADVERTISER_ID", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    said = refused_web(bare | {"OFFHOOK_WORKER": "inline"}, tmp_path)
    assert "ROCKERBOX_ADVERTISER_ID" in said and "TWILIO_AUTH_TOKEN" in said


@pytest.mark.parametrize("start", [refused_web, refused_worker])
class TestBothProcesses:
    def test_all_wrong_settings_are_said_together(self, start: Start, env: dict[str, str], tmp_path: Path) -> None:
        wrong = {
            "PORT": "many",
            "DATABASE_URL": "mysql://root:a-token-for-tests@localhost/x",
            "PUBLIC_URL": "calls.example.test",
            "OFFHOOK_SETTLE_SECONDS": "-1",
            "OFFHOOK_DEFAULT_COUNTRY": "Atlantis",
            "OFFHOOK_WORKER": "somewhere",
        }
        said = start(env | wrong, tmp_path)
        assert [name for name in wrong if name not in said] == []

    def test_a_lease_shorter_than_an_attempt_is_refused(
        self, start: Start, env: dict[str, str], tmp_path: Path
    ) -> None:
        assert "OFFHOOK_LEASE_SECONDS" in start(env | {"OFFHOOK_LEASE_SECONDS": "1"}, tmp_path)

    def test_wrong_rules_are_said_with_file_and_line(self, start: Start, env: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "offhook.toml").write_text('action = "phone_call"\n\nmin_duration_seconds = "ten"\n')
        said = start(env, tmp_path)
        assert "offhook.toml:3: min_duration_seconds" in said

    def test_rules_that_were_named_must_be_there(self, start: Start, env: dict[str, str], tmp_path: Path) -> None:
        assert "mine.toml" in start(env | {"OFFHOOK_CONFIG": "mine.toml"}, tmp_path)

    def test_sqlite_on_a_disk_that_is_wiped_is_refused(self, start: Start, env: dict[str, str], tmp_path: Path) -> None:
        said = start(env | {"DYNO": "web.1"}, tmp_path)
        assert "heroku-postgresql" in said and "OFFHOOK_ALLOW_EPHEMERAL_SQLITE" in said

    @pytest.mark.parametrize("place", ["no/such/folder", "/proc"], ids=["missing", "unwritable"])
    def test_a_folder_that_cannot_hold_the_ledger_is_refused(
        self, start: Start, env: dict[str, str], tmp_path: Path, place: str
    ) -> None:
        said = start(env | {"DATABASE_URL": f"sqlite:///{tmp_path / place}/offhook.db"}, tmp_path)
        assert "DATABASE_URL" in said

    def test_a_ledger_in_memory_is_refused(self, start: Start, env: dict[str, str], tmp_path: Path) -> None:
        assert "memory" in start(env | {"DATABASE_URL": "sqlite:///:memory:"}, tmp_path)
