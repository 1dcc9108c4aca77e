"""`flask settings`: every setting with its default and meaning."""

from __future__ import annotations

import click

from offhook.adapters.commands.context import LedgerCommand
from offhook.adapters.commands.shown import Format, show_list, shows
from offhook.settings import table


@click.command("settings", cls=LedgerCommand)
@click.option("--markdown", is_flag=True, help="As a page of Markdown: docs/settings.md is made so.")
@shows
def settings_command(markdown: bool, shown: Format) -> None:
    """List every setting with its default. Set them in the environment or in a file named .env.

    \b
    flask settings
    flask settings --json
    """
    if markdown and shown is not Format.TABLE:
        raise click.UsageError("Choose one of --markdown, --json and --csv.")
    if markdown:
        click.echo(as_markdown())
        return
    columns = ("setting", "default", "meaning")
    show_list([zip(columns, row, strict=True) for row in table()], shown, columns)


def as_markdown() -> str:
    """The whole of docs/settings.md."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else '-'} | {_cell(meaning)} |" for name, default, meaning in table()
    ]
    return "\n".join([_ABOVE, "| Setting | Default | Meaning |", "| --- | --- | --- |", *rows])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


_ABOVE = """\
# Settings

In the environment, or in a file named `.env` in the folder in which Offhook is started. A wrong setting, a misspelt name among
them, keeps it from starting: all mistakes are named at once, each with what to do. Quotes and blanks around a value are taken off.

Made by `flask settings --markdown > docs/settings.md`; a test holds it.
"""
