"""How each kind of job is run: the table of kinds. Each calls the step that the command of the same purpose calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from offhook.adapters.customers.csv_file import ImportReport, Replace, import_csv
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.customers.spreadsheet import as_csv
from offhook.adapters.jobs.importing import Diff, DryRun, Waiting, record, samples_of
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox import preflight, qa
from offhook.adapters.rockerbox.dedupe import DedupeKey
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.backtest import MOST_COUNTED, as_record, backtest, weighed_since
from offhook.pipeline.calls_shown import File, Sources, columns_named, labels_in, table
from offhook.pipeline.customer import CONFLICTS, Conflict
from offhook.pipeline.job_kinds import (
    KINDS,
    BacktestRules,
    ExportCalls,
    ImportCustomers,
    PreflightConversions,
    QaFile,
    RetryConversions,
    UndoImport,
)
from offhook.pipeline.job_runner import Came, JobRefused, Kind, Running
from offhook.pipeline.masking import in_clear, masking
from offhook.pipeline.phone import is_region
from offhook.pipeline.plain import plain
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.rules import Rules
from offhook.pipeline.sending_again import RESTING, Lacks, send_again
from offhook.pipeline.sent_otherwise import RulesOfThen, SentOtherwise
from offhook.pipeline.steps import Judge
from offhook.pipeline.story import ConversionLine, PageMark
from offhook.pipeline.undoing import undo
from offhook.pipeline.users import zone_named
from offhook.pipeline.words import counted

_ROWS_AT_ONCE = 500  # of a file that is written
_MERGED_AT_ONCE = 2000  # customers, between two looks whether the job goes on
_RETRIED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class ImportDefaults:
    """How a file of customers is read where nobody says anything else."""

    columns: tuple[str, str, str]
    country: str
    conflict: Conflict
    limits: ImportLimits
    lower_emails: bool
    retire_share: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What the kinds need of the service. `rules` reads a text, or those that hold; it and `judge` raise RulesError."""

    ledger: SqlLedger
    rules: Callable[[str | None], Rules]
    rules_of_then: RulesOfThen
    judge: Callable[[], Judge]
    imports: ImportDefaults
    lacking: Lacks
    account: Callable[[DedupeKey | None], preflight.Account]
    day_zone: tzinfo
    qa_late: timedelta
    preflight_keys: int


def kinds(parts: Parts) -> Mapping[str, Kind]:
    """Every kind that can be asked for, with what runs it."""
    runs: dict[str, Callable[[Parts, Any, Running], Came]] = {
        "import_customers": _import_customers,
        "undo_import": _undo_import,
        "export_calls": _export_calls,
        "backtest": _backtest,
        "retry_conversions": _retry_conversions,
        "qa_file": _qa_file,
        "preflight": _preflight,
    }
    return {name: Kind(KINDS[name], partial(run, parts)) for name, run in runs.items()}


# Customers


def _import_customers(parts: Parts, asked: ImportCustomers, running: Running) -> Came:
    """A killed one begins anew under the same run: what is in already is found unchanged, and history has one import."""
    name, pieces = running.upload(asked.upload)
    brought = Brought(Source.IMPORT, name, run=f"job {running.job.id}")
    table = DryRun(parts.ledger) if asked.dry_run else parts.ledger
    waiting = Waiting(parts.ledger.unknown)
    with TemporaryDirectory(prefix="offhook-") as folder:
        file = Path(folder) / "customers"
        size = _written(file, pieces, running)
        options = _options(parts.imports, asked)
        try:
            report = import_csv(
                file,
                table,
                **options,
                chunk_rows=_MERGED_AT_ONCE,
                rejects_path=Path(folder) / "rejected.csv",
                progress=lambda done: running.progress(min(done, size), size, "bytes of the file"),
                brought=brought,
                beforehand=waiting.look,
            )
        except ImportRefused as error:
            raise JobRefused(str(error).replace(str(file), name)) from None
        if report.rejects_path is not None:
            running.keep("rejected.csv", _chunks_of(report.rejects_path), parts.ledger.clock())
    diff = table.diff if isinstance(table, DryRun) else Diff()
    hide = in_clear if asked.reveal else masking([])
    result = record(_of_every_attempt(parts, report, brought), samples_of(report, diff, hide), waiting, asked.dry_run)
    import_id = None if (line := parts.ledger.history.import_of(brought)) is None else line.id
    return Came(_of_import(report, result, asked.dry_run), plain({**result, "import": import_id}))


