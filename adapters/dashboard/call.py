"""`/calls/<call_sid>`: why this call is in Rockerbox or is not, what can be done, and the buttons that do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.calls import labels_of, listed
from offhook.adapters.dashboard.deciding import decided_again, named
from offhook.adapters.dashboard.parts import Parts, judge_now, parts
from offhook.adapters.dashboard.way import as_came, differences, headline, way
from offhook.adapters.dashboard.who import audit, needs
from offhook.pipeline import sending_again
from offhook.pipeline.call import DECIDABLE_ANEW
from offhook.pipeline.callback import Direction
from offhook.pipeline.can_be_done import May, may, rests
from offhook.pipeline.counting import counted, our_number
from offhook.pipeline.customer import Customer
from offhook.pipeline.explanation import (
    Anew,
    Explanation,
    anew_of,
    explain,
    own_time,
    payload_shown,
    row_of_now,
    rows_of_then,
    would_be_sent,
)
from offhook.pipeline.finding import call_sid as sid_of
from offhook.pipeline.masking import Masking, masking
from offhook.pipeline.phone import caller
from offhook.pipeline.rules_compared import RulesCompared, deciding, rules_compared
from offhook.pipeline.sending_again import compare
from offhook.pipeline.steps import Judge
from offhook.pipeline.story import CallFilter, CallLine, CountedCall, Story
from offhook.pipeline.users import Role, plain_email
from offhook.pipeline.words import BROUGHT_BY, label_of, to_do, word_of

blueprint = Blueprint("call", __name__)
CONSOLE = "https://www.twilio.com/console/voice/calls/logs/"
"""Twilio's page of a call, behind this its CallSid."""
_LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class End:
    """An end of the call: `kind` is one of reveal.KINDS. `ours` is our number where it is that end, which nobody need hide,
    and `label` what the rules call it."""

    name: str
    kind: str
    address: str
    ours: str = ""
    label: str = ""


@blueprint.get("/calls/<call_sid>")
@needs(Role.VIEWER)
def shown(call_sid: str) -> str | tuple[str, int] | AnyResponse:
    """`?account=` is asked for where several accounts have a call of this id."""
    sid = sid_of(call_sid)
    if sid is not None and sid != call_sid:
        return redirect(url_for("call.shown", call_sid=sid, account=request.args.get("account")), 303)
    stories = _stories(call_sid)
    if not stories:
        return _unknown(call_sid), 404
    if len(stories) > 1:
        return render_template("call_accounts.html.jinja", stories=stories)
    return _page(parts(), stories[0])


def _stories(call_sid: str) -> Sequence[Story]:
    """Those of the call; of the account that is named where any is."""
    account = request.values.get("account")
    found = parts().reads.stories.of_call(call_sid)
    return [one for one in found if account in (None, "", one.call.key.account_sid)]


def _story(call_sid: str) -> Story:
    """The one call that a button is about."""
    found = _stories(call_sid)
    return found[0] if len(found) == 1 else abort(404)


def _unknown(call_sid: str) -> str:
    if sid_of(call_sid) is None:
        what = "A call id is CA and 32 of 0-9 and a-f. Search by the caller's number, an email or an order id instead."
    elif parts().reads.stories.has_callbacks(call_sid):
        what = (
            "Twilio has reported it, and it is not taken in yet. Look again in a moment; Set-up says whether all runs."
        )
    else:
        what = (
            "Twilio has not reported this call. If Twilio's console shows it, look there at its request inspector: was the "
            "status callback sent, to which address, and what was the answer?"
        )
    console = CONSOLE + call_sid if sid_of(call_sid) else ""
    return render_template("said.html.jinja", heading="This call is not known", what=what, console=console)


