"""The signed client of the pytest plugin: any WSGI app, any URL, and a verifier that is Twilio's own."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from flask import Flask, redirect, request
from twilio.request_validator import RequestValidator
from werkzeug.serving import make_server

from offhook.adapters.recordings.client import SignedClient, of_app
from offhook.adapters.recordings.format import Record, parameters
from offhook.adapters.recordings.replay import RemoteTarget
from offhook.adapters.twilio.signature import by_auth_token

pytestmark = pytest.mark.unit

TOKEN = "12345"
MakeClient = Callable[..., SignedClient]


def receiver(token: str = TOKEN) -> Flask:
    """What many people have: a Flask app that asks Twilio's own validator."""
    app = Flask("receiver")
    app.extensions["seen"] = []
    validator = RequestValidator(token)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def take(path: str) -> Any:
        if path == "moved":
            return redirect("/twilio/status")
        body = request.get_data(as_text=True)  # kept before the form is read, which would leave nothing of it
        params: Any = body if request.is_json else request.form
        signature = request.headers.get("X-Twilio-Signature", "")
        url = request.host_url.rstrip("/") + request.environ["REQUEST_URI"]  # `request.url` would be decoded
        if not validator.validate(url, params, signature):
            return "forged", 403
        app.extensions["seen"].append((request.method, request.full_path, body))
        return f"thanks, {request.host}", 200, {"X-Seen": "yes"}

    return app


@pytest.fixture
def app() -> Flask:
    return receiver()


@pytest.fixture(params=["app", "url"])
def client(request: pytest.FixtureRequest, app: Flask, offhook_client: MakeClient) -> Iterator[SignedClient]:
    """The same receiver in this process, and behind a real port."""
    if request.param == "app":
        yield offhook_client(app, auth_token=TOKEN)
        return
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield offhook_client(f"http://127.0.0.1:{server.server_port}", auth_token=TOKEN)
    server.shutdown()
    thread.join()
    server.server_close()


LIBRARY_OF_TOKENS = [  # a SharedKey is nothing that Twilio's validator knows
    "answered", "get", "duplicates", "non-ascii-city", "event-stream", "withheld", "sip-caller", "out-of-order"
]  # fmt: skip


@pytest.mark.parametrize("name", LIBRARY_OF_TOKENS)
def test_another_verifier_accepts_every_callback_of_a_recording_and_gets_what_was_recorded(
    name: str, app: Flask, client: SignedClient, offhook_recording: Callable[[str], tuple[Record, ...]]
) -> None:
    recording = offhook_recording(name)
    played = client.play(recording, duplicate=2, shuffle=3)
    assert played.refused == []
    assert played.statuses == [200] * 2 * len(recording)
    assert Counter(map(content, app.extensions["seen"])) == Counter(map(recorded, [*recording, *recording]))


def content(seen: tuple[str, str, str]) -> str:
    """What a request says, in one spelling: its form's or query's pairs in order, or its JSON."""
    method, path, body = seen
    if body.startswith(("[", "{")):
        return json.dumps(json.loads(body), sort_keys=True)
    return repr(parse_qsl(body if method == "POST" else path.partition("?")[2], keep_blank_values=True))


def recorded(record: Record) -> str:
    """The same of a record."""
    if record.json is not None:
        return json.dumps(json.loads(record.json), sort_keys=True)
    return repr(list(parameters(record)))


def test_the_recording_of_events_names_its_calls(offhook_recording: Callable[[str], tuple[Record, ...]]) -> None:
    """Or what is compared above would be empty on both sides."""
    assert "CallSid" in recorded(offhook_recording("event-stream")[0])


def test_a_callback_of_ones_own_is_posted_and_got(client: SignedClient) -> None:
    odd = [("CallSid", "CA1"), ("Twice", "a"), ("Twice", "b"), ("Empty", ""), ("Zürich", "a&b=c +%")]
    posted = client.post("/hook", odd)
    got = client.get("/hook", {"CallSid": "CA1", "City": "São Paulo"})
    assert (posted.status, got.status) == (200, 200)
    assert posted.headers["x-seen"] == "yes"
    assert posted.text.startswith("thanks")
    assert "CA1" in repr(posted)


def test_a_wrong_token_is_refused_and_the_answer_is_shown(offhook_client: MakeClient, offhook_recording: Any) -> None:
    client = offhook_client(receiver("another"), auth_token=TOKEN)
    played = client.play(offhook_recording("answered"))
    assert [reply.status for reply in played.refused] == [403]
    assert "forged" in repr(played.refused)


def test_a_redirect_is_an_answer_and_not_followed(client: SignedClient) -> None:
    assert client.post("/moved", {"CallSid": "CA1"}).status == 302


def test_an_app_sees_that_it_was_called_at_its_public_address(offhook_client: MakeClient) -> None:
    client = offhook_client(receiver(), auth_token=TOKEN, base_url="https://calls.example.com/v2")
    reply = client.post("/ignored", {"CallSid": "CA1"})
    assert (reply.status, reply.text) == (200, "thanks, calls.example.com")


@pytest.mark.parametrize("keys", [{}, {"auth_token": "a", "shared_key": ("id", "secret", "HMAC_SHA256")}])
def test_there_is_one_way_to_sign(keys: dict[str, Any], offhook_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="say how to sign"):
        offhook_client(receiver(), **keys)


def test_what_cannot_be_a_receiver_is_refused(offhook_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        of_app(receiver(), by_auth_token(TOKEN), base_url="calls.example.com")
    with pytest.raises(RemoteTarget, match="is not this machine"):
        offhook_client("http://192.0.2.1/", auth_token=TOKEN)
    with pytest.raises(ValueError, match="HMAC_SHA256"):
        offhook_client(receiver(), shared_key=("id", "secret", "MD5"))


def test_a_name_that_is_no_recording_lists_the_library(offhook_recording: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"answered.*shop-day"):
        offhook_recording("nothing-like-it")
