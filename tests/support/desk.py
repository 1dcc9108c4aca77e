"""A terminal in this process: commands typed one after the other at the same ledger, in a folder of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from offhook.main import commands_alone
from offhook.pipeline.customer import Customer
from offhook.pipeline.job_kinds import QaFile, enqueue
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.users import AuditFilter, AuditLine, Role, User
from offhook.service import build
from offhook.settings import given
from tests.support.browsing import RULES, Browsing, browsing
from tests.support.dashboard import add_user
from tests.support.ledger import connect_sqlite

LIST = "phone,email,customer_id\n+14155558001,ann@example.com,C-1\n"
KNOWN, UNKNOWN = "+14155558004", "+14155558005"


@dataclass
class Desk:
    """A terminal on a dashboard's ledger, and a folder of its own."""

    site: Browsing
    folder: Path
    known: Mapping[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    ended: Any = None
    written: Sequence[AuditLine] = ()

    @property
    def ledger(self) -> Any:
        return self.site.service.ledger

    def types(self, *words: str, answer: str | None = None, **settings: str) -> None:
        """Run a command, and answer what it asks. `written` are the lines of it, the oldest first."""
        before = self.ledger.audit.lines(AuditFilter(), None, 1)
        app = commands_alone()
        app.extensions["offhook"] = build(given({**self.known, **settings}))
        self.ended = app.test_cli_runner().invoke(args=list(words), input=answer)
        app.extensions["offhook"].ledger.close()
        last = before[0].seq if before else 0
        self.written = [one for one in reversed(self.ledger.audit.lines(AuditFilter(), None, 20)) if one.seq > last]

    def user(self) -> User:
        return add_user(self.ledger, f"user{next(self.numbers)}@example.com", Role.VIEWER, None)

    def refused(self) -> str:
        """The CallSid of a call that Rockerbox refused."""
        return self.site.refused(next(self.numbers), caller=KNOWN)

    def file(self, text: str = LIST) -> str:
        path = self.folder / f"crm{next(self.numbers)}.csv"
        path.write_text(text)
        return str(path)

    def listed(self) -> str:
        """The number of a customer whom an import has brought."""
        self.imported()
        return "+14155558002"

    def imported(self) -> int:
        brought = Brought(Source.IMPORT, "crm.csv", run=str(next(self.numbers)))
        self.ledger.merge_customers([Customer("+14155558002", f"di{brought.run}@example.com", None)], brought)
        return int(self.ledger.history.imports(1)[0].id)

    def job(self) -> int:
        return enqueue(self.ledger.jobs, QaFile("2026-10"), "test", self.ledger.clock())

    def source(self) -> str:
        """A system of one's own that is asked who calls, as a setting."""
        path = self.folder / "shop.db"
        if not path.exists():
            with closing(connect_sqlite(f"sqlite:///{path}")) as shop:
                shop.execute("CREATE TABLE people (phone, email)")
                shop.execute("INSERT INTO people VALUES ('+14155558006', 'ed@example.com')")
                shop.commit()
        return f'[shop]\ndatabase = "sqlite:///{path}"\nsql = "SELECT email FROM people WHERE phone = :phone"\n'


def desk_of(name: str) -> Any:
    """The fixture `desk` of a file of tests, one for all of them."""

    @pytest.fixture(scope="module")
    def desk(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
        folder = tmp_path_factory.mktemp(name)
        url = f"sqlite:///{folder}/offhook.db"
        shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), folder / "offhook.db")
        site = browsing(url)
        known = {
            "DATABASE_URL": url,
            "OFFHOOK_RULES": RULES,
            "OFFHOOK_CUSTOMERS_NICE": "0",
            "OFFHOOK_SETTLE_SECONDS": "0",
        }
        yield Desk(site, folder, known)
        site.service.ledger.close()

    return desk
