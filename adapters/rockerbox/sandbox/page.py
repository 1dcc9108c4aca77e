"""The sandbox's page: what was kept and ignored, for eyes. What it looks like stands in page.html.jinja, which escapes all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from offhook.adapters.rockerbox.sandbox.journal import Journal, Verdict

EVENTS = 100  # on the page; all that are kept stand in /events.json
HOURS = 48
MAX_CELL_CHARS = 120
MAX_BODY_CHARS = 2_000
REFRESH_SECONDS = 3

_TITLES = {
    Verdict.COUNTED: ("Counted", "the first of its key"),
    Verdict.DUPLICATE: ("Duplicate", "ignored, an earlier one won"),
    Verdict.NOT_COUNTED: ("Not counted", "a field of the key is missing"),
    Verdict.INVALID: ("Invalid", "refused, with reasons"),
}


def page(journal: Journal, script: str, *, paused: bool) -> str:
    """The whole document. `script` is what the failure script has left; `paused` leaves the refreshing out."""
    summary = journal.summary()
    hours = sorted(summary.hours.items(), reverse=True)[:HOURS]
    return _template().render(
        summary=summary,
        verdicts=Verdict,
        titles=_TITLES,
        hours=hours,
        most=max((sum(counts.values()) for _, counts in hours), default=0),
        events=journal.events(EVENTS),
        key=journal.key,
        day=journal.key.day,
        script=script,
        paused=paused,
        refresh_seconds=REFRESH_SECONDS,
        body_chars=MAX_BODY_CHARS,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["short"] = _short
    return environment.get_template("page.html.jinja")


def _short(value: object, limit: int = MAX_CELL_CHARS) -> str:
    text = str(value)
    return text if len(text) <= limit else text[:limit] + "\N{HORIZONTAL ELLIPSIS}"
