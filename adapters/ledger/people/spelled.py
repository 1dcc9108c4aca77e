"""Numbers as rows are found by them: in every spelling that one may have been kept under."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from offhook.adapters.ledger.schema import PersonText
from offhook.pipeline.phone import spellings

PHONE = (("phone", "text"),)
BY_PHONE = "t.phone = v.phone"


def every_spelling(phones: Iterable[str], **more: Any) -> list[dict[str, Any]]:
    """Rows of the columns PHONE, each with these values of others."""
    every = sorted({spelling for phone in phones for spelling in spellings(phone)})
    return [{"phone": PersonText.kept(phone), **more} for phone in every]


def found_by(phones: Iterable[str], found: Container[str]) -> dict[str, str]:
    """Of the numbers, as they were asked by, those that were found in any spelling, each with the one under which it was."""
    under = ((phone, next((one for one in spellings(phone) if one in found), None)) for phone in phones)
    return {phone: one for phone, one in under if one is not None}


def line(phone: str) -> str | None:
    """The one spelling under which a number is written."""
    return PersonText.kept(spellings(phone)[0])
