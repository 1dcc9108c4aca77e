"""Files of calls that a worker writes, for whoever wants more than a browser likes to wait for. The list of them is on `/calls`."""

from __future__ import annotations

from dataclasses import fields

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.calls import columns_here, wanted_here
from offhook.adapters.dashboard.parts import parts
from offhook.adapters.dashboard.times import zone_name
from offhook.adapters.dashboard.who import audit, local_path, needs, user
from offhook.adapters.dashboard.work import list_address
from offhook.pipeline.job_kinds import ExportCalls, enqueue
from offhook.pipeline.story import CallFilter
from offhook.pipeline.users import Role

blueprint = Blueprint("exports", __name__)


@blueprint.post("/calls/files")
@needs(Role.OPERATOR)
def ask() -> AnyResponse:
    """Ask for the calls and columns that the address wants, as this reader has them; with `clear` persons whole."""
    wanted, back = wanted_here(), local_path(request.form.get("back") or url_for("calls.shown"))
    if wanted is None:
        flash("Nobody is known by that name, so no call is like that. Take the filter away.", "bad")
        return redirect(back, 303)
    reveal = request.form.get("clear") == "yes"
    audit("calls file asked for", "numbers whole" if reveal else "numbers hidden in part")
    filters = {one.name: getattr(wanted, one.name) for one in fields(CallFilter)}
    columns = tuple(one.name for one in columns_here())
    asked = ExportCalls(**filters, reveal=reveal, columns=columns, zone=zone_name())
    enqueue(parts().ledger.jobs, asked, user().email, parts().clock())
    flash("A worker writes the file now. It stands below as soon as it is done.")
    return redirect(list_address(back, "exports"), 303)
