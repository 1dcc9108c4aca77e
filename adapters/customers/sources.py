"""The sources that are asked who calls, as OFFHOOK_LOOKUPS spells them: a table of TOML each, asked in that order.

    [crm]
    url = "https://crm.example.com/contacts?phone={phone}"
    headers = { Authorization = "Bearer s3cret" }
    record = "$.results"
    email = "$.email"
    id = "$.id"
    attributes = { tier = "$.plan.name" }

    [shop]
    database = "postgresql://reader:secret@db.example.com/shop"
    sql = "SELECT email, id AS customer_id, tier FROM customers WHERE phone IN (:phone, :national)"

Never shows a value, which may be a secret. Connects to nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from offhook.adapters.customers.asking_http import (
    HttpLimits,
    HttpQuestion,
    HttpSource,
    checked_method,
    checked_path,
    checked_url,
)
from offhook.adapters.customers.asking_sql import (
    SqlLimits,
    SqlQuestion,
    SqlSource,
    checked_database,
    checked_sql,
)
from offhook.adapters.proxies import Proxy
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.ports.caller_source import CallerSource

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # https://www.rfc-editor.org/rfc/rfc9110#name-tokens


class SourcesError(ValueError):
    """What is wrong with the sources, a sentence each; no value is shown."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Path = Annotated[str, AfterValidator(checked_path)]
_PathOrNone = Annotated[str, AfterValidator(lambda path: path and checked_path(path))]


class _Http(_Strict):
    url: Annotated[str, AfterValidator(checked_url)]
    method: Annotated[str, AfterValidator(checked_method)] = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    record: _Path = "$"
    email: _PathOrNone = ""
    id: _PathOrNone = ""
    attributes: dict[str, _Path] = {}

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        wrong = [name for name, value in headers.items() if not _TOKEN.fullmatch(name) or not _is_value(value)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be sent: a name is one word, a value has no line end")
        return headers

    @property
    def question(self) -> HttpQuestion:
        return HttpQuestion(**self.model_dump())


class _Sql(_Strict):
    database: Annotated[str, AfterValidator(checked_database)]
    sql: Annotated[str, AfterValidator(checked_sql)]

    @property
    def question(self) -> SqlQuestion:
        return SqlQuestion(self.database, self.sql)


Question = HttpQuestion | SqlQuestion


def parse(text: str) -> dict[str, Question]:
    """The sources by their names, in the order in which they are asked. Raises SourcesError with all that is wrong."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"at line ([0-9]+)", str(error))
        where = f" in line {line[1]}" if line else ""
        raise SourcesError([f"this is no TOML{where}: write a table such as [crm] for each source"]) from None
    problems: list[str] = []
    found = {name: made for name, table in tables.items() if (made := _question(name, table, problems)) is not None}
    if problems:
        raise SourcesError(problems)
    return found


def _question(name: str, table: object, problems: list[str]) -> Question | None:
    if not isinstance(table, dict):
        problems.append(f"{name} stands outside of a source: write a table such as [crm] above it")
        return None
    if not _NAME.fullmatch(name):
        problems.append(f"[{name}] must be called by 1 to 32 of a-z, 0-9, - and _")
        return None
    kind = _Sql if "database" in table or "sql" in table else _Http
    wrong = list(_lacking(table)) if kind is _Http else []
    try:
        question: Question | None = kind.model_validate(table).question
    except ValidationError as error:
        wrong += map(_said, error.errors(include_input=False, include_url=False))
        question = None
    problems += [f"[{name}] {what}" for what in wrong]
    return None if wrong else question


def _lacking(table: Mapping[str, object]) -> Iterator[str]:
    """What the keys of a source that is asked by HTTP lack together, whatever else is wrong with each."""
    url, body = table.get("url", ""), table.get("body", "")
    if "url" in table and not any(re.search(r"\{(phone|national|digits)\}", str(text)) for text in (url, body)):
        yield "url or body must have {phone}, {national} or {digits} where the number goes"
    if not (table.get("email") or table.get("id")):
        yield "email or id must say where the answer has it, such as $.email"


_WORDS = {
    "extra_forbidden": "is no key of a source",
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "dict_type": "must be a table of texts",
}


def _said(mistake: Mapping[str, Any]) -> str:
    where, what = ".".join(map(str, mistake["loc"])), str(mistake["msg"]).removeprefix("Value error, ")
    what = _WORDS.get(str(mistake["type"]), what)
    return f"{where}: {what}" if where else what


def _is_value(text: str) -> bool:
    return text == text.strip() and not re.search(r"[\r\n\0]", text) and _is_latin(text)


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class WayOut:
    """How sources of HTTP are reached. `ca_file` is None for the usual authorities."""

    proxy: Proxy | None = None
    ca_file: str | None = None
    dns_threads: int = 4


def sources_of(
    questions: Mapping[str, Question], http: HttpLimits, sql: SqlLimits, way: WayOut
) -> tuple[CallerSource, ...]:
    """Ready to be asked; nothing is connected. Raises SourcesError."""
    resolver = Resolver(max_threads=way.dns_threads)
    made: list[CallerSource] = []
    problems: list[str] = []
    for name, question in questions.items():
        try:
            if isinstance(question, SqlQuestion):
                made.append(SqlSource(name, question, sql))
            else:
                made.append(HttpSource(name, question, http, proxy=way.proxy, ca_file=way.ca_file, resolver=resolver))
        except ValueError as error:
            problems.append(f"[{name}] {error}")
    if problems:
        raise SourcesError(problems)
    return tuple(made)
