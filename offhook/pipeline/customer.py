"""A row of the brand's customer table. Holds a value and finds nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Customer:
    """Who has a number in the brand's mapping. `phone` is E.164; at least one of email and customer id is there.

    `people` is how many have it. Above 1 nobody is named, neither by email nor by customer id. `attributes` are the further
    columns; `row` is the row of the table's history that says all this, None where there is none.
    """

    phone: str
    email: str | None
    customer_id: str | None
    people: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)
    row: int | None = None
