"""SQLite behind the ledger, where a real file and its rights are what matters."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.ledger.store import SqlLedger
from pipeline.ports import LedgerUnavailable
from tests.support.ledger import count
from tests.test_ledger import final

_NOBODY = 65534


@contextmanager
def folder_of_an_ordinary_user() -> Iterator[Path]:
    """To whom the mode of a file means something; root writes to whatever there is."""
    folder = Path(tempfile.mkdtemp(prefix="offhook-ro-"))
    if os.geteuid() != 0:
        yield folder
        shutil.rmtree(folder)
        return
    os.chown(folder, _NOBODY, _NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_file_that_was_read_only_for_a_moment_takes_writes_again() -> None:
    with folder_of_an_ordinary_user() as folder:
        file = folder / "offhook.db"
        made = SqlLedger(f"sqlite:///{file}")
        made.migrations.upgrade()
        made.append([final(1)])
        made.close()
        file.chmod(0o400)
        opened = SqlLedger(f"sqlite:///{file}")
        with pytest.raises(LedgerUnavailable) as refused:
            opened.append([final(2)])
        assert refused.value.word == "read_only"
        file.chmod(0o600)
        opened.append([final(2)])
        opened.close()
        assert count(f"sqlite:///{file}", "callbacks") == 2
