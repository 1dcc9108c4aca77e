"""Folding: forward only, whatever the order and however many duplicates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.call import fold, root_of
from offhook.pipeline.callback import Callback, CallKey, Direction, RawCallback, Status, is_terminal
from offhook.pipeline.rules.facts import answered_by

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def callback(
    call_sid: str, status: Status, number: int, *, parent: str | None = None, seconds: int = 0, **params: str
) -> Callback:
    """A callback with sequence number `number`, received `number` seconds after noon."""
    key = f"{call_sid}/{status}/{number}/{seconds}/{sorted(params.items())}"
    raw = RawCallback(key, "AC1", call_sid, parent, NOON + timedelta(seconds=number), "POST", "/", "", (), b"")
    every = {"From": "+14155550100", "To": "+14155550199", **params}
    direction = Direction.OUTBOUND_DIAL if parent else Direction.INBOUND
    return Callback(raw, status, direction, every["From"], every["To"], seconds, number, NOON, every)


def test_a_later_status_wins_whatever_the_order_of_arrival() -> None:
    callbacks = [
        callback("CA1", Status.COMPLETED, 3, seconds=10),
        callback("CA1", Status.RINGING, 1),
        callback("CA1", Status.IN_PROGRESS, 2),
    ]
    call = fold(CallKey("AC1", "CA1"), callbacks)
    assert call.root is not None
    assert (call.root.status, call.root.duration_seconds) == (Status.COMPLETED, 10)
    assert call.final_at == NOON + timedelta(seconds=3)


def test_a_call_without_a_final_status_is_not_final() -> None:
    assert fold(CallKey("AC1", "CA1"), [callback("CA1", Status.IN_PROGRESS, 1)]).final_at is None


def test_a_child_leg_that_ends_does_not_end_its_call() -> None:
    call = fold(
        CallKey("AC1", "CA1"), [callback("CA2", Status.COMPLETED, 1, parent="CA1"), callback("CA1", Status.RINGING, 1)]
    )
    assert call.final_at is None
    assert [leg.call_sid for leg in call.children] == ["CA2"]


def test_a_call_of_which_only_a_child_leg_was_heard_has_no_root() -> None:
    call = fold(CallKey("AC1", "CA1"), [callback("CA2", Status.COMPLETED, 1, parent="CA1")])
    assert call.root is None
    assert call.final_at is None


def test_an_unknown_status_never_displaces_a_known_one() -> None:
    call = fold(CallKey("AC1", "CA1"), [callback("CA1", Status.QUEUED, 1), callback("CA1", Status.UNKNOWN, 9)])
    assert call.root is not None
    assert call.root.status is Status.QUEUED


def test_what_a_later_callback_leaves_empty_keeps_its_earlier_value() -> None:
    callbacks = [
        callback("CA1", Status.RINGING, 1, CallerCity="Paris"),
        callback("CA1", Status.COMPLETED, 2, CallerCity=""),
    ]
    call = fold(CallKey("AC1", "CA1"), callbacks)
    assert call.root is not None
    assert call.root.details["CallerCity"] == "Paris"


CALLBACKS = st.builds(
    callback,
    st.sampled_from(["CA1", "CA2"]),
    st.sampled_from(list(Status)),
    st.integers(0, 5),
    seconds=st.integers(0, 100),
    CallerCity=st.sampled_from(["", "Paris", "Lyon"]),
)


@given(st.lists(CALLBACKS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_and_duplicates_play_no_part(callbacks: list[Callback], random: object) -> None:
    shuffled = [*callbacks, *callbacks[:3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(CallKey("AC1", "CA1"), shuffled) == fold(CallKey("AC1", "CA1"), callbacks)


@given(st.lists(CALLBACKS, min_size=1, max_size=8), CALLBACKS)
def test_another_callback_never_takes_a_call_back(callbacks: list[Callback], another: Callback) -> None:
    key = CallKey("AC1", "CA1")
    before, after = fold(key, callbacks), fold(key, [*callbacks, another])
    assert before.final_at is None or after.final_at is not None
    if before.root is not None and is_terminal(before.root.status):
        assert after.root is not None
        assert is_terminal(after.root.status)


@pytest.mark.parametrize(
    ("parents", "root"),
    [({}, "CA3"), ({"CA3": "CA2"}, "CA2"), ({"CA3": "CA2", "CA2": "CA1"}, "CA1"), ({"CA3": "CA3"}, "CA3")],
)
def test_the_root_is_the_leg_that_hangs_from_none(parents: dict[str, str], root: str) -> None:
    assert root_of("CA3", parents) == root


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")), st.sampled_from("abcdef"))
def test_a_circle_of_parents_has_one_root_and_ends(parents: dict[str, str], leg: str) -> None:
    root = root_of(leg, parents)
    assert root_of(root, parents) == root


DETECTED = callback("CA1", Status.UNKNOWN, 9, AnsweredBy="machine_start")
ON_LEGS = [
    callback("CA2", Status.NO_ANSWER, 1, parent="CA1", AnsweredBy="fax"),
    callback("CA3", Status.COMPLETED, 1, parent="CA1", seconds=60, AnsweredBy="human"),
    callback("CA4", Status.COMPLETED, 1, parent="CA1", seconds=90),
]


@pytest.mark.parametrize(
    ("heard", "who"),
    [
        ([DETECTED], "machine_start"),
        ([callback("CA1", Status.COMPLETED, 3), DETECTED], "machine_start"),
        ([DETECTED, callback("CA1", Status.COMPLETED, 3, AnsweredBy=""), *ON_LEGS], "machine_start"),
        ([callback("CA1", Status.COMPLETED, 3), *ON_LEGS], "human"),
        (ON_LEGS, "human"),
        ([callback("CA1", Status.COMPLETED, 3)], ""),
    ],
)
def test_who_answered_is_found_on_the_call_itself_else_on_the_leg_that_was_talked_to_longest(
    heard: list[Callback], who: str
) -> None:
    assert answered_by(fold(CallKey("AC1", "CA1"), heard)) == who
    assert answered_by(fold(CallKey("AC1", "CA1"), heard[::-1])) == who
