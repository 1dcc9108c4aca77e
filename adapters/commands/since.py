"""How a person says how far back: `90m`, `2d`. Reads no ledger."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def ago(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """The callback of an option: the time so long ago, UTC; None where it is not given."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not found:
        raise click.BadParameter("write a number and s, m, h or d, e.g. 90m or 2d")
    return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
