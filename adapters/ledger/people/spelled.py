"""Numbers as rows are found by them: in every spelling that one may have been kept under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from offhook.adapters.ledger.schema import PersonText
from offhook.pipeline.phone import spellings

PHONE = (("phone", "text"),)
BY_PHONE = "t.phone = v.phone"


def every_spelling(phones: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of the columns PHONE."""
    every = sorted({spelling for phone in phones for spelling in spellings(phone)})
    return [{"phone": PersonText.kept(phone)} for phone in every]


def line(phone: str) -> str | None:
    """The one spelling under which a number is written."""
    return PersonText.kept(spellings(phone)[0])
