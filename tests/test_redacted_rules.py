"""Rules beside a recording decide about its callers, under their pseudonyms, as the rules of before do about the callers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.adapters.recordings.format import Record, RecordingError, parameters
from offhook.adapters.recordings.redact import Redactor
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.conversion import Decision, decide
from offhook.pipeline.ends import Numbering
from offhook.service import create_app
from tests.support.called import CALLS, Called
from tests.support.rule_files import AGENT, BLOCKED, CALLER, LISTED, LONDON, OTHER, OURS, File, Table, files

pytestmark = pytest.mark.unit

WITHOUT = ("customer", "params", "countries", "area_codes")
KEY = b"a key of sixteen bytes or more"


def without_what_has_no_pseudonym(file: File) -> File:
    def own(table: Table) -> Table:
        return {
            key: one for key, one in table.items() if key not in WITHOUT and not (key == "revenue" and "{" in str(one))
        }

    blocks = []
    for block in file.blocks:
        convert = block.get("convert")
        more = {"convert": own(convert)} if isinstance(convert, dict) else {}
        blocks.append({**block, "when": own(block["when"]), **more})
    return replace(file, common=own(file.common), numbers=list(map(own, file.numbers)), blocks=blocks)


def covered(called: Called, redactor: Redactor) -> Called:
    """The call as a recording has it, which is read from the same parameters."""
    pairs = (("From", called.from_), ("To", called.to))
    record = Record(datetime(2026, 3, 12, tzinfo=UTC), "POST", "/twilio/status", form=pairs)
    (_, from_), (_, to) = parameters(redactor.record(record))
    earlier = called.earlier and tuple(one._replace(ours=redactor.number(one.ours)) for one in called.earlier)
    return replace(called, from_=from_, to=to, earlier=earlier)


def came_to(decision: Decision, words: dict[str, str]) -> tuple[object, ...]:
    trace = [(one.holds, [(each.key, each.holds) for each in one.conditions]) for one in decision.because.trace]
    return type(decision), [words.get(reason.word, reason.word) for reason in decision.reasons], trace


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(file=files().map(without_what_has_no_pseudonym), calls=st.lists(CALLS, min_size=1, max_size=3))
def test_rules_with_blocks_lists_and_numbers_of_our_own_decide_the_same_under_pseudonyms(
    file: File, calls: list[Called], tmp_path: Path
) -> None:
    (tmp_path / BLOCKED).write_text(LISTED)
    redactor, lists = Redactor(KEY), dict[str, str]()
    seen = [covered(called, redactor) for called in calls]
    text = redactor.rules(file.text(), tmp_path, lists)
    beside = tmp_path / "beside"
    beside.mkdir(exist_ok=True)
    for name, numbers in lists.items():
        (beside / name).write_text(numbers)
    before, after = parse(file.text(), folder=tmp_path), parse(text, folder=beside)
    words = {one.skip: new.skip for one, new in zip(before.blocks, after.blocks, strict=True) if one.skip and new.skip}
    for called, one in zip(calls, seen, strict=True):
        then = decide(called.call(), called.customer(), before, Numbering(), called.earlier)
        now = decide(one.call(), one.customer(), after, Numbering(), one.earlier)
        assert came_to(now, {}) == came_to(then, words)
    everything = text + "".join([*lists, *lists.values()])
    assert not [number for number in (CALLER, LONDON, OURS, OTHER, AGENT, "5550143") if number in everything]
    assert BLOCKED not in everything


@pytest.mark.parametrize(
    "toml",
    [
        "customer.tier = 'gold'",
        "[[rule]]\nname = 'A'\nwhen.params.Menu = '1'\nskip = 'pressed_one'",
        "[[rule]]\nname = 'A'\nwhen.area_codes = ['415']\nskip = 'near'",
        "countries = ['US']",
        "[[rule]]\nname = 'A'\nconvert.revenue = '{customer.value}'",
    ],
)
def test_what_has_no_pseudonym_is_refused_wherever_it_stands(toml: str) -> None:
    with pytest.raises(RecordingError, match="there is no pseudonym"):
        Redactor(KEY).rules(toml)


def test_where_numbers_are_kept_countries_and_area_codes_are_too() -> None:
    kept = Redactor(KEY, keep_numbers=True).rules("countries = ['US']\narea_codes = ['415']")
    assert parse(kept).version == parse("countries = ['US']\narea_codes = ['415']").version


def test_of_a_list_only_the_numbers_are_passed_on_that_the_recording_has(tmp_path: Path) -> None:
    (tmp_path / "annas_enemies.txt").write_text(f"{CALLER}\n+14155550143\n")
    redactor, lists = Redactor(KEY), dict[str, str]()
    pseudonym = redactor.number(CALLER)
    text = redactor.rules('[[rule]]\nname = "A"\nwhen.callers_in = "annas_enemies.txt"\nskip = "bad"', tmp_path, lists)
    [(name, numbers)] = lists.items()
    assert numbers == f"{pseudonym}\n" and name in text and "anna" not in text + name


def test_an_export_writes_the_lists_beside_the_rules_and_over_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    Path(BLOCKED).write_text(LISTED)
    Path("offhook.toml").write_text(f'[[rule]]\nname = "A"\nwhen.callers_in = "{BLOCKED}"\nskip = "bad"\n')
    app = create_app()
    run = app.test_cli_runner().invoke
    assert run(args=["db", "upgrade"]).exit_code == 0
    Path("away").mkdir()
    options = ["recordings", "export", "--rules", "away/rules.toml", "--key", KEY.decode()]
    with app.app_context():
        assert run(args=[*options, "--output", "one.jsonl"]).exit_code == 0
        [rule] = parse(Path("away/rules.toml").read_text(), folder=Path("away")).blocks
        assert rule.when.callers_in is not None and not rule.when.callers_in.numbers  # nobody called
        Path("away/rules.toml").unlink()
        again = run(args=[*options, "--output", "two.jsonl"])
    assert again.exit_code == 2 and "is there already" in again.output