def _written(file: Path, pieces: Iterable[bytes], running: Running) -> int:
    """How many bytes there are."""
    with file.open("wb") as out:
        for piece in pieces:
            out.write(piece)
            running.look()
    return file.stat().st_size


def _options(defaults: ImportDefaults, asked: ImportCustomers) -> dict[str, Any]:
    """Raises JobRefused for what no file can be read with."""
    columns = defaults.columns if asked.columns is None else asked.columns
    if len(columns) != 3 or not columns[0]:
        raise JobRefused("Name three columns: phone, email, customer id; leave one empty that is not there.")
    country = (asked.country or defaults.country).upper()
    if not is_region(country):
        raise JobRefused("A country is two letters, e.g. US or GB.")
    conflict = asked.conflict or defaults.conflict
    if conflict not in CONFLICTS:
        raise JobRefused(f"A conflict is decided by one of {', '.join(CONFLICTS)}.")
    return {
        "columns": columns,
        "region": country,
        "conflict": conflict,
        "encoding": asked.encoding,
        "limits": defaults.limits,
        "lower_emails": defaults.lower_emails,
        "replacing": Replace(1.0 if asked.yes_retire else defaults.retire_share, asked.dry_run)
        if asked.replace
        else None,
    }


def _of_every_attempt(parts: Parts, report: ImportReport, brought: Brought) -> ImportReport:
    """What was done by attempts before, whose worker was killed, counts as done, and not as unchanged."""
    line = parts.ledger.history.import_of(brought)
    if line is None:
        return report
    unchanged = report.unchanged + report.added + report.changed - line.added - line.changed
    return replace(
        report,
        added=line.added,
        changed=line.changed,
        unchanged=max(0, unchanged),
        removed=max(line.retired, report.removed),
    )


def _of_import(report: ImportReport, result: Mapping[str, Any], dry_run: bool) -> str:
    if not report.is_of_use and not report.changed and not report.removed:
        if report.left_empty and not report.rejected:
            return "No row of it was filled in: your customer list is as it was."
        why = "your customer list is as it was" if report.is_as_it_was else "its numbers have several customers each"
        return f"No row of it was of use: {why}."
    counts = ", ".join(f"{result[name]:,} {name}" for name in ("added", "changed", "unchanged", "removed"))
    unused = report.rejected + report.conflicts
    rejected = f" Rows that cannot be used: {unused:,} (rejected.csv)." if unused else ""
    rejected += f" Rows that were left empty: {report.left_empty:,}." if report.left_empty else ""
    refused = f" It would be refused: {report.refused}" if report.refused else ""
    return f"{'It would be' if dry_run else 'Imported'}: {counts}.{rejected}{refused}"


def _undo_import(parts: Parts, asked: UndoImport, running: Running) -> Came:
    history = parts.ledger.history
    line = history.import_(asked.import_id)
    if line is None:
        raise JobRefused(f"There is no import {asked.import_id}.")
    brought = Brought(Source.UNDO, f"import {line.id}", run=f"job {running.job.id}")
    seen, known = 0, line.added + line.changed + line.retired
    for page in undo(history, parts.ledger, line.id, brought):
        seen += len(page.restored) + len(page.retired) + len(page.changed_since)
        running.progress(seen, max(known, seen), "numbers")
    history.mark_undone(line.id, parts.ledger.clock())
    done = history.import_of(brought)
    restored, retired = (0, 0) if done is None else (done.added + done.changed + done.unchanged, done.retired)
    left = max(0, seen - restored - retired)
    result = {"import": line.id, "restored": restored, "retired": retired, "changed_since": left}
    since = counted(left, "has changed since and stays as it is", "have changed since and stay as they are")
    back = counted(restored, "number is what it was", "numbers are what they were")
    gone = counted(retired, "is nobody's", "are nobody's")
    return Came(f"It is taken back: {back}, {gone}{f'; {since}' if left else ''}.", result)


