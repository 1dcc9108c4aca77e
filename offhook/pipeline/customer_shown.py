"""Who has a number, as a preview says it: what an import or taking one back would change. Hides what it is asked to hide."""

from __future__ import annotations

from collections.abc import Mapping

from offhook.pipeline.customer import Customer
from offhook.pipeline.masking import Masking, in_clear


def person_of(one: Customer, hide: Masking) -> dict[str, object]:
    """Number, email and customer id; `customers` is how many have the number where several do. Of attributes that are hidden
    there are the names."""
    names = {"phone": one.phone, "email": one.email, "customer_id": one.customer_id}
    shown: dict[str, object] = {name: hide(value) if value else None for name, value in names.items()}
    if one.people > 1:
        shown["customers"] = one.people
    if one.attributes:
        shown["attributes"] = dict(one.attributes) if hide is in_clear else sorted(one.attributes)
    return shown


def in_a_line(was: Mapping[str, object] | None) -> str | None:
    """Who that is without the number, for a table's cell; None for nobody."""
    if not was:
        return None
    if "customers" in was:
        return f"{was['customers']} customers"
    return " ".join(_in_short(value) for name, value in was.items() if name != "phone" and value)


def _in_short(value: object) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name}: {one}' for name, one in value.items())})"
    return f"({', '.join(value)})" if isinstance(value, list) else str(value)
