"""`flask customers imports`, `undo` and what `show` says of history: who had a number when, and what brought it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerCommand, Offhook, fail, offhook
from offhook.adapters.commands.customer_samples import show_samples
from offhook.adapters.commands.shown import Format, beside, in_utc, say_more, show_counts, show_list, show_record, shows
from offhook.pipeline.calls_listed import PAGE
from offhook.pipeline.customer import Customer
from offhook.pipeline.masking import Masking, in_clear, masking
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.ports.history import HistoryLine, ImportLine, SharedNumber
from offhook.pipeline.undoing import summed, undo, undoing

_LISTED = ("id", "at", "source", "name", "added", "changed", "unchanged", "removed", "undone_at")
HISTORY = ("from", "until", "phone", "email", "customer_id", "customers", "brought_by", "ended_by", "attributes")
PEOPLE = ("phone", "customers", "email", "customer_id", "credited")


@click.command("imports", cls=LedgerCommand)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Most imports shown.")
@shows
@with_appcontext
def imports(limit: int, shown: Format) -> None:
    """List what brought customers, the latest first.

    These are files, syncs, the API and look-ups (these two a line a day).

    \b
    flask customers imports
    flask customers undo 12         take back what import 12 did
    """
    show_list([_import_row(one) for one in offhook().ledger.history.imports(limit)], shown, _LISTED)


def _import_row(one: ImportLine) -> dict[str, object]:
    counts = {"added": one.added, "changed": one.changed, "unchanged": one.unchanged, "removed": one.retired}
    line = {"id": one.id, "at": one.started_at, "source": one.source.value, "name": one.name}
    return {**line, **counts, "undone_at": one.undone_at}


@click.command("undo", cls=LedgerCommand)
@click.argument("import_id", type=click.IntRange(1), metavar="IMPORT")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers and emails.")
@shows
@with_appcontext
def undo_(import_id: int, yes: bool, dry_run: bool, is_clear: bool, shown: Format) -> None:
    """Take back what an IMPORT did.

    IMPORT is its number, from `flask customers imports`. What that means is shown first. Each number is what it
    was before; one that somebody has changed since stays as it is. What was sent stays sent, and
    calls that were released are decided.

    \b
    flask customers undo 12 --dry-run
    flask customers undo 12 --yes
    """
    service = offhook()
    ledger = service.ledger
    line = ledger.history.import_(import_id) or fail(
        f"There is no import {import_id}; `flask customers imports` lists them.", 2
    )
    hide = in_clear if is_clear else masking([])
    counts, samples = summed(undoing(ledger.history, import_id), hide)
    is_something = bool(counts["restored"] or counts["retired"]) and not dry_run
    asks = is_something and not yes
    with beside(shown):
        if asks or shown is Format.TABLE:  # a document says the same, but somebody who is asked has to see it before
            _show_undoing(line, counts, samples)
        is_done = is_something and (yes or click.confirm("Take it back?", err=True))
    if is_done:
        _undo(service, import_id)
    if shown is not Format.TABLE:
        show_record({"import": line.id, **counts, "samples": samples, "done": is_done}, shown)
    if is_done:
        click.echo("It is taken back.", err=True)
    elif is_something:
        fail("Nothing was changed.")


def _show_undoing(line: ImportLine, counts: Mapping[str, int], samples: Sequence[Mapping[str, object]]) -> None:
    click.echo(f"Import {line.id}: {line.source.value} {line.name}, {in_utc(line.started_at)}")
    show_counts({name.replace("_", " "): count for name, count in counts.items()})
    show_samples(samples)


def _undo(service: Offhook, import_id: int) -> None:
    ledger = service.ledger
    audit(service, "flask customers", "import taken back", f"import {import_id}")
    brought = Brought(Source.UNDO, f"import {import_id}", run=secrets.token_hex(8))
    for _page in undo(ledger.history, ledger, import_id, brought):
        pass
    ledger.history.mark_undone(import_id, ledger.clock())


@click.command("conflicts", cls=LedgerCommand)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="Most numbers shown.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers and emails.")
@shows
@with_appcontext
def conflicts(limit: int, is_clear: bool, shown: Format) -> None:
    """List the numbers that several customers have.

    Each of them is listed, and who of them is credited: what OFFHOOK_SHARED_NUMBERS, or --conflict of the import,
    made of them: `none`, the `first` or the `last`.

    \b
    flask customers conflicts
    flask customers conflicts --csv --in-clear --limit 1000000
    """
    found = list(_shared(offhook(), limit + 1))
    hiding = ((one, known, in_clear if is_clear else masking([one.phone])) for one, known in found[:limit])
    show_list([row for one, known, hide in hiding for row in people_rows(one, known, hide)], shown, PEOPLE)
    if len(found) > limit:
        say_more(limit)


def _shared(service: Offhook, most: int) -> Iterator[tuple[SharedNumber, Customer | None]]:
    """The numbers of several customers with who is credited, up to so many, each page a short question."""
    after = ""
    while most > 0 and (page := service.ledger.history.shared_numbers(after, min(most, PAGE))):
        known = service.ledger.find_customers([one.phone for one in page])
        yield from ((one, known.get(one.phone)) for one in page)
        after, most = page[-1].phone, most - len(page)


def people_rows(one: SharedNumber, known: Customer | None, hide: Masking) -> list[dict[str, object]]:
    """A row a customer of the number; where they are not known by name, how many there are."""
    several = known.people if known is not None else 0
    row: dict[str, object] = {"phone": hide(one.phone), "customers": max(several, len(one.named))}
    named: list[dict[str, object]] = [
        {
            "email": email and hide(email),
            "customer_id": customer_id and hide(customer_id),
            "credited": known is not None and _is(known, email, customer_id),
        }
        for email, customer_id in one.named
    ]
    return [{**row, **person} for person in named or [{"email": None, "customer_id": None, "credited": False}]]


def _is(known: Customer, email: str | None, customer_id: str | None) -> bool:
    same_email = email is not None and email == known.email
    return known.people == 1 and (same_email or (customer_id is not None and customer_id == known.customer_id))


def history_rows(lines: Sequence[HistoryLine], names: dict[int, str], hide: Masking) -> list[dict[str, object]]:
    """What history says, line by line, persons hidden; `names` are what the imports are called."""
    return [_history_row(line, names, hide) for line in lines]


def _history_row(line: HistoryLine, names: dict[int, str], hide: Masking) -> dict[str, object]:
    one = line.customer
    return {
        "from": line.from_at,
        "until": line.until_at,
        "phone": hide(one.phone),
        "email": one.email and hide(one.email),
        "customer_id": one.customer_id and hide(one.customer_id),
        "customers": one.people,
        "brought_by": names.get(line.brought_by or 0),
        "ended_by": names.get(line.ended_by or 0),
        "attributes": {name: hide(value) for name, value in one.attributes.items()} or None,
    }


def names_of_imports(lines: Iterable[HistoryLine]) -> dict[int, str]:
    """What the imports behind these lines are called: `3 import crm.csv`."""
    wanted = {id_ for line in lines for id_ in (line.brought_by, line.ended_by) if id_}
    found = (offhook().ledger.history.import_(id_) for id_ in sorted(wanted))
    return {one.id: f"{one.id} {one.source.value} {one.name}" for one in found if one is not None}
