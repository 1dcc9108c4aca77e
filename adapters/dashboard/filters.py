"""The filters of the calls as they stand in an address: read, with what is wrong with them in words, and written. Reads no ledger."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from offhook.adapters.dashboard.times import zone
from offhook.pipeline.call import CallState
from offhook.pipeline.phone import caller
from offhook.pipeline.story import CallFilter, PageMark, Verdict
from offhook.pipeline.unfinished import UNFINISHED
from offhook.pipeline.words import SOURCES, STATES

FIELDS = (
    "span",
    "since",
    "until",
    "number",
    "outcome",
    "reason",
    "state",
    "least",
    "most",
    "source",
    "customer",
)
"""The names of the filters in an address."""
SPANS: Mapping[str, str] = {"today": "Today", "7": "7 days", "30": "30 days", "90": "90 days", "all": "All time"}
"""`span` -> what it is called. Days, today included; where `since` or `until` is asked for, too, all must hold."""
SLUGS: Mapping[str, str] = {
    "not-over": CallState.OPEN,
    "just-ended": CallState.SETTLING,
    "counts": CallState.CONVERTED,
    "waits": CallState.PARKED,
    "does-not-count": CallState.SKIPPED,
    "no-end": UNFINISHED,
}
"""`state` -> the ledger's word for it."""
_LONGEST = 200  # characters of one filter
_MOST_SECONDS = 10**7


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for: `given` as it stands in the address, without what is empty; `wanted` but for the customer,
    whom the ledger must be asked about; `wrong` says what could not be read.
    """

    given: Mapping[str, str]
    wanted: CallFilter
    customer: str
    wrong: tuple[str, ...] = field(default=())


def asked_by(arguments: Mapping[str, str], now: datetime, country: str) -> Asked:
    """The filters of this request's address, in the reader's time zone: see `read_filters`."""
    return read_filters(arguments, now, country, zone())


def read_filters(arguments: Mapping[str, str], now: datetime, country: str, here: tzinfo) -> Asked:
    """The filters of an address. What cannot be read narrows nothing, and is said. `country` is that of numbers written
    without one, `here` the reader's time zone."""
    given = {name: arguments.get(name, "").strip()[:_LONGEST] for name in FIELDS}
    given = {name: text for name, text in given.items() if text}
    wrong: list[str] = []
    since, until = _period(given, now, here, wrong)
    wanted = CallFilter(
        since=since,
        until=until,
        number=_number(given, country, wrong),
        outcome=_one_of(given, "outcome", {one.value: one.value for one in Verdict}, wrong),
        reason=given.get("reason"),
        state=_one_of(given, "state", SLUGS, wrong),
        least_seconds=_seconds(given, "least", wrong),
        most_seconds=_seconds(given, "most", wrong),
        source=_one_of(given, "source", {one: one for one in SOURCES}, wrong),
    )
    return Asked(given, wanted, given.get("customer", ""), tuple(wrong))


def _period(
    given: Mapping[str, str], now: datetime, here: tzinfo, wrong: list[str]
) -> tuple[datetime | None, datetime | None]:
    since, until = (moment_of(given, name, here, wrong) for name in ("since", "until"))
    begins = _begin_of(_one_of(given, "span", {one: one for one in SPANS}, wrong) or "all", now, here)
    return max(filter(None, (since, begins)), default=None), until


def _begin_of(span: str, now: datetime, here: tzinfo) -> datetime | None:
    if span == "all":
        return None
    days = 0 if span == "today" else int(span) - 1
    midnight = now.astimezone(here).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    first = (midnight - timedelta(days=days)).replace(tzinfo=here)
    return first.astimezone(UTC)


def moment_of(given: Mapping[str, str], name: str, here: tzinfo, wrong: list[str]) -> datetime | None:
    """`2026-11-25T10:30` or `2026-11-25`, in the reader's zone."""
    text = given.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=here)).astimezone(UTC)
    except (ValueError, OverflowError):
        wrong.append(f'"{text[:40]}" is no time: write it as 2026-11-25T10:30.')
        return None


def _number(given: Mapping[str, str], country: str, wrong: list[str]) -> str | None:
    text = given.get("number")
    if not text:
        return None
    found = caller(text, country, sip_users=True).e164
    if found is None:
        wrong.append(f'"{text[:40]}" is no phone number.')
    return found


def _one_of(given: Mapping[str, str], name: str, known: Mapping[str, str], wrong: list[str]) -> str | None:
    text = given.get(name)
    if text and text not in known:
        wrong.append(f'There is no {name} "{text[:40]}".')
    return known.get(text or "")


def _seconds(given: Mapping[str, str], name: str, wrong: list[str]) -> int | None:
    """`90` or `1:30`."""
    text = given.get(name)
    if not text:
        return None
    minutes, _, seconds = text.rpartition(":")
    if all(one.isascii() and one.isdigit() and len(one) < 8 for one in (minutes or "0", seconds)):
        return min(int(minutes or 0) * 60 + int(seconds), _MOST_SECONDS)
    wrong.append(f'"{text[:40]}" is no length of a call: write seconds, or minutes and seconds as 1:30.')
    return None


def state_words() -> list[tuple[str, str]]:
    """What `state` may be, each with its words."""
    return [(slug, STATES[state]) for slug, state in SLUGS.items()]


def as_key(mark: PageMark | None) -> str | None:
    """Where a page begins, as it stands in an address."""
    if mark is None:
        return None
    plain = json.dumps([mark.at.isoformat(), mark.call_sid, mark.account_sid], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def mark_of(key: str | None) -> PageMark | None:
    """The same, read. None for one that we have not made: the list then begins with the newest."""
    if not key or len(key) > _LONGEST:
        return None
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        at, call_sid, account_sid = found
        moment = datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    is_ours = all(isinstance(one, str) and one.isprintable() for one in (call_sid, account_sid))
    return PageMark(moment, call_sid, account_sid) if is_ours else None
