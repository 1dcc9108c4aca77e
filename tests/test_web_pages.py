"""Whatever is neither Twilio's nor health has a few threads, and intake always has the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from werkzeug.test import Client

from offhook.adapters.web.pages import Pages, is_page

pytestmark = pytest.mark.unit

Start = Callable[..., Any]


def app_that_says(text: bytes) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    def app(_environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (text,)

    return app


@pytest.mark.parametrize("path", ["/twilio/status", "//twilio/status", "/healthz", "/readyz"])
def test_what_is_twilios_and_health_is_no_page(path: str) -> None:
    assert not is_page(path)


@pytest.mark.parametrize("path", ["/", "/api/v1/calls", "/twilio", "/healthz/", ""])
def test_all_else_is(path: str) -> None:
    assert is_page(path)


def test_a_room_is_found_by_how_the_path_begins() -> None:
    pages = Client(Pages(app_that_says(b"other"), {"/api/": app_that_says(b"api")}, 1, 5))
    assert [pages.get(path, buffered=True).data for path in ("/api/v1", "/api", "/x")] == [b"api", b"other", b"other"]


def test_whoever_comes_when_all_threads_are_taken_is_asked_to_come_again() -> None:
    inside, leave = threading.Event(), threading.Event()

    def waits(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        inside.set()
        assert leave.wait(60)
        return app_that_says(b"done")(environ, start_response)

    pages = Pages(waits, {}, 1, 7)
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(Client(pages).get("/", buffered=True).status_code))
    first.start()
    assert inside.wait(60)
    refused = Client(pages).get("/", buffered=True)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
    assert refused.json is None or refused.json["status"] == 503
    leave.set()
    first.join()
    assert answers == [200]
    assert Client(pages).get("/", buffered=True).status_code == 200


def test_a_thread_is_free_again_after_an_answer_that_breaks() -> None:
    def breaks(_environ: dict[str, Any], _start: Start) -> Iterable[bytes]:
        raise ValueError

    pages = Pages(breaks, {}, 1, 7)
    for _ in range(3):
        with pytest.raises(ValueError):
            Client(pages).get("/", buffered=True)
