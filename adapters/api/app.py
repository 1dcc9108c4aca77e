"""The API's routes: each reads its request by a type, calls a step or a read model, and answers. Decides nothing itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

from flask import Response, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.exceptions import HTTPException

from offhook.adapters.addresses import outermost
from offhook.adapters.api import models
from offhook.adapters.api.door import DOCUMENT, SECRET, TOKEN
from offhook.adapters.problem_details import CONTENT_TYPE, Problem, later, problem
from offhook.adapters.wsgi import CAREFUL_HEADERS
from offhook.pipeline.callback import CallKey
from offhook.pipeline.customer import Customer
from offhook.pipeline.explanation import Anew, Explanation, anew_of, explain, hiding, look_up_for, rows_of_then
from offhook.pipeline.masking import in_clear
from offhook.pipeline.phone import caller, mask
from offhook.pipeline.ports.answered import Answer, Answered, Asked
from offhook.pipeline.ports.audit import Audit
from offhook.pipeline.ports.books import KnownCalls
from offhook.pipeline.ports.customers import Brought, MergeCounts, Source
from offhook.pipeline.ports.history import History
from offhook.pipeline.ports.look_ups import LookUpLine
from offhook.pipeline.ports.reader import Reader
from offhook.pipeline.ports.rebuilding import Rebuilding
from offhook.pipeline.ports.rule_texts import RuleTexts
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.ports.tallies import Tallies
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.reasons import OF_PROBLEMS
from offhook.pipeline.sending_again import RETRYABLE, Lacks, compare, in_short, rebuild, uncounted
from offhook.pipeline.steps import Judge
from offhook.pipeline.story import CallFilter, ConversionLine, CountedCall, PageMark, Story
from offhook.pipeline.tokens import Scope, Token
from offhook.pipeline.users import AuditLine

log = logging.getLogger("offhook.api")

_EXPLANATION, _MARK = TypeAdapter(Explanation), TypeAdapter(PageMark)


class Reads(Protocol):
    """What the API reads with: connections of its own, which can change nothing."""

    @property
    def stories(self) -> Stories: ...
    @property
    def tallies(self) -> Tallies: ...
    @property
    def history(self) -> History: ...
    @property
    def known_calls(self) -> KnownCalls: ...
    def look_up_of(self, phone: str, /) -> LookUpLine | None: ...
    def find_customers(self, phones: Sequence[str], /) -> Mapping[str, Customer]: ...


class Writes(RuleTexts, Protocol):
    """What it changes: customers, and what waits for a person."""

    @property
    def answered(self) -> Answered: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def rebuilding(self) -> Rebuilding: ...
    def merge_customers(self, rows: Sequence[Customer], brought: Brought, /) -> MergeCounts: ...
    def retire_customers(self, phones: Sequence[str], brought: Brought, /) -> int: ...
    def retry(self, keys: Sequence[CallKey], now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """See the settings of the same names. Bytes, rows, days, characters, seconds."""

    body_bytes: int
    bulk_rows: int
    page_rows: int
    tally_days: int
    attributes: int
    attribute_characters: int
    answers_seconds: float
    write_seconds: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API stands on. `judge` returns the rules' judge, or in words why there is none. So many `proxies` are believed about
    where a request comes from.
    """

    reads: Reads
    writes: Writes
    read: Reader
    judge: Callable[[], Judge | str]
    lacks: Lacks
    clock: Callable[[], datetime]
    limits: ApiLimits
    country: str
    lower_emails: bool
    version: str
    proxies: int


