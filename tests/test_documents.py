"""Whatever a command does and asks on the way, its --json and its --csv are one document on stdout, of what came of it. What is new
is found by itself, among the commands that there are.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests import sinks
from tests.support.browsing import RULES
from tests.support.desk import KNOWN, UNKNOWN, Desk, desk_of
from tests.support.processes import REPOSITORY, environment
from tests.test_documented_commands import SHOWING

desk = desk_of("documents")
Words = Sequence[str]
SHORTER = {"OFFHOOK_RULES": RULES.replace("min_duration_seconds = 30", "min_duration_seconds = 10")}
LOG = "CallSid=CA1&CallStatus=completed&AccountSid=AC1...\nnothing\nnothing else\n"


def types(desk: Desk, *words: str, answer: str | None = None, **settings: str) -> tuple[int, str, str]:
    desk.types(*words, answer=answer, **settings)
    assert desk.ended.exception is None or isinstance(desk.ended.exception, SystemExit), desk.ended.output
    return desk.ended.exit_code, desk.ended.stdout, desk.ended.stderr


def with_token(desk: Desk) -> Words:
    return "tokens", "create", "--name", f"crm {next(desk.numbers)}", "--scope", "calls:read"


def short(desk: Desk) -> str:
    """The CallSid of a call of a customer that is too short to count."""
    desk.site.know(KNOWN, "cy@example.com")
    return desk.site.call(next(desk.numbers), caller=KNOWN, seconds=20)


def anew(desk: Desk) -> Words:
    short(desk)
    return "rules", "apply", "--since", "1d", "--yes"


def from_log(desk: Desk) -> Words:
    return "recordings", "import", desk.file(LOG), "--output", str(desk.folder / "calls.jsonl")


def again(desk: Desk) -> Words:
    recording = str(REPOSITORY / "recordings" / "busy.jsonl")
    return "recordings", "replay", recording, "--to", desk.known["URL"], "--speed", "max", "--auth-token", "t" * 32


WAYS: Mapping[str, Callable[[Desk], Words]] = {
    "flask audit": lambda _: ("audit",),
    "flask calls list": lambda _: ("calls", "list"),
    "flask conversions list": lambda _: ("conversions", "list"),
    "flask conversions retry": lambda desk: ("conversions", "retry", desk.refused()),
    "flask conversions show": lambda desk: ("conversions", "show", desk.refused()),
    "flask customers conflicts": lambda _: ("customers", "conflicts"),
    "flask customers import": lambda desk: ("customers", "import", desk.file()),
    "flask customers imports": lambda _: ("customers", "imports"),
    "flask customers lookup": lambda _: ("customers", "lookup", "+14155558006", "--save"),
    "flask customers lookups": lambda _: ("customers", "lookups"),
    "flask customers show": lambda desk: ("customers", "show", KNOWN),
    "flask customers sync": lambda desk: ("customers", "sync", desk.file()),
    "flask customers undo": lambda desk: ("customers", "undo", str(desk.imported()), "--yes"),
    "flask db current": lambda _: ("db", "current"),
    "flask db history": lambda _: ("db", "history"),
    "flask db restored": lambda _: ("db", "restored"),
    "flask explain": lambda desk: ("explain", desk.refused()),
    "flask jobs list": lambda _: ("jobs", "list"),
    "flask jobs show": lambda desk: ("jobs", "show", str(desk.job())),
    "flask recordings import": from_log,
    "flask recordings replay": again,
    "flask rockerbox hours": lambda _: ("rockerbox", "hours", "--day", "2026-11-24"),
    "flask rockerbox preflight": lambda _: ("rockerbox", "preflight"),
    "flask rules apply": anew,
    "flask rules backtest": lambda _: ("rules", "backtest"),
    "flask rules check": lambda _: ("rules", "check"),
    "flask rules show": lambda _: ("rules", "show"),
    "flask settings": lambda _: ("settings",),
    "flask tallies rebuild": lambda _: ("tallies", "rebuild"),
    "flask today": lambda _: ("today",),
    "flask tokens create": with_token,
    "flask tokens list": lambda _: ("tokens", "list"),
    "flask unknown": lambda _: ("unknown",),
    "flask users invite": lambda desk: ("users", "invite", desk.user().email),
    "flask users list": lambda _: ("users", "list"),
    "flask version": lambda _: ("version",),
}


@pytest.mark.unit
def test_each_command_that_lists_or_shows_is_asked_here() -> None:
    assert WAYS.keys() == SHOWING


def is_csv(text: str) -> bool:
    """A header, and as many cells in each row."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    return len(header) > 1 and all(len(row) == len(header) for row in rows)


@contextmanager
def own_signals() -> Iterator[None]:
    """A replay takes them over for as long as its process lives."""
    kept = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in kept:
            signal.signal(number, handler)


@pytest.mark.parametrize("command", WAYS)
def test_json_and_csv_are_one_document_each(desk: Desk, command: str) -> None:
    with own_signals(), sinks.Sink(sinks.answer(204)) as sink:
        at = Desk(desk.site, desk.folder, {**desk.known, "URL": sink.url}, desk.numbers)
        for form in ("--json", "--csv"):
            words = WAYS[command](at)
            said = types(desk, *words, form, OFFHOOK_LOOKUPS=desk.source(), **SHORTER)
            assert said[0] == (1 if command == "flask recordings import" else 0), said
            assert json.loads(said[1]) is not None if form == "--json" else is_csv(said[1]), said


