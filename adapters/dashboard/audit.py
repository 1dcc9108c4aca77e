"""`/audit`: who did what, the newest first, by key. For admins."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for

from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.who import needs
from offhook.pipeline.users import AuditFilter, Role

blueprint = Blueprint("audit", __name__)
_DIGITS = 18


@blueprint.get("/audit")
@needs(Role.ADMIN)
def shown() -> str:
    """`?who=`, `?what=`, `?of=` narrow it; `?before=` is the key of the page after."""
    given = {name: request.args.get(name, "").strip() for name in ("who", "what", "of")}
    asked = AuditFilter(given["who"], given["what"], given["of"])
    limit = parts().limits.page_rows
    lines = parts().reads.audit.lines(asked, _key(request.args.get("before", "")), limit + 1)
    more: dict[str, Any] = {name: value for name, value in given.items() if value}
    older = url_for("audit.shown", before=lines[limit - 1].seq, **more) if len(lines) > limit else None
    newest = url_for("audit.shown", **more) if "before" in request.args else None
    return render_template("audit.html.jinja", lines=lines[:limit], given=given, older=older, newest=newest)


def _key(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