def create_api(parts: Parts) -> OpenAPI:
    """The WSGI app behind the door."""
    schemes: Any = {"token": {"type": "http", "scheme": "bearer"}}
    app = OpenAPI(
        "offhook.api",
        info=Info(title="Offhook", version=parts.version),
        security_schemes=schemes,
        doc_ui=False,
        validation_error_model=models.ProblemOut,
        validation_error_callback=_invalid,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = parts.limits.body_bytes
    app.url_map.merge_slashes = False
    app.before_request(_json_alone)
    app.after_request(_with_care)
    app.register_error_handler(Problem, _said)
    app.register_error_handler(HTTPException, lambda error: _said(_of_http(error)))
    app.register_error_handler(LedgerUnavailable, lambda error: _said(_of_ledger(error)))
    app.register_error_handler(Exception, _unexpected)
    once = Once(parts)
    _customer_routes(app, parts, once)
    _call_routes(app, parts, once)
    app.add_url_rule(DOCUMENT, "document", lambda: _answer(_document(app, parts.limits)), methods=["GET"])
    return app


def _customer_routes(app: OpenAPI, parts: Parts, once: Once) -> None:
    @app.get("/api/v1/customers/<phone>", **_may(models.CustomerOut, 404))
    def customer_get(path: models.PhonePath) -> Response:
        """Who has a number. Needs customers:read."""
        _needs(Scope.CUSTOMERS_READ)
        found = parts.reads.find_customers([path.phone]).get(path.phone)
        if found is None:
            raise problem(404, "unknown-customer")
        return _answer(_customer_out(found))

    @app.put("/api/v1/customers/<phone>", **_may(models.Merged, 409))
    def customer_put(path: models.PhonePath, header: models.Write, body: models.CustomerIn) -> Response:
        """Say who has a number. Needs customers:write."""
        _needs(Scope.CUSTOMERS_WRITE)
        row = _customer_in(path.phone, body, parts)
        return once(header.key, lambda: _merged([row], parts, "customer added", mask(row.phone)))

    @app.delete("/api/v1/customers/<phone>", **_may(None, 404, 409))
    def customer_delete(path: models.PhonePath, header: models.Write) -> Response:
        """Nobody has this number any more; history keeps who had it. Needs customers:write."""
        _needs(Scope.CUSTOMERS_WRITE)
        return once(header.key, lambda: _retired(path.phone, parts))

    @app.post("/api/v1/customers:bulk", **_may(models.Merged, 409))
    def customers_bulk(header: models.Write, body: models.Bulk) -> Response:
        """Say who has many numbers; of a number that stands there twice the last counts. Needs customers:write."""
        _needs(Scope.CUSTOMERS_WRITE)
        rows = _customers_in(body, parts)
        return once(header.key, lambda: _merged(rows, parts, "customers imported", f"{len(rows)} customers"))


def _call_routes(app: OpenAPI, parts: Parts, once: Once) -> None:
    @app.get("/api/v1/calls", **_may(models.CallsOut, 404))
    def calls(query: models.CallsAsked) -> Response:
        """Calls, the newest first, by what became of them. Needs calls:read."""
        is_clear = _may_see(query)
        limit = min(query.limit, parts.limits.page_rows)
        page = parts.reads.stories.calls(_filter(query), _mark(query.cursor), limit)
        if is_clear and page.calls:
            _audit(parts, "reveal calls", f"a page of {len(page.calls)} calls")
        rows = [_call_out(one, is_clear) for one in page.calls]
        return _answer({"calls": rows, "next": _cursor(page.after)})

    @app.get("/api/v1/calls/<sid>", **_may(models.ExplanationOut, 404, 409))
    def call(path: models.SidPath, query: models.Reveal) -> Response:
        """Why a call is in Rockerbox, or is not: the whole explanation. Needs calls:read."""
        is_clear = _may_see(query)
        story = _story(parts.reads.stories, path.sid)
        if is_clear:
            _audit(parts, "reveal call", story.call.key.call_sid)
        hide = in_clear if is_clear else hiding(story.call)
        rows = rows_of_then(parts.reads.history, story)
        found = explain(story, parts.read, _anew(parts, story), hide, rows, look_up_for(story, parts.reads.look_up_of))
        return _answer(_EXPLANATION.dump_python(found, mode="json"))

    @app.post("/api/v1/conversions/<string:sid>:retry", **_may(models.Retried, 404, 409))
    def conversion_retry(path: models.SidPath, header: models.Write, query: models.Retry) -> Response:
        """Send a conversion again that is dead, ambiguous or quarantined. Needs conversions:write."""
        _needs(Scope.CONVERSIONS_WRITE)
        return once(header.key, lambda: _retried(path.sid, parts, query))

    @app.get("/api/v1/tallies", **_may(models.TalliesOut))
    def tallies(query: models.TalliesAsked) -> Response:
        """How many calls came to what, by hour, number, verdict and reason. Needs tallies:read."""
        _needs(Scope.TALLIES_READ)
        longest = timedelta(days=parts.limits.tally_days)
        until = query.until or parts.clock() + timedelta(days=1)
        if until - query.since > longest:
            until = query.since + longest
        found = parts.reads.tallies.between(query.since, until)
        rows = [
            models.TallyOut(**{**_fields(one), "number": one.number or None}).model_dump(mode="json") for one in found
        ]
        return _answer({"tallies": rows, "until": until.isoformat(), "is_whole": parts.reads.tallies.is_whole()})


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in models.TallyOut.model_fields}


# Customers


