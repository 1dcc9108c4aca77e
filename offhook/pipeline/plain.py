"""What a reader of the dashboard is shown for a verdict and for a reason: plain words, and what can be done. Decides nothing.

reasons.py has the sentences of one call, for who runs Offhook; here are the words for many calls at once, for who reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offhook.pipeline.counting import NOT_ENDED, SETTLING
from offhook.pipeline.story import Verdict


@dataclass(frozen=True, slots=True)
class Plain:
    """`label` is what is shown; `can_be_done` is a sentence, "" where nothing is to be done. `kind` is ok, wait, bad or skip."""

    label: str
    can_be_done: str = ""
    kind: str = "skip"


OF_VERDICTS: Mapping[Verdict, Plain] = {
    Verdict.DELIVERED: Plain("In Rockerbox", "", "ok"),
    Verdict.ON_ITS_WAY: Plain("On its way", "Nothing: it is sent by itself.", "wait"),
    Verdict.HELD: Plain("Needs you", "Look whether Rockerbox has it, then send it again or leave it.", "bad"),
    Verdict.REFUSED: Plain("Needs you", "Read the answer, mend what it names, and send the call again.", "bad"),
    Verdict.UNKNOWN_CALLER: Plain(
        "Unknown caller", "Add the customer: the call is then sent with its own time.", "wait"
    ),
    Verdict.DOES_NOT_COUNT: Plain("Does not count"),
    Verdict.NOT_FINISHED: Plain("Not over yet"),
}

_NO_MATCH = "Nothing: nobody can be matched."
_OF_REASONS: Mapping[str, Plain] = {
    NOT_ENDED: Plain("Not over yet", "Nothing, while the call goes on."),
    SETTLING: Plain("Just ended", "Nothing: it is looked at in a moment."),
    "unfinished": Plain("Twilio never reported the end", "Set the status callback on the number itself, in Twilio's console."),
    "no_root_leg": Plain("Only a forwarded part was reported", "Set the status callback on the number itself, in Twilio's console."),
    "being_looked_up": Plain("The caller is being looked up", "Nothing: it goes on as soon as the source answers."),
    "caller_not_in_mapping": Plain("Unknown caller", "They wait: add the customer, and they are sent with their own time."),
    "several_customers": Plain("Several customers have the number", "They wait: import a list in which one customer has it."),
    "unknown_too_long": Plain("Nobody was known in time", "Add the customers sooner; these calls can be decided again."),
    "caller_withheld": Plain("Withheld number", _NO_MATCH),
    "caller_not_a_phone": Plain("The caller is no phone number", _NO_MATCH),
    "caller_is_ours": Plain("One of your own numbers called", "Nothing: it is no customer's call."),
    "repeat_of": Plain("Called again shortly after", "Nothing: the earlier call counts for both."),
    "forwarded_by": Plain("Passed on by another number", "Nothing: the first call counts for both."),
    "called_back": Plain("Called back after a missed call", "Nothing: the pair counts once."),
    "rule_says": Plain("A rule says so", "Change this rule if such calls shall count."),
    "direction": Plain("Not in a direction that counts", "Name the direction in the rules if such calls shall count."),
    "status": Plain("Nobody answered, or it was cut off", "Name the ending in the rules if such calls shall count."),
    "too_short": Plain("Shorter than the rules ask", "Lower the least length in the rules if shorter calls shall count."),
    "too_long": Plain("Longer than the rules allow", "Raise the greatest length in the rules if longer calls shall count."),
    "number_not_listed": Plain("Not a tracked number", "Add the number to the rules if its calls shall count."),
    "other_number": Plain("Another number than the rules name", "Name the number in the rules if its calls shall count."),
    "answered_otherwise": Plain("Not answered as the rules ask", "Change in the rules who must have answered."),
    "talk_too_short": Plain("Talked for less than the rules ask", "Lower the least talk in the rules if such calls shall count."),
    "talk_too_long": Plain("Talked for longer than the rules allow", "Raise the greatest talk in the rules if they shall count."),
    "other_hours": Plain("Outside the hours that count", "Change the hours in the rules if these calls shall count."),
    "other_day": Plain("On a day that does not count", "Change the days in the rules if these calls shall count."),
    "no_holiday": Plain("Not on a public holiday", "Take the holidays out of the rules if other days shall count."),
    "holiday": Plain("On a public holiday", "Take the holidays out of the rules if they shall count."),
    "not_as_first_call": Plain("Not the first call as the rules ask", "Change in the rules what they ask of first calls."),
    "converted_before": Plain("The caller has counted before", "Shorten the time between two in the rules."),
    "converted_before_of_number": Plain("The caller has counted before, by this number", "Shorten the time between two in the rules."),
    "not_as_withheld": Plain("Not with or without a number as asked", "Change in the rules what they ask of withheld numbers."),
    "other_country": Plain("From another country", "Name the country in the rules if its callers shall count."),
    "other_area_code": Plain("From another area code", "Name the area code in the rules if its callers shall count."),
    "not_in_list": Plain("Not in the list that the rules name", "Add the number to the list if its calls shall count."),
    "other_customer": Plain("Another kind of customer", "Change in the rules which customers count."),
    "other_params": Plain("Without what the rules ask of the call", "Change in the rules what is asked of the call."),
}  # fmt: skip
_OPEN = "Open the calls: each says why."


def of_reason(word: str, outcome: str = "") -> Plain:
    """What a reader is shown for a reason word; one that is not known here is said by its verdict."""
    found = _OF_REASONS.get(word.partition(" ")[0])
    if found is not None:
        return found
    label = OF_VERDICTS[Verdict(outcome)].label if outcome in set(Verdict) else "Another reason"
    return Plain(f"{label}: {word.replace('_', ' ')}" if word else label, _OPEN)


def of_verdict(outcome: str) -> Plain:
    """What a reader is shown for a verdict's word. One of a newer version is said as it is."""
    return OF_VERDICTS[Verdict(outcome)] if outcome in set(Verdict) else Plain(outcome.replace("_", " "))
