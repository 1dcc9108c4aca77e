"""What `flask conversions retry` does: compares what was decided with what would be today, asks, and sends again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import click

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import Offhook, fail, offhook
from offhook.adapters.commands.explanation_shown import changed_line
from offhook.adapters.commands.shown import Format, beside, show_list, show_record
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.callback import CallKey
from offhook.pipeline.explanation import changed_fields
from offhook.pipeline.masking import Masking, in_clear, masking
from offhook.pipeline.ports.books import Decided
from offhook.pipeline.sending_again import Today, compare, in_short, rebuild, send_again, uncounted
from offhook.pipeline.story import ConversionLine
from offhook.pipeline.words import counted

_WHO = "flask conversions"
_PAGE_ROWS = 200
_MOST_COMPARED = 1000  # where the same is sent again: to compare more would only keep a person waiting
_MOST_SHOWN = 20
_LISTED = ("call_sid", "state", "reason", "sent", "lacks", "may_be_rebuilt", "differences", "why_not")
_NEW, _OLD, _NONE = "new", "old", "none"
_REFUSED = (
    "of these was refused, or held before it was sent",
    "of these were refused, or held before they were sent",
)


@dataclass(frozen=True, slots=True)
class Again:
    """What became of conversions that were to be sent again.

    `compared` are those of which it is known what would be decided today, `sent` says how each was sent, new or as it was;
    what somebody else moved meanwhile is in it, and in no count. `lacking` stay, each with the field that it lacks.
    """

    compared: Sequence[Today] = ()
    sent: Mapping[CallKey, str] = field(default_factory=dict)
    lacking: Mapping[CallKey, str] = field(default_factory=dict)
    moved: int = 0
    decided_anew: int = 0
    is_declined: bool = False


def again(rows: Sequence[ConversionLine], *, yes: bool, anew: bool | None, is_clear: bool, shown: Format) -> Again:
    """Send these conversions again. `anew` is None where nobody has said it: then a terminal is asked."""
    with beside(shown):
        return _again(rows, yes=yes, anew=anew, is_clear=is_clear, is_in_words=shown is Format.TABLE)


def _again(rows: Sequence[ConversionLine], *, yes: bool, anew: bool | None, is_clear: bool, is_in_words: bool) -> Again:
    if not anew:
        _refuse_risky(rows, yes)
    service, asks = offhook(), anew is None and sys.stdin.isatty() and sys.stdout.isatty()
    found = _compared(service, rows, bool(anew) or asks)
    if is_in_words or asks:  # a document says the same
        _show_others([one for one in found if one.is_other], is_clear)
    can = sum(one.can_rebuild for one in found)
    wanted = _NEW if anew else _asked(can) if asks and can else _OLD
    if wanted == _NONE:
        return Again(found, is_declined=True)
    if wanted == _NEW:
        return _rebuilt(service, found, with_others=asks)
    if can and anew is None and not asks:
        click.echo(
            f"{counted(can, *_REFUSED)}, so nothing can have been counted: --rebuild sends what is decided today."
        )
    return replace(_retried(service, rows), compared=found)


def show_again(done: Again, rows: Sequence[ConversionLine], shown: Format, *, is_clear: bool) -> None:
    """What became of `rows`, as a document."""
    today = {one.row.key: one for one in done.compared}
    listed = [_row(one, done, today.get(one.key), is_clear) for one in rows]
    if shown is Format.CSV:
        show_list(listed, shown, _LISTED)
    else:
        counts = {"chosen": len(rows), "sent_again": done.moved, "decided_anew": done.decided_anew}
        show_record({**counts, "conversions": listed}, shown)


def _row(row: ConversionLine, done: Again, today: Today | None, is_clear: bool) -> dict[str, object]:
    """`differences` and `why_not` are None where it is unknown what would be decided today."""
    decided = today.decided if today else None
    hide = in_clear if decided is None or is_clear else _masking_of(decided)
    payload = decided.payload if decided else None
    sent = done.sent.get(row.key)
    lacks = done.lacking.get(row.key) or (today.lacks if today and not sent else None)
    values = (
        row.key.call_sid,
        row.state,
        row.reason,
        sent,
        lacks,
        today.may_be_rebuilt if today else None,
        None if payload is None else changed_fields(row.payload, payload, hide),
        None if decided is None or payload is not None else _why_not(decided, hide),
    )
    return dict(zip(_LISTED, values, strict=True))


def _refuse_risky(rows: Sequence[ConversionLine], yes: bool) -> None:
    risky = [row for row in rows if row.maybe_sent]
    if risky and not yes:
        fail(
            f"{len(risky)} of these may have arrived at Rockerbox already, e.g. {risky[0].key.call_sid}. Add --yes to send anyway."
        )


def _compared(service: Offhook, rows: Sequence[ConversionLine], must_know: bool) -> list[Today]:
    """Each with what would be decided today. Where the rules cannot be used that ends the command, or is said."""
    try:
        judge = service.judge()
    except RulesError as error:
        if must_know:
            fail(f"These rules cannot be used (--as-it-is sends the same bytes again):\n{error}")
        click.echo(f"Whether anything has changed is unknown: the rules cannot be used.\n{error}", err=True)
        return []
    found = list[Today]()
    compared = rows if must_know else rows[:_MOST_COMPARED]
    for first in range(0, len(compared), _PAGE_ROWS):
        page = compared[first : first + _PAGE_ROWS]
        found += compare(service.ledger.rebuilding, page, judge, service.settings.lacks, service.ledger.clock())
    if len(rows) > len(found):
        click.echo(f"Only the first {len(found)} were compared with what would be decided today.")
    return found


def _show_others(others: Sequence[Today], is_clear: bool) -> None:
    if not others:
        return
    click.echo(f"The mapping, the rules or the call have changed since {len(others)} of these were decided:")
    for one in others[:_MOST_SHOWN]:
        assert one.decided is not None
        click.echo(f"  {one.row.key.call_sid}  {one.row.state} ({one.row.reason})")
        for line in _difference(one.row, one.decided, in_clear if is_clear else _masking_of(one.decided)):
            click.echo(f"      {line}")
        if not one.may_be_rebuilt:
            click.echo("      it may have arrived, or was not refused with a 4xx: it is never decided anew")
        if one.lacks:
            click.echo(f"      today it lacks {one.lacks}, a field of the account's deduplication key, as well")
    if len(others) > _MOST_SHOWN:
        click.echo(f"  ... and {len(others) - _MOST_SHOWN} more")


def _masking_of(decided: Decided) -> Masking:
    root = decided.call.root
    return masking([decided.customer_phone, *((root.from_, root.to) if root else ())])


def _difference(row: ConversionLine, decided: Decided, hide: Masking) -> list[str]:
    """Old and new of each field that differs; or why it would not be sent today."""
    if decided.payload is None:
        return [f"today it would not be sent: {'; '.join(_why_not(decided, hide))}"]
    return [changed_line(one, "--in-clear") for one in changed_fields(row.payload, decided.payload, hide)]


def _why_not(decided: Decided, hide: Masking) -> list[str]:
    return [f"{reason.word}: {hide(reason.sentence)}" for reason in decided.decision.reasons]


def _asked(can: int) -> str:
    """What a person at a terminal wants to be sent."""
    click.echo(f"{counted(can, *_REFUSED)}, so nothing can have been counted.")
    what = click.prompt(
        "Send what is decided today (new), the same as before (old), or nothing (none)?",
        type=click.Choice([_NEW, _OLD, _NONE]),
        default=_NEW,
    )
    return str(what)


def _rebuilt(service: Offhook, found: Sequence[Today], *, with_others: bool) -> Again:
    """Those that can be are decided anew, and those that are the same today are sent as they are; `with_others` those as
    well that cannot be, but would be sent today.
    """
    wanted = [one for one in found if one.can_rebuild]
    same = [one.row for one in found if (with_others and one.would_be_sent) or one.is_the_same]
    if wanted:
        audit(service, _WHO, "decide again and send", in_short([one.row for one in wanted]))
    rebuilt = rebuild(service.ledger.rebuilding, service.ledger, wanted, service.ledger.clock())
    if wanted:
        anew = counted(rebuilt, "was decided anew; what it was", "were decided anew; what they were")
        click.echo(f"{anew} before stays in `flask conversions show`.")
    left = len(found) - len(wanted) - len(same)
    if left:
        click.echo(
            f"{counted(left, 'is left as it is', 'are left as they are')}: such may have arrived, or were not refused with a 4xx, "
            "or would not be sent today, or lack a field of the account's key. --as-it-is sends the same bytes again."
        )
    done = _retried(service, same) if same else Again()
    sent = {**done.sent, **{one.row.key: _NEW for one in wanted}}
    return replace(done, compared=found, sent=sent, moved=done.moved + rebuilt, decided_anew=rebuilt)


def _retried(service: Offhook, rows: Sequence[ConversionLine]) -> Again:
    """Those that Rockerbox can count."""
    lacking = uncounted(rows, service.settings.lacks)
    whole = [row for row in rows if row.key not in lacking]
    if whole:
        audit(service, _WHO, "send again", in_short(whole))
    now = service.ledger.clock()  # the database's on Postgres, by which the worker goes
    sent = send_again(service.ledger, rows, service.settings.lacks, now)
    if sent.lacking:
        call, field = next(iter(sent.lacking.items()))
        stay = counted(len(sent.lacking), "stays as it is: it lacks", "stay as they are: they lack")
        click.echo(
            f"{stay} a field of the account's deduplication key (e.g. {call.call_sid}: {field}), and Rockerbox would count "
            "nothing. --rebuild decides anew what lacks one, once customers or rules have it."
        )
    return Again(sent={row.key: _OLD for row in whole}, lacking=sent.lacking, moved=sent.moved)
