"""What `flask --help` and `offhook --help` say: what Offhook is, and its commands by what one wants to do. Runs none of them."""

from __future__ import annotations

from collections.abc import Mapping

import click
from flask.cli import FlaskGroup

from offhook.adapters.commands.context import as_called
from offhook.adapters.commands.listed import PURPOSES

ABOUT = """Offhook turns phone calls into Rockerbox conversions.

Twilio reports each call; Offhook keeps it, finds the caller among your customers, decides by your rules whether it
counts, and sends Rockerbox one conversion for it, exactly once.

\b
flask up                                    run it all; with nothing configured, a demonstration
flask customers import customers.csv        say who calls
flask explain "(415) 867-5309"              why is this call not in Rockerbox?
"""
_FLASKS = "Of Flask itself"


class Front(FlaskGroup):
    """Flask's group of commands, which opens with what Offhook is and lists ours by their purposes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's signature)
        """All of ours, without loading any, and then what Flask has."""
        for purpose, commands in PURPOSES.items():
            with formatter.section(purpose):
                _write(formatter, {str(command.name): command for command in commands})
        with formatter.section(_FLASKS):
            _write(formatter, self.commands)

    def get_help(self, ctx: click.Context) -> str:
        return as_called(super().get_help(ctx), ctx)


def _write(formatter: click.HelpFormatter, commands: Mapping[str, click.Command]) -> None:
    widest = max(len(str(command.name)) for purpose in PURPOSES.values() for command in purpose)
    room = formatter.width - widest - 4
    formatter.write_dl([(name.ljust(widest), command.get_short_help_str(room)) for name, command in commands.items()])


def is_asked_for_help(context: click.Context) -> bool:
    """Whether `flask` itself, and not one of its commands, is asked: `flask --help`, or `flask` alone.

    Help is given before the other options are read. Who wants a command has had all of them read.
    """
    return context.get_parameter_source("debug") is None and not context.resilient_parsing


def show(context: click.Context) -> None:
    """Print our help where Flask's program would print its own. Raises SystemExit, with click's code for either way of asking."""
    option = context.command.get_help_option(context)
    is_wished = option is not None and context.get_parameter_source(str(option.name)) is not None
    version = [param for param in context.command.params if param.name == "version"]
    front = Front(add_version_option=False, params=[*version], help=ABOUT)
    with click.Context(front, info_name=context.info_name) as own:
        click.echo(front.get_help(own), err=not is_wished, color=context.color)
    raise SystemExit(0 if is_wished else 2)
