"""`/search?q=`: the call that is meant, at once where it is one, else those that may be; and what to try where there is none."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.calls import listed
from offhook.adapters.dashboard.parts import Parts, parts
from offhook.adapters.dashboard.who import needs
from offhook.pipeline.finding import Named, call_sid, calls_named, counted_calls, numbers_of, typed
from offhook.pipeline.phone import caller
from offhook.pipeline.users import Role

blueprint = Blueprint("search", __name__)
_LONGEST = 200  # characters


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is said where no call is found; `is_customer`: somebody in the customer list goes by that name."""

    said: str
    is_customer: bool = False


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
    nothing = _nothing(known, name) if name and not found.calls else Nothing("")
    return render_template(
        "search.html.jinja",
        q=name,
        rows=listed(counted_calls(stories, found)),
        is_more=found.is_more,
        is_more_numbers=found.is_more_numbers,
        most_numbers=limits.customer_numbers,
        nothing=nothing.said,
        customer=url_for("customers.shown", q=name) if nothing.is_customer else None,
    )


def _calls(known: Parts, name: str) -> Named:
    reads, limits = known.reads, known.limits
    return calls_named(reads.history, reads.stories, name, known.region, limits.short_rows, limits.customer_numbers)


def _nothing(known: Parts, name: str) -> Nothing:
    sid, phone = call_sid(name), caller(name, known.region).number
    if sid is not None:
        arrived = known.reads.stories.has_callbacks(sid)
        return Nothing(_ARRIVED if arrived else _NOT_REPORTED)
    numbers = numbers_of(known.reads.stories, name, known.region, known.limits.customer_numbers)
    if known.reads.find_customers(numbers.phones):
        return Nothing(_NO_CALL, is_customer=True)
    if phone:
        return Nothing(_NO_NUMBER)
    return Nothing(_NO_EMAIL if "@" in name else _NO_NAME)


_NO_NUMBER = "No call from or to this number has been reported, and nobody in your customer list has it."
_NO_NAME = "Nothing goes by this name: no customer, no order and no call."
_NO_EMAIL = (
    "No customer is known by this email. If they called, the call waits among the unknown callers, or their number is one of "
    "more customers than are kept by name."
)
_NO_CALL = "This customer is in your customer list, and no call of theirs has been reported."
_ARRIVED = "Twilio has reported this call, and it is not taken in yet. Look again in a moment."
_NOT_REPORTED = (
    "Twilio has not reported this call. If Twilio's console shows it, look there at its request inspector: was the status "
    "callback sent, to which address, and what was the answer?"
)
