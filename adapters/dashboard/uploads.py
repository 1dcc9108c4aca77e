"""Files of customers that somebody uploads: looked at first, then imported or left. A worker does both (pipeline/job_kinds.py).

Here nothing is read of a file. What a job said of it is shown, at an address that stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import SEEK_END
from typing import Any, cast

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.utils import secure_filename
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.customers.columns import names_of
from offhook.adapters.dashboard.parts import csv_named, parts, row_number
from offhook.adapters.dashboard.who import asked_by_itself, audit, needs, user
from offhook.adapters.dashboard.work import in_words
from offhook.pipeline.customer import CONFLICTS
from offhook.pipeline.job_files import FileTooLarge, keep_file, pieces_of
from offhook.pipeline.job_kinds import ImportCustomers, UndoImport, WrongArguments, enqueue, read_arguments
from offhook.pipeline.jobs import FileRole, Job, JobFile, JobState
from offhook.pipeline.phone import is_region
from offhook.pipeline.users import Role
from offhook.pipeline.words import counted

blueprint = Blueprint("uploads", __name__)
_KINDS = {"import_customers": ImportCustomers, "undo_import": UndoImport}
_SAID = ("columns", "country", "encoding", "conflict")
_ENCODINGS = ("cp1252", "utf-16", "utf-8")
TOO_LARGE = "Gzip it, or take it apart; whoever runs Offhook can import a larger one beside these pages."
"""What can be done about a file that is larger than may be sent."""
_CHUNK_BYTES = 65_536
_LONGEST_NAME = 100


@blueprint.post("/customers/uploads")
@needs(Role.OPERATOR)
def take() -> AnyResponse:
    """Keep a file, and have a worker look at what it would change."""
    file, asked = request.files.get("file"), _asked()
    if file is None or not file.filename:
        asked = "Choose a file first."
    if isinstance(asked, str) or file is None:
        flash(str(asked), "bad")
        return redirect(url_for("customers.shown"), 303)
    name, most = _name_of(file), parts().limits.upload_bytes
    if _bytes_of(file) > most:
        flash(f"{FileTooLarge(name, most)} {TOO_LARGE}", "bad")
        return redirect(url_for("customers.shown"), 303)
    audit("customers looked at", name)
    upload = keep_file(parts().ledger.job_files, FileRole.UPLOAD, name, _chunks_of(file), most, parts().ledger.clock())
    return _begun(replace(asked, upload=upload, dry_run=True))


def _asked() -> ImportCustomers | str:
    """What is said of the file; or a sentence that says what is wrong with that."""
    given = {name: " ".join(request.form.get(name, "").split()) for name in _SAID}
    columns, country = tuple(names_of(given["columns"])), given["country"].upper()
    if columns and (len(columns) != 3 or not columns[0]):
        return 'Name three columns, as "Phone|Mobile, Email, Contact ID"; leave one empty that is not there.'
    if country and not is_region(country):
        return "A country is two letters, as US or GB."
    return ImportCustomers(
        upload=0,
        replace=request.form.get("replace") == "yes",
        yes_retire=request.form.get("yes_retire") == "yes",
        columns=columns or None,
        country=country or None,
        encoding=given["encoding"] if given["encoding"] in _ENCODINGS else None,
        conflict=given["conflict"] if given["conflict"] in CONFLICTS else None,
    )


def size_of(count: int) -> str:
    """Bytes for people, rounded down."""
    return f"{count // 10_000 / 100:g} MB" if count >= 1_000_000 else f"{count // 10 / 100:g} kB"


def _name_of(file: FileStorage) -> str:
    return secure_filename(file.filename or "")[-_LONGEST_NAME:] or "customers"


def _bytes_of(file: FileStorage) -> int:
    """How large it is: whole already, in memory or in a file of this machine."""
    size = file.stream.seek(0, SEEK_END)
    file.stream.seek(0)
    return size


def _chunks_of(file: FileStorage) -> Iterator[bytes]:
    while chunk := file.stream.read(_CHUNK_BYTES):
        yield chunk


def _begun(asked: ImportCustomers) -> AnyResponse:
    """The one place where an import is asked for."""
    job_id = enqueue(parts().ledger.jobs, asked, user().email, parts().ledger.clock())
    return redirect(url_for("uploads.job", job_id=job_id), 303)


@blueprint.get("/customers/jobs/<job_id>")
@needs(Role.VIEWER)
def job(job_id: str) -> str:
    """How far it is, or what came of it."""
    found = _job(job_id)
    asked = _arguments(found)
    return render_template(
        "job.html.jinja",
        job=found,
        is_import=isinstance(asked, ImportCustomers),
        is_look=isinstance(asked, ImportCustomers) and asked.dry_run,
        asked=asked,
        counted=counted,
        name=next((one.name for one in _files(found, FileRole.UPLOAD)), ""),
        result=found.result or {},
        refused=in_words(str((found.result or {}).get("refused") or "")),
        came=bool(found.result) and _is_of_use(cast(dict[str, Any], found.result)),
        why=in_words(found.progress.sentence) if found.state == JobState.FAILED else "",
        has_rejected=bool(_files(found, FileRole.RESULT)),
    )


@blueprint.get("/customers/jobs/<job_id>/progress")
@needs(Role.VIEWER)
@asked_by_itself
def progress(job_id: str) -> str | Response:
    """How far it is: a fragment that the job's page asks for. Once the job is over it has the page loaded anew."""
    found = _job(job_id)
    return Response(headers={"HX-Refresh": "true"}) if found.is_over else _progress(found)