# Conversions that are sent again


def test_a_retry_names_each_conversion_how_it_was_sent_and_what_is_otherwise_today(desk: Desk) -> None:
    made = desk.refused()
    desk.site.know(KNOWN, "new@example.com")
    code, out, said = types(desk, "conversions", "retry", made, "--rebuild", "--json")
    found = json.loads(out)
    [one] = found.pop("conversions")
    assert (code, found) == (0, {"chosen": 1, "sent_again": 1, "decided_anew": 1})
    assert (one["call_sid"], one["state"], one["reason"], one["sent"]) == (made, "dead", "http_422", "new")
    assert one["differences"] == [{"what": "email", "then": "c***@example.com", "now": "n***@example.com"}]
    assert (one["why_not"], one["lacks"], one["may_be_rebuilt"]) == (None, None, True)
    assert "were decided anew" in said and made not in said


def test_a_retry_says_of_what_stays_why_it_does(desk: Desk) -> None:
    made = desk.refused()
    longer = {"OFFHOOK_RULES": RULES.replace("min_duration_seconds = 30", "min_duration_seconds = 3000")}
    code, out, _ = types(desk, "conversions", "retry", made, "--rebuild", "--csv", **longer)
    [one] = csv.DictReader(io.StringIO(out))
    assert (code, one["call_sid"], one["sent"], one["differences"]) == (1, made, "", "")
    assert json.loads(one["why_not"])[0].startswith("too_short: ")


def test_a_retry_of_what_is_in_no_such_state_is_an_empty_document_and_fails(desk: Desk) -> None:
    made = short(desk)
    code, out, said = types(desk, "conversions", "retry", made, "--json")
    assert (code, json.loads(out)["conversions"], "None of these is dead" in said) == (1, [], True)


def test_a_terminal_is_asked_beside_the_document(desk: Desk) -> None:
    made = desk.refused()
    desk.site.know(KNOWN, "newer@example.com")
    ours, theirs = pty.openpty()
    env = environment(desk.known["DATABASE_URL"]) | {"OFFHOOK_RULES": RULES}
    command = [sys.executable, "-m", "flask", "conversions", "retry", made, "--json"]
    with closing(os.fdopen(ours, "r+b", buffering=0)) as terminal:
        running = subprocess.Popen(
            command, env=env, cwd=REPOSITORY, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        said = b""
        while b"[new]" not in said:
            said += terminal.read(1000)
        terminal.write(b"none\n")
        out, _ = running.communicate()
    assert b"have changed since" in said and made.encode() in said
    [one] = json.loads(out)["conversions"]
    assert (running.returncode, one["sent"], one["state"]) == (0, None, "dead")


# Rules that are applied


def test_rules_are_applied_only_with_a_yes_and_the_document_says_how_many_calls_that_were(desk: Desk) -> None:
    desk.site.know(UNKNOWN, "dee@example.com")
    types(desk, "rules", "apply", "--yes", **SHORTER)  # what tests before left
    made = short(desk)
    code, out, said = types(desk, "rules", "apply", "--json", **SHORTER)
    found = json.loads(out)
    [change] = found["changed"]
    assert (code, found["decided_anew"], change["samples"]) == (1, 0, [made])
    assert "Nothing was changed" in said
    code, out, _ = types(desk, "rules", "apply", "--json", "--yes", **SHORTER)
    assert (code, json.loads(out)["changed"], json.loads(out)["decided_anew"]) == (0, [change], 1)


# Imports that are taken back


@pytest.mark.parametrize(("answer", "is_done"), [("y\n", True), ("n\n", False)])
def test_an_import_that_was_not_taken_back_is_not_said_to_be(desk: Desk, answer: str, is_done: bool) -> None:
    code, out, said = types(desk, "customers", "undo", str(desk.imported()), "--json", answer=answer)
    assert (code, json.loads(out)["done"]) == (int(not is_done), is_done)
    assert "Take it back?" in said and "restored" in said


# What an import leaves out


def test_what_an_import_of_callbacks_left_out_is_all_in_its_document(desk: Desk) -> None:
    words: Any = ("recordings", "import", desk.file(LOG.splitlines()[0] + "\n" + "x\n" * 2), "--output")
    code, out, said = types(desk, *words, str(desk.folder / "calls.jsonl"), "--json")
    found = json.loads(out)
    [lost, passed_over] = found["left_out"]
    assert (code, found["callbacks"], said) == (1, 0, "")
    assert (lost["count"], lost["place"].endswith(".csv, line 1")) == (1, True)
    assert (passed_over["count"], passed_over["reason"], passed_over["place"]) == (2, "no CallSid", None)


def test_a_recording_and_a_document_do_not_go_to_the_same_place(desk: Desk) -> None:
    code, out, said = types(desk, "recordings", "import", desk.file(LOG), "--json")
    assert (code, out, "--output" in said) == (2, "", True)
