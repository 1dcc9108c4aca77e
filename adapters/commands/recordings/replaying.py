"""`flask recordings replay`: recordings sent again, signed anew for where they go."""

from __future__ import annotations

import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, fail, known_settings
from offhook.adapters.commands.shown import Format, show_record, shows
from offhook.adapters.recordings.format import RecordingError
from offhook.adapters.recordings.replay import Replay, Tape, Target, plan, replay, target
from offhook.adapters.recordings.sending import Answer
from offhook.adapters.twilio.signature import Signer, by_auth_token, by_shared_key
from offhook.pipeline.sids import ACCOUNT, LOOSE

if TYPE_CHECKING:
    from offhook.settings import Settings

_AS_FAST_AS_IT_CAN = "max"
_LONG_SECONDS = 60
_ACCOUNT = re.compile(  # loose: recordings have pseudonyms of accounts, too
    rf"[aA]ccountSid(?:=|\"\s*:\s*\")({ACCOUNT}{LOOSE}{{1,64}})".encode()
)


def _speed(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    if value == _AS_FAST_AS_IT_CAN:
        return None
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"write a number such as 20, or {_AS_FAST_AS_IT_CAN}") from None


@click.command("replay", cls=LedgerCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to",
    "url",
    required=True,
    help="The receiver, e.g. http://127.0.0.1:8000; with a path, where that is another than the recorded one.",
)
@click.option(
    "--signed-for",
    default="",
    help="The public address that the receiver expects in the signature, with a path or without.  [default: PUBLIC_URL "
    "for this machine, else --to]",
)
@click.option("--auth-token", default="", help="Sign with this token.  [default: the first of TWILIO_AUTH_TOKEN]")
@click.option(
    "--shared-key",
    nargs=3,
    metavar="ID SECRET ALGORITHM",
    help="Sign with a SharedKey; ALGORITHM is HMAC_SHA1 or HMAC_SHA256.",
)
@click.option(
    "--account-sid",
    default="",
    help="Put this account into every callback: recordings have pseudonyms of accounts, too.",
)
@click.option(
    "--speed",
    default="1",
    show_default=True,
    callback=_speed,
    metavar="N|max",
    help="Divides the recorded gaps: 1 keeps them, 20 makes an hour 3 minutes, max leaves them out.",
)
@click.option("--shuffle", type=int, help="Send in another order, the same for the same number.")
@click.option("--duplicate", default=1, show_default=True, type=click.IntRange(1, 100), help="How often each is sent.")
@click.option("--drop", default=0.0, show_default=True, help="The share that is left out, e.g. 0.05.")
@click.option(
    "--seed", default=0, show_default=True, help="Which ones --drop leaves out: the same for the same number."
)
@click.option("--shift-to", type=click.Choice(["now"]), help="Move the recording in time: the last callback is of now.")
@click.option("--new-sids", is_flag=True, help="Give every call a new CallSid.")
@click.option(
    "--concurrency", default=8, show_default=True, type=click.IntRange(1, 256), help="How many are sent at once."
)
@click.option("--yes-remote", is_flag=True, help="Send to another machine: it will believe in calls that never were.")
@shows
@with_appcontext
def replay_command(
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
    shown: Format,
) -> None:
    """Send recordings to a status-callback URL, signed anew, at the pace at which they came.

    Exit code 1 when something was refused or not answered, 2 when nothing was sent because of a mistake.

    \b
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --auth-token ...
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --speed 20 --shift-to now --new-sids
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --speed max --shuffle 7 --duplicate 3 --drop 0.05
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --speed max --json
    """
    moment = datetime.now(UTC) if shift_to else None
    sids = token_bytes(16) if new_sids else None
    try:
        options = Replay(speed, shuffle, duplicate, drop, seed, moment, sids, account_sid)
        public_url = next(iter(known_settings().public_urls), "")
        to = target(url, yes_remote=yes_remote, signed_for=signed_for, public_url=public_url)
        tape = Tape.of_files(files)
        signing = _signing(auth_token, shared_key)
    except (RecordingError, ValueError) as error:
        fail(str(error), 2)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):  # both end it with a summary, in the background of a shell, too
            signal.signal(number, signal.default_int_handler)
        if not signed_for and not url.startswith(to.base):
            click.echo(f"Signed for PUBLIC_URL ({public_url}); --signed-for says another address.", err=True)
        _warn_of_long(tape, speed)
        refusal = FirstRefusal(to, _by(auth_token, shared_key), known_settings())
        with click.progressbar(length=len(tape) * duplicate, label="Sending", file=sys.stderr) as bar:

            def done(answer: Answer) -> None:
                bar.update(1)
                refusal.look_at(answer)

            summary = replay(plan(tape, options), to, signing, concurrency=concurrency, on_answer=done)
    except KeyboardInterrupt:  # `replay` itself ends with its summary
        fail("Interrupted before anything was sent.", 130)
    if shown is Format.TABLE:
        click.echo(str(summary))
    else:
        show_record(summary.as_record(), shown)
    raise SystemExit(summary.exit_code)


