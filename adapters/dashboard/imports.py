"""`/customers/imports`: what brought customers, the newest first; what taking one back would do, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import Parts, parts, row_number
from offhook.adapters.dashboard.who import audit, needs, user
from offhook.pipeline.job_kinds import UndoImport, enqueue
from offhook.pipeline.masking import masking
from offhook.pipeline.ports.history import ImportLine
from offhook.pipeline.undoing import Undoing, summed, undoing
from offhook.pipeline.users import Role
from offhook.pipeline.words import BROUGHT_BY

blueprint = Blueprint("imports", __name__)


@blueprint.get("/customers/imports")
@needs(Role.VIEWER)
def shown() -> str:
    """`?before=` is the number of the import behind which the page begins."""
    known, limit, before = parts(), parts().limits.page_rows, row_number(request.args.get("before", ""))
    found = known.reads.history.imports(limit + 1, before)
    return render_template(
        "imports.html.jinja",
        imports=found[:limit],
        sources=BROUGHT_BY,
        older=url_for("imports.shown", before=found[limit - 1].id) if len(found) > limit else None,
        newest=url_for("imports.shown") if before else None,
    )


@blueprint.get("/customers/imports/<import_id>")
@needs(Role.VIEWER)
def one(import_id: str) -> str:
    """An import, and what taking it back would do, as far as it is looked at."""
    known, line = parts(), _line(import_id)
    looked_at = _Bounded(known, line.id)
    counts, samples = summed(looked_at, masking([]))
    return render_template(
        "import.html.jinja",
        line=line,
        sources=BROUGHT_BY,
        counts=counts,
        samples=samples,
        is_whole=looked_at.is_whole,
        most=known.limits.undo_preview_rows,
    )


class _Bounded:
    """What taking an import back does, page by page, up to so many numbers. `is_whole` says afterwards whether that was all."""

    def __init__(self, known: Parts, import_id: int) -> None:
        self._pages = undoing(known.reads.history, import_id)
        self._most = known.limits.undo_preview_rows
        self.is_whole = False

    def __iter__(self) -> Iterator[Undoing]:
        seen = 0
        for page in self._pages:
            yield page
            seen += sum(map(len, (page.restored, page.retired, page.changed_since)))
            if seen >= self._most:
                self.is_whole = next(self._pages, None) is None
                return
        self.is_whole = True


@blueprint.post("/customers/imports/<import_id>/undo")
@needs(Role.OPERATOR)
def undo(import_id: str) -> AnyResponse:
    """Take it back: a job of the worker."""
    line = _line(import_id)
    audit("import taken back", f"import {line.id}")
    job_id = enqueue(parts().ledger.jobs, UndoImport(line.id), user().email, parts().ledger.clock())
    flash("It is being taken back.")
    return redirect(url_for("uploads.job", job_id=job_id), 303)


def _line(import_id: str) -> ImportLine:
    number = row_number(import_id)
    found = parts().reads.history.import_(number) if number else None
    return found or abort(404)
