"""`/audit`: who did what, the newest first, by key; and in a file. For admins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from offhook.adapters.customers.spreadsheet import as_csv
from offhook.adapters.dashboard.filters import moment_of
from offhook.adapters.dashboard.parts import csv_named, parts, row_number
from offhook.adapters.dashboard.times import zone
from offhook.adapters.dashboard.who import audit_taken, needs
from offhook.pipeline.audit_lines import COLUMNS, PAGE, every
from offhook.pipeline.users import AuditFilter, AuditLine, Role

blueprint = Blueprint("audit", __name__)
_FIELDS = ("who", "what", "of", "since", "until")
_LONGEST = 254


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for, as it stands in the address; `wrong` says what could not be read."""

    given: dict[str, str]
    wanted: AuditFilter
    wrong: list[str]


@blueprint.get("/audit")
@needs(Role.ADMIN)
def shown() -> str:
    """`?who=`, `?what=`, `?of=`, `?since=` and `?until=` narrow it; `?before=` is the key of the page after."""
    asked, limit = _asked(), parts().limits.page_rows
    lines = parts().reads.audit.lines(asked.wanted, row_number(request.args.get("before", "")), limit + 1)
    more: dict[str, Any] = dict(asked.given)
    older = url_for("audit.shown", before=lines[limit - 1].seq, **more) if len(lines) > limit else None
    newest = url_for("audit.shown", **more) if "before" in request.args else None
    return render_template(
        "audit.html.jinja",
        lines=lines[:limit],
        asked=asked,
        older=older,
        newest=newest,
        file=url_for("audit.file", **more),
    )


@blueprint.get("/audit.csv")
@needs(Role.ADMIN)
def file() -> Response:
    """All of what is filtered, as `flask audit --all --csv` writes it, without formulas. It has no caller in clear."""
    asked = _asked()
    audit_taken("audit.csv", asked.given)
    return csv_named("audit.csv", _file(every(parts().reads.audit, asked.wanted)))


def _file(lines: Iterator[AuditLine]) -> Iterator[str]:
    header: tuple[tuple[str, ...], ...] = (COLUMNS,)
    while (some := list(islice(lines, PAGE))) or header:
        yield as_csv(chain(header, ([getattr(one, name) for name in COLUMNS] for one in some)))
        header = ()


def _asked() -> Asked:
    """What cannot be read narrows nothing, and is said. Times are the reader's."""
    given = {name: request.args.get(name, "").strip()[:_LONGEST] for name in _FIELDS}
    given = {name: text for name, text in given.items() if text}
    wrong: list[str] = []
    since, until = (moment_of(given, name, zone(), wrong) for name in ("since", "until"))
    wanted = AuditFilter(given.get("who", ""), given.get("what", ""), given.get("of", ""), since, until)
    return Asked(given, wanted, wrong)
