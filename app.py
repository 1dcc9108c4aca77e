"""Offhook: a phone call becomes one Rockerbox conversion. The whole service on this page.

    Twilio ── POST /twilio/status ──> adapters/web/
                                        │  verify and read      adapters/twilio/
                                        v
                                      callbacks ── append ──>   adapters/ledger/      (204 only after the commit)
                                        │
        pipeline/worker.py              │ fold                  pipeline/call.py
        makes the moves of              v
        pipeline/steps.py             calls
                                        │ decide                pipeline/conversion.py, by pipeline/rules.py (offhook.toml)
        customers (the mapping) ──────> v
                                      decisions + conversions   one transaction
                                        │ deliver               pipeline/delivery.py
                                        v
                                      Rockerbox                 adapters/rockerbox/

`gunicorn app:app` is the first line, `flask worker` all that follows. Imports go one way: app -> adapters -> pipeline.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from flask.cli import FlaskGroup, NoAppException

from adapters import logs
from adapters.commands.context import Offhook
from adapters.commands.conversions import conversions
from adapters.commands.customers import customers
from adapters.commands.db import db
from adapters.commands.recordings import recordings
from adapters.commands.rules import rules
from adapters.commands.sandbox import sandbox
from adapters.commands.settings import settings_command
from adapters.commands.up import up
from adapters.commands.worker import worker
from adapters.ledger.engine import Patience
from adapters.ledger.health import LedgerHealth
from adapters.ledger.store import SqlLedger
from adapters.rockerbox.client import Rockerbox
from adapters.rockerbox.resolver import Resolver
from adapters.twilio import reading, signature
from adapters.web.routes import Arrived, Refused, UrlsOf, WebLimits, create_web, forwarded_base, request_id
from pipeline.call import RawCallback
from pipeline.delivery import BreakerPolicy, Resend, RetryPolicy
from pipeline.ports import Inbox
from pipeline.rules import Problem, Rules, RulesError, parse
from pipeline.skew import Skew
from pipeline.steps import Judge
from pipeline.worker import Pace, Worker
from settings import Settings, SettingsError, load

COMMANDS = (conversions, customers, db, recordings, rules, sandbox, settings_command, up, worker)


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
    )
    policy = retry_policy(settings)
    destination_skew = Skew(settings.clock_tolerance_seconds)

    def rules() -> Rules:
        return read_rules(settings)

    def judge() -> Judge:
        return Judge(rules(), settings.default_country, destination, reading.read, settings.settle_seconds)

    def worker() -> Worker:
        return Worker(
            ledger, destination, judge(), policy, pace(settings), ledger.clock, destination_skew=destination_skew
        )

    return Offhook(settings, ledger, destination, destination_skew, reading.read, policy, rules, judge, worker)


def patience(settings: Settings) -> Patience:
    return Patience(
        store_seconds=settings.store_timeout_seconds,
        statement_seconds=settings.statement_seconds,
        slow_seconds=settings.slow_statement_seconds,
        connect_seconds=settings.database_connect_seconds,
        renew_seconds=settings.database_renew_seconds,
        idle_in_transaction_seconds=settings.database_idle_seconds,
        clock_tolerance_seconds=settings.clock_tolerance_seconds,
        log_repeat_seconds=settings.log_repeat_seconds,
    )


def retry_policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(
        base_seconds=settings.retry_base_seconds,
        blocked_base_seconds=settings.blocked_base_seconds,
        cap_seconds=settings.retry_cap_seconds,
        horizon_seconds=settings.retry_horizon_seconds,
        retry_after_cap_seconds=settings.retry_after_cap_seconds,
        max_expired_leases=settings.max_expired_leases,
        resend=Resend(settings.resend_ambiguous),
        day_zone=ZoneInfo(settings.rockerbox_day_zone),
        margin_seconds=settings.deadline_seconds,
    )


def pace(settings: Settings) -> Pace:
    return Pace(
        poll_seconds=settings.poll_seconds,
        idle_seconds=settings.idle_seconds,
        fold_batch=settings.fold_batch,
        decide_batch=settings.decide_batch,
        threads=settings.delivery_threads,
        lease_seconds=settings.lease_seconds,
        deadline_seconds=settings.deadline_seconds,
        stop_seconds=settings.stop_seconds,
        not_kept_seconds=settings.books_not_kept_seconds,
        clock_tolerance_seconds=settings.clock_tolerance_seconds,
        log_repeat_seconds=settings.log_repeat_seconds,
    )


def read_rules(settings: Settings) -> Rules:
    """The rules of OFFHOOK_CONFIG; the defaults where there is no such file. Raises RulesError with lines and remedies."""
    path = settings.config
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path != Path("offhook.toml"):  # somebody named it, so it must be there
            raise RulesError((Problem(0, "there is no such file; correct OFFHOOK_CONFIG."),), str(path)) from None
        text = ""
    except (OSError, UnicodeError) as error:
        raise RulesError((Problem(0, f"it cannot be read ({error}); save it as UTF-8 text."),), str(path)) from None
    return parse(text, region=settings.default_country, file_name=str(path))


def keyring(settings: Settings) -> signature.Keyring:
    """All keys that a callback may be signed with. Raises SettingsError when TWILIO_KEYRING cannot be read."""
    try:
        listed = signature.parse_keyring(settings.keyring_json) if settings.keyring_json else ()
    except ValueError as error:
        raise SettingsError(f"TWILIO_KEYRING: {error}") from None
    accounts = {account.account_sid: account for account in listed}
    sid = settings.twilio_account_sid
    if sid:
        known = accounts.get(sid, signature.Account(sid, (), {}))
        tokens = (*settings.auth_tokens, *known.auth_tokens)
        accounts[sid] = signature.Account(sid, tokens, known.shared_keys)
    return signature.Keyring(accounts, settings.twilio_refuse_auth_tokens)


class Gate:
    """Verifies and reads in one call: nobody gets at a callback that was not verified."""

    def __init__(self, keys: signature.Keyring, max_fields: int) -> None:
        self._keys = keys
        self._max_fields = max_fields

    def __call__(self, arrived: Arrived) -> Sequence[RawCallback] | Refused:
        signed = signature.SignedRequest(
            method=arrived.method,
            urls=arrived.urls,
            content_type=arrived.content_type,
            body=arrived.body,
            signature=arrived.headers.get("X-Twilio-Signature", ""),
            settings=arrived.headers.get("X-Twilio-Webhooks-Signature-Settings", ""),
        )
        verified = signature.verify(signed, self._keys, max_fields=self._max_fields)
        if isinstance(verified, signature.Forged):
            return Refused(403, verified.check, verified.url)
        read = reading.read_request(
            arrived.method,
            arrived.target,
            arrived.content_type,
            arrived.headers,
            arrived.body,
            arrived.received_at,
            verified.account_sid,
        )
        return Refused(400, read.reason, verified.url) if isinstance(read, reading.NotACallback) else read


def urls_of(settings: Settings) -> UrlsOf:
    """What Twilio may have signed: the configured addresses, else what the trusted proxies say."""

    def urls(target: str, headers: Mapping[str, str], scheme: str) -> tuple[str, ...]:
        bases = settings.public_urls or (forwarded_base(headers, scheme, settings.twilio_trusted_proxies),)
        return signature.presented_urls(bases, target)

    return urls


def health(service: Offhook) -> LedgerHealth:
    ledger, known = service.ledger, service.settings
    return LedgerHealth(
        ledger,
        migrations=ledger.migrations.state,
        clock=ledger.clock,
        answer_seconds=known.ready_seconds,
        cache_seconds=known.ready_cache_seconds,
        destination=service.destination_skew,
        not_kept_seconds=known.books_not_kept_seconds,
        log_repeat_seconds=known.log_repeat_seconds,
    )


def web(service: Offhook, *, inbox: Inbox | None = None, clock: Callable[[], datetime] | None = None) -> Flask:
    """The routes on a service. Raises SettingsError when TWILIO_KEYRING cannot be read."""
    known = service.settings
    gate = Gate(keyring(known), known.max_callback_fields)
    limits = WebLimits(known.max_callback_bytes, known.retry_after_seconds, known.log_repeat_seconds)
    app = create_web(
        inbox or service.ledger, gate, urls_of(known), health(service), limits, clock or service.ledger.clock
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
    for command in COMMANDS:
        app.cli.add_command(command)
    return app


def check_start() -> list[str]:
    """Warnings of a web process that would start now. Raises SettingsError with all that keeps it from starting."""
    service = build(load())
    try:
        web(service)
        return service.check_web()
    finally:
        service.ledger.close()


def main() -> None:
    """`offhook ...`, where the package was installed with pip: what `flask ...` is in the repository."""
    FlaskGroup(create_app=create_app, help="Offhook: phone calls into conversions.").main(prog_name="offhook")


def __getattr__(name: str) -> Flask:
    """`app:app` is made when somebody asks for it, so that importing this module starts nothing."""
    if name == "app":
        return globals().setdefault("app", create_app())  # type: ignore[no-any-return]
    raise AttributeError(name)
