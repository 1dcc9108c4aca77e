"""`flask version`: which Offhook this is. `flask --version` is Flask's own."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

import click

from offhook.adapters.commands.context import LedgerCommand
from offhook.pipeline.version import VERSION


@click.command(cls=LedgerCommand)
def version() -> None:
    """Say which Offhook this is, and on what it runs.

    \b
    flask version
    """
    click.echo(f"Offhook {VERSION}\nPython {platform.python_version()}\nFlask {version_of('flask')}")
