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
(pipeline/job_runner.py, adapters/jobs/). Imports go one way: app -> main -> service -> commands -> jobs -> recordings ->
the other adapters -> pipeline.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from flask import Flask
from flask.cli import NoAppException

from offhook.adapters import logs
from offhook.adapters.api.door import PREFIX, Door, DoorLimits
from offhook.adapters.commands.context import Offhook
from offhook.adapters.commands.listed import LISTED
from offhook.adapters.commands.rockerbox import account_of
from offhook.adapters.commands.syncing import sync_source
from offhook.adapters.customers.answers import AnswerLimits
from offhook.adapters.customers.asking_http import HttpLimits
from offhook.adapters.customers.asking_sql import SqlLimits
from offhook.adapters.customers.fields import limits_of
from offhook.adapters.customers.sources import SourcesError, WayOut, parse, sources_of
from offhook.adapters.customers.sync import CustomerSync
from offhook.adapters.dashboard.door import DashboardDoor
from offhook.adapters.jobs.kinds import ImportDefaults, Parts, kinds
from offhook.adapters.ledger.engine import Patience
from offhook.adapters.ledger.health import LedgerHealth
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.ledger.waited import taken_seconds
from offhook.adapters.proxies import parse_proxy
from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.source import RulesSource, RulesWatch
from offhook.adapters.twilio import reading
from offhook.adapters.twilio.keys import Account, Keyring, keyring_of, parse_keyring
from offhook.adapters.twilio.receive import receive
from offhook.adapters.twilio.spelling import presented_urls
from offhook.adapters.way_out.resolver import Resolver
from offhook.adapters.web.parts import UrlsOf, forwarded_base, request_id
from offhook.adapters.web.ration import RationLimits
from offhook.adapters.web.routes import WebLimits, create_web
from offhook.adapters.web.tally import Tally, TallyLimits
from offhook.adapters.wsgi import WsgiApp
from offhook.pipeline.delivery import BreakerPolicy, Resend, RetryPolicy
from offhook.pipeline.emails import Emails
from offhook.pipeline.heart import Heart, HeartPace
from offhook.pipeline.job_runner import JobPace, JobRunner
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.looking_up import LookingUp, LookUpPace
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.ports.inbox import Inbox
from offhook.pipeline.rules import Rules
from offhook.pipeline.skew import Skew
from offhook.pipeline.steps import AsOf, Judge
from offhook.pipeline.version import VERSION
from offhook.pipeline.worker import Pace, Worker
from offhook.settings import Settings, SettingsError, as_they_are, load

if TYPE_CHECKING:  # the libraries of pages are loaded by who needs them
    from offhook.adapters.dashboard.parts import Elsewhere
    from offhook.adapters.ledger.reading import Reading

_SLACK_SECONDS = 15.0  # for an answer to be written, before another worker asks for the same number


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


def caller_sources(settings: Settings) -> tuple[CallerSource, ...]:
    """Those of OFFHOOK_LOOKUPS, in the order in which they are asked. Raises SettingsError."""
    text = settings.lookups_toml
    if not text:
        return ()
    proxy = settings.egress_proxy.get_secret_value()
    way = WayOut(parse_proxy(proxy) if proxy else None, settings.ca_file or None, settings.dns_threads)
    try:
        return sources_of(parse(text), *look_up_limits(settings), way)
    except SourcesError as error:
        raise SettingsError("\n".join(f"OFFHOOK_LOOKUPS: {problem}." for problem in error.problems)) from None


def look_up_limits(settings: Settings) -> tuple[HttpLimits, SqlLimits]:
    deadline, at_once = settings.lookup_deadline_seconds, settings.lookup_at_once
    values = AnswerLimits(
        attributes=settings.customers_attributes,
        attribute=settings.customers_attribute_characters,
        lower_emails=settings.email_lowercase,
    )
    http = HttpLimits(deadline, settings.lookup_connect_seconds, settings.lookup_max_answer_bytes, at_once, values)
    return http, SqlLimits(deadline, at_once, values)


