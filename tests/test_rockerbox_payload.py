"""What is sent to Rockerbox of a conversion, byte for byte."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.rockerbox.payload import encode
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.rules.results import FIXED

pytestmark = pytest.mark.unit

CALL = Conversion(
    key=CallKey("AC1", "CA1"),
    email="anna@example.com",
    customer_id="c-7",
    action="phone_call",
    occurred_at=datetime(2018, 8, 24, 22, 4, 11, tzinfo=UTC),
    order_id="CA1",
    revenue=Decimal("27.5"),
    extra={"label": "Zürich", "duration_seconds": 42, "tracked_number": "+15550100"},
)

# Every code point, lone surrogates and NUL included.
any_text = st.text(st.characters(exclude_categories=()), max_size=20)
extras = st.dictionaries(
    any_text | st.sampled_from(sorted(FIXED)), any_text | st.integers() | st.floats() | st.booleans(), max_size=6
)
conversions = st.builds(
    Conversion,
    key=st.just(CallKey("AC1", "CA1")),
    email=st.none() | any_text,
    customer_id=st.none() | any_text,
    action=any_text,
    occurred_at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])),
    order_id=any_text,
    revenue=st.none() | st.decimals(),
    extra=extras,
)


def test_a_whole_conversion_reads_as_rockerbox_documents_it() -> None:
    assert encode(CALL).decode() == (
        '{"email":"anna@example.com","customer_id":"c-7","action":"phone_call","timestamp":"1535148251",'
        '"conversion_source":"phone","order_id":"CA1","revenue":"27.50",'
        '"duration_seconds":42,"label":"Zürich","tracked_number":"+15550100"}'
    )


@pytest.mark.parametrize("name", ["email", "customer_id", "revenue"])
def test_what_is_not_known_is_left_out(name: str) -> None:
    sent = json.loads(encode(replace(CALL, **{name: None})))  # type: ignore[arg-type]
    assert name not in sent
    assert FIXED - set(sent) == {name}


@pytest.mark.parametrize(
    ("revenue", "sent"),
    [("27.5", "27.50"), ("0", "0.00"), ("1234567.891", "1234567.89"), ("0.005", "0.01"), ("1E+3", "1000.00")],
)
def test_revenue_is_dollars_and_cents_without_symbol_or_commas(revenue: str, sent: str) -> None:
    assert json.loads(encode(replace(CALL, revenue=Decimal(revenue))))["revenue"] == sent


@pytest.mark.parametrize("name", sorted(FIXED))
def test_an_extra_field_never_takes_the_place_of_a_fixed_one(name: str) -> None:
    bare = replace(CALL, email=None, customer_id=None, revenue=None, extra={})
    assert encode(replace(bare, extra={name: "mine"})) == encode(bare)


def test_the_time_is_the_second_it_happened_in_and_the_zone_does_not_matter() -> None:
    late = replace(CALL, occurred_at=CALL.occurred_at + timedelta(microseconds=999_999))
    elsewhere = replace(CALL, occurred_at=CALL.occurred_at.astimezone(timezone(timedelta(hours=9))))
    assert encode(late) == encode(elsewhere) == encode(CALL)


@given(conversions)
def test_the_same_conversion_is_the_same_bytes_whatever_order_its_extras_came_in(conversion: Conversion) -> None:
    turned = replace(conversion, extra=dict(reversed(list(conversion.extra.items()))))
    assert encode(conversion) == encode(conversion) == encode(turned)


@given(conversions)
def test_every_conversion_is_one_json_object_that_says_what_it_was(conversion: Conversion) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    sent = json.loads(encode(conversion).decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)
    expected = {"email": conversion.email, "customer_id": conversion.customer_id, "action": conversion.action}
    expected["order_id"] = conversion.order_id
    for name, value in expected.items():
        assert sent.get(name, "") == readable(value or "")
    assert sent["conversion_source"] == "phone"
    assert sent["timestamp"] == str(math.floor(conversion.occurred_at.replace(microsecond=0).timestamp()))
    extra = {readable(name): conversion.extra[name] for name in sorted(conversion.extra)}
    kept = {name for name, value in extra.items() if name not in FIXED and not is_odd(value)}
    assert set(sent) - FIXED == kept
    for name in kept:
        one = extra[name]
        assert sent[name] == (readable(one) if isinstance(one, str) else one)


def readable(text: str) -> str:
    return "".join("?" if "\ud800" <= character <= "\udfff" else character for character in text)


def is_odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
