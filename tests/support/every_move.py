"""Every move of a call, of a conversion and of a job, made on a real ledger, each seen to lead where it should.

    python -m tests.support.every_move TEMPLATE FOLDER

That is done with the tables as they are and once without each of their rows, and of the states in which they let a new one
begin. A process is forked for each: statements are made of the tables while the ledger's modules are read, and a row is missing
from before that.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from offhook.pipeline import call, delivery
from offhook.pipeline.jobs import JOB_MOVES
from offhook.pipeline.states import Moves

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=2)  # longer than any lease here and than any wait; all of it is one day
NEW = "new"
ACCOUNT, ANN, NOBODY = "AC00000000000000000000000000000001", "+14155550142", "+14155550144"


def tables() -> dict[str, Moves[Any, Any]]:
    return {"call": call.CALL_MOVES, "conversion": delivery.CONVERSION_MOVES, "job": JOB_MOVES}


def rows() -> list[tuple[str, str, str]]:
    """Every row of the tables, and where a new call, conversion or job may stand, for which the event is NEW."""
    found = [(name, state, NEW) for name, table in tables().items() for state in table.begin]
    return found + [(name, state, event) for name, table in tables().items() for state, event in table.rows]


def remove(name: str, state: str, event: str) -> None:
    table = tables()[name]
    if event == NEW:
        assert state in table.begin
        table.begin = tuple(each for each in table.begin if each != state)
        return
    [row] = [row for row in table.rows if row == (state, event)]
    del table.rows[row]


class Scene:
    """A ledger whose tables are as they are now; one call after another."""

    def __init__(self, file: str) -> None:
        from offhook.adapters.ledger.store import SqlLedger
        from offhook.adapters.rockerbox.payload import encode
        from offhook.adapters.twilio.reading import read
        from offhook.pipeline.customer import Customer
        from offhook.pipeline.ends import Numbering
        from offhook.pipeline.rules import Rules
        from offhook.pipeline.steps import Judge
        from offhook.settings import given

        self.ledger = SqlLedger(given({"DATABASE_URL": f"sqlite:///{file}"}).database_url)
        self.ledger.migrations.upgrade()
        self.ledger.merge_customers([Customer(ANN, "ann@example.com", "1")])
        self.judge = Judge(Rules(), Numbering("US"), encode, read, settle_seconds=0)
        self.slow = Judge(Rules(), Numbering("US"), encode, read, settle_seconds=9000)
        self.now = NOON
        self._calls = 0

    def sid(self) -> str:
        self._calls += 1
        return f"CA{self._calls:032x}"

    def receives(self, sid: str, status: str = "completed", caller: str = ANN, **more: str) -> str:
        from tests.support.arriving import read_request

        params = {"CallSid": sid, "AccountSid": ACCOUNT, "From": caller, "To": "+14155550100", "CallStatus": status}
        body = urlencode(params | {"Direction": "inbound", "CallDuration": "63"} | more).encode()
        form = "application/x-www-form-urlencoded"
        found = read_request("POST", "/twilio/status", form, {}, body, self.now, ACCOUNT)
        assert isinstance(found, tuple)
        self.ledger.append(found)
        return sid

    def folds(self, judge: Any = None) -> None:
        from offhook.pipeline.steps import fold_batch

        while fold_batch(self.ledger, judge or self.judge, 10):
            pass

    def decides(self) -> None:
        from offhook.pipeline.steps import decide_batch, review_parked_batch

        self.folds()
        decide_batch(self.ledger, self.judge, self.now, 10)
        review_parked_batch(self.ledger, self.judge, self.now, 10)

    def call_is(self, sid: str, state: str) -> None:
        self._is("calls", sid, state)

    def conversion_is(self, sid: str, state: str) -> None:
        self._is("conversions", sid, state)

    def _is(self, table: str, sid: str, state: str) -> None:
        found = self.ledger.database.ask(f"SELECT max(state) FROM {table} WHERE call_sid = '{sid}'")[0]
        assert found == state, f"{table}: {sid} is {found}, not {state}"

    def converted(self) -> str:
        sid = self.receives(self.sid())
        self.decides()
        return sid

    def policy(self, **changes: Any) -> Any:
        from offhook.pipeline.delivery import RetryPolicy

        return RetryPolicy(cap_seconds=60, **changes)

    def claims(self) -> Any:
        self.now += PATIENCE  # whatever waits is due
        return self.ledger.claim(self.now, 10, 60, self.policy())

    def expires(self, **changes: Any) -> Any:
        self.now += PATIENCE
        return self.ledger.expire_leases(self.now, self.policy(**changes))

    def wants(self) -> int:
        """A new job."""
        job_id = self.ledger.jobs.add("undo_import", {"import_id": 7}, "ann@example.com", self.now)
        assert job_id is not None
        return job_id

    def works(self, most_attempts: int = 3) -> list[int]:
        """The fence of the job that a worker takes up now, if there is one; whoever had it has vanished."""
        self.now += PATIENCE
        taken = self.ledger.jobs.claim(self.now, 60, most_attempts).taken
        return [taken.fence] if taken else []

    def job_is(self, job_id: int, state: str) -> None:
        found = self.ledger.jobs.job(job_id)
        assert found is not None and found.state == state, f"job {job_id} is {found and found.state}, not {state}"

    def comes_to(self, result: Any, sending: Any = None, policy: Any = None) -> Any:
        """One attempt, at the only conversion that waits."""
        from offhook.pipeline.delivery import Outcome
        from offhook.pipeline.steps import attempt

        [one] = [sending] if sending else self.claims().taken
        done = attempt(one, Outcome(result, "why", 200), self.now, self.now, policy or self.policy())
        self.ledger.finish([done], self.now)
        return one


def calls(scene: Scene) -> None:
    """Every row of a call's table."""
    sid = scene.receives(scene.sid(), "ringing")
    scene.folds()
    scene.call_is(sid, "open")
    scene.receives(sid, "in-progress")
    scene.folds()
    scene.call_is(sid, "open")
    scene.receives(sid)
    scene.folds(scene.slow)
    scene.call_is(sid, "settling")
    scene.receives(sid, CallDuration="64")
    scene.folds()  # the time to settle is another one now
    scene.call_is(sid, "settling")
    assert scene.ledger.database.ask("SELECT max(settle_at - final_at) FROM calls")[0] == 0
    scene.decides()
    scene.call_is(sid, "converted")
    parked = scene.receives(scene.sid(), caller=NOBODY)
    scene.decides()
    scene.call_is(parked, "parked")
    _customer(scene, NOBODY)
    scene.decides()
    scene.call_is(parked, "converted")
    skipped = scene.receives(scene.sid(), "busy")
    scene.decides()
    scene.call_is(skipped, "skipped")
    _by_other_rules(scene)
    _left_open(scene)
    _in_a_circle(scene)
    _merged(scene)
    _late(scene)
    _with_a_converted_leg(scene)


