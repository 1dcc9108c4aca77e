"""Every reason word that Offhook writes down: its sentence for a person, and what can be done. Decides nothing.

A word is the same in log, ledger, command and page. Those of the rules' conditions stand with the conditions, and are here
as well. A name that ends in `*` stands for all words that begin so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from offhook.pipeline.delivery import (
    LATER_STATUSES,
    MAYBE_SENT_STATUSES,
    NOT_TAKEN_STATUSES,
    REFUSED_STATUSES,
    Result,
)
from offhook.pipeline.rules.conditions import EVERY

_WHETHER = (
    "Rockerbox's Webhooks page says whether it has arrived; if it has not, `flask conversions retry CALLSID --yes` sends it "
    "again."
)
_AGAIN = "It is sent again by itself until OFFHOOK_RETRY_HORIZON_SECONDS are over."
_MAYBE = (
    "It is sent again by itself as far as OFFHOOK_RESEND_AMBIGUOUS allows. Where it rests as ambiguous or quarantined, "
    f"{_WHETHER}"
)
# What an attempt came to -> what becomes of its conversion, whatever the reason word is.
AFTERWARDS: Mapping[str, str] = {
    Result.RETRY: _AGAIN,
    Result.BLOCKED: _AGAIN,
    Result.REFUSED: "Its answer says why: correct the rules or the mapping, then `flask conversions retry CALLSID --rebuild`.",
    Result.MAYBE_SENT: _MAYBE,
    Result.LEASE_EXPIRED: _MAYBE,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a reason: its sentences, of which one is said, with {names} for what differs from call to call
    ({word} is the word itself), and what to do about it, empty where nothing is wrong.

    `usually` is the result of an attempt that has this reason, but for settings and circumstances that make it another.
    """

    sentences: tuple[str, ...]
    advice: str = ""
    usually: Result | None = None

    def remedy(self, result: str = "") -> str:
        """What can be done, and what happens by itself: by the attempt's `result`, else by the usual one."""
        return " ".join(filter(None, [self.advice, AFTERWARDS.get(result or self.usually or "", "")]))


_NETWORK = "Check ROCKERBOX_URL, and this machine's network and firewall."
_MAPPED = "the call waits, and is looked at again by itself when the mapping changes."
_PROXY = "Check whether the proxy of OFFHOOK_EGRESS_PROXY runs and can be reached."
_SHUT = (
    "Rockerbox, or something in front of it, takes nothing from us: check ROCKERBOX_URL and ROCKERBOX_ADVERTISER_ID, and "
    "ask whether this address is blocked."
)
_NO_END = (
    "Set the status callback on the number itself (Twilio console, Phone Numbers, the number, Call status changes); for a "
    "call by the API its StatusCallback, with the event completed. One on <Number> or <Dial> reports child legs alone."
)

OF_DECISIONS: Mapping[str, Known] = {
    "counts": Known(("All is as the rules {version} ask.",)),
    **{each.reason: Known((each.sentence,), each.remedy) for each in EVERY},
    "no_root_leg": Known(("Only callbacks of its child legs have arrived, none of the call itself.",), _NO_END),
    "unfinished": Known(
        (
            "No final status of the call itself came within {hours} h (its last is {status}, legs: {legs}).",
            "No final status of the call itself came within {hours} h (no callback of its own has arrived, legs: {legs}).",
        ),
        _NO_END,
    ),
    "caller_not_in_mapping": Known(
        (
            "No customer has the number {number}.",
            "No customer has the number {number}, which cannot be read as a phone number of any country.",
        ),
        f"Import a list of customers that has the number (`flask customers import FILE`): {_MAPPED}",
    ),
    "several_customers": Known(
        (
            "{people} customers have the number {phone}, so nobody is credited. The call waits until the mapping gives the "
            "number to one of them.",
        ),
        f"Import a list in which one customer has the number (`flask customers show NUMBER` says who has it): {_MAPPED}",
    ),
    "decided_anew": Known(
        ("A person asked for it after it was refused: by the rules and the mapping of then.",),
    ),
}

OF_CONVERSIONS: Mapping[str, Known] = {
    "new": Known(("It was decided, and no attempt has been made yet.",)),
    "rebuilt": Known(("A person asked for it to be decided anew, and other bytes are sent.",)),
    "asked_by_a_person": Known(("A person asked for it to be sent again.",)),
    "stopped": Known(("The worker stopped before it was sent, and gave it back.",)),
    "lease_too_short": Known(("It had waited in the worker for too long to be sent in time, and was given back.",)),
    "late_answer": Known(("The answer that it was delivered came late, when its worker was thought to be gone.",)),
    "horizon_passed": Known(
        ("It was tried until OFFHOOK_RETRY_HORIZON_SECONDS were over.",),
        "Its attempts show what kept it out. Once that is mended, `flask conversions retry CALLSID` sends it again.",
    ),
    "leases_expired": Known(
        ("Workers that sent it were killed or stalled, too often to try once more.",),
        f"Find out what stops the workers while they send it. {_WHETHER}",
    ),
    "day_turned": Known(
        (
            "It may have arrived, and was held before it was sent again: a second copy might arrive on another day of "
            "Rockerbox's and count, or OFFHOOK_RESEND_AMBIGUOUS allows none.",
        ),
        _WHETHER,
    ),
}

