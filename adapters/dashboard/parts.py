"""What every page has at hand, as service.py puts it together, and the limits from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from flask import Response, current_app, g

from offhook.adapters.ledger.reading import Reading
from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.rockerbox.preflight import Account
from offhook.pipeline.ports.reader import Reader
from offhook.pipeline.rules import Rules
from offhook.pipeline.single_sign_on import Admission
from offhook.pipeline.steps import Judge
from offhook.pipeline.users import Lifetimes

if TYPE_CHECKING:  # its libraries are loaded where single sign-on is set up
    from offhook.adapters.oidc.provider import Provider


@dataclass(frozen=True, slots=True)
class Limits:
    """See the settings of the same names."""

    lifetimes: Lifetimes
    seen_seconds: float
    window_seconds: float
    tries_of_account: int
    tries_of_address: int
    password_least: int
    password_most: int
    invite_seconds: float
    page_rows: int
    short_rows: int
    customer_numbers: int
    at_once: int
    unknown_file_rows: int
    undo_preview_rows: int
    upload_bytes: int
    live_seconds: float
    jobs_seconds: int
    days: int
    recent_days: int
    answer_characters: int
    retry_after_seconds: int
    books_seconds: float
    rules_bytes: int
    body_bytes: int
    statement_seconds: float
    proxies: int
    overview_days: int
    behind_seconds: float
    list_days: float


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Single sign-on: the provider, who may come in by it, and `name` for the button. `signs_out`: who came by it and signs out here
    signs out there as well.
    """

    provider: Provider
    admission: Admission
    name: str
    signs_out: bool

    @property
    def at_start(self) -> str:
        """The name as a sentence begins with it."""
        return self.name[:1].upper() + self.name[1:]


@dataclass(frozen=True, slots=True)
class SettingLine:
    """A setting as it is: `value` is "" for a secret, whether set or not; `origin` is a word for where it came from."""

    name: str
    value: str
    origin: str
    meaning: str
    is_secret: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """`judge` is a sentence where the rules cannot be used. `ready` is what /readyz says, asked without writing. `region` is the
    country of numbers written without one. `lacks` names the field of the account's deduplication key that a payload lacks.
    `rules` reads those that hold, or an upload; it raises RulesError. `rules_of_then` reads those of a version for
    reading them back, None where it cannot. `account` is what is known of that at Rockerbox.
    `looks_up`: callers are looked up elsewhere (OFFHOOK_LOOKUPS). `home` is the dashboard's address in a link that somebody else
    gets: as it is set, and not as a request says. `elsewhere` is None without single sign-on.
    """

    reads: Reading
    ledger: SqlLedger
    read: Reader
    judge: Callable[[], Judge | str]
    clock: Callable[[], datetime]
    limits: Limits
    settings: Callable[[], Sequence[SettingLine]]
    ready: Callable[[], tuple[bool, Mapping[str, Any]]]
    region: str
    lower_emails: bool
    lacks: Callable[[bytes], str | None]
    rules: Callable[[str | None], Rules]
    rules_of_then: Callable[[str], Rules | None]
    account: Account
    preflight_keys: int
    version: str
    zone: str
    is_https: bool
    looks_up: bool
    home: str
    elsewhere: Elsewhere | None = None


ROWS_OF_A_QUESTION = 500
"""Where many rows are read one after the other: of each question, so that no statement takes long. It limits nothing that is shown."""
_DIGITS = 18  # of a row's number; more is in no database


def row_number(text: str) -> int | None:
    """The number of a row, as an address or a form has it. None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def csv_named(name: str, pieces: Iterable[str] | Iterable[bytes], size: int | None = None) -> Response:
    """A file to keep, piece by piece: what goes wrong at the first one is a page, not half a file. `size` is in bytes, where
    it is known beforehand.
    """
    each: Iterator[Any] = iter(pieces)
    answer = Response(chain([*islice(each, 1)], each), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if size is not None:
        answer.content_length = size
    return answer


def judge_now(known: Parts) -> Judge | str:
    """`Parts.judge`, asked once a request: it reads the rules."""
    if "judge" not in g:
        g.judge = known.judge()
    return cast("Judge | str", g.judge)


def parts() -> Parts:
    """Those of the running dashboard."""
    return cast(Parts, current_app.extensions["offhook.dashboard"])
