"""What of a callback may be shown to anybody: lists of names and words, and limits of numbers. What is in none is nobody's.

A shape proves nothing: a name looks like a word, an extension like a duration. So each list says what Twilio writes, and
where (https://www.twilio.com/docs/voice/twiml#request-parameters, https://www.twilio.com/docs/voice/api/call-resource).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from offhook.adapters.twilio.spelling import (
    ACCOUNT_NAMES,
    ADDRESSES,
    AGENT,
    AGENT_HEADER,
    ENDS,
    EVENT_TYPE,
    REGION_HEADER,
    parsed_time,
)
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.phone import is_region
from offhook.pipeline.rules.templates import ALIASES, FIELDS

PLACES = frozenset(f"{end}{part}" for end in ENDS for part in ("City", "State", "Zip"))
_COUNTRIES = tuple(f"{end}Country" for end in ENDS)
SIDS = frozenset(
    {
        *(
            "CallSid",
            "ParentCallSid",
            "ApplicationSid",
            "RecordingSid",
            "ConferenceSid",
            "QueueSid",
            "DialCallSid",
        ),
        *(
            "AddOnSid",
            "TranscriptionSid",
            "StreamSid",
            "SiprecSid",
            "PaymentSid",
            "FlowSid",
            "ExecutionSid",
            "MessageSid",
        ),
        *(
            "DequeingCallSid",
            "CallSidEndingConference",
            "PhoneNumberSid",
            "TrunkSid",
            "Sid",
            "EventSid",
            "ParentAccountSid",
        ),
        *("sid", "id", "eventSid", "callSid"),
        *ACCOUNT_NAMES,
    }
)
NAMES_OF_PERSONS = frozenset({"CallerName"})

# Names that stay, whatever becomes of their values.
NAMES = frozenset(
    {
        *("CallStatus", "Direction", "CallbackSource", "Timestamp", "SequenceNumber", "ApiVersion", "CallDuration", "Duration"),
        *("AnsweredBy", "MachineDetectionDuration", "StirVerstat", "StirStatus", "StirPassportToken", "SipResponseCode"),
        *("SipCallId", "SipDomain", "SipUsername", "SipSourceIp", "SourceIp", "QueueTime", "ErrorCode", "ErrorMessage", "CallToken"),
        *("RecordingUrl", "RecordingDuration", "RecordingStatus", "RecordingSource", "RecordingTrack", "RecordingChannels"),
        *("RecordingStartTime", "RecordingErrorCode", "TranscriptionText", "TranscriptionStatus", "TranscriptionUrl", "CallerId"),
        *("DialCallStatus", "DialCallDuration", "DialBridged", "DialSipCallId", "DialSipResponseCode", "Digits", "FinishedOnKey"),
        *("SpeechResult", "Confidence", "Language", "UnstableSpeechResult", "StatusCallbackEvent", "FriendlyName", "Muted", "Hold"),
        *("Coaching", "EndConferenceOnExit", "StartConferenceOnEnter", "ReasonConferenceEnded", "Reason", "ParticipantLabel"),
        *("AddOns", "Price", "PriceUnit", "GroupSid", "QueueResult", "CallReason", "CallScreened", "SdkVersion", "Url", "msg"),
        *("specversion", "type", "source", "dataschema", "datacontenttype", "time", "data", "timestamp", "request", "response"),
        *("method", "url", "parameters", "responseCode", "requestDuration", "contentType", "responseBody", "headers", "error"),
        *("requestDateCreated", "dateCreated", "date_created", "level", "product", "productName", "correlation_id", "name"),
        *PLACES,
        *_COUNTRIES,
        *ADDRESSES,
        *SIDS,
        *NAMES_OF_PERSONS,
    }
)  # fmt: skip

SID_KINDS = frozenset(
    [
        *("AC", "CA", "PN", "AP", "RE", "CF", "CP", "QU", "SM", "MM", "SK", "NO", "EZ", "VW", "AB", "AE", "AD", "BU", "CL", "CR"),
        *("DE", "EE", "FW", "FN", "HD", "IS", "KS", "MG", "MZ", "OR", "PK", "PA", "RM", "SD", "SR", "TK", "TR", "US", "UT", "WK"),
    ]
)  # fmt: skip

# Words of a path. The last part of a webhook's address is often a secret, and anything else may name a customer.
PATH_WORDS = frozenset(
    {
        *("", "api", "app", "v1", "v2", "v3", "twilio", "voice", "call", "calls", "phone", "hook", "hooks", "webhook", "webhooks"),
        *("status", "callback", "callbacks", "status-callback", "status_callback", "statuscallback", "call-status", "call_status"),
        *("events", "event", "inbound", "outbound", "incoming", "e", "s", "public", "integrations", "tracking", "ingest", "in"),
    }
)  # fmt: skip

_HEADERS: Mapping[str, frozenset[str]] = {
    "Content-Type": frozenset(
        f"application/{kind}{charset}"
        for kind in ("x-www-form-urlencoded", "json", "cloudevents+json", "cloudevents-batch+json")
        for charset in ("", "; charset=UTF-8", "; charset=utf-8", ";charset=UTF-8", ";charset=utf-8")
    ),
    REGION_HEADER: frozenset({"us1", "us2", "ie1", "au1", "de1", "br1", "jp1", "sg1", "in1", "gb1"}),
    AGENT_HEADER: frozenset(f"{AGENT}{version}" for version in ("1.1", "1.0", "2.0")),
}
_HEADER_DEFAULTS = {"Content-Type": "application/x-www-form-urlencoded", AGENT_HEADER: f"{AGENT}1.1"}


def kept_header(name: str, value: str) -> str:
    """The value of a header where Twilio writes it so, else the usual one, or an empty one."""
    return value if value in _HEADERS.get(name, ()) else _HEADER_DEFAULTS.get(name, "")


_STATUSES = [str(each) for each in Status if each is not Status.UNKNOWN]  # our word for what nobody has said
_DIRECTIONS = [str(each) for each in Direction if each is not Direction.UNKNOWN]
_ATTESTED = [f"TN-Validation-{end}-{level}" for end in ("Passed", "Failed") for level in "ABC"]
_EVENTS = ("", ".call", *(f".call.{word}" for word in (*_STATUSES, "answered")))
_SCHEMAS = ("Voice.WebhookEvent", "Voice.StatusCallback", "Voice.StatusCallbackEvent")

_WORDS: Mapping[str, Iterable[str]] = {
    "CallStatus": _STATUSES,
    "DialCallStatus": [*_STATUSES, "answered"],
    "Direction": [*_DIRECTIONS, "trunking-originating", "trunking-terminating"],
    "CallbackSource": ["call-progress-events"],
    "AnsweredBy": [
        "human",
        "fax",
        "unknown",
        "machine_start",
        *(f"machine_end_{end}" for end in ("beep", "silence", "other")),
    ],
    "StirVerstat": [
        *("TN-Validation-Failed", "No-TN-Validation", *_ATTESTED),
        *(f"{each}-{end}" for each in _ATTESTED for end in ("Diverted", "Passthrough")),
    ],
    "StirStatus": ["A", "B", "C"],
    "RecordingStatus": ["in-progress", "completed", "absent", "failed"],
    "RecordingSource": [
        *("DialVerb", "Conference", "OutboundAPI", "Trunking", "RecordVerb"),
        *("StartCallRecordingAPI", "StartConferenceRecordingAPI"),
    ],
    "RecordingTrack": ["inbound", "outbound", "both"],
    "DialBridged": ["true", "false"],
    "ApiVersion": ["2010-04-01", "2008-08-01"],
    "specversion": ["1.0"],
    "datacontenttype": ["application/json"],
    "method": ["GET", "POST"],
    "type": [f"{EVENT_TYPE}{event}" for event in _EVENTS],
    "dataschema": [
        f"https://events-schemas.twilio.com/{name}/{number}" for name in _SCHEMAS for number in range(1, 10)
    ],
}
_DAY_SECONDS = 86_400  # no call of Twilio's is longer
_NUMBERS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(
        ("CallDuration", "DialCallDuration", "RecordingDuration", "MachineDetectionDuration"), (0, _DAY_SECONDS)
    ),
    **dict.fromkeys(("QueueTime", "requestDuration"), (0, _DAY_SECONDS)),
    "Duration": (0, _DAY_SECONDS // 60),  # minutes
    "SequenceNumber": (0, 999),
    "RecordingChannels": (1, 2),
    **dict.fromkeys(("SipResponseCode", "DialSipResponseCode", "responseCode"), (0, 699)),
    "ErrorCode": (0, 99_999),
}
_TIMES = frozenset(
    {"Timestamp", "timestamp", "time", "requestDateCreated", "dateCreated", "date_created", "RecordingStartTime"}
)
_TIME = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?:19|20)\d\d "
    r"\d\d:\d\d(?::\d\d)? (?:[+-]\d{4}|GMT|UTC)"  # RFC 2822
    r"|(?:19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?"  # ISO 8601
)
_WHEN_STRANGE = {"CallStatus": str(Status.UNKNOWN)}  # without one it is no callback


def _is_time(text: str) -> bool:
    return bool(_TIME.fullmatch(text)) and parsed_time(text) is not None


def _is_within(limits: tuple[int, int]) -> Callable[[str], bool]:
    def within(text: str) -> bool:
        is_number = len(text) <= 6 and text.isascii() and text.isdigit() and text == str(int(text))
        return is_number and limits[0] <= int(text) <= limits[1]

    return within


_TESTS: Mapping[str, Callable[[str], bool]] = {
    **{name: frozenset(words).__contains__ for name, words in _WORDS.items()},
    **{name: _is_within(limits) for name, limits in _NUMBERS.items()},
    **dict.fromkeys(_COUNTRIES, is_region),
    **dict.fromkeys(_TIMES, _is_time),
}


def kept_value(name: str, value: str) -> str | None:
    """The value where it stays, "" (or what stands for it) where it is none of Twilio's; None for a name without a list."""
    test = _TESTS.get(name)
    if test is None:
        return None
    return value if test(value) else _WHEN_STRANGE.get(name, "")


# Words of rules that are nobody's: actions, names of fields, what templates say between their fields.
RULE_WORDS = frozenset(
    {
        *("phone", "call", "calls", "tv", "radio", "inbound", "outbound", "completed", "order", "lead", "conversion", "twilio", "id"),
        *("channel", "campaign", "source", "medium", "market", "brand", "region", "country", "city", "state", "zip", "label", "type"),
        *("duration", "seconds", "minutes", "tracked", "number", "caller", "called", "from", "to", "legs", "status", "direction"),
        *("answered", "by", "at", "ended", "schema", "sid", "account", "offhook", "web", "website", "television", "print", "uk", "us"),
        *("spring", "summer", "autumn", "winter", "new", "again"),
    }
)  # fmt: skip
RULE_NAMES = frozenset({*FIELDS, *ALIASES})
