"""Offhook: a phone call becomes one Rockerbox conversion. What gunicorn and flask look for; the service is put together in service.py.

    Twilio ── POST /twilio/status ──> adapters/web/
                                        │  verify and read      adapters/twilio/
                                        v
                                      callbacks ── append ──>   adapters/ledger/      (204 only after the commit)
                                        │
        pipeline/worker.py              │ fold                  pipeline/call.py
        makes the moves of              v
        pipeline/steps.py             calls
                                        │ decide                pipeline/conversion.py, by pipeline/rules.py (offhook.toml)
        customers (the mapping) ──────> v
                                      decisions + conversions   one transaction
                                        │ deliver               pipeline/delivery.py
                                        v
                                      Rockerbox                 adapters/rockerbox/

`gunicorn app:app` is the first line, `flask worker` all that follows. Imports go one way: app -> service -> adapters -> pipeline.
What stands here imports neither: a list of commands has no use for a database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from flask import Flask
from flask.cli import FlaskGroup

from adapters.commands.listed import LISTED
from pipeline.version import VERSION

if TYPE_CHECKING:
    from adapters.commands.context import Offhook
    from settings import Settings


def commands_alone() -> Flask:
    """The commands, whatever the settings say. Each reads them when it needs them, and is told then what is wrong."""
    app = Flask("offhook", static_folder=None)
    app.extensions["offhook.build"] = _build
    for command in LISTED:
        app.cli.add_command(command)
    return app


def _build(settings: Settings) -> Offhook:
    from service import build

    return build(settings)


def _app() -> Flask:
    """The web app; for `flask` as long as it looks for a command, the commands. `flask run` asks again, as `run`."""
    context = click.get_current_context(silent=True)
    if context is not None and context.parent is None:
        return commands_alone()
    from service import create_app

    return create_app()


def main() -> None:
    """`offhook ...`, where the package was installed with pip: what `flask ...` is in the repository."""
    version = click.version_option(VERSION, prog_name="Offhook", message="%(prog)s %(version)s")
    group = FlaskGroup(create_app=_app, add_version_option=False, help="Offhook: phone calls into conversions.")
    version(group).main(prog_name="offhook")


def __getattr__(name: str) -> Any:
    """`app:app` is made when somebody asks for it, so that importing this module starts nothing; so are COMMANDS, all that
    there are, and what stands in service.py.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "COMMANDS":
        return tuple(command.load() for command in LISTED)
    if name == "app":
        return globals().setdefault("app", _app())
    return getattr(import_module(f"{__name__.removesuffix('app')}service"), name)  # installed it is within a package
