"""`flask version`: which Offhook this is. `flask --version` is Flask's own."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

import click

from offhook.adapters.commands.context import LedgerCommand
from offhook.adapters.commands.shown import Format, show_record, shows
from offhook.pipeline.version import VERSION


@click.command(cls=LedgerCommand)
@shows
def version(shown: Format) -> None:
    """Say which Offhook this is, and on what it runs.

    \b
    flask version
    flask version --json
    """
    found = (("Offhook", VERSION), ("Python", platform.python_version()), ("Flask", version_of("flask")))
    show_record(found, shown)
