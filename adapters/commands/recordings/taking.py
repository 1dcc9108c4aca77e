"""`flask recordings export`, `tap` and `import`: where recordings come from."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, Offhook, fail, offhook, stop_when_asked
from offhook.adapters.commands.periods import ago
from offhook.adapters.commands.recordings.cover import Cover, cover_options
from offhook.adapters.commands.shown import (
    Format,
    on_stderr,
    opened,
    refuse_two,
    show_done,
    show_list,
    show_record,
    shows,
)
from offhook.adapters.customers.spreadsheet import write_rows
from offhook.adapters.private_file import write_whole, written_whole
from offhook.adapters.recordings.format import RecordingError, dump, from_raw_callback
from offhook.adapters.recordings.found import ANY_ACCOUNT, Defaults, Found, Unused
from offhook.adapters.recordings.sources import Source, from_alerts, from_file
from offhook.adapters.recordings.tap import TapFile
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.twilio.rest import Access, TwilioRefused, alerts
from offhook.pipeline.arrival import CALLBACK_PATH
from offhook.pipeline.call import fold
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import customer_number
from offhook.pipeline.ports.following import Following
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.words import counted

_LOOK_UP_ROWS = 500
_SHOWN = 20  # of what was left out
_LEFT_OUT = ("count", "reason", "place")


_OUTPUT = click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    help="The file, which only you may read; standard output if none.",
)


@click.command(cls=LedgerCommand)
@click.option("--since", callback=ago, help="Only what came in this time: 90m, 1h, 2d.")
@click.option("--call", "call_sid", help="Only this CallSid and its child legs.")
@click.option("--status", help="Only callbacks with this CallStatus, e.g. completed.")
@click.option(
    "--customers",
    type=click.Path(path_type=Path),
    help="Write the rows of the mapping that these calls need to a new CSV file, under the same pseudonyms.",
)
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="Write the rules to a new file, their tracked numbers under the same pseudonyms.",
)
@with_appcontext
@cover_options
@_OUTPUT
@shows
def export(
    cover: Cover,
    since: datetime | None,
    call_sid: str | None,
    status: str | None,
    customers: Path | None,
    rules: Path | None,
    output: Path,
    shown: Format,
) -> None:
    """Write callbacks of the ledger as a recording, a line each, with pseudonyms instead of persons.

    A phone number becomes a fictional one, the same wherever it occurs; SIDs, names and places are replaced as well. --json
    and --csv are about the recording, and want a file for it by --output.

    \b
    flask recordings export --since 1h --customers mapping.csv --rules rules.toml --output calls.jsonl
    flask recordings export --call CA... --status completed
    """
    refuse_two(output, "the recording", shown)
    service, count, phones = offhook(), 0, set[str]()
    _must_be_new(customers, rules)
    try:
        if rules:
            _look_for_what_rules_ask(service, cover, with_customers=customers is not None)
        with opened(output) as file:
            for raw in service.ledger.stories.every_callback(since=since, call_sid=call_sid):
                if _has_status(service, raw, status):
                    file.write(dump(cover.record(from_raw_callback(raw))) + "\n")
                    phones |= _customer_numbers(service, raw)
                    count += 1
            rows = _write_customers(service, cover, customers, phones) if customers else None
            if rules:
                _write_rules(service, cover, rules)
    except (RecordingError, RulesError, OSError) as error:
        fail(str(error), 2)
    of_mapping = "" if rows is None else f" {counted(rows, 'row', 'rows')} of the mapping in {customers}."
    written = [("file", output), ("callbacks", count), ("rows_of_mapping", rows)]
    show_done(f"{counted(count, 'callback', 'callbacks')} written.{of_mapping}", written, shown, err=True)


def _must_be_new(*paths: Path | None) -> None:
    """The service's own mapping and rules have such names, and are easily named by mistake."""
    for path in paths:
        if path is not None and path.exists():
            fail(f"{path} is there already and is not written over: name a new file, or move it away.", 2)


def _look_for_what_rules_ask(service: Offhook, cover: Cover, *, with_customers: bool) -> None:
    """Before anything is covered: afterwards nobody could say what was as asked."""
    columns = cover.look_for(*_rules_text(service))
    if columns and not with_customers:
        fail(f"The rules look at columns of customers ({', '.join(sorted(columns))}): name --customers, too.", 2)


def _rules_text(service: Offhook) -> tuple[str, Path]:
    """The rules as they are written, empty where the defaults hold, and the folder of the files that they name. Raises
    RulesError when they are wrong."""
    service.rules()
    path = service.settings.config
    folder = path.absolute().parent
    if service.settings.rules_text.strip():
        return service.settings.rules_text, folder
    return (path.read_text(encoding="utf-8") if path.exists() else ""), folder


