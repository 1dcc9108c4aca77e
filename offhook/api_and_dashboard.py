"""The API and the dashboard, put together when somebody first comes to them: only then are their libraries loaded. And the
health of which /readyz and a page speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask

from offhook.adapters.api.door import Door, DoorLimits
from offhook.adapters.commands.context import Offhook
from offhook.adapters.commands.rockerbox import account_of
from offhook.adapters.dashboard.door import DashboardDoor
from offhook.adapters.ledger.clock import LedgerClock
from offhook.adapters.ledger.health import LedgerHealth
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.proxies import parse_proxy
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.then import rules_of_then
from offhook.adapters.way_out.resolver import Resolver
from offhook.adapters.wsgi import WsgiApp
from offhook.from_settings import patience, rules_of
from offhook.pipeline.steps import Judge
from offhook.pipeline.version import VERSION
from offhook.settings import Settings, as_they_are

if TYPE_CHECKING:  # the libraries of pages are loaded by who needs them
    from offhook.adapters.dashboard.parts import Elsewhere
    from offhook.adapters.ledger.reading import Reading

_VERSIONS = 32  # of rules of then that are remembered: a page of a call asks for one, and reads them anew else


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
        wished,
        ledger,
        lambda: dashboard(service),
        signed_in,
        otherwise,
        known.dashboard_look_seconds,
        known.retry_after_seconds,
        ledger.clock,
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

    known, reads = service.settings, reading_of(service.settings)
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
        jobs_seconds=known.dashboard_jobs_seconds,
        days=known.dashboard_days,
        recent_days=known.dashboard_recent_days,
        answer_characters=known.dashboard_answer_characters,
        retry_after_seconds=known.retry_after_seconds,
        books_seconds=known.dashboard_books_seconds,
        rules_bytes=known.rules_upload_bytes,
        body_bytes=known.dashboard_body_bytes,
        statement_seconds=known.page_statement_seconds,
        proxies=known.dashboard_proxies,
        overview_days=known.overview_days,
        behind_seconds=known.overview_behind_seconds,
        list_days=known.customers_old_days,
    )
    reads = reading_of(known)
    return create_dashboard(
        Parts(
            reads=reads,
            ledger=service.ledger,
            read=service.read,
            judge=judge_or_why_not(service),
            clock=service.ledger.clock,
            limits=limits,
            settings=lambda: [SettingLine(*row) for row in as_they_are(known)],
            ready=health_of_pages(service, reads).ready,
            region=known.default_country,
            lower_emails=known.email_lowercase,
            lacks=known.lacks,
            rules=rules_of(known),
            rules_of_then=lru_cache(_VERSIONS)(
                rules_of_then(reads.past.text_of, known.default_country, known.rule_limits, reads.past.lists_used)
            ),
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


def health(service: Offhook) -> LedgerHealth:
    """That of /readyz, by the way that callbacks take."""
    ledger = service.ledger
    return _health(service, ledger, ledger.clock, ledger.prove_writable, service.settings.ready_backlog_seconds)


def health_of_pages(service: Offhook, reads: Reading) -> LedgerHealth:
    """That of pages, which find out what they can without writing, on their own connections. Whatever waits: calls are kept."""
    return _health(service, reads, reads.database.clock)


def _health(
    service: Offhook,
    ledger: SqlLedger | Reading,
    clock: LedgerClock,
    prove: Callable[[float], None] | None = None,
    backlog_seconds: float | None = None,
) -> LedgerHealth:
    known = service.settings
    return LedgerHealth(
        ledger,
        migrations=ledger.tables,
        clock=clock,
        answer_seconds=known.ready_seconds,
        cache_seconds=known.ready_cache_seconds,
        destination=service.destination_skew,
        not_kept_seconds=known.books_not_kept_seconds,
        worker_lost_seconds=known.worker_lost_seconds,
        backlog_seconds=backlog_seconds,
        log_repeat_seconds=known.log_repeat_seconds,
        refused_before_error=known.refused_before_error,
        prove=prove,
    )


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
