"""The whole service on this page: its parts, put together by plain calls. The way of the data:

    Twilio ── POST /twilio/status ──> adapters/web/front.py
                                        │  verify and read      adapters/twilio/receive.py
                                        v
                                      callbacks ── append ──>   adapters/ledger/      (204 only after the commit)
                                        │
        pipeline/worker.py              │ fold                  pipeline/call.py
        makes the moves of              v
        pipeline/steps.py             calls
                                        │ resolve               pipeline/looking_up.py, where sources are set (OFFHOOK_LOOKUPS)
                                        │ decide                pipeline/conversion.py, by pipeline/rules/ (offhook.toml)
        customers (the mapping) ──────> v
                                      decisions + conversions   one transaction
                                        │ deliver               pipeline/delivery.py
                                        v
                                      Rockerbox                 adapters/rockerbox/

`gunicorn app:app` is the first line, `flask worker` all that follows, and the long work that people ask for
(pipeline/job_runner.py, adapters/jobs/). How much each part may take is in from_settings.py, the pages and the API are in
api_and_dashboard.py. Imports go one way: app -> main -> service -> these two -> commands -> jobs -> recordings -> the other
adapters -> pipeline.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import cast
from zoneinfo import ZoneInfo

from flask import Flask
from flask.cli import NoAppException

from offhook.adapters import logs
from offhook.adapters.commands.context import Offhook
from offhook.adapters.commands.listed import LISTED
from offhook.adapters.commands.rockerbox import account_of
from offhook.adapters.commands.syncing import sync_source
from offhook.adapters.customers.sync import CustomerSync
from offhook.adapters.jobs.kinds import ImportDefaults, Parts, kinds
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.waited import taken_seconds
from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.rules_file.source import RulesWatch
from offhook.adapters.rules_file.then import rules_of_then
from offhook.adapters.twilio import reading
from offhook.adapters.twilio.receive import receive
from offhook.adapters.way_out.resolver import Resolver
from offhook.adapters.web.parts import request_id
from offhook.adapters.web.ration import RationLimits
from offhook.adapters.web.routes import WebLimits, create_web
from offhook.adapters.web.tally import Tally, TallyLimits
from offhook.adapters.wsgi import API
from offhook.api_and_dashboard import dashboard_door, door, health
from offhook.from_settings import (
    caller_sources,
    heart_pace,
    job_pace,
    keyring,
    look_up_policy,
    pace,
    patience,
    retry_policy,
    rules_of,
    rules_source,
    urls_of,
)
from offhook.pipeline.audit_lines import prune
from offhook.pipeline.delivery import BreakerPolicy
from offhook.pipeline.emails import Emails
from offhook.pipeline.heart import Heart
from offhook.pipeline.job_runner import JobRunner
from offhook.pipeline.looking_up import LookingUp, LookUpPace
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.ports.inbox import Inbox
from offhook.pipeline.skew import Skew
from offhook.pipeline.steps import AsOf, Judge
from offhook.pipeline.version import VERSION
from offhook.pipeline.worker import Worker
from offhook.settings import Settings, SettingsError, load


def build(settings: Settings) -> Offhook:
    """Put the service together. Connects to nothing and reads no rules yet."""
    ledger = SqlLedger(
        settings.database_url,
        pool_size=settings.database_pool_size,
        batch_rows=settings.store_batch_rows,
        mapping_batch_rows=settings.customers_batch_rows,
        patience=patience(settings),
        breaker_policy=BreakerPolicy(
            settings.breaker_threshold,
            settings.breaker_base_seconds,
            settings.breaker_cap_seconds,
            settings.same_blockade_seconds,
        ),
    )
    destination = Rockerbox(
        settings.rockerbox_url,
        settings.rockerbox_advertiser_id.get_secret_value() or "not-set",  # check_worker refuses to start without
        connect_timeout_seconds=settings.connect_timeout_seconds,
        total_deadline_seconds=settings.deadline_seconds,
        max_answer_bytes=settings.max_answer_bytes,
        maybe_sent_statuses=settings.maybe_sent_statuses,
        resolver=Resolver(max_threads=settings.dns_threads),
        ca_file=settings.ca_file or None,
        proxy_url=settings.egress_proxy.get_secret_value(),
        dedupe_key=settings.dedupe_key,
    )
    policy = retry_policy(settings)
    destination_skew = Skew(settings.clock_tolerance_seconds)

    source = rules_source(settings)

    def judge() -> Judge:
        known = (settings.numbering, destination.encode, reading.read, settings.settle_seconds, settings.history_calls)
        emails = Emails(settings.email_lowercase, settings.email_sha256)
        as_of = AsOf(settings.customers_as_of)
        return Judge(source.read(), *known, day_zone=policy.day_zone, as_of=as_of, emails=emails)

    def sources() -> tuple[CallerSource, ...]:
        return caller_sources(settings)

    def worker() -> Worker:
        watch = RulesWatch(source, settings.rules_settle_seconds)
        return Worker(
            ledger,
            destination,
            judge(),
            policy,
            pace(settings),
            ledger.clock,
            destination_skew=destination_skew,
            changed_rules=watch.changed,
            heart=Heart(ledger.workers, heart_pace(settings), ledger.clock, VERSION),
            chores=chores(settings, ledger),
            looking_up=looking_up(settings, ledger, sources()),
            jobs=job_runner(settings, ledger, judge),
        )

    return Offhook(
        settings, ledger, destination, destination_skew, reading.read, policy, source.read, judge, worker, sources
    )


def looking_up(settings: Settings, ledger: SqlLedger, sources: Sequence[CallerSource]) -> LookingUp | None:
    """None without a source: then nothing waits, and nothing is asked."""
    if not sources:
        return None
    look_pace = LookUpPace(
        settings.lookup_at_once, settings.poll_seconds, log_repeat_seconds=settings.log_repeat_seconds
    )
    return LookingUp(ledger, sources, look_up_policy(settings, len(sources)), look_pace, ledger.clock)


def chores(settings: Settings, ledger: SqlLedger) -> dict[str, Callable[[threading.Event], None]]:
    """What a worker does beside, where it is configured."""
    source = sync_source(settings)
    if source is None:
        return {}
    return {"sync": partial(CustomerSync(source, ledger, ledger.clock).run, nice=settings.customers_nice)}


def job_runner(settings: Settings, ledger: SqlLedger, judge: Callable[[], Judge]) -> JobRunner:
    """What a worker does jobs with."""
    return JobRunner(
        ledger.jobs,
        ledger.job_files,
        kinds(job_parts(settings, ledger, judge)),
        job_pace(settings),
        ledger.clock,
        prune_audit=partial(prune, ledger.audit, settings.audit_days),
    )


def job_parts(settings: Settings, ledger: SqlLedger, judge: Callable[[], Judge]) -> Parts:
    return Parts(
        ledger,
        rules_of(settings),
        rules_of_then(ledger.kept_rules, settings.default_country, settings.rule_limits),
        judge,
        ImportDefaults(
            columns=cast(tuple[str, str, str], settings.customers_columns),
            country=settings.default_country,
            conflict=settings.shared_numbers,
            limits=settings.import_limits,
            lower_emails=settings.email_lowercase,
            retire_share=settings.customers_retire_share,
        ),
        lacking=settings.lacks,
        account=partial(account_of, settings),
        day_zone=ZoneInfo(settings.rockerbox_day_zone),
        qa_late=timedelta(days=settings.qa_late_days),
        preflight_keys=settings.preflight_keys,
    )


def tally(service: Offhook) -> Tally:
    known = service.settings
    limits = TallyLimits(
        known.count_seconds, known.refused_before_error, known.refused_error_seconds, known.log_repeat_seconds
    )
    return Tally(service.ledger.intake_counts, limits, {reading.AMD})


def web(service: Offhook, *, inbox: Inbox | None = None, clock: Callable[[], datetime] | None = None) -> Flask:
    """The routes on a service. Raises SettingsError when TWILIO_KEYRING cannot be read."""
    known = service.settings
    admit = partial(receive, keyring=keyring(known), max_fields=known.max_callback_fields)
    limits = WebLimits(
        known.max_callback_bytes,
        known.retry_after_seconds,
        known.log_repeat_seconds,
        max(1, min(known.page_threads, known.web_threads - 1)),
        RationLimits(known.page_share, known.page_busy_callbacks, known.page_wait_seconds),
        taken_seconds,
    )
    app = create_web(
        inbox or service.ledger,
        admit,
        urls_of(known),
        health(service),
        limits,
        tally(service),
        clock or service.ledger.clock,
        version=VERSION,
        rooms={API: door(service)},
        dashboard=partial(dashboard_door, service),
    )
    app.extensions["offhook"] = service
    return app


def create_app(settings: Settings | None = None, *, inbox: Inbox | None = None) -> Flask:
    """The Flask app with its routes and commands. `inbox` replaces the ledger's intake (the bench's floor does)."""
    try:
        known = settings or load()
        app = web(build(known), inbox=inbox)
    except SettingsError as error:
        raise NoAppException(str(error)) from None
    if "gunicorn" not in os.environ.get("SERVER_SOFTWARE", ""):  # there, gunicorn.conf.py has set the log up
        logs.configure(known.log_level)
    logs.name_requests(request_id.get)
    for command in LISTED:
        app.cli.add_command(command)
    return app


def check_start() -> list[str]:
    """Warnings of a web process that would start now. Raises SettingsError with all that keeps it from starting."""
    service = build(load(Settings.missing_for_web))
    try:
        web(service)
        return service.check_web()
    finally:
        service.ledger.close()
