"""Golden files: each difference is named by call and field, and only --offhook-update-golden writes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.recordings.golden import MAX_SHOWN, check, message
from offhook.adapters.recordings.golden_values import GoldenError, differences
from offhook.pipeline.callback import Direction
from offhook.pytest_offhook import golden_path
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
    ("found", "difference"),
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
def test_a_difference_names_the_call_and_the_field(found: dict[str, Any], difference: str, golden: Path) -> None:
    before = golden.read_bytes()
    assert check(golden, found, update=False) == [difference]
    assert golden.read_bytes() == before


def test_an_update_writes_and_nothing_else_does(golden: Path) -> None:
    assert check(golden, changed("CA2", state="open"), update=True) == []
    assert check(golden, changed("CA2", state="open"), update=False) == []
    assert [path.name for path in golden.parent.iterdir()] == [golden.name]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "--offhook-update-golden to make it"), ("{", "cannot be read"), ("[]", "is no JSON object")],
)
def test_a_golden_file_that_cannot_be_used_is_refused(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GoldenError, match=words):
        check(path, OUTCOMES, update=False)


def test_many_differences_are_counted_and_not_all_listed() -> None:
    text = message(Path("golden.json"), [f"CA{number}: is gone" for number in range(MAX_SHOWN + 7)])
    assert f"{MAX_SHOWN + 7} differences" in text
    assert "... and 7 more" in text
    assert len(text.splitlines()) == MAX_SHOWN + 3


@given(st.text(max_size=300))
def test_any_name_of_a_test_gives_a_file_name_that_can_be_used(name: str) -> None:
    path = golden_path(Path("tests/test_calls.py"), name)
    assert path.parent == Path("tests/golden/test_calls")
    assert len(path.name.encode()) < 256 - len(".12345678901")  # the file beside it, until it is whole
    assert "\0" not in path.name


names = st.text(st.sampled_from("aAb1é+-./ _[]"), max_size=6) | st.text(max_size=300)


@given(names, names)
def test_two_names_never_share_a_file_not_even_where_capitals_are_small_letters(one: str, other: str) -> None:
    paths = [str(golden_path(Path("tests/test_calls.py"), name)).lower() for name in (one, other)]
    assert (paths[0] == paths[1]) is (one == other)


def test_a_name_that_needs_no_change_is_the_files_own() -> None:
    for name in ("test_it", "shop-day", "v1.2", "zürich"):
        assert golden_path(Path("tests/test_calls.py"), name).name == f"{name}.json"


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    at: datetime
    size: int


HOUR = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)
ONE_ID = UUID("00000000-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("27.50"), "27.50"),
        (HOUR, "2026-03-12T14:00:00+00:00"),
        (HOUR.date(), "2026-03-12"),
        (timedelta(hours=1), "1:00:00"),
        (ONE_ID, str(ONE_ID)),
        (Colour.RED, "red"),
        (Direction.INBOUND, "inbound"),
        ((Decimal(1), [Colour.RED]), ["1", ["red"]]),
        ({"b", "a"}, ["a", "b"]),
        (Part(HOUR, 1), {"at": "2026-03-12T14:00:00+00:00", "size": 1}),
        ({Colour.RED: ONE_ID, 7: Path("a/b")}, {"red": str(ONE_ID), "7": "a/b"}),
        ("half \ud800", "half \ud800"),
        (1.5, 1.5),
    ],
)
def test_a_golden_file_takes_what_programs_have(value: object, written: object, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    assert check(path, {"CA1": {"value": value}}, update=True) == []
    assert json.loads(path.read_text()) == {"CA1": {"value": written}}
    assert check(path, {"CA1": {"value": value}}, update=False) == []


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({"CA1": {"parts": [{"at": object()}]}}, r"CA1\.parts\[0\]\.at is of type object"),
        ({"CA1": {"7": 1, 7: 2}}, r"CA1\.7 is there twice"),
        (7, "is no JSON object|int"),
    ],
)
def test_what_no_golden_file_holds_is_refused_with_its_place(
    outcomes: Any, words: str, update: bool, golden: Path
) -> None:
    with pytest.raises((GoldenError, AttributeError), match=words):
        check(golden, outcomes, update=update)


def test_a_checkout_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "golden").write_text("a file, where the folder should be")
    with pytest.raises(GoldenError, match=r"calls\.json cannot be written \(.+\); make its folder writable"):
        check(tmp_path / "golden" / "test_calls" / "calls.json", OUTCOMES, update=True)


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """(options) -> what came of pytest with the plugin, as others run it: in this process, as a start takes long, or in several."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*options: str) -> pytest.RunResult:
        ours = ("-p", "offhook.pytest_offhook", "-p", "no:cacheprovider")
        if "-n" in options:
            return pytester.runpytest_subprocess("-p", "xdist", *ours, *options)
        return pytester.runpytest_inprocess(*ours, *options)

    return run


UPDATE = "--offhook-update-golden"


