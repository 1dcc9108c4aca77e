"""`flask sandbox`: a Rockerbox of one's own, to try things out."""

from __future__ import annotations

import signal
import threading

import click

from adapters.rockerbox.sandbox import Event, Sandbox


@click.command()
@click.option(
    "--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="Where it listens, on loopback."
)
@click.option("--dedupe", default="order_id", show_default=True, help="Fields of the key, e.g. email,date,action.")
@click.option("--cross-day", is_flag=True, help="Deduplicate across days, as the account's setting of that name does.")
def sandbox(port: int, dedupe: str, cross_day: bool) -> None:
    """Run a sandbox Rockerbox that keeps and shows what it gets.

    \b
    flask sandbox &
    ROCKERBOX_URL=http://127.0.0.1:8100/webhook/data ROCKERBOX_ADVERTISER_ID=test flask worker
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Sandbox(
        port=port, dedupe=[part.strip() for part in dedupe.split(",")], cross_day=cross_day, on_event=tell
    ) as running:
        click.echo(f"Sandbox Rockerbox: POST to {running.url}/webhook/data?advertiser=ANY, look at {running.url}")
        while not ended.wait(0.5):
            pass


def tell(event: Event) -> None:
    """One line an event."""
    fields = event.fields
    why = f" ({'; '.join(event.reasons)})" if event.reasons else ""
    who = str(fields.get("email") or fields.get("customer_id") or "?")
    click.echo(
        f"{event.verdict:<11} {fields.get('action', '?')}  {who[:2]}***  order {fields.get('order_id', '-')}{why}"
    )