def _write_rules(service: Offhook, cover: Cover, path: Path) -> None:
    """With the files of numbers that they name beside them."""
    lists: dict[str, str] = {}
    text = cover.rules(*_rules_text(service), lists)
    _must_be_new(*(path.parent / name for name in lists))
    for name, numbers in lists.items():
        write_whole(path.parent / name, numbers)
    write_whole(path, text)


def _has_status(service: Offhook, raw: RawCallback, status: str | None) -> bool:
    return status is None or service.read(raw).params.get("CallStatus") == status


def _customer_numbers(service: Offhook, raw: RawCallback) -> set[str]:
    """Whom a decision about this callback's call would look up."""
    leg = fold(raw.key, [service.read(raw)])
    number = customer_number(leg, service.settings.numbering).e164
    return {number} if number else set()


def _write_customers(service: Offhook, cover: Cover, path: Path, phones: Iterable[str]) -> int:
    """How many rows there were. `flask customers import` takes the file as it is."""
    rows = [cover.customer(row) for row in _customers(service, sorted(phones))]
    columns = sorted({name for row in rows for name in row.attributes})
    with written_whole(path) as file:
        write_rows(file, [("phone", "email", "customer_id", *columns)])
        write_rows(file, (_row(row, columns) for row in rows))
    return len(rows)


def _row(row: Customer, columns: Sequence[str]) -> list[str]:
    return [row.phone, row.email or "", row.customer_id or "", *(row.attributes.get(name, "") for name in columns)]


def _customers(service: Offhook, phones: list[str]) -> Iterator[Customer]:
    for first in range(0, len(phones), _LOOK_UP_ROWS):
        yield from service.ledger.find_customers(phones[first : first + _LOOK_UP_ROWS]).values()


@click.command(cls=LedgerCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--call", "call_sid", help="Only this CallSid and its child legs.")
@click.option("--status", help="Only callbacks with this CallStatus, e.g. completed.")
@click.option(
    "--max-bytes",
    type=click.IntRange(1000),
    help="It ends when FILE has this size.  [default: OFFHOOK_TAP_MAX_BYTES]",
)
@with_appcontext
@cover_options
def tap(file: Path, cover: Cover, call_sid: str | None, status: str | None, max_bytes: int | None) -> None:
    """Append each callback to FILE as it is accepted, until Ctrl-C or until FILE is full.

    Whatever process took it in: the callbacks come from the ledger, so a tap costs the web processes nothing. To go on
    with a file of an earlier run, both must have the same --key, or one caller would have two pseudonyms.

    \b
    flask recordings tap calls.jsonl
    """
    service = offhook()
    stop = stop_when_asked()
    try:
        with TapFile(file, max_bytes or service.settings.tap_max_bytes) as tapped:
            if not tapped.begins_empty and not cover.is_stable:
                fail(
                    f"{file} holds callbacks already, and new pseudonyms would not fit them: give --key, or another file.",
                    2,
                )
            following = service.ledger.stories.following()
            click.echo(f"Each callback goes to {file} from now on. Ctrl-C ends it.", err=True)
            wanted = (raw for raw in _arriving(service, following, stop) if _is_wanted(service, raw, call_sid, status))
            count, is_full = _write_all(wanted, tapped, cover)
    except RecordingError as error:
        fail(str(error), 2)
    click.echo(f"{counted(count, 'callback', 'callbacks')} written.{f' {file} is full.' if is_full else ''}", err=True)


def _arriving(service: Offhook, following: Following, stop: threading.Event) -> Iterator[RawCallback]:
    """Callbacks as they come, until somebody asks to stop. A database that goes away for a while is waited for."""
    trouble = False
    while not stop.is_set():
        try:
            arrived = following.fresh()
            trouble = False
        except LedgerUnavailable as error:
            if not trouble:
                click.secho(f"The database does not answer ({error}); waiting for it.", err=True, fg="yellow")
            arrived, trouble = [], True
        yield from arrived
        if not arrived:
            stop.wait(service.settings.poll_seconds)


def _is_wanted(service: Offhook, raw: RawCallback, call_sid: str | None, status: str | None) -> bool:
    return call_sid in (None, raw.call_sid, raw.parent_call_sid) and _has_status(service, raw, status)


def _write_all(callbacks: Iterable[RawCallback], file: TapFile, cover: Cover) -> tuple[int, bool]:
    """(how many were written, whether the file is full)."""
    count = 0
    for raw in callbacks:
        if not file.append(cover.record(from_raw_callback(raw))):
            return count, True
        count += 1
    return count, False


@click.command("import", cls=LedgerCommand)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--from",
    "kind",
    type=click.Choice([str(kind) for kind in Source]),
    help="What FILES are.  [default: what they look like]",
)
@click.option(
    "--twilio-alerts", is_flag=True, help="Ask Twilio for callbacks that failed: its alerts keep them for 30 days."
)
@click.option("--since", callback=ago, default="1d", show_default=True, help="With --twilio-alerts: how far back.")
@click.option("--path", default=CALLBACK_PATH, show_default=True, help="The path, where a source does not say it.")
@with_appcontext
@cover_options
@_OUTPUT
@shows
def import_(
    files: tuple[Path, ...],
    cover: Cover,
    kind: str | None,
    twilio_alerts: bool,
    since: datetime,
    path: str,
    output: Path,
    shown: Format,
) -> None:
    """Make a recording of what you have: HAR files, ngrok's inspector, webhook.site, Postman, Charles, raw requests,
    cURL commands, logs with form bodies, parameters as JSON, Twilio's alerts and its log of calls.

    FILES may be `-` for standard input. Like every recording it has pseudonyms instead of persons, unless you say
    otherwise; no signature, cookie or password gets into it. What is no callback is counted by its reason. Exit code 1
    when a CallSid was seen and could not be used, or nothing was found; 2 when a file can hold no callback at all.

    What was left out is said on standard error. With --output it can be had as --json or --csv, the whole of it.

    \b
    flask recordings import tunnel.har --output calls.jsonl
    flask recordings import app.log --output calls.jsonl --csv > left-out.csv
    pbpaste | flask recordings import -
    flask recordings import --twilio-alerts --since 3d --in-clear --output lost.jsonl
    flask recordings replay lost.jsonl --to https://calls.example.com --yes-remote --speed max
    """
    if bool(files) == twilio_alerts:
        raise click.UsageError("name FILES or give --twilio-alerts, one of them")
    refuse_two(output, "the recording", shown)
    count, unused = 0, list[Unused]()
    defaults = Defaults(datetime.now(UTC), path, offhook().settings.twilio_account_sid or ANY_ACCOUNT)
    try:
        found = _lost_callbacks(offhook(), since, defaults) if twilio_alerts else _of_files(files, kind, defaults)
        with opened(output) as file:
            for each in found:
                if isinstance(each, Unused):
                    unused.append(each)
                else:
                    file.write(dump(cover.record(each)) + "\n")
                    count += 1
    except TwilioRefused as error:
        fail(str(error))
    except (RecordingError, OSError) as error:
        fail(str(error), 2)
    _show_imported(count, unused, shown)
    if any(each.has_call for each in unused) or not (count or twilio_alerts):
        raise SystemExit(1)


