"""What counts and what is sent of it, each rule alone with its right value. Pure: the call is made here, nobody is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.conversion import Conversion, Convert, Park, Skip, decide
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.results import Number

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
LISTED, UNLISTED, CALLER = "+14155550199", "+14155550198", "+14155550100"
CUSTOMER = Customer(CALLER, "a@example.test", "C1")
LEG = Leg("CA1", None, Status.COMPLETED, Direction.INBOUND, CALLER, LISTED, 30, NOON)
CALL = Call(CallKey("AC1", "CA1"), LEG, (), 1, NOON - timedelta(minutes=1), NOON + timedelta(seconds=2))
TV = Number(LISTED, "TV", "tv_call", Decimal("27.50"), {"channel": "tv", "seconds": "{duration_seconds}"})


def call(leg: Leg = LEG) -> Call:
    return replace(CALL, root=leg)


def against(rules: Rules, leg: Leg = LEG, customer: Customer | None = CUSTOMER) -> list[str]:
    """The words of the reasons for which a call does not count; empty when it does."""
    decision = decide(call(leg), customer, rules, Numbering("US"))
    assert not isinstance(decision, Park)
    return [reason.word for reason in decision.reasons] if isinstance(decision, Skip) else []


def converted(rules: Rules, leg: Leg = LEG) -> Conversion:
    decision = decide(call(leg), CUSTOMER, rules, Numbering("US"))
    assert isinstance(decision, Convert)
    return decision.conversion


def test_where_only_listed_numbers_count_a_call_to_another_one_is_skipped() -> None:
    rules = Rules(only_listed_numbers=True, numbers={LISTED: TV})
    assert against(rules) == []
    assert against(rules, replace(LEG, to=UNLISTED)) == ["number_not_listed"]


def test_a_call_to_a_number_that_is_not_listed_counts_where_nothing_else_is_said() -> None:
    assert against(Rules(numbers={LISTED: TV}), replace(LEG, to=UNLISTED)) == []


def test_of_a_call_that_we_made_our_own_end_must_be_listed() -> None:
    rules = Rules(only_listed_numbers=True, numbers={LISTED: TV}, directions=frozenset({Direction.OUTBOUND_API}))
    made = replace(LEG, direction=Direction.OUTBOUND_API, from_=LISTED, to=CALLER)
    assert against(rules, made) == []
    assert against(rules, replace(made, from_=UNLISTED)) == ["number_not_listed"]


def test_a_number_s_own_extra_fields_win_over_those_of_the_whole_file() -> None:
    rules = Rules(extra={"channel": "phone", "to": "{to}"}, numbers={LISTED: TV})
    assert converted(rules).extra == {"channel": "tv", "to": LISTED, "seconds": "30"}
    assert converted(rules, replace(LEG, to=UNLISTED)).extra == {"channel": "phone", "to": UNLISTED}


def test_a_number_s_own_action_and_revenue_win_over_those_of_the_whole_file() -> None:
    rules = Rules(action="call", revenue=Decimal(10), numbers={LISTED: TV})
    assert (converted(rules).action, converted(rules).revenue) == ("tv_call", Decimal("27.50"))
    elsewhere = converted(rules, replace(LEG, to=UNLISTED))
    assert (elsewhere.action, elsewhere.revenue) == ("call", Decimal(10))


def test_a_number_without_its_own_action_and_revenue_has_those_of_the_whole_file() -> None:
    rules = Rules(action="call", revenue=Decimal(10), numbers={LISTED: Number(LISTED, "TV")})
    assert (converted(rules).action, converted(rules).revenue) == ("call", Decimal(10))


def test_a_number_may_be_worth_nothing() -> None:
    """Zero dollars are an amount, and no missing one."""
    rules = Rules(revenue=Decimal(10), numbers={LISTED: Number(LISTED, revenue=Decimal(0))})
    assert converted(rules).revenue == Decimal(0)


@pytest.mark.parametrize(("seconds", "words"), [(29, ["too_short"]), (30, []), (31, []), (None, ["too_short"])])
def test_a_call_counts_from_the_least_duration_on(seconds: int | None, words: list[str]) -> None:
    assert against(Rules(min_duration_seconds=30), replace(LEG, duration_seconds=seconds)) == words


def test_a_call_of_unknown_length_counts_where_no_length_is_asked_for() -> None:
    assert against(Rules(), replace(LEG, duration_seconds=None)) == []


@pytest.mark.parametrize("status", [Status.BUSY, Status.NO_ANSWER, Status.FAILED, Status.CANCELED])
def test_a_status_counts_where_the_rules_name_it_and_nowhere_else(status: Status) -> None:
    assert against(Rules(), replace(LEG, status=status)) == ["status"]
    assert against(Rules(statuses=frozenset({status})), replace(LEG, status=status)) == []
    assert against(Rules(statuses=frozenset({status}))) == ["status"]


def test_a_direction_counts_where_the_rules_name_it_and_nowhere_else() -> None:
    made = replace(LEG, direction=Direction.OUTBOUND_API)
    assert against(Rules(), made) == ["direction"]
    assert against(Rules(directions=frozenset({Direction.OUTBOUND_API}))) == ["direction"]


def test_every_reason_against_a_call_is_named_in_one_order() -> None:
    rules = Rules(min_duration_seconds=31, only_listed_numbers=True)
    withheld = replace(LEG, status=Status.BUSY, direction=Direction.OUTBOUND_API, to="anonymous")
    assert against(rules, withheld) == ["direction", "status", "too_short", "number_not_listed", "caller_withheld"]


def test_what_cannot_be_called_back_is_no_customer_s_number() -> None:
    assert against(Rules(), replace(LEG, from_="client:ann")) == ["caller_not_a_phone"]


def test_the_time_of_a_conversion_is_when_the_call_ended_by_the_best_that_is_known() -> None:
    assert converted(Rules()).occurred_at == NOON
    assert converted(Rules(), replace(LEG, ended_at=None)).occurred_at == CALL.final_at


def test_a_call_whose_caller_nobody_knows_waits_and_so_does_one_of_several_people() -> None:
    for customer, word in (
        (None, "caller_not_in_mapping"),
        (replace(CUSTOMER, people=2), "several_customers"),
    ):
        decision = decide(CALL, customer, Rules(), Numbering("US"))
        assert isinstance(decision, Park)
        assert [reason.word for reason in decision.reasons] == [word]


def test_a_conversion_names_its_customer_its_call_and_its_order() -> None:
    conversion = converted(Rules(order_id="phone-{call_sid}"))
    assert (conversion.email, conversion.customer_id, conversion.key) == ("a@example.test", "C1", CALL.key)
    assert conversion.order_id == "phone-CA1"


@pytest.mark.parametrize("parts", [("FromCity", "from_city"), ("ToCountry", "to_country"), ("FromZip", "from_zip")])
def test_a_template_names_a_place_by_our_word_and_by_twilio_s(parts: tuple[str, str]) -> None:
    theirs, ours = parts
    leg = replace(LEG, details={theirs: "X"})
    assert converted(Rules(extra={"a": f"{{{theirs}}}", "b": f"{{{ours}}}"}), leg).extra == {"a": "X", "b": "X"}


def test_the_number_of_legs_counts_the_call_itself() -> None:
    child = replace(LEG, call_sid="CA2", parent_call_sid="CA1", direction=Direction.OUTBOUND_DIAL)
    decision = decide(replace(CALL, children=(child,)), CUSTOMER, Rules(extra={"legs": "{legs}"}), Numbering("US"))
    assert isinstance(decision, Convert)
    assert decision.conversion.extra == {"legs": "2"}
