"""`/deliveries`: what is on its way to Rockerbox, what it refused, what may have arrived; and sending some of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.filters import SPANS, Asked, as_key, asked_by, mark_of
from offhook.adapters.dashboard.parts import ROWS_OF_A_QUESTION, Parts, parts
from offhook.adapters.dashboard.times import zone
from offhook.adapters.dashboard.way import answer_in_short
from offhook.adapters.dashboard.who import audit, local_path, needs, user
from offhook.adapters.dashboard.work import jobs_listed
from offhook.adapters.rockerbox.dedupe import sent_fields
from offhook.pipeline.callback import CallKey
from offhook.pipeline.deliveries import (
    Show,
    all_again,
    begin_of,
    days_to,
    delivered_on,
    filter_of,
    latency,
    outcomes_by_day,
    resting_of,
)
from offhook.pipeline.delivery import DAY_TURNED, MOVING
from offhook.pipeline.finding import call_sid
from offhook.pipeline.health import blocked_line, pauses_until
from offhook.pipeline.job_kinds import enqueue
from offhook.pipeline.masking import hidden, masking
from offhook.pipeline.sending_again import RESTING, Sorted, in_short, send_again, sort_out
from offhook.pipeline.story import (
    AttemptLine,
    ConversionFilter,
    ConversionLine,
    PageMark,
    Verdict,
    verdict,
)
from offhook.pipeline.users import Role
from offhook.pipeline.words import bounded, counted, outcome_in_words, word_of

blueprint = Blueprint("deliveries", __name__)
SHOWN: Mapping[Show, str] = {
    Show.OPEN: "Not in Rockerbox",
    Show.WAY: "On their way",
    Show.REFUSED: "Refused",
    Show.MAYBE: "May have arrived",
    Show.HELD: "Kept back",
    Show.DONE: "In Rockerbox",
}
_EMPTY: Mapping[Show, str] = {
    Show.OPEN: "Nothing waits: every call that counts is in Rockerbox. What is there stands under In Rockerbox.",
    Show.WAY: "Nothing is on its way. A call that counts stands here a moment after its end; if none does, look at Calls.",
    Show.REFUSED: "Rockerbox has refused nothing. Nothing has to be done.",
    Show.MAYBE: "Of nothing is it unknown whether it arrived. Nothing has to be done.",
    Show.HELD: "Nothing is kept back. Nothing has to be done.",
    Show.DONE: "Nothing is in Rockerbox yet. Look under On their way, or at Calls for why calls do not count.",
}
_FILTERS = ("span", "since", "until", "reason")
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A conversion of the list, with the answer that came last."""

    line: ConversionLine
    latest: AttemptLine | None

    @property
    def verdict(self) -> Verdict:
        return verdict("", self.line.state)

    @property
    def label(self) -> str:
        return outcome_in_words(self.verdict, self.line.reason)

    @property
    def kind(self) -> str:
        return word_of(self.verdict).kind

    @property
    def who(self) -> str:
        """The customer as it is sent: the email, else the id, hidden in part."""
        fields = sent_fields(self.line.payload)
        return hidden(str(fields.get("email") or fields.get("customer_id") or ""))

    @property
    def answer(self) -> str:
        """Persons in it are hidden, the numbers that were sent in any spelling: all that Rockerbox knows of the caller is that."""
        sent = (value for value in sent_fields(self.line.payload).values() if isinstance(value, str))
        hide = masking(value for value in sent if value.startswith("+"))
        return answer_in_short(hide(self.latest.answer)) if self.latest else ""

    @property
    def may_have_arrived(self) -> bool:
        return self.line.maybe_sent and self.verdict is not Verdict.DELIVERED

    @property
    def doubt_is_unsaid(self) -> bool:
        """It may have arrived, and the words of its outcome do not say so."""
        return self.may_have_arrived and self.line.reason != DAY_TURNED

    @property
    def rests(self) -> bool:
        return self.line.state in RESTING

    @property
    def key(self) -> str:
        return f"{self.line.key.account_sid}/{self.line.key.call_sid}"


