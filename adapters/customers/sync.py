"""A list of customers that is fetched again and again: from an address or a path, by whichever worker is first when it is due."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from offhook.adapters.customers.csv_file import ImportReport, Replace, import_csv
from offhook.adapters.customers.fetching import Access, fetch, shown
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.customers.lines import ImportRefused
from offhook.pipeline.customer import Conflict
from offhook.pipeline.ports.customers import Brought, CustomerTable, Source
from offhook.pipeline.ports.syncs import Syncs
from offhook.pipeline.ports.unavailable import LedgerUnavailable

log = logging.getLogger("offhook.customers")

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # https://www.rfc-editor.org/rfc/rfc3986#section-3.1
_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 300.0  # after a list that could not be taken, where it is not due sooner


@dataclass(frozen=True, slots=True)
class SyncSource:
    """`location` is an HTTP(S) address or a path, and it is fetched each `every_seconds`; the rest says how it is read.

    With `replacing`, whoever is not in it is retired.
    """

    location: str = field(repr=False)
    every_seconds: float
    columns: tuple[str, str, str]
    region: str
    conflict: Conflict
    limits: ImportLimits
    lower_emails: bool
    replacing: Replace | None
    access: Access

    @property
    def is_remote(self) -> bool:
        return self.location.lower().startswith(("http://", "https://"))

    @property
    def is_address(self) -> bool:
        """Of any kind, whether it can be fetched or not."""
        return _ADDRESS.match(self.location) is not None

    @property
    def name(self) -> str:
        """Without a secret."""
        return shown(self.location) if self.is_address else self.location


class SyncedTable(CustomerTable, Protocol):
    """Customers, and when their lists were fetched."""

    @property
    def syncs(self) -> Syncs: ...


class CustomerSync:
    """Takes a list when it is due. `clock` is the ledger's time."""

    def __init__(self, source: SyncSource, table: SyncedTable, clock: Callable[[], datetime]) -> None:
        self._source = source
        self._table = table
        self._clock = clock

    @property
    def name(self) -> str:
        return self._source.name

    def now(self) -> ImportReport | None:
        """Fetch it, due or not, and take it where it is another than last time; None where it is the same.

        Raises ImportRefused and LedgerUnavailable.
        """
        name = self._source.name
        known = self._table.syncs.version(name)
        with TemporaryDirectory(prefix="offhook-") as folder:
            file, version = self._fetched(Path(folder), known)
            report = None if known and version == known else self._imported(file, Path(folder) / "rejected.csv")
        self._table.syncs.taken(name, version or None, self._clock() + timedelta(seconds=self._source.every_seconds))
        return report

    def _fetched(self, folder: Path, known: str | None) -> tuple[Path, str | None]:
        """Where the list lies, and its version."""
        if self._source.is_remote:
            file = folder / "customers"
            return file, fetch(self._source.location, known, file, self._source.access)
        if self._source.is_address:
            raise ImportRefused(
                f"{self.name} cannot be fetched: a list is at an address of http or https, or at a path."
            )
        file = Path(self._source.location)
        try:
            found = file.stat()
        except OSError as error:
            raise ImportRefused(f"{file} cannot be opened: {error.strerror}.") from None
        return file, f"file {found.st_mtime_ns} {found.st_size}"

    def _imported(self, file: Path, rejects: Path) -> ImportReport:
        source = self._source
        return import_csv(
            file,
            self._table,
            columns=source.columns,
            region=source.region,
            conflict=source.conflict,
            rejects_path=rejects,
            limits=source.limits,
            lower_emails=source.lower_emails,
            replacing=source.replacing,
            brought=Brought(Source.SYNC, source.name, run=secrets.token_hex(8)),
        )

    def when_due(self) -> ImportReport | None:
        """The same, where it is due and no other worker has it."""
        now, every = self._clock(), timedelta(seconds=self._source.every_seconds)
        if not self._table.syncs.claim(self.name, now, now + every):
            return None
        try:
            return self.now()
        except ImportRefused:
            again = now + min(every, timedelta(seconds=_AGAIN_SECONDS))
            self._table.syncs.taken(self.name, self._table.syncs.version(self.name), again)
            raise

    def run(self, stopping: threading.Event, nice: int = 0) -> None:
        """Until `stopping`: in a thread of its own, which gives way to all others as far as `nice` says."""
        if nice and sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        while not stopping.is_set():
            self._tried()
            stopping.wait(min(_LOOK_SECONDS, self._source.every_seconds))

    def _tried(self) -> None:
        try:
            report = self.when_due()
        except (ImportRefused, LedgerUnavailable) as error:
            log.warning("customers_not_synced", extra={"source": self.name, "error": str(error)})
        except Exception:
            log.exception("customers_not_synced", extra={"source": self.name})
        else:
            if report is not None:
                log.info("customers_synced", extra={"source": self.name, **counts_of(report)})


def counts_of(report: ImportReport) -> dict[str, int]:
    """What became of a list, in numbers."""
    names = ("added", "changed", "unchanged", "removed", "conflicts", "rejected")
    return {name: getattr(report, name) for name in names}