def looking_up(settings: Settings, ledger: SqlLedger, sources: Sequence[CallerSource]) -> LookingUp | None:
    """None without a source: then nothing waits, and nothing is asked."""
    if not sources:
        return None
    look_pace = LookUpPace(
        settings.lookup_at_once, settings.poll_seconds, log_repeat_seconds=settings.log_repeat_seconds
    )
    return LookingUp(ledger, sources, look_up_policy(settings, len(sources)), look_pace, ledger.clock)


def look_up_policy(settings: Settings, sources: int) -> LookUpPolicy:
    """`sources` is how many are asked one after the other."""
    return LookUpPolicy(
        fresh_seconds=settings.lookup_fresh_seconds,
        unknown_seconds=settings.lookup_unknown_seconds,
        base_seconds=settings.lookup_base_seconds,
        cap_seconds=settings.lookup_cap_seconds,
        wait_cap_seconds=settings.lookup_wait_cap_seconds,
        lease_seconds=sources * settings.lookup_deadline_seconds + _SLACK_SECONDS,
    )


def chores(settings: Settings, ledger: SqlLedger) -> dict[str, Callable[[threading.Event], None]]:
    """What a worker does beside, where it is configured."""
    source = sync_source(settings)
    if source is None:
        return {}
    return {"sync": partial(CustomerSync(source, ledger, ledger.clock).run, nice=settings.customers_nice)}


def job_runner(settings: Settings, ledger: SqlLedger, judge: Callable[[], Judge]) -> JobRunner:
    """What a worker does jobs with."""
    return JobRunner(
        ledger.jobs, ledger.job_files, kinds(job_parts(settings, ledger, judge)), job_pace(settings), ledger.clock
    )


def job_parts(settings: Settings, ledger: SqlLedger, judge: Callable[[], Judge]) -> Parts:
    return Parts(
        ledger,
        rules_of(settings),
        judge,
        ImportDefaults(
            columns=cast(tuple[str, str, str], settings.customers_columns),
            country=settings.default_country,
            conflict=settings.shared_numbers,
            limits=limits_of(
                settings.customers_attributes,
                settings.customers_attribute_characters,
                settings.customers_unpacked_bytes,
            ),
            lower_emails=settings.email_lowercase,
            retire_share=settings.customers_retire_share,
        ),
        lacking=settings.lacks,
        account=partial(account_of, settings),
        day_zone=ZoneInfo(settings.rockerbox_day_zone),
        qa_late=timedelta(days=settings.qa_late_days),
        preflight_keys=settings.preflight_keys,
    )


def job_pace(settings: Settings) -> JobPace:
    return JobPace(
        poll_seconds=max(settings.poll_seconds, settings.idle_seconds),
        lease_seconds=settings.job_lease_seconds,
        most_attempts=settings.job_attempts,
        kept_seconds=settings.job_days * 86400,
        most_result_bytes=settings.job_result_max_bytes,
        nice=settings.customers_nice,
        log_repeat_seconds=settings.log_repeat_seconds,
    )


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
        unfinished_seconds=settings.unfinished_hours * 3600,
        unknown_seconds=settings.unknown_days * 86400,
        clock_tolerance_seconds=settings.clock_tolerance_seconds,
        log_repeat_seconds=settings.log_repeat_seconds,
    )


def heart_pace(settings: Settings) -> HeartPace:
    return HeartPace(settings.heartbeat_seconds, settings.worker_kept_seconds, settings.log_repeat_seconds)


def rules_source(settings: Settings) -> RulesSource:
    """OFFHOOK_RULES, else OFFHOOK_CONFIG, which must be there when somebody named it."""
    is_optional = settings.config == Path("offhook.toml")
    return RulesSource(settings.config, is_optional, settings.rules_text, settings.default_country)


def keyring(settings: Settings) -> Keyring:
    """All keys that a callback may be signed with. Raises SettingsError when TWILIO_KEYRING cannot be read."""
    try:
        listed = parse_keyring(settings.keyring_json) if settings.keyring_json else ()
    except ValueError as error:
        raise SettingsError(f"TWILIO_KEYRING: {error}") from None
    own = Account(settings.twilio_account_sid, settings.auth_tokens, {})
    return keyring_of((own, *listed), refuse_auth_tokens=settings.twilio_refuse_auth_tokens)


