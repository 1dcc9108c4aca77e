"""Is it working? What the first page says of it, a line each for what can stop conversions. Pure: asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from offhook.pipeline.ports.customers import Source
from offhook.pipeline.ports.history import ImportLine
from offhook.pipeline.reasons import OF_THE_BACKLOG
from offhook.pipeline.story import WayOut
from offhook.pipeline.words import bounded, reason_in_words

_BEHIND_SECONDS = "backlog_age_seconds"
_WAITS: Mapping[str, str] = {  # whose age it is -> what waits
    "oldest_callback_not_folded_seconds": "a report of Twilio waits to be worked on",
    "oldest_call_not_decided_seconds": "a call waits for its decision",
    "oldest_caller_not_looked_up_seconds": "a call waits for its caller to be looked up",
    "oldest_conversion_due_seconds": "a call that counts waits to be sent",
}
_IN_WORDS: Mapping[str, str] = {  # what /readyz says, for a reader of pages
    "status": "Ready for calls",
    "what": "Why it is not",
    "remedy": "What can be done",
    "database": "Database",
    "migrations": "Tables of the database",
    "backlog_age_seconds": "Oldest work that waits, seconds",
    "oldest_callback_not_folded_seconds": "Oldest report of Twilio that is not worked on yet, seconds",
    "oldest_call_not_decided_seconds": "Oldest call that waits for its decision, seconds",
    "oldest_caller_not_looked_up_seconds": "Oldest caller that waits to be looked up, seconds",
    "oldest_conversion_due_seconds": "Oldest that waits to be sent to Rockerbox, seconds",
    "conversions_held_for_a_person": "Need you",
    "calls_unfinished": "Calls whose end Twilio never reported",
    "callers_to_look_up": "Callers to look up",
    "workers_alive": "Workers that run",
    "workers": "Why nothing is worked on",
    "worker_last_seen_seconds_ago": "When a worker was last seen, seconds ago",
    "clock_ahead_of_database_seconds": "This machine's clock ahead of the database's, seconds",
    "clock_ahead_of_destination_seconds": "This machine's clock ahead of Rockerbox's, seconds",
    "warning": "Take care",
    "callbacks_refused_in_a_row": "Reports of Twilio refused in a row",
    "refused_warning": "Refused, and why",
}


@dataclass(frozen=True, slots=True)
class FactLine:
    """A fact of /readyz for a reader of pages: `advice` is for whoever runs Offhook, "" where there is none."""

    name: str
    said: str
    advice: str = ""


def fact_lines(facts: Mapping[str, Any]) -> list[FactLine]:
    """Those that are a word or a figure, by what a page calls them; a new one by its own name."""
    return [_fact_line(name, fact) for name, fact in facts.items() if isinstance(fact, (str, int, float, bool))]


def _fact_line(name: str, fact: object) -> FactLine:
    label = _IN_WORDS.get(name, name.replace("_", " "))
    if name == "remedy":
        return FactLine(label, "", str(fact))
    if name == "workers":
        return FactLine(label, str(fact).removesuffix(f": {_NO_WORKER.advice}"), _sentence(_NO_WORKER.advice))
    return FactLine(label, bounded(fact) if name in _BOUNDED and isinstance(fact, int) else str(fact))


_BOUNDED = ("conversions_held_for_a_person", "calls_unfinished", "callers_to_look_up")
_NO_WORKER = OF_THE_BACKLOG["no_worker"]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


@dataclass(frozen=True, slots=True)
class Health:
    """What is known: `facts` are those of /readyz, `is_ready` whether calls are kept; the moments None where there was none.

    `way_out` is whether the destination takes anything; `list_brought_at` when a list of customers came last (`last_list`);
    `looks_up`: callers are looked up elsewhere, so that there may be no list.
    """

    is_ready: bool
    facts: Mapping[str, Any]
    now: datetime
    called_at: datetime | None = None
    delivered_at: datetime | None = None
    way_out: WayOut = field(default_factory=WayOut)
    list_brought_at: datetime | None = None
    looks_up: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What is no longer well: calls that wait for longer, and a list that is older."""

    behind_seconds: float = 60.0
    list_days: float = 7.0


@dataclass(frozen=True, slots=True)
class HealthLine:
    """`kind` is ok, wait or bad; `name` is what is meant, `said` how it is, `since` since when, where that is to be said."""

    name: str
    kind: str
    title: str
    said: str
    since: datetime | None = None


def lines(known: Health, limits: Limits) -> tuple[HealthLine, ...]:
    """The line of health: callbacks, worker, Rockerbox, customers."""
    return (_callbacks(known), _worker(known, limits), _rockerbox(known), _customers(known, limits))


