"""`flask sandbox`: a Rockerbox of one's own, to try things out and to see them fail."""

from __future__ import annotations

import re
from pathlib import Path

import click

from offhook.adapters.commands.context import LedgerCommand, fail, stop_when_asked
from offhook.adapters.rockerbox.sandbox import Day, DedupeKey, Event, NotLoopback, Sandbox, Script, ScriptError
from offhook.pipeline.phone import mask
from offhook.pipeline.sids import WRITTEN

# Strict: what only looks like a SID may hold a number.
_SID_OR_NUMBER = re.compile(rf"\b(?P<sid>{WRITTEN})\b|\+?[0-9][0-9 ().-]{{5,}}[0-9]")
_MOST_CHARS = 60


def _script(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return str(Script.parse(text))
    except ScriptError as error:
        raise click.BadParameter(str(error)) from None


def _dedupe(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    try:
        return DedupeKey.parse(text).fields
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(cls=LedgerCommand)
@click.option(
    "--port",
    default=8100,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where it listens; 0 takes any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address it listens on.")
@click.option("--allow-remote", is_flag=True, help="Let other machines in, with a --host that they can reach.")
@click.option(
    "--dedupe",
    default="order_id",
    show_default=True,
    callback=_dedupe,
    help="Events that are equal in these fields are one; `date` is the day, e.g. email,date,action.",
)
@click.option("--cross-day", is_flag=True, help="Deduplicate across days, as the account's setting of that name does.")
@click.option(
    "--day",
    default=Day.TIMESTAMP.value,
    show_default=True,
    type=click.Choice([str(day) for day in Day]),
    help="Which time's UTC day and hour an event belongs to; Rockerbox does not say which it takes.",
)
@click.option("--script", default="", callback=_script, help="How it fails; see above.")
@click.option("--seed", type=int, help="Makes the script's probabilities repeatable.")
@click.option(
    "--keep",
    default=10_000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="How many events are kept in memory.",
)
@click.option(
    "--persist",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append each event to this file (.jsonl) before the answer. It holds personal data in clear.",
)
@click.option(
    "--max-body-bytes",
    default=65_536,
    show_default=True,
    type=click.IntRange(1, 10_000_000),
    help="A larger request is answered 413.",
)
def sandbox(
    port: int,
    host: str,
    allow_remote: bool,
    dedupe: tuple[str, ...],
    cross_day: bool,
    day: str,
    script: str,
    seed: int | None,
    keep: int,
    persist: Path | None,
    max_body_bytes: int,
) -> None:
    """Run a sandbox Rockerbox that checks, deduplicates, keeps and shows what it gets, and fails on command.

    \b
    flask sandbox &
    ROCKERBOX_URL=http://127.0.0.1:8100/webhook/data ROCKERBOX_ADVERTISER_ID=test flask worker

    \b
    GET /             what came, as a page  GET /events.json[?last=N]   the same as JSON
    POST /script      another script        POST /reset                 forget all

    \b
    --script is a list of steps with ; or a new line between them:
      [Nx] BEHAVIOUR [retry-after S] [latency S] [kept]    the next request, or the next N
      BEHAVIOUR ... p=0.1                                  each request, with this probability, for ever
      (`with probability 0.1` is the same; `500 p=1` is always)
    The ones without p come first, in their order; what no step takes is answered as usual.

    \b
    BEHAVIOUR             the event is kept?
      ok                  yes  answered as usual
      latency S           yes  answered as usual, S seconds later
      STATUS (200 to 599) 2xx  yes, others no
      drip                yes  the answer comes a byte each 0.2 s
      close after headers yes  the answer's head comes, its body never
      timeout             no   no answer until the sender leaves, 60 s at most
      reset               no   the connection is reset (RST)
      close               no   the connection is closed without an answer
    With `kept` the event is kept all the same: `reset kept`, `500 kept`.

    \b
    --script "3x 429 retry-after 2; 500; timeout kept"
    --script "500 p=0.1; reset kept p=0.05; latency 0.3 p=0.2" --seed 7
    """
    try:
        running = Sandbox(
            host=host,
            port=port,
            allow_remote=allow_remote,
            dedupe=dedupe,
            cross_day=cross_day,
            day=Day(day),
            script=script,
            seed=seed,
            keep=keep,
            persist=persist,
            on_event=show_event,
            max_body_bytes=max_body_bytes,
        )
    except NotLoopback:
        fail(f"{host} can be reached from other machines. Add --allow-remote if it shall be, or leave --host out.", 2)
    except OSError as error:
        fail(f"It cannot start: {error}. Give another --port, --host or --persist.")
    _run(running, warn=allow_remote)


def _run(sandbox: Sandbox, *, warn: bool) -> None:
    """Until SIGTERM or SIGINT."""
    ended = stop_when_asked()
    with sandbox:
        if warn:
            click.secho("Other machines may post here and read all that was posted.", err=True, fg="yellow")
        click.echo(f"Sandbox Rockerbox: POST to {sandbox.url}/webhook/data?advertiser=ANY, look at {sandbox.url}")
        while not ended.wait(0.5):
            pass
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in sandbox.counts().items()))


def show_event(event: Event) -> None:
    """One line an event, fit for a log: persons masked."""
    fields = event.fields
    why = f" ({'; '.join(event.reasons)})" if event.reasons else ""
    how = "" if event.answered in ("200", "400") else f" [{event.answered}]"
    who = _masked(str(fields.get("email") or fields.get("customer_id") or "?"))
    action, order = (_plain(str(fields.get(name, "-"))) for name in ("action", "order_id"))
    click.echo(f"{event.verdict:<11} {action}  {who}  order {order}{why}{how}")


def _masked(who: str) -> str:
    """`alice@example.com` as `al***`."""
    return _plain(who)[:2] + "***" if len(who) > 1 else who


def _plain(text: str) -> str:
    """Without what could steer a terminal, and without phone numbers; a SID, which somebody may look up, stays."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:_MOST_CHARS])
    return _SID_OR_NUMBER.sub(lambda found: found["sid"] or mask(found[0]), shown)
