"""`flask recordings ...`: callbacks out of the ledger into a file, and a file sent again, signed anew."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import TextIO

import click
from flask.cli import with_appcontext

from adapters.commands.context import fail, offhook
from adapters.recordings.format import Pairs, RecordingError, dump, from_raw_callback
from adapters.recordings.redact import Redactor
from adapters.recordings.replay import Replay, Sign, Tape, plan, replay, target
from adapters.twilio.signature import ALGORITHMS, settings_header, sign
from pipeline.ports import LedgerUnavailable

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group()
def recordings() -> None:
    """Recorded callbacks: out of the ledger into a file, and sent again, signed anew.

    \b
    flask recordings export --since 1h > calls.jsonl
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --account-sid AC... --auth-token ...
    """


def _ago(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not found:
        raise click.BadParameter("write a number and s, m, h or d, e.g. 90m or 2d")
    return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})


@recordings.command()
@click.option("--since", callback=_ago, help="Only what came in this time: 90m, 1h, 2d.")
@click.option("--call", "call_sid", help="Only this CallSid and its child legs.")
@click.option("--status", help="Only callbacks with this CallStatus, e.g. completed.")
@click.option("--key", help="A secret of 16 characters or more: the same pseudonyms in every file.")
@click.option(
    "--keep-numbers", is_flag=True, help="Leave real phone numbers in the file: personal data of your callers."
)
@click.option(
    "--output", type=click.File("w", encoding="utf-8"), default="-", help="The file; standard output if none."
)
@with_appcontext
def export(
    since: datetime | None,
    call_sid: str | None,
    status: str | None,
    key: str | None,
    keep_numbers: bool,
    output: TextIO,
) -> None:
    """Write callbacks of the ledger as a recording, a line each, with pseudonyms instead of persons.

    Numbers become numbers of fictional ranges (the same number the same pseudonym), SIDs, names and places are replaced.
    """
    service, count = offhook(), 0
    try:
        redactor = Redactor(
            key.encode() if key else None, region=service.settings.default_country, keep_numbers=keep_numbers
        )
        for raw in service.ledger.inspection.every_callback(since=since, call_sid=call_sid):
            if status is None or service.read(raw).params.get("CallStatus") == status:
                output.write(dump(redactor.record(from_raw_callback(raw))) + "\n")
                count += 1
    except LedgerUnavailable as error:
        fail(f"The database does not answer: {error}")
    except ValueError as error:
        fail(str(error), 2)
    click.echo(f"{count} callbacks written.", err=True)


@recordings.command("replay")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "url", required=True, help="Where: http://127.0.0.1:8000 or with a path of its own.")
@click.option("--signed-for", default="", help="The receiver's PUBLIC_URL, when it is not the address above.")
@click.option(
    "--auth-token", default="", help="Signs as this token would; the default is the first of TWILIO_AUTH_TOKEN."
)
@click.option(
    "--shared-key", nargs=3, metavar="ID SECRET ALGORITHM", help="Signs with a SharedKey: HMAC_SHA1 or HMAC_SHA256."
)
@click.option("--account-sid", default="", help="Puts this account into every callback, e.g. after a redacted export.")
@click.option("--speed", type=float, help="Divides the recorded gaps, e.g. 20. The default: as fast as it can.")
@click.option("--shuffle", type=int, help="A seed: another order.")
@click.option("--duplicate", default=1, show_default=True, type=click.IntRange(1, 100), help="How often each is sent.")
@click.option("--drop", default=0.0, show_default=True, help="The share that is left out, e.g. 0.05.")
@click.option("--seed", default=0, show_default=True, help="Decides which are left out.")
@click.option("--shift-to", type=click.Choice(["now"]), help="Move the recording in time: the last callback is of now.")
@click.option("--new-sids", is_flag=True, help="Give every call a new CallSid.")
@click.option("--concurrency", default=8, show_default=True, type=click.IntRange(1, 256), help="Connections.")
@click.option("--yes-remote", is_flag=True, help="Send to another machine: it will believe in calls that never were.")
@with_appcontext
def replay_(
    files: tuple[Path, ...],
    url: str,
    signed_for: str,
    auth_token: str,
    shared_key: tuple[str, str, str] | None,
    account_sid: str,
    speed: float | None,
    shuffle: int | None,
    duplicate: int,
    drop: float,
    seed: int,
    shift_to: str | None,
    new_sids: bool,
    concurrency: int,
    yes_remote: bool,
) -> None:
    """Send recordings to a status-callback URL, signed anew. Exit code 1 when something was refused."""
    moment = datetime.now(UTC) if shift_to else None
    sids = token_bytes(16) if new_sids else None
    try:
        options = Replay(speed, shuffle, duplicate, drop, seed, moment, sids, account_sid)
        to = target(url, yes_remote=yes_remote, signed_for=signed_for)
        tape = Tape.of_files(files)
        signing = _signing(auth_token, shared_key)
    except (RecordingError, ValueError) as error:
        fail(str(error), 2)
    with click.progressbar(length=len(tape) * duplicate, label="Sending", file=sys.stderr) as bar:
        summary = replay(plan(tape, options), to, signing, concurrency=concurrency, on_answer=lambda _: bar.update(1))
    click.echo(str(summary))
    raise SystemExit(summary.exit_code)


def _signing(auth_token: str, shared_key: tuple[str, str, str] | None) -> Sign:
    """How to sign: with a SharedKey, else with a token. Raises ValueError when there is neither."""
    if shared_key:
        key_id, secret, algorithm = shared_key
        if algorithm not in ALGORITHMS:
            raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
        told = settings_header(key_id, algorithm)

        def by_shared_key(url: str, pairs: Pairs, _signing: str) -> dict[str, str]:
            signature = sign(url, pairs, secret, algorithm)
            return {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": told}

        return by_shared_key
    token = auth_token or next(iter(offhook().settings.auth_tokens), "")
    if not token:
        raise ValueError("nothing to sign with: give --auth-token or --shared-key, or set TWILIO_AUTH_TOKEN")
    return lambda url, pairs, _signing: {"X-Twilio-Signature": sign(url, pairs, token)}