# Calls


def _export_calls(parts: Parts, asked: ExportCalls, running: Running) -> Came:
    """The file that the page of calls gives, for whom one download would take too long."""
    known = Sources(parts.ledger.stories, parts.ledger.find_customers, _labels(parts))
    into = File(columns_named(asked.columns), zone_named(asked.zone), asked.reveal)
    written = 0

    def rows() -> Iterator[Sequence[object]]:
        nonlocal written
        for written, row in enumerate(chain.from_iterable(table(known, asked, into, _ROWS_AT_ONCE))):
            yield row
            running.progress(written, None, "calls")

    running.keep("calls.csv", _as_csv(rows()), parts.ledger.clock())
    hidden = "" if asked.reveal else ", numbers and emails hidden in part"
    many = counted(written, "call", "calls")
    return Came(f"{many}{hidden}.", {"calls": written, "is_whole": parts.ledger.tallies.is_whole()})


def _labels(parts: Parts) -> Mapping[str, str]:
    """None while the rules cannot be used: the numbers stand there themselves."""
    try:
        return labels_in(parts.judge().rules)
    except RulesError:
        return {}


def _as_csv(rows: Iterable[Iterable[object]]) -> Iterator[bytes]:
    """No cell of it is a formula."""
    each = iter(rows)
    while some := list(islice(each, _ROWS_AT_ONCE)):
        yield as_csv(some).encode()


def _chunks_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(65_536):
            yield chunk


# Rules


def _backtest(parts: Parts, asked: BacktestRules, running: Running) -> Came:
    try:
        judge = replace(parts.judge(), rules=parts.rules(asked.rules))
    except RulesError as error:
        raise JobRefused(f"These rules cannot be used:\n{error}") from None
    past = parts.ledger.past
    calls = past.count_since(asked.since, MOST_COUNTED)
    books = parts.ledger.rebuilding.known_calls()
    found = weighed_since(past, books, judge, asked.since)
    otherwise = SentOtherwise(judge.rules, parts.rules_of_then)
    result = backtest(found, lambda done: running.progress(done, max(calls, done), "calls"), otherwise)
    others = result.calls - result.unchanged
    sentence = f"{result.calls:,} calls; {result.unchanged:,} come to the same, {others:,} do not."
    return Came(sentence, plain(as_record(result, judge.rules.version)))


# Conversions

_Page = tuple[Sequence[ConversionLine], Any]


def _retry_conversions(parts: Parts, asked: RetryConversions, running: Running) -> Came:
    """Page by page from the checkpoint. A conversion that was sent again since the job was asked for stays as it is, so that
    a page whose worker was killed before it said so is not sent twice."""
    if wrong := sorted(set(asked.states) - set(RESTING)):
        raise JobRefused(f"{wrong[0]} is no state that can be sent again; these are: {', '.join(sorted(RESTING))}.")
    before: dict[str, Any] = running.checkpoint or {}
    sums = {name: int(before.get(name, 0)) for name in ("looked_at", "sent_again", "may_have_arrived", "lacking")}
    for rows, place in _resting(parts, asked, before.get("place")):
        safe = [row for row in rows if asked.also_maybe_sent or not row.maybe_sent]
        came = send_again(parts.ledger, safe, parts.lacking, parts.ledger.clock(), asked_at=running.job.asked_at)
        sums["looked_at"] += len(rows)
        sums["sent_again"] += came.moved
        sums["may_have_arrived"] += len(rows) - len(safe)
        sums["lacking"] += len(came.lacking)
        running.save({"place": place, **sums})
        of_how_many = None if asked.call_sids is None else len(asked.call_sids)
        running.progress(sums["looked_at"] if of_how_many is None else place, of_how_many, "conversions")
    return Came(_of_retry(sums), sums)


