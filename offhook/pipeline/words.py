"""A reader's words for what became of a call: the same on every page, in `flask explain` and in mails. Decides nothing.

The ledger's own words (states, reasons, verdicts) are for programs; these are for whoever reads, and none of them needs a
dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offhook.pipeline.call import CallState
from offhook.pipeline.ports.customers import Source
from offhook.pipeline.reasons import known, on_pages
from offhook.pipeline.story import COUNTED_UP_TO, Verdict
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

_SHOWS_REASON = (Verdict.DOES_NOT_COUNT, Verdict.HELD, Verdict.REFUSED, Verdict.ON_ITS_WAY, Verdict.UNKNOWN_CALLER)
_PLAIN = (Verdict.UNKNOWN_CALLER, "caller_not_in_mapping")


def word_of(verdict: str) -> Word:
    """The word for a verdict. One of a newer version is taken for what is not over."""
    return WORDS[Verdict(verdict)] if verdict in set(Verdict) else WORDS[Verdict.NOT_FINISHED]


def reason_in_words(reason: str) -> str:
    """A reason word as a few words: `too_short` is `too short`, `http_422` is `Rockerbox answered 422`."""
    return on_pages(reason).short


def label_of(verdict: str, reason: str) -> str:
    """The verdict in words; of a call that is not decided yet, where it stands."""
    not_yet = on_pages(reason).not_yet if verdict == Verdict.NOT_FINISHED else ""
    return not_yet or word_of(verdict).label


def outcome_in_words(verdict: str, reason: str) -> str:
    """What stands in a row: `Does not count: too short`."""
    label = label_of(verdict, reason)
    if not reason or verdict not in _SHOWS_REASON or (verdict, reason) == _PLAIN:
        return label
    return f"{label}: {reason_in_words(reason)}"


def to_do(verdict: str, reason: str) -> str:
    """What can be done on a page, in a sentence."""
    return on_pages(reason).to_do or word_of(verdict).to_do


def why_in_words(verdict: str, reason: str) -> str:
    """Why calls are not in Rockerbox, as a row says it that stands for many: `Too short`, `Unknown caller`."""
    if not reason or verdict == Verdict.NOT_FINISHED or (verdict, reason) == _PLAIN:
        return label_of(verdict, reason)
    words = reason_in_words(reason)
    return words[:1].upper() + words[1:]


def in_general(reason: str) -> str:
    """A reason of many calls: its sentence, where that is the same for each of them, else its few words."""
    found = known(reason)
    sentence = found.sentences[0] if found else "{}"
    if "{" not in sentence.replace("{word}", ""):
        return sentence.format(word=reason)
    words = reason_in_words(reason)
    return words[:1].upper() + words[1:]


def counted(count: int, one: str, many: str) -> str:
    """So many of them: "1 call was", "2,000 calls were"."""
    return f"{count:,} {one if count == 1 else many}"


def bounded(count: int) -> str:
    """A figure of now that nobody counts further than COUNTED_UP_TO: "9,999", then "10,000+"."""
    return f"{COUNTED_UP_TO:,}+" if count > COUNTED_UP_TO else f"{count:,}"


def about_many(verdict: str, reason: str) -> str:
    """What can be done about all calls of a reason together, in a sentence."""
    general = _BY_THE_RULES if verdict == Verdict.DOES_NOT_COUNT else word_of(verdict).to_do
    return on_pages(reason).of_many or general


_BY_THE_RULES = "Change the rules if such calls shall count; each call says which of them it was."


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
