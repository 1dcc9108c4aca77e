"""The kinds of long work that may be asked for, each with its arguments, and how it is asked for.

Every kind is safe to repeat: a worker that is killed leaves a job that the next one takes up, from its checkpoint or from the
beginning. How each kind is run stands in adapters/jobs/; a page knows no more than this file and jobs.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from offhook.pipeline.ports.jobs import Jobs
from offhook.pipeline.story import CallFilter, ConversionFilter


class WrongArguments(ValueError):
    """What a job was asked with cannot be used; the text says why."""


# What may be asked for. A field without a default must be given. Times are aware. The names of fields stand in jobs that ledgers
# keep, those of the filters among them: a field that gets another name makes those jobs fail.


@dataclass(frozen=True, slots=True)
class ImportCustomers:
    """A file of customers into the mapping; with `dry_run` what that would change. The rest as options of
    `flask customers import`; None is what the settings say.
    """

    upload: int
    dry_run: bool = False
    replace: bool = False
    yes_retire: bool = False
    columns: tuple[str, ...] | None = None
    country: str | None = None
    conflict: str | None = None
    encoding: str | None = None
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class UndoImport:
    """What an import of the mapping's history did, taken back."""

    import_id: int


@dataclass(frozen=True, slots=True)
class ExportCalls(CallFilter):
    """The calls that are wanted as CSV, persons hidden in part unless `reveal`. `columns` are names of calls_shown.COLUMNS, none for
    the usual ones; `zone` is the time zone of who asked, "" for UTC.
    """

    reveal: bool = False
    columns: tuple[str, ...] = ()
    zone: str = ""


@dataclass(frozen=True, slots=True)
class BacktestRules:
    """What other rules would have made of the calls since then. `rules` is the text of an offhook.toml; None for those that
    hold."""

    since: datetime
    rules: str | None = None


@dataclass(frozen=True, slots=True)
class RetryConversions(ConversionFilter):
    """Conversions that rest, sent again: those of `call_sids`, else all that are wanted. What may have arrived is left as it
    is unless `also_maybe_sent`.
    """

    call_sids: tuple[str, ...] | None = None
    also_maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class QaFile:
    """A month's conversions (`2026-10`) as the file of Rockerbox's Conversion QA, in clear."""

    month: str


@dataclass(frozen=True, slots=True)
class PreflightConversions:
    """What Rockerbox would not count or match of what was made since then. `key` as in ROCKERBOX_DEDUPE_KEY, None for the
    account's."""

    since: datetime
    key: str | None = None


Arguments = (
    ImportCustomers | UndoImport | ExportCalls | BacktestRules | RetryConversions | QaFile | PreflightConversions
)
KINDS: Mapping[str, type[Arguments]] = {
    "import_customers": ImportCustomers,
    "undo_import": UndoImport,
    "export_calls": ExportCalls,
    "backtest": BacktestRules,
    "retry_conversions": RetryConversions,
    "qa_file": QaFile,
    "preflight": PreflightConversions,
}
"""Every kind of job by its name: what it is asked for with."""
_NAMES = {kind: name for name, kind in KINDS.items()}


def enqueue(jobs: Jobs, asked: Arguments, asked_by: str, now: datetime) -> int:
    """Ask for a job; the number by which it is known. `asked_by` names who wants it, for the audit.

    An upload that it names becomes its own. Raises WrongArguments where there is no such upload, and LedgerUnavailable.
    """
    found = jobs.add(_NAMES[type(asked)], as_mapping(asked), asked_by, now, upload=getattr(asked, "upload", None))
    if found is None:
        raise WrongArguments("There is no such upload, it is not whole, or another job has it: upload the file again.")
    return found


def as_mapping(asked: Arguments) -> dict[str, Any]:
    """Arguments as JSON holds them, without those that are as by default."""
    held = ((one, getattr(asked, one.name)) for one in fields(asked))
    return {one.name: _plain(value) for one, value in held if value != one.default}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def read_arguments(kind: type[Any], held: Mapping[str, Any]) -> Any:
    """What `as_mapping` wrote. Raises WrongArguments for what is no argument of this kind, is missing, or is no such value."""
    hints = get_type_hints(kind)
    if unknown := sorted(held.keys() - hints.keys()):
        raise WrongArguments(f"{unknown[0]} is no argument of it in this version.")
    try:
        return kind(**{name: _read(hints[name], value) for name, value in held.items()})
    except (TypeError, ValueError) as error:
        raise WrongArguments(f"its arguments cannot be used: {error}") from None


def _read(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        inner, *_ = (one for one in get_args(hint) if one is not NoneType)
        return None if value is None else _read(inner, value)
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if get_origin(hint) is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if get_origin(hint) is None and type(value) is hint:
        return value
    raise ValueError(f"{json.dumps(value)[:60]} is not of its kind")
