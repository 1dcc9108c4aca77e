"""Whose lines get into the log."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.processes import bare_environment

pytestmark = pytest.mark.unit

_SAY = """
import logging, sys
from offhook.adapters import logs
logs.configure(sys.argv[1])
for name in ("offhook.worker", "offhook.adapters.rockerbox.client", "twilio.http_client", "urllib3.connectionpool", "anybody"):
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        logging.getLogger(name).log(getattr(logging, level), "said")
"""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@pytest.mark.parametrize("level", LEVELS)
def test_libraries_speak_from_a_warning_on_and_we_as_the_setting_says(level: str) -> None:
    command = [sys.executable, "-c", _SAY, level]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    heard = {
        name: [line["level"] for line in lines if line["logger"] == name] for name in {line["logger"] for line in lines}
    }
    wanted = list(LEVELS[LEVELS.index(level) :])
    assert heard.pop("offhook.worker") == heard.pop("offhook.adapters.rockerbox.client") == wanted
    severe = [each for each in wanted if each in ("WARNING", "ERROR")]
    assert all(levels == severe for levels in heard.values())
    assert len(heard) == 3