class FirstRefusal:
    """Says of the first 403 what was signed, and what its receiver expects: the others have the same reason."""

    def __init__(self, to: Target, signed_by: str, settings: Settings) -> None:
        self._to = to
        self._by = signed_by
        self._settings = settings
        self._is_shown = False

    def look_at(self, answer: Answer) -> None:
        """One answer of a replay."""
        if answer.status == HTTPStatus.FORBIDDEN and not self._is_shown:
            self._is_shown = True
            click.secho("\n".join(["", *self._words(answer.request)]), err=True, fg="yellow")

    def _words(self, request: bytes) -> list[str]:
        head, _, body = request.partition(b"\r\n\r\n")
        method, sent = head.decode("latin-1").split(" ", 2)[:2]
        account = next((each.decode() for each in _ACCOUNT.findall(body + sent.encode())), "")
        return [
            f"403: {method} was signed for {self._to.signed_url(sent)}, by {self._by}, as account {account or 'of none'}.",
            "Its receiver expects the address that Twilio was given (its PUBLIC_URL and path), and a key of that account.",
            *self._hints(account),
        ]

    def _hints(self, account: str) -> list[str]:
        """What is known here of a receiver that has our settings."""
        settings = self._settings
        hints = [
            f"  --signed-for {url}: PUBLIC_URL here"
            for url in settings.public_urls
            if not url.startswith(self._to.base)
        ]
        if not settings.public_urls:
            hints.append(
                "  --signed-for https://...: PUBLIC_URL is not set here, so nothing is known of another address"
            )
        if settings.twilio_account_sid and account != settings.twilio_account_sid:
            hints.append(f"  --account-sid {settings.twilio_account_sid}: TWILIO_ACCOUNT_SID here")
        return hints


def _by(auth_token: str, shared_key: tuple[str, str, str] | None) -> str:
    if shared_key:
        return f"the SharedKey {shared_key[0]}"
    return "the token of --auth-token" if auth_token else "the first token of TWILIO_AUTH_TOKEN"


def _warn_of_long(tape: Tape, speed: float | None) -> None:
    """A day of calls takes a day: better to know before."""
    moments = tape.moments()
    seconds = round(moments[-1] / speed) if speed and moments else 0
    if seconds > _LONG_SECONDS:
        click.echo(
            f"At this speed it takes {timedelta(seconds=seconds)}. Faster: --speed 20, or --speed max.", err=True
        )


def _signing(auth_token: str, shared_key: tuple[str, str, str] | None) -> Signer:
    """How to sign: with a SharedKey, else with a token. Raises ValueError when there is neither."""
    if shared_key:
        return by_shared_key(*shared_key)
    token = auth_token or next(iter(known_settings().auth_tokens), "")
    if not token:
        raise ValueError("nothing to sign with: give --auth-token or --shared-key, or set TWILIO_AUTH_TOKEN")
    return by_auth_token(token)