def _page(known: Parts, story: Story) -> str:
    hide = masking([story.call.from_, story.call.to, story.call.customer_phone])
    judge = judge_now(known)
    anew = _anew(known, story, judge)
    found = _explained(known, story, anew, hide)
    others, now, reason = _others(known, story), _customer_now(known, story), counted(story).reason
    would_be = _would_be_sent(anew, judge, hide) if found.conversion is None else None
    sent = found.conversion.payload if found.conversion else would_be
    return render_template(
        "call.html.jinja",
        found=found,
        word=word_of(found.verdict),
        label=label_of(found.verdict, reason),
        sentence=headline(found),
        to_do=to_do(found.verdict, reason),
        may=_may(known, story, judge),
        way=way(found),
        raws=[as_came(raw, hide) for raw in story.callbacks[: known.limits.page_rows]],
        sent=sent,
        own_time=own_time(sent) if sent else None,
        arrival=_arrival(found),
        then=found.decisions[-1].customer if found.decisions else None,
        now=now,
        since=row_of_now(known.reads.history, now) if now else None,
        brought_by=BROUGHT_BY,
        hide=hide,
        same_rules=_same_rules(found, judge),
        compared=_compared(known, found, judge),
        most_sides=known.limits.page_rows,
        deciding=deciding(found.decisions[-1].rule if found.decisions else None, _rule_today(anew)),
        others=listed(others[: known.limits.short_rows]),
        is_more_others=len(others) > known.limits.short_rows,
        differences=differences(found),
        ends=_ends(story.call, labels_of(known), known.region),
        console=CONSOLE + found.call_sid,
    )


def _arrival(found: Explanation) -> datetime | None:
    """When it arrived at Rockerbox; of what may have arrived, when it would have. None of anything else."""
    sent = found.conversion
    if sent is None or sent.delivered_at is not None:
        return sent.delivered_at if sent else None
    return found.attempts[-1].finished_at if sent.maybe_sent and found.attempts else None


def _ends(call: CallLine, labels: Mapping[str, str], country: str) -> list[End]:
    """Who called whom; and the customer, where that is neither: an agent was put through to them."""
    ours, theirs = our_number(call.direction, call.from_, call.to), call.customer_phone or call.from_

    def is_theirs(address: str) -> bool:
        return theirs in (address, caller(address, country, sip_users=True).number)

    ends = [
        End(name, "caller" if is_theirs(address) else kind, address)
        for name, kind, address in (("From", "calling_number", call.from_), ("To", "called_number", call.to))
    ]
    if ours:
        place = 0 if call.direction == Direction.OUTBOUND_API else 1
        ends[place] = replace(ends[place], ours=ours, label=labels.get(ours, ""))
    return ends if any(one.kind == "caller" for one in ends) else [*ends, End("Their number", "caller", theirs)]


def _explained(known: Parts, story: Story, anew: Anew, hide: Masking) -> Explanation:
    phone = story.call.customer_phone
    look_up = known.reads.look_up_of(phone) if phone and not story.decisions else None
    return explain(story, known.read, anew, hide, rows_of_then(known.reads.history, story), look_up)


def _anew(known: Parts, story: Story, judge: Judge | str) -> Anew:
    if isinstance(judge, str):
        return Anew(unknown=judge)
    return anew_of(known.reads.known_calls, story.call.key, judge, known.clock())


def _customer_now(known: Parts, story: Story) -> Customer | None:
    phone = story.call.customer_phone
    return known.reads.find_customers([phone]).get(phone) if phone else None


def _would_be_sent(anew: Anew, judge: Judge | str, hide: Masking) -> dict[str, str] | None:
    """What would be sent today, the customer being known; None where nothing would be."""
    payload = None if isinstance(judge, str) else would_be_sent(anew, judge)
    return None if payload is None else payload_shown(payload, hide)


def _same_rules(found: Explanation, judge: Judge | str) -> bool | None:
    """Whether today's rules are those of the last decision; None where nothing was decided, or the rules cannot be used."""
    if isinstance(judge, str) or not found.decisions:
        return None
    return found.decisions[-1].rules_version == judge.rules.version


def _compared(known: Parts, found: Explanation, judge: Judge | str) -> RulesCompared | None:
    """The rules of then beside those of today; None where they are the same, or cannot be used."""
    if isinstance(judge, str) or _same_rules(found, judge) is not False:
        return None
    return rules_compared(known.rules_of_then(found.decisions[-1].rules_version), judge.rules)


def _rule_today(anew: Anew) -> str | None:
    return anew.decided.decision.because.rule if anew.decided else None


def _may(known: Parts, story: Story, judge: Judge | str) -> May:
    return may(story, rules_hold=not isinstance(judge, str), can_rebuild=_can_rebuild(known, story, judge))


def _can_rebuild(known: Parts, story: Story, judge: Judge | str) -> bool:
    if isinstance(judge, str) or story.conversion is None or not rests(story):
        return False
    [today] = compare(known.reads.rebuilding, [story.conversion], judge, known.lacks, known.clock())
    return today.can_rebuild


