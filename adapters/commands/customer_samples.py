"""Numbers that an import or taking one back would change, as a table: who will have each, and who had it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import click

from offhook.adapters.commands.shown import Format, show_list
from offhook.pipeline.customer_shown import in_a_line


def show_samples(samples: Sequence[Mapping[str, object]]) -> None:
    """Below a blank line; of none nothing. `was` of each is a person (`person_of`), or None."""
    if not samples:
        return
    click.echo()
    rows = [{**one, "was": in_a_line(cast("Mapping[str, object] | None", one.get("was")))} for one in samples]
    several = ("customers",) if any("customers" in one for one in samples) else ()
    show_list(rows, Format.TABLE, ("what", "phone", "email", "customer_id", *several, "was"))
