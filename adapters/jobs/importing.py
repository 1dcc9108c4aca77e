"""What an import of customers would change, looked at without changing it, and what is said of one afterwards.

Behind `flask customers import` and the job of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.adapters.customers.columns import Columns
from offhook.adapters.customers.csv_file import SAMPLES, ImportReport
from offhook.adapters.ledger.mapping import compare
from offhook.pipeline.customer import Customer
from offhook.pipeline.customer_shown import person_of
from offhook.pipeline.masking import Masking
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.customers import UNNAMED, Brought, Customers, MergeCounts
from offhook.pipeline.ports.unknown import UnknownCallers

_CALLERS_AT_ONCE = 500


@dataclass(slots=True)
class Diff:
    """The first of those who are new, who change (what they were, and are), and who are removed."""

    added: list[Customer] = field(default_factory=list)
    changed: list[tuple[Customer, Customer]] = field(default_factory=list)
    removed: list[Customer] = field(default_factory=list)


class DryRun:
    """A table that says what a merge would do, and does not do it."""

    def __init__(self, ledger: Customers) -> None:
        self._ledger = ledger
        self.diff = Diff()

    def merge_customers(self, rows: Sequence[Customer], _brought: Brought = UNNAMED, /) -> MergeCounts:
        known = self._ledger.find_customers([row.phone for row in rows])
        found, diff = compare(rows, known), self.diff
        diff.added += found.new[: SAMPLES - len(diff.added)]
        diff.changed += [(known[row.phone], row) for row in found.different[: SAMPLES - len(diff.changed)]]
        return found.counts

    def retire_customers(self, phones: Collection[str], _brought: Brought, /) -> int:
        known = self._ledger.find_customers(phones)
        self.diff.removed += list(known.values())[: SAMPLES - len(self.diff.removed)]
        return len(known)

    def known_phones(self, after: str, limit: int, /) -> Sequence[str]:
        return self._ledger.known_phones(after, limit)


class Waiting:
    """How many calls that wait an import will release, and how old the oldest is: looked at before anything changes."""

    def __init__(self, unknown: UnknownCallers) -> None:
        self._unknown = unknown
        self.calls = 0
        self.oldest_at: datetime | None = None

    def look(self, will_name: Callable[[Collection[str]], bool]) -> None:
        """A `Beforehand` of an import."""
        after = ""
        while page := self._unknown.callers(after, _CALLERS_AT_ONCE):
            found = [one for one in page if will_name(spellings(one.phone))]
            self.calls += sum(one.calls for one in found)
            times = [one.oldest_at for one in found] + ([self.oldest_at] if self.oldest_at else [])
            self.oldest_at = min(times, default=None)
            after = page[-1].phone


Samples = Mapping[str, Sequence[Mapping[str, object]]]


def samples_of(report: ImportReport, diff: Diff, hide: Masking) -> Samples:
    """The first few of each kind, persons hidden."""
    files = {
        name: [{"line": one.line, "reason": one.reason, "detail": hide(one.detail)} for one in rows]
        for name, rows in report.samples.items()
    }
    return {
        "added": [person_of(one, hide) for one in diff.added],
        "changed": [{**person_of(now, hide), "was": person_of(was, hide)} for was, now in diff.changed],
        "removed": [person_of(one, hide) for one in diff.removed],
        **files,
    }


def record(report: ImportReport, samples: Samples, waiting: Waiting, dry_run: bool) -> dict[str, object]:
    """What is said of an import in JSON."""
    return {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "conflicts": report.conflicts,
        "rejected": report.rejected,
        "left_empty": report.left_empty,
        "dry_run": dry_run,
        "refused": report.refused or None,
        "columns": _columns(report.columns),
        "releases": waiting.calls,
        "oldest_released_at": waiting.oldest_at,
        "samples": samples,
    }


def _columns(found: Columns | None) -> dict[str, object] | None:
    """What the file's columns were taken for, by the names in its header; `program` is whose export it was recognised as."""
    if found is None:
        return None
    named = [name.strip() for name in found.names]
    email, customer_id = (None if place is None else named[place] for place in (found.email, found.customer_id))
    attributes = {place: name for name, place in found.others}
    taken = {place for _, place in found.phones} | {found.email, found.customer_id} | attributes.keys()
    return {
        "phone": [named[place] for _, place in found.phones],
        "email": email,
        "customer_id": customer_id,
        "attributes": list(attributes.values()),
        "left_out": [name for place, name in enumerate(named) if name and place not in taken],
        "program": found.program,
    }
