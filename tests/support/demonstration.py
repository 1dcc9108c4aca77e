"""The demonstration's month of calls in a database of a test's own, by what `flask up` does."""

from __future__ import annotations

from pathlib import Path

from offhook.adapters.commands import demonstration
from offhook.adapters.commands.context import Offhook
from offhook.adapters.rockerbox.sandbox import Sandbox
from offhook.service import build
from offhook.settings import given
from tests.support.processes import REPOSITORY, bare_environment, flask

RECORDED = REPOSITORY / "recordings" / "shop-day.jsonl"


def service_of(url: str, sandbox: Sandbox, **changes: str) -> Offhook:
    """The service of a demonstration with this database, which sends to this sandbox."""
    settings = {
        "DATABASE_URL": url,
        "PUBLIC_URL": "http://127.0.0.1:9",
        "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000001",
        "TWILIO_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
        "ROCKERBOX_ADVERTISER_ID": "demonstration",
        "ROCKERBOX_URL": f"{sandbox.url}/webhook/data",
        "OFFHOOK_SETTLE_SECONDS": "1",
        "OFFHOOK_RULES": demonstration.RULES,
    }
    return build(given(settings | changes))


def month_of_calls(url: str, folder: Path) -> int:
    """Customers, then calls that end now. Returns how many callbacks."""
    env = bare_environment() | {"DATABASE_URL": url}
    done = flask("customers", "import", str(REPOSITORY / "recordings" / "customers.csv"), env=env, folder=folder)
    assert done.returncode == 0, done.stderr
    with Sandbox() as sandbox:
        service = service_of(url, sandbox)
        try:
            return demonstration.fill(service, sandbox, RECORDED, service.ledger.clock())
        finally:
            service.ledger.close()
