"""How commands are given a time: so long ago, a day, a month. Reads the clock, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from offhook.pipeline.rules.kinds import SECONDS_OF, seconds_in

_MOST_DAYS = 36_500  # a hundred years: no ledger is older, and the calendar ends somewhere


def ago(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """`90m` or `2d` as the moment so long ago. A callback of click's; raises BadParameter."""
    if value is None:
        return None
    return datetime.now(UTC) - timedelta(seconds=length(value))


def length(value: str) -> int:
    """The seconds of a length of time as a command is given it. Raises BadParameter."""
    seconds = seconds_in(value)
    if seconds is None or seconds > _MOST_DAYS * SECONDS_OF["d"]:
        raise click.BadParameter(f"write a number and s, m, h or d, e.g. 90m or 2d; at most {_MOST_DAYS}d")
    return seconds


def day(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    """`2026-11-24` as the beginning of that day, without a zone. A callback of click's; raises BadParameter."""
    return _read(value, "%Y-%m-%d", "2026-11-24")


def month(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    """`2026-10` as the beginning of that month, without a zone. A callback of click's; raises BadParameter."""
    return _read(value, "%Y-%m", "2026-10")


def _read(text: str, form: str, example: str) -> datetime:
    try:
        found = datetime.strptime(text.strip(), form)  # noqa: DTZ007  # the zone is the command's to say
    except ValueError:
        raise click.BadParameter(f"write it like {example}") from None
    if not 2000 <= found.year < 2100:
        raise click.BadParameter("name a year from 2000 to 2099")
    return found
