"""The settings as the parts want them: how much each may take, how often and how long, its keys, its sources. Connects to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from offhook.adapters.customers.answers import AnswerLimits
from offhook.adapters.customers.asking_http import HttpLimits
from offhook.adapters.customers.asking_sql import SqlLimits
from offhook.adapters.customers.sources import SourcesError, WayOut, parse, sources_of
from offhook.adapters.ledger.engine import Patience
from offhook.adapters.proxies import parse_proxy
from offhook.adapters.rules_file.source import RulesSource
from offhook.adapters.twilio.keys import Account, Keyring, keyring_of, parse_keyring
from offhook.adapters.twilio.spelling import presented_urls
from offhook.adapters.web.parts import UrlsOf, forwarded_base
from offhook.pipeline.delivery import Resend, RetryPolicy
from offhook.pipeline.heart import HeartPace
from offhook.pipeline.job_runner import JobPace
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.rules import Rules
from offhook.pipeline.worker import Pace
from offhook.settings import Settings, SettingsError

_SLACK_SECONDS = 15.0  # for an answer to be written, before another worker asks for the same number


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


def look_up_limits(settings: Settings) -> tuple[HttpLimits, SqlLimits]:
    deadline, at_once = settings.lookup_deadline_seconds, settings.lookup_at_once
    values = AnswerLimits(
        attributes=settings.customers_attributes,
        attribute=settings.customers_attribute_characters,
        named=settings.customers_named,
        lower_emails=settings.email_lowercase,
        shared=settings.shared_numbers,
    )
    http = HttpLimits(deadline, settings.lookup_connect_seconds, settings.lookup_max_answer_bytes, at_once, values)
    return http, SqlLimits(deadline, at_once, settings.lookup_max_rows, values)


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


def rules_source(settings: Settings) -> RulesSource:
    """OFFHOOK_RULES, else OFFHOOK_CONFIG, which must be there when somebody named it."""
    is_optional = settings.config == Path("offhook.toml")
    return RulesSource(
        settings.config, is_optional, settings.rules_text, settings.default_country, settings.rule_limits
    )


def rules_of(known: Settings) -> Callable[[str | None], Rules]:
    """Reads the rules that hold, or those of a text that somebody uploaded. Raises RulesError."""
    source = rules_source(known)
    return lambda text: source.read() if text is None else source.uploaded(text)


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
