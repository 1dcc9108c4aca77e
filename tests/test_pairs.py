"""Calls of one customer that belong together: a forwarded one, a repeat, a missed one that was called back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.call import Call, CallState, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.conversion import Convert, Decision, decide
from offhook.pipeline.customer import Customer
from offhook.pipeline.earlier import Earlier
from offhook.pipeline.ends import Numbering
from offhook.pipeline.ports.books import CallBefore
from offhook.pipeline.rules.facts import EarlierCall

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
CUSTOMER, TV, RADIO = "+14155550142", "+14155550100", "+14155550101"
ANN = Customer(CUSTOMER, "ann@example.com", None)
NUMBERS = f'[[numbers]]\nnumber = "{TV}"\naction = "tv_call"\n[[numbers]]\nnumber = "{RADIO}"\n'
CALLED_BACK = f'called_back_within = "4h"\n{NUMBERS}'


def inbound(to: str, seconds: int = 60, ended: datetime = NOON) -> Call:
    root = Leg("CA1", None, Status.COMPLETED, Direction.INBOUND, CUSTOMER, to, seconds, ended)
    return Call(CallKey("AC1", "CA1"), root, (), 1, ended, ended)


def outbound(seconds: int = 60, status: Status = Status.COMPLETED, answered_by: str = "") -> Call:
    details = {"AnsweredBy": answered_by} if answered_by else {}
    root = Leg("CA1", None, status, Direction.OUTBOUND_API, RADIO, CUSTOMER, seconds, NOON, details)
    return Call(CallKey("AC1", "CA1"), root, (), 1, NOON, NOON)


def earlier(
    to: str = TV, minutes: float = 30, state: CallState = CallState.CONVERTED, ended: datetime | None = NOON
) -> EarlierCall:
    began = NOON - timedelta(minutes=minutes)
    return EarlierCall(CallKey("AC1", "CA0"), to, Direction.INBOUND, began, ended, state)


def missed(minutes: float = 30) -> EarlierCall:
    began = NOON - timedelta(minutes=minutes)
    return EarlierCall(CallKey("AC1", "CA0"), TV, Direction.INBOUND, began, began, CallState.SKIPPED, True)


def decided(rules: str, call: Call, *before: EarlierCall) -> Decision:
    return decide(call, ANN, parse(rules), Numbering(), before)


def words(decision: Decision) -> list[str]:
    return [] if isinstance(decision, Convert) else [reason.word for reason in decision.reasons]


def test_a_call_within_another_of_the_same_caller_to_another_number_of_ours_is_forwarded() -> None:
    assert words(decided(NUMBERS, inbound(RADIO), earlier(TV))) == ["forwarded_by CA0"]


@pytest.mark.parametrize(
    "named",
    [
        f'tracked_numbers = ["{TV}", "{RADIO}"]\n',
        f'[groups]\nours = ["{TV}", "{RADIO}"]\n[[rule]]\nname = "ours"\nwhen.tracked_numbers = ["ours"]\nconvert.action = "ours"\n',
    ],
)
def test_numbers_that_a_rule_or_a_group_of_it_names_are_tracked_numbers_too(named: str) -> None:
    assert words(decided(named, inbound(RADIO), earlier(TV))) == ["forwarded_by CA0"]


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        (NUMBERS, earlier(RADIO)),  # the same number: nobody forwards to himself
        (NUMBERS, earlier("+14155550102")),  # no number of ours
        (NUMBERS, earlier(TV, ended=NOON - timedelta(minutes=2))),  # it was over before
        (NUMBERS, earlier(TV, ended=None)),  # it has no end, and began long before
        ("", earlier(TV)),  # nobody has said which numbers are ours
    ],
)
def test_any_other_call_before_is_a_call_of_its_own(rules: str, first: EarlierCall) -> None:
    assert words(decided(rules, inbound(RADIO), first)) == []


def test_a_call_whose_end_is_not_known_yet_may_have_forwarded_the_one_that_began_right_after() -> None:
    assert words(decided(NUMBERS, inbound(RADIO), earlier(TV, minutes=2, ended=None))) == ["forwarded_by CA0"]


@pytest.mark.parametrize(
    ("rules", "first", "expected"),
    [
        ('repeat_within = "10m"', earlier(RADIO, 20, ended=NOON - timedelta(minutes=11)), ["repeat_of CA0"]),
        ('repeat_within = "10m"', earlier(RADIO, 20, ended=NOON - timedelta(minutes=12)), []),
        ('repeat_within = "10m"', earlier(RADIO, 9, CallState.PARKED), ["repeat_of CA0"]),
        ('repeat_within = "10m"', earlier(RADIO, 9, CallState.SKIPPED), []),
        ('repeat_within = "10m"\nrepeat_on = "same_number"', earlier(RADIO, 9), []),
        ('repeat_within = "10m"\nrepeat_on = "same_number"', earlier(TV, 9), ["repeat_of CA0"]),
        ("", earlier(TV, 9), []),
    ],
)
def test_a_repeat_follows_a_call_that_counts_within_its_window(
    rules: str, first: EarlierCall, expected: list[str]
) -> None:
    assert words(decided(rules, inbound(TV), first)) == expected


def test_a_missed_call_that_is_called_back_counts_once_with_its_own_number_action_order_and_time() -> None:
    decision = decided(CALLED_BACK, outbound(), missed())
    assert isinstance(decision, Convert)
    conversion = decision.conversion
    assert (conversion.key.call_sid, conversion.action, conversion.order_id) == ("CA1", "tv_call", "CA0")
    assert conversion.occurred_at == NOON - timedelta(minutes=30)
    assert [reason.word for reason in decision.reasons] == ["counts", "called_back CA0"]


def test_the_time_of_the_call_back_is_sent_where_the_rules_say_so() -> None:
    decision = decided(f'called_back_time = "called_back"\n{CALLED_BACK}', outbound(), missed())
    assert isinstance(decision, Convert) and decision.conversion.occurred_at == NOON


@pytest.mark.parametrize(
    ("call", "before"),
    [
        (outbound(), (missed(4 * 60 + 2),)),
        (outbound(status=Status.BUSY, seconds=0), (missed(),)),
        (outbound(answered_by="machine_start"), (missed(),)),
        (outbound(), (missed()._replace(is_missed=False),)),
        # another call has made up for it
        (outbound(), (earlier()._replace(direction=Direction.OUTBOUND_API), missed())),
        (outbound(), ()),
    ],
)
def test_any_other_call_of_ours_is_outbound_and_does_not_count(call: Call, before: tuple[EarlierCall, ...]) -> None:
    assert "direction" in words(decided(CALLED_BACK, call, *before))


AGENT = "+14155550177"


@pytest.mark.parametrize(
    ("from_", "asked_about", "direction"),
    [
        (AGENT, CUSTOMER, Direction.OUTBOUND_API),  # of the customer to whom the agent was put through
        ("client:ann", CUSTOMER, Direction.OUTBOUND_API),
        (CUSTOMER, CUSTOMER, Direction.INBOUND),
        (AGENT, AGENT, Direction.INBOUND),  # nobody was reached: the call is the agent's own
    ],
)
def test_an_earlier_call_of_one_of_our_own_people_went_out_by_the_number_that_was_dialled(
    from_: str, asked_about: str, direction: Direction
) -> None:
    began = NOON - timedelta(minutes=20)
    row = CallBefore(
        CallKey("AC1", "CA0"), CallState.CONVERTED, Direction.INBOUND, from_, TV, 60, began, began, answered=True
    )
    now = outbound()
    known = Earlier(lambda: {now.key: [row]}, Numbering(), frozenset({AGENT}))
    [found] = known.before(now, asked_about) or ()
    assert (found.direction, found.ours) == (direction, TV)


def test_a_missed_call_that_an_agent_called_back_by_way_of_a_tracked_number_is_not_made_up_for_again() -> None:
    began = NOON - timedelta(minutes=20)
    missed_row = CallBefore(
        CallKey("AC1", "CA8"), CallState.SKIPPED, Direction.INBOUND, CUSTOMER, TV, 0, began, began, answered=False
    )
    by_agent = missed_row._replace(
        key=CallKey("AC1", "CA9"),
        state=CallState.CONVERTED,
        from_=AGENT,
        answered=True,
        ended_at=began + timedelta(minutes=9),
    )
    now, rules = outbound(), parse(f'{CALLED_BACK}[ours]\nnumbers = ["{AGENT}"]\n')

    def after(*rows: CallBefore) -> Decision:
        known = Earlier(lambda: {now.key: rows}, Numbering(), rules.ours)
        return decide(now, ANN, rules, Numbering(), known.before(now, CUSTOMER))

    assert isinstance(after(missed_row), Convert)
    assert "direction" in words(after(by_agent, missed_row))
