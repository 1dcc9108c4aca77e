"""Rules beside a recording decide about its callers, under their pseudonyms, as the rules of before do about the callers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.recordings.format import Record, RecordingError, parameters
from offhook.adapters.recordings.redact import Redactor
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.conversion import Decision, customer_fields, decide
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules.kinds import revenue_of
from offhook.pipeline.rules.matching import ValueTest
from offhook.service import create_app
from tests.support.arriving import read_request
from tests.support.called import CALLS, Called
from tests.support.rule_files import AGENT, BLOCKED, CALLER, LISTED, LONDON, OTHER, OURS, File, Table, files

pytestmark = pytest.mark.unit

WITHOUT = ("countries", "area_codes")
KEY = b"a key of sixteen bytes or more"


def without_what_has_no_pseudonym(file: File) -> File:
    def own(table: Table) -> Table:
        return {key: one for key, one in table.items() if key not in WITHOUT}

    blocks = []
    for block in file.blocks:
        convert = block.get("convert")
        more = {"convert": own(convert)} if isinstance(convert, dict) else {}
        blocks.append({**block, "when": own(block["when"]), **more})
    return replace(file, common=own(file.common), numbers=list(map(own, file.numbers)), blocks=blocks)


def covered(called: Called, redactor: Redactor) -> Called:
    """The call as a recording has it, which is read from the same parameters."""
    pairs = (("From", called.from_), ("To", called.to), *called.params.items())
    record = Record(datetime(2026, 3, 12, tzinfo=UTC), "POST", "/twilio/status", form=pairs)
    (_, from_), (_, to), *params = parameters(redactor.record(record))
    earlier = called.earlier and tuple(one._replace(ours=redactor.number(one.ours)) for one in called.earlier)
    who = called.customer()
    return replace(
        called,
        from_=from_,
        to=to,
        params={name: value for name, value in params if value},
        attributes=dict(redactor.customer(who).attributes) if who else None,
        earlier=earlier,
    )


def as_folded(called: Called) -> Called:
    """Of a parameter without a value nothing is kept of a call."""
    return replace(called, params={name: value for name, value in called.params.items() if value})


def came_to(decision: Decision, words: dict[str, str]) -> tuple[object, ...]:
    trace = [(one.holds, [(each.key, each.holds) for each in one.conditions]) for one in decision.because.trace]
    return type(decision), [words.get(reason.word, reason.word) for reason in decision.reasons], trace


@settings(deadline=None, max_examples=60)
@given(file=files().map(without_what_has_no_pseudonym), calls=st.lists(CALLS.map(as_folded), min_size=1, max_size=3))
def test_rules_with_blocks_lists_columns_parameters_and_numbers_of_our_own_decide_the_same_under_pseudonyms(
    file: File, calls: list[Called], tmp_path: Path
) -> None:
    (tmp_path / BLOCKED).write_text(LISTED)
    redactor, lists = Redactor(KEY), dict[str, str]()
    redactor.look_for(file.text(), tmp_path)
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
    assert BLOCKED not in everything and "gold" not in everything and "tier" not in everything


@pytest.mark.parametrize(
    "toml",
    [
        "customer.tier = 'gold'",
        "[[rule]]\nname = 'A'\nwhen.params.Menu = '1'\nskip = 'pressed_one'",
        "[[rule]]\nname = 'A'\nwhen.area_codes = ['415']\nskip = 'near'",
        "countries = ['US']",
    ],
)
def test_what_has_no_pseudonym_or_was_not_looked_for_is_refused_wherever_it_stands(toml: str) -> None:
    with pytest.raises(RecordingError, match="there is no pseudonym"):
        Redactor(KEY).rules(toml)


def test_a_rule_asks_for_the_texts_that_stand_for_what_was_met_and_is_as_asked() -> None:
    redactor = Redactor(KEY)
    toml = "customer.value = { at_least = 100 }\ncustomer.tier = { matches = '^g' }\nparams.Menu = ['1', '2']"
    assert set(redactor.look_for(toml)) == {"value", "tier"}
    rows = [{"value": value, "name": "Ann"} for value in ("99", "100", "250", "")]
    below, at, above, empty = (
        redactor.customer(Customer(f"+1415555010{place}", None, "1", attributes=row)).attributes
        for place, row in enumerate(rows)
    )
    assert at == above != below == empty and len(at) == 1
    menus = [parameters(redactor.record(menu(pressed))) for pressed in ("1", "2", "3")]
    assert menus[0] == menus[1] != menus[2]
    rules = parse(redactor.rules(toml))
    (value, tests) = next(iter(at.items())), rules.customer or {}
    assert tests[value[0]].any_of == (value[1],)
    [unmet] = [test for name, test in tests.items() if name != value[0]]
    assert len(unmet.any_of) == 1 and not unmet.holds(value[1])
    assert rules.params == {menus[0][0][0]: ValueTest(any_of=(menus[0][0][1],))}


def menu(pressed: str) -> Record:
    return Record(datetime(2026, 3, 12, tzinfo=UTC), "POST", "/twilio/status", form=(("Menu", pressed),))


def test_two_spellings_that_a_rule_distinguishes_and_a_recording_does_not_are_refused() -> None:
    redactor = Redactor(KEY)
    redactor.look_for("params.From = '+14155550142'")
    with pytest.raises(RecordingError, match="shown as the same"):
        for spelled in ("+14155550142", "(415) 555-0142"):
            form = (("From", spelled),)
            redactor.record(Record(datetime(2026, 3, 12, tzinfo=UTC), "POST", "/twilio/status", form=form))


def test_a_revenue_that_a_template_makes_stays_one_and_one_of_a_customers_column_is_left_out() -> None:
    redactor = Redactor(KEY)
    toml = "revenue = '{duration_seconds}.50'\n[[rule]]\nname = 'A'\nconvert.revenue = '{customer.value}'"
    redactor.look_for(toml)
    rules = parse(redactor.rules(toml))
    assert rules.revenue == "{duration_seconds}.50"
    assert rules.blocks[0].own is not None
    who = redactor.customer(Customer(CALLER, None, "1", attributes={"value": "12.00"}))
    assert revenue_of(rules.blocks[0].own.revenue, customer_fields(who)) is None


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


def test_an_export_has_the_columns_that_the_rules_look_at_and_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    Path("offhook.toml").write_text('[[rule]]\nname = "A"\nwhen.customer.tier = "gold"\nskip = "bad"\n')
    app = create_app()
    run = app.test_cli_runner().invoke
    assert run(args=["db", "upgrade"]).exit_code == 0
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.merge_customers([Customer(CALLER, None, "1", attributes={"tier": "gold", "name": "Ann"})])
    params = {
        "CallSid": f"CA{1:032x}",
        "AccountSid": f"AC{1:032x}",
        "From": CALLER,
        "To": OURS,
        "CallStatus": "completed",
    }
    form = "application/x-www-form-urlencoded"
    arrived = read_request(
        "POST", "/twilio/status", form, {}, urlencode(params).encode(), datetime.now(UTC), params["AccountSid"]
    )
    assert isinstance(arrived, tuple)
    ledger.append(arrived)
    ledger.close()
    options = ["recordings", "export", "--key", KEY.decode(), "--output", "calls.jsonl", "--rules", "rules.toml"]
    with app.app_context():
        without = run(args=options)
        done = run(args=[*options, "--customers", "customers.csv"])
    assert without.exit_code == 2 and "name --customers, too" in without.output
    assert done.exit_code == 0, done.output
    [rule] = parse(Path("rules.toml").read_text()).blocks
    assert rule.when.customer is not None
    [[column, test]] = rule.when.customer.items()
    header, row = Path("customers.csv").read_text().splitlines()
    assert header == f"phone,email,customer_id,{column}" and row.endswith(f",{test.any_of[0]}")


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
