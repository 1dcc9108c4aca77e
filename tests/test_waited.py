"""What a page takes: the time that its thread computes, and on a server the time that this works for it."""

from __future__ import annotations

import threading
import time

from sqlalchemy import text

from offhook.adapters.ledger.engine import Patience
from offhook.adapters.ledger.reading import Reading
from offhook.adapters.ledger.waited import taken_seconds
from tests.support.postgres import PostgresServer


def test_what_a_server_works_for_a_page_is_taken_by_its_thread_alone(postgres: PostgresServer) -> None:
    reading = Reading(postgres.fresh_database(), pool_size=1, patience=Patience(), seconds=20)
    computed: list[bool] = []
    taken: list[float] = []

    def asks() -> None:
        before = taken_seconds()
        with reading.database.read() as connection:
            connection.execute(text("SELECT pg_sleep(0.2)"))
        taken.append(taken_seconds() - before)

    def asks_for_nothing() -> None:
        computed.append(time.thread_time() <= taken_seconds() <= time.thread_time())

    for run in (asks, asks_for_nothing):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    reading.close()
    assert taken[0] >= 0.2
    assert computed == [True]
