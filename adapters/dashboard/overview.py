"""`/`: is it working, how many counted, and why not the rest. Figures come from the tallies; nothing is counted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app, render_template, request, url_for

from offhook.adapters.dashboard.calls import labels_of
from offhook.adapters.dashboard.nav import needs_people
from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.times import zone, zone_name
from offhook.adapters.dashboard.who import asked_by_itself, needs
from offhook.pipeline.counting import Tally
from offhook.pipeline.health import Health, HealthLine, Limits, last_list, lines
from offhook.pipeline.overview import (
    Needing,
    Overview,
    Period,
    Todo,
    Ways,
    Where,
    lately_bounds,
    overview,
    todo,
    unknown_calls,
)
from offhook.pipeline.sending_again import RETRYABLE
from offhook.pipeline.story import ConversionFilter, ConversionLine
from offhook.pipeline.users import Role
from offhook.pipeline.words import about_many, why_in_words

blueprint = Blueprint("overview", __name__)

_RANGES = {"today": (1, "Today"), "7d": (7, "Last 7 days"), "30d": (30, "Last 30 days"), "90d": (90, "Last 90 days")}
_BARS: Mapping[Ways, tuple[str, str]] = {  # what each is called, and its colour in the style sheet
    Ways.DELIVERED: ("In Rockerbox", "ok"),
    Ways.ON_THE_WAY: ("On its way", "wait"),
    Ways.NEEDS_YOU: ("Needs you", "bad"),
    Ways.UNKNOWN_CALLER: ("Unknown caller", "unknown"),
    Ways.DOES_NOT_COUNT: ("Does not count", "skip"),
    Ways.NOT_OVER: ("Not over", "open"),
}
_LONGEST_NUMBER = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `name` is a key of _RANGES, "" for other days; `number` "" for all."""

    name: str
    period: Period
    number: str

    @property
    def title(self) -> str:
        if self.name:
            return _RANGES[self.name][1]
        first, last = self.period.first, self.period.last
        return f"{first:%-d %B %Y}" if first == last else f"{first:%-d %B %Y} to {last:%-d %B %Y}"


@blueprint.get("/")
@needs(Role.VIEWER)
def shown() -> str:
    """`?range=` is a key of _RANGES, or `?from=` and `?to=` are days; `?number=` is a tracked number in E.164."""
    return _page_of_now()


@blueprint.get("/overview/now")
@needs(Role.VIEWER)
@asked_by_itself
def again() -> str:
    """The same, which the page asks for now and then while somebody looks at it."""
    return _page_of_now()


def _page_of_now() -> str:
    known, now = parts(), parts().clock()
    asked = _asked(now)
    every, spans = _tallies(asked)
    labels = labels_of(known)
    numbers = sorted(({one.number for one in every} | labels.keys() | {asked.number}) - {""})
    found = overview((one for one in every if asked.number in ("", one.number)), asked.period, spans)
    health, facts = _health(now)
    return render_template(
        "overview.html.jinja",
        asked=asked,
        ranges={name: label for name, (_, label) in _RANGES.items()},
        numbers=numbers,
        labels=labels,
        found=found,
        is_whole=known.reads.tallies.is_whole(),
        health=health,
        bars=_bars(found, asked.period),
        series=[name for name, _ in _BARS.values()],
        inks=[ink for _, ink in _BARS.values()],
        todo=_todo(now, health, facts),
        link=_link,
        why=why_in_words,
        can_be_done=about_many,
        calls_url=lambda **more: _calls(asked, **more),
        has_page=lambda endpoint: endpoint in current_app.view_functions,
        zone=zone_name(),
        again=f"{url_for('overview.again')}?{urlencode(_given())}",
        every=known.limits.live_seconds,
    )


