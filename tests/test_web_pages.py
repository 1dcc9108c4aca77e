"""Whatever is neither Twilio's nor health has a few threads, and intake always has the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from offhook.adapters.web.pages import Pages, is_page
from offhook.adapters.web.ration import Ration, RationLimits
from offhook.adapters.wsgi import WsgiApp
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.unit

Start = Callable[..., Any]


def app_that_says(text: bytes) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    def app(_environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (text,)

    return app


def pages_of(otherwise: WsgiApp, threads: int = 1, **rooms: WsgiApp) -> Pages:
    return Pages(otherwise, {f"/{name}/": app for name, app in rooms.items()}, threads, Ration(RationLimits()), 7)


@pytest.mark.parametrize("path", ["/twilio/status", "//twilio/status", "/healthz", "/readyz"])
def test_what_is_twilios_and_health_is_no_page(path: str) -> None:
    assert not is_page(path)


@pytest.mark.parametrize("path", ["/", "/api/v1/calls", "/twilio", "/healthz/", ""])
def test_all_else_is(path: str) -> None:
    assert is_page(path)


def test_a_room_is_found_by_how_the_path_begins() -> None:
    pages = Client(pages_of(app_that_says(b"other"), api=app_that_says(b"api")))
    assert [pages.get(path, buffered=True).data for path in ("/api/v1", "/api", "/x")] == [b"api", b"other", b"other"]


def test_whoever_comes_when_all_threads_are_taken_is_asked_to_come_again() -> None:
    inside, leave = threading.Event(), threading.Event()

    def waits(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        inside.set()
        assert leave.wait(HANGS_AFTER_SECONDS)
        return app_that_says(b"done")(environ, start_response)

    pages = pages_of(waits)
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(Client(pages).get("/", buffered=True).status_code))
    first.start()
    assert inside.wait(HANGS_AFTER_SECONDS)
    refused = Client(pages).get("/", buffered=True)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
    assert_is_a_page(refused)
    leave.set()
    first.join()
    assert answers == [200]
    assert Client(pages).get("/", buffered=True).status_code == 200


def assert_is_a_page(answer: TestResponse) -> None:
    """For a person: no program's words, nothing fetched for it, and nobody frames or keeps it."""
    assert answer.content_type == "text/html; charset=utf-8"
    assert "<h1>Busy, try again in a moment</h1>" in answer.text
    assert not any(word in answer.text for word in ("{", "<script", "<link", "<style"))
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("taken_by", "other"), [("/", "/api/v1/calls"), ("/api/v1/calls", "/")])
def test_pages_and_the_api_share_their_threads_and_each_is_refused_in_its_own_words(taken_by: str, other: str) -> None:
    inside, leave = threading.Event(), threading.Event()

    def waits(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        inside.set()
        assert leave.wait(HANGS_AFTER_SECONDS)
        return app_that_says(b"done")(environ, start_response)

    pages = pages_of(waits, api=waits)
    first = threading.Thread(target=lambda: Client(pages).get(taken_by, buffered=True))
    first.start()
    assert inside.wait(HANGS_AFTER_SECONDS)
    refused = Client(pages).get(other, buffered=True)
    leave.set()
    first.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
    if other == "/":
        assert_is_a_page(refused)
    else:
        assert refused.content_type == "application/problem+json"
        assert (refused.json or {})["type"] == "urn:offhook:problem:busy"


def test_a_thread_is_free_again_after_an_answer_that_breaks() -> None:
    def breaks(_environ: dict[str, Any], _start: Start) -> Iterable[bytes]:
        raise ValueError

    pages = pages_of(breaks)
    for _ in range(3):
        with pytest.raises(ValueError):
            Client(pages).get("/", buffered=True)


def test_whoever_would_wait_too_long_for_his_turn_is_asked_to_come_again_and_takes_no_thread() -> None:
    used = [0.0]

    def computes(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        used[0] += 1.0
        return app_that_says(b"done")(environ, start_response)

    ration = Ration(RationLimits(share=0.1, busy_callbacks=1, wait_seconds=2.0), lambda: 5.0, lambda: used[0])
    pages = Client(Pages(computes, {"/api/": computes}, 1, ration, 7))
    ration.callback_came()
    assert pages.get("/", buffered=True).status_code == 200
    for _ in range(3):
        refused = pages.get("/", buffered=True)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "9")
        assert "Callbacks come first, and there are many now. No call is lost by it." in refused.text
        assert_is_a_page(refused)
        refused = pages.get("/api/v1/calls", buffered=True)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "9")
        assert (refused.content_type, refused.headers["Cache-Control"]) == ("application/problem+json", "no-store")
    assert used == [1.0]