@blueprint.get("/deliveries")
@needs(Role.VIEWER)
def shown() -> str:
    """`?show=` is one of Show, `?after=` the key of the page after; `span`, `since`, `until` and `reason` narrow the list."""
    known, asked, show = parts(), _asked(request.args), _show(request.args)
    wanted, after = _wanted(show, asked), mark_of(request.args.get("after"))
    page = known.reads.stories.conversions_page(wanted, after, known.limits.page_rows)
    more: dict[str, Any] = {"show": show.value, **_given(asked)}
    way_out, now = known.reads.stories.way_out(), known.clock()
    return render_template(
        "deliveries.html.jinja",
        rows=_rows(known, page.conversions),
        show_now=show,
        every_show=SHOWN,
        counts=_counts(known),
        asked=asked,
        spans=SPANS,
        empty_text="Nothing is like that. Take a filter away to see more." if _given(asked) else _EMPTY[show],
        older=url_for("deliveries.shown", after=as_key(page.after), **more) if page.after else None,
        newest=url_for("deliveries.shown", **more) if after else None,
        with_reason=lambda reason: url_for("deliveries.shown", **(more | {"reason": reason})),
        without_filters=url_for("deliveries.shown", show=show.value),
        way_out=way_out,
        blocked=blocked_line(way_out),
        pauses_until=pauses_until(way_out, now),
        outcomes=_outcomes(known, now),
        days=counted(known.limits.days, "day", "days"),
        recent_days=counted(known.limits.recent_days, "day", "days"),
        latencies=_latencies(known, now),
        can_send=resting_of(wanted) is not None,
        jobs=jobs_listed(known, "retries"),
    )


def _asked(arguments: Mapping[str, str]) -> Asked:
    return asked_by({name: arguments.get(name, "") for name in _FILTERS}, parts().clock(), parts().region)


def _given(asked: Asked) -> dict[str, str]:
    """The filters in an address, for a link that keeps them."""
    return {name: asked.given[name] for name in _FILTERS if name in asked.given}


def _show(arguments: Mapping[str, str]) -> Show:
    """What cannot be read is not asked: then it is all that is not in Rockerbox."""
    name = arguments.get("show", "")
    return Show(name) if name in list(Show) else Show.OPEN


def _wanted(show: Show, asked: Asked) -> ConversionFilter:
    return filter_of(show, asked.wanted.reason, asked.wanted.since, asked.wanted.until)


def _rows(known: Parts, lines: Sequence[ConversionLine]) -> list[Row]:
    latest = known.reads.stories.latest_attempts([line.key for line in lines])
    return [Row(line, latest.get(line.key)) for line in lines]


def _counts(known: Parts) -> dict[str, str]:
    """Figures of now, each counted up to COUNTED_UP_TO and no further."""
    found = known.reads.stories.conversion_counts()
    on_the_way = sum(found.get(state, 0) for state in MOVING)
    needs_you = sum(found.get(state, 0) for state in RESTING)
    return {"on_the_way": bounded(on_the_way), "needs_you": bounded(needs_you)}


def _outcomes(known: Parts, now: datetime) -> list[list[object]]:
    """A row a day for the chart; none where no call counted in all these days."""
    days = days_to(now, known.limits.days, zone())
    bounds = [begin_of(day, zone()).astimezone(UTC) for day in (*days, days[-1] + timedelta(days=1))]
    found = outcomes_by_day(known.reads.tallies.summed(bounds).spans, days, zone())
    rows: list[list[object]] = [[f"{one.day:%b %-d}", one.delivered, one.on_the_way, one.needs_you] for one in found]
    return rows if any(any(row[1:]) for row in rows) else []


def _latencies(known: Parts, now: datetime) -> list[list[object]]:
    """A row a day for the chart, of the newest that were delivered, a page's worth: what is older is not read."""
    most, stories = known.limits.page_rows, known.reads.stories
    days = days_to(now, known.limits.recent_days, zone())
    found = (latency(day, stories.conversions_page(delivered_on(day, zone()), None, most).conversions) for day in days)
    return [
        [f"{one.day:%b %-d}", f"{one.most_seconds:.1f}", f"{one.half_seconds:.1f}", one.looked_at]
        for one in found
        if one
    ]


# Sending again. A preview says what would happen; the step is the one that `flask conversions retry` makes.


@blueprint.post("/deliveries/preview")
@needs(Role.OPERATOR)
def preview() -> AnyResponse:
    """What sending the picked ones again, or all that the filter matches, would do. Changes nothing."""
    known = parts()
    fields = _fields_of_all(known) if request.form.get("all") else [("key", key) for key in _keys_given()]
    chosen, is_more = _looked_at(known, fields)
    if not chosen:
        return _back("Nothing is picked that waits for somebody. Pick some, or send all that are listed.", "bad")
    found = sort_out(chosen, known.lacks)
    if request.form.get("all"):
        fields = [*fields, *(("doubtful", row.key.call_sid) for row in found.doubtful)]
    page = render_template(
        "deliveries_preview.html.jinja",
        found=found,
        fields=fields,
        is_more=is_more,
        at_once=known.limits.at_once,
        doubtful=_rows(known, found.doubtful[: known.limits.page_rows]),
        back=_list(),
    )
    return Response(page)


