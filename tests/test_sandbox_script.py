"""The sandbox's failure script: a little language that reads back what it prints, and turns that a seed repeats."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.rockerbox.sandbox.failures import AS_USUAL, MAX_STEPS, Kind, Player, Script, ScriptError, Step

pytestmark = pytest.mark.unit

seconds = st.decimals(0, 600, places=3).map(lambda number: number.normalize() if number else Decimal(0))
behaviours = st.one_of(
    st.builds(Step, st.sampled_from([kind for kind in Kind if kind is not Kind.STATUS]), latency_seconds=seconds),
    st.builds(
        Step,
        st.just(Kind.STATUS),
        st.integers(200, 599),
        retry_after_seconds=st.none() | st.integers(0, 1_000_000),
        latency_seconds=seconds,
        kept=st.booleans(),
    ),
)
in_turn = st.builds(lambda step, times: replace(step, times=times), behaviours, st.integers(1, 1_000_000))
now_and_then = st.builds(
    lambda step, share: replace(step, probability=share), behaviours, st.decimals("0.001", "0.2", places=3)
)
scripts = st.lists(in_turn, max_size=4).flatmap(
    lambda turns: st.lists(now_and_then, max_size=4).map(lambda standing: Script((*turns, *standing)))
)


@given(scripts)
def test_a_script_reads_back_what_it_prints(script: Script) -> None:
    read_back = Script.parse(str(script))
    assert str(read_back) == str(script)
    assert [(step.kind, step.keeps, step.times) for step in read_back.steps] == [
        (step.kind, step.keeps, step.times) for step in script.steps
    ]
    assert [step.probability for step in read_back.steps] == [step.probability for step in script.steps]


words = st.sampled_from(
    [
        "429",
        "500",
        "99",
        "600",
        "ok",
        "timeout",
        "reset",
        "close",
        "after",
        "headers",
        "drip",
        "latency",
        "retry-after",
        "kept",
        "p=0.1",
        "p=2",
        "p=",
        "with",
        "probability",
        "0.5",
        "2",
        "-1",
        "3x",
        "x",
        "3",
        "0x",
        "1e5",
        "nan",
        ";",
        "\n",
        ";;",
        "éx",
    ]
)


@given(st.text(max_size=40) | st.lists(words, max_size=8).map(" ".join))
def test_any_text_is_a_script_or_refused_with_the_reason(text: str) -> None:
    try:
        script = Script.parse(text)
    except ScriptError as error:
        assert any(word in str(error) for word in ("step ", "probabilities", "longer"))
        return
    assert Script.parse(str(script)) == script


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("429 retry-after 2", Step(Kind.STATUS, 429, retry_after_seconds=2)),
        ("500", Step(Kind.STATUS, 500)),
        ("timeout", Step(Kind.TIMEOUT)),
        ("reset", Step(Kind.RESET)),
        ("drip", Step(Kind.DRIP)),
        ("close after headers", Step(Kind.CLOSE_AFTER_HEADERS)),
        ("close", Step(Kind.CLOSE)),
        ("ok", AS_USUAL),
        ("latency 0.3", Step(latency_seconds=Decimal("0.3"))),
        ("3x 500", Step(Kind.STATUS, 500, times=3)),
        ("3 x RESET", Step(Kind.RESET, times=3)),
        ("500 p=0.1", Step(Kind.STATUS, 500, probability=Decimal("0.1"))),
        ("500 with probability 0.1", Step(Kind.STATUS, 500, probability=Decimal("0.1"))),
        ("reset kept", Step(Kind.RESET, kept=True)),
        ("503 latency 1 retry-after 9 kept", Step(Kind.STATUS, 503, 1, None, 9, Decimal(1), True)),
    ],
)
def test_each_behaviour_is_said_in_the_words_of_the_documentation(text: str, step: Step) -> None:
    assert Script.parse(text).steps == (step,)


def test_steps_stand_between_semicolons_or_lines_and_nothing_is_no_step() -> None:
    assert Script.parse("500; reset\n\n; drip;").steps == (Step(Kind.STATUS, 500), Step(Kind.RESET), Step(Kind.DRIP))
    assert Script.parse(" ;\n").steps == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("500; sometimes", r"step 2 \('sometimes'\): 'sometimes' is no behaviour; write ok, timeout"),
        ("reset retry-after 2", "retry-after needs a status"),
        ("429 retry-after", "seconds must follow"),
        ("429 retry-after 0.5", "whole seconds"),
        ("500 p=1.5", "a probability must be a number from 0 to 1"),
        ("500 p=0", "never happens; leave the step out"),
        ("3x 500 p=0.5", "not both"),
        ("3x", "say what shall happen"),
        ("0x 500", "times must be a number from 1"),
        ("500 kept kept", "kept is there twice"),
        ("close after lunch", "'headers' is expected here"),
        ("600", "a status of 200 to 599"),
        ("latency 601", "from 0 to 600"),
        ("500 p=0.6; 502 p=0.6", "the probabilities add up to 1.2"),
        (";".join(["500"] * (MAX_STEPS + 1)), "give at most 100"),
        ("5" * 10_001, "longer than 10000"),
    ],
)
def test_a_mistake_names_its_step_and_what_to_write_instead(text: str, words: str) -> None:
    with pytest.raises(ScriptError, match=words):
        Script.parse(text)


def turns(text: str, count: int, seed: int | None = 1) -> list[str]:
    player = Player(Script.parse(text), seed)
    return [player.next().name for _ in range(count)]


def test_steps_take_their_turn_and_are_used_up() -> None:
    assert turns("2x 429; reset; 500", 6) == ["429", "429", "reset", "500", "ok", "ok"]
    player = Player(Script.parse("3x 429; 500 p=1"))
    player.next()
    assert str(player.left()) == "2x 429; 500 p=1"


def test_steps_with_a_probability_come_after_the_others_and_for_ever() -> None:
    assert turns("500 p=1; 2x reset", 5) == ["reset", "reset", "500", "500", "500"]


def test_each_step_has_its_own_probability() -> None:
    counts = Counter(turns("500 p=0.3; reset p=0.1", 20_000))
    assert abs(counts["500"] / 20_000 - 0.3) < 0.02
    assert abs(counts["reset"] / 20_000 - 0.1) < 0.02
    assert counts["ok"] == 20_000 - counts["500"] - counts["reset"]


def test_a_seed_makes_the_same_turns_and_another_one_others() -> None:
    one, same, other = (turns("500 p=0.5", 100, seed) for seed in (7, 7, 8))
    assert one == same != other


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("ok", True),
        ("200", True),
        ("drip", True),
        ("close after headers", True),
        ("latency 1", True),
        ("500", False),
        ("429", False),
        ("timeout", False),
        ("reset", False),
        ("close", False),
        ("500 kept", True),
        ("timeout kept", True),
    ],
)
def test_an_event_is_kept_where_the_sender_sees_the_start_of_a_2xx_or_the_script_says_so(
    text: str, keeps: bool
) -> None:
    [step] = Script.parse(text).steps
    assert step.keeps is keeps
