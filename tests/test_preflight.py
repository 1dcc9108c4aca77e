"""What preflight finds: what Rockerbox would take for one, could not count or could not match, by keys that may be anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from offhook.adapters.commands.rockerbox import _key
from offhook.adapters.rockerbox.dedupe import KNOWN_FIELDS, DedupeKey, FirstOf
from offhook.adapters.rockerbox.preflight import CHECKS, IN_WORDS, MOST_SAMPLES, Account, Level, Preflight, Report
from offhook.adapters.rockerbox.sandbox.journal import Journal, Verdict
from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import Resend
from offhook.pipeline.story import ConversionLine
from offhook.settings import SettingsError, given
from tests.support.processes import REPOSITORY
from tests.support.readers import NEVER, TERMINAL

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ORDER_ID = Account(DedupeKey.parse("order_id"))
BY_EMAIL = Account(DedupeKey.parse("email,date,action"))
WHOLE = {
    "email": "ann@example.com",
    "customer_id": "C1",
    "action": "phone_call",
    "conversion_source": "phone",
    "order_id": "CA1",
    "revenue": "27.50",
}


def line(
    number: int = 1,
    at: datetime = NOON,
    *,
    made: datetime | None = None,
    delivered: datetime | None = None,
    state: str = "delivered",
    reason: str = "",
    **fields: Any,
) -> ConversionLine:
    """A conversion of a call that ended `at`. A field of None is left out."""
    every = WHOLE | {"order_id": f"CA{number}", "timestamp": str(int(at.timestamp()))} | fields
    payload = json.dumps({name: value for name, value in every.items() if value is not None}).encode()
    created = made or at + MINUTE
    key, action = CallKey("AC1", f"CA{number}"), str(every["action"])
    return ConversionLine(
        key, action, str(every["order_id"]), payload, state, reason, created, None, 1, 1, False, delivered or created
    )


def looked_at(lines: Iterable[ConversionLine], account: Account = ORDER_ID, most_keys: int = 1000) -> Report:
    look = Preflight(account, most_keys)
    for one in lines:
        look.look(one)
    return look.report()


def found(*lines: ConversionLine, account: Account = ORDER_ID) -> dict[str, int | None]:
    return {one.check: one.count for one in looked_at(lines, account).findings}


def samples(check: str, *lines: ConversionLine, account: Account = ORDER_ID) -> list[tuple[str, str]]:
    [one] = [one for one in looked_at(lines, account).findings if one.check == check]
    return [(sample.call_sid, sample.found) for sample in one.samples]


def test_of_conversions_as_they_should_be_nothing_is_found() -> None:
    report = looked_at([line(1), line(2, NOON + MINUTE)])
    assert (report.conversions, report.without_email, report.findings, report.errors) == (2, 0, (), 0)


def test_nothing_at_all_is_no_mistake() -> None:
    assert looked_at([]).errors == 0


def test_two_calls_of_one_key_collapse_and_each_names_the_first() -> None:
    three = [line(1), line(2, NOON + MINUTE), line(3, NOON + 2 * MINUTE)]
    assert found(*three, account=BY_EMAIL) == {"collapses": 2}
    assert samples("collapses", *three, account=BY_EMAIL) == [("CA2", "as CA1"), ("CA3", "as CA1")]
    assert found(line(1), line(2, NOON + DAY), account=BY_EMAIL) == {}
    assert found(line(1), line(2, email="bo@example.com"), account=BY_EMAIL) == {}


def test_the_day_of_a_key_turns_in_the_zone_of_the_account() -> None:
    """New York is 5 hours behind UTC in November."""
    late, early = NOON.replace(hour=23), NOON.replace(hour=23) + timedelta(hours=2)
    assert found(line(1, late), line(2, early), account=BY_EMAIL) == {}
    there = Account(BY_EMAIL.key, day_zone=ZoneInfo("America/New_York"))
    assert found(line(1, late), line(2, early), account=there) == {"collapses": 1}


def test_across_days_a_key_without_the_day_collapses_where_the_account_says_so() -> None:
    two = [line(1, order_id="same"), line(2, NOON + 9 * DAY, order_id="same")]
    assert found(*two) == {}
    assert found(*two, account=Account(DedupeKey.parse("order_id", cross_day=True), cross_day=True)) == {"collapses": 1}


def test_what_was_refused_is_no_first_one() -> None:
    assert found(line(1, state="dead"), line(2), account=BY_EMAIL) == {}


def test_a_field_of_the_key_that_is_not_sent_is_an_error_where_the_key_is_known() -> None:
    by_id = Account(DedupeKey.parse("customer_id,date,action"))
    assert found(line(customer_id=None), account=by_id) == {"key_field_missing": 1}
    assert samples("key_field_missing", line(customer_id=None), account=by_id) == [("CA1", "customer_id (delivered)")]
    assert found(line(order_id=None), account=Account()) == {"key_not_set": None}


def test_held_is_said_of_those_alone_that_are_and_delivered_of_those_that_were() -> None:
    by_id = Account(DedupeKey.parse("customer_id"))
    lacking = [
        line(1, customer_id=None, state="dead", reason="key_lacks_customer_id"),
        line(2, customer_id=None, state="delivered"),
        line(3, customer_id=None, state="delivered", reason="key_lacks_customer_id"),
        line(4, customer_id=None, state="pending"),
    ]
    sentences = []
    for some in (lacking, lacking[1:2], lacking[3:]):
        [sentence] = [one.sentence for one in looked_at(some, by_id).findings if one.check == "key_field_missing"]
        sentences.append(sentence.partition("counts nothing without it.")[2])
    assert sentences == [" Held, not sent: 1. Delivered all the same: 2.", " Delivered all the same: 1.", ""]
    assert samples("key_field_missing", *lacking, account=by_id) == [
        ("CA1", "customer_id (held)"),
        ("CA2", "customer_id (delivered)"),
        ("CA3", "customer_id (delivered)"),
        ("CA4", "customer_id"),
    ]


def test_a_key_is_judged_on_the_command_line_as_the_setting_judges_it() -> None:
    context, option = click.Context(click.Command("preflight")), click.Option(["--key"])
    assert _key(context, option, "Email, date,ACTION") == DedupeKey(("email", "date", "action"))
    for wrong, why in (("bogus,date", "has bogus; a key is made of action, "), ("date", "is no key")):
        with pytest.raises(click.BadParameter, match=why):
            _key(context, option, wrong)
        with pytest.raises(SettingsError, match=f"ROCKERBOX_DEDUPE_KEY.*{why}"):
            given({"DATABASE_URL": "sqlite:///x.db", "ROCKERBOX_DEDUPE_KEY": wrong})


def test_without_a_key_order_id_is_presumed_and_that_is_said() -> None:
    assert found(line(1, order_id="x"), line(2, order_id="x"), account=Account()) == {
        "key_not_set": None,
        "collapses": 1,
    }


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"customer_id": "ann@example.com"}, "customer_id_is_email"),
        ({"revenue": "$27.50"}, "revenue_format"),
        ({"revenue": "1,027.50"}, "revenue_format"),
        ({"revenue": "27.5"}, "revenue_format"),
        ({"timestamp": "1764000000000"}, "format"),
        ({"conversion_source": "call"}, "format"),
        ({"action": ""}, "format"),
        ({"email": None}, "without_email"),
    ],
)
def test_what_is_not_as_rockerbox_asks_is_found_by_one_check_alone(fields: dict[str, Any], check: str) -> None:
    assert found(line(**fields)) == {check: 1}


def test_a_person_is_in_no_sample() -> None:
    two = [line(1, customer_id="ann@example.com"), line(2)]
    assert "@" not in repr(looked_at(two, BY_EMAIL))
    assert samples("customer_id_is_email", *two) == [("CA1", "")]
    assert samples("revenue_format", line(revenue="$1")) == [("CA1", "$1")]


def test_a_time_in_the_future_is_later_than_the_clocks_may_differ() -> None:
    assert found(line(made=NOON - timedelta(seconds=5))) == {}
    assert found(line(made=NOON - timedelta(seconds=6))) == {"timestamp_in_the_future": 1}


def test_what_was_sent_on_another_day_than_that_of_its_call_crosses_a_day() -> None:
    late = line(made=NOON + MINUTE, delivered=NOON + DAY)
    assert found(late) == {"crosses_a_day": 1}
    assert samples("crosses_a_day", late) == [("CA1", "2026-11-24 -> 2026-11-25")]
    assert found(late, account=Account(DedupeKey.parse("order_id", cross_day=True), cross_day=True)) == {}
    assert found(late, account=Account(ORDER_ID.key, day_zone=ZoneInfo("Pacific/Kiritimati"))) == {"crosses_a_day": 1}


def test_an_action_that_was_used_once_beside_others_may_be_a_typing_error() -> None:
    assert found(line(1)) == {}
    three = [line(1), line(2), line(3, action="phone_cal")]
    assert samples("action_once", *three) == [("CA3", "phone_cal")]


def test_an_account_of_one_day_and_a_retry_of_many_do_not_go_together() -> None:
    always = Resend.ALWAYS
    assert found(account=Account(ORDER_ID.key, resend=always)) == {"resend_counts_twice": None}
    assert found(account=Account(DedupeKey.parse("order_id", cross_day=True), resend=always)) == {}
    with_date = DedupeKey.parse("order_id,date", cross_day=True)
    assert found(account=Account(with_date, resend=always)) == {"resend_counts_twice": None}


def test_findings_come_in_the_order_of_the_table_with_a_few_samples() -> None:
    report = looked_at([line(number, email=None, revenue="x", order_id="same") for number in range(20)])
    assert [one.check for one in report.findings] == ["collapses", "revenue_format", "without_email"]
    assert [(one.count, len(one.samples)) for one in report.findings] == [(19, 5), (20, 5), (20, 5)]
    assert (MOST_SAMPLES, report.errors, report.without_email) == (5, 2, 20)


def test_more_keys_than_may_be_kept_are_said_and_near_ones_still_found() -> None:
    lines = [line(number) for number in range(10)]
    report = looked_at([*lines, line(11, order_id="CA9"), line(12, order_id="CA1")], most_keys=5)
    assert report.is_partial
    assert [(one.check, one.count) for one in report.findings] == [("collapses", 1)]
    assert not looked_at(lines, most_keys=10).is_partial


def test_every_check_says_what_it_means_and_what_to_do_and_stands_in_the_documentation() -> None:
    page = (REPOSITORY / "docs" / "rockerbox.md").read_text(encoding="utf-8")
    for name, check in CHECKS.items():
        assert check.sentence and check.remedy
        assert f"| `{name}` | {check.level} |" in page, name


# Keys may be any, and payloads, too: what preflight says of them is what the sandbox does with them.

FIELDS = st.sampled_from(sorted(KNOWN_FIELDS - {"timestamp", "conversion_source"}))
KEYS = st.builds(
    DedupeKey,
    st.lists(FIELDS, min_size=1, max_size=4, unique=True).map(tuple).filter(lambda key: key != ("date",)),
    cross_day=st.booleans(),
)
LINES = st.lists(
    st.builds(
        line,
        number=st.integers(0, 10**6),
        at=st.integers(0, 3 * 86400).map(lambda seconds: NOON + timedelta(seconds=seconds)),
        email=st.sampled_from([None, "ann@example.com", "bo@example.com"]),
        customer_id=st.sampled_from(["C1", "C2"]),
        order_id=st.sampled_from([None, "", "1", "2"]),
        action=st.sampled_from(["phone_call", "booked"]),
        revenue=st.sampled_from([None, "1.00", "2.00"]),
    ),
    max_size=12,
    unique_by=lambda one: one.key,
)


@for_all(KEYS, LINES)
def test_what_collapses_and_what_is_not_counted_is_what_the_sandbox_does_with_it(
    key: DedupeKey, lines: list[ConversionLine]
) -> None:
    sandbox = Journal(key, keep=100, max_keys=1000, persist=None)
    verdicts = [sandbox.take(one.payload, "advertiser").verdict for one in lines]
    counts = {one.check: one.count for one in looked_at(lines, Account(key)).findings}
    assert counts.get("collapses", 0) == verdicts.count(Verdict.DUPLICATE)
    assert counts.get("key_field_missing", 0) == verdicts.count(Verdict.NOT_COUNTED)
    assert Verdict.INVALID not in verdicts


@for_all(KEYS, LINES)
def test_what_is_held_is_what_the_sandbox_would_not_count(key: DedupeKey, lines: list[ConversionLine]) -> None:
    for one in lines:
        sent = json.loads(one.payload)
        assert (key.lacking(one.payload) is None) == (key.missing(sent) == [])


@for_all(st.binary(max_size=40))
def test_whatever_the_bytes_are_something_is_said_of_them_and_nothing_is_raised(payload: bytes) -> None:
    strange = ConversionLine(CallKey("AC1", "CA1"), "", "", payload, "pending", "new", NOON, None, 0, 0, False, None)
    assert looked_at([strange], BY_EMAIL).errors > 0
    assert DedupeKey.parse("email").lacking(payload) == "email"


@for_all(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 8))
def test_the_first_of_a_mark_is_the_one_that_came_first(marks: list[int], limit: int) -> None:
    kept, first = FirstOf(limit), dict[int, str]()
    for place, mark in enumerate(marks):
        who = kept.of(bytes([mark]), str(place))
        if not kept.is_partial:
            assert who == first.get(mark)
        first.setdefault(mark, str(place))
    assert kept.is_partial == (len(set(marks)) > limit)


def test_an_error_is_more_than_a_warning() -> None:
    assert looked_at([line(email=None)]).errors == 0
    assert CHECKS["without_email"].level is Level.WARNING


def test_each_check_has_its_words_for_a_page_where_nobody_has_a_terminal() -> None:
    assert IN_WORDS.keys() == CHECKS.keys()
    said = [text for both in IN_WORDS.values() for text in both]
    assert [text for text in said if TERMINAL.search(text) or NEVER.search(text)] == []