@blueprint.post("/deliveries/retry")
@needs(Role.OPERATOR)
def retry() -> AnyResponse:
    """Send these again, by a job where the filter says which. What may have arrived only where somebody says to have looked."""
    known = parts()
    looked = request.form.get("looked") == "yes"
    if request.form.get("all"):
        return _ask_for_all(known, looked=looked)
    found = sort_out(_picked(known), known.lacks)
    rows = found.sendable(with_doubtful=looked)
    if not rows:
        return _back(f"Nothing was sent.{_stays(found, looked=looked) or ' It had moved on already.'}", "bad")
    audit("send again", in_short(rows))
    came = send_again(known.ledger, rows, known.lacks, known.ledger.clock())
    return _back(f"{counted(came.moved, 'is', 'are')} sent again in a moment.{_stays(found, looked=looked)}")


def _ask_for_all(known: Parts, *, looked: bool) -> AnyResponse:
    """The jobs: of what may have arrived only those that the preview has named."""
    named = _call_sids_given() if looked else ()
    asked = all_again(_resting(request.form), named)
    if not asked:
        return _back(
            "Nothing was sent: they may be in Rockerbox already. Look there first, and say that you did.", "bad"
        )
    audit("send again", f"all: {SHOWN[_show(request.form)]}; {len(named)} that may have arrived")
    for one in asked:
        enqueue(known.ledger.jobs, one, user().email, known.clock())
    return _back("A worker sends them again now. How far it is stands below the list.")


def _call_sids_given() -> tuple[str, ...]:
    given = (sid for sid in map(call_sid, request.form.getlist("doubtful")) if sid is not None)
    return tuple(dict.fromkeys(given))[: parts().limits.at_once]


def _keys_given() -> list[str]:
    """Those of a form, as Row.key has them: each once, and no more than may be looked at."""
    given = [
        key for key in request.form.getlist("key") if len(key) <= _LONGEST_KEY and "/" in key and key.isprintable()
    ]
    return list(dict.fromkeys(given))[: parts().limits.at_once]


def _picked(known: Parts) -> Sequence[ConversionLine]:
    return known.reads.stories.conversions_of([CallKey(*key.split("/", 1)) for key in _keys_given()])


def _fields_of_all(known: Parts) -> list[tuple[str, str]]:
    """The filters for the second form; what is decided after now is not among what was looked at."""
    asked, now = _asked(request.form), known.clock()
    fields: dict[str, str | None] = {"all": "yes", "show": _show(request.form).value, "reason": asked.wanted.reason}
    fields["since"] = asked.wanted.since.isoformat() if asked.wanted.since else None
    fields["until"] = min(asked.wanted.until or now, now).isoformat()
    return [(name, value) for name, value in fields.items() if value]


def _resting(fields: Mapping[str, str]) -> ConversionFilter:
    asked = _asked(fields)
    wanted = resting_of(_wanted(_show(fields), asked))
    return abort(400) if wanted is None or asked.wrong else wanted


def _looked_at(known: Parts, fields: Sequence[tuple[str, str]]) -> tuple[Sequence[ConversionLine], bool]:
    """The conversions that the fields of a form mean, and whether there are more than are looked at."""
    if not request.form.get("all"):
        return _picked(known), False
    wanted, found = _resting(dict(fields)), list[ConversionLine]()
    after: PageMark | None = None
    while len(found) < known.limits.at_once:
        some = min(known.limits.at_once - len(found), ROWS_OF_A_QUESTION)
        page = known.reads.stories.conversions_page(wanted, after, some)
        found += page.conversions
        if (after := page.after) is None:
            return found, False
    return found, True


def _stays(found: Sorted, *, looked: bool) -> str:
    """What is left as it is, and why; "" where nothing is."""
    why = [
        (0 if looked else len(found.doubtful), "may be in Rockerbox already: look there first, and say that you did."),
        (len(found.lacking), "would not be counted: add what is lacking to the customer first."),
        (len(found.moving), "did not wait for anybody."),
    ]
    return "".join(f" {count:,} {text}" for count, text in why if count)


def _list() -> str:
    """The list that the form was sent from."""
    return local_path(request.form.get("back") or url_for("deliveries.shown"))


def _back(what: str, kind: str = "message") -> AnyResponse:
    flash(what, kind)
    return redirect(_list(), 303)
