"""A setting that somebody gives is the one that is worked by: none is read and then forgotten on its way."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from offhook.adapters.customers.answers import AnswerLimits
from offhook.adapters.customers.asking_http import HttpLimits
from offhook.adapters.customers.asking_sql import SqlLimits
from offhook.from_settings import look_up_limits, look_up_policy, pace, patience, retry_policy
from offhook.pipeline.delivery import Resend, RetryPolicy
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.worker import Pace
from offhook.settings import given

pytestmark = pytest.mark.unit

SETTINGS = {
    "OFFHOOK_RETRY_BASE_SECONDS": "3.5",
    "OFFHOOK_BLOCKED_BASE_SECONDS": "31",
    "OFFHOOK_RETRY_CAP_SECONDS": "1801",
    "OFFHOOK_RETRY_HORIZON_SECONDS": "250000",
    "OFFHOOK_RETRY_AFTER_CAP_SECONDS": "21000",
    "OFFHOOK_MAX_EXPIRED_LEASES": "4",
    "OFFHOOK_RESEND_AMBIGUOUS": "never",
    "ROCKERBOX_DAY_ZONE": "America/New_York",
    "OFFHOOK_DEADLINE_SECONDS": "16",
    "OFFHOOK_POLL_SECONDS": "0.3",
    "OFFHOOK_IDLE_SECONDS": "2.5",
    "OFFHOOK_FOLD_BATCH": "201",
    "OFFHOOK_DECIDE_BATCH": "203",
    "OFFHOOK_DELIVERY_THREADS": "9",
    "OFFHOOK_LEASE_SECONDS": "62",
    "OFFHOOK_STOP_SECONDS": "17",
    "OFFHOOK_BOOKS_NOT_KEPT_SECONDS": "301",
    "OFFHOOK_UNFINISHED_HOURS": "25",
    "OFFHOOK_CLOCK_TOLERANCE_SECONDS": "6",
    "OFFHOOK_LOG_REPEAT_SECONDS": "301",
    "OFFHOOK_STORE_TIMEOUT_SECONDS": "4.5",
    "OFFHOOK_STATEMENT_SECONDS": "11",
    "OFFHOOK_SLOW_STATEMENT_SECONDS": "61",
    "OFFHOOK_DATABASE_CONNECT_SECONDS": "3.5",
    "OFFHOOK_DATABASE_RENEW_SECONDS": "601",
    "OFFHOOK_DATABASE_IDLE_SECONDS": "31",
    "OFFHOOK_CUSTOMERS_ATTRIBUTES": "51",
    "OFFHOOK_CUSTOMERS_ATTRIBUTE_CHARACTERS": "501",
    "OFFHOOK_EMAIL_LOWERCASE": "false",
    "OFFHOOK_SHARED_NUMBERS": "last",
    "OFFHOOK_LOOKUP_FRESH_SECONDS": "3601",
    "OFFHOOK_LOOKUP_UNKNOWN_SECONDS": "601",
    "OFFHOOK_LOOKUP_BASE_SECONDS": "3",
    "OFFHOOK_LOOKUP_CAP_SECONDS": "301",
    "OFFHOOK_LOOKUP_WAIT_CAP_SECONDS": "3602",
    "OFFHOOK_LOOKUP_DEADLINE_SECONDS": "6",
    "OFFHOOK_LOOKUP_CONNECT_SECONDS": "4",
    "OFFHOOK_LOOKUP_AT_ONCE": "9",
    "OFFHOOK_LOOKUP_MAX_ANSWER_BYTES": "65537",
}


def values(of: Any) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def test_every_setting_of_the_way_out_reaches_the_policy_by_which_is_sent() -> None:
    assert retry_policy(given(SETTINGS)) == RetryPolicy(
        base_seconds=3.5,
        blocked_base_seconds=31,
        cap_seconds=1801,
        horizon_seconds=250_000,
        retry_after_cap_seconds=21_000,
        max_expired_leases=4,
        resend=Resend.NEVER,
        day_zone=ZoneInfo("America/New_York"),
        margin_seconds=16,
    )


@pytest.mark.parametrize("make", [retry_policy, patience])
def test_no_value_stays_as_it_is_when_every_setting_is_another(make: Any) -> None:
    usual, given_values = values(make(given({}))), values(make(given(SETTINGS)))
    assert [name for name, value in given_values.items() if value == usual[name]] == []


def test_every_setting_of_the_pace_is_the_worker_s() -> None:
    assert pace(given(SETTINGS)) == Pace(
        poll_seconds=0.3,
        idle_seconds=2.5,
        fold_batch=201,
        decide_batch=203,
        threads=9,
        lease_seconds=62,
        deadline_seconds=16,
        stop_seconds=17,
        not_kept_seconds=301,
        unfinished_seconds=25 * 3600,
        clock_tolerance_seconds=6,
        log_repeat_seconds=301,
    )


def test_every_setting_of_look_ups_reaches_what_asks() -> None:
    assert look_up_policy(given(SETTINGS), sources=2) == LookUpPolicy(
        fresh_seconds=3601,
        unknown_seconds=601,
        base_seconds=3,
        cap_seconds=301,
        wait_cap_seconds=3602,
        lease_seconds=2 * 6 + 15,
    )
    http, sql = look_up_limits(given(SETTINGS))
    values = AnswerLimits(attributes=51, attribute=501, lower_emails=False, shared="last")
    assert http == HttpLimits(deadline_seconds=6, connect_seconds=4, answer_bytes=65537, at_once=9, values=values)
    assert sql == SqlLimits(deadline_seconds=6, at_once=9, values=values)