def _customer(scene: Scene, phone: str) -> None:
    from offhook.pipeline.customer import Customer

    scene.ledger.merge_customers([Customer(phone, "new@example.com", None)])


def _by_other_rules(scene: Scene) -> None:
    """Decided anew, because a person asked: what was skipped, and what waits."""
    from dataclasses import replace

    from offhook.pipeline.callback import CallKey
    from offhook.pipeline.rules import Rules
    from offhook.pipeline.steps import apply_rules

    none = replace(scene.judge, rules=Rules(min_duration_seconds=3600))
    for caller, state in ((ANN, "skipped"), ("+14155550147", "parked")):
        sid = scene.receives(scene.sid(), "busy" if state == "skipped" else "completed", caller)
        scene.decides()
        scene.call_is(sid, state)
        assert apply_rules(scene.ledger, none, [CallKey(ACCOUNT, sid)], scene.now) == 1
        scene.call_is(sid, "skipped")


def _left_open(scene: Scene) -> None:
    from offhook.pipeline.steps import leave_unfinished_batch

    sid = scene.receives(scene.sid(), "ringing")
    scene.folds()
    late = scene.now + timedelta(hours=30)
    [left] = leave_unfinished_batch(scene.ledger, scene.judge, late, 24 * 3600, 10)
    assert left.key.call_sid == sid
    scene.call_is(sid, "open")


