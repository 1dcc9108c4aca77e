"""Recordings that can be shown to anybody: pseudonyms for whoever is in them, the same ones throughout.

Safe by default: what is not known to be harmless is replaced or emptied, never passed on because nobody thought of it.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from offhook.adapters.recordings.asked import Covers, columns_asked, params_asked
from offhook.adapters.recordings.format import (
    Record,
    RecordingError,
    encoded,
    parameters,
    query_pairs,
    with_parameters,
)
from offhook.adapters.recordings.kept import (
    NAMES,
    NAMES_OF_PERSONS,
    PATH_WORDS,
    PLACES,
    SID_KINDS,
    SIDS,
    kept_header,
    kept_value,
)
from offhook.adapters.recordings.redacted_rules import Pseudonyms, redacted_rules
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.adapters.twilio.spelling import ADDRESSES, TOKEN_HEADER, Pairs, is_in_query
from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import CallerKind, caller, to_e164
from offhook.pipeline.rules import Rules
from offhook.pipeline.sids import is_sid

MIN_KEY_BYTES = 16

_PLAIN_NUMBER = re.compile(r"[+0-9 ().-]*")
_NUMBER_SCHEMES = ("whatsapp:", "tel:", "callto:")
_WITHHELD = frozenset({"anonymous", "restricted", "unavailable", "blocked", "unknown", "private"})


class Redactor:
    """Replaces whoever is in a recording. One Redactor a file: it remembers the numbers that it gave away.

    `key` (16 bytes or more) makes the pseudonyms the same in every file that it is used for; without one they are
    drawn anew. Whoever has the key can test a guess: keep it as you keep the numbers. `region` is the country of
    numbers written without one, the same as in the settings. With `keep_numbers` the phone numbers of your callers
    and your own stay readable; all else is still replaced.
    """

    def __init__(self, key: bytes | None = None, *, region: str = "US", keep_numbers: bool = False) -> None:
        if key is not None and len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the key for pseudonyms must have {MIN_KEY_BYTES} bytes or more; write a longer one")
        self._key = key or secrets.token_bytes(32)
        self._region = region
        self._keep_numbers = keep_numbers
        self._numbers: dict[str, str] = {}
        self._given: set[str] = set()
        self._met: set[str] = set()
        self._columns, self._params = Covers({}, self._value_token), Covers({}, self._value_token)

    def look_for(self, toml: str, folder: Path | None = None) -> Collection[str]:
        """From now on, what these rules ask of parameters and of customers' columns is kept apart in what is redacted, so
        that `rules` can ask the same of it. Returns the columns without which they would decide otherwise.

        Raises RecordingError.
        """
        if toml.strip():
            rules = self._read(toml, folder)
            self._columns = Covers(columns_asked(rules), self._value_token)
            self._params = Covers(params_asked(rules), self._value_token)
        return self._columns.deciding

    def record(self, record: Record) -> Record:
        """The record with pseudonyms. Parameters keep their order, their number and their empties; `about` goes.

        Raises RecordingError for a JSON body that cannot be read.
        """
        redacted = replace(
            record,
            path_and_query=self._target(record),
            headers=tuple(self._header(*pair) for pair in record.headers),
            about="",
        )
        if record.json is not None:
            return replace(redacted, json=self._json_body(record.json))
        pairs = parameters(record)
        return with_parameters(redacted, self._pairs(pairs)) if pairs else redacted

    def records(self, records: Iterable[Record]) -> Iterator[Record]:
        return map(self.record, records)

    def customer(self, row: Customer) -> Customer:
        """A row of the mapping under the same pseudonyms. Of its further columns those stay that rules look for."""
        kept = {name: value for name, value in row.attributes.items() if name in self._columns}
        return Customer(
            phone=self.number(row.phone),
            email=f"customer-{self._token('email', row.email)}@example.com" if row.email else row.email,
            customer_id=f"C-{self._token('customer', row.customer_id)}" if row.customer_id else row.customer_id,
            attributes={self._word("column", name): self._columns.cover(name, value) for name, value in kept.items()},
        )

    def customers(self, rows: Iterable[Customer]) -> Iterator[Customer]:
        return map(self.customer, rows)

    def rules(self, toml: str, folder: Path | None = None, lists: dict[str, str] | None = None) -> str:
        """The text of an offhook.toml, written anew, with its numbers under their pseudonyms.

        What decides stays; labels, and words that are not listed in `kept`, get pseudonyms. `folder` is where files stand
        that the rules name. What shall stand in those beside the new text is put into `lists`: of their numbers the ones
        that were met so far, so redact the records first, and before them
        `look_for` what the rules ask. Raises RecordingError.
        """
        if not toml.strip():
            return ""
        met = frozenset(self._met)
        names = Pseudonyms(
            self.number,
            self._word,
            met.__contains__,
            {} if lists is None else lists,
            self._columns,
            self._params,
            self._keep_numbers,
        )
        return redacted_rules(self._read(toml, folder), names)

    def _read(self, toml: str, folder: Path | None) -> Rules:
        try:
            return parse(toml, region=self._region, folder=folder)
        except RulesError as error:
            raise RecordingError("redaction", f"the rules cannot be read; see `flask rules check` ({error})") from None

    def _value_token(self, text: str) -> str:
        return self._token("value", text)

    def _word(self, kind: str, text: str) -> str:
        return self._name(text) if kind == "name" else f"{kind}-{self._token(kind, text)}"

    def number(self, e164: str) -> str:
        """The pseudonym of a number in E.164: of a range kept for fiction where its country has one that we know."""
        self._met.add(e164)
        if self._keep_numbers:
            return e164
        known = self._numbers.get(e164)
        if known is None:
            known = self._new_number(e164)
            self._numbers[e164] = known
            self._given.add(known)
        return known

    def _new_number(self, e164: str) -> str:
        """The first number, of those that the key points to, that nobody in this file has: two never become one."""
        pools = _fiction(e164)
        for ranges in pools:
            last = ranges is pools[-1]
            for attempt in range(200 + 4 * len(self._given) if last else 64):  # 64 fail when a pool is nearly full
                found = self._pointed_to(ranges, e164, attempt)
                if self._is_free(found, e164):
                    return found
        raise RecordingError(
            "redaction",
            f"no fictional number of {e164[:3]}... is left; export fewer callers at a time (--since, --call)",
        )

    def _is_free(self, found: str, e164: str) -> bool:
        taken = found == e164 or found in self._given or found in self._numbers
        return not taken and caller(found, self._region).e164 == found

    def _pointed_to(self, ranges: tuple[str, ...], e164: str, attempt: int) -> str:
        drawn = int.from_bytes(self._mac("number", f"{e164} {attempt}"), "big")
        drawn, place = divmod(drawn, len(ranges))
        digits = iter(str(drawn % 10**15).zfill(15))
        return "".join(next(digits) if char == "x" else char for char in ranges[place])

    def _pairs(self, pairs: Pairs) -> Pairs:
        region_of = _Regions(pairs, self._region)
        return tuple((self._name(name), self._value(name, value, region_of[name])) for name, value in pairs)

    def _name(self, name: str) -> str:
        return name if not name or name in NAMES else f"Param-{self._token('name', name)}"

    def _value(self, name: str, value: str, region: str) -> str:
        """One value; what would be empty is a text that rules keep apart, where they look at it."""
        shown = self._covered(name, value, region)
        return self._params.cover(name, value, shown) if value and name in self._params else shown

    def _covered(self, name: str, value: str, region: str) -> str:
        """By what its name says it is; an unknown one by what it looks like, else empty."""
        if not value or name in PLACES:
            return ""
        kept = kept_value(name, value)
        if kept is not None:
            return kept
        if name in ADDRESSES:
            return self._address(value, region)
        if name in SIDS:
            return self._sid(value)
        if name in NAMES_OF_PERSONS:
            return f"CALLER {self._token('caller name', value)}"
        if value.startswith(("http://", "https://")):
            return f"https://example.invalid/{self._token('url', value)}"
        return self._unknown(value, region)

    def _unknown(self, value: str, region: str) -> str:
        if is_sid(value):
            return self._sid(value)
        if to_e164(value, region) is not None:
            return self._address(value, region)
        if re.fullmatch(r"\S+@\S+", value):
            is_address = caller(value, region).kind in (CallerKind.SIP, CallerKind.CLIENT)
            return self._address(value, region) if is_address else f"user-{self._token('user', value)}@example.invalid"
        return ""

    def _sid(self, value: str) -> str:
        prefix = value[:2] if value[:2] in SID_KINDS else "XX"
        return prefix + self._mac("sid", value).hex()[:32]

    def _address(self, value: str, region: str) -> str:
        """Who was at one end: the same kind of caller, and the same number for the same number however it is spelled."""
        who = caller(value, region)
        if who.kind is CallerKind.PHONE and who.e164 and "@" not in value:
            if self._keep_numbers and _PLAIN_NUMBER.fullmatch(value):
                self._met.add(who.e164)
                return value
            plain = value.strip().lower()
            scheme = next((each for each in _NUMBER_SCHEMES if plain.startswith(each)), "")
            return f"{scheme}{self.number(who.e164)}"
        if who.kind is CallerKind.WITHHELD:
            return self._withheld(value)
        if who.kind is CallerKind.SHORT_CODE:
            return self._short_code(value.strip())
        return self._other_address(CallerKind.SIP if who.e164 else who.kind, value, region)

    def _withheld(self, value: str) -> str:
        """The word or the number that says so, which is the same for everybody; nothing that stands around it."""
        if value.strip().lower() in _WITHHELD or _PLAIN_NUMBER.fullmatch(value):
            return value
        return "sip:anonymous@anonymous.invalid" if "@" in value else "anonymous"

    def _short_code(self, code: str) -> str:
        """Another one of the same length: behind a switchboard they are people's extensions."""
        known = self._numbers.get(code)
        if known is None:
            known = self._new_short_code(code)
            self._numbers[code] = known
            self._given.add(known)
        return known

    def _new_short_code(self, code: str) -> str:
        for attempt in range(20 * 10 ** len(code)):
            found = str(int.from_bytes(self._mac("short code", f"{code} {attempt}"), "big") % 10 ** len(code))
            found = found.zfill(len(code))
            if found != code and found not in self._given and found not in self._numbers:
                return found
        raise RecordingError(
            "redaction", f"no short code of {len(code)} digits is left; export fewer callers at a time"
        )

    def _other_address(self, kind: CallerKind, value: str, region: str) -> str:
        _, _, address = value.partition(":")
        token = self._token("address", value)
        if kind is CallerKind.SIP:
            number = to_e164(address.partition("@")[0], region)
            scheme = "sips" if value.strip().lower().startswith("sips:") else "sip"
            return f"{scheme}:{self.number(number) if number else f'user-{token}'}@example.invalid"
        if kind is CallerKind.CLIENT:
            return f"client:user-{token}"
        if kind is CallerKind.SIM:
            return f"sim:{self._sid(address.strip())}"
        return f"unreadable-{token}"

    def _target(self, record: Record) -> str:
        """The path without its SIDs and secrets; the query of a POST, which is the receiver's own, by the same rules."""
        path, mark, _ = record.path_and_query.partition("?")
        path = "/".join(self._segment(each) for each in path.split("/"))
        is_own = not is_in_query(record.method)
        query = encoded(self._pairs(query_pairs(record.path_and_query))) if is_own else ""
        return f"{path}{mark}{query}" if query else path

    def _segment(self, segment: str) -> str:
        if is_sid(segment):
            return self._sid(segment)
        return segment if segment in PATH_WORDS else f"path-{self._token('path', segment)}"

    def _header(self, name: str, value: str) -> tuple[str, str]:
        if name == TOKEN_HEADER:
            return name, self._mac("token", value).hex()[:32]
        return name, kept_header(name, value)

    def _json_body(self, text: str) -> str:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecordingError("redaction", f"a JSON body cannot be read ({error}); leave its callback out") from None
        return json.dumps(self._in_json("", value, _Regions((), self._region)), ensure_ascii=False)

    def _in_json(self, name: str, value: Any, region_of: _Regions) -> Any:
        if isinstance(value, dict):
            inner = _Regions(tuple((key, each) for key, each in value.items() if isinstance(each, str)), self._region)
            return {self._name(key): self._in_json(key, each, inner) for key, each in value.items()}
        if isinstance(value, list):
            return [self._in_json(name, each, region_of) for each in value]
        if isinstance(value, str):
            return self._value(name, value, region_of[name])
        if value is None or isinstance(value, bool):
            return value
        if name in self._params:
            return self._value(name, str(value), region_of[name])
        return value if kept_value(name, str(value)) == str(value) else 0

    def _token(self, kind: str, text: str) -> str:
        return self._mac(kind, text).hex()[:16]

    def _mac(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), sha256)


