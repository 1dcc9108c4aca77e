"""`/search?q=`: the call that is meant, or the customer who has none, at once where it is one; else those that may be, and what to try
where there is none.
"""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.calls import listed
from offhook.adapters.dashboard.parts import Parts, parts
from offhook.adapters.dashboard.who import needs
from offhook.pipeline.finding import Missing, Named, calls_named, counted_calls, typed, why_none
from offhook.pipeline.users import Role

blueprint = Blueprint("search", __name__)
_LONGEST = 200  # characters


@blueprint.get("/search")
@needs(Role.VIEWER)
def shown() -> str | AnyResponse:
    known, name = parts(), typed(request.args.get("q", "")[:_LONGEST])
    limits, stories = known.limits, known.reads.stories
    found = _calls(known, name) if name else Named([])
    if len(found.calls) == 1 and not found.is_more:
        key = found.calls[0].key
        several = len(stories.of_call(key.call_sid)) > 1
        account = key.account_sid if several else None
        return redirect(url_for("call.shown", call_sid=key.call_sid, account=account), 303)
    missing = _why_none(known, name) if name and not found.calls else None
    if missing is Missing.A_CALL:
        return redirect(url_for("customers.shown", q=name), 303)
    return render_template(
        "search.html.jinja",
        q=name,
        rows=listed(counted_calls(stories, found)),
        is_more=found.is_more,
        is_more_numbers=found.is_more_numbers,
        most_numbers=limits.customer_numbers,
        nothing=_SAID[missing] if missing else "",
    )


def _calls(known: Parts, name: str) -> Named:
    reads, limits = known.reads, known.limits
    return calls_named(reads.history, reads.stories, name, known.region, limits.short_rows, limits.customer_numbers)


def _why_none(known: Parts, name: str) -> Missing:
    reads, limits = known.reads, known.limits
    return why_none(reads.stories, reads.find_customers, name, known.region, limits.customer_numbers)


_SAID = {
    Missing.NOT_TAKEN_IN: "Twilio has reported this call, and it is not taken in yet. Look again in a moment.",
    Missing.NOT_REPORTED: "Twilio has not reported this call. If Twilio's console shows it, look there at its request "
    "inspector: was the status callback sent, to which address, and what was the answer?",
    Missing.NO_NUMBER: "No call from or to this number has been reported, and nobody in your customer list has it.",
    Missing.NO_EMAIL: "No customer is known by this email. If they called, the call waits among the unknown callers, or "
    "their number is one of more customers than are kept by name.",
    Missing.NO_NAME: "Nothing goes by this name: no customer, no order and no call.",
}
