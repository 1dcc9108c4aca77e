"""Callbacks assembled from Twilio's log of calls: its REST resource (Calls.json, the CLI's lists) and the Console's CSV.

What Twilio would have posted at the end of the call, as far as the log shows it; each says that it was assembled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from offhook.adapters.recordings.format import Record
from offhook.adapters.recordings.found import Defaults, Found, Unused, form_found, moment
from offhook.pipeline.sids import CALL, LOOSE

ABOUT = "assembled from Twilio's log of calls"
_SID = re.compile(f"{CALL}{LOOSE}{{1,62}}")  # loose: a log that is shown to others has its SIDs made up

# Names of the REST resource (https://www.twilio.com/docs/voice/api/call-resource) and of the Console's columns.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "CallSid": ("sid", "callsid"),
    "AccountSid": ("accountsid",),
    "ParentCallSid": ("parentcallsid", "parentsid"),
    "From": ("from", "fromnumber", "fromformatted"),
    "To": ("to", "tonumber", "toformatted"),
    "Direction": ("direction", "type"),
    "CallStatus": ("status", "callstatus"),
    "CallDuration": ("duration", "callduration", "durationseconds", "durationsec", "durationinseconds", "durations"),
    "AnsweredBy": ("answeredby",),
    "CallerName": ("callername",),
    "ForwardedFrom": ("forwardedfrom",),
    "ApiVersion": ("apiversion",),
}
_TIMES = (
    "endtime",
    "enddate",
    "dateended",
    "starttime",
    "startdate",
    "dateupdated",
    "datecreated",
    "date",
    "timestamp",
)
_DIRECTIONS = {
    "incoming": "inbound",
    "outgoing-api": "outbound-api",
    "outgoing-dial": "outbound-dial",
    "outgoing": "outbound-api",
    "outbound": "outbound-api",
}


def flat_name(name: str) -> str:
    """One spelling of a name: `date_created`, `dateCreated` and `Date Created` are `datecreated`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_call(call: Mapping[str, Any]) -> bool:
    """True for a call of the log: it has a CallSid for its SID, a status, and who called or was called."""
    flat = {flat_name(name): value for name, value in call.items()}
    sid = next((flat[name] for name in _NAMES["CallSid"] if isinstance(flat.get(name), str)), "")
    has_ends = any(flat.get(name) for name in (*_NAMES["From"], *_NAMES["To"]))
    return bool(_SID.fullmatch(sid.strip())) and has_ends and any(flat.get(name) for name in _NAMES["CallStatus"])


def is_header(names: list[str]) -> bool:
    """True when the columns are those of a log of calls."""
    flat = {flat_name(name) for name in names}
    return all(flat & set(_NAMES[name]) for name in ("CallSid", "CallStatus", "From", "To"))


def of_call(call: Mapping[str, Any], defaults: Defaults, place: str) -> Found:
    """The callback that Twilio would have posted when this call ended."""
    flat = {flat_name(name): value for name, value in call.items()}
    params = {name: _first(flat, names) for name, names in _NAMES.items()}
    if not _SID.fullmatch(params["CallSid"]):
        return Unused(place, "a row without the SID of a call")
    at = next((time for name in _TIMES if (time := moment(flat.get(name)))), None)
    if at is None:
        return Unused(place, "a call whose time cannot be read", has_call=True)
    found = form_found(tuple(_parameters(params, at, defaults).items()), at, defaults, place)
    return replace(found, captured=False, about=ABOUT) if isinstance(found, Record) else found


def _first(flat: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """A spreadsheet may have put an apostrophe before a number."""
    return next((str(flat[name]).strip().lstrip("'") for name in names if flat.get(name) not in (None, "")), "")


def _parameters(params: Mapping[str, str], at: datetime, defaults: Defaults) -> dict[str, str]:
    seconds = _seconds(params["CallDuration"])
    made = {
        **params,
        "AccountSid": params["AccountSid"] or defaults.account_sid,
        "Caller": params["From"],
        "Called": params["To"],
        "Direction": _word(params["Direction"], _DIRECTIONS),
        "CallStatus": _word(params["CallStatus"], {}),
        "CallDuration": "" if seconds is None else str(seconds),
        "Duration": "" if seconds is None else str(-(-seconds // 60)),
        "ApiVersion": params["ApiVersion"] or "2010-04-01",
        "Timestamp": format_datetime(at),
        "CallbackSource": "call-progress-events",
        "SequenceNumber": "0",
    }
    always = ("From", "To", "Caller", "Called")
    return {name: value for name, value in made.items() if value or name in always}


def _word(text: str, known: Mapping[str, str]) -> str:
    """The Console writes `No Answer` and `Outgoing API`, callbacks `no-answer` and `outbound-api`."""
    word = re.sub(r"[\s_]+", "-", text.strip().lower())
    return known.get(word, word)


def _seconds(text: str) -> int | None:
    if re.fullmatch(r"[0-9]{1,6}(?:\.0*)?", text):
        return int(float(text))
    clock = re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,2}):(\d\d)", text)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
    words = re.fullmatch(r"(?:(\d+) ?h\w*,? ?)?(?:(\d+) ?m\w*,? ?)?(?:(\d+) ?s\w*)?", text)
    if words and text:
        return sum(int(words[place] or 0) * size for place, size in ((1, 3600), (2, 60), (3, 1)))
    return None
