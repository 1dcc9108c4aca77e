"""What goes in and out of the API, as types: requests are read by them, and the OpenAPI document is made of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, StringConstraints, model_validator
from pydantic.json_schema import WithJsonSchema

from offhook.pipeline.call import CallState
from offhook.pipeline.emails import HASHED
from offhook.pipeline.explanation import Explanation
from offhook.pipeline.story import Verdict
from offhook.pipeline.unfinished import UNFINISHED
from offhook.pipeline.words import SOURCES

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})")
_EMAIL = rf"^(?:[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@[A-Za-z0-9.-]+|{HASHED})$"
_PRINTED = r"^[!-~\u00a1-\ud7ff](?:[ -~\u00a0-\ud7ff]*[!-~\u00a1-\ud7ff])?$"
_TEXT = r"^[ -~\u00a0-\ud7ff]*$"
_PHONE = r"^\+[1-9][0-9]{6,14}$"
_SID = r"^CA[0-9a-f]{32}$"
_KEY = r"^[!-~]{1,255}$"
_CURSOR = r"^[A-Za-z0-9_=-]{1,400}$"
_STATE_WORDS = sorted({*(one.value for one in CallState), UNFINISHED} - {"merged"})
_STATES = f"^(?:{'|'.join(_STATE_WORDS)})$"
_SOURCES = f"^(?:{'|'.join(SOURCES)})$"


def _bare(schema: dict[str, Any]) -> None:
    """Without the null that stands for what may be left out. (A type that says so itself would be a union to pydantic, and
    each of its branches an error of its own.)
    """
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]
            kinds = [one for one in field.pop("anyOf", []) if one != {"type": "null"}]
            field.update(*(kind | field for kind in kinds))


def _moment(value: object) -> object:
    """RFC 3339, in UTC. Raises ValueError."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a time such as 2026-11-24T18:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 2 and 9998") from None


def _as_text(value: object) -> object:
    """Raises ValueError for what is no single value, and for a number that JSON has no way to write."""
    is_infinite = isinstance(value, float) and not math.isfinite(value)
    if is_infinite or not isinstance(value, str | bool | int | float):
        raise ValueError("is too large a number" if is_infinite else "must be a text, a number, true or false")
    return value if isinstance(value, str) else json.dumps(value)


def _digits(value: object) -> object:
    """No blanks, plus signs or fractions, which int() would take."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdigit()):
        raise ValueError("must be a whole number")
    return value


_WHAT = {  # a text must be, by its pattern
    _PHONE: "a number as + and its country code, such as +14155550101",
    _SID: "the id of a call: CA and 32 of 0-9 and a-f",
    _EMAIL: "an email, or its MD5, SHA-1 or SHA-256 in hex",
    _PRINTED: "characters that can be printed, without blanks around them",
    _TEXT: "characters that can be printed",
    _KEY: "1 to 255 characters of ASCII without blanks",
    _CURSOR: "the `next` of a page, as it was",
    _STATES: f"one of {', '.join(_STATE_WORDS)}",
    _SOURCES: f"one of {', '.join(sorted(SOURCES))}",
}
_SAID: Mapping[str, str] = {  # what is wrong, by pydantic's word for it
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "must be a text",
    "string_too_long": "must have at most {max_length} characters",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "int_parsing_size": "is too long a number",
}


def said_of(error: Mapping[str, Any]) -> str:
    """What is wrong, by one of pydantic's errors: without the value, which may be a person's."""
    known, context = str(error["type"]), error.get("ctx", {})
    if known == "string_pattern_mismatch":
        return f"must be {_WHAT[context['pattern']]}"
    if known in _SAID:
        return _SAID[known].format(**context)
    return str(error["msg"]).removeprefix("Value error, ")


Phone = Annotated[str, StringConstraints(pattern=_PHONE), Field(json_schema_extra={"format": "e164"})]
Sid = Annotated[str, StringConstraints(pattern=_SID), Field(json_schema_extra={"format": "call-sid"})]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Email = Annotated[str, StringConstraints(pattern=_EMAIL, max_length=320)]
CustomerId = Annotated[str, StringConstraints(pattern=_PRINTED, max_length=255)]
AttributeText = Annotated[
    str,
    StringConstraints(pattern=_TEXT),
    BeforeValidator(_as_text),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _TEXT}, {"type": "number"}, {"type": "boolean"}]}),
]
"""A number, true and false are kept as the text of them, as of a file of NDJSON."""
Text = Annotated[str, StringConstraints(pattern=_PRINTED, max_length=255)]


class Asked(BaseModel):
    """A part of a request. flask_openapi3 asks each time for the schema, which takes longer than all else: it is kept."""

    @classmethod
    def model_json_schema(cls, *positional: Any, **named: Any) -> dict[str, Any]:
        if positional or named:
            return super().model_json_schema(*positional, **named)
        return _schema_of(cls)

    @classmethod
    def made_schema(cls) -> dict[str, Any]:
        """Made anew."""
        return super().model_json_schema()


@cache
def _schema_of(model: type[Asked]) -> dict[str, Any]:
    return model.made_schema()


class Strict(Asked):
    """Nothing but what is named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_bare)


