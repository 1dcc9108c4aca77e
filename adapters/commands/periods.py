"""How commands are given a time: so long ago, a day, a month. Reads the clock, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def ago(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """`90m` or `2d` as the moment so long ago. A callback of click's; raises BadParameter."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not found:
        raise click.BadParameter("write a number and s, m, h or d, e.g. 90m or 2d")
    return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})


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
