"""A believable month of calls, made of a recorded day: other calls each day, fewer at weekends, the latest just now. Sends nothing."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import blake2s

from offhook.adapters.recordings.format import Record, parameters
from offhook.adapters.recordings.replay import shifted, with_new_sids

_WEEKEND = 5  # of a Monday that is 0
_SHARE_AT_WEEKENDS = 0.45
_GROWTH = 0.35  # from the first day to the last
_STRAY_MINUTES = 25.0


def month(
    recorded: Iterable[Record], *, days: int, calls_a_day: int, ends_at: datetime, seed: int
) -> Iterator[list[Record]]:
    """The records of each day, the oldest day first, each in the order of arrival. The latest is as old as `ends_at` (UTC).

    About `calls_a_day` calls on the last working day. The same arguments give the same month.
    """
    families = _families(recorded)
    latest = max(record.received_at for family in families for record in family)
    draw = random.Random(seed)
    for back in range(days - 1, -1, -1):
        day = ends_at - timedelta(days=back)
        busy = (1 - _GROWTH * back / days) * draw.uniform(0.8, 1.15)
        busy *= _SHARE_AT_WEEKENDS if day.weekday() >= _WEEKEND else 1.0
        chosen = draw.sample(families, max(1, min(len(families), round(calls_a_day * busy))))
        key = blake2s(f"{seed}/{back}".encode()).digest()
        records = [record for family in chosen for record in _moved(family, day - latest, key, draw)]
        yield sorted((one for one in records if one.received_at <= ends_at), key=lambda one: one.received_at)


def _families(recorded: Iterable[Record]) -> list[Sequence[Record]]:
    """Callbacks by the call that they are of, a leg's with those of the call that dialed it."""
    found: dict[str, list[Record]] = {}
    for record in recorded:
        known = dict(parameters(record))
        found.setdefault(known.get("ParentCallSid") or known.get("CallSid", ""), []).append(record)
    return list(found.values())


def _moved(family: Sequence[Record], by: timedelta, key: bytes, draw: random.Random) -> Iterator[Record]:
    stray = timedelta(minutes=draw.uniform(-_STRAY_MINUTES, 0))
    for record in family:
        yield with_new_sids(shifted(record, by + stray), key)