def urls_of(settings: Settings) -> UrlsOf:
    """What Twilio may have signed: the configured addresses, else what the trusted proxies say."""

    def urls(target: str, headers: Mapping[str, str], scheme: str) -> tuple[str, ...]:
        bases = settings.public_urls or (forwarded_base(headers, scheme, settings.twilio_trusted_proxies),)
        return presented_urls(bases, target)

    return urls


def health(service: Offhook) -> LedgerHealth:
    ledger, known = service.ledger, service.settings
    return LedgerHealth(
        ledger,
        migrations=ledger.tables,
        clock=ledger.clock,
        answer_seconds=known.ready_seconds,
        cache_seconds=known.ready_cache_seconds,
        destination=service.destination_skew,
        not_kept_seconds=known.books_not_kept_seconds,
        worker_lost_seconds=known.worker_lost_seconds,
        backlog_seconds=known.ready_backlog_seconds,
        log_repeat_seconds=known.log_repeat_seconds,
        refused_before_error=known.refused_before_error,
    )


def tally(service: Offhook) -> Tally:
    known = service.settings
    limits = TallyLimits(
        known.count_seconds, known.refused_before_error, known.refused_error_seconds, known.log_repeat_seconds
    )
    return Tally(service.ledger.intake_counts, limits, {reading.AMD})


def door(service: Offhook) -> Door:
    """The API, whose libraries are loaded when the first token is shown to it."""
    known = service.settings
    limits = DoorLimits(
        known.api_tokens_seconds, known.api_used_seconds, known.api_requests_per_second, known.api_burst
    )
    return Door(service.ledger.tokens, lambda: api(service), limits, service.ledger.clock)


def api(service: Offhook) -> Callable[..., Iterable[bytes]]:
    """The API's routes, on connections of their own."""
    from offhook.adapters.api.app import ApiLimits, Parts, create_api

    known, reads = service.settings, reading_of(service.settings)
    limits = ApiLimits(
        body_bytes=known.api_body_bytes,
        bulk_rows=known.api_bulk_rows,
        page_rows=known.api_page_rows,
        tally_days=known.api_tally_days,
        attributes=known.customers_attributes,
        attribute_characters=known.customers_attribute_characters,
        answers_seconds=known.api_answers_seconds,
        write_seconds=known.api_write_seconds,
    )

    return create_api(
        Parts(
            reads=reads,
            writes=service.ledger,
            read=service.read,
            judge=judge_or_why_not(service),
            lacks=known.lacks,
            clock=service.ledger.clock,
            limits=limits,
            country=known.default_country,
            lower_emails=known.email_lowercase,
            version=VERSION,
            proxies=known.dashboard_proxies,
        )
    )


def dashboard_door(service: Offhook, otherwise: WsgiApp) -> DashboardDoor:
    """The dashboard, whose libraries are loaded when somebody comes who may find it."""
    known, ledger = service.settings, service.ledger
    wished = known.dashboard or ("on" if known.oidc_issuer else None)  # the provider knows who may come in
    return DashboardDoor(
        wished, ledger, lambda: dashboard(service), signed_in, otherwise, known.dashboard_look_seconds, ledger.clock
    )


def signed_in(app: Flask, cookies: str) -> bool:
    """Whether cookies are of somebody who is signed in to this dashboard. Raises LedgerUnavailable."""
    from offhook.adapters.dashboard.who import is_signed_in

    return is_signed_in(app, cookies)


