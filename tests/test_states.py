"""The tables of moves are obeyed: what is in them happens, and what is not is refused, by Python and by SQL."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.adapters.ledger.legal import is_one_of, may_move
from offhook.adapters.ledger.past import DECIDED
from offhook.adapters.ledger.schema import metadata
from offhook.pipeline.call import CALL_MOVES, UNDECIDED, CallEvent, CallState
from offhook.pipeline.delivery import CONVERSION_MOVES, MOVING, Event, Next, Outcome, Result, State
from offhook.pipeline.diagram import states
from offhook.pipeline.jobs import OVER, JobState
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.states import IllegalMove
from offhook.pipeline.steps import attempt
from tests.fakes import steps as fake_steps
from tests.fakes.callbacks import NOON, raw, sid
from tests.fakes.ledger import MemoryLedger
from tests.support.every_move import Scene, calls, conversions, jobs, rows
from tests.support.processes import REPOSITORY, bare_environment

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent


@pytest.fixture
def scene(tmp_path: Path, sqlite_template: str) -> Iterator[Scene]:
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), tmp_path / "ledger.db")
    made = Scene(str(tmp_path / "ledger.db"))
    yield made
    made.ledger.close()


def test_every_move_of_a_call_is_made(scene: Scene) -> None:
    calls(scene)


def test_every_move_of_a_conversion_is_made(scene: Scene) -> None:
    conversions(scene)


def test_every_move_of_a_job_is_made(scene: Scene) -> None:
    jobs(scene)


def test_without_any_one_row_of_a_table_something_does_not_happen(tmp_path: Path, sqlite_template: str) -> None:
    template = sqlite_template.removeprefix("sqlite:///")
    command = [sys.executable, "-m", "tests.support.every_move", template, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=bare_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    through = json.loads(done.stdout)
    assert len(through) == len(rows()) + 1
    assert [row for row, is_through in through.items() if is_through] == [""], done.stderr


def test_a_move_that_the_table_does_not_have_raises_and_changes_nothing(scene: Scene) -> None:
    sid = scene.converted()
    [sending] = scene.claims().taken
    refused = attempt(sending, Outcome(Result.REFUSED, "http_400", 400), scene.now, scene.now, scene.policy())
    for wrong in (State.DELIVERED, State.PENDING, State.QUARANTINED):
        with pytest.raises(IllegalMove, match="refused leads from sending not to"):
            scene.ledger.finish([replace(refused, next=Next(wrong, "why"))], scene.now)
    scene.conversion_is(sid, "sending")
    assert scene.ledger.database.ask("SELECT count(*) FROM attempts") == (0,)
    scene.ledger.finish([refused], scene.now)
    scene.conversion_is(sid, "dead")


def test_in_memory_a_fold_that_the_table_does_not_have_raises_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = MemoryLedger()
    ledger.append([raw(1, "busy")])
    fake_steps.fold(ledger)
    assert fake_steps.decide(ledger, NOON) == 1
    others = {row: to for row, to in CALL_MOVES.rows.items() if row != (CallState.SKIPPED, CallEvent.FOLD_LATE)}
    monkeypatch.setattr(CALL_MOVES, "rows", others)
    ledger.append([raw(1), raw(2)])
    with pytest.raises(IllegalMove, match="fold_late leads from skipped not to skipped"):
        fake_steps.fold(ledger)
    assert [story.call.callbacks for story in ledger.stories.of_call(sid(1))] == [1]
    assert ledger.stories.of_call(sid(2)) == []


def test_a_table_answers_for_what_it_has_alone() -> None:
    assert CALL_MOVES.check(CallState.PARKED, CallEvent.DECIDE, CallState.SKIPPED) is CallState.SKIPPED
    with pytest.raises(IllegalMove):
        CALL_MOVES.check(CallState.SKIPPED, CallEvent.DECIDE, CallState.CONVERTED)
    with pytest.raises(IllegalMove):
        CONVERSION_MOVES.usual(State.DELIVERED, Event.CLAIM)
    with pytest.raises(IllegalMove):
        CALL_MOVES.only_target(CallEvent.DECIDE)


def test_groups_of_states_are_made_of_the_tables() -> None:
    assert DECIDED == (CallState.CONVERTED, CallState.SKIPPED, CallState.PARKED)
    assert UNDECIDED == (CallState.OPEN, CallState.SETTLING)
    assert MOVING == (State.PENDING, State.SENDING)
    assert {*MOVING, *RESTING, *CONVERSION_MOVES.ends()} == set(State)
    assert set(OVER) == {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


def test_a_new_row_stands_where_its_table_lets_it_begin_and_nowhere_else() -> None:
    assert CALL_MOVES.first(CallState.SETTLING) is CallState.SETTLING
    with pytest.raises(IllegalMove, match="none begins as skipped"):
        CALL_MOVES.first(CallState.SKIPPED)


def test_nothing_leaves_where_a_conversion_has_arrived() -> None:
    assert [row for row in CONVERSION_MOVES.rows if row[0] is State.DELIVERED] == []


def test_every_index_of_some_rows_is_of_rows_that_a_table_knows() -> None:
    """A partial index that says a state in other words than the statements is used by none of them."""
    open_, waiting = is_one_of("state", [CallState.OPEN]), may_move(CONVERSION_MOVES, Event.CLAIM)
    expected = {
        "ix_calls_due": is_one_of("state", [CallState.SETTLING]),
        "ix_calls_parked_at": is_one_of("state", [CallState.PARKED]),
        "ix_calls_waiting": is_one_of("state", [CallState.PARKED]),
        "ix_calls_open": f"{open_} AND decided_at IS NULL",
        "ix_calls_unfinished": f"{open_} AND decided_at IS NOT NULL",
        "ix_conversions_due": waiting,
        "ix_conversions_leases": may_move(CONVERSION_MOVES, Result.LEASE_EXPIRED),
        "ix_conversions_maybe_sent": f"{may_move(CONVERSION_MOVES, Event.TURN_OF_DAY)} AND maybe_sent = 1",
        "ix_conversions_held": may_move(CONVERSION_MOVES, Event.RETRY),
        "ix_conversions_delivered_at": "delivered_at IS NOT NULL",
    }
    found = {
        str(index.name): str(where)
        for name in ("calls", "conversions")
        for index in metadata.tables[name].indexes
        if (where := index.dialect_options["sqlite"]["where"]) is not None
    }
    assert found == expected


def test_the_diagram_in_the_documentation_is_made_of_the_tables() -> None:
    hint = "run `.venv/bin/python -m offhook.pipeline.diagram > docs/states.md`"
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == states(), hint
