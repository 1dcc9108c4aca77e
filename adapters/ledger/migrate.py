"""Alembic's migrations for the ledger, run from code: no alembic.ini to find, no second copy of the database's address."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from adapters.ledger.engine import Database

_FOLDER = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x0FF_4002
_UPGRADE_SECONDS = 3600.0  # a large table takes as long as it takes; what hangs longer than this is stuck


class Migrations:
    def __init__(self, database: Database) -> None:
        self._database = database

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables up to `revision`. Two at once: the second waits and finds nothing to do."""
        self._database.create()
        with self._database.write(seconds=_UPGRADE_SECONDS) as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def current(self) -> str | None:
        """The revision that the database is at; None when it is empty or not there."""
        if not self._database.is_there:
            return None
        with self._database.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def head(self) -> str | None:
        """The revision that this code needs."""
        return ScriptDirectory.from_config(_config()).get_current_head()

    def history(self) -> list[tuple[str, str]]:
        """(revision, what it does), oldest first."""
        scripts = reversed(list(ScriptDirectory.from_config(_config()).walk_revisions()))
        return [(script.revision, script.doc) for script in scripts]

    def state(self) -> str:
        """ "current", "empty" or "behind"."""
        found = self.current()
        return "empty" if found is None else "current" if found == self.head() else "behind"

    def are_current(self) -> bool:
        return self.current() == self.head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config