def _in_a_circle(scene: Scene) -> None:
    """Two legs, each of which is said to hang from the other: nobody knows whose call that is, so it is not decided."""
    first, second = scene.sid(), scene.sid()
    scene.receives(first)
    scene.folds(scene.slow)
    scene.call_is(first, "settling")
    scene.receives(second, ParentCallSid=first)
    scene.receives(first, ParentCallSid=second, SequenceNumber="7")
    scene.folds(scene.slow)
    scene.call_is(first, "open")


def _merged(scene: Scene) -> None:
    """Whatever a call rested in, it may turn out to be a leg of another."""
    for state in ("open", "settling", "converted", "skipped", "parked"):
        parent, sid = scene.sid(), scene.sid()
        status = {"open": "ringing", "skipped": "busy"}.get(state, "completed")
        scene.receives(sid, status, "+14155550149" if state == "parked" else ANN)
        scene.folds(scene.slow if state == "settling" else None)
        if state != "settling":
            scene.decides()
        scene.call_is(sid, state)
        scene.receives(sid, "completed", ParentCallSid=parent, Direction="outbound-dial", SequenceNumber="7")
        scene.folds(scene.slow)
        scene.call_is(sid, "merged")


def _late(scene: Scene) -> None:
    """What comes to a call that was decided, or is a leg of another one, is taken in where it stands."""
    for state in ("converted", "skipped", "parked"):
        status, caller = "busy" if state == "skipped" else "completed", "+14155550146" if state == "parked" else ANN
        sid = scene.receives(scene.sid(), status, caller)
        scene.decides()
        scene.call_is(sid, state)
        scene.receives(sid, status, caller, CallDuration="64", SequenceNumber="7")
        scene.folds()
        scene.call_is(sid, state)
        assert scene.ledger.database.ask(f"SELECT duration_seconds FROM calls WHERE call_sid = '{sid}'")[0] == 64
    first, second = scene.receives(scene.sid()), scene.receives(scene.sid())
    scene.folds(scene.slow)
    scene.receives(first, ParentCallSid=second, SequenceNumber="7")
    scene.folds(scene.slow)
    scene.call_is(first, "merged")
    scene.receives(second, ParentCallSid=first, SequenceNumber="7")  # a circle, of which the first one is the root
    scene.folds(scene.slow)
    scene.call_is(first, "merged")
    assert scene.ledger.database.ask("SELECT count(*) FROM callbacks WHERE folded = 0")[0] == 0


def _with_a_converted_leg(scene: Scene) -> None:
    """A call whose leg was converted as a call of its own is converted, whatever it rested in but skipped."""
    for state in ("open", "settling", "parked"):
        parent, leg = scene.sid(), scene.converted()
        scene.receives(
            parent, "ringing" if state == "open" else "completed", "+14155550148" if state == "parked" else ANN
        )
        scene.folds(scene.slow if state == "settling" else None)
        if state == "parked":
            scene.decides()
        scene.call_is(parent, state)
        scene.receives(leg, ParentCallSid=parent, Direction="outbound-dial", SequenceNumber="7")
        scene.folds(scene.slow)
        scene.call_is(parent, "converted")


