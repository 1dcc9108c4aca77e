"""`flask settings`: every setting with its default and meaning."""

from __future__ import annotations

import click

from offhook.adapters.commands.context import LedgerCommand
from offhook.settings import table


@click.command("settings", cls=LedgerCommand)
@click.option("--markdown", is_flag=True, help="As the table that README holds.")
def settings_command(markdown: bool) -> None:
    """List every setting with its default. Set them in the environment or in a file named .env."""
    if markdown:
        click.echo(as_markdown())
        return
    for name, default, meaning in table():
        click.echo(f"{name:<34} {default or '-':<48} {meaning}")


def as_markdown() -> str:
    """The table of README."""
    rows = [f"| `{name}` | {f'`{default}`' if default else '-'} | {meaning} |" for name, default, meaning in table()]
    return "\n".join(["| Setting | Default | Meaning |", "| --- | --- | --- |", *rows])
