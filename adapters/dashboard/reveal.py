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


def _of_call(shown: Callable[[CallLine], str | None]) -> Reveal:
    """Of a call, by its CallSid."""

    def reveal(call_sid: str) -> str | None:
        return next((shown(story.call) for story in parts().reads.stories.of_call(call_sid)), None)

    return reveal


def _of_customer(shown: Callable[[Customer], str | None]) -> Reveal:
    """Of who had a number, by the row of the customers' history that says so."""

    def reveal(row: str) -> str | None:
        number = row_number(row)
        line = None if number is None else parts().reads.history.line(number)
        return None if line is None else shown(line.customer)

    return reveal


KINDS: Mapping[str, Reveal] = {
    "caller": _of_call(lambda call: call.customer_phone or call.from_),  # the customer, whoever placed the call
    "calling_number": _of_call(lambda call: call.from_),
    "called_number": _of_call(lambda call: call.to),
    "customer_phone": _of_customer(lambda customer: customer.phone),
    "customer_email": _of_customer(lambda customer: customer.email),
    "customer_id": _of_customer(lambda customer: customer.customer_id),
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
