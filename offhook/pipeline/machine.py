"""The clock of this machine, for whoever is given no other. What is kept goes by the database's (adapters/ledger/clock.py)."""

from __future__ import annotations

from datetime import UTC, datetime


def machine_time() -> datetime:
    """What this machine believes."""
    return datetime.now(UTC)
