"""A service in the tests' own process: calls that are over, what became of their conversions, and a runner of jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.job_files import keep_file, pieces_of
from offhook.pipeline.job_kinds import Arguments, enqueue
from offhook.pipeline.jobs import FileRole, Job, JobState
from offhook.pipeline.steps import attempt, decide_batch, fold_batch
from offhook.service import build, job_runner
from offhook.settings import given
from tests.support.arriving import read_request

ANN, BO = "+14155550100", "+14155550101"
OURS = "+14155550199"
ACCOUNT = "AC00000000000000000000000000000001"
WHO = "marketer@example.com"
FORM = "application/x-www-form-urlencoded"
HOUR = timedelta(hours=1)


class Office:
    """A service in this process, with a worker's runner of jobs, and the commands beside it."""

    def __init__(self, url: str, folder: Path, **changes: str) -> None:
        self.env = {
            "DATABASE_URL": url,
            "ROCKERBOX_ADVERTISER_ID": "for-tests",
            "OFFHOOK_SETTLE_SECONDS": "0",
            "OFFHOOK_CUSTOMERS_NICE": "0",
            **changes,
        }
        settings = given(self.env)
        self.service = build(settings)
        self.ledger: SqlLedger = self.service.ledger
        self.runner = job_runner(settings, self.ledger, self.service.judge)
        self.folder = folder
        self.now = datetime.now(UTC).replace(microsecond=0) - 5 * HOUR
        self._calls = 0

    def receives(self, caller: str, calls: int = 1, **more: str) -> list[str]:
        """So many calls that are over, folded and decided."""
        sids = [f"CA{self._calls + n + 1:032x}" for n in range(calls)]
        self._calls += calls
        callbacks: list[RawCallback] = []
        for sid in sids:
            self.now += timedelta(milliseconds=1)
            params = {"CallSid": sid, "AccountSid": ACCOUNT, "From": caller, "To": OURS, "CallStatus": "completed"}
            body = urlencode(params | {"Direction": "inbound", "CallDuration": "63"} | more).encode()
            found = read_request("POST", "/twilio/status", FORM, {}, body, self.now, ACCOUNT)
            assert isinstance(found, tuple)
            callbacks += found
        for first in range(0, len(callbacks), 100):
            self.ledger.append(callbacks[first : first + 100])
        judge = self.service.judge()
        while fold_batch(self.ledger, judge, 500):
            pass
        while decide_batch(self.ledger, judge, self.now + HOUR, 500):
            pass
        return sids

    def comes_to(self, result: Result, calls: int = 1000) -> None:
        """One attempt at all that waits."""
        self.now += HOUR
        taken = self.ledger.claim(self.now, calls, 60, self.service.policy).taken
        outcome = Outcome(result, "why", 400)
        self.ledger.finish([attempt(one, outcome, self.now, self.now, self.service.policy) for one in taken], self.now)

    def states(self) -> dict[str, int]:
        return dict(self.ledger.stories.conversion_counts())

    def uploads(self, text: str, name: str = "crm.csv") -> int:
        return keep_file(self.ledger.job_files, FileRole.UPLOAD, name, [text.encode()], 10_000_000, self.ledger.clock())

    def asks(self, asked: Arguments) -> int:
        return enqueue(self.ledger.jobs, asked, WHO, self.ledger.clock())

    def job(self, job_id: int) -> Job:
        found = self.ledger.jobs.job(job_id)
        assert found is not None
        return found

    def does(self, asked: Arguments) -> Job:
        job_id = self.asks(asked)
        assert self.runner.once()
        return self.job(job_id)

    def done(self, asked: Arguments) -> dict[str, Any]:
        job = self.does(asked)
        assert (job.state, job.asked_by) == (JobState.DONE, WHO), job.progress.sentence
        assert job.result is not None
        return dict(job.result)

    def result_of(self, job: Job) -> str:
        [file_id] = [one.id for one in self.ledger.job_files.of_job(job.id) if one.role is FileRole.RESULT]
        return b"".join(pieces_of(self.ledger.job_files, file_id)).decode()
