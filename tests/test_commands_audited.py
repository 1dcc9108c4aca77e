"""Each command that changes something is one line of the audit, and none where it is refused or only looks. What is new is found by
itself, among the commands that there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import pytest

from offhook.pipeline.phone import mask
from tests.support.browsing import RULES
from tests.support.dashboard import PASSWORD
from tests.support.desk import KNOWN, UNKNOWN, Desk, desk_of
from tests.test_documented_commands import ROOT, every_command

desk = desk_of("audited")


Did = tuple[str, str, str]
"""Who, what, of what."""


def to_user(command: str, what: str) -> Callable[[Desk], Did]:
    def act(desk: Desk) -> Did:
        email = desk.user().email
        desk.types("users", command, email)
        return "flask users", what, email

    return act


def creates_user(desk: Desk) -> Did:
    desk.types("users", "create", "--email", "new@example.com", "--role", "viewer")
    return "flask users", "user added", "new@example.com"


def sets_password(desk: Desk) -> Did:
    email = desk.user().email
    desk.types("users", "password", "--email", email, "--password-stdin", answer=f"{PASSWORD}\n")
    return "flask users", "password changed", email


def creates_token(desk: Desk) -> Did:
    name = f"crm {next(desk.numbers)}"
    desk.types("tokens", "create", "--name", name, "--scope", "calls:read")
    return "flask tokens", "token made", name


def revokes_token(desk: Desk) -> Did:
    _, _, name = creates_token(desk)
    desk.types("tokens", "revoke", name)
    return "flask tokens", "token revoked", name


def imports(desk: Desk) -> Did:
    path = desk.file()
    desk.types("customers", "import", path)
    return "flask customers", "customers imported", Path(path).name


def syncs(desk: Desk) -> Did:
    path = desk.file()
    desk.types("customers", "sync", path)
    return "flask customers", "customers imported", path


def undoes(desk: Desk) -> Did:
    number = desk.imported()
    desk.types("customers", "undo", str(number), "--yes")
    return "flask customers", "import taken back", f"import {number}"


def looks_up(desk: Desk) -> Did:
    desk.types("customers", "lookup", "+14155558006", "--save", OFFHOOK_LOOKUPS=desk.source())
    return "flask customers", "look-up saved", mask("+14155558006")


def retries(desk: Desk) -> Did:
    made = desk.refused()
    desk.types("conversions", "retry", made)
    return "flask conversions", "send again", made


def rebuilds(desk: Desk) -> Did:
    made = desk.refused()
    desk.site.know(KNOWN, f"cy{next(desk.numbers)}@example.com")
    desk.types("conversions", "retry", made, "--rebuild")
    return "flask conversions", "decide again and send", made


def applies(desk: Desk) -> Did:
    desk.site.know(KNOWN, "cy@example.com")
    desk.site.call(next(desk.numbers), caller=KNOWN, seconds=20)
    shorter = RULES.replace("min_duration_seconds = 30", "min_duration_seconds = 10")
    desk.types("rules", "apply", "--since", "1d", "--yes", OFFHOOK_RULES=shorter)
    return "flask rules", "rules applied", "1 calls"


def cancels(desk: Desk) -> Did:
    number = desk.job()
    desk.types("jobs", "cancel", str(number))
    return "flask jobs", "job stopped", f"job {number}"


def restores(desk: Desk) -> Did:
    desk.types("db", "restored")
    return "flask db", "restored from a backup", "the ledger"


CHANGING: Mapping[str, Callable[[Desk], Did]] = {
    "flask users create": creates_user,
    "flask users disable": to_user("disable", "user disabled"),
    "flask users enable": to_user("enable", "user enabled"),
    "flask users invite": to_user("invite", "link made"),
    "flask users password": sets_password,
    "flask users remove": to_user("remove", "user removed"),
    "flask users revoke-sessions": to_user("revoke-sessions", "sessions ended"),
    "flask tokens create": creates_token,
    "flask tokens revoke": revokes_token,
    "flask customers import": imports,
    "flask customers sync": syncs,
    "flask customers undo": undoes,
    "flask customers lookup": looks_up,
    "flask conversions retry": retries,
    "flask conversions retry --rebuild": rebuilds,
    "flask rules apply": applies,
    "flask jobs cancel": cancels,
    "flask db restored": restores,
}
# What shows something, or writes a file of one's own; what runs the service or makes its tables; what is counted anew.
QUIET = frozenset(
    {
        *(f"flask {name}" for name in ("audit", "explain", "settings", "today", "unknown", "version")),
        *(f"flask {name}" for name in ("up", "worker", "sandbox", "tallies rebuild")),
        *(f"flask {name} list" for name in ("calls", "conversions", "jobs", "tokens", "users")),
        *(f"flask customers {name}" for name in ("conflicts", "imports", "lookups", "show")),
        *(f"flask db {name}" for name in ("backup", "current", "history", "upgrade")),
        *(f"flask recordings {name}" for name in ("export", "import", "replay", "tap")),
        *(f"flask rockerbox {name}" for name in ("hours", "preflight", "qa")),
        *(f"flask rules {name}" for name in ("backtest", "check", "schema", "show")),
        *("flask conversions show", "flask jobs show"),
    }
)


@pytest.mark.unit
def test_each_command_either_changes_something_or_does_not() -> None:
    known = {path for path, command in every_command(ROOT) if not isinstance(command, click.Group)}
    changing = {path.partition(" --")[0] for path in CHANGING}
    assert not changing & QUIET
    assert known == changing | QUIET


@pytest.mark.parametrize("command", CHANGING)
def test_a_command_that_changes_something_is_one_line(desk: Desk, command: str) -> None:
    who, what, of_what = CHANGING[command](desk)
    assert desk.ended.exit_code == 0, desk.ended.output
    assert [(one.who, one.what, one.of_what, one.from_where) for one in desk.written] == [
        (who, what, of_what, "terminal")
    ]
    assert not re.search(r"\+\d{7}", of_what), "no caller in clear"


def over(desk: Desk) -> str:
    number = desk.job()
    desk.types("jobs", "cancel", str(number))
    return str(number)


def taken(desk: Desk) -> str:
    return creates_token(desk)[2]


REFUSED: Mapping[str, Callable[[Desk], Sequence[str]]] = {
    "a name that is taken": lambda desk: ("tokens", "create", "--name", taken(desk), "--scope", "calls:read"),
    "no such token": lambda desk: ("tokens", "revoke", "none"),
    "an email that is taken": lambda desk: ("users", "create", "--email", desk.user().email, "--role", "viewer"),
    "no such user": lambda desk: ("users", "disable", "nobody@example.com"),
    "a password of nobody": lambda desk: ("users", "password", "--email", "nobody@example.com", "--password-stdin"),
    "no password": lambda desk: ("users", "password", "--email", desk.user().email, "--password-stdin"),
    "no header": lambda desk: ("customers", "import", desk.file("a,b\n1,2\n")),
    "a dry run": lambda desk: ("customers", "import", desk.file(), "--dry-run"),
    "a dry run of undoing": lambda desk: ("customers", "undo", str(desk.imported()), "--dry-run"),
    "a list that is not there": lambda desk: ("customers", "sync", "/nowhere.csv"),
    "a call that waits for nobody": lambda desk: (
        "conversions",
        "retry",
        desk.site.call(next(desk.numbers), caller=UNKNOWN),
    ),
    "a job that is over": lambda desk: ("jobs", "cancel", over(desk)),
    "rules that change nothing": lambda desk: ("rules", "apply", "--since", "1s", "--yes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_or_only_tried_is_none(desk: Desk, what: str) -> None:
    desk.types(*REFUSED[what](desk))
    assert not isinstance(desk.ended.exception, Exception) or isinstance(desk.ended.exception, SystemExit)
    assert desk.written == []
