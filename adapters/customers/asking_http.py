"""A source that is asked by HTTP: who has this number? One request, one answer. May never raise for what the other side does,
follow a redirect, outlast its deadline, or show a header, a query or a number.

404 (or 204, or an empty list) says that nobody has the number. Whatever else is no customer says nothing about the caller.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlsplit

import jsonpath
from requests import PreparedRequest, Request, Response
from requests.exceptions import RequestException

from offhook.adapters.customers.answers import AnswerLimits, Record, WrongAnswer, answer_of
from offhook.adapters.proxies import Proxy
from offhook.adapters.way_out.deadline import BoundedAdapter, Flight, read_body, reason_of
from offhook.adapters.way_out.dialing import Dialer
from offhook.adapters.way_out.proxy import HEAD_BYTES
from offhook.adapters.way_out.request import asked_for, let_in, trusting
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.look_up import Answer, Later, NotThere
from offhook.pipeline.phone import national
from offhook.pipeline.version import VERSION

log = logging.getLogger("offhook.look_ups")

_PLACE = re.compile(r"\{(phone|national|digits)\}")
_MOST_WAIT_SECONDS = 86400.0
_ANY_NUMBER = "+10000000000"


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """How one source is asked, and where in its JSON the answer stands (JSONPath, https://www.rfc-editor.org/rfc/rfc9535).

    In `url` and `body`, `{phone}` stands for the number in E.164, `{national}` for its digits as they are dialled in its own
    country, `{digits}` for E.164 without the plus. `record` leads to the customer, or to a list of customers; `email`, `id`
    and `attributes` start there.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = ""
    record: str = "$"
    email: str = ""
    id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds and bytes for one answer, and how many are asked for at once."""

    deadline_seconds: float = 5.0
    connect_seconds: float = 3.0
    answer_bytes: int = 65536
    at_once: int = 8
    values: AnswerLimits = field(default_factory=AnswerLimits)


@dataclass(frozen=True, slots=True)
class Paths:
    """The JSONPaths of a question, read once."""

    record: jsonpath.JSONPath
    email: jsonpath.JSONPath | None
    id: jsonpath.JSONPath | None
    attributes: Mapping[str, jsonpath.JSONPath]


METHODS = ("GET", "POST")
"""A source is asked, and nothing in it is changed. Those that read a question from a body want POST."""


def checked_method(method: str) -> str:
    """Raises ValueError for what would do more than ask."""
    if method not in METHODS:
        raise ValueError(f"must be {' or '.join(METHODS)}: a source is asked, and nothing in it is changed")
    return method


def checked_url(url: str) -> str:
    """Raises ValueError for what cannot be asked, whatever number is put in."""
    if not re.match(r"https?://[^/\s{}]+", url):
        raise ValueError("must be like https://crm.example.com/contacts?phone={phone}")
    try:
        Request("GET", _filled(url, _ANY_NUMBER, quoted=True)).prepare()
    except (RequestException, ValueError):  # their text shows the whole of it
        raise ValueError("cannot be used: its host or its port is wrong") from None
    return url


def checked_path(path: str) -> str:
    """Raises ValueError for what is no JSONPath."""
    _path(path)
    return path


def paths_of(question: HttpQuestion) -> Paths:
    """Raises ValueError for what is no JSONPath."""
    return Paths(
        _path(question.record),
        _path(question.email) if question.email else None,
        _path(question.id) if question.id else None,
        {name: _path(path) for name, path in question.attributes.items()},
    )


_JSONPATH = jsonpath.JSONPathEnvironment(strict=True)


def _path(path: str) -> jsonpath.JSONPath:
    try:
        return cast(jsonpath.JSONPath, _JSONPATH.compile(path))
    except (jsonpath.JSONPathError, RecursionError) as error:
        raise ValueError(f"{path!r} is no JSONPath such as $.customer.email ({str(error).splitlines()[0]})") from None


def records_in(document: Any, paths: Paths) -> list[Record]:
    """The customers in a JSON document: none where it says that there is none. Raises WrongAnswer.

    A null, an empty list or object at `record` says so, and a record whose email and id are null. Where neither key is
    there it is another kind of document: an error that came with a 200, or the path is wrong.
    """
    stands = [None] if document is None else _found(paths.record, document)
    if not stands:
        raise WrongAnswer("no_customer_in_answer", "nothing stands where `record` leads to")
    found = [one for each in stands for one in (each if isinstance(each, list) else [each])]
    return [_record(one, paths) for one in found if one is not None and one != {}]


def _record(one: Any, paths: Paths) -> Record:
    email = _found(paths.email, one) if paths.email else []
    number = _found(paths.id, one) if paths.id else []
    if not email and not number:
        raise WrongAnswer("no_customer_in_answer", "neither `email` nor `id` leads to anything")
    attributes = {name: _found(path, one) for name, path in paths.attributes.items()}
    first = {name: values[0] for name, values in attributes.items() if values}
    return Record(email[0] if email else None, number[0] if number else None, first)


def _found(path: jsonpath.JSONPath, within: Any) -> list[Any]:
    """What a path leads to. The library reads a text as a document of its own, which none is here."""
    return path.findall(within) if isinstance(within, dict | list) else []


class HttpSource:
    """`CallerSource` over HTTP. Raises ValueError for a url or a JSONPath that cannot be used, OSError for a `ca_file` without
    certificates. Goes out through `proxy` where there is one.
    """

    def __init__(
        self,
        name: str,
        question: HttpQuestion,
        limits: HttpLimits,
        *,
        proxy: Proxy | None = None,
        ca_file: str | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.name = name
        self._question = question
        self._limits = limits
        self._paths = paths_of(question)
        self._proxy = proxy
        self._resolver = resolver or Resolver()
        self._dialer = Dialer()
        self._prepared(_ANY_NUMBER)  # raises what would be raised each time
        self._adapter = BoundedAdapter(limits.at_once, trusting(ca_file))

    def __repr__(self) -> str:
        return f"HttpSource({self.name!r})"

    def find(self, phone: str) -> Answer:
        known = self._limits
        request, target = self._prepared(phone)
        ends_at = time.monotonic() + known.deadline_seconds
        most = HEAD_BYTES + known.answer_bytes + 1
        flight = Flight(target, ends_at, known.connect_seconds, most, self._resolver, self._dialer, self._proxy)
        try:
            response = self._adapter.fly(request, flight)
        except Exception as error:
            return Later(flight.trouble or "error", flight.detail or ("" if flight.trouble else type(error).__name__))
        body = read_body(response, known.answer_bytes + 1)
        if flight.trouble:
            return Later(flight.trouble, flight.detail)
        return self._read(response, body)

    def close(self) -> None:
        self._adapter.close()

    def _read(self, response: Response, body: bytes) -> Answer:
        status = response.status_code
        if status in (404, 204):
            return NotThere()
        if not 200 <= status <= 299:
            return Later(reason_of(status), wait_seconds=_wait(response.headers.get("Retry-After")))
        if len(body) > self._limits.answer_bytes:
            return Later("too_large", f"more than {self._limits.answer_bytes} bytes")
        try:
            return answer_of(records_in(_document(body), self._paths), self._limits.values)
        except WrongAnswer as error:
            return error.later

    def _prepared(self, phone: str) -> tuple[PreparedRequest, str]:
        """The request, without its path and query, and these: they come in at the last moment, so that no error shows them."""
        question = self._question
        headers = {"Accept": "application/json", "User-Agent": f"Offhook/{VERSION}"} | dict(question.headers)
        body = _filled(question.body, phone).encode() if question.body else None
        url = _filled(question.url, phone, quoted=True)
        try:
            whole = Request(question.method, url, {**headers, "Accept-Encoding": "identity"}, data=body).prepare()
        except (RequestException, ValueError) as error:
            raise ValueError("url, method or headers cannot be used") from error
        target = asked_for(whole, self._proxy)
        let_in(whole, self._proxy)
        parts = urlsplit(str(whole.url))
        whole.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        return whole, target


def _filled(template: str, phone: str, *, quoted: bool = False) -> str:
    values = {"phone": phone, "national": national(phone), "digits": phone.removeprefix("+")}
    return _PLACE.sub(lambda found: quote(values[found[1]], safe="") if quoted else values[found[1]], template)


def _document(body: bytes) -> Any:
    """Raises WrongAnswer for what is no JSON: RFC 8259 knows no NaN either."""
    try:
        return json.loads(body, parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise WrongAnswer("wrong_json", f"{len(body)} bytes that are no JSON") from None


def _not_json(word: str) -> Any:
    raise ValueError(word)


def _wait(header: str | None) -> float | None:
    """Seconds of a Retry-After that is a number; a date is rare here, and the back-off is there anyway."""
    text = (header or "").strip()
    return min(_MOST_WAIT_SECONDS, float(text)) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text) else None