def _others(known: Parts, story: Story) -> Sequence[CountedCall]:
    """Other calls of the caller, the newest first: one more than are shown, where there are more."""
    phone = story.call.customer_phone
    if phone is None:
        return ()
    page = known.reads.stories.calls(CallFilter(phones=(phone,)), None, known.limits.short_rows + 2)
    return [one for one in page.calls if one.call.key != story.call.key]


# The buttons. Each makes the step that the command makes.


@blueprint.post("/calls/<call_sid>/customer")
@needs(Role.OPERATOR)
def add_customer(call_sid: str) -> AnyResponse:
    """Say who has the caller's number; this call and others of the number are decided at once where nobody else decides."""
    story = _story(call_sid)
    phone = story.call.customer_phone or abort(404)
    given = customer_given(phone)
    if isinstance(given, str):
        return _back(story, given, "bad")
    also = [story.call.key] if story.call.state in DECIDABLE_ANEW else []
    return _back(story, named(given, story.call.key.call_sid, also))


def customer_given(phone: str) -> Customer | str:
    """The customer of a form's fields `email` and `customer_id`, or a sentence that says what is wrong with them."""
    email, customer_id = (request.form.get(name, "").strip() for name in ("email", "customer_id"))
    if not email and not customer_id:
        return "Give an email or a customer id: Rockerbox finds the customer by one of them."
    if email and plain_email(email) is None:
        return "That is no email address."
    if len(customer_id) > _LONGEST_ID or not (customer_id or "-").isprintable():
        return f"A customer id has at most {_LONGEST_ID} characters, all of which can be seen."
    as_sent = email.lower() if parts().lower_emails else email
    return Customer(phone, as_sent or None, customer_id or None)


@blueprint.post("/calls/<call_sid>/decide")
@needs(Role.OPERATOR)
def decide_again(call_sid: str) -> AnyResponse:
    """Decide a call that waits or does not count, by today's rules and customers."""
    story = _story(call_sid)
    if story.call.state not in DECIDABLE_ANEW or isinstance(judge_now(parts()), str):
        return _back(story, "It cannot be decided again now.", "bad")
    audit("decide again", story.call.key.call_sid)
    done = decided_again([story.call.key])
    if done is None:
        return _back(story, "Calls are being decided right now. Try again in a moment.", "bad")
    return _back(story, "It was decided again." if done else "It stands as it did: more of it has just arrived.")


@blueprint.post("/calls/<call_sid>/retry")
@needs(Role.OPERATOR)
def retry(call_sid: str) -> AnyResponse:
    """Send again what rests; what may have arrived only where somebody says to have looked."""
    story = _story(call_sid)
    row = story.conversion
    if row is None or not rests(story):
        return _back(story, "There is nothing to send again: look at how it stands now.", "bad")
    if row.maybe_sent and request.form.get("looked") != "yes":
        return _back(story, "It may be in Rockerbox already. Look there first, and say that you did.", "bad")
    if lacks := sending_again.uncounted([row], parts().lacks).get(row.key):
        return _back(
            story, f"It lacks {lacks}, without which Rockerbox counts nothing: add it to the customer first.", "bad"
        )
    audit("send again", row.key.call_sid)
    came = sending_again.send_again(parts().ledger, [row], parts().lacks, parts().ledger.clock())
    return _back(story, "It is sent again in a moment." if came.moved else "It had moved on already.")


@blueprint.post("/calls/<call_sid>/rebuild")
@needs(Role.OPERATOR)
def rebuild(call_sid: str) -> AnyResponse:
    """Decide anew what was refused, where nothing can have been counted, and send what comes of it."""
    story, known = _story(call_sid), parts()
    judge = judge_now(known)
    if story.conversion is None or isinstance(judge, str):
        return _back(story, "It cannot be decided again now.", "bad")
    [today] = compare(known.ledger.rebuilding, [story.conversion], judge, known.lacks, known.clock())
    if not today.can_rebuild:
        return _back(story, "Today's rules and customers come to the same, or it may have arrived.", "bad")
    audit("decide again and send", today.row.key.call_sid)
    done = sending_again.rebuild(known.ledger.rebuilding, known.ledger, [today], known.ledger.clock())
    return _back(story, "It was decided again, and is sent in a moment." if done else "It had moved on already.")


def _back(story: Story, what: str, kind: str = "message") -> AnyResponse:
    flash(what, kind)
    account = request.form.get("account") or None
    return redirect(url_for("call.shown", call_sid=story.call.key.call_sid, account=account), 303)