def _callbacks(known: Health) -> HealthLine:
    if not known.is_ready:
        return HealthLine("callbacks", "bad", "Not receiving calls", str(known.facts.get("what") or "see Set-up"))
    if "refused_warning" in known.facts:
        return HealthLine("callbacks", "bad", "Twilio's calls are refused", "a key or an address is wrong")
    if known.called_at is None:
        return HealthLine("callbacks", "wait", "Ready for calls", "none has come yet")
    return HealthLine("callbacks", "ok", "Receiving calls", f"last one {ago(known.called_at, known.now)}")


def _worker(known: Health, limits: Limits) -> HealthLine:
    if known.facts.get("workers_alive") == 0:
        return HealthLine("worker", "bad", "Worker", "does not run: calls are kept, and nothing is sent")
    waits = float(known.facts.get(_BEHIND_SECONDS) or 0.0)
    if waits > limits.behind_seconds:
        return HealthLine("worker", "wait", "Worker", f"behind by {length(waits)}{_what_waits(known.facts)}")
    return HealthLine("worker", "ok", "Worker", f"nothing waits longer than {length(max(waits, 1.0))}")


def _what_waits(facts: Mapping[str, Any]) -> str:
    """What has waited longest; "" where that is not known."""
    ages = {name: float(facts[name]) for name in _WAITS if facts.get(name)}
    return f": {_WAITS[max(ages, key=lambda name: ages[name])]}" if ages else ""


def _rockerbox(known: Health) -> HealthLine:
    blocked, until = blocked_line(known.way_out), pauses_until(known.way_out, known.now)
    if blocked is not None:
        return blocked
    if until is not None:
        wait = length((until - known.now).total_seconds())
        return HealthLine("rockerbox", "bad", "Rockerbox", f"takes nothing now; tried again in {wait}")
    if failures := known.way_out.failures:
        last = "attempt" if failures == 1 else f"{failures:,} attempts"
        return HealthLine("rockerbox", "wait", "Rockerbox", f"the last {last} failed; it goes on by itself")
    if known.delivered_at is None:
        return HealthLine("rockerbox", "wait", "Rockerbox", "nothing was sent yet")
    return HealthLine("rockerbox", "ok", "Rockerbox", f"took the latest one {ago(known.delivered_at, known.now)}")


def blocked_line(way_out: WayOut) -> HealthLine | None:
    """That the destination takes nothing from us, and why; None where that is not so."""
    if not way_out.blocked:
        return None
    said = f"{reason_in_words(way_out.blocked)}. {_WHAT_BLOCKS}"
    return HealthLine("rockerbox", "bad", "Rockerbox takes nothing from you", said, way_out.blocked_since)


_WHAT_BLOCKS = "Look at the address and the key of Rockerbox in Set-up; nothing is lost meanwhile."


def pauses_until(way_out: WayOut, now: datetime) -> datetime | None:
    """When something is sent again, after the destination failed too often. None where nothing waits for that."""
    return way_out.open_until if way_out.open_until and way_out.open_until > now else None


def last_list(imports: Sequence[ImportLine]) -> datetime | None:
    """When a list of customers, or a change by the API, came last, of what brought rows. A customer whom a person added on a
    page, or a caller who was looked up, makes no list younger."""
    return max((one.finished_at or one.started_at for one in imports if _is_list(one)), default=None)


def _is_list(one: ImportLine) -> bool:
    rows = one.added + one.changed + one.unchanged
    return one.source in (Source.IMPORT, Source.SYNC, Source.API) or (one.source is Source.DASHBOARD and rows > 1)


def _customers(known: Health, limits: Limits) -> HealthLine:
    if known.looks_up:
        return HealthLine("customers", "ok", "Customers", "each caller is looked up in your own systems")
    if known.list_brought_at is None:
        return HealthLine("customers", "wait", "Customer list", "none yet: every caller is unknown")
    age = known.now - known.list_brought_at
    kind = "wait" if age > timedelta(days=limits.list_days) else "ok"
    return HealthLine("customers", kind, "Customer list", f"imported {ago(known.list_brought_at, known.now)}")


def ago(then: datetime, now: datetime) -> str:
    return f"{length(max(0.0, (now - then).total_seconds()))} ago"


def length(seconds: float) -> str:
    """About how long: 12 s, 3 min, 5 h, 9 days."""
    for unit, size in (("days", 2 * 86400), ("h", 2 * 3600), ("min", 120)):
        if seconds >= size:
            return f"{seconds / _SIZES[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


_SIZES = {"days": 86400, "h": 3600, "min": 60}
