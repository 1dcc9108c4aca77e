"""Every reason word that Offhook writes down: its sentence for a person, and what can be done. Decides nothing.

A word is the same in log, ledger, command and page. Those of the rules' conditions stand with the conditions, and are here
as well. A name that ends in `*` stands for all words that begin so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from offhook.pipeline.rules.conditions import EVERY


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a reason: its sentences, of which one is said, with {names} for what differs from call to call
    ({word} is the word itself), and the remedy, empty where nothing is wrong.
    """

    sentences: tuple[str, ...]
    remedy: str = ""


_WHETHER = (
    "Rockerbox's Webhooks page says whether it has arrived; if it has not, `flask conversions retry CALLSID --yes` sends it "
    "again."
)
_MAYBE = f"It is sent again by itself while a second copy cannot count. Where it rests as ambiguous, {_WHETHER}"
_AGAIN = "It is sent again by itself until OFFHOOK_RETRY_HORIZON_SECONDS are over."
_NETWORK = f"Check ROCKERBOX_URL, and this machine's network and firewall. {_AGAIN}"
_MAPPED = "the call waits, and is looked at again by itself when the mapping changes."
_PROXY = f"Check whether the proxy of OFFHOOK_EGRESS_PROXY runs and can be reached. {_AGAIN}"
_SHUT = (
    "Rockerbox, or something in front of it, takes nothing from us: check ROCKERBOX_URL and ROCKERBOX_ADVERTISER_ID, and "
    "ask whether this address is blocked. Conversions wait and are tried again until OFFHOOK_RETRY_HORIZON_SECONDS."
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
        ("It may have arrived, and since then Rockerbox's day has turned, so that a second copy could count.",),
        _WHETHER,
    ),
}

_REFUSED = Known(
    ("Rockerbox refuses these bytes ({word}).",),
    "Its answer says why: correct the rules or the mapping, then `flask conversions retry CALLSID --rebuild`.",
)
_GATEWAY = Known(("A gateway before Rockerbox says that it got no answer ({word}): it may have arrived.",), _MAYBE)
_LATER = Known(("Rockerbox asks to come later ({word}).",), _AGAIN)

OF_ATTEMPTS: Mapping[str, Known] = {
    "delivered": Known(("Rockerbox took it.",)),
    **{f"http_{status}": _REFUSED for status in (400, 409, 410, 413, 414, 415, 422, 431)},
    **{f"http_{status}": _GATEWAY for status in (408, 502, 504, 520, 524, 527)},
    **{f"http_{status}": _LATER for status in (425, 429)},
    "http_4*": Known(("It was not let in ({word}), whatever its bytes are.",), _SHUT),
    "http_5*": Known(("Rockerbox failed ({word}).",), _MAYBE),
    "redirect": Known(("Its address leads elsewhere, and customers' data are never sent after it.",), _SHUT),
    "bad_answer": Known(("What came back is no answer that can be read.",), _MAYBE),
    "deadline": Known(("No answer came in time.",), _MAYBE),
    "no_answer": Known(("The connection was closed without an answer.",), _MAYBE),
    "reset": Known(("The connection broke before an answer came.",), _MAYBE),
    "connection_lost": Known(("The connection broke before anything was sent.",), _AGAIN),
    "error": Known(("It could not be sent; the log has the kind of the error.",), _MAYBE),
    "unexpected_*": Known(("A fault of Offhook's own while it was sent ({word}); the log has its traceback.",), _MAYBE),
    "lease_expired": Known(("The worker that sent it was killed, or stalled for longer than a lease.",), _MAYBE),
    "dns": Known(("The host of ROCKERBOX_URL has no address.",), _NETWORK),
    "dns_timeout": Known(("The look-up of the host of ROCKERBOX_URL took too long.",), _NETWORK),
    "connect_refused": Known(("Nobody listens at the host of ROCKERBOX_URL.",), _NETWORK),
    "connect_timeout": Known(("The host of ROCKERBOX_URL does not answer.",), _NETWORK),
    "connect_failed": Known(("The host of ROCKERBOX_URL cannot be reached.",), _NETWORK),
    "tls": Known(
        ("The other side cannot prove that it is Rockerbox, or speaks no TLS that we do.",),
        "No conversion gets through. Where a company's network opens TLS, name the file of its authority (PEM) in "
        "OFFHOOK_CA_FILE; else check ROCKERBOX_URL and this machine's clock. Conversions wait and are tried again.",
    ),
    "tls_timeout": Known(("The other side took too long to agree on TLS.",), _NETWORK),
    "proxy_4*": Known(
        ("The proxy of OFFHOOK_EGRESS_PROXY lets nothing through ({word}).",),
        "No conversion gets through. Check the address, user and password in OFFHOOK_EGRESS_PROXY, and whether the proxy "
        "lets this machine reach the host of ROCKERBOX_URL. Conversions wait and are tried again.",
    ),
    "proxy_*": Known(("The way through the proxy of OFFHOOK_EGRESS_PROXY is shut ({word}).",), _PROXY),
}

REASONS: Mapping[str, Known] = {**OF_DECISIONS, **OF_CONVERSIONS, **OF_ATTEMPTS}


def sentence(word: str, which: int = 0, /, **names: object) -> str:
    """One of the sentences of a word, filled in. Raises KeyError for a word that is none."""
    return REASONS[word].sentences[which].format(word=word, **names)


def known(word: str) -> Known | None:
    """What is known of a word; None for one of an older or a newer version."""
    return REASONS.get(word) or REASONS.get(_longest(word, (name for name in REASONS if name.endswith("*"))))


def remedy(word: str) -> str:
    """What can be done about it; empty where nothing is wrong, or the word is not known."""
    found = known(word)
    return found.remedy if found else ""


def _longest(word: str, names: Iterable[str]) -> str:
    return max((name for name in names if word.startswith(name[:-1])), key=len, default="")
