"""Long work that somebody asks for and a worker does: what may be asked for, where it stands, and how it is asked for.

The states are the table JOB_MOVES; nothing else decides where a job goes. Every kind is safe to repeat: a worker that is
killed leaves a job that the next one takes up, from its checkpoint or from the beginning. How each kind is run stands in
adapters/jobs/; a page knows no more than this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from offhook.pipeline.states import Moves

if TYPE_CHECKING:
    from offhook.pipeline.ports.jobs import Jobs


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What moves a job."""

    CLAIM = "claim"
    GIVE_BACK = "give_back"  # its worker stops, or has lost the database
    LEASE_EXPIRED = "lease_expired"  # its worker was killed or stalled
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"


JOB_MOVES: Moves[JobState, JobEvent] = Moves(
    {
        (JobState.WAITING, JobEvent.CLAIM): (JobState.RUNNING,),
        (JobState.WAITING, JobEvent.CANCEL): (JobState.CANCELLED,),
        (JobState.RUNNING, JobEvent.FINISH): (JobState.DONE,),
        (JobState.RUNNING, JobEvent.FAIL): (JobState.FAILED,),
        (JobState.RUNNING, JobEvent.CANCEL): (JobState.CANCELLED,),
        (JobState.RUNNING, JobEvent.GIVE_BACK): (JobState.WAITING,),
        (JobState.RUNNING, JobEvent.LEASE_EXPIRED): (JobState.WAITING, JobState.FAILED, JobState.CANCELLED),
    }
)
OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""Nothing leads from here."""


def after_lease(attempts: int, most_attempts: int, is_cancelled: bool) -> JobState:
    """Where a job goes whose worker was not heard of in time. Raises IllegalMove where the table has no such move."""
    to = JobState.FAILED if attempts >= most_attempts else JobState.WAITING
    return JOB_MOVES.check(JobState.RUNNING, JobEvent.LEASE_EXPIRED, JobState.CANCELLED if is_cancelled else to)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `of_how_many` (None where nobody knows) in units that `sentence` names."""

    done: int = 0
    of_how_many: int | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as people read it. `arguments` and `result` are what JSON holds; `result` is None until it is done, and where its
    kind has none. `attempts` is how often it was taken up, `asked_by` who wanted it. `sentence` of its progress says
    at the end what came of it, or why it failed.
    """

    id: int
    kind: str
    state: JobState
    asked_by: str
    asked_at: datetime
    arguments: Mapping[str, Any]
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    result: Mapping[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        return self.state in OVER


class FileRole(StrEnum):
    """What a job's file is to it."""

    UPLOAD = "upload"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file that is kept in the ledger, as web and worker may be on different machines. `job_id` is None until a job has it.

    `size` is in bytes, once it `is_whole`; `name` is what to call it where it is downloaded.
    """

    id: int
    job_id: int | None
    role: FileRole
    name: str
    media_type: str
    size: int
    made_at: datetime
    is_whole: bool


class WrongArguments(ValueError):
    """What a job was asked with cannot be used; the text says why."""


# What may be asked for. A field without a default must be given. Times are aware.


@dataclass(frozen=True, slots=True)
class ImportCustomers:
    """A file of customers into the mapping; with `dry_run` what that would change. The rest as options of
    `flask customers import`; None is what the settings say.
    """

    upload: int
    dry_run: bool = False
    replace: bool = False
    yes_retire: bool = False
    columns: tuple[str, ...] | None = None
    country: str | None = None
    conflict: str | None = None
    encoding: str | None = None
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class UndoImport:
    """What an import of the mapping's history did, taken back."""

    import_id: int


@dataclass(frozen=True, slots=True)
class ExportCalls:
    """The calls that match (fields as in CallFilter) as CSV; callers' numbers masked unless `reveal`."""

    since: datetime | None = None
    until: datetime | None = None
    number: str | None = None
    outcome: str | None = None
    reason: str | None = None
    state: str | None = None
    phones: tuple[str, ...] | None = None
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class BacktestRules:
    """What other rules would have made of the calls since then. `rules` is the text of an offhook.toml; None for those that
    hold."""

    since: datetime
    rules: str | None = None


@dataclass(frozen=True, slots=True)
class RetryConversions:
    """Conversions that rest, sent again: those of `call_sids`, else all that match. What may have arrived is left as it is
    unless `also_maybe_sent`; where `maybe_sent` says so only that is wanted, or only what cannot have.
    """

    states: tuple[str, ...] = ()
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    call_sids: tuple[str, ...] | None = None
    also_maybe_sent: bool = False
    maybe_sent: bool | None = None


@dataclass(frozen=True, slots=True)
class QaFile:
    """A month's conversions (`2026-10`) as the file of Rockerbox's Conversion QA, in clear."""

    month: str


@dataclass(frozen=True, slots=True)
class PreflightConversions:
    """What Rockerbox would not count or match of what was made since then. `key` as in ROCKERBOX_DEDUPE_KEY, None for the
    account's."""

    since: datetime
    key: str | None = None


Arguments = (
    ImportCustomers | UndoImport | ExportCalls | BacktestRules | RetryConversions | QaFile | PreflightConversions
)
KINDS: Mapping[str, type[Arguments]] = {
    "import_customers": ImportCustomers,
    "undo_import": UndoImport,
    "export_calls": ExportCalls,
    "backtest": BacktestRules,
    "retry_conversions": RetryConversions,
    "qa_file": QaFile,
    "preflight": PreflightConversions,
}
"""Every kind of job by its name: what it is asked for with."""
_NAMES = {kind: name for name, kind in KINDS.items()}


def enqueue(jobs: Jobs, asked: Arguments, asked_by: str, now: datetime) -> int:
    """Ask for a job; the number by which it is known. `asked_by` names who wants it, for the audit.

    An upload that it names becomes its own. Raises WrongArguments where there is no such upload, and LedgerUnavailable.
    """
    found = jobs.add(_NAMES[type(asked)], as_mapping(asked), asked_by, now, upload=getattr(asked, "upload", None))
    if found is None:
        raise WrongArguments("There is no such upload, it is not whole, or another job has it: upload the file again.")
    return found


def as_mapping(asked: Arguments) -> dict[str, Any]:
    """Arguments as JSON holds them, without those that are as by default."""
    held = ((one, getattr(asked, one.name)) for one in fields(asked))
    return {one.name: _plain(value) for one, value in held if value != one.default}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def read_arguments(kind: type[Any], held: Mapping[str, Any]) -> Any:
    """What `as_mapping` wrote. Raises WrongArguments for what is no argument of this kind, is missing, or is no such value."""
    hints = get_type_hints(kind)
    if unknown := sorted(held.keys() - hints.keys()):
        raise WrongArguments(f"{unknown[0]} is no argument of it in this version.")
    try:
        return kind(**{name: _read(hints[name], value) for name, value in held.items()})
    except (TypeError, ValueError) as error:
        raise WrongArguments(f"its arguments cannot be used: {error}") from None


def _read(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        inner, *_ = (one for one in get_args(hint) if one is not NoneType)
        return None if value is None else _read(inner, value)
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if get_origin(hint) is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if get_origin(hint) is None and type(value) is hint:
        return value
    raise ValueError(f"{json.dumps(value)[:60]} is not of its kind")
