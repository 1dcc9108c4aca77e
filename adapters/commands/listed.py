"""The commands by name, place and first line. The module of one is imported when it is run, and no sooner."""

from __future__ import annotations

from typing import Any, cast

import click

from offhook.adapters.commands.context import LedgerCommand
from offhook.adapters.modules import read


class Listed(LedgerCommand):
    """A command that is not there yet: a list needs no more than its name and its first line."""

    def __init__(self, place: str, name: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """The command itself."""
        place, _, attribute = self._place.partition(":")
        return cast(click.Command, getattr(read(f"{__package__}{place}"), attribute))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.load().make_context(info_name, args, parent, **extra)


RUN = "Run it"
ASK = "See what became of calls"
SAY = "Say who calls and what counts"
RECORD = "Record callbacks, and send them again"
KEEP = "Keep it going"

PURPOSES: dict[str, tuple[Listed, ...]] = {
    RUN: (
        Listed(".up:up", "up", "Run web and worker together; unconfigured, a demonstration."),
        Listed(".worker:worker", "worker", "Make calls of callbacks, decide, deliver conversions."),
        Listed(".sandbox:sandbox", "sandbox", "Run a Rockerbox of your own, which shows what it gets."),
    ),
    ASK: (
        Listed(".conversions:conversions", "conversions", "What was sent, what waits, and why; send it again."),
        Listed(".rockerbox:rockerbox", "rockerbox", "What Rockerbox makes of it: checks, QA, counts by hour."),
        Listed(".explain:explain", "explain", "Why is this call in Rockerbox, or why not?"),
        Listed(".today:today", "today", "How many calls came, and what became of them."),
        Listed(".calls:calls", "calls", "List calls by what became of them."),
    ),
    SAY: (
        Listed(".customers:customers", "customers", "Your customers' phone numbers: import them, look one up."),
        Listed(".unknown:unknown", "unknown", "Numbers whose calls wait for a customer; a file to fill in."),
        Listed(".rules:rules", "rules", "What counts as a conversion: check offhook.toml."),
    ),
    RECORD: (
        Listed(".recordings:recordings", "recordings", "Write callbacks to files, with pseudonyms; send them again."),
    ),
    KEEP: (
        Listed(".db:db", "db", "The database: create it, update it, back it up."),
        Listed(".tallies:tallies", "tallies", "The sums that `today` shows: count them anew."),
        Listed(".jobs:jobs", "jobs", "Long work that people asked for: where it stands; stop it."),
        Listed(".tokens:tokens", "tokens", "Who may use the API: make a token, list them, revoke one."),
        Listed(".users:users", "users", "Who may use the dashboard: make a user, a link, end sessions."),
        Listed(".audit:audit", "audit", "Who did what in the dashboard."),
        Listed(".settings:settings_command", "settings", "List every setting with its default."),
        Listed(".version:version", "version", "Say which Offhook this is, and on what it runs."),
    ),
}
"""The commands by what one wants to do, in the order in which a person comes to need them."""

LISTED = tuple(command for commands in PURPOSES.values() for command in commands)
RECORDINGS = (
    Listed(".recordings.taking:export", "export", "Write callbacks of the ledger as a recording, with pseudonyms."),
    Listed(".recordings.taking:tap", "tap", "Append each callback to a file as it is accepted."),
    Listed(".recordings.taking:import_", "import", "Make a recording of what you have: HAR files, logs, alerts."),
    Listed(".recordings.replaying:replay_command", "replay", "Send recordings to a status-callback URL, signed anew."),
)