def _resting(parts: Parts, asked: RetryConversions, place: Any) -> Iterator[_Page]:
    """Conversions that rest and are wanted, with the place behind them, from behind `place`."""
    if asked.call_sids is not None:
        yield from _named(parts, asked.call_sids, int(place or 0))
        return
    wanted = replace(asked, states=asked.states or tuple(RESTING))
    mark = None if place is None else PageMark(datetime.fromisoformat(place[0]), place[1], place[2])
    while True:
        page = parts.ledger.stories.conversions_page(wanted, mark, _RETRIED_AT_ONCE)
        if (mark := page.after) is None:
            last = page.conversions[-1:]
            mark = PageMark(last[0].created_at, last[0].key.call_sid, last[0].key.account_sid) if last else None
        if mark is not None:
            yield page.conversions, [mark.at.isoformat(), mark.call_sid, mark.account_sid]
        if page.after is None:
            return


def _named(parts: Parts, sids: Sequence[str], first: int) -> Iterator[_Page]:
    for begin in range(first, len(sids), _RETRIED_AT_ONCE):
        some = sids[begin : begin + _RETRIED_AT_ONCE]
        stories = chain.from_iterable(map(parts.ledger.stories.of_call, some))
        rows = [one.conversion for one in stories if one.conversion and one.conversion.state in RESTING]
        yield rows, begin + len(some)


def _of_retry(sums: Mapping[str, int]) -> str:
    left = {
        "may have arrived": sums["may_have_arrived"],
        "lack a field of the account's deduplication key": sums["lacking"],
    }
    stay = "".join(f" {count:,} {why} and stay as they are." for why, count in left.items() if count)
    return f"{sums['sent_again']:,} will be sent again.{stay}"


# Rockerbox


def _qa_file(parts: Parts, asked: QaFile, running: Running) -> Came:
    try:
        begins = datetime.strptime(asked.month, "%Y-%m")  # noqa: DTZ007  # the zone is Rockerbox's day
    except ValueError:
        raise JobRefused("A month is written like 2026-10.") from None
    since, until = qa.month_of(begins, parts.day_zone)
    made = qa.made_for(parts.ledger.sent, since, until, parts.ledger.clock(), parts.qa_late)
    written = qa.Written()

    def rows() -> Iterator[Sequence[object]]:
        yield qa.COLUMNS
        for one in written.rows(parts.ledger.sent, made):
            yield one
            running.progress(written.count, None, "conversions")

    running.keep(f"rockerbox-qa-{begins:%Y-%m}.csv", _as_csv(rows()), parts.ledger.clock())
    many = counted(written.count, "conversion", "conversions")
    sentence = f"{many}, with emails and customer ids in clear.{written.undelivered_in_words}"
    return Came(sentence, {"conversions": written.count, "undelivered": written.undelivered})


def _preflight(parts: Parts, asked: PreflightConversions, running: Running) -> Came:
    try:
        account = parts.account(None if asked.key is None else DedupeKey.parse(asked.key))
    except ValueError as error:
        raise JobRefused(str(error)) from None
    until = parts.ledger.clock()
    look = preflight.Preflight(account, parts.preflight_keys)
    for seen, line in enumerate(chain.from_iterable(parts.ledger.sent.made(asked.since, until)), 1):
        look.look(line)
        running.progress(seen, None, "conversions")
    report = look.report()
    warnings = len(report.findings) - report.errors
    sentence = (
        f"{counted(report.conversions, 'conversion', 'conversions')}: errors: {report.errors}, warnings: {warnings}."
    )
    return Came(sentence, plain(preflight.record(report, account, asked.since, until)))
