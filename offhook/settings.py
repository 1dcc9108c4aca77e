"""Every setting, typed, with its unit and default: read once from the environment and `.env`, checked before anything starts.

Never opens a connection. One error names all mistakes, each with what to do. What a paste brings along (quotes, blanks) is taken off.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from offhook.adapters.customers.columns import DEFAULT_COLUMNS, names_of
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.ledger.address import libpq_address
from offhook.adapters.proxies import parse_proxy
from offhook.adapters.rockerbox.dedupe import DedupeKey
from offhook.pasted import (
    account_sid,
    advertiser_id,
    alike,
    api_key,
    issuer,
    parts,
    public_url,
    secret,
    strangers,
    undressed,
    whole_url,
)
from offhook.pipeline.customer import Conflict
from offhook.pipeline.delivery import MAYBE_SENT_STATUSES
from offhook.pipeline.ends import Numbering
from offhook.pipeline.phone import is_region
from offhook.pipeline.rules.limits import RuleLimits
from offhook.pipeline.users import Role

_ENV_FILE = ".env"
_ENCODING = "utf-8-sig"  # some editors of Windows begin a file with a mark
_PLACEHOLDER_HOST = "calls.example.com"  # of .env.example
_FORMER_NAMES = {"OFFHOOK_CUSTOMERS_CONFLICT": "OFFHOOK_SHARED_NUMBERS"}  # variables that have another name now


class SettingsError(Exception):
    """One or more settings are wrong; the text names each with its remedy and holds no secret."""


class _Mistakes(SettingsError):
    """All mistakes by the names of their settings, and the settings without those."""

    def __init__(self, mistakes: Mapping[str, str], rest: Settings) -> None:
        super().__init__(_explain(f"{name}: {what}" for name, what in mistakes.items()))
        self.mistakes = dict(mistakes)
        self.rest = rest


Words = Annotated[tuple[str, ...], NoDecode]
Statuses = Annotated[tuple[int, ...], NoDecode]


class Settings(BaseSettings):
    """The environment, read. The name of each variable stands as the alias; docs/settings.md holds the same table."""

    model_config = SettingsConfigDict(
        env_file=_ENV_FILE,
        env_file_encoding=_ENCODING,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
    )

    # The ledger
    database_url: str = Field("sqlite:///offhook.db", alias="DATABASE_URL", description="SQLite file or Postgres URL")
    store_timeout_seconds: float = Field(
        10.0,
        alias="OFFHOOK_STORE_TIMEOUT_SECONDS",
        gt=0,
        le=15,
        description="how long a callback may wait to be stored before the answer is 503 (Twilio gives up after 15)",
    )
    statement_seconds: float = Field(
        30.0,
        alias="OFFHOOK_STATEMENT_SECONDS",
        gt=0,
        le=3600,
        description="how long a look into the ledger may take that a person asked for",
    )
    slow_statement_seconds: float = Field(
        2.0,
        alias="OFFHOOK_SLOW_STATEMENT_SECONDS",
        gt=0,
        le=3600,
        description="the database taking longer than this is logged, while it does",
    )
    database_connect_seconds: float = Field(
        5.0, alias="OFFHOOK_DATABASE_CONNECT_SECONDS", ge=2, le=60, description="for a connection to one Postgres host"
    )
    database_renew_seconds: float = Field(
        300.0,
        alias="OFFHOOK_DATABASE_RENEW_SECONDS",
        gt=0,
        le=86400,
        description="how old a connection to the database becomes",
    )
    database_idle_seconds: float = Field(
        15.0,
        alias="OFFHOOK_DATABASE_IDLE_SECONDS",
        ge=1,
        le=600,
        description="Postgres ends a transaction whose client has been silent for so long (a worker whose host is gone)",
    )
    store_batch_rows: int = Field(
        64, alias="OFFHOOK_STORE_BATCH_ROWS", ge=1, le=512, description="most callbacks in one commit"
    )
    database_pool_size: int = Field(
        5, alias="OFFHOOK_DATABASE_POOL_SIZE", ge=1, le=100, description="connections a process may hold"
    )
    allow_ephemeral_sqlite: bool = Field(
        False,
        alias="OFFHOOK_ALLOW_EPHEMERAL_SQLITE",
        description="start on SQLite although the platform's disk is wiped at each restart",
    )
    allow_old_sqlite: bool = Field(
        False,
        alias="OFFHOOK_ALLOW_OLD_SQLITE",
        description="no warning that SQLite is older than 3.51.3 (its WAL-reset bug, which Offhook's own lock keeps out)",
    )

    # Twilio
    public_urls: Words = Field(
        (),
        alias="PUBLIC_URL",
        description="the address Twilio was given, up to the path; comma-separated when several (unset: what Heroku, Render, Railway or Fly say)",
    )
    twilio_account_sid: str = Field("", alias="TWILIO_ACCOUNT_SID", description="the account, when there is one")
    twilio_auth_token: SecretStr = Field(
        SecretStr(""), alias="TWILIO_AUTH_TOKEN", description="its auth token; comma-separated while rotating"
    )
    twilio_keyring: SecretStr = Field(
        SecretStr(""), alias="TWILIO_KEYRING", description="many accounts: JSON, or the path of a JSON file"
    )
    twilio_refuse_auth_tokens: bool = Field(
        False, alias="TWILIO_REFUSE_AUTH_TOKENS", description="accept SharedKey signatures alone"
    )
    twilio_trusted_proxies: int = Field(
        0,
        alias="TWILIO_TRUSTED_PROXIES",
        ge=0,
        le=10,
        description="without PUBLIC_URL: how many proxies' X-Forwarded-* headers to believe",
    )
    refused_before_error: int = Field(
        5,
        alias="OFFHOOK_REFUSED_BEFORE_ERROR",
        ge=1,
        le=1_000_000,
        description="so many callbacks of an account refused in a row, and none accepted: an error that says why",
    )
    refused_error_seconds: float = Field(
        3600.0,
        alias="OFFHOOK_REFUSED_ERROR_SECONDS",
        gt=0,
        le=604_800,
        description="while they go on to be refused, the error comes again so often",
    )
    count_seconds: float = Field(
        2.0,
        alias="OFFHOOK_COUNT_SECONDS",
        gt=0,
        le=3600,
        description="how often the counts of refused requests and the like are written down, at most",
    )
    twilio_api_key: str = Field(
        "", alias="TWILIO_API_KEY", description="for Twilio's REST API; without one the auth token is used"
    )
    twilio_api_secret: SecretStr = Field(SecretStr(""), alias="TWILIO_API_SECRET", description="its secret")
    twilio_api_url: str = Field(
        "",
        alias="TWILIO_API_URL",
        description="where Twilio's REST API is, instead of Twilio's own hosts (tests, a proxy)",
    )
    twilio_api_timeout_seconds: float = Field(
        30.0, alias="TWILIO_API_TIMEOUT_SECONDS", gt=0, le=300, description="for one answer of Twilio's REST API"
    )
    max_callback_bytes: int = Field(
        65536,
        alias="OFFHOOK_MAX_CALLBACK_BYTES",
        ge=1024,
        le=10_000_000,
        description="larger callbacks are answered 413",
    )
    max_callback_fields: int = Field(
        1000,
        alias="OFFHOOK_MAX_CALLBACK_FIELDS",
        ge=50,
        le=100_000,
        description="callbacks with more parameters are refused",
    )
    retry_after_seconds: int = Field(
        5, alias="OFFHOOK_RETRY_AFTER_SECONDS", ge=1, le=600, description="Retry-After of a 503"
    )

    # Rockerbox
    rockerbox_advertiser_id: SecretStr = Field(
        SecretStr(""), alias="ROCKERBOX_ADVERTISER_ID", description="the only credential of Rockerbox's webhook"
    )
    rockerbox_url: str = Field(
        "https://webhooks.getrockerbox.com/webhook/data", alias="ROCKERBOX_URL", description="where conversions go"
    )
    rockerbox_day_zone: str = Field(
        "UTC", alias="ROCKERBOX_DAY_ZONE", description="time zone in which the account's day turns"
    )
    rockerbox_dedupe_key: Words = Field(
        (),
        alias="ROCKERBOX_DEDUPE_KEY",
        description="the account's deduplication key, e.g. `order_id` or `email,date,action` (`date` is the day): what lacks a "
        "field of it is held and never sent (unset: nothing is)",
    )
    rockerbox_cross_day: bool = Field(
        False, alias="ROCKERBOX_CROSS_DAY", description="whether cross-day deduplication is on in the account"
    )
    preflight_keys: int = Field(
        200_000,
        alias="OFFHOOK_PREFLIGHT_KEYS",
        ge=1000,
        le=10_000_000,
        description="conversions that `flask rockerbox preflight` compares each one with: the latest before it (about 0.3 kB each)",
    )
    qa_late_days: int = Field(
        31,
        alias="OFFHOOK_QA_LATE_DAYS",
        ge=0,
        le=3650,
        description="`flask rockerbox qa` has the conversions of a month that were made so many days after its end, or sooner",
    )
    connect_timeout_seconds: float = Field(
        5.0, alias="OFFHOOK_CONNECT_TIMEOUT_SECONDS", gt=0, le=60, description="for a connection to Rockerbox"
    )
    deadline_seconds: float = Field(
        15.0, alias="OFFHOOK_DEADLINE_SECONDS", gt=0, le=120, description="for one attempt, everything together"
    )
    dns_threads: int = Field(
        4, alias="OFFHOOK_DNS_THREADS", ge=1, le=64, description="name look-ups at once, those that hang included"
    )
    maybe_sent_statuses: Statuses = Field(
        tuple(sorted(MAYBE_SENT_STATUSES)),
        alias="OFFHOOK_MAYBE_SENT_STATUSES",
        description="statuses that a gateway answers after it forwarded the request: it may have arrived (`none` for none)",
    )
    max_answer_bytes: int = Field(
        65536, alias="OFFHOOK_MAX_ANSWER_BYTES", ge=0, le=10_000_000, description="most that is read of an answer"
    )

    # The way out, to Rockerbox and to Twilio's REST API
    ca_file: str = Field(
        "",
        alias="OFFHOOK_CA_FILE",
        description="certificates (PEM) of the authorities to trust, in place of the usual ones; by default what SSL_CERT_FILE or REQUESTS_CA_BUNDLE name",
    )
    egress_proxy: SecretStr = Field(
        SecretStr(""),
        alias="OFFHOOK_EGRESS_PROXY",
        description="`http://user:password@host:port` of the proxy that everything goes out through (HTTPS_PROXY and its like count for nothing)",
    )

    # The way of a call
    config: Path = Field(Path("offhook.toml"), alias="OFFHOOK_CONFIG", description="the file of the rules")
    rules_text: str = Field(
        "", alias="OFFHOOK_RULES", description="the rules themselves, as text; they win over the file of OFFHOOK_CONFIG"
    )
    rules_settle_seconds: float = Field(
        1.0,
        alias="OFFHOOK_RULES_SETTLE_SECONDS",
        ge=0,
        le=60,
        description="a change of the rules' file counts for running workers when it has stood for so long",
    )
    rules_listed: int = Field(
        1000,
        alias="OFFHOOK_RULES_LISTED",
        ge=1,
        le=100_000,
        description="members of one list in the rules: numbers, countries, words of a parameter",
    )
    rules_list_bytes: int = Field(
        20_000_000,
        alias="OFFHOOK_RULES_LIST_BYTES",
        ge=16,
        le=200_000_000,
        description="largest file of numbers that rules name in `callers_in` (a million numbers come to 13,000,000); its numbers are "
        "kept with the rules",
    )
    rules_pattern_characters: int = Field(
        500,
        alias="OFFHOOK_RULES_PATTERN_CHARACTERS",
        ge=1,
        le=10_000,
        description="longest regular expression in the rules, and longest value that is held against one: a longer one matches none",
    )
    rules_value_characters: int = Field(
        100,
        alias="OFFHOOK_RULES_VALUE_CHARACTERS",
        ge=1,
        le=10_000,
        description="longest value of a parameter that is kept with a decision, where rules ask for it; of a longer one its length is",
    )
    rules_found_characters: int = Field(
        500,
        alias="OFFHOOK_RULES_FOUND_CHARACTERS",
        ge=1,
        le=100_000,
        description="characters of all such values together; of the others how many they are",
    )
    worker: Literal["separate", "inline"] = Field(
        "separate", alias="OFFHOOK_WORKER", description="`inline` runs the worker in the web process"
    )
    settle_seconds: float = Field(
        20.0,
        alias="OFFHOOK_SETTLE_SECONDS",
        ge=0,
        le=86400,
        description="wait after the end of a call, so that child legs arrive",
    )
    default_country: str = Field(
        "US", alias="OFFHOOK_DEFAULT_COUNTRY", description="country of numbers written without one"
    )
    sip_callers: bool = Field(
        False,
        alias="OFFHOOK_SIP_CALLERS",
        description="a caller whose SIP address has a number (`sip:+14155550142@...`) is that number: for a switchboard of "
        "your own, as anybody can write any number there",
    )
    customers_columns: Words = Field(
        DEFAULT_COLUMNS,
        alias="OFFHOOK_CUSTOMERS_COLUMNS",
        description="the header names in a list of customers for phone (several: `Phone|Mobile`), email, customer id",
    )
    shared_numbers: Conflict = Field(
        "none",
        alias="OFFHOOK_SHARED_NUMBERS",
        description="a list or a look-up gives one number to several customers: `none` of them is credited and calls wait "
        "(several_customers), or the row that gets it; `flask customers conflicts` lists them all",
    )
    customers_as_of: Literal["now", "call"] = Field(
        "now",
        alias="OFFHOOK_CUSTOMERS_AS_OF",
        description="a caller is who has the number `now`, when the call is decided, or who had it at the time of the `call`",
    )
    customers_retire_share: float = Field(
        0.2,
        alias="OFFHOOK_CUSTOMERS_RETIRE_SHARE",
        ge=0,
        le=1,
        description="the share of all customers that an import with --replace, or a sync, may retire without being asked",
    )
    customers_attributes: int = Field(
        50,
        alias="OFFHOOK_CUSTOMERS_ATTRIBUTES",
        ge=0,
        le=1000,
        description="further columns of a file, or attributes of a look-up, that are kept of a customer",
    )
    customers_attribute_characters: int = Field(
        500,
        alias="OFFHOOK_CUSTOMERS_ATTRIBUTE_CHARACTERS",
        ge=1,
        le=10_000,
        description="longest attribute that is kept of a customer, its name as well; a longer one is left out",
    )
    customers_named: int = Field(
        20,
        alias="OFFHOOK_CUSTOMERS_NAMED",
        ge=0,
        le=1000,
        description="of several customers who have one number so many are kept by name, and found by it",
    )
    customers_people: int = Field(
        1000,
        alias="OFFHOOK_CUSTOMERS_PEOPLE",
        ge=2,
        le=100_000,
        description="customers of one number in a file that are counted; of more it is said that there are at least so many",
    )
    customers_row_characters: int = Field(
        65_536,
        alias="OFFHOOK_CUSTOMERS_ROW_CHARACTERS",
        ge=256,
        le=10_000_000,
        description="longest row of a file of customers; it bounds the memory that one may take",
    )
    email_lowercase: bool = Field(
        True,
        alias="OFFHOOK_EMAIL_LOWERCASE",
        description="customers' emails are kept and sent in lower case; `0` leaves them as they come",
    )
    email_sha256: bool = Field(
        False,
        alias="OFFHOOK_EMAIL_SHA256",
        description="customers' emails are sent as SHA-256 in hex; the ledger keeps them in clear",
    )
    customers_sync: SecretStr = Field(
        SecretStr(""),
        alias="OFFHOOK_CUSTOMERS_SYNC",
        description="address (http, https) or path of a list of customers that the worker takes again and again; none by "
        "default",
    )
    customers_sync_seconds: float = Field(
        3600.0,
        alias="OFFHOOK_CUSTOMERS_SYNC_EVERY_SECONDS",
        ge=1,
        le=2_592_000,
        description="how often that list is looked at",
    )
    customers_sync_replace: bool = Field(
        False,
        alias="OFFHOOK_CUSTOMERS_SYNC_REPLACE",
        description="that list is all there is: whoever is not in it is retired, as far as OFFHOOK_CUSTOMERS_RETIRE_SHARE allows",
    )
    customers_sync_authorization: SecretStr = Field(
        SecretStr(""),
        alias="OFFHOOK_CUSTOMERS_SYNC_AUTHORIZATION",
        description="the Authorization header that the address of that list is asked with, e.g. `Bearer ...`",
    )
    customers_sync_max_bytes: int = Field(
        1_000_000_000,
        alias="OFFHOOK_CUSTOMERS_SYNC_MAX_BYTES",
        ge=1,
        description="a larger list is not taken from an address",
    )
    customers_sync_deadline_seconds: float = Field(
        600.0,
        alias="OFFHOOK_CUSTOMERS_SYNC_SECONDS",
        ge=1,
        le=86_400,
        description="a list that takes longer to come is not taken from an address",
    )
    customers_unpacked_bytes: int = Field(
        1_000_000_000,
        alias="OFFHOOK_CUSTOMERS_UNPACKED_BYTES",
        ge=1024,
        description="a gzipped list that comes to more when it is unpacked is not imported (five million customers come to about that)",
    )
    customers_batch_rows: int = Field(
        500,
        alias="OFFHOOK_CUSTOMERS_BATCH_ROWS",
        ge=1,
        le=100_000,
        description="customers that an import writes in one transaction while callbacks come, which have their turn between two; "
        "many more where none has come for 10 s",
    )
    customers_nice: int = Field(
        10,
        alias="OFFHOOK_CUSTOMERS_NICE",
        ge=0,
        le=19,
        description="how far an import stands back from other processes where the machine is busy (nice)",
    )

    # Look-ups on demand
    lookups: SecretStr = Field(
        SecretStr(""),
        alias="OFFHOOK_LOOKUPS",
        description="systems of yours that are asked who calls where your customer list does not know: TOML, or the path of a TOML file (docs/lookups.md)",
    )
    lookup_deadline_seconds: float = Field(
        5.0,
        alias="OFFHOOK_LOOKUP_DEADLINE_SECONDS",
        gt=0,
        le=120,
        description="for one answer of one source, everything together",
    )
    lookup_connect_seconds: float = Field(
        3.0,
        alias="OFFHOOK_LOOKUP_CONNECT_SECONDS",
        gt=0,
        le=60,
        description="of these, for a connection to a source of HTTP",
    )
    lookup_at_once: int = Field(
        8, alias="OFFHOOK_LOOKUP_AT_ONCE", ge=1, le=64, description="numbers that a worker asks for at once"
    )
    lookup_max_answer_bytes: int = Field(
        65536,
        alias="OFFHOOK_LOOKUP_MAX_ANSWER_BYTES",
        ge=64,
        le=10_000_000,
        description="a longer answer of HTTP is none",
    )
    lookup_max_rows: int = Field(
        100,
        alias="OFFHOOK_LOOKUP_MAX_ROWS",
        ge=2,
        le=10_000,
        description="rows of an answer of SQL that are read; customers behind them are neither counted nor credited",
    )
    lookup_fresh_seconds: float = Field(
        86400.0,
        alias="OFFHOOK_LOOKUP_FRESH_SECONDS",
        ge=60,
        le=31_536_000,
        description="how long a customer that a source named is believed; after that the source is asked again",
    )
    lookup_unknown_seconds: float = Field(
        21600.0,
        alias="OFFHOOK_LOOKUP_UNKNOWN_SECONDS",
        ge=60,
        le=31_536_000,
        description="how long a number that no source knows is believed to be nobody's; while calls wait for it, it is asked for again then",
    )
    lookup_base_seconds: float = Field(
        2.0,
        alias="OFFHOOK_LOOKUP_BASE_SECONDS",
        gt=0,
        le=3600,
        description="first wait after a source failed (full jitter, doubled each time)",
    )
    lookup_cap_seconds: float = Field(
        300.0, alias="OFFHOOK_LOOKUP_CAP_SECONDS", gt=0, le=86400, description="longest such wait"
    )
    lookup_wait_cap_seconds: float = Field(
        3600.0,
        alias="OFFHOOK_LOOKUP_WAIT_CAP_SECONDS",
        gt=0,
        le=86400,
        description="longest Retry-After of a source that is honoured",
    )

    # The worker
    poll_seconds: float = Field(
        0.2,
        alias="OFFHOOK_POLL_SECONDS",
        gt=0,
        le=60,
        description="how soon a worker that has just worked looks for more",
    )
    idle_seconds: float = Field(
        0.6,
        alias="OFFHOOK_IDLE_SECONDS",
        gt=0,
        le=60,
        description="how often an idle worker looks for work (one question; never more often than OFFHOOK_POLL_SECONDS)",
    )
    fold_batch: int = Field(
        200, alias="OFFHOOK_FOLD_BATCH", ge=1, le=10_000, description="callbacks worked on in one transaction"
    )
    decide_batch: int = Field(
        200, alias="OFFHOOK_DECIDE_BATCH", ge=1, le=10_000, description="calls decided in one transaction"
    )
    history_calls: int = Field(
        100,
        alias="OFFHOOK_HISTORY_CALLS",
        ge=1,
        le=10_000,
        description="a caller's calls before that a decision looks at, where the rules ask for any: the latest",
    )
    books_not_kept_seconds: float = Field(
        60.0,
        alias="OFFHOOK_BOOKS_NOT_KEPT_SECONDS",
        gt=0,
        le=86400,
        description="callbacks wait and no worker takes any for so long: an error, and again as often",
    )
    unfinished_hours: float = Field(
        24.0,
        alias="OFFHOOK_UNFINISHED_HOURS",
        gt=0,
        le=8760,
        description="a call without a final status for so long is `unfinished`: a warning, and the count in /readyz",
    )
    unknown_days: float = Field(
        14.0,
        alias="OFFHOOK_UNKNOWN_DAYS",
        gt=0,
        le=3650,
        description="how long a call waits for its caller to become known; then it does not count (unknown_too_long)",
    )
    heartbeat_seconds: float = Field(
        15.0,
        alias="OFFHOOK_HEARTBEAT_SECONDS",
        ge=1,
        le=3600,
        description="how often a worker leaves a sign of life in the ledger",
    )
    worker_lost_seconds: float = Field(
        60.0,
        alias="OFFHOOK_WORKER_LOST_SECONDS",
        gt=0,
        le=86400,
        description="a worker without a sign of life for so long is not alive; at least twice OFFHOOK_HEARTBEAT_SECONDS",
    )
    worker_kept_seconds: float = Field(
        86400.0,
        alias="OFFHOOK_WORKER_KEPT_SECONDS",
        gt=0,
        le=31_536_000,
        description="how long the last sign of life of a worker that vanished is kept",
    )
    delivery_threads: int = Field(32, alias="OFFHOOK_DELIVERY_THREADS", ge=1, le=256, description="deliveries at once")
    lease_seconds: float = Field(
        60.0, alias="OFFHOOK_LEASE_SECONDS", gt=0, le=3600, description="how long a worker may hold a conversion"
    )
    max_expired_leases: int = Field(
        3,
        alias="OFFHOOK_MAX_EXPIRED_LEASES",
        ge=1,
        le=100,
        description="after so many a conversion is kept back for a person",
    )
    stop_seconds: float = Field(
        20.0,
        alias="OFFHOOK_STOP_SECONDS",
        gt=0,
        le=25,
        description="how long a stopping worker waits for what it is sending",
    )
    retry_base_seconds: float = Field(
        2.0,
        alias="OFFHOOK_RETRY_BASE_SECONDS",
        gt=0,
        le=3600,
        description="first wait before a retry (full jitter, doubled each time)",
    )
    blocked_base_seconds: float = Field(
        30.0,
        alias="OFFHOOK_BLOCKED_BASE_SECONDS",
        gt=0,
        le=86400,
        description="the same after an answer that is the destination's or a setting's fault (401, 403, 404, a redirect, ...)",
    )
    retry_cap_seconds: float = Field(
        1800.0, alias="OFFHOOK_RETRY_CAP_SECONDS", gt=0, le=86400, description="longest wait before a retry"
    )
    retry_horizon_seconds: float = Field(
        72 * 3600.0,
        alias="OFFHOOK_RETRY_HORIZON_SECONDS",
        gt=0,
        description="the last attempt is made then; if it fails, the conversion waits for a person",
    )
    retry_after_cap_seconds: float = Field(
        6 * 3600.0, alias="OFFHOOK_RETRY_AFTER_CAP_SECONDS", gt=0, description="longest Retry-After that is honoured"
    )
    resend_ambiguous: Literal["same-day", "always", "never"] = Field(
        "same-day",
        alias="OFFHOOK_RESEND_AMBIGUOUS",
        description="a conversion that may have arrived: `always` when cross-day deduplication is on, `never` holds it for a person",
    )
    breaker_threshold: int = Field(
        20, alias="OFFHOOK_BREAKER_THRESHOLD", ge=1, description="failures in a row that stop sending for a while"
    )
    breaker_base_seconds: float = Field(5.0, alias="OFFHOOK_BREAKER_BASE_SECONDS", gt=0, description="first pause")
    breaker_cap_seconds: float = Field(120.0, alias="OFFHOOK_BREAKER_CAP_SECONDS", gt=0, description="longest pause")
    same_blockade_seconds: float = Field(
        600.0,
        alias="OFFHOOK_SAME_BLOCKADE_SECONDS",
        ge=0,
        description="Rockerbox refusing everything again so soon is the same condition, without a second error",
    )

    clock_tolerance_seconds: float = Field(
        5.0,
        alias="OFFHOOK_CLOCK_TOLERANCE_SECONDS",
        gt=0,
        le=3600,
        description="how far the clocks of this machine, the database and Rockerbox may differ before a warning says so",
    )

    # Recordings
    recordings_key: SecretStr = Field(
        SecretStr(""),
        alias="OFFHOOK_RECORDINGS_KEY",
        description="16 characters or more: the same pseudonyms in every recording",
    )
    tap_max_bytes: int = Field(
        100_000_000,
        alias="OFFHOOK_TAP_MAX_BYTES",
        ge=1000,
        description="`flask recordings tap` ends when its file has this size",
    )

    # The process
    port: int = Field(8000, alias="PORT", ge=1, le=65535, description="where the web process listens")
    web_concurrency: int = Field(1, alias="WEB_CONCURRENCY", ge=1, le=64, description="web processes")
    web_threads: int = Field(16, alias="OFFHOOK_WEB_THREADS", ge=1, le=256, description="threads in each web process")
    web_connections: int = Field(
        1000,
        alias="OFFHOOK_WEB_CONNECTIONS",
        ge=32,
        le=100_000,
        description="connections a web process holds; for one more the oldest unfinished or idle one is closed",
    )
    request_seconds: float = Field(
        10.0,
        alias="OFFHOOK_REQUEST_SECONDS",
        ge=1,
        le=300,
        description="a request that has not arrived whole after so long is closed",
    )
    first_bytes_seconds: float = Field(
        1.0,
        alias="OFFHOOK_FIRST_BYTES_SECONDS",
        gt=0,
        le=300,
        description="where no place is left, who has connected and sent nothing for longer is the first to be closed",
    )
    max_header_bytes: int = Field(
        32768,
        alias="OFFHOOK_MAX_HEADER_BYTES",
        ge=8192,
        le=131_072,
        description="a request's first line and headers together; the first line alone may have 8190",
    )
    keepalive_seconds: int = Field(
        95,
        alias="OFFHOOK_KEEPALIVE_SECONDS",
        ge=1,
        le=3600,
        description="how long a connection may be idle between two requests (Heroku's router keeps its own for 90)",
    )
    web_stop_seconds: int = Field(
        8,
        alias="OFFHOOK_WEB_STOP_SECONDS",
        ge=1,
        le=300,
        description="how long a stopping web process waits for the requests that it has begun",
    )
    notice_seconds: float = Field(
        60.0,
        alias="OFFHOOK_NOTICE_SECONDS",
        gt=0,
        le=3600,
        description="a condition that lasts (no thread is free, no file) is logged this often, with its count; then more connections are tried again",
    )
    page_threads: int = Field(
        4,
        alias="OFFHOOK_PAGE_THREADS",
        ge=1,
        le=256,
        description="threads of a web process that serve anything but Twilio, at most, and one fewer than it has (one that has a single thread shares it); further requests are answered 503",
    )
    page_share: float = Field(
        0.02,
        alias="OFFHOOK_PAGE_SHARE",
        gt=0,
        le=1,
        description="of a web process's time, what all that is not Twilio's may take while callbacks come in, with what Postgres works for it; the rest waits, or is answered 503",
    )
    page_busy_callbacks: int = Field(
        50,
        alias="OFFHOOK_PAGE_BUSY_CALLBACKS",
        ge=1,
        le=100_000,
        description="callbacks within a second to one web process from which on OFFHOOK_PAGE_SHARE holds; below it pages take what they like",
    )
    page_wait_seconds: float = Field(
        2.0,
        alias="OFFHOOK_PAGE_WAIT_SECONDS",
        ge=0,
        le=30,
        description="how long a page waits for its turn before it is answered 503; it holds one of OFFHOOK_PAGE_THREADS meanwhile",
    )
    page_pool_size: int = Field(
        2,
        alias="OFFHOOK_PAGE_POOL_SIZE",
        ge=1,
        le=100,
        description="connections to the database that a web process keeps for the API to read with, and as many for the dashboard",
    )
    page_statement_seconds: float = Field(
        3.0,
        alias="OFFHOOK_PAGE_STATEMENT_SECONDS",
        gt=0,
        le=60,
        description="how long the API, or a page, may read in the ledger for one request; then it is answered 503",
    )

    # The API (docs/api.md)
    api_tokens_seconds: float = Field(
        2.0,
        alias="OFFHOOK_API_TOKENS_SECONDS",
        gt=0,
        le=60,
        description="how soon a web process knows a token that was made or revoked",
    )
    api_used_seconds: float = Field(
        60.0,
        alias="OFFHOOK_API_USED_SECONDS",
        ge=1,
        le=86400,
        description="a token's last use is written down so often, at most",
    )
    api_requests_per_second: float = Field(
        5.0,
        alias="OFFHOOK_API_REQUESTS_PER_SECOND",
        gt=0,
        le=100_000,
        description="requests of one token to one web process, on the long run; more are answered 429",
    )
    api_burst: int = Field(
        20, alias="OFFHOOK_API_BURST", ge=1, le=100_000, description="requests of one token that may come at once"
    )
    api_body_bytes: int = Field(
        60_000,
        alias="OFFHOOK_API_BODY_BYTES",
        ge=1024,
        le=10_000_000,
        description="larger requests to the API are answered 413; OFFHOOK_MAX_CALLBACK_BYTES bounds them as well",
    )
    api_bulk_rows: int = Field(
        500, alias="OFFHOOK_API_BULK_ROWS", ge=1, le=10_000, description="customers in one request of the API"
    )
    api_page_rows: int = Field(
        200, alias="OFFHOOK_API_PAGE_ROWS", ge=1, le=10_000, description="calls on one page of the API"
    )
    api_tally_days: int = Field(
        400, alias="OFFHOOK_API_TALLY_DAYS", ge=1, le=4000, description="days of figures in one answer of the API"
    )
    api_answers_seconds: float = Field(
        86400.0,
        alias="OFFHOOK_API_ANSWERS_SECONDS",
        ge=60,
        le=31_536_000,
        description="how long an Idempotency-Key gets the same answer",
    )
    api_write_seconds: float = Field(
        60.0,
        alias="OFFHOOK_API_WRITE_SECONDS",
        ge=1,
        le=3600,
        description="an Idempotency-Key whose request got no answer for so long (its process was killed) may be used again",
    )

    # The dashboard
    dashboard: Literal["on", "off"] | None = Field(
        None,
        alias="OFFHOOK_DASHBOARD",
        description="`on` or `off`; unset: on as soon as there is a user, or a link that makes one (`flask users`)",
    )
    dashboard_look_seconds: float = Field(
        2.0,
        alias="OFFHOOK_DASHBOARD_LOOK_SECONDS",
        gt=0,
        le=3600,
        description="how soon a web process knows that there is a first user",
    )
    dashboard_zone: str = Field(
        "UTC", alias="OFFHOOK_DASHBOARD_ZONE", description="time zone of whoever has not chosen one in the dashboard"
    )
    dashboard_rows: int = Field(
        50, alias="OFFHOOK_DASHBOARD_ROWS", ge=1, le=1000, description="rows on one page of a list in the dashboard"
    )
    short_list_rows: int = Field(
        10,
        alias="OFFHOOK_SHORT_LIST_ROWS",
        ge=1,
        le=1000,
        description="rows of a short list: the calls that a search or `flask explain` may mean; beside something on a page a caller's "
        "other calls, what was said of a number, the newest imports, jobs and lines of the audit",
    )
    customer_numbers: int = Field(
        50,
        alias="OFFHOOK_CUSTOMER_NUMBERS",
        ge=1,
        le=1000,
        description="numbers of one customer whose calls are looked for; of more it is said that there are more",
    )
    unknown_file_rows: int = Field(
        10_000,
        alias="OFFHOOK_UNKNOWN_FILE_ROWS",
        ge=1,
        le=1_000_000,
        description="most unknown callers in the file to fill in that the dashboard gives; `flask unknown --limit` gives more",
    )
    undo_preview_rows: int = Field(
        5_000,
        alias="OFFHOOK_UNDO_PREVIEW_ROWS",
        ge=1,
        le=1_000_000,
        description="numbers of an import that the dashboard looks at to say what taking it back would do; all are taken back",
    )
    overview_days: int = Field(
        400, alias="OFFHOOK_OVERVIEW_DAYS", ge=1, le=4000, description="the most days that the overview shows at once"
    )
    overview_behind_seconds: float = Field(
        60.0,
        alias="OFFHOOK_OVERVIEW_BEHIND_SECONDS",
        gt=0,
        le=86_400,
        description="what waits for longer than this is said on the overview",
    )
    customers_old_days: float = Field(
        7.0,
        alias="OFFHOOK_CUSTOMERS_OLD_DAYS",
        gt=0,
        le=3650,
        description="a customer list that was brought longer ago is named on the overview",
    )
    dashboard_live_seconds: float = Field(
        10.0,
        alias="OFFHOOK_DASHBOARD_LIVE_SECONDS",
        ge=1,
        le=3600,
        description="how often an overview or a list of calls that is open in a browser asks what is new",
    )
    dashboard_jobs_seconds: int = Field(
        2,
        alias="OFFHOOK_DASHBOARD_JOBS_SECONDS",
        ge=1,
        le=3600,
        description="how often a page that is open in a browser asks how far a worker is with a job, while one goes on",
    )
    dashboard_days: int = Field(
        30,
        alias="OFFHOOK_DASHBOARD_DAYS",
        ge=1,
        le=400,
        description="days that the pages of rules and deliveries go back in what they sum up",
    )
    dashboard_recent_days: int = Field(
        7,
        alias="OFFHOOK_DASHBOARD_RECENT_DAYS",
        ge=1,
        le=90,
        description="the same of what is of now: how long deliveries took, and the overview's unknown callers",
    )
    dashboard_answer_characters: int = Field(
        500,
        alias="OFFHOOK_DASHBOARD_ANSWER_CHARACTERS",
        ge=20,
        le=65_536,
        description="so much of an answer of Rockerbox is shown on a page; `flask explain` shows all that was read of it",
    )
    dashboard_books_seconds: float = Field(
        2.0,
        alias="OFFHOOK_DASHBOARD_BOOKS_SECONDS",
        ge=0,
        le=60,
        description="how long the dashboard waits for a worker that decides calls, where somebody asks for one to be decided again",
    )
    dashboard_at_once: int = Field(
        2000,
        alias="OFFHOOK_DASHBOARD_AT_ONCE",
        ge=1,
        le=100_000,
        description="how much a page of the dashboard looks through: conversions before many are sent again, or checked as `flask "
        "rockerbox preflight` does; calls for a list of which few are wanted",
    )
    rules_upload_bytes: int = Field(
        262_144,
        alias="OFFHOOK_RULES_UPLOAD_BYTES",
        ge=1024,
        le=10_000_000,
        description="largest file of rules that the dashboard takes for a backtest",
    )
    dashboard_body_bytes: int = Field(
        262_144,
        alias="OFFHOOK_DASHBOARD_BODY_BYTES",
        ge=10_000,
        le=10_000_000,
        description="a larger form is not taken by the dashboard (413); a file in it, of somebody who is signed in, has a limit of its own beside",
    )
    upload_seconds: float = Field(
        120.0,
        alias="OFFHOOK_UPLOAD_SECONDS",
        ge=1,
        le=3600,
        description="a form or file for the dashboard that is larger than a callback may be and has not arrived whole after so long is closed; "
        "of who is not signed in none is taken (413)",
    )
    uploads_at_once: int = Field(
        2,
        alias="OFFHOOK_UPLOADS_AT_ONCE",
        ge=1,
        le=100,
        description="so many of these may arrive at once in a web process, which holds their bytes; one more is answered 503",
    )
    dashboard_proxies: int = Field(
        0,
        alias="OFFHOOK_DASHBOARD_PROXIES",
        ge=0,
        le=10,
        description="how many proxies' X-Forwarded-For to believe of where somebody signs in from (Heroku, Render, Fly: 1)",
    )
    session_idle_seconds: float = Field(
        28_800.0,
        alias="OFFHOOK_SESSION_IDLE_SECONDS",
        ge=60,
        le=31_536_000,
        description="a session of the dashboard ends when nothing was asked for so long",
    )
    session_seconds: float = Field(
        604_800.0,
        alias="OFFHOOK_SESSION_SECONDS",
        ge=60,
        le=31_536_000,
        description="a session of the dashboard ends after so long, whatever was asked",
    )
    session_seen_seconds: float = Field(
        60.0,
        alias="OFFHOOK_SESSION_SEEN_SECONDS",
        ge=0,
        le=3600,
        description="a session's last use is written down so often, at most",
    )
    sign_in_window_seconds: float = Field(
        900.0,
        alias="OFFHOOK_SIGN_IN_WINDOW_SECONDS",
        ge=1,
        le=86_400,
        description="attempts to sign in are counted over so long",
    )
    sign_in_account_tries: int = Field(
        10,
        alias="OFFHOOK_SIGN_IN_ACCOUNT_TRIES",
        ge=1,
        le=100_000,
        description="attempts for one account in that time; more are answered 429",
    )
    sign_in_address_tries: int = Field(
        50,
        alias="OFFHOOK_SIGN_IN_ADDRESS_TRIES",
        ge=1,
        le=1_000_000,
        description="attempts from one address in that time; more are answered 429",
    )
    password_least_characters: int = Field(
        12, alias="OFFHOOK_PASSWORD_LEAST_CHARACTERS", ge=8, le=64, description="a shorter password is not taken"
    )
    password_most_characters: int = Field(
        256, alias="OFFHOOK_PASSWORD_MOST_CHARACTERS", ge=128, le=4096, description="nor is a longer one"
    )
    invite_seconds: float = Field(
        86_400.0,
        alias="OFFHOOK_INVITE_SECONDS",
        ge=60,
        le=2_592_000,
        description="how long a link of one use may be followed that lets a viewer in",
    )
    first_link_seconds: float = Field(
        900.0,
        alias="OFFHOOK_FIRST_LINK_SECONDS",
        ge=60,
        le=86_400,
        description="how long the link may be followed that makes the first user, which `make run` prints",
    )

    dashboard_url: str = Field(
        "",
        alias="OFFHOOK_DASHBOARD_URL",
        description="the dashboard's address as browsers know it, for links of one use and for single sign-on; unset: the first of "
        "PUBLIC_URL, else http://127.0.0.1 with PORT",
    )

    # Single sign-on to the dashboard (docs/dashboard.md)
    oidc_issuer: str = Field(
        "",
        alias="OFFHOOK_OIDC_ISSUER",
        description="the provider's address (https) as it names itself, e.g. `https://accounts.google.com`; with it go the next three",
    )
    oidc_client_id: str = Field("", alias="OFFHOOK_OIDC_CLIENT_ID", description="what the provider calls this Offhook")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), alias="OFFHOOK_OIDC_CLIENT_SECRET", description="the secret that it gave for that"
    )
    oidc_domains: Words = Field(
        (),
        alias="OFFHOOK_OIDC_DOMAINS",
        description="whose verified email is of one of these domains may come in, comma-separated; `example.com` is without its subdomains",
    )
    oidc_name: str = Field(
        "your work account", alias="OFFHOOK_OIDC_NAME", description="what stands on the button behind `Sign in with`"
    )
    oidc_sign_out: bool = Field(
        True,
        alias="OFFHOOK_OIDC_SIGN_OUT",
        description="whether signing out leads on to the provider's own sign-out, for who came by it; it must know `<dashboard>/login` as "
        "a post-logout redirect address",
    )
    oidc_role_claim: str = Field(
        "",
        alias="OFFHOOK_OIDC_ROLE_CLAIM",
        description="the claim that says what somebody may do, e.g. `groups`; unset: whoever is new is a viewer",
    )
    oidc_roles: Words = Field(
        (),
        alias="OFFHOOK_OIDC_ROLES",
        description="the role for each value of that claim, e.g. `offhook-admins=admin,growth=operator`; whoever has none of them stays out",
    )
    oidc_scopes: str = Field(
        "openid email profile",
        alias="OFFHOOK_OIDC_SCOPES",
        description="what the provider is asked for; some need one more for groups",
    )
    oidc_verified_claim: str = Field(
        "email_verified",
        alias="OFFHOOK_OIDC_VERIFIED_CLAIM",
        description="the claim that says that the email is verified (Microsoft Entra: `xms_edov`)",
    )
    oidc_seconds: float = Field(
        10.0,
        alias="OFFHOOK_OIDC_SECONDS",
        gt=0,
        le=60,
        description="how long the provider may take for a step of a sign-in, everything together",
    )
    oidc_answer_bytes: int = Field(
        262_144,
        alias="OFFHOOK_OIDC_ANSWER_BYTES",
        ge=1024,
        le=10_000_000,
        description="a longer answer of the provider is none",
    )

    # Jobs: long work that people ask for and workers do (docs/operating.md)
    upload_max_bytes: int = Field(
        33_554_432,
        alias="OFFHOOK_UPLOAD_MAX_BYTES",
        ge=1024,
        le=10_737_418_240,
        description="largest file that may be uploaded, in the dashboard too; it is kept in the database until the job's days are over",
    )
    job_result_max_bytes: int = Field(
        268_435_456,
        alias="OFFHOOK_JOB_RESULT_MAX_BYTES",
        ge=1024,
        le=10_737_418_240,
        description="largest file that a job may leave to be downloaded; one that comes to more fails",
    )
    job_days: float = Field(
        7.0,
        alias="OFFHOOK_JOB_DAYS",
        gt=0,
        le=3650,
        description="days for which a job that is over is kept, with what was uploaded for it and what came of it",
    )
    job_attempts: int = Field(
        3,
        alias="OFFHOOK_JOB_ATTEMPTS",
        ge=1,
        le=100,
        description="a job is given up whose workers vanished so often",
    )
    job_lease_seconds: float = Field(
        60.0,
        alias="OFFHOOK_JOB_LEASE_SECONDS",
        ge=1,
        le=3600,
        description="a worker that says nothing for so long loses its job to the next one",
    )

    audit_days: int = Field(
        0,
        alias="OFFHOOK_AUDIT_DAYS",
        ge=0,
        le=36_500,
        description="days for which a line of the audit is kept, whole days of UTC; 0 for ever. A line says that a worker has removed some",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="OFFHOOK_LOG_LEVEL", description="least severe lines that are logged"
    )
    log_repeat_seconds: float = Field(
        10.0,
        alias="OFFHOOK_LOG_REPEAT_SECONDS",
        gt=0,
        le=3600,
        description="a trouble that goes on (the database is gone) is logged at once, then so often, with a count",
    )
    ready_seconds: float = Field(
        2.5, alias="OFFHOOK_READY_SECONDS", gt=0, le=30, description="how long /readyz waits for the database"
    )
    ready_cache_seconds: float = Field(
        1.0, alias="OFFHOOK_READY_CACHE_SECONDS", ge=0, le=60, description="how long an answer of /readyz holds"
    )
    ready_backlog_seconds: float | None = Field(
        None,
        alias="OFFHOOK_READY_BACKLOG_SECONDS",
        ge=0,
        le=31_536_000,
        description="/readyz is 503 as well when something waits for longer; unset: only where `/readyz?backlog=300` asks",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, values: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Whatever is wrong with one setting and with several together. Raises SettingsError."""
        given, mistakes = _undressed(values, cls.alias_of), dict[str, str]()
        try:
            made = build(given)
        except ValidationError as error:
            mistakes = _by_name(error)
            made = build({name: value for name, value in given.items() if cls.alias_of(name) not in mistakes})
        mistakes |= {names[0]: what for names, what in made.contradictions() if not mistakes.keys() & set(names)}
        if mistakes:
            raise _Mistakes(mistakes, made)
        return made

    @classmethod
    def alias_of(cls, name: str) -> str:
        """The variable of a field; the name itself when it is the variable's."""
        field = cls.model_fields.get(name)
        return str(field.alias) if field else name

    @field_validator("public_urls", "oidc_domains", "oidc_roles", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return parts(value) if isinstance(value, str) else value

    @field_validator("oidc_domains")
    @classmethod
    def _domains(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        bare = tuple(name.lower().removeprefix("@") for name in names)
        if not all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in bare):
            raise ValueError("must be domains of emails, e.g. example.com,example.org")
        return bare

    @field_validator("oidc_roles")
    @classmethod
    def _groups(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        split = [pair.rpartition("=") for pair in pairs]
        if not all(group.strip() and role.strip().lower() in list(Role) for group, _, role in split):
            raise ValueError(f"must be like offhook-admins=admin,growth=operator; the roles are {', '.join(Role)}")
        return tuple(f"{group.strip()}={role.strip().lower()}" for group, _, role in split)

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes(cls, text: str) -> str:
        if "openid" not in text.split():
            raise ValueError("must have openid among its words, e.g. openid email profile")
        return " ".join(text.split())

    @field_validator("oidc_client_secret")
    @classmethod
    def _client_secret(cls, value: SecretStr) -> SecretStr:
        return SecretStr(secret(value.get_secret_value(), "the secret of the client"))

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, url: str) -> str:
        return issuer(url)

    @field_validator("dashboard_url")
    @classmethod
    def _dashboard(cls, url: str) -> str:
        return public_url(url).rstrip("/") if url else url

    @field_validator("customers_columns", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(names_of(undressed(value))) if isinstance(value, str) else value

    @field_validator("worker", "shared_numbers", "customers_as_of", "resend_ambiguous", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("twilio_account_sid")
    @classmethod
    def _account(cls, sid: str) -> str:
        return account_sid(sid)

    @field_validator("twilio_api_key")
    @classmethod
    def _api_key(cls, sid: str) -> str:
        return api_key(sid)

    @field_validator("twilio_auth_token")
    @classmethod
    def _tokens(cls, value: SecretStr) -> SecretStr:
        found = parts(value.get_secret_value())
        return SecretStr(",".join(secret(token, "your auth token") for token in found))

    @field_validator("twilio_api_secret")
    @classmethod
    def _api_secret(cls, value: SecretStr) -> SecretStr:
        return SecretStr(secret(value.get_secret_value(), "the API key's secret"))

    @field_validator("rockerbox_advertiser_id")
    @classmethod
    def _advertiser(cls, value: SecretStr) -> SecretStr:
        return SecretStr(advertiser_id(value.get_secret_value()))

    @field_validator("maybe_sent_statuses", mode="before")
    @classmethod
    def _statuses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [] if value.strip().lower() == "none" else [part.strip() for part in value.split(",") if part.strip()]
        if not all(re.fullmatch("[345][0-9][0-9]", part) for part in parts):
            raise ValueError("must be statuses from 300 to 599, comma-separated, e.g. 502,504, or none")
        return tuple(int(part) for part in parts)

    @field_validator("rockerbox_dedupe_key", mode="before")
    @classmethod
    def _key_fields(cls, value: object) -> object:
        return tuple(parts(value)) if isinstance(value, str) else value

    @field_validator("rockerbox_dedupe_key")
    @classmethod
    def _key(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        return DedupeKey.of_account(",".join(fields)).fields if fields else ()

    @field_validator("public_urls")
    @classmethod
    def _absolute(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(public_url, urls))

    @field_validator("rockerbox_url")
    @classmethod
    def _rockerbox(cls, url: str) -> str:
        return whole_url(url, "https://webhooks.getrockerbox.com/webhook/data")

    @field_validator("twilio_api_url")
    @classmethod
    def _api(cls, url: str) -> str:
        return whole_url(url, "https://api.twilio.com")

    @field_validator("ca_file")
    @classmethod
    def _authorities(cls, path: str) -> str:
        wrong = _wrong_authorities(Path(path)) if path else ""
        if wrong:
            raise ValueError(
                f"{path}, which it names (or SSL_CERT_FILE or REQUESTS_CA_BUNDLE, where it is not set), {wrong}"
            )
        return path

    @field_validator("egress_proxy")
    @classmethod
    def _proxy(cls, given: SecretStr) -> SecretStr:
        url = given.get_secret_value().strip()
        if not url:
            return SecretStr("")
        whole = url if "://" in url else f"http://{url}"
        if whole.lower().startswith("https://"):
            raise ValueError(
                "must begin with http://, which is how the proxy itself is spoken to; what goes through it to an https:// "
                "address is encrypted all the same"
            )
        try:
            parse_proxy(whole)
        except ValueError:
            raise ValueError(
                "must be like http://proxy.example.com:3128 or http://user:password@proxy.example.com:3128, where signs "
                "such as / ? # @ : in user and password are percent-encoded"
            ) from None
        return SecretStr(whole)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        """Heroku says postgres://, others name a driver of theirs; SQLAlchemy wants the name of ours."""
        scheme, separator, rest = url.strip().partition("://")
        kind = scheme.removeprefix("jdbc:").partition("+")[0]
        if not separator or kind not in ("postgres", "postgresql", "sqlite"):
            raise ValueError("must begin with sqlite:///, postgres:// or postgresql://")
        if kind != "sqlite":
            return f"postgresql+psycopg://{libpq_address(rest)}"
        if rest.lstrip("/") in ("", ":memory:"):
            raise ValueError(
                "names a SQLite database in memory, where nothing lasts; name a file: sqlite:///offhook.db"
            )
        if not rest.startswith("/"):
            raise ValueError("must have three slashes, sqlite:///offhook.db, or four: sqlite:////srv/offhook.db")
        return f"sqlite://{rest}"

    @field_validator("default_country")
    @classmethod
    def _country(cls, code: str) -> str:
        if not is_region(code.upper()):
            raise ValueError("must be a country's two letters, e.g. US or GB")
        return code.upper()

    @field_validator("rockerbox_day_zone", "dashboard_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone such as UTC or America/New_York") from None
        return name

    @field_validator("customers_columns")
    @classmethod
    def _three(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) != 3 or not names[0]:
            raise ValueError("must name three columns: phone,email,customer_id; leave one empty that is not there")
        return names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        known = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        more = (_UsualAuthorities, _FormerNames)
        return (*known, *(one(settings_cls, env_settings, dotenv_settings) for one in more))

    def contradictions(self) -> list[tuple[tuple[str, ...], str]]:
        """Settings that do not go together: their names, the one to correct first, and what is wrong with that."""
        api_secret, token = self.twilio_api_secret.get_secret_value(), self.twilio_auth_token.get_secret_value()
        one_of_two = "goes with {}: set both or none"
        rules = [
            (
                self.lease_seconds < self.deadline_seconds + 1,
                ("OFFHOOK_LEASE_SECONDS", "OFFHOOK_DEADLINE_SECONDS"),
                "must be at least a second longer than OFFHOOK_DEADLINE_SECONDS",
            ),
            (
                self.worker_lost_seconds < 2 * self.heartbeat_seconds,
                ("OFFHOOK_WORKER_LOST_SECONDS", "OFFHOOK_HEARTBEAT_SECONDS"),
                "must be at least twice OFFHOOK_HEARTBEAT_SECONDS",
            ),
            (
                self.web_connections <= self.web_threads,
                ("OFFHOOK_WEB_CONNECTIONS", "OFFHOOK_WEB_THREADS"),
                "must be more than OFFHOOK_WEB_THREADS",
            ),
            (
                bool(self.twilio_api_key) != bool(api_secret),
                ("TWILIO_API_KEY", "TWILIO_API_SECRET"),
                one_of_two.format("TWILIO_API_SECRET"),
            ),
            (
                bool(token) and not self.twilio_account_sid,
                ("TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID"),
                "is set without TWILIO_ACCOUNT_SID: set the account that it belongs to",
            ),
            (
                bool(self.oidc_role_claim) != bool(self.oidc_roles),
                ("OFFHOOK_OIDC_ROLE_CLAIM", "OFFHOOK_OIDC_ROLES"),
                one_of_two.format("OFFHOOK_OIDC_ROLES"),
            ),
        ]
        return [*((names, what) for is_wrong, names, what in rules if is_wrong), *self._half_of_oidc()]

    def _half_of_oidc(self) -> list[tuple[tuple[str, ...], str]]:
        """What single sign-on lacks, where some of it is set; without any of it there is none."""
        needed = {
            "OFFHOOK_OIDC_ISSUER": self.oidc_issuer,
            "OFFHOOK_OIDC_CLIENT_ID": self.oidc_client_id,
            "OFFHOOK_OIDC_CLIENT_SECRET": self.oidc_client_secret.get_secret_value(),
            "OFFHOOK_OIDC_DOMAINS": self.oidc_domains,
        }
        if not any(needed.values()) and not self.oidc_role_claim:
            return []
        return [
            ((name,), f"is missing: single sign-on needs {', '.join(needed)}") for name in needed if not needed[name]
        ]

    @property
    def numbering(self) -> Numbering:
        return Numbering(self.default_country, self.sip_callers)

    def lacks(self, payload: bytes) -> str | None:
        """The field of the account's deduplication key that a payload lacks; None where it has all, or no key is known."""
        return self.dedupe_key.lacking(payload) if self.dedupe_key else None

    @property
    def dedupe_key(self) -> DedupeKey | None:
        """The account's key; None where nobody has said it."""
        return DedupeKey(self.rockerbox_dedupe_key, self.rockerbox_cross_day) if self.rockerbox_dedupe_key else None

    @property
    def large_body_bytes(self) -> int:
        """The largest body of a request that is not Twilio's; 0 where nobody may send a larger one than Twilio."""
        most_of_file = max(self.upload_max_bytes, self.rules_upload_bytes)
        return 0 if self.dashboard == "off" else most_of_file + self.dashboard_body_bytes

    @property
    def own_url(self) -> str:
        """Where the dashboard is, as far as this machine knows."""
        said = self.dashboard_url or next(iter(self.public_urls), "")
        return said.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def roles_by_group(self) -> dict[str, Role]:
        """OFFHOOK_OIDC_ROLES: the role for each value of the claim."""
        return {group: Role(role) for group, _, role in (pair.rpartition("=") for pair in self.oidc_roles)}

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def keyring_json(self) -> str:
        """TWILIO_KEYRING as JSON text, read from its file when it names one; "" when unset. Raises SettingsError."""
        text = self.twilio_keyring.get_secret_value().strip()
        if not text or text.startswith("{"):
            return text
        try:
            return Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SettingsError(
                f"TWILIO_KEYRING: cannot read the file that it names ({type(error).__name__})."
            ) from None

    @property
    def rule_limits(self) -> RuleLimits:
        """How much rules may hold, and how much of what they found is kept."""
        return RuleLimits(
            listed=self.rules_listed,
            list_bytes=self.rules_list_bytes,
            pattern=self.rules_pattern_characters,
            value_found=self.rules_value_characters,
            found=self.rules_found_characters,
        )

    @property
    def import_limits(self) -> ImportLimits:
        """How much is taken of a file of customers."""
        return ImportLimits(
            row=self.customers_row_characters,
            people=self.customers_people,
            named=self.customers_named,
            attributes=self.customers_attributes,
            attribute=self.customers_attribute_characters,
            unpacked=self.customers_unpacked_bytes,
        )

    @property
    def lookups_toml(self) -> str:
        """OFFHOOK_LOOKUPS as TOML, read from its file when it names one; "" when unset. Raises SettingsError."""
        text = self.lookups.get_secret_value().strip()
        if not text or "=" in text or "\n" in text:
            return text
        try:
            return Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SettingsError(
                f"OFFHOOK_LOOKUPS: cannot read the file that it names ({type(error).__name__})."
            ) from None

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        parts = self.twilio_auth_token.get_secret_value().split(",")
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def has_keys(self) -> bool:
        """True when there is something that Twilio may sign with. Raises SettingsError for a keyring that cannot be read."""
        return bool(self.keyring_json or (self.twilio_account_sid and self.auth_tokens))

    def missing_for_web(self) -> list[str]:
        """What a web process lacks to accept any callback."""
        lacking = []
        if not self.has_keys:
            sentence = "Twilio's keys: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_KEYRING)."
            lacking.append(sentence + _meant_for(("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_KEYRING")))
        if any(urlsplit(url).hostname == _PLACEHOLDER_HOST for url in self.public_urls):
            lacking.append("PUBLIC_URL: is the placeholder of .env.example; set the address that Twilio was given.")
        return lacking

    def missing_for_worker(self) -> list[str]:
        """What a worker lacks to deliver anything."""
        if self.rockerbox_advertiser_id.get_secret_value():
            return []
        sentence = "Rockerbox's key: set ROCKERBOX_ADVERTISER_ID (Rockerbox, Webhooks page)."
        return [sentence + _meant_for(("ROCKERBOX_ADVERTISER_ID",))]

    @property
    def rules_set_aside(self) -> str:
        """What to say where there are rules in OFFHOOK_RULES and in a file; "" where one alone has them."""
        if not self.rules_text.strip() or not self.config.exists():
            return ""
        return f"OFFHOOK_RULES holds the rules; the file {self.config} is set aside, take one of the two away"

    def ephemeral_disk(self) -> bool:
        """True on platforms whose disk is wiped at each restart (Heroku sets DYNO)."""
        return self.is_sqlite and bool(os.environ.get("DYNO"))


class _OtherVariables(PydanticBaseSettingsSource):
    """What other variables of the environment and of `.env` say, where nobody sets ours."""

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._known = [source.env_vars for source in sources if isinstance(source, EnvSettingsSource)]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False  # all of it comes from __call__

    def first_of(self, *names: str) -> str | None:
        """The first of these variables that is set."""
        return next(filter(None, (known.get(name.lower()) for name in names for known in self._known)), None)


class _UsualAuthorities(_OtherVariables):
    """OFFHOOK_CA_FILE, where nobody sets it: what other programs read in the same environment."""

    def __call__(self) -> dict[str, Any]:
        path = self.first_of("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        return {"OFFHOOK_CA_FILE": path} if path else {}


class _FormerNames(_OtherVariables):
    """Settings by the names that they had before."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for former, name in _FORMER_NAMES.items() if (value := self.first_of(former))}


def _wrong_authorities(path: Path) -> str:
    """Why no authority can be read from there, and what to do; "" when one can."""
    if path.is_dir():
        is_hashed = any(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", each.name) for each in path.iterdir())
        return (
            "" if is_hashed else "is a folder without hashed certificates; name a file, or run `openssl rehash` on it"
        )
    try:
        with path.open("rb") as file:
            return _wrong_certificates(path, os.fstat(file.fileno()).st_ctime_ns, is_binary=file.read(1) == b"\x30")
    except OSError as error:
        return f"cannot be read ({error.strerror}); name a file of certificates (PEM) that this user may read"


@lru_cache(maxsize=4)
def _wrong_certificates(path: Path, changed_ns: int, *, is_binary: bool) -> str:  # noqa: ARG001 - of its key
    """Kept until the file changes, as a process reads its settings several times. DER, which is binary, begins with 0x30."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        if is_binary:
            return f"is not PEM but DER; convert it: openssl x509 -inform der -in {path} -out {path.stem}.pem"
        return "holds no certificate in PEM (-----BEGIN CERTIFICATE-----); name the file of your network's authority"
    return ""


Needed = Callable[[Settings], list[str]]
"""What a process lacks, in sentences: `Settings.missing_for_web` and its like."""


def load(needed: Needed = lambda _: []) -> Settings:
    """The settings of this process. Raises SettingsError with every mistake in one text.

    `needed` is asked only when something is wrong, so that what is missing stands in the same text.
    """
    mistakes = {name: f"is no setting; did you mean {meant}?" for name, meant in _strangers().items() if meant}
    nothing: dict[str, Any] = {}  # all comes from the environment; a type checker asks for each by its alias
    try:
        made = Settings(**nothing)
    except _Mistakes as error:
        mistakes, made = error.mistakes | mistakes, error.rest
    except (OSError, UnicodeError) as error:
        raise SettingsError(_explain([f"{_ENV_FILE}: cannot be read ({error}); save it as UTF-8 text"])) from None
    if not mistakes:
        return _at_platform(made)
    missing = [what for what in needed(made) if not any(name in what for name in mistakes)]
    raise SettingsError(_explain([*(f"{name}: {what}" for name, what in mistakes.items()), *missing]))


def unknown() -> list[str]:
    """Variables that are named like ours, mean nothing, and are like no setting."""
    return [name for name, meant in _strangers().items() if not meant]


def renamed() -> list[str]:
    """A sentence for each variable that is set by a name of before."""
    named = {name.upper() for name in _named()}
    return [f"{former} is called {name} now; rename it" for former, name in _FORMER_NAMES.items() if former in named]


def _strangers() -> dict[str, str]:
    return strangers(_named(), [*_FORMER_NAMES, *(str(field.alias) for field in Settings.model_fields.values())])


def _named() -> set[str]:
    """All variables of the environment and of `.env`; none of a file that cannot be read."""
    try:
        return {*os.environ, *dotenv_values(_ENV_FILE, encoding=_ENCODING, interpolate=False)}
    except (OSError, UnicodeError):
        return set(os.environ)


def _meant_for(wanted: Collection[str]) -> str:
    """A hint when a variable is set whose name is like one that is missing. Other programs have theirs, so it is no error."""
    known = {str(field.alias) for field in Settings.model_fields.values()}
    rooms = {name.partition("_")[0] for name in wanted}
    near = sorted(name for name in _named() - known if name.partition("_")[0] in rooms and alike(name, wanted))
    return "".join(f" {name} is set; did you mean {alike(name, wanted)}?" for name in near)


def _at_platform(found: Settings) -> Settings:
    """With the platform's own address where PUBLIC_URL is not set."""
    said = platform_url(os.environ)
    return found if found.public_urls or said is None else found.model_copy(update={"public_urls": (said[1],)})


# Where a platform says under which name the world reaches the service:
# https://devcenter.heroku.com/articles/dyno-metadata, https://render.com/docs/environment-variables,
# https://docs.railway.com/reference/variables, https://fly.io/docs/machines/runtime-environment/
_PLATFORMS = {
    "HEROKU_APP_DEFAULT_DOMAIN_NAME": "https://{}",
    "RENDER_EXTERNAL_URL": "{}",
    "RAILWAY_PUBLIC_DOMAIN": "https://{}",
    "FLY_APP_NAME": "https://{}.fly.dev",
}
_PUBLIC = re.compile(r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def platform_url(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """(variable, address) of the platform that this process runs on; None where none says, or says nothing usable."""
    for name, form in _PLATFORMS.items():
        url = form.format(environment.get(name, "").strip().rstrip("/"))
        if _PUBLIC.fullmatch(url) and environment.get(name, "").strip():
            return name, url
    return None


class _Given(Settings):
    """Settings that read neither the environment nor `.env`: as any other model, without the sources of settings."""

    def __init__(self, **values: Any) -> None:
        BaseModel.__init__(self, **values)


def given(values: Mapping[str, Any]) -> Settings:
    """These settings by the names of their variables, all others by default, whatever the environment says.

    Raises SettingsError.
    """
    return _Given(**values)


def _undressed(values: Mapping[str, Any], alias_of: Callable[[str], str]) -> dict[str, Any]:
    """Without what a paste brings along; what is empty then counts as not set."""
    bare = {
        name: undressed(value, alias_of(name)) if isinstance(value, str) else value for name, value in values.items()
    }
    return {name: value for name, value in bare.items() if value != ""}


def _by_name(error: ValidationError) -> dict[str, str]:
    """What is wrong with each variable, never its value, which may be a secret."""
    return {
        str(mistake["loc"][0]): mistake["msg"].removeprefix("Value error, ")
        for mistake in error.errors(include_input=False, include_url=False)
    }


def _explain(mistakes: Iterable[str]) -> str:
    """One line a mistake."""
    return "Offhook cannot start; correct these settings (environment or .env):\n" + "\n".join(
        f"  {mistake}" for mistake in mistakes
    )


def as_they_are(made: Settings) -> list[tuple[str, str, str, str, bool]]:
    """(variable, value, origin, meaning, whether it is a secret) of every setting. The value of a secret is ""; what an address
    names a user and a password by is left out. `origin` is environment, .env, default, or the platform's variable.
    """
    said = platform_url(os.environ)
    in_file = _in_file()
    rows = []
    for name, field in Settings.model_fields.items():
        alias, value = str(field.alias), getattr(made, name)
        is_secret = isinstance(value, SecretStr)
        has_default = value == field.default
        origin = "environment" if os.environ.get(alias) else ".env" if alias in in_file else ""
        if not origin and name == "public_urls" and said is not None and made.public_urls == (said[1],):
            origin = said[0]
        origin = origin or ("default" if has_default else "given")
        shown = "" if is_secret else _without_password(_as_text(value))
        rows.append((alias, shown, origin, field.description or "", is_secret))
    return rows


def _in_file() -> set[str]:
    try:
        return {
            name for name, value in dotenv_values(_ENV_FILE, encoding=_ENCODING, interpolate=False).items() if value
        }
    except (OSError, UnicodeError):
        return set()


_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_PASSWORD = re.compile(
    r"""(?ix) ( password= | [?&][\w.-]*(?:pass|passwd|pwd|secret|token|key|signature|sig|auth|authorization|code)= ) [^&\s"']*"""
)


def _without_password(text: str) -> str:
    return _PASSWORD.sub(r"\1***", _USER_INFO.sub("***@", text))


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, bool) else "" if value is None else str(value)


def table() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, for docs/settings.md and `flask settings`."""
    rows = []
    for field in Settings.model_fields.values():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = (
            ",".join(map(str, default))
            if isinstance(default, tuple)
            else json.dumps(default)
            if isinstance(default, bool)
            else default
        )
        rows.append((str(field.alias), "" if shown is None else str(shown), field.description or ""))
    return rows