def conversions(scene: Scene) -> None:
    """Every row of a conversion's table."""
    from offhook.pipeline.delivery import Resend, Result

    never = scene.policy(resend=Resend.NEVER)
    for result, state in (("delivered", "delivered"), ("refused", "dead"), ("held", "ambiguous")):
        sid = scene.converted()
        scene.comes_to(Result(result))
        scene.conversion_is(sid, state)
    sid = scene.converted()
    for result in ("retry", "blocked", "released"):
        scene.comes_to(Result(result))
        scene.conversion_is(sid, "pending")
    scene.comes_to(Result.MAYBE_SENT, policy=never)
    scene.conversion_is(sid, "ambiguous")
    _leases(scene)
    _asked_again(scene)
    _rebuilt(scene)
    _rebuilt_before_it_was_sent(scene)
    _day_turned(scene)
    _late_answers(scene)


def _leases(scene: Scene) -> None:
    sid = scene.converted()
    for expired in range(3):
        [_] = scene.claims().taken
        [_] = scene.expires()
        scene.conversion_is(sid, "pending" if expired < 2 else "quarantined")


def _asked_again(scene: Scene) -> None:
    """From wherever a conversion rests that nobody delivered."""
    from offhook.pipeline.delivery import Result

    rows = scene.ledger.stories.conversions(("dead", "ambiguous", "quarantined"), 100)
    assert {row.state for row in rows} == {"dead", "ambiguous", "quarantined"}
    keys = [row.key for row in rows]
    assert scene.ledger.retry(keys, scene.now) == len(keys)
    for sending in scene.claims().taken:
        scene.comes_to(Result.DELIVERED, sending)
    for key in keys:
        scene.conversion_is(key.call_sid, "delivered")


def _rebuilt(scene: Scene) -> None:
    from offhook.pipeline.delivery import Outcome, Result
    from offhook.pipeline.steps import attempt

    sid = scene.converted()
    [one] = scene.claims().taken
    refused = Outcome(Result.REFUSED, "http_400", 400)
    scene.ledger.finish([attempt(one, refused, scene.now, scene.now, scene.policy())], scene.now)
    scene.conversion_is(sid, "dead")
    _decided_anew(scene, sid, one.fence)


def _rebuilt_before_it_was_sent(scene: Scene) -> None:
    from offhook.pipeline.delivery import Result

    sid = scene.converted()
    held = scene.comes_to(Result.HELD)
    scene.conversion_is(sid, "ambiguous")
    _decided_anew(scene, sid, held.fence)


def _decided_anew(scene: Scene, sid: str, fence: int) -> None:
    from offhook.pipeline.callback import CallKey
    from offhook.pipeline.delivery import Result
    from offhook.pipeline.steps import decide_anew

    key, rebuilding = CallKey(ACCOUNT, sid), scene.ledger.rebuilding
    decided = decide_anew(rebuilding.known_calls(), [key], scene.judge, scene.now)
    assert rebuilding.rebuild(decided, {key: fence}, scene.now) == 1
    scene.conversion_is(sid, "pending")
    scene.comes_to(Result.DELIVERED)


def _day_turned(scene: Scene) -> None:
    from offhook.pipeline.delivery import Result

    sid = scene.converted()
    scene.comes_to(Result.MAYBE_SENT)
    scene.conversion_is(sid, "pending")
    scene.now += timedelta(days=1)
    [_] = scene.claims().held
    scene.conversion_is(sid, "ambiguous")


def _late_answers(scene: Scene) -> None:
    """A 2xx that comes when its lease is lost delivers, whatever the conversion rests in by then."""
    from offhook.pipeline.delivery import Resend, Result

    how: dict[str, dict[str, Any]] = {"ambiguous": {"resend": Resend.NEVER}, "quarantined": {"max_expired_leases": 1}}
    for rests in ("pending", "dead", "ambiguous", "quarantined"):
        sid = scene.converted()
        [lost] = scene.claims().taken
        scene.expires(**how.get(rests, {}))
        if rests == "dead":
            scene.comes_to(Result.REFUSED)
        scene.conversion_is(sid, rests)
        scene.comes_to(Result.DELIVERED, lost)
        scene.conversion_is(sid, "delivered")
    sid = scene.converted()
    [lost] = scene.claims().taken
    scene.expires()
    [again] = scene.claims().taken
    scene.comes_to(Result.DELIVERED, lost)
    scene.conversion_is(sid, "sending")  # somebody sends it
    scene.comes_to(Result.MAYBE_SENT, again)
    scene.conversion_is(sid, "delivered")


