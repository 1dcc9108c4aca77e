"""The signed client on ASGI apps: called as a server calls them, in ordinary tests and in async ones.

The apps are bare ones that keep to the protocol; frameworks are no more than that to a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from offhook.adapters.recordings.asgi import AsgiError, is_asgi
from offhook.adapters.recordings.client import SignedClient, of_app
from offhook.adapters.recordings.format import Record
from offhook.adapters.twilio.signature import by_auth_token
from tests.test_recordings_client import LIBRARY_OF_TOKENS, TOKEN, receiver

pytestmark = pytest.mark.unit

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MakeClient = Callable[..., SignedClient]


class Receiver:
    """An ASGI app that asks Twilio's own validator, and notes what happened to it and on which loop."""

    def __init__(self, *, lifespan: str = "yes") -> None:
        self.lifespan = lifespan
        self.events: list[str] = []
        self.loops: set[int] = set()
        self.scopes: list[dict[str, Any]] = []
        self._validator = RequestValidator(TOKEN)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loops.add(id(asyncio.get_running_loop()))
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.scopes.append(scope)
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        status = 200 if self._is_genuine(scope, body.decode()) else 403
        await send({"type": "http.response.start", "status": status, "headers": [(b"X-Seen", b"yes")]})
        await send({"type": "http.response.body", "body": b"tha", "more_body": True})
        await send({"type": "http.response.body", "body": b"nks"})
        self.events.append((await receive())["type"])

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        if self.lifespan == "none":
            raise ValueError("what is a lifespan?")
        assert (await receive())["type"] == "lifespan.startup"
        if self.lifespan == "fails":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            raise OSError("no database")
        scope["state"]["ready"] = True
        self.events.append("started")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.events.append("stopped")
        await send({"type": "lifespan.shutdown.complete"})

    def _is_genuine(self, scope: Any, body: str) -> bool:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        params: Any = _multi(body) if is_form else body if "json" in headers.get("content-type", "") else {}
        url = f"{scope['scheme']}://{headers['host']}{target.decode()}"
        return bool(self._validator.validate(url, params, headers["x-twilio-signature"]))


class _multi(dict):  # type: ignore[type-arg]  # noqa: N801  (as frameworks' forms are: a dictionary that knows of several)
    def __init__(self, body: str) -> None:
        pairs = parse_qsl(body, keep_blank_values=True)
        super().__init__(pairs)
        self._pairs = pairs

    def getlist(self, name: str) -> list[str]:
        return [value for each, value in self._pairs if each == name]


@pytest.mark.parametrize("name", LIBRARY_OF_TOKENS)
def test_an_asgi_app_accepts_every_callback_of_a_recording(
    name: str, offhook_client: MakeClient, offhook_recording: Callable[[str], tuple[Record, ...]]
) -> None:
    app = Receiver()
    played = offhook_client(app, auth_token=TOKEN).play(offhook_recording(name), duplicate=2, shuffle=3)
    assert played.refused == []
    assert {(reply.text, reply.headers["x-seen"]) for reply in played.replies} == {("thanks", "yes")}
    assert app.events == ["started", *["http.disconnect"] * len(played)]
    assert len(app.loops) == 1
    assert all(scope["state"] == {"ready": True} for scope in app.scopes)


def test_an_async_test_awaits_it_and_the_app_runs_on_the_tests_own_loop(
    offhook_client: MakeClient, offhook_recording: Any
) -> None:
    app = Receiver()
    client = offhook_client(app, auth_token=TOKEN)

    async def test() -> None:
        assert (await client.post("/hook", {"CallSid": "CA1", "City": "São Paulo"})).status == 200
        assert (await client.get("/hook", {"CallSid": "CA1"})).call_sid == "CA1"
        assert (await client.send(offhook_recording("answered")[0])).status == 200
        assert (await client.play(offhook_recording("shop-day")[:9], shuffle=1)).refused == []
        assert app.loops == {id(asyncio.get_running_loop())}

    asyncio.run(test())
    assert app.events[0] == "started"
    assert app.events.count("started") == 1