class PhonePath(Strict):
    phone: Phone = Field(description="A number that no country has is nobody's, and PUT refuses it (422).")


class SidPath(Strict):
    sid: Sid


class Write(Asked):
    """The header of a write."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=_bare)
    key: Annotated[str, StringConstraints(pattern=_KEY)] | None = Field(
        None, alias="Idempotency-Key", description="The same key and request get the same answer."
    )


def _one_of_both(schema: dict[str, Any]) -> None:
    _bare(schema)
    schema["anyOf"] = [{"required": ["email"]}, {"required": ["customer_id"]}]


class CustomerIn(Strict):
    """Who has a number: at least one of email and customer id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_one_of_both)
    email: Email | None = None
    customer_id: CustomerId | None = None
    attributes: dict[str, AttributeText] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, said: object) -> object:
        """What is not known is left out. Raises ValueError."""
        if isinstance(said, dict) and None in said.values():
            raise ValueError("leave out what is not known, instead of null")
        return said


class CustomerOfMany(CustomerIn):
    phone: Phone = Field(description="A number that no country has is refused (422).")


class Bulk(Strict):
    customers: list[CustomerOfMany] = Field(min_length=1)


class CustomerOut(BaseModel):
    """`people` above 1: several customers have the number, and none is named."""

    phone: str
    email: str | None
    customer_id: str | None
    people: int
    attributes: dict[str, str]


class Merged(BaseModel):
    """What became of the rows."""

    added: int
    changed: int
    unchanged: int


class Retry(Strict):
    even_if_it_may_have_arrived: Literal["true", "false"] = "false"
    rebuild: Literal["true", "false"] = Field(
        "false", description="What was refused: decide it anew by today's rules and customers, as --rebuild does."
    )


class Retried(BaseModel):
    """How many conversions of this call will be sent again, and how many of these were decided anew."""

    retried: int
    rebuilt: int


class Reveal(Strict):
    reveal: Literal["true", "false"] = Field("false", description="Whole numbers and emails; needs calls:reveal.")


Seconds = Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)]
CallbackSource = Annotated[
    str,
    StringConstraints(pattern=_SOURCES),
    Field(json_schema_extra={"enum": sorted(SOURCES)}),
]


class CallsAsked(Reveal):
    since: Moment | None = None
    until: Moment | None = None
    number: Phone | None = Field(None, description="A tracked number of ours.")
    customer: Phone | None = Field(None, description="The caller's number.")
    outcome: Verdict | None = None
    reason: Text | None = None
    state: (
        Annotated[
            str,
            StringConstraints(pattern=_STATES),
            Field(json_schema_extra={"enum": _STATE_WORDS}),
        ]
        | None
    ) = None
    least_seconds: Seconds | None = Field(None, description="Only calls that lasted at least so long.")
    most_seconds: Seconds | None = Field(None, description="Only calls that lasted so long at most.")
    source: CallbackSource | None = Field(None, description="How Twilio's report of the call came.")
    limit: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(_digits)] = 50
    cursor: Annotated[str, StringConstraints(pattern=_CURSOR)] | None = Field(
        None, description="`next` of the page before."
    )


class CallOut(BaseModel):
    account_sid: str
    call_sid: str
    first_received_at: datetime
    outcome: str
    reason: str
    number: str | None
    customer: str | None
    state: str
    status: str
    direction: str
    duration_seconds: int | None


class CallsOut(BaseModel):
    """The newest first. `next` is None on the last page; a page may be empty and yet not the last."""

    calls: list[CallOut]
    next: str | None


class TalliesAsked(Strict):
    since: Moment
    until: Moment | None = None


class TallyOut(BaseModel):
    hour: datetime
    number: str | None
    outcome: str
    reason: str
    calls: int


class TalliesOut(BaseModel):
    """`until` is where they end, which may be sooner than was asked. `is_whole` is false where calls of before these sums
    are not counted yet: `flask tallies rebuild` counts them."""

    tallies: list[TallyOut]
    until: datetime
    is_whole: bool


class ExplanationOut(RootModel[Explanation]):
    """As `flask explain --json`."""


class ErrorOut(BaseModel):
    where: str
    what: str


class ProblemOut(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[ErrorOut] = []
