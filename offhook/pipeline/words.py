"""A reader's words for what became of a call: the same on every page, in `flask explain` and in mails. Decides nothing.

The ledger's own words (states, reasons, verdicts) are for programs; these are for whoever reads, and none of them needs a
dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offhook.pipeline.call import CallState
from offhook.pipeline.delivery import KEY_LACKS
from offhook.pipeline.ports.customers import Source
from offhook.pipeline.story import Verdict
from offhook.pipeline.unfinished import UNFINISHED


@dataclass(frozen=True, slots=True)
class Word:
    """`label` is what is read; `kind` how it looks: ok, wait, bad or skip. `to_do` is what can be done on a page, in general."""

    label: str
    kind: str
    to_do: str


_HELD = (
    "It may be in Rockerbox already. Look at Rockerbox's Webhooks page: if it is not there, send it again here; if it is, "
    "leave it."
)
_REFUSED = "Look at the answer below. Correct the customer or the rules, then decide it again or send it again."
WORDS: Mapping[Verdict, Word] = {
    Verdict.DELIVERED: Word("In Rockerbox", "ok", "Nothing has to be done."),
    Verdict.ON_ITS_WAY: Word("On its way", "wait", "Wait: it goes on by itself."),
    Verdict.UNKNOWN_CALLER: Word(
        "Unknown caller", "wait", "Add the customer; the call is then sent with its own time."
    ),
    Verdict.DOES_NOT_COUNT: Word(
        "Does not count", "skip", "If such calls shall count, change the rules, then decide this call again."
    ),
    Verdict.HELD: Word("Needs you", "bad", _HELD),
    Verdict.REFUSED: Word("Needs you", "bad", _REFUSED),
    Verdict.NOT_FINISHED: Word("Not over yet", "wait", "Wait: it is decided when it is over."),
}
NEEDS_YOU = (Verdict.HELD, Verdict.REFUSED)
"""The verdicts that wait for a person."""

# What can be done about a reason, where it is more than what can be done about the verdict.
_TO_DO: Mapping[str, str] = {
    "several_customers": "Give the number to one of the customers who have it; the call is then sent with its own time.",
    "unknown_too_long": "Add the customer and decide this call again; it is then sent with its own time.",
    "caller_withheld": "Nothing can be done: the caller hides the number, so nobody can be found by it.",
    "caller_not_a_phone": "Nothing can be done: the caller has no phone number by which somebody could be found.",
    "repeat_of": "Nothing has to be done: the earlier call counts for both.",
    "forwarded_by": "Nothing has to be done: the first call counts for both.",
    "called_back": "Nothing has to be done: the pair counts once.",
    "unfinished": (
        "Set the status callback on the number itself (Twilio console, Phone Numbers, the number, Call status changes), so that "
        "the ends of calls are reported."
    ),
    "no_root_leg": (
        "Set the status callback on the number itself (Twilio console, Phone Numbers, the number, Call status changes): "
        "only a leg of this call was reported."
    ),
}
# Reason words whose own spelling says too little, or says it in the ledger's words.
_REASONS: Mapping[str, str] = {
    "caller_not_in_mapping": "not in your customer list",
    "several_customers": "several customers have the number",
    "unknown_too_long": "the caller stayed unknown",
    "caller_withheld": "number withheld",
    "caller_not_a_phone": "the caller is no phone",
    "number_not_listed": "called number is not listed",
    "status": "not answered",
    "direction": "not a call of this direction",
    "counts": "counts",
    "rule_says": "a rule says so",
    "forwarded_by": "forwarded by another call of yours",
    "repeat_of": "called again too soon",
    "called_back": "calls back a missed call",
    "no_root_leg": "only a leg was reported",
    "unfinished": "its end was never reported",
    "not_ended": "not over yet",
    "settling": "it has just ended",
    "being_looked_up": "the caller is being looked up",
    "day_turned": "it may have arrived",
    "horizon_passed": "tried for too long",
    "leases_expired": "sending it was cut off too often",
    "lease_expired": "sending it was cut off",
    "new": "about to be sent",
    "asked_by_a_person": "to be sent again",
    "rebuilt": "decided again",
    "stopped": "about to be sent",
    "lease_too_short": "about to be sent",
    "delivered": "taken by Rockerbox",
    "late_answer": "taken by Rockerbox",
    "deadline": "no answer in time",
    "dns": "no way to Rockerbox",
    "dns_timeout": "no way to Rockerbox",
    "tls": "no safe way to Rockerbox",
    "tls_timeout": "no safe way to Rockerbox",
}
_SHOWS_REASON = (Verdict.DOES_NOT_COUNT, Verdict.HELD, Verdict.REFUSED, Verdict.ON_ITS_WAY, Verdict.UNKNOWN_CALLER)
_PLAIN = (Verdict.UNKNOWN_CALLER, "caller_not_in_mapping")
_NOT_YET: Mapping[str, str] = {
    "settling": "Just ended",
    "being_looked_up": "The caller is being looked up",
    "unfinished": "End never reported",
}


def word_of(verdict: str) -> Word:
    """The word for a verdict. One of a newer version is taken for what is not over."""
    return WORDS[Verdict(verdict)] if verdict in set(Verdict) else WORDS[Verdict.NOT_FINISHED]


def reason_in_words(reason: str) -> str:
    """A reason word as a few words: `too_short` is `too short`, `http_422` is `Rockerbox answered 422`."""
    kind = reason.partition(" ")[0]
    if kind in _REASONS:
        return _REASONS[kind]
    if kind.startswith(KEY_LACKS):
        return f"it lacks {kind.removeprefix(KEY_LACKS)}"
    if kind.startswith("http_") and kind[5:].isdigit():
        return f"Rockerbox answered {kind[5:]}"
    return kind.replace("_", " ")


def label_of(verdict: str, reason: str) -> str:
    """The verdict in words; of a call that is not decided yet, where it stands."""
    if verdict == Verdict.NOT_FINISHED and reason in _NOT_YET:
        return _NOT_YET[reason]
    return word_of(verdict).label


def outcome_in_words(verdict: str, reason: str) -> str:
    """What stands in a row: `Does not count: too short`."""
    label = label_of(verdict, reason)
    if not reason or verdict not in _SHOWS_REASON or (verdict, reason) == _PLAIN:
        return label
    return f"{label}: {reason_in_words(reason)}"


def to_do(verdict: str, reason: str) -> str:
    """What can be done on a page, in a sentence."""
    return _TO_DO.get(reason.partition(" ")[0], word_of(verdict).to_do)


def why_in_words(verdict: str, reason: str) -> str:
    """Why calls are not in Rockerbox, as a row says it that stands for many: `Too short`, `Unknown caller`."""
    if not reason or verdict == Verdict.NOT_FINISHED or (verdict, reason) == _PLAIN:
        return label_of(verdict, reason)
    words = reason_in_words(reason)
    return words[:1].upper() + words[1:]


def counted(count: int, one: str, many: str) -> str:
    """So many of them: "1 call was", "2,000 calls were"."""
    return f"{count:,} {one if count == 1 else many}"


def about_many(verdict: str, reason: str) -> str:
    """What can be done about all calls of a reason together, in a sentence."""
    general = _BY_THE_RULES if verdict == Verdict.DOES_NOT_COUNT else word_of(verdict).to_do
    return _ABOUT_MANY.get(reason.partition(" ")[0], general)


_BY_THE_RULES = "Change the rules if such calls shall count; each call says which of them it was."
_NO_MATCH = "Nothing: nobody can be matched."
_NUMBER_ITSELF = "Set the status callback on the number itself, in Twilio's console."
_ABOUT_MANY: Mapping[str, str] = {
    "not_ended": "Nothing, while they go on.",
    "settling": "Nothing: they are decided in a moment.",
    "being_looked_up": "Nothing: they go on as soon as the source answers.",
    "unfinished": _NUMBER_ITSELF,
    "no_root_leg": _NUMBER_ITSELF,
    "caller_not_in_mapping": "They wait: add the customers, and they are sent with their own time.",
    "several_customers": "They wait: import a list in which one customer has the number.",
    "unknown_too_long": "Add such customers sooner; these calls can be decided again.",
    "caller_withheld": _NO_MATCH,
    "caller_not_a_phone": _NO_MATCH,
    "repeat_of": "Nothing: the earlier call counts for both.",
    "forwarded_by": "Nothing: the first call counts for both.",
    "called_back": "Nothing: the pair counts once.",
    "rule_says": "Change this rule if such calls shall count.",
    "direction": "Name the direction in the rules if such calls shall count.",
    "status": "Name how they ended in the rules if such calls shall count.",
    "too_short": "Lower the least length in the rules if shorter calls shall count.",
    "too_long": "Raise the greatest length in the rules if longer calls shall count.",
    "number_not_listed": "Add the numbers to the rules if their calls shall count.",
    "other_number": "Name the numbers in the rules if their calls shall count.",
    "talk_too_short": "Lower the least length of a talk in the rules if they shall count.",
    "talk_too_long": "Raise the greatest length of a talk in the rules if they shall count.",
    "other_hours": "Change the hours in the rules if these calls shall count.",
    "other_day": "Change the days in the rules if these calls shall count.",
    "other_country": "Name the countries in the rules if their callers shall count.",
    "other_area_code": "Name the area codes in the rules if their callers shall count.",
    "not_in_list": "Add the numbers to the list if their calls shall count.",
}


STATES: Mapping[str, str] = {
    CallState.OPEN: "Not over",
    CallState.SETTLING: "Just ended",
    CallState.CONVERTED: "Counts",
    CallState.PARKED: "Waits for its customer",
    CallState.SKIPPED: "Does not count",
    UNFINISHED: "End never reported",
}
"""Where a call stands, in words."""
SOURCES: Mapping[str, str] = {
    "webhook": "Status callback",
    "event-stream": "Event Streams",
    "amd": "Who answered (detection)",
}
"""How Twilio's word of a call came, in words."""
BROUGHT_BY: Mapping[str, str] = {
    Source.IMPORT: "File",
    Source.SYNC: "List from",
    Source.API: "API",
    Source.LOOKUP: "Looked up in",
    Source.UNDO: "Taken back:",
    Source.DASHBOARD: "By hand,",
}
"""What brought a customer, in words; its name stands behind."""