def _show_imported(count: int, unused: Sequence[Unused], shown: Format) -> None:
    rows = _left_out(unused)
    match shown:
        case Format.JSON:
            show_record({"callbacks": count, "left_out": rows}, shown)
        case Format.CSV:
            show_list(rows, shown, _LEFT_OUT)
        case Format.TABLE:
            with on_stderr():
                found_none = "" if count else " No callback of a call was found."
                click.echo(f"{counted(count, 'callback', 'callbacks')} written.{found_none}")
                _show_unused(rows)


def _left_out(unused: Sequence[Unused]) -> list[dict[str, object]]:
    """Bystanders are counted by their reason; what names a call is listed with its place, since it is missed."""
    lost = [(1, each.reason, each.place) for each in unused if each.has_call]
    passed_over = Counter(each.reason for each in unused if not each.has_call)
    found = [*lost, *((count, reason, None) for reason, count in passed_over.most_common())]
    return [dict(zip(_LEFT_OUT, one, strict=True)) for one in found]


def _show_unused(rows: Sequence[Mapping[str, object]]) -> None:
    lost = sum(row["place"] is not None for row in rows)
    if lost:
        click.secho(f"{lost} with a CallSid could not be used:", fg="yellow")
        show_list(rows[: min(lost, _SHOWN)], Format.TABLE, ("place", "reason"))
    if lost > _SHOWN:
        click.echo(f"... and {lost - _SHOWN} more: --csv has them all.")
    if len(rows) > lost:
        click.echo("Left out:")
        show_list(rows[lost:][:_SHOWN], Format.TABLE, ("count", "reason"))


def _of_files(files: Iterable[Path], kind: str | None, defaults: Defaults) -> Iterator[Found]:
    for file in files:
        is_input = str(file) == "-"
        raw = sys.stdin.buffer.read() if is_input else file.read_bytes()
        yield from from_file(raw, Source(kind) if kind else None, defaults, "standard input" if is_input else str(file))


def _lost_callbacks(service: Offhook, since: datetime, defaults: Defaults) -> Iterator[Found]:
    settings = service.settings
    tokens = settings.auth_tokens
    if not settings.twilio_account_sid or not (settings.twilio_api_key or tokens):
        fail(
            "Nothing to ask Twilio with: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and its secret.",
            2,
        )
    access = Access(
        settings.twilio_account_sid,
        settings.twilio_api_key or settings.twilio_account_sid,
        settings.twilio_api_secret.get_secret_value() or tokens[0],
        settings.twilio_api_url,
        settings.twilio_api_timeout_seconds,
        settings.ca_file,
        settings.egress_proxy.get_secret_value(),
    )
    return from_alerts(alerts(access, since), defaults, "Twilio's alerts")