def _customer_in(phone: str, said: models.CustomerIn, parts: Parts, where: str = "") -> Customer:
    """`where` in the request this customer stands. Raises Problem where it names nobody, or the number is none."""
    number = caller(phone, parts.country).e164  # as files are read
    if number is None:
        what = "no phone number of any country: send it as + and the country code, e.g. +14155550101"
        raise _wrong("This is no phone number", f"{where}phone", what)
    if said.email is None and said.customer_id is None:
        raise _wrong("One of email and customer_id is needed", f"{where}email", "send it, or customer_id, or both")
    email = said.email.lower() if said.email and parts.lower_emails else said.email
    return Customer(number, email, said.customer_id, attributes=_attributes(said, parts.limits, where))


def _customers_in(body: models.Bulk, parts: Parts) -> list[Customer]:
    """Of a number that stands there twice the last. Raises Problem."""
    if len(body.customers) > parts.limits.bulk_rows:
        raise problem(413, "too-many-rows", rows=parts.limits.bulk_rows)
    read = (_customer_in(row.phone, row, parts, f"customers.{place}.") for place, row in enumerate(body.customers))
    return list({row.phone: row for row in read}.values())


def _attributes(said: models.CustomerIn, limits: ApiLimits, where: str) -> dict[str, str]:
    """Names as they can be printed. Raises Problem for too many, and for one that is too long."""
    if len(said.attributes) > limits.attributes:
        what = f"at most {limits.attributes} (OFFHOOK_CUSTOMERS_ATTRIBUTES)"
        raise _wrong("These are too many attributes", f"{where}attributes", what)
    most = limits.attribute_characters
    if any(max(len(name), len(value)) > most for name, value in said.attributes.items()):
        what = f"name and value have at most {most} characters each (OFFHOOK_CUSTOMERS_ATTRIBUTE_CHARACTERS)"
        raise _wrong("An attribute is too long", f"{where}attributes", what)
    return {_printable(name): value for name, value in said.attributes.items()}


def _wrong(title: str, where: str, what: str) -> Problem:
    return problem(422, "invalid", which=1, what=title, errors=[{"where": where, "what": what}])


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else " " for char in name)


def _customer_out(found: Customer) -> dict[str, Any]:
    return {
        "phone": found.phone,
        "email": found.email,
        "customer_id": found.customer_id,
        "people": found.people,
        "attributes": dict(found.attributes),
    }


def _brought() -> Brought:
    return Brought(Source.API, _token().name)


def _merged(rows: Sequence[Customer], parts: Parts, what: str, of_what: str) -> dict[str, int]:
    _audit(parts, what, of_what)
    return parts.writes.merge_customers(rows, _brought())._asdict()


def _retired(phone: str, parts: Parts) -> None:
    """Raises Problem where nobody has it."""
    if phone in parts.reads.find_customers([phone]):
        _audit(parts, "customer removed", mask(phone))
        if parts.writes.retire_customers([phone], _brought()):
            return
    raise problem(404, "unknown-customer")


# Calls


def _may_see(query: models.Reveal) -> bool:
    """Whether persons are shown whole. Raises Problem where that was asked and may not be."""
    _needs(Scope.CALLS_READ)
    if query.reveal == "true":
        _needs(Scope.CALLS_REVEAL)
    return query.reveal == "true"


def _filter(query: models.CallsAsked) -> CallFilter:
    phones = None if query.customer is None else (query.customer,)
    outcome = None if query.outcome is None else query.outcome.value
    narrowed = (query.least_seconds, query.most_seconds, query.source)
    return CallFilter(query.since, query.until, query.number, outcome, query.reason, query.state, phones, *narrowed)


def _call_out(one: CountedCall, is_clear: bool) -> dict[str, Any]:
    call, phone = one.call, one.call.customer_phone
    return models.CallOut(
        account_sid=call.key.account_sid,
        call_sid=call.key.call_sid,
        first_received_at=call.first_received_at,
        outcome=one.outcome,
        reason=one.reason,
        number=one.number or None,
        customer=phone if phone is None or is_clear else mask(phone),
        state=call.state,
        status=call.status,
        direction=call.direction,
        duration_seconds=call.duration_seconds,
    ).model_dump(mode="json")


def _cursor(mark: PageMark | None) -> str | None:
    if mark is None:
        return None
    return base64.urlsafe_b64encode(_MARK.dump_json(mark)).decode()