def test_an_app_is_given_its_public_address_and_the_path_as_it_was_sent(offhook_client: MakeClient) -> None:
    app = Receiver()
    client = offhook_client(app, auth_token=TOKEN, base_url="https://calls.example.com:8443")
    assert client.post("/hook%2Fa%20b/%C3%BC?t=1", {"CallSid": "CA1"}).status == 200
    ((scope),) = app.scopes
    assert (scope["scheme"], scope["server"], scope["method"]) == ("https", ("calls.example.com", 8443), "POST")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/hook/a b/ü", b"/hook%2Fa%20b/%C3%BC", b"t=1")
    assert (b"host", b"calls.example.com:8443") in scope["headers"]


def test_the_app_is_stopped_when_the_test_is_over() -> None:
    app = Receiver()
    client = of_app(app, by_auth_token(TOKEN))
    client.post("/", {"CallSid": "CA1"})
    assert "stopped" not in app.events
    client.close()
    assert app.events[-1] == "stopped"
    client.close()


def test_an_app_that_knows_no_lifespan_is_called_all_the_same(offhook_client: MakeClient) -> None:
    assert offhook_client(Receiver(lifespan="none"), auth_token=TOKEN).post("/", {"CallSid": "CA1"}).status == 200


def test_an_app_that_cannot_start_says_why(offhook_client: MakeClient) -> None:
    with pytest.raises(AsgiError, match="did not start: no database"):
        offhook_client(Receiver(lifespan="fails"), auth_token=TOKEN).post("/", {"CallSid": "CA1"})


def test_a_wrong_token_is_refused(offhook_client: MakeClient) -> None:
    assert offhook_client(Receiver(), auth_token="another").post("/", {"CallSid": "CA1"}).status == 403


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "without a whole answer"),
        ([{"type": "http.response.start", "status": 200}], "without a whole answer"),
        ([{"type": "http.response.body", "body": b""}], "out of turn"),
    ],
)
def test_an_app_that_does_not_answer_as_the_protocol_has_it_is_an_error(
    messages: list[Any], words: str, offhook_client: MakeClient
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        for message in messages:
            await send(message)

    with pytest.raises(AsgiError, match=words):
        offhook_client(app, auth_token=TOKEN).post("/", {"CallSid": "CA1"})


def test_an_exception_of_the_app_passes_through(offhook_client: MakeClient) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError(scope["type"])

    client = offhook_client(app, auth_token=TOKEN)
    with pytest.raises(LookupError, match="http"):
        client.post("/", {"CallSid": "CA1"})


def test_what_an_app_is_shows_in_how_it_is_called() -> None:
    app = Receiver()

    def wrapped(scope: Any, receive: Any, send: Any) -> Any:
        return app(scope, receive, send)

    apps = (app, app.__call__, wrapped)
    assert [is_asgi(each) for each in apps] == [True] * 3
    others: tuple[Any, ...] = (receiver(), receiver().wsgi_app, lambda environ, start: [], 7)
    assert [is_asgi(each) for each in others] == [False] * 4


def test_a_wsgi_app_may_be_awaited_too(offhook_client: MakeClient) -> None:
    client = offhook_client(receiver(), auth_token=TOKEN)

    async def test() -> tuple[int, list[int]]:
        record = Record(_LONG_AGO, "POST", "/", form=(("CallSid", "CA1"),))
        return (await client.post("/", {"CallSid": "CA1"})).status, (await client.play([record])).statuses

    assert asyncio.run(test()) == (200, [200])


@pytest.mark.parametrize("app", [Receiver(), receiver()], ids=["asgi", "wsgi"])
def test_a_plain_test_need_not_await_though_a_loop_runs_beside_it(app: Any, offhook_client: MakeClient) -> None:
    """As one does in tests that drive a browser by Playwright."""
    client, loop = offhook_client(app, auth_token=TOKEN), asyncio.new_event_loop()
    statuses = []

    def plain() -> None:
        statuses.append(client.post("/", {"CallSid": "CA1"}).status)

    loop.call_soon(plain)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert statuses == [200]


def test_a_url_may_be_awaited_though_its_server_runs_on_the_same_loop(offhook_client: MakeClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def test() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return (
                await offhook_client(f"http://127.0.0.1:{port}", auth_token=TOKEN).get("/", {"CallSid": "CA1"})
            ).status

    assert asyncio.run(test()) == 204
