"""A row of the brand's customer table. Holds a value and finds nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

Conflict = Literal["none", "last", "first"]
"""Who is credited where a list or a look-up gives one number to several customers: nobody, or one of its rows."""
CONFLICTS: tuple[Conflict, ...] = get_args(Conflict)


@dataclass(frozen=True, slots=True)
class Customer:
    """Who has a number in the brand's mapping. `phone` is E.164; at least one of email and customer id is there.

    `people` is how many have it. Above 1 nobody is named, neither by email nor by customer id. `attributes` is what else
    the brand knows of the customer. `row` is the row of the mapping's history that says all this, and `fresh_until` how
    long a look-up's answer is good, None for ever; neither makes another customer of it. `others` are the several who are
    said to have the number, where it is known who they are: email and customer id of each.
    """

    phone: str
    email: str | None
    customer_id: str | None
    people: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)
    row: int | None = field(default=None, compare=False)
    fresh_until: datetime | None = field(default=None, compare=False)
    others: tuple[tuple[str | None, str | None], ...] = field(default=(), compare=False)