def _tallies(asked: Asked) -> tuple[Sequence[Tally], Sequence[Tally] | None]:
    """By the hour where that is shown; of many days no more than the sums of all, and of each its verdicts."""
    period, tallies = asked.period, parts().reads.tallies
    if period.by_hour:
        return tallies.between(period.begins, period.ends), None
    found = tallies.summed(period.bounds, asked.number or None)
    return found.places, found.spans


def _asked(now: datetime) -> Asked:
    """What cannot be read is not asked: then it is today."""
    here = now.astimezone(zone()).date()
    first, last = _day(request.args.get("from", "")), _day(request.args.get("to", ""))
    number = request.args.get("number", "").strip()[:_LONGEST_NUMBER]
    if "range" not in request.args and (first or last):
        ends = min(last or here, here)
        begins = min(first or ends, ends)
        begins = max(begins, ends - timedelta(days=parts().limits.overview_days - 1))
        return Asked("", Period(begins, ends, zone()), number)
    name = request.args.get("range", "today")
    name = name if name in _RANGES else "today"
    return Asked(name, Period(here - timedelta(days=_RANGES[name][0] - 1), here, zone()), number)


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year <= 9000 else None  # with a day before and after it in every zone


def _health(now: datetime) -> tuple[Sequence[HealthLine], Mapping[str, object]]:
    known = parts()
    is_ready, facts = known.ready()
    seen = Health(
        is_ready,
        facts,
        now,
        called_at=known.reads.stories.latest_callback_at(),
        delivered_at=known.reads.stories.latest_delivered_at(),
        way_out=known.reads.stories.way_out(),
        list_brought_at=last_list(known.reads.history.imports(known.limits.page_rows)),
        looks_up=known.looks_up,
    )
    return lines(seen, _limits()), facts


def _limits() -> Limits:
    return Limits(parts().limits.behind_seconds, parts().limits.list_days)


def _given() -> dict[str, str]:
    """What the address asks for, of what it may."""
    return {name: request.args[name] for name in ("range", "from", "to", "number") if name in request.args}


def _bars(found: Overview, period: Period) -> list[list[object]]:
    form = "%H:%M" if period.days == 1 else "%b %-d, %H:%M" if period.by_hour else "%b %-d"
    return [[bar.at.strftime(form), *(bar.ways[way] for way in _BARS)] for bar in found.bars]


def _todo(now: datetime, health: Sequence[HealthLine], facts: Mapping[str, object]) -> Sequence[Todo]:
    days, held = parts().limits.recent_days, needs_people().held
    lately = parts().reads.tallies.summed(lately_bounds(now, days))
    unfinished = facts.get("calls_unfinished")
    known = Needing(
        health,
        held,
        _newest_held() if held else (),
        unknown_calls(lately.spans),
        days,
        unfinished if isinstance(unfinished, int) else 0,
    )
    return todo(known)


def _newest_held() -> Sequence[ConversionLine]:
    wanted = ConversionFilter(RETRYABLE)
    return parts().reads.stories.conversions_page(wanted, None, parts().limits.page_rows).conversions


def _link(one: Todo) -> str:
    return url_for(_PAGES[one.where], **dict[str, Any](one.asked))


_PAGES: Mapping[Where, str] = {
    Where.SETUP: "setup.shown",
    Where.DELIVERIES: "deliveries.shown",
    Where.UNKNOWN: "unknown.shown",
    Where.CUSTOMERS: "customers.shown",
    Where.CALLS: "calls.shown",
    Where.CALL: "call.shown",
}


def _plain_calls(**fields: str) -> str:
    return f"/calls?{urlencode({name: value for name, value in fields.items() if value})}"


def _calls(asked: Asked, **more: str) -> str:
    """The calls of the same days and number, by the beginning of their hours as the reader's zone has it."""
    period = asked.period
    begins, ends = (f"{at.astimezone(period.zone):%Y-%m-%dT%H:%M}" for at in (period.begins, period.ends))
    return _plain_calls(**{"since": begins, "until": ends, "number": asked.number} | more)