def test_two_classes_of_a_file_and_two_comparisons_of_a_test_do_not_share_a_file(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_calls="""
        import pytest

        class TestOne:
            def test_it(self, offhook_golden): offhook_golden({"CA1": {"from": "one"}})

        class TestOther:
            def test_it(self, offhook_golden): offhook_golden({"CA1": {"from": "other"}})

        def test_twice(offhook_golden):
            offhook_golden({"CA1": {}}, "first")
            offhook_golden({"CA1": {}}, "second")

        @pytest.mark.parametrize("caller", ["+14155550142", "14155550142"])
        def test_callers(caller, offhook_golden): offhook_golden({"CA1": {"from": caller}})

        def test_twice_without_names(offhook_golden):
            offhook_golden({"CA1": {}})
            offhook_golden({"CA2": {}})
        """
    )
    run(UPDATE).assert_outcomes(passed=5, failed=1)
    run().assert_outcomes(passed=5, failed=1)
    assert len(list(pytester.path.glob("golden/test_calls/*.json"))) == 7


SHARED = """
    def test_one(offhook_golden): offhook_golden({"CA1": {"from": "one"}}, "same")
    def test_other(offhook_golden): offhook_golden({"CA1": {"from": "other"}}, "same")
"""


def test_a_second_test_with_the_name_of_another_fails(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_calls=SHARED)
    result = run(UPDATE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_calls.py::test_one uses *same.json, too: give each its name=*"])


def test_the_parameters_of_a_test_share_a_file_that_they_name_when_all_come_to_the_same(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_calls="""
        import pytest

        @pytest.mark.parametrize("database", ["sqlite", "postgres"])
        def test_same(database, offhook_golden): offhook_golden({"CA1": {}}, "same")

        @pytest.mark.parametrize("database", ["sqlite", "postgres"])
        def test_differs(database, offhook_golden): offhook_golden({"CA1": {"in": database}}, "differs")
        """
    )
    run(UPDATE).assert_outcomes(passed=3, failed=1)


def test_a_shared_name_is_reported_where_the_tests_run_in_several_processes(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_calls=SHARED)
    result = run(UPDATE, "-n", "2")
    assert result.ret == 1
    assert re.search(
        r"same\.json(, too| is used by test_calls\.py::test_o\w+ and by test_calls\.py::test_o\w+)", result.stdout.str()
    )


def test_golden_files_that_no_test_uses_are_listed_and_removed_on_request(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        test_calls="""
        def test_one(offhook_golden): offhook_golden({"CA1": {}})
        def test_two(offhook_golden): offhook_golden({"CA1": {}})
        """,
        test_gone="def test_it(offhook_golden): offhook_golden({'CA1': {}})",
    )
    run(UPDATE).assert_outcomes(passed=3)
    theirs = pytester.path / "golden" / "test_calls" / "theirs.json"
    theirs.write_text('{"not": "ours"}')
    (pytester.path / "test_gone.py").unlink()
    pytester.makepyfile(
        test_calls="""
        def test_one(offhook_golden): offhook_golden({"CA1": {}})
        def test_other(): pass
        """
    )
    for partly in (("-k", "one"), ("test_calls.py::test_one",)):  # a part does not show what no test uses
        result = run(*partly)
        assert "test_it.json" in result.stdout.str()
        assert "test_two.json" not in result.stdout.str()
    left = {"test_calls/test_two.json", "test_gone/test_it.json"}

    def there() -> set[str]:
        return {str(path.relative_to(pytester.path / "golden")) for path in pytester.path.glob("golden/*/*.json")}

    result = run()
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["2 golden files are used by no test:", "*test_two.json", "*test_it.json", "*removes them.*"]
    )
    assert there() == {"test_calls/test_one.json", "test_calls/theirs.json", *left}
    run("-n", "2", UPDATE).assert_outcomes(passed=2)
    assert there() == {"test_calls/test_one.json", "test_calls/theirs.json"}


def test_nothing_is_removed_where_a_test_failed_or_was_skipped(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_calls="def test_one(offhook_golden): offhook_golden({'CA1': {}})")
    run(UPDATE).assert_outcomes(passed=1)
    for body in ("assert False", "import pytest; pytest.skip()"):
        pytester.makepyfile(test_calls=f"def test_one(offhook_golden): {body}")
        run(UPDATE)
        assert len(list(pytester.path.glob("golden/test_calls/*.json"))) == 1


GOLDEN_TEST = "def test_it(offhook_golden): offhook_golden({'CA1': {}})"


@pytest.mark.parametrize("option", ["action='store_true'", "metavar='PATH'"])
def test_a_project_with_an_option_update_golden_of_its_own_keeps_it(
    option: str, pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makeconftest(f"def pytest_addoption(parser): parser.addoption('--update-golden', {option})")
    pytester.makepyfile(test_calls=GOLDEN_TEST)
    run("--update-golden", *(["x"] if "metavar" in option else [])).assert_outcomes(failed=1)
    run(UPDATE).assert_outcomes(passed=1)


def test_where_it_is_free_the_short_option_does_the_same(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_calls=GOLDEN_TEST)
    run().assert_outcomes(failed=1)
    run("--update-golden").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


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