def _mark(cursor: str | None) -> PageMark | None:
    """Raises Problem for one that we have not made."""
    if cursor is None:
        return None
    try:
        found = _MARK.validate_json(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise problem(404, "unknown-cursor") from None
    return found


def _story(stories: Stories, sid: str) -> Story:
    """Raises Problem where there is none, or one in each of several accounts."""
    found = stories.of_call(sid)
    if not found:
        raise problem(404, "unknown-call")
    if len(found) > 1:
        raise problem(409, "several-calls")
    return found[0]


def _anew(parts: Parts, story: Story) -> Anew:
    judge = parts.judge()
    if isinstance(judge, str):
        return Anew(unknown=judge)
    return anew_of(parts.reads.known_calls, story.call.key, judge, parts.clock())


def _retried(sid: str, parts: Parts, asked: models.Retry) -> dict[str, int]:
    """Raises Problem where nothing can be sent again."""
    lines = [story.conversion for story in parts.reads.stories.of_call(sid) if story.conversion]
    if not lines:
        raise problem(404, "no-conversion")
    held = [line for line in lines if line.state in RETRYABLE]
    if not held:
        raise problem(409, "not-held", f"it is {lines[0].state}")
    if asked.rebuild == "true":
        return _rebuilt(held, parts)
    if asked.even_if_it_may_have_arrived == "false" and any(line.maybe_sent for line in held):
        what = "look at Rockerbox first; even_if_it_may_have_arrived=true sends it all the same"
        raise problem(409, "may-have-arrived", what)
    return {"retried": _sent_as_it_is(held, parts), "rebuilt": 0}


def _sent_as_it_is(held: Sequence[ConversionLine], parts: Parts) -> int:
    """Raises Problem where Rockerbox would count nothing of it."""
    lacking = uncounted(held, parts.lacks)
    if lacking:
        field = next(iter(lacking.values()))
        what = f"it has no {field}; rebuild=true decides it anew, once customers or rules have it"
        raise problem(409, "lacks-a-field", what)
    _audit(parts, "send again", in_short(held))
    return parts.writes.retry([line.key for line in held], parts.clock())


def _rebuilt(held: Sequence[ConversionLine], parts: Parts) -> dict[str, int]:
    """Decided anew where it can be; what comes to the same today is sent as it is. Raises Problem where neither is so."""
    judge = parts.judge()
    if isinstance(judge, str):
        raise problem(409, "rules-unusable", "see `flask rules check`; rebuild=false sends the same again")
    found = compare(parts.writes.rebuilding, held, judge, parts.lacks, parts.clock())
    same = [one.row for one in found if one.is_the_same]
    sent = _sent_as_it_is(same, parts) if same else 0
    anew = [one for one in found if one.can_rebuild]
    if anew:
        _audit(parts, "decide again and send", in_short([one.row for one in anew]))
    rebuilt = rebuild(parts.writes.rebuilding, parts.writes, anew, parts.clock())
    if not sent + rebuilt:
        what = (
            "it may have arrived, or was not refused with a 4xx, or would not be sent today, or lacks a field of the account's key; "
            "rebuild=false sends the same again"
        )
        raise problem(409, "not-rebuilt", what)
    return {"retried": sent + rebuilt, "rebuilt": rebuilt}


# Writes that come twice


class Once:
    """Does a write once for each Idempotency-Key, and gives its answer again while that is kept."""

    def __init__(self, parts: Parts) -> None:
        self._answered, self._limits, self._clock = parts.writes.answered, parts.limits, parts.clock

    def __call__(self, key: str | None, write: Callable[[], dict[str, int] | None]) -> Response:
        if key is None:
            return _whole(*_done(write))
        asked, now = Asked(_token().id, key, _fingerprint()), self._clock()
        kept_until = now + timedelta(seconds=self._limits.answers_seconds)
        seen = self._answered.begin(asked, now, kept_until, now + timedelta(seconds=self._limits.write_seconds))
        if seen is None:
            return self._first(asked, write)
        if seen.fingerprint != asked.fingerprint:
            raise problem(422, "key-of-another-request")
        if seen.answer is None:
            raise problem(409, "under-way")
        return _whole(seen.answer.status, seen.answer.body)

    def _first(self, asked: Asked, write: Callable[[], dict[str, int] | None]) -> Response:
        try:
            status, body = _done(write)
        except BaseException:
            self._answered.give_up(asked)
            raise
        self._answered.answered(asked, Answer(status, body))
        return _whole(status, body)


def _done(write: Callable[[], dict[str, int] | None]) -> tuple[int, str]:
    found = write()
    return (204, "") if found is None else (200, json.dumps(found) + "\n")


def _whole(status: int, body: str) -> Response:
    response = Response(body or None, status=status, content_type="application/json")
    if status == 204:
        del response.headers["Content-Type"]
    return response


def _fingerprint() -> str:
    """Of all that a request says, made with the token's secret, so that no number can be guessed from what is kept."""
    said = b"\n".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    return hmac.new(request.environ[SECRET].encode(), said, hashlib.sha256).hexdigest()


# Who asks, and what is answered


def _token() -> Token:
    found: Token = request.environ[TOKEN]
    return found


def _needs(scope: Scope) -> None:
    """Raises Problem where the token may not."""
    if scope.value not in _token().scopes:
        raise problem(403, "forbidden", scope=scope.value)


def _audit(parts: Parts, what: str, of_what: str) -> None:
    """Keeps a line of what the token does. Before it is done: nothing is done without its line. Raises LedgerUnavailable."""
    said = request.headers.get("X-Forwarded-For", "")
    where = outermost(said, parts.proxies) or request.remote_addr or "unknown"
    parts.writes.audit.write(AuditLine(parts.clock(), f"token {_token().name}", what, of_what, where))


def _may(answer: type[BaseModel] | None, *statuses: int) -> dict[str, Any]:
    """What flask_openapi3 says of a route: its answers, the problems that every route may have included."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    every = (400, 401, 403, 413, 415, 422, 429, 503, *statuses)
    problems = {status: {"description": "A problem", "content": content} for status in sorted(every)}
    return {"responses": {("204" if answer is None else "200"): answer, **problems}, "security": [{"token": []}]}


def _document(app: OpenAPI, limits: ApiLimits) -> dict[str, Any]:
    """OpenAPI 3.1, with the one type that problems have, and the limits as they are set."""
    found = json.loads(json.dumps(app.api_doc))
    schemas = found["components"]["schemas"]
    schemas["ProblemOut"] = _schema_of_problems()
    for schema in (schemas["CustomerIn"], schemas["CustomerOfMany"]):
        of_attributes = schema["properties"]["attributes"]
        of_attributes |= {
            "maxProperties": limits.attributes,
            "propertyNames": {"maxLength": limits.attribute_characters},
        }
        of_attributes["additionalProperties"]["maxLength"] = limits.attribute_characters
    schemas["Bulk"]["properties"]["customers"]["maxItems"] = limits.bulk_rows
    return dict(found)


def _schema_of_problems() -> dict[str, Any]:
    schema = models.ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    errors = schema.pop("$defs")["ErrorOut"]
    schema["properties"]["errors"]["items"] = errors
    return schema


def _answer(value: Any) -> Response:
    return Response(json.dumps(value) + "\n", content_type="application/json")


def _said(problem: Problem) -> Response:
    response = Response(problem.body(), status=problem.status, content_type=CONTENT_TYPE)
    response.headers.update(problem.headers)
    return response


def _invalid(error: ValidationError) -> Response:
    """Where and what, never the value, which may be a person's."""
    found = error.errors(include_input=False, include_url=False)
    errors = [{"where": ".".join(map(str, one["loc"])) or "body", "what": models.said_of(one)} for one in found[:20]]
    return _said(problem(422, "invalid", errors=errors))


def _of_http(error: HTTPException) -> Problem:
    code = error.code or 400
    word = error.name.lower().replace(" ", "-")
    allowed = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
    return problem(code, word if word in OF_PROBLEMS else "bad-request", headers=headers)


def _of_ledger(error: LedgerUnavailable) -> Problem:
    if error.word == "slow":
        return later("took-too-long")
    return later("unavailable")


def _unexpected(error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    return _said(later("failed"))


def _json_alone() -> None:
    """A body is a document of JSON. Raises Problem."""
    if request.method not in ("PUT", "POST") or not (body := request.get_data()):
        return
    if request.mimetype != "application/json":
        raise problem(415, "not-json")
    try:
        said = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise problem(400, "not-json", which=1, errors=[{"where": "body", "what": _no_json(error)}]) from None
    if isinstance(said, str):  # which flask_openapi3 would read as JSON once more
        raise problem(422, "invalid", errors=[{"where": "body", "what": "must be an object"}])


def _no_json(error: Exception) -> str:
    """Where a body is none, without a word of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    return "not JSON: it is no UTF-8, or no value that JSON has"


def _no_number(word: str) -> NoReturn:
    """NaN and the like, which RFC 8259 does not have. Raises ValueError."""
    raise ValueError(word)


def _with_care(response: Response) -> Response:
    response.headers.update(CAREFUL_HEADERS)
    return response
