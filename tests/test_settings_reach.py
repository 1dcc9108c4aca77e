"""A setting that somebody gives is the one that is worked by: none is read and then forgotten on its way."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from offhook.adapters.customers.answers import AnswerLimits
from offhook.adapters.customers.asking_http import HttpLimits
from offhook.adapters.customers.asking_sql import SqlLimits
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.rules_file.problems import RulesError
from offhook.from_settings import look_up_limits, look_up_policy, pace, patience, retry_policy, rules_source
from offhook.pipeline.call import fold
from offhook.pipeline.conversion import Skip, weigh
from offhook.pipeline.delivery import Resend, RetryPolicy
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.rules.limits import RuleLimits
from offhook.pipeline.worker import Pace
from offhook.settings import given
from tests.fakes import steps
from tests.fakes.callbacks import key, raw

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
    "OFFHOOK_CUSTOMERS_NAMED": "21",
    "OFFHOOK_CUSTOMERS_PEOPLE": "1001",
    "OFFHOOK_CUSTOMERS_ROW_CHARACTERS": "65537",
    "OFFHOOK_CUSTOMERS_UNPACKED_BYTES": "1000000001",
    "OFFHOOK_LOOKUP_MAX_ROWS": "101",
    "OFFHOOK_RULES_LISTED": "2",
    "OFFHOOK_RULES_LIST_BYTES": "20",
    "OFFHOOK_RULES_PATTERN_CHARACTERS": "5",
    "OFFHOOK_RULES_VALUE_CHARACTERS": "4",
    "OFFHOOK_RULES_FOUND_CHARACTERS": "30",
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
    values = AnswerLimits(attributes=51, attribute=501, named=21, lower_emails=False, shared="last")
    assert http == HttpLimits(deadline_seconds=6, connect_seconds=4, answer_bytes=65537, at_once=9, values=values)
    assert sql == SqlLimits(deadline_seconds=6, at_once=9, rows=101, values=values)


def test_every_limit_of_a_file_of_customers_reaches_what_reads_it() -> None:
    assert given(SETTINGS).import_limits == ImportLimits(
        row=65537, people=1001, named=21, attributes=51, attribute=501, unpacked=1_000_000_001
    )
    limits = given({}).import_limits
    assert limits == ImportLimits() and given({}).rule_limits == RuleLimits()


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        ('countries = ["US", "GB", "DE"]', "countries must be"),
        ('[groups]\na = ["+14155550101", "+14155550102", "+14155550103"]', "a group must be"),
        ('params = { A = ["1", "2", "3"] }', "params.A must be"),
        ('params = { A = "1", B = "2", C = "3" }', "params must be"),
        ("params = { A = { matches = 'abcdef' } }", "a regular expression of 1 to 5 characters"),
        ('callers_in = "many.txt"', "more than 20 bytes (OFFHOOK_RULES_LIST_BYTES)"),
    ],
)
def test_every_limit_of_the_rules_reaches_what_reads_them(tmp_path: Path, rules: str, wrong: str) -> None:
    (tmp_path / "many.txt").write_text("+14155550101\n+14155550102\n")
    (tmp_path / "offhook.toml").write_text(rules)
    usual = {"OFFHOOK_CONFIG": str(tmp_path / "offhook.toml")}
    rules_source(given(usual)).read()
    with pytest.raises(RulesError, match=re.escape(wrong)):
        rules_source(given(SETTINGS | usual)).read()


def test_every_limit_of_what_rules_found_reaches_what_is_kept_with_a_decision() -> None:
    text = "params = { A = 'x', B = 'y', C = 'z', D = { matches = '^x' } }\n"
    details = {"A": "12345", "B": "123456789", "C": "1234", "D": "x123456"}
    limits = {name: value for name, value in SETTINGS.items() if "RULES" in name and name != "OFFHOOK_RULES_LISTED"}
    found = {}
    for settings in ({}, limits):
        rules = rules_source(given({**settings, "OFFHOOK_RULES": text})).read()
        whole = fold(key(1), [steps.JUDGE.read(raw(1), None)])
        assert whole.root is not None
        call = replace(whole, root=replace(whole.root, details=details))
        skipped = weigh(call, None, rules, steps.JUDGE.numbering)
        assert isinstance(skipped, Skip) and skipped.because is not None
        [asked] = [one for one in skipped.because.trace[0].conditions if one.key == "params"]
        found[bool(settings)] = asked.found
        pattern = rules.params["D"].pattern if rules.params else None
        assert pattern is not None and pattern.most == (5 if settings else 500)
        assert rules.params is not None and rules.params["D"].holds("x123456") is not bool(settings)
    assert found == {
        False: "A 12345, B 123456789, C 1234, D x123456",
        True: "A of 5 characters, and 3 more",
    }
