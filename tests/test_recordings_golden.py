"""Golden files: each difference is named by call and field, and only --update-golden writes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.recordings.golden import MAX_TOLD, GoldenError, check, differences, message
from pytest_offhook import golden_path
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.unit

OUTCOMES: dict[str, dict[str, Any]] = {
    "CA1": {"state": "converted", "reasons": ["counts"], "conversion": {"email": "a@example.com", "revenue": "27.50"}},
    "CA2": {"state": "skipped", "reasons": ["too_short", "status"]},
}


def changed(call: str, **fields: Any) -> dict[str, dict[str, Any]]:
    return OUTCOMES | {call: OUTCOMES[call] | fields}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "golden" / "calls.json"
    assert check(path, OUTCOMES, update=True) == []
    return path


def test_what_was_written_is_found_again_in_any_order(golden: Path) -> None:
    assert check(golden, dict(reversed(OUTCOMES.items())), update=False) == []
    assert list(json.loads(golden.read_text())) == ["CA1", "CA2"]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            changed("CA1", conversion={"email": "a@example.com", "revenue": "30.00"}),
            'CA1: conversion.revenue is "30.00", golden: "27.50"',
        ),
        (
            changed("CA1", conversion={"email": "a@example.com"}),
            'CA1: conversion.revenue is absent, golden: "27.50"',
        ),
        (changed("CA2", conversion={"email": "b"}), 'CA2: conversion is {"email": "b"}, golden: absent'),
        (changed("CA2", reasons=["status"]), 'CA2: reasons is ["status"], golden: ["too_short", "status"]'),
        ({"CA1": OUTCOMES["CA1"]}, 'CA2: is gone (golden: {"state": "skipped", "reasons": ["too_short", "status"]})'),
        (OUTCOMES | {"CA3": {"state": "open"}}, 'CA3: is new ({"state": "open"})'),
        (changed("CA2", state=1), 'CA2: state is 1, golden: "skipped"'),
    ],
)
def test_a_difference_names_the_call_and_the_field(found: dict[str, Any], told: str, golden: Path) -> None:
    before = golden.read_bytes()
    assert check(golden, found, update=False) == [told]
    assert golden.read_bytes() == before


def test_an_update_writes_and_nothing_else_does(golden: Path) -> None:
    assert check(golden, changed("CA2", state="open"), update=True) == []
    assert check(golden, changed("CA2", state="open"), update=False) == []
    assert [path.name for path in golden.parent.iterdir()] == [golden.name]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "--update-golden to make it"), ("{", "cannot be read"), ("[]", "is no JSON object")]
)
def test_a_golden_file_that_cannot_be_used_is_told(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GoldenError, match=words):
        check(path, OUTCOMES, update=False)


def test_many_differences_are_counted_and_not_all_listed() -> None:
    told = message(Path("golden.json"), [f"CA{number}: is gone" for number in range(MAX_TOLD + 7)])
    assert f"{MAX_TOLD + 7} differences" in told
    assert "... and 7 more" in told
    assert len(told.splitlines()) == MAX_TOLD + 3


@given(st.text(max_size=300))
def test_any_name_of_a_test_gives_a_file_name_that_can_be_used(name: str) -> None:
    path = golden_path(Path("tests/test_calls.py"), name)
    assert path.parent == Path("tests/golden/test_calls")
    assert len(path.name.encode()) < 256 - len(".12345678901")  # the file beside it, until it is whole
    assert "\0" not in path.name


def test_two_classes_of_a_file_and_two_comparisons_of_a_test_do_not_share_a_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        test_calls="""
        class TestOne:
            def test_it(self, offhook_golden): offhook_golden({"CA1": {"from": "one"}})

        class TestOther:
            def test_it(self, offhook_golden): offhook_golden({"CA1": {"from": "other"}})

        def test_twice(offhook_golden):
            offhook_golden({"CA1": {}}, "first")
            offhook_golden({"CA1": {}}, "second")

        def test_twice_without_names(offhook_golden):
            offhook_golden({"CA1": {}})
            offhook_golden({"CA2": {}})
        """
    )
    run = ("-p", "pytest_offhook", "-p", "no:cacheprovider")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    pytester.runpytest_subprocess(*run, "--update-golden").assert_outcomes(passed=3, failed=1)
    pytester.runpytest_subprocess(*run).assert_outcomes(passed=3, failed=1)
    assert len(list(pytester.path.glob("golden/test_calls/*.json"))) == 5


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
outcomes = st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=4)


@given(outcomes, outcomes)
def test_there_is_a_difference_exactly_where_the_json_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(differences(one, copy.deepcopy(one))) == []
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (list(differences(one, other)) == []) is same
