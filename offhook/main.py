"""The two ways in: `create_app` for gunicorn and flask, `main` for `offhook ...`. Imports no library that a list can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from flask import Flask

from offhook.adapters.commands import front
from offhook.adapters.commands.listed import LISTED
from offhook.adapters.modules import read
from offhook.pipeline.version import VERSION

if TYPE_CHECKING:
    from offhook.adapters.commands.context import Offhook
    from offhook.settings import Settings


def create_app() -> Flask:
    """The web app; for `flask` as long as it looks for a command, the commands. `flask run` asks again, as `run`."""
    context = click.get_current_context(silent=True)
    if context is not None and context.parent is None:
        if front.is_asked_for_help(context):
            front.show(context)
        return commands_alone()
    from offhook import service

    return service.create_app()


def commands_alone() -> Flask:
    """The commands, whatever the settings say. Each reads them when it needs them, and prints then what is wrong."""
    app = Flask("offhook", static_folder=None)
    app.extensions["offhook.build"] = _build
    for command in LISTED:
        app.cli.add_command(command)
    return app


def _build(settings: Settings) -> Offhook:
    read("offhook.service")
    from offhook.service import build

    return build(settings)


def main() -> None:
    """`offhook ...`, where the package was installed with pip: what `flask ...` is in the repository."""
    version = click.version_option(VERSION, prog_name="Offhook", message="%(prog)s %(version)s")
    group = front.Front(create_app=create_app, add_version_option=False, help=front.ABOUT)
    version(group).main(prog_name="offhook")
