"""`flask jobs ...`: long work that people asked for: where it stands, what came of it, and how it is stopped."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.shown import Format, show_done, show_list, show_record, shows
from offhook.pipeline.jobs import Job, JobFile

_LISTED = ("id", "asked_at", "kind", "state", "done", "of_how_many", "asked_by", "sentence")
_NUMBER = click.argument("job_id", type=click.IntRange(1), metavar="JOB")


@click.group(cls=LedgerGroup)
def jobs() -> None:
    """Long work that people asked for in the dashboard; workers do it.

    \b
    flask jobs list
    flask jobs show 12
    flask jobs cancel 12
    """


@jobs.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most jobs shown.")
@shows
@with_appcontext
def list_(limit: int, shown: Format) -> None:
    """List jobs, the newest first, with how far each is.

    Jobs that are over are kept for OFFHOOK_JOB_DAYS.

    \b
    flask jobs list
    flask jobs list --json
    """
    show_list([_row(job) for job in offhook().ledger.jobs.latest(limit)], shown, _LISTED)


def _row(job: Job) -> dict[str, object]:
    progress = job.progress
    return {
        "id": job.id,
        "asked_at": job.asked_at,
        "kind": job.kind,
        "state": job.state,
        "done": progress.done,
        "of_how_many": progress.of_how_many,
        "asked_by": job.asked_by,
        "sentence": progress.sentence,
    }


@jobs.command()
@_NUMBER
@shows
@with_appcontext
def show(job_id: int, shown: Format) -> None:
    """Show a JOB: how far it is, and what came of it.

    Its arguments, its result and its files are shown with it.

    \b
    flask jobs show 12
    flask jobs show 12 --json
    """
    service = offhook()
    show_record(_whole(service, service.ledger.jobs.job(job_id) or _none(job_id)), shown)


def _whole(service: Offhook, job: Job) -> dict[str, object]:
    files = [_file(one) for one in service.ledger.job_files.of_job(job.id)]
    return {**_row(job), **_more(job), "files": files}


def _more(job: Job) -> dict[str, object]:
    names = ("attempts", "started_at", "finished_at", "cancel_asked_at", "arguments", "result")
    return {name: getattr(job, name) for name in names}


def _file(one: JobFile) -> dict[str, object]:
    return {"id": one.id, "role": one.role.value, "name": one.name, "size": one.size}


@jobs.command()
@_NUMBER
@shows
@with_appcontext
def cancel(job_id: int, shown: Format) -> None:
    """Stop a JOB. One that runs stops within seconds; what it has done until then stays done.

    With --json it is the JOB as `flask jobs show` has it.

    \b
    flask jobs cancel 12
    flask jobs cancel 12 --json
    """
    service = offhook()
    job = service.ledger.jobs.job(job_id) or _none(job_id)
    if not job.is_over:
        audit(service, "flask jobs", "job stopped", f"job {job_id}")
        job = service.ledger.jobs.ask_cancel(job_id, service.ledger.clock()) or _none(job_id)
    if job.cancel_asked_at is None:
        fail(f"Job {job_id} is over: {job.state}. {job.progress.sentence}")
    sentence = f"Job {job_id} is cancelled." if job.is_over else f"Job {job_id} is asked to stop."
    show_done(sentence, _whole(service, job), shown)


def _none(job_id: int) -> Job:
    fail(f"There is no job {job_id}; `flask jobs list` lists those that are kept.", 2)
