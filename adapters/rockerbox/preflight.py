"""What Rockerbox would make of conversions: which would collapse, which it could not count, what looks like a mistake. Pure.

By https://help.rockerbox.com, pages "Webhooks", "Deduplicating Conversions" and "Standard Conversion Data Formats". Reads no
ledger and no clock: it is given conversions one by one, in the order of their making, and keeps a bounded memory of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from offhook.adapters.rockerbox.checks import Reading, customer_id_problem, read, revenue_problem
from offhook.adapters.rockerbox.dedupe import MAX_KEYS, DedupeKey, FirstOf
from offhook.pipeline.delivery import KEY_LACKS, Resend, State
from offhook.pipeline.story import ConversionLine

MOST_SAMPLES = 5
_MOST_ACTIONS = 1000  # different ones that are counted; whoever has more has put something else into the action


class Level(StrEnum):
    """Whether it is wrong, or may be meant so."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of the account at Rockerbox. `key` is None where nobody has said it: then `order_id` is presumed.

    `day_zone` is where its day turns, `resend` what becomes of a conversion that may have arrived. `tolerance_seconds` is
    how far clocks may differ.
    """

    key: DedupeKey | None = None
    cross_day: bool = False
    day_zone: tzinfo = UTC
    resend: Resend = Resend.SAME_DAY
    tolerance_seconds: float = 5.0

    @property
    def presumed_key(self) -> DedupeKey:
        return self.key or DedupeKey(cross_day=self.cross_day)


@dataclass(frozen=True, slots=True)
class Sample:
    """A conversion by its CallSid, and what was found; empty where that would show a person."""

    call_sid: str
    found: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of finding: what it means, and what to do."""

    level: Level
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how many conversions, and some of them. `count` is None where it is about the account's settings."""

    check: str
    level: Level
    count: int | None
    samples: tuple[Sample, ...]
    sentence: str
    remedy: str


# In the order in which they are reported; docs/rockerbox.md has a row for each.
CHECKS: Mapping[str, Check] = {
    "key_field_missing": Check(
        Level.ERROR,
        "They lack a field of the account's deduplication key, and Rockerbox counts nothing without it.",
        "Give these customers the field (`flask customers import`), then `flask conversions retry CALLSID --rebuild`; or "
        "choose a key in the account that every conversion has, and name it in ROCKERBOX_DEDUPE_KEY.",
    ),
    "collapses": Check(
        Level.ERROR,
        "They have the same deduplication key as an earlier call, so Rockerbox counts the earlier one alone.",
        "Where each call shall count, have the account deduplicate by order_id, and leave order_id in the rules at {call_sid}.",
    ),
    "customer_id_is_email": Check(
        Level.ERROR,
        "Their customer id looks like an email, which Rockerbox asks not to send there.",
        "Put emails into the email column of your customers and import them again (`flask customers import`).",
    ),
    "revenue_format": Check(
        Level.ERROR,
        "Their revenue is not dollars.cents with two places, without symbol or comma.",
        "Correct revenue in the rules (`flask rules check`).",
    ),
    "timestamp_in_the_future": Check(
        Level.ERROR,
        "Their time is later than that at which they were made.",
        "Compare this machine's clock with others (`/readyz` has the database's and Rockerbox's), and look at the callbacks of "
        "such a call (`flask conversions show`).",
    ),
    "format": Check(
        Level.ERROR,
        "They are not as Rockerbox's documentation asks.",
        "Correct what the samples name, in the rules or in your customers.",
    ),
    "resend_counts_twice": Check(
        Level.ERROR,
        "OFFHOOK_RESEND_AMBIGUOUS=always sends again on another day what may have arrived, and a key that holds for one day "
        "counts it twice.",
        "Leave OFFHOOK_RESEND_AMBIGUOUS at same-day; or turn cross-day deduplication on in the account, with a key without "
        "`date`, and set ROCKERBOX_CROSS_DAY=true.",
    ),
    "key_not_set": Check(
        Level.WARNING,
        "ROCKERBOX_DEDUPE_KEY is not set, so order_id is presumed, and nothing is held that Rockerbox would not count.",
        "Look the key up in the account (Deduplicating Conversions), and set ROCKERBOX_DEDUPE_KEY to it.",
    ),
    "crosses_a_day": Check(
        Level.WARNING,
        "They were sent on another day than that of the call: where the day of the key is that of arrival, they are no "
        "duplicates of what was counted on the day of the call.",
        "Nothing, where customers became known later; else look at what delays conversions (`/readyz`). With an order_id "
        "for each call and cross-day deduplication, days do not matter.",
    ),
    "without_email": Check(
        Level.WARNING,
        "They have no email, so Rockerbox can match them by customer id alone.",
        "Add emails to your customers where you have them, and make sure that the Identify pixel collects the customer id.",
    ),
    "action_once": Check(
        Level.WARNING,
        "Their action was used once in this time: it may be a typing error, and Rockerbox lists each as a conversion of its own.",
        "Compare the actions of the rules (`flask rules check`) with those in Rockerbox.",
    ),
}