def _progress(found: Job) -> str:
    return render_template("job_progress.html.jinja", job=found)


def _is_of_use(result: dict[str, Any]) -> bool:
    return any(result.get(name) for name in ("added", "changed", "unchanged", "restored", "retired", "removed"))


@blueprint.post("/customers/jobs/<job_id>/import")
@needs(Role.OPERATOR)
def make(job_id: str) -> AnyResponse:
    """Import the file that was looked at, read as it was then. It is another job, with a copy of the file of its own."""
    looked = _job(job_id)
    asked = _arguments(looked)
    if not isinstance(asked, ImportCustomers) or not asked.dry_run or looked.state != JobState.DONE:
        abort(404)
    files = parts().ledger.job_files
    kept = next(iter(_files(looked, FileRole.UPLOAD)), None) or abort(404)
    audit("customers imported", kept.name)
    pieces = pieces_of(files, kept.id)
    upload = keep_file(files, FileRole.UPLOAD, kept.name, pieces, kept.size, parts().ledger.clock())
    return _begun(replace(asked, upload=upload, dry_run=False))


@blueprint.post("/customers/jobs/<job_id>/rejected.csv")
@needs(Role.OPERATOR)
def rejected(job_id: str) -> Response:
    """The rows that were not used, each with its reason, as the job has left them: persons are whole in it."""
    found = _job(job_id)
    kept = next(iter(_files(found, FileRole.RESULT)), None) or abort(404)
    audit("reveal rejected rows", f"job {found.id}")
    return csv_named("rejected.csv", pieces_of(parts().reads.job_files, kept.id))


def _job(job_id: str) -> Job:
    """One about customers; 404 for any other."""
    number = row_number(job_id)
    found = None if number is None else parts().reads.jobs.job(number)
    return found if found is not None and found.kind in _KINDS else abort(404)


def _arguments(found: Job) -> ImportCustomers | UndoImport:
    try:
        return cast("ImportCustomers | UndoImport", read_arguments(_KINDS[found.kind], found.arguments))
    except WrongArguments:  # asked by a newer version
        abort(404)


def _files(found: Job, role: FileRole) -> list[JobFile]:
    return [one for one in parts().reads.job_files.of_job(found.id) if one.role is role]