# By the default of OFFHOOK_MAYBE_SENT_STATUSES; the attempt's result is right whatever that is.
_BY_STATUS: tuple[tuple[frozenset[int], Known], ...] = (
    (REFUSED_STATUSES, Known(("Rockerbox refuses these bytes ({word}).",), usually=Result.REFUSED)),
    (LATER_STATUSES, Known(("Rockerbox asks to come later ({word}).",), usually=Result.RETRY)),
    (NOT_TAKEN_STATUSES, Known(("Rockerbox failed, and did not take it ({word}).",), usually=Result.RETRY)),
    (
        MAYBE_SENT_STATUSES,
        Known(("Something before Rockerbox gave up waiting for its answer ({word}).",), usually=Result.MAYBE_SENT),
    ),
)


def _attempt(sentence: str, usually: Result, advice: str = "") -> Known:
    return Known((sentence,), advice, usually)


OF_ATTEMPTS: Mapping[str, Known] = {
    "delivered": Known(("Rockerbox took it.",)),
    **{f"http_{status}": known for statuses, known in _BY_STATUS for status in sorted(statuses)},
    "http_4*": _attempt("It was not let in ({word}), whatever its bytes are.", Result.BLOCKED, _SHUT),
    "http_5*": _attempt("An answer that nobody knows ({word}).", Result.MAYBE_SENT),
    "redirect": _attempt(
        "Its address leads elsewhere, and customers' data are never sent after it.", Result.BLOCKED, _SHUT
    ),
    "bad_answer": _attempt("What came back is no answer that can be read.", Result.MAYBE_SENT),
    "deadline": _attempt("No answer came in time.", Result.MAYBE_SENT),
    "no_answer": _attempt("The connection was closed without an answer.", Result.MAYBE_SENT),
    "reset": _attempt("The connection broke before an answer came.", Result.MAYBE_SENT),
    "connection_lost": _attempt("The connection broke before anything was sent.", Result.RETRY),
    "error": _attempt("It could not be sent; the log has the kind of the error.", Result.MAYBE_SENT),
    "unexpected_*": _attempt(
        "A fault of Offhook's own while it was sent ({word}); the log has its traceback.", Result.MAYBE_SENT
    ),
    "lease_expired": _attempt(
        "The worker that sent it was killed, or stalled for longer than a lease.", Result.LEASE_EXPIRED
    ),
    "dns": _attempt("The host of ROCKERBOX_URL has no address.", Result.RETRY, _NETWORK),
    "dns_timeout": _attempt("The look-up of the host of ROCKERBOX_URL took too long.", Result.RETRY, _NETWORK),
    "connect_refused": _attempt("Nobody listens at the host of ROCKERBOX_URL.", Result.RETRY, _NETWORK),
    "connect_timeout": _attempt("The host of ROCKERBOX_URL does not answer.", Result.RETRY, _NETWORK),
    "connect_failed": _attempt("The host of ROCKERBOX_URL cannot be reached.", Result.RETRY, _NETWORK),
    "tls": _attempt(
        "The other side cannot prove that it is Rockerbox, or speaks no TLS that we do.",
        Result.RETRY,
        "No conversion gets through. Where a company's network opens TLS, name the file of its authority (PEM) in "
        "OFFHOOK_CA_FILE; else check ROCKERBOX_URL and this machine's clock.",
    ),
    "tls_timeout": _attempt("The other side took too long to agree on TLS.", Result.RETRY, _NETWORK),
    "proxy_4*": _attempt(
        "The proxy of OFFHOOK_EGRESS_PROXY lets nothing through ({word}).",
        Result.RETRY,
        "No conversion gets through. Check the address, user and password in OFFHOOK_EGRESS_PROXY, and whether the proxy "
        "lets this machine reach the host of ROCKERBOX_URL.",
    ),
    "proxy_*": _attempt("The way through the proxy of OFFHOOK_EGRESS_PROXY is shut ({word}).", Result.RETRY, _PROXY),
}

REASONS: Mapping[str, Known] = {**OF_DECISIONS, **OF_CONVERSIONS, **OF_ATTEMPTS}


def sentence(word: str, which: int = 0, /, **names: object) -> str:
    """One of the sentences of a word, filled in. Raises KeyError for a word that is none."""
    return REASONS[word].sentences[which].format(word=word, **names)


def known(word: str) -> Known | None:
    """What is known of a word; None for one of an older or a newer version."""
    return REASONS.get(word) or REASONS.get(_longest(word, (name for name in REASONS if name.endswith("*"))))


def remedy(word: str, result: str = "") -> str:
    """What can be done about it; empty where nothing is wrong, or the word is not known.

    `result` is what the attempt came to that has this reason, where there was one.
    """
    found = known(word)
    return found.remedy(result) if found else ""


def _longest(word: str, names: Iterable[str]) -> str:
    return max((name for name in names if word.startswith(name[:-1])), key=len, default="")
