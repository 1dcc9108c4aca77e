"""Showing what is masked: a POST that writes the audit's line first, then shows the one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, abort, render_template, request

from offhook.adapters.dashboard.parts import parts, row_number
from offhook.adapters.dashboard.who import audit, local_path, needs
from offhook.pipeline.customer import Customer
from offhook.pipeline.story import CallLine
from offhook.pipeline.users import Role

blueprint = Blueprint("reveal", __name__)
Reveal = Callable[[str], str | None]


def _call_of(call_sid: str) -> CallLine | None:
    return next((story.call for story in parts().reads.stories.of_call(call_sid)), None)


def _caller_of(call_sid: str) -> str | None:
    """The customer's number of a call, by its CallSid: of a call that we placed it is the number that was called."""
    call = _call_of(call_sid)
    return None if call is None else call.customer_phone or call.from_


def _from_of(call_sid: str) -> str | None:
    call = _call_of(call_sid)
    return None if call is None else call.from_


def _to_of(call_sid: str) -> str | None:
    call = _call_of(call_sid)
    return None if call is None else call.to


def _customer_of(row: str) -> Customer | None:
    """Who had a number, by the row of the customers' history that says so."""
    number = row_number(row)
    line = None if number is None else parts().reads.history.line(number)
    return None if line is None else line.customer


def _phone_of(row: str) -> str | None:
    found = _customer_of(row)
    return None if found is None else found.phone


def _email_of(row: str) -> str | None:
    found = _customer_of(row)
    return None if found is None else found.email


def _id_of(row: str) -> str | None:
    found = _customer_of(row)
    return None if found is None else found.customer_id


KINDS: Mapping[str, Reveal] = {
    "caller": _caller_of,
    "calling_number": _from_of,
    "called_number": _to_of,
    "customer_phone": _phone_of,
    "customer_email": _email_of,
    "customer_id": _id_of,
}
"""What can be shown: the word in the form -> from what the page names it by (never the value itself) to the value."""


@blueprint.post("/reveal")
@needs(Role.OPERATOR)
def shown() -> str:
    kind, of_what = request.form.get("kind", ""), request.form.get("of", "")
    look = KINDS.get(kind) or abort(404)
    value = look(of_what)
    if value is None:
        abort(404)
    audit(f"reveal {kind.replace('_', ' ')}", of_what)
    if request.headers.get("HX-Request"):
        return render_template("revealed.html.jinja", value=value)
    return render_template("reveal.html.jinja", value=value, kind=kind, back=local_path(request.form.get("back")))
