"""`flask worker`: the process that folds, decides and delivers."""

from __future__ import annotations

import logging
import signal

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, fail, offhook
from offhook.settings import Settings, SettingsError

log = logging.getLogger("offhook.worker")


@click.command(cls=LedgerCommand)
@with_appcontext
def worker() -> None:
    """Make calls of callbacks, decide by the rules, and deliver conversions, until stopped.

    Run as many as you like on one Postgres. SIGTERM stops it within 25 seconds: what is being sent is finished, what was
    taken up and not sent is given back. A worker that is killed loses nothing; another one takes over after OFFHOOK_LEASE_SECONDS.

    \b
    flask worker
    """
    service = offhook(Settings.missing_for_worker)
    try:
        warnings = service.check_worker()
    except SettingsError as error:
        fail(str(error), 2)
    for warning in warnings:
        log.warning("start_warning", extra={"warning": warning})
    running = service.worker()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.request_stop())
    running.start()
    log.info("worker_started", extra={"threads": service.settings.delivery_threads})
    running.wait()
    clean = running.stop()
    log.info("worker_stopped", extra={"clean": clean})
