"""Times as a reader has them: in the time zone of their choice, with UTC beside."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from flask import g

from offhook.adapters.dashboard.parts import parts
from offhook.pipeline.explanation import hour_of_arrival
from offhook.pipeline.users import zone_named


def zone_name() -> str:
    """The reader's zone: their choice, else the service's."""
    return (g.user.zone if g.get("user") else "") or parts().zone


def zone() -> ZoneInfo:
    """The same, usable; UTC where this machine does not know it."""
    return zone_named(zone_name())


@cache
def zones() -> tuple[str, ...]:
    """All that may be chosen."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))


def local(moment: datetime, form: str = "%b %-d, %H:%M:%S") -> str:
    """A moment in the reader's zone, with its year where that is not this one."""
    here = moment.astimezone(zone())
    if "%Y" not in form and here.year != _this_year():
        day = "%B" if "%B" in form else "%-d"
        form = form.replace(day, f"{day} %Y")
    return here.strftime(form)


def _this_year() -> int:
    """Asked once a request."""
    if "year" not in g:
        g.year = parts().clock().astimezone(zone()).year
    return int(g.year)


def utc(moment: datetime) -> str:
    """The same moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def utc_hour(moment: datetime) -> str:
    """The hour of UTC in which it is, as Rockerbox's Webhooks page has hours."""
    return f"{hour_of_arrival(moment):%b %-d, %H:00} UTC"


def length_of(seconds: int | None) -> str:
    """How long a call took: `3:12`, `1:02:05`; nothing where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
