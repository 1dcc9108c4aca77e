"""What `flask rules backtest` and `flask rules apply` do: lay other rules beside what was decided, and decide anew."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerCommand, Offhook, collecting_seldom, fail, offhook
from offhook.adapters.commands.periods import ago
from offhook.adapters.commands.shown import Format, beside, show_list, show_record, shows
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.source import RulesSource
from offhook.adapters.rules_file.then import rules_of_then
from offhook.pipeline.backtest import (
    CONVERTED,
    MOST_COUNTED,
    SAMPLES,
    Backtest,
    Change,
    as_numbers,
    as_record,
    backtest,
    changing,
    outcome_in_words,
    weighed_since,
)
from offhook.pipeline.call import DECIDABLE_ANEW
from offhook.pipeline.callback import CallKey
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules import Rules
from offhook.pipeline.sent_otherwise import SentOtherwise
from offhook.pipeline.steps import Judge, apply_rules

_AT_ONCE = 50  # in one turn of the books, so that no callback waits for it
_PATIENCE_SECONDS = 30.0  # for the worker to give the books away
_PAUSE_SECONDS = 0.05
_QUIET_CALLS = 2_000  # fewer are done before a progress bar is read
_COLUMNS = ("before", "after", "count", "samples")

_since = click.option("--since", callback=ago, default="90d", show_default=True, help="How far back: 12h, 90d.")


@click.command("backtest", cls=LedgerCommand)
@click.option(
    "--file", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Other rules; those that hold if none."
)
@_since
@shows
@with_appcontext
def backtest_command(file: Path | None, since: datetime, shown: Format) -> None:
    """Say what other rules would have made of your calls.

    Nothing is changed. Every call of that time that was decided is decided once more, with what is known of it and of
    your customers today, and laid beside what the ledger has. Calls that are not over yet are left out. Compared is whether
    a call counts, and why not; and of a call that counts by both what the rules say is sent: its action, revenue, time, order
    id and extra fields, as the rules of then wrote them.

    \b
    flask rules backtest --file new.toml --since 90d
    flask rules backtest --json
    """
    service = offhook()
    judge = replace(service.judge(), rules=_rules(service, file))
    found = weighed_since(service.ledger.past, service.ledger.rebuilding.known_calls(), judge, since)
    known = service.settings
    of_then = rules_of_then(service.ledger.kept_rules, known.default_country, known.rule_limits)
    with collecting_seldom(), _progress(service.ledger.past.count_since(since, MOST_COUNTED)) as progress:
        result = backtest(found, progress, SentOtherwise(judge.rules, of_then))
    _show(result, judge.rules, shown)


@click.command("apply", cls=LedgerCommand)
@_since
@click.option("--yes", is_flag=True, help="Do not ask.")
@shows
@with_appcontext
def apply_command(since: datetime, yes: bool, shown: Format) -> None:
    """Decide skipped and waiting calls anew.

    That is done by the rules that hold now. What would change is shown first, and you are asked. What was sent is never
    touched: a conversion that these rules would not make any more is listed, and not recalled, which Rockerbox could not
    do. With --json and --csv `samples` names each of these, and of others a few.

    \b
    flask rules apply --since 30d
    flask rules apply --since 30d --json            without --yes nothing is changed
    """
    service = offhook()
    judge = replace(service.judge(), rules=_rules(service, None))
    books = service.ledger.rebuilding.known_calls()
    result = backtest(weighed_since(service.ledger.past, books, judge, since), in_full=CONVERTED)
    changes = sum(one.count for one in result.changed if one.before != CONVERTED)
    asks = bool(changes) and not yes and sys.stdin.isatty()
    with beside(shown):
        if asks or shown is Format.TABLE:  # a document says the same, but somebody who is asked has to see it before
            _show(result, judge.rules, Format.TABLE)
            _show_all_that_stay(result)
        is_wanted = yes or (asks and click.confirm(f"Decide these {changes} skipped and waiting calls anew?"))
    done = 0
    if changes and is_wanted:
        audit(service, "flask rules", "rules applied", f"{changes} calls")
        wanted = changing(weighed_since(service.ledger.past, books, judge, since, states=DECIDABLE_ANEW))
        done = sum(_decided_anew(service, judge, keys) for keys in _pages(wanted))
    _show_applied(result, judge.rules, done, shown)
    if changes and not is_wanted:
        fail("Nothing was changed. `--yes` does it without a question.")


def _show_all_that_stay(result: Backtest) -> None:
    """Where a line of the table has not named them all."""
    stay = [one for one in result.changed if one.before == CONVERTED]
    if any(one.count > SAMPLES for one in stay):
        click.echo("All of these that were converted:")
        rows = [{"call_sid": sid, "after": outcome_in_words(one.after)} for one in stay for sid in one.samples]
        show_list(rows, Format.TABLE, ("call_sid", "after"))


def _show_applied(result: Backtest, rules: Rules, done: int, shown: Format) -> None:
    match shown:
        case Format.JSON:
            show_record({**as_record(result, rules.version), "decided_anew": done}, shown)
        case Format.CSV:
            _show(result, rules, shown)
        case Format.TABLE if done:
            click.echo(f"{done} calls were decided anew. A running worker sends what counts now.")
        case Format.TABLE if all(one.before == CONVERTED for one in result.changed):
            click.echo("No skipped or waiting call would come to anything else.")


def _pages(keys: Iterable[CallKey]) -> Iterator[list[CallKey]]:
    each = iter(keys)
    while page := list(islice(each, _AT_ONCE)):
        yield page


def _decided_anew(service: Offhook, judge: Judge, keys: Sequence[CallKey]) -> int:
    """How many; one that was decided by somebody else meanwhile is left as it is."""
    try:
        return _in_turn(service, judge, keys)
    except LedgerUnavailable as error:
        if error.word != "busy":
            raise
        return 0 if len(keys) == 1 else sum(_decided_anew(service, judge, [key]) for key in keys)


def _in_turn(service: Offhook, judge: Judge, keys: Sequence[CallKey]) -> int:
    until = time.monotonic() + _PATIENCE_SECONDS
    while (done := apply_rules(service.ledger, judge, keys, service.ledger.clock())) is None:
        if time.monotonic() > until:
            fail("A worker keeps the books and does not give them away. Calls that were not reached are as they were.")
        time.sleep(_PAUSE_SECONDS)
    return done


def _rules(service: Offhook, file: Path | None) -> Rules:
    try:
        if file is None:
            return service.rules()
        known = service.settings
        return RulesSource(file, False, "", known.default_country, known.rule_limits).read()
    except RulesError as error:
        fail(str(error))


def _show(result: Backtest, rules: Rules, shown: Format) -> None:
    if shown is Format.JSON:
        show_record(as_record(result, rules.version), shown)
        return
    if shown is Format.TABLE:
        click.echo(
            f"{result.calls} calls; {result.unchanged} come to the same, {result.calls - result.unchanged} do not."
        )
    if result.changed or shown is Format.CSV:
        line = _line_in_words if shown is Format.TABLE else _line
        show_list([line(one) for one in result.changed], shown, _COLUMNS)
    if shown is Format.TABLE and result.changed:
        click.echo("\nBy tracked number:")
        numbers_ = [
            {"number": ours, **_line_in_words(one)} for ours, every in as_numbers(result).items() for one in every
        ]
        show_list(numbers_, shown, ("number", "before", "after", "count"))
        if any(one.was_converted for one in result.changed):
            click.echo("What was converted stays so: it was sent, or will be, and Rockerbox takes nothing back.")


def _line(one: Change) -> dict[str, object]:
    return {"before": one.before, "after": one.after, "count": one.count, "samples": ", ".join(one.samples)}


def _line_in_words(one: Change) -> dict[str, object]:
    """As a person reads it, with a few of the calls."""
    read = {"before": outcome_in_words(one.before), "after": outcome_in_words(one.after)}
    return {**_line(one), **read, "samples": ", ".join(one.samples[:SAMPLES])}


@contextmanager
def _progress(calls: int) -> Iterator[Callable[[int], None]]:
    """A bar for a person, nothing where it is done at once or nobody looks."""
    if calls < _QUIET_CALLS or not sys.stderr.isatty():
        yield lambda _done: None
        return
    with click.progressbar(length=calls, label="Deciding", file=sys.stderr, update_min_steps=500) as bar:
        yield lambda done: bar.update(done - bar.pos)