def jobs(scene: Scene) -> None:
    """Every row of a job's table."""
    from offhook.pipeline.jobs import JobEvent, Progress

    table = scene.ledger.jobs
    ends = ((JobEvent.FINISH, "done"), (JobEvent.FAIL, "failed"), (JobEvent.CANCEL, "cancelled"))
    for event, state in (*ends, (JobEvent.GIVE_BACK, "waiting")):
        job_id = scene.wants()
        scene.job_is(job_id, "waiting")
        [fence] = scene.works()
        scene.job_is(job_id, "running")
        assert table.finish(job_id, fence, event, Progress(), scene.now)
        scene.job_is(job_id, state)
    table.ask_cancel(job_id, scene.now)  # the one that waits again
    scene.job_is(job_id, "cancelled")
    _vanished(scene)


def _vanished(scene: Scene) -> None:
    """Jobs whose workers were killed: one is begun anew and then given up, one had been cancelled."""
    twice = scene.wants()
    assert [len(scene.works()) for _ in range(2)] == [1, 1]
    scene.job_is(twice, "running")
    assert scene.works(most_attempts=2) == []
    scene.job_is(twice, "failed")
    cancelled = scene.wants()
    assert len(scene.works()) == 1
    scene.ledger.jobs.ask_cancel(cancelled, scene.now)
    scene.job_is(cancelled, "running")
    assert scene.works() == []
    scene.job_is(cancelled, "cancelled")


Row = tuple[str, ...]  # the table, the state, the event; () is no row


def goes_through(row: Row, template: str, folder: str) -> bool:
    """Whether every move is made by a process of its own, on ledgers of its own, whose table lacks the row."""
    pid = os.fork()
    if pid == 0:
        try:
            _make_every_move(row, template, Path(folder, "-".join(row) or "whole"))
        except BaseException:
            if not row:  # what a missing row leads to is no fault
                traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _make_every_move(row: Row, template: str, file: Path) -> None:
    """Of a row that is missing, those of its own table."""
    if row:
        remove(*row)
    made = {"call": calls, "conversion": conversions, "job": jobs}
    for moves in [made[row[0]]] if row else made.values():
        copy = f"{file}.{moves.__name__}"
        shutil.copyfile(template, copy)
        moves(Scene(copy))


# Most of what is read, by others and by us.
_ASK_NO_TABLE = (
    "alembic.command",
    "phonenumbers",
    "sqlalchemy.dialects.sqlite",
    "offhook.settings",
    "offhook.adapters.ledger.engine",
    "offhook.adapters.ledger.schema",
    "offhook.adapters.rockerbox.payload",
    "offhook.adapters.twilio.reading",
    "offhook.pipeline.steps",
)


def _read_what_asks_no_table() -> None:
    """Before a process is forked. Whatever asks a table while it is read fails here, as there are none."""
    kept = [(table, table.rows, table.begin) for table in tables().values()]
    for table, _, _ in kept:
        del table.rows, table.begin
    for name in _ASK_NO_TABLE:
        import_module(name)
    for table, moves, begin in kept:
        table.rows, table.begin = moves, begin


def main(template: str, folder: str) -> None:
    _read_what_asks_no_table()
    every: list[Row] = [(), *(tuple(map(str, row)) for row in rows())]
    print(json.dumps({" ".join(row): goes_through(row, template, folder) for row in every}))


if __name__ == "__main__":
    main(*sys.argv[1:])
