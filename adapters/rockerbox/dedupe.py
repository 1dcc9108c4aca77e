"""Which events Rockerbox takes for the same one: the key of an account, and the keys that were seen. Forgets the oldest only.

Rockerbox's page "Deduplicating Conversions": the first one wins and later ones are ignored; the same day only, unless
Cross-Day Deduplication is on; a key that names a field which is not sent counts nothing.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from offhook.pipeline.rules.results import FIXED

MAX_KEYS = 1_000_000  # remembered at 16 bytes each, about 100 MB in all; the oldest is forgotten then
DATE = "date"  # in a key: the day
KNOWN_FIELDS = FIXED | {DATE}  # what every account has; the sandbox takes any field


class Day(StrEnum):
    """Whose UTC day is meant, the conversion's or the arrival's: Rockerbox does not document it."""

    TIMESTAMP = "timestamp"
    ARRIVAL = "arrival"


@dataclass(frozen=True, slots=True)
class DedupeKey:
    """The key of an account: names of fields, `date` among them for the day. `cross_day` is the account's setting."""

    fields: tuple[str, ...] = ("order_id",)
    cross_day: bool = False
    day: Day = Day.TIMESTAMP

    @classmethod
    def parse(cls, text: str, *, cross_day: bool = False, day: Day = Day.TIMESTAMP) -> DedupeKey:
        """`email,date,action` as a key. Raises ValueError with a remedy."""
        fields = tuple(part.strip() for part in text.split(","))
        if not all(fields) or len(set(fields)) < len(fields) or set(fields) == {DATE}:
            raise ValueError(
                f"{text!r} is no key: name fields of the events, each once, e.g. order_id or email,date,action"
            )
        return cls(fields, cross_day, day)

    @classmethod
    def of_account(cls, text: str) -> DedupeKey:
        """The same of fields that every account has, in any case. Raises ValueError with a remedy."""
        key = cls.parse(text.lower())
        if strange := [name for name in key.fields if name not in KNOWN_FIELDS]:
            raise ValueError(f"has {', '.join(strange)}; a key is made of {', '.join(sorted(KNOWN_FIELDS))}")
        return key

    def __str__(self) -> str:
        return f"{','.join(self.fields)} ({'cross-day' if self.cross_day else 'same day'})"

    @property
    def is_of_one_day(self) -> bool:
        """Whether the same key on another day is another conversion."""
        return DATE in self.fields or not self.cross_day

    def missing(self, fields: Mapping[str, Any]) -> list[str]:
        """The fields of the key that an event does not carry; empty text and null count as not sent."""
        return [name for name in self.fields if name != DATE and fields.get(name) in (None, "")]

    def lacking(self, payload: bytes) -> str | None:
        """The first field of the key that an event as it is sent does not carry; None where it has all."""
        return next(iter(self.missing(sent_fields(payload))), None)

    def mark(self, fields: Mapping[str, Any], moment: datetime, advertiser: str) -> bytes:
        """16 bytes that are equal for equal keys. `moment` is the time whose day counts, in the zone in which it turns."""
        values = [None if name == DATE else fields[name] for name in self.fields]
        parts = [advertiser, moment.date().isoformat() if self.is_of_one_day else "", *values]
        return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).digest()


def sent_fields(payload: bytes) -> Mapping[str, Any]:
    """The fields of an event as it is sent; none where the bytes are no JSON object."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Seen:
    """The marks that were seen, at most `limit`. Not safe for threads: its owner locks."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._marks: set[bytes] = set()
        self._order: deque[bytes] = deque()

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._marks

    def add(self, mark: bytes) -> None:
        self._marks.add(mark)
        self._order.append(mark)
        if len(self._order) > self._limit:
            self._marks.discard(self._order.popleft())


class FirstOf:
    """The marks that were seen, each with who came first, at most `limit`: the longest unseen is forgotten. Not safe for threads.

    `is_partial` says that some were forgotten.
    """

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._first: OrderedDict[bytes, str] = OrderedDict()
        self.is_partial = False

    def of(self, mark: bytes, who: str) -> str | None:
        """Who came first with this mark; None where `who` does."""
        first = self._first.get(mark)
        self._first[mark] = first or who
        self._first.move_to_end(mark)
        if len(self._first) > self._limit:
            self._first.popitem(last=False)
            self.is_partial = True
        return first
