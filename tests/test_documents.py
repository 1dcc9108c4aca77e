"""Whatever a command does and asks on the way, its --json and its --csv are one document on stdout, of what came of it. What is new
is found by itself, among the commands that there are.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from offhook.adapters.passwords import is_right
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import AuditLine, Session
from tests import sinks
from tests.support import ledger
from tests.support.browsing import RULES
from tests.support.dashboard import PASSWORD
from tests.support.desk import KNOWN, UNKNOWN, Desk, desk_of
from tests.support.processes import REPOSITORY, environment
from tests.test_documented_commands import ROOT, every_command

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


def revoked(desk: Desk) -> Words:
    made = with_token(desk)
    desk.types(*made)
    return "tokens", "revoke", made[3]


def to_user(what: str) -> Callable[[Desk], Words]:
    return lambda desk: ("users", what, desk.user().email)


def new_user(desk: Desk) -> Words:
    return "users", "create", "--email", f"new{next(desk.numbers)}@example.com", "--role", "viewer"


def another_password(desk: Desk) -> Words:
    return "users", "password", "--email", desk.user().email, "--password-stdin"


def new_file(desk: Desk) -> str:
    return str(desk.folder / f"new{next(desk.numbers)}")


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
    "flask customers show": lambda desk: ("customers", "show", desk.listed()),
    "flask customers sync": lambda desk: ("customers", "sync", desk.file()),
    "flask customers undo": lambda desk: ("customers", "undo", str(desk.imported()), "--yes"),
    "flask db backup": lambda desk: ("db", "backup", new_file(desk)),
    "flask db current": lambda _: ("db", "current"),
    "flask db history": lambda _: ("db", "history"),
    "flask db restored": lambda _: ("db", "restored"),
    "flask db upgrade": lambda _: ("db", "upgrade"),
    "flask explain": lambda desk: ("explain", desk.refused()),
    "flask jobs cancel": lambda desk: ("jobs", "cancel", str(desk.job())),
    "flask jobs list": lambda _: ("jobs", "list"),
    "flask jobs show": lambda desk: ("jobs", "show", str(desk.job())),
    "flask recordings export": lambda desk: ("recordings", "export", "--output", new_file(desk)),
    "flask recordings import": from_log,
    "flask recordings replay": again,
    "flask rockerbox hours": lambda _: ("rockerbox", "hours", "--day", "2026-11-24"),
    "flask rockerbox preflight": lambda _: ("rockerbox", "preflight"),
    "flask rockerbox qa": lambda desk: ("rockerbox", "qa", "--month", "2026-10", "--output", new_file(desk)),
    "flask rules apply": anew,
    "flask rules backtest": lambda _: ("rules", "backtest"),
    "flask rules check": lambda _: ("rules", "check"),
    "flask rules show": lambda _: ("rules", "show"),
    "flask settings": lambda _: ("settings",),
    "flask tallies rebuild": lambda _: ("tallies", "rebuild"),
    "flask today": lambda _: ("today",),
    "flask tokens create": with_token,
    "flask tokens list": lambda _: ("tokens", "list"),
    "flask tokens revoke": revoked,
    "flask unknown": lambda _: ("unknown",),
    "flask users create": new_user,
    "flask users disable": to_user("disable"),
    "flask users enable": to_user("enable"),
    "flask users invite": to_user("invite"),
    "flask users password": another_password,
    "flask users list": lambda _: ("users", "list"),
    "flask users remove": to_user("remove"),
    "flask users revoke-sessions": to_user("revoke-sessions"),
    "flask version": lambda _: ("version",),
}


ANSWERS: Mapping[str, str] = {"flask users password": f"{PASSWORD}\n"}
"""What a command reads from standard input."""

_RUNS = "it runs until it is stopped"
WITHOUT: Mapping[str, str] = {
    "flask recordings tap": f"{_RUNS}, or its file is full",
    "flask rules schema": "what it prints is a document",
    "flask sandbox": _RUNS,
    "flask up": _RUNS,
    "flask worker": _RUNS,
}
"""The commands that have no --json, and why."""
FORMATS = frozenset({"--format", "--json", "--csv"})


@pytest.mark.unit
def test_each_command_is_asked_here_for_its_documents_or_there_is_a_reason_why_it_has_none() -> None:
    found = {
        path: FORMATS & {name for param in command.params for name in param.opts}
        for path, command in every_command(ROOT)
        if not isinstance(command, click.Group)
    }
    assert found == {**dict.fromkeys(WAYS, FORMATS), **dict.fromkeys(WITHOUT, frozenset())}
    assert not WAYS.keys() & WITHOUT.keys()


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
            said = types(desk, *words, form, answer=ANSWERS.get(command), OFFHOOK_LOOKUPS=desk.source(), **SHORTER)
            assert said[0] == (1 if command == "flask recordings import" else 0), said
            assert json.loads(said[1]) is not None if form == "--json" else is_csv(said[1]), said


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("import", "empty.csv"), 2, "is empty"),
        (("import", "nowhere.csv"), 2, "does not exist"),
        (("import", "used.csv", "--columns", "a"), 2, "three columns"),
        (("sync", "nowhere.csv"), 1, "cannot be opened"),
        (("sync", "ftp://crm.example.com/a.csv"), 1, "http or https, or at a path"),
        (("undo", "999999"), 2, "There is no import 999999"),
        (("show", "+14155559999"), 1, "Nobody has"),
    ],
)
@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_what_fails_without_a_document_says_why_on_stderr_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, why: str, form: str
) -> None:
    monkeypatch.chdir(desk.folder)
    (desk.folder / "empty.csv").write_text("")
    (desk.folder / "used.csv").write_text("phone,email\n")
    ended, out, said = types(desk, "customers", *words, form)
    assert (ended, out) == (code, "") and why in said


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
    assert "1 was decided anew; what it was before" in said and made not in said


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


@pytest.mark.parametrize(
    "words", [("recordings", "import"), ("recordings", "export"), ("rockerbox", "qa", "--month", "2026-10")]
)
def test_a_file_and_a_document_do_not_go_to_the_same_place(desk: Desk, words: Words) -> None:
    more = {"import": (desk.file(LOG),), "export": (), "qa": ("--output", "-")}[words[1]]
    code, out, said = types(desk, *words, *more, "--json")
    assert (code, out, "name a file for it by --output" in said) == (2, "", True)


# What is done, and said in a sentence to a person


def document(desk: Desk, *words: str, answer: str | None = None, **settings: str) -> Any:
    code, out, said = types(desk, *words, "--json", answer=answer, **settings)
    assert code == 0, said
    return json.loads(out)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def listed(desk: Desk, email: str) -> Any:
    return [one for one in document(desk, "users", "list") if one["email"] == email]


SENTENCES: Mapping[str, str] = {
    "flask db backup": r"/\S+/new\d+: the whole ledger as it was just now, \d+\.\d MB, checked\.\n",
    "flask db upgrade": r"SQLite ledger is at \d+\.\n",
    "flask jobs cancel": r"Job \d+ is cancelled\.\n",
    "flask tokens revoke": r'"crm \d+" is revoked, everywhere within 2 s\.\n',
    "flask users create": r"new\d+@example\.com may come in as viewer\.\n",
    "flask users disable": r"user\d+@example\.com may no longer come in\.\n",
    "flask users enable": r"user\d+@example\.com may come in again\.\n",
    "flask users password": r"user\d+@example\.com has another password; 0 sessions have ended\.\n",
    "flask users remove": r"user\d+@example\.com is removed\.\n",
    "flask users revoke-sessions": r"0 sessions of user\d+@example\.com have ended\.\n",
}


@pytest.mark.parametrize("command", SENTENCES)
def test_what_is_done_is_a_sentence_to_a_person(desk: Desk, command: str) -> None:
    code, out, _ = types(desk, *WAYS[command](desk), answer=ANSWERS.get(command))
    assert code == 0 and re.fullmatch(SENTENCES[command], out), out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [("flask recordings export", "callbacks written."), ("flask rockerbox qa", "conversions written, with emails")],
)
def test_of_a_file_that_is_written_it_is_said_beside_it(desk: Desk, command: str, sentence: str) -> None:
    code, out, said = types(desk, *WAYS[command](desk))
    assert (code, out, sentence in said) == (0, "", True)


def test_a_user_who_is_made_is_shown_as_the_list_has_them_and_never_their_password(desk: Desk) -> None:
    words = (*new_user(desk), "--password-stdin")
    made = document(desk, *words, answer="correct horse battery staple\n")
    assert [made] == listed(desk, words[3])
    assert (made["role"], made["has_password"], made["disabled_at"], made["sessions"]) == ("viewer", True, None, 0)
    assert "horse" not in desk.ended.output and "argon2" not in desk.ended.output


def with_session(desk: Desk) -> str:
    """The email of a user who is there."""
    user, now = desk.user(), desk.ledger.clock()
    came = AuditLine(now, user.email, "signed in", user.email, "test")
    desk.ledger.sessions.add(Session(f"s{next(desk.numbers)}", user.id, now, now, "127.0.0.1"), now, came)
    return user.email


def test_a_user_who_is_disabled_and_enabled_is_shown_as_the_list_has_them(desk: Desk) -> None:
    email, since = with_session(desk), datetime.now(UTC)
    disabled = document(desk, "users", "disable", email)
    assert ([disabled], disabled["sessions"]) == (listed(desk, email), 0)
    assert since <= moment(disabled["disabled_at"]) <= datetime.now(UTC)
    enabled = document(desk, "users", "enable", email)
    assert ([enabled], enabled["disabled_at"]) == (listed(desk, email), None)


def test_another_password_lets_in_and_ends_the_sessions_and_links_of_before(desk: Desk) -> None:
    email = with_session(desk)
    _, out, _ = types(desk, "users", "invite", email, "--json")
    words = ("users", "password", "--email", email.upper(), "--password-stdin")
    done = document(desk, *words, answer=f"{PASSWORD}\nnothing else\n")
    assert ([done], done["has_password"], done["sessions"]) == (listed(desk, email), True, 0)
    assert PASSWORD not in desk.ended.output and "argon2" not in desk.ended.output
    someone, secret = desk.ledger.users.with_email(email), json.loads(out)["link"].rpartition("/")[2]
    assert is_right(someone.password_hash, PASSWORD)
    assert desk.ledger.invites.open(hashed(secret), desk.ledger.clock()) is None
    for wrong in ("short", "password12345", email):
        code, out, said = types(desk, *words, answer=f"{wrong}\n")
        assert (code, out, desk.written, "password" in said) == (2, "", [], True)
    assert desk.ledger.users.with_email(email) == someone


def test_sessions_that_are_ended_are_counted(desk: Desk) -> None:
    email = with_session(desk)
    assert document(desk, "users", "revoke-sessions", email) == {"email": email, "sessions_ended": 1}


def test_a_user_who_is_removed_is_named_with_when(desk: Desk) -> None:
    email = desk.user().email
    gone = document(desk, "users", "remove", email)
    [line] = desk.written
    assert (gone["email"], moment(gone["removed_at"]), listed(desk, email)) == (email, line.at, [])


def test_a_token_that_is_revoked_is_named_with_when_and_how_soon_it_is_known_everywhere(desk: Desk) -> None:
    *words, name = revoked(desk)
    gone = document(desk, *words, name, OFFHOOK_API_TOKENS_SECONDS="7")
    [kept] = [one for one in document(desk, "tokens", "list") if one["name"] == name]
    assert gone == {"name": name, "revoked_at": kept["revoked_at"], "everywhere_within_seconds": 7.0}


def test_a_job_that_is_cancelled_is_shown_as_it_is_then(desk: Desk) -> None:
    number = str(desk.job())
    gone = document(desk, "jobs", "cancel", number)
    assert (gone["state"], gone["cancel_asked_at"]) == ("cancelled", gone["finished_at"])
    assert gone == document(desk, "jobs", "show", number)


def test_what_cannot_be_done_has_no_document(desk: Desk) -> None:
    *words, name = revoked(desk)
    document(desk, *words, name)
    code, out, said = types(desk, *words, name, "--json")
    assert (code, out, "that could be revoked" in said) == (1, "", True)


def test_an_upgrade_says_where_the_tables_were_and_where_they_are(desk: Desk) -> None:
    first = document(desk, "db", "history")[0]["revision"]
    there = {"DATABASE_URL": f"sqlite:///{new_file(desk)}.db"}
    done = document(desk, "db", "upgrade", first, **there)
    assert (done.pop("before"), done.pop("tallies_are_whole")) == ("empty", None)
    assert (done["database"], done["tables"]) == (first, "behind")
    types(desk, "db", "current", "--json", **there)
    assert json.loads(desk.ended.stdout) == done


def test_an_upgrade_says_whether_there_is_something_to_count_and_how_beside_the_document(desk: Desk) -> None:
    document(desk, "tallies", "rebuild")  # whatever tests before left
    whole = document(desk, "db", "upgrade")
    assert (whole["tallies_are_whole"], desk.ended.stderr) == (True, "")
    ledger.change(desk.known["DATABASE_URL"], "DELETE FROM counters WHERE name = 'tallies_whole'")
    not_whole = document(desk, "db", "upgrade")
    assert (not_whole["tallies_are_whole"], "`flask tallies rebuild`" in desk.ended.stderr) == (False, True)
    document(desk, "tallies", "rebuild")


def test_a_backup_says_which_file_that_is_and_how_large(desk: Desk) -> None:
    path = new_file(desk)
    assert document(desk, "db", "backup", path) == {"file": path, "bytes": Path(path).stat().st_size}


def test_a_file_for_qa_is_counted_beside_it(desk: Desk) -> None:
    desk.refused()
    path, month = new_file(desk), f"{desk.ledger.clock():%Y-%m}"
    done = document(desk, "rockerbox", "qa", "--month", month, "--output", path)
    rows = list(csv.DictReader(io.StringIO(Path(path).read_text(), newline="")))
    assert (done["file"], done["conversions"]) == (path, len(rows))
    assert 0 < done["undelivered"] <= len(rows)


def test_a_recording_is_counted_beside_it_with_the_customers_whom_it_needs(desk: Desk) -> None:
    sid, path, customers = desk.refused(), new_file(desk), new_file(desk)
    words = ("recordings", "export", "--call", sid, "--output", path)
    done = document(desk, *words, "--customers", customers)
    count = len(Path(path).read_text().splitlines())
    assert done == {"file": path, "callbacks": count, "rows_of_mapping": 1} and count > 0
    assert document(desk, *words)["rows_of_mapping"] is None