IN_WORDS: Mapping[str, tuple[str, str]] = {
    "key_field_missing": (
        "They lack a field of the account's deduplication key, and Rockerbox counts nothing without it: what was not sent yet is "
        "kept back.",
        "Give these customers the field under Customers, then decide these calls again; or choose a key in the account that "
        "every conversion has, and have it set here, too.",
    ),
    "collapses": (
        CHECKS["collapses"].sentence,
        "Where each call shall count, have the account deduplicate by the order id, and leave the order id in the rules as it "
        "comes: the call's own id.",
    ),
    "customer_id_is_email": (
        CHECKS["customer_id_is_email"].sentence,
        "Put emails into the email column of your list of customers, and upload it again under Customers.",
    ),
    "revenue_format": (
        CHECKS["revenue_format"].sentence,
        "Correct the revenue in the rules; the page Rules reads it back.",
    ),
    "timestamp_in_the_future": (
        CHECKS["timestamp_in_the_future"].sentence,
        "The page of such a call has its times. Have whoever runs this service compare its clock with others.",
    ),
    "format": (CHECKS["format"].sentence, CHECKS["format"].remedy),
    "resend_counts_twice": (
        "What may have arrived is sent again on another day here, and a key that holds for one day counts it twice.",
        "Have whoever runs this service send such ones again on the same day alone, which is as Offhook comes; or have the account "
        "compare across days, with a key without the date, and have that set here, too.",
    ),
    "key_not_set": (
        "Nobody has said here which deduplication key your account has: the order id is presumed, and nothing is kept back that "
        "Rockerbox would not count.",
        "Look the key up in the account (Deduplicating Conversions), and have whoever runs this service set it.",
    ),
    "crosses_a_day": (
        CHECKS["crosses_a_day"].sentence,
        "Nothing, where customers became known later; else look at Deliveries for what keeps conversions waiting. With an order id "
        "for each call and an account that compares across days, days do not matter.",
    ),
    "without_email": (CHECKS["without_email"].sentence, CHECKS["without_email"].remedy),
    "action_once": (
        CHECKS["action_once"].sentence,
        "Compare the actions in the rules, which the page Rules reads back, with those in Rockerbox.",
    ),
}
"""Of each check what a reader of pages is shown: what it means, and what can be done without a terminal."""


@dataclass(frozen=True, slots=True)
class Report:
    """`is_partial` says that there were more keys than could be remembered, so that only near ones were compared."""

    conversions: int
    without_email: int
    findings: tuple[Finding, ...]
    is_partial: bool

    @property
    def errors(self) -> int:
        return sum(one.level is Level.ERROR for one in self.findings)


@dataclass(slots=True)
class _Found:
    """`count` as in Finding."""

    count: int | None
    samples: list[Sample] = field(default_factory=list)