class _Regions:
    """In which country a national spelling at each end is read: the customer's end in that of ours, as Twilio names it.

    `pipeline.conversion` reads it in the same way, or a pseudonym would not match.
    """

    def __init__(self, pairs: Pairs, default: str) -> None:
        params = dict(pairs)
        outbound = params.get("Direction", "").lower() == "outbound-api"
        theirs = ("To", "Called") if outbound else ("From", "Caller")
        self._country = params.get("FromCountry" if outbound else "ToCountry", "") or default
        self._theirs, self._default = theirs, default

    def __getitem__(self, name: str) -> str:
        return self._country if name in self._theirs else self._default


# North America: the lines 0100 to 0199 of the exchange 555 are kept for fiction in every area (nationalnanpa.com). First
# the hundred areas that are not and will not be in use (N9X, 37X, 96X), so that no pseudonym is in a caller's own area.
_AREAS = [f"{number}" for number in range(200, 1000) if number % 100 != 11]
_RESERVED_AREAS = [area for area in _AREAS if area[1] == "9" or area[:2] in ("37", "96")]
_OTHER_AREAS = [area for area in _AREAS if area not in _RESERVED_AREAS]
_AMERICAN = tuple(tuple(f"+1{area}55501xx" for area in areas) for areas in (_RESERVED_AREAS, _OTHER_AREAS))
# Britain: https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama; London's are left to recordings
# that were fictional from the start.
_BRITISH_CITIES = ("113", "114", "115", "116", "117", "118", "121", "131", "141", "151", "161")
_BRITISH = (*(f"+44{city}4960xxx" for city in _BRITISH_CITIES), "+441914980xxx", "+441632960xxx", "+447700900xxx")
# France: ARCEP keeps these for audiovisual works.
_FRENCH = tuple(f"+33{start}xxxx" for start in ("19900", "26191", "35301", "46571", "53649", "63998"))


def _fiction(e164: str) -> tuple[tuple[str, ...], ...]:
    """The ranges for numbers of this one's country, the best first; an x is any digit.

    Where we know of none the country and the length stay and all other digits are the key's: such a number may be
    somebody's, and docs/recordings.md says so.
    """
    if e164.startswith("+1"):
        return _AMERICAN
    if e164.startswith("+44"):
        return (_BRITISH,)
    if e164.startswith("+33"):
        return (_FRENCH,)
    code = _country_code(e164)
    return ((code + "x" * (len(e164) - len(code)),),)


def _country_code(e164: str) -> str:
    """`+` and the country code. No code begins another one, so the first that is one is it."""
    return next((e164[:size] for size in (2, 3) if e164[1:size] in _COUNTRY_CODES), e164[:4])


_TWO_DIGITS = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86"
)
# ITU-T E.164: codes of one and two digits; all others have three
_COUNTRY_CODES = frozenset({"1", "7", *_TWO_DIGITS.split(), *["90", "91", "92", "93", "94", "95", "98"]})
