"""The commands by name, place and first line. The module of one is imported when it is run, and no sooner."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import click

from offhook.adapters.commands.context import LedgerCommand


class Listed(LedgerCommand):
    """A command that is not there yet: a list needs no more than its name and its first line."""

    def __init__(self, place: str, name: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self._place.partition(":")
        return cast(click.Command, getattr(import_module(module, __package__), attribute))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.load().make_context(info_name, args, parent, **extra)


LISTED = tuple(
    Listed(place, name, short_help)
    for place, name, short_help in (
        (".conversions:conversions", "conversions", "What was told to Rockerbox, what waits, and what needs a person."),
        (".customers:customers", "customers", "Who calls: the mapping from phone numbers to emails and ids."),
        (".db:db", "db", "The ledger's tables: create them, bring them up to date."),
        (
            ".recordings:recordings",
            "recordings",
            "Callbacks into a file, with pseudonyms, and sent again, signed anew.",
        ),
        (".rules:rules", "rules", "What shall count as a conversion (offhook.toml)."),
        (".sandbox:sandbox", "sandbox", "Run a Rockerbox of your own, which shows what it gets and fails on command."),
        (".settings:settings_command", "settings", "List every setting with its default."),
        (".up:up", "up", "Run web and worker together, until Ctrl-C."),
        (".version:version", "version", "Say which Offhook this is, and on what it runs."),
        (".worker:worker", "worker", "Fold callbacks into calls, decide, and deliver conversions."),
    )
)
RECORDINGS = tuple(
    Listed(place, name, short_help)
    for place, name, short_help in (
        (".recordings.taking:export", "export", "Write callbacks of the ledger as a recording, with pseudonyms."),
        (
            ".recordings.taking:import_",
            "import",
            "Make a recording of what you have: HAR files, requests, logs, alerts.",
        ),
        (".recordings.replaying:replay_command", "replay", "Send recordings to a status-callback URL, signed anew."),
        (".recordings.taking:tap", "tap", "Append each callback to a file as it is accepted."),
    )
)