class Preflight:
    """Conversions as they are looked at. `most_keys` bounds the keys that are remembered."""

    def __init__(self, account: Account, most_keys: int = MAX_KEYS) -> None:
        self._account = account
        self._first = FirstOf(most_keys)
        self._found: dict[str, _Found] = {}
        self._actions: Counter[str] = Counter()
        self._first_with: dict[str, str] = {}
        self._conversions = self._held = self._delivered = 0

    def look(self, line: ConversionLine) -> None:
        """Take one conversion in: the next in the order of their making."""
        self._conversions += 1
        reading = read(line.payload)
        for name, check in _OF_ONE.items():
            if (found := check(line, reading, self._account)) is not None:
                self._note(name, line, found)
        self._look_at_key(line, reading)
        self._count_action(line)

    def _look_at_key(self, line: ConversionLine, reading: Reading) -> None:
        """Does an earlier one have the same key? What Rockerbox refused has none there."""
        key = self._account.presumed_key
        if key.missing(reading.fields):
            if self._account.key is not None:
                self._note_lacking(line, ", ".join(key.missing(reading.fields)))
            return
        if line.state == State.DEAD:
            return
        moment = (reading.occurred_at or line.created_at).astimezone(self._account.day_zone)
        earlier = self._first.of(key.mark(reading.fields, moment, ""), line.key.call_sid)
        if earlier is not None:
            self._note("collapses", line, f"as {earlier}")

    def _note_lacking(self, line: ConversionLine, what: str) -> None:
        if line.state == State.DELIVERED:
            self._delivered += 1
        is_held = line.state != State.DELIVERED and line.reason.startswith(KEY_LACKS)
        self._held += is_held
        stands = "delivered" if line.state == State.DELIVERED else "held" if is_held else ""
        self._note("key_field_missing", line, f"{what} ({stands})" if stands else what)

    def _count_action(self, line: ConversionLine) -> None:
        if line.action in self._actions or len(self._actions) < _MOST_ACTIONS:
            self._actions[line.action] += 1
            self._first_with.setdefault(line.action, line.key.call_sid)

    def _note(self, check: str, line: ConversionLine, what: str) -> None:
        found = self._found.setdefault(check, _Found(0))
        found.count = (found.count or 0) + 1
        if len(found.samples) < MOST_SAMPLES:
            found.samples.append(Sample(line.key.call_sid, what))

    def report(self) -> Report:
        """What was found so far."""
        found = dict(self._found)
        if once := self._used_once():
            found["action_once"] = _Found(len(once), once[:MOST_SAMPLES])
        found |= {name: _Found(None) for name in _of_settings(self._account)}
        without_email = found["without_email"].count if "without_email" in found else 0
        findings = tuple(_finding(name, found[name], self._also(name)) for name in CHECKS if name in found)
        return Report(self._conversions, without_email or 0, findings, self._first.is_partial)

    def _also(self, name: str) -> str:
        """What became of those that lack a field of the key."""
        if name != "key_field_missing":
            return ""
        held = f" Held, not sent: {self._held}." if self._held else ""
        return f"{held} Delivered all the same: {self._delivered}." if self._delivered else held

    def _used_once(self) -> list[Sample]:
        """An action beside others that was used once. A first conversion is no typing error."""
        if len(self._actions) == 1 or len(self._actions) >= _MOST_ACTIONS:
            return []
        return [Sample(self._first_with[action], action) for action, count in self._actions.items() if count == 1]


def _finding(name: str, found: _Found, also: str) -> Finding:
    check = CHECKS[name]
    return Finding(name, check.level, found.count, tuple(found.samples), f"{check.sentence}{also}", check.remedy)


def _of_settings(account: Account) -> Iterator[str]:
    if account.key is None:
        yield "key_not_set"
    elif account.resend is Resend.ALWAYS and account.key.is_of_one_day:
        yield "resend_counts_twice"


_Look = Callable[[ConversionLine, Reading, Account], str | None]
"""What a check finds in one conversion: None for nothing, and "" where what it is would show a person."""


def _customer_id_is_email(_line: ConversionLine, reading: Reading, _account: Account) -> str | None:
    return "" if customer_id_problem(reading.fields) else None


def _revenue(_line: ConversionLine, reading: Reading, _account: Account) -> str | None:
    return str(reading.fields["revenue"]) if revenue_problem(reading.fields) else None


def _in_the_future(line: ConversionLine, reading: Reading, account: Account) -> str | None:
    latest = line.created_at + timedelta(seconds=account.tolerance_seconds)
    at = reading.occurred_at
    return _in_utc(at) if at is not None and at > latest else None


def _format(_line: ConversionLine, reading: Reading, _account: Account) -> str | None:
    """Whatever is wrong beside that which has a check of its own."""
    own = {revenue_problem(reading.fields), customer_id_problem(reading.fields)}
    return "; ".join(one for one in reading.problems if one not in own) or None


def _crosses_a_day(line: ConversionLine, reading: Reading, account: Account) -> str | None:
    """The day of the call, and that of its delivery; of what waits, that of its making."""
    if reading.occurred_at is None or not account.presumed_key.is_of_one_day:
        return None
    called, sent = (
        at.astimezone(account.day_zone).date() for at in (reading.occurred_at, line.delivered_at or line.created_at)
    )
    return f"{called} -> {sent}" if called < sent else None


def _without_email(_line: ConversionLine, reading: Reading, _account: Account) -> str | None:
    return None if _is_there(reading.fields, "email") else ""


_OF_ONE: Mapping[str, _Look] = {
    "customer_id_is_email": _customer_id_is_email,
    "revenue_format": _revenue,
    "timestamp_in_the_future": _in_the_future,
    "format": _format,
    "crosses_a_day": _crosses_a_day,
    "without_email": _without_email,
}


def _is_there(fields: Mapping[str, Any], name: str) -> bool:
    return fields.get(name) not in (None, "")


def _in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def record(report: Report, account: Account, since: datetime, until: datetime) -> dict[str, object]:
    """All of it, as JSON has it."""
    return {
        "ok": not report.errors,
        "since": since,
        "until": until,
        "key": list(account.presumed_key.fields),
        "cross_day": account.cross_day,
        "day_zone": str(account.day_zone),
        "conversions": report.conversions,
        "without_email": report.without_email,
        "is_partial": report.is_partial,
        "findings": report.findings,
    }
