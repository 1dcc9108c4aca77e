"""A reload (SIGHUP) that leaves what runs as it is when what would come after it does not start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any


def reload_only_what_starts(arbiter: Any, refusal: Callable[[], str]) -> None:
    """Ask `refusal` before each reload of gunicorn's master; while it gives a reason, nothing is changed.

    gunicorn alone ends everything when the new workers do not start.
    """
    reload = arbiter.reload

    def careful() -> None:
        why = refusal()
        if why:
            arbiter.log.error("reload_refused", extra={"error": why})
        else:
            reload()

    arbiter.reload = careful


def refusal_of(check: Callable[[], object], seconds: float) -> str:
    """Why a new Python, with the code and the settings as they are on the disk now, cannot make this check; "" if it can.

    `check` is a function of a module; its SettingsError, or whatever else it raises, is the reason.
    """
    code = f"import sys\nfrom {check.__module__} import {check.__name__} as check\ntry:\n  check()\n"
    code += "except Exception as error:\n  sys.exit(f'{type(error).__name__}: {error}')"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the check took longer than {seconds:g} s"
    return "" if done.returncode == 0 else done.stderr[-2000:].strip() or f"exit code {done.returncode}"
