"""What becomes of the persons in a recording that is written: pseudonyms, unless somebody asks for less."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from offhook.adapters.commands.context import fail, known_settings
from offhook.adapters.recordings.format import Record
from offhook.adapters.recordings.redact import Redactor
from offhook.pipeline.customer import Customer


@dataclass(frozen=True, slots=True)
class Cover:
    """Pseudonyms for whoever is in records and in the mapping; `redactor` is None when all stays in clear.

    `is_stable` is True when another run gives the same ones.
    """

    redactor: Redactor | None
    is_stable: bool

    def record(self, record: Record) -> Record:
        return self.redactor.record(record) if self.redactor else record

    def look_for(self, toml: str, folder: Path) -> Collection[str]:
        """Before anything else is asked: the rules that `rules` shall write. Returns the customers' columns that they need."""
        return self.redactor.look_for(toml, folder) if self.redactor else ()

    def rules(self, toml: str, folder: Path, lists: dict[str, str]) -> str:
        return self.redactor.rules(toml, folder, lists) if self.redactor else toml

    def customer(self, customer: Customer) -> Customer:
        return self.redactor.customer(customer) if self.redactor else customer


def cover_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options about persons, and the Cover that they amount to as its argument `cover`."""

    @click.option(
        "--key",
        default="",
        help="A secret of 16 characters or more: the same pseudonyms in every file.  [default: OFFHOOK_RECORDINGS_KEY]",
    )
    @click.option(
        "--keep-numbers",
        is_flag=True,
        help="Leave phone numbers readable: personal data of your callers, for everybody who gets the file.",
    )
    @click.option(
        "--in-clear",
        is_flag=True,
        help="Leave everything readable, names and places too. For your own eyes, or to send lost callbacks again.",
    )
    @functools.wraps(command)
    def covered(*args: Any, key: str, keep_numbers: bool, in_clear: bool, **more: Any) -> Any:
        return command(*args, cover=_cover(key, keep_numbers, in_clear), **more)

    return covered


def _cover(key: str, keep_numbers: bool, in_clear: bool) -> Cover:
    settings = known_settings()
    secret = key or settings.recordings_key.get_secret_value()
    if in_clear:
        click.secho("In clear: the file holds personal data of your callers.", err=True, fg="yellow")
        return Cover(None, is_stable=True)
    if keep_numbers:
        click.secho("The file holds the real phone numbers of your callers.", err=True, fg="yellow")
    try:
        redactor = Redactor(secret.encode() or None, region=settings.default_country, keep_numbers=keep_numbers)
    except ValueError as error:
        fail(f"{error} (--key or OFFHOOK_RECORDINGS_KEY).", 2)
    return Cover(redactor, is_stable=bool(secret))
