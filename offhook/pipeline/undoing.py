"""An import taken back: each number is what it was before, but for what somebody else has said of it since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from offhook.pipeline.customer import Customer
from offhook.pipeline.customer_shown import person_of
from offhook.pipeline.masking import Masking
from offhook.pipeline.ports.customers import Brought, CustomerTable
from offhook.pipeline.ports.history import History, HistoryLine

SHOWN = 10  # samples


@dataclass(frozen=True, slots=True)
class Undoing:
    """What taking an import back does, or would do, to some numbers.

    `restored` are who had them before, `retired` are those that nobody had; `changed_since` stay as they are. `now` is what
    is said of these numbers as long as it is not taken back, as far as anything is.
    """

    restored: Sequence[Customer] = field(default_factory=list)
    retired: Sequence[str] = field(default_factory=list)
    changed_since: Sequence[str] = field(default_factory=list)
    now: Mapping[str, Customer] = field(default_factory=dict)


def undoing(history: History, import_id: int) -> Iterator[Undoing]:
    """What is to be done, page by page; no number is named twice. Changes nothing."""
    done: set[str] = set()
    for phones in history.touched(import_id):
        fresh = set(phones) - done
        done |= fresh
        if fresh:
            yield _of_numbers(history.of_numbers(fresh), fresh, import_id)


def undo(history: History, table: CustomerTable, import_id: int, brought: Brought) -> Iterator[Undoing]:
    """Do it, page by page. What was killed midway goes on where it stood when it is run again."""
    for page in undoing(history, import_id):
        table.merge_customers(page.restored, brought)
        table.retire_customers(page.retired, brought)
        yield page


def _of_numbers(lines: Sequence[HistoryLine], fresh: set[str], import_id: int) -> Undoing:
    restored: list[Customer] = []
    retired: list[str] = []
    changed: list[str] = []
    now: dict[str, Customer] = {}
    for phone, group in groupby(lines, key=lambda line: line.customer.phone):
        of_number = list(group)
        if phone not in fresh:
            continue
        if of_number[-1].until_at is None:
            now[phone] = of_number[-1].customer
        if not _stands(of_number[-1], import_id):
            changed.append(phone)
        elif (before := _before(of_number, import_id)) is not None:
            restored.append(before)
        elif of_number[-1].until_at is None:
            retired.append(phone)
    return Undoing(restored, retired, changed, now)


def _stands(last: HistoryLine, import_id: int) -> bool:
    """What is said of a number now is what the import made of it."""
    return import_id == (last.brought_by if last.until_at is None else last.ended_by)


def _before(lines: Sequence[HistoryLine], import_id: int) -> Customer | None:
    """Who had the number when the import came; None for nobody."""
    ended = (line.customer for line in lines if line.ended_by == import_id != line.brought_by)
    return next(ended, None)


def summed(pages: Iterable[Undoing], hide: Masking) -> tuple[dict[str, int], list[dict[str, object]]]:
    """How many numbers come to what, and a few of them, persons hidden."""
    counts = {"restored": 0, "retired": 0, "changed_since": 0}
    samples: list[dict[str, object]] = []
    for page in pages:
        counts["restored"] += len(page.restored)
        counts["retired"] += len(page.retired)
        counts["changed_since"] += len(page.changed_since)
        if len(samples) < SHOWN:
            samples += _samples(page, hide)[: SHOWN - len(samples)]
    return counts, samples


def _samples(page: Undoing, hide: Masking) -> list[dict[str, object]]:
    """Of each number who will have it then, and who has it until then (`was`) where that is somebody else."""
    restored = [("restored", one.phone, one, page.now.get(one.phone)) for one in page.restored[:SHOWN]]
    retired = [("retired", phone, None, page.now.get(phone)) for phone in page.retired[:SHOWN]]
    stays = [("changed since", phone, page.now.get(phone), None) for phone in page.changed_since[:SHOWN]]
    return [_sample(*one, hide) for one in (*restored, *retired, *stays)]


def _sample(what: str, phone: str, then: Customer | None, was: Customer | None, hide: Masking) -> dict[str, object]:
    shown = person_of(then or Customer(phone, None, None), hide)
    return {"what": what, **shown, "was": was and person_of(was, hide)}