def dashboard(service: Offhook) -> Flask:
    """The dashboard's pages, on connections of their own. Raises LedgerUnavailable."""
    from offhook.adapters.dashboard.app import create_dashboard
    from offhook.adapters.dashboard.parts import Limits, Parts, SettingLine
    from offhook.pipeline.users import Lifetimes

    known = service.settings
    limits = Limits(
        lifetimes=Lifetimes(known.session_idle_seconds, known.session_seconds),
        seen_seconds=known.session_seen_seconds,
        window_seconds=known.sign_in_window_seconds,
        tries_of_account=known.sign_in_account_tries,
        tries_of_address=known.sign_in_address_tries,
        password_least=known.password_least_characters,
        password_most=known.password_most_characters,
        invite_seconds=known.invite_seconds,
        page_rows=known.dashboard_rows,
        short_rows=known.short_list_rows,
        customer_numbers=known.customer_numbers,
        at_once=known.dashboard_at_once,
        unknown_file_rows=known.unknown_file_rows,
        undo_preview_rows=known.undo_preview_rows,
        upload_bytes=known.upload_max_bytes,
        live_seconds=known.dashboard_live_seconds,
        books_seconds=known.dashboard_books_seconds,
        rules_bytes=known.rules_upload_bytes,
        body_bytes=known.dashboard_body_bytes,
        statement_seconds=known.page_statement_seconds,
        proxies=known.dashboard_proxies,
        overview_days=known.overview_days,
        behind_seconds=known.overview_behind_seconds,
        list_days=known.customers_old_days,
    )
    return create_dashboard(
        Parts(
            reads=reading_of(known),
            ledger=service.ledger,
            read=service.read,
            judge=judge_or_why_not(service),
            clock=service.ledger.clock,
            limits=limits,
            settings=lambda: [SettingLine(*row) for row in as_they_are(known)],
            ready=health(service).ready,
            region=known.default_country,
            lower_emails=known.email_lowercase,
            lacks=known.lacks,
            rules=rules_of(known),
            account=account_of(known, None),
            preflight_keys=known.preflight_keys,
            version=VERSION,
            zone=known.dashboard_zone,
            is_https=any(url.startswith("https://") for url in (*known.public_urls, known.dashboard_url)),
            looks_up=bool(known.lookups_toml),
            home=known.own_url,
            elsewhere=single_sign_on(service),
        )
    )


def single_sign_on(service: Offhook) -> Elsewhere | None:
    """The provider of OFFHOOK_OIDC_ISSUER; None without one, and then its libraries are not loaded."""
    known = service.settings
    if not known.oidc_issuer:
        return None
    from offhook.adapters.dashboard.parts import Elsewhere
    from offhook.adapters.oidc.provider import Bounds, Client, Provider
    from offhook.pipeline.single_sign_on import Admission

    client = Client(
        issuer=known.oidc_issuer,
        id=known.oidc_client_id,
        secret=known.oidc_client_secret.get_secret_value(),
        scopes=known.oidc_scopes,
        role_claim=known.oidc_role_claim,
        verified_claim=known.oidc_verified_claim,
    )
    proxy = known.egress_proxy.get_secret_value()
    provider = Provider(
        client,
        Bounds(known.oidc_seconds, known.oidc_answer_bytes, known.clock_tolerance_seconds),
        service.ledger.clock,
        proxy=parse_proxy(proxy) if proxy else None,
        ca_file=known.ca_file or None,
        resolver=Resolver(max_threads=known.dns_threads),
    )
    admission = Admission(frozenset(known.oidc_domains), known.roles_by_group)
    return Elsewhere(provider, admission, known.oidc_name, known.oidc_sign_out)


def rules_of(known: Settings) -> Callable[[str | None], Rules]:
    """Reads the rules that hold, or those of a text that somebody uploaded. Raises RulesError."""
    source = rules_source(known)
    return lambda text: source.read() if text is None else source.uploaded(text)


def reading_of(known: Settings) -> Reading:
    """The ledger as pages read it, on connections of their own."""
    from offhook.adapters.ledger.reading import Reading

    return Reading(
        known.database_url,
        pool_size=known.page_pool_size,
        patience=patience(known),
        seconds=known.page_statement_seconds,
    )


def judge_or_why_not(service: Offhook) -> Callable[[], Judge | str]:
    """The judge of now, or a sentence where the rules cannot be used."""

    def judge() -> Judge | str:
        try:
            return service.judge()
        except RulesError:
            return "What would be decided today is unknown: the rules cannot be used."

    return judge


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
        rooms={PREFIX: door(service)},
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
