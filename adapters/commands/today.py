"""`flask today`: what became of the calls, in figures that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, offhook
from offhook.adapters.commands.periods import ago
from offhook.adapters.commands.shown import Format, in_utc, show_list, show_record, shows
from offhook.adapters.commands.tallies import NOT_WHOLE
from offhook.pipeline.counting import KINDS, Figures, figures
from offhook.pipeline.story import Verdict
from offhook.pipeline.words import in_general

_FIGURES = ("calls", *KINDS)
_NUMBERS = ("number", *_FIGURES)
_REASONS = ("reason", "calls", "what")
_FAR = timedelta(days=1)  # what came a moment ago, by a clock before ours, is of today as well


@click.command(cls=LedgerCommand)
@click.option(
    "--since", callback=ago, help="How far back: 90m, 12h, 7d.  [default: since midnight in the zone of Rockerbox]"
)
@shows
@with_appcontext
def today(since: datetime | None, shown: Format) -> None:
    """Count the calls by what became of them: converted, waiting, skipped, open; by reason and by number.

    Each call is counted once, in the hour (UTC) of its first callback, and as it stands now: figures of a day change as long
    as its calls do. Whole hours are counted, from the one in which the time begins. --csv has the numbers alone.

    \b
    converted    a conversion was made of it: delivered, on its way, held or refused
    waiting      it counts, and nobody knows the caller yet
    skipped      it does not count
    open         it is not over, or its end was never reported

    \b
    flask today
    flask today --since 7d
    flask today --since 24h --json
    """
    service = offhook()
    now = service.ledger.clock()
    begins = (since or _midnight(now, service.settings.rockerbox_day_zone)).replace(minute=0, second=0, microsecond=0)
    found = figures(service.ledger.tallies.between(begins, now + _FAR))
    if not service.ledger.tallies.is_whole():
        click.echo(NOT_WHOLE, err=True)
    if shown is Format.JSON:
        show_record([("since", begins), *_by_name(found)], shown)
    elif shown is Format.CSV:
        show_list(_numbers(found), shown, _NUMBERS)
    else:
        _show(found, begins)


def _midnight(now: datetime, zone: str) -> datetime:
    here = now.astimezone(ZoneInfo(zone))
    return here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def _by_name(found: Figures) -> Iterable[tuple[str, object]]:
    names = (*_FIGURES, "by_outcome", "by_reason", "by_number")
    return ((name, getattr(found, name)) for name in names)


def _numbers(found: Figures) -> list[Mapping[str, object]]:
    every = found.by_number.items()
    return [{"number": number or None, "calls": sum(kinds.values()), **kinds} for number, kinds in every]


def _show(found: Figures, begins: datetime) -> None:
    click.echo(f"Calls since {in_utc(begins)}\n")
    show_record([(name, getattr(found, name)) for name in _FIGURES], Format.TABLE)
    if not found.calls:
        return
    click.echo(f"\n{_sums(found)}\n")
    show_list(_numbers(found), Format.TABLE, _NUMBERS)
    click.echo()
    rows = ({"reason": word, "calls": count, "what": in_general(word)} for word, count in found.by_reason.items())
    show_list(rows, Format.TABLE, _REASONS)


def _sums(found: Figures) -> str:
    """That the figures add up, said with the figures themselves."""
    kinds = " + ".join(f"{getattr(found, kind)} {kind}" for kind in KINDS)
    ways = [f"{found.by_outcome[one]} {one.replace('_', ' ')}" for one in _CONVERTED if found.by_outcome[one]]
    converted = f"; converted are {' + '.join(ways)}" if ways else ""
    return f"{found.calls} calls = {kinds}{converted}. Numbers and reasons add up to {found.calls}, too."


_CONVERTED = (Verdict.DELIVERED, Verdict.ON_ITS_WAY, Verdict.HELD, Verdict.REFUSED)
