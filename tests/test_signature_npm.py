"""Replays sign such that Twilio's own package for Node.js accepts them: another implementation, asked over HTTP.

That package knows HMAC-SHA1 alone. So SharedKey signatures are shown to it with HMAC_SHA1, the key's secret in the token's
place; those with HMAC_SHA256 it could only refuse, and they are held against Twilio's vectors in test_signature.py instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.recordings.client import of_url, over_http
from offhook.adapters.recordings.format import SHARED_KEY_SHA256, Record, parameters, read, with_parameters
from offhook.adapters.recordings.replay import Replay, Request, Tape, plan, replay, signed_request, target
from offhook.adapters.twilio.signature import Signer, by_auth_token, by_shared_key
from offhook.adapters.twilio.spelling import HMAC_SHA1
from offhook.pytest_offhook import LIBRARY
from tests.support.needed import require

TOKEN = "12345"
NPM = Path(__file__).parent / "npm"
SIGNERS = {"auth token": by_auth_token(TOKEN), "shared key": by_shared_key("webhooks_sharedkey_1", TOKEN, HMAC_SHA1)}
RECORDINGS = sorted(LIBRARY.glob("*.jsonl"))


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """The URL of a Node.js server that asks Twilio's package."""
    require(shutil.which("node"), "Twilio's package for Node.js is not asked: node is not installed")
    require((NPM / "node_modules" / "twilio").is_dir(), "Twilio's package is missing: npm ci --prefix tests/npm")
    env = {"PATH": os.environ["PATH"], "TOKEN": TOKEN}
    process = subprocess.Popen(["node", "receiver.mjs"], cwd=NPM, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("path", ["", "/another/path", "/with/query?tenant=1"])
@pytest.mark.parametrize("signer", SIGNERS)
def test_every_recording_is_genuine_to_twilios_package(signer: str, path: str, receiver: str) -> None:
    tape = Tape.of_files(RECORDINGS)
    summary = replay(plan(tape, Replay(speed=None)), target(receiver + path), SIGNERS[signer])
    assert summary.by_status == {204: len(tape)}
    assert not summary.errors


def test_the_library_has_a_shared_key_of_each_kind_that_is_left_out_here() -> None:
    """So that nobody takes the test above for more than it is."""
    signings = {record.signing for path in RECORDINGS for record in read(path)}
    assert signings == {"", SHARED_KEY_SHA256}


def without_astral(low: int, high: int) -> st.SearchStrategy[str]:
    """Text that JavaScript sorts as everybody else does: it compares halves of characters beyond U+FFFF."""
    return st.text(st.characters(max_codepoint=0xD7FF), min_size=low, max_size=high)


pairs = st.lists(st.tuples(without_astral(1, 8), without_astral(0, 12)), max_size=8).map(tuple)


@settings(max_examples=150, deadline=None)
@given(form=pairs, query=pairs)
def test_whatever_the_parameters_are_they_are_genuine(
    form: tuple[tuple[str, str], ...], query: tuple[tuple[str, str], ...], receiver: str
) -> None:
    client = of_url(receiver, SIGNERS["auth token"])
    assert client.post("/twilio/status", form).status == 204
    assert client.get("/twilio/status", query).status == 204


def tampered(record: Record, change: Callable[[str], str]) -> Record:
    (name, value), *rest = parameters(record)
    return with_parameters(record, ((name, change(value)), *rest))


@pytest.mark.parametrize("name", ["answered", "get", "event-stream"])
def test_what_was_changed_or_signed_by_somebody_else_is_not_genuine(name: str, receiver: str) -> None:
    """Or the receiver would say yes to anything."""
    [record, *_] = read(LIBRARY / f"{name}.jsonl")
    assert of_url(receiver, by_auth_token("another")).send(record).status == 403
    to = target(receiver)
    genuine = signed_request(record, to, SIGNERS["auth token"])
    assert _sent_as_it_is(receiver, genuine) == 204
    assert _sent_as_it_is(receiver, genuine._replace(target=genuine.target.replace("twilio", "twi1io"))) == 403
    if record.json is not None:
        other = genuine._replace(body=genuine.body.replace(b"completed", b"busy_____"))
    else:
        other = signed_request(tampered(record, lambda value: value + "1"), to, _always(genuine))
    assert _sent_as_it_is(receiver, other) == 403


def _always(request: Request) -> Signer:
    """Yesterday's signature on today's request."""
    signature = dict(request.headers)["X-Twilio-Signature"]
    return lambda *_: {"X-Twilio-Signature": signature}


def _sent_as_it_is(receiver: str, request: Request) -> int:
    return over_http(target(receiver).endpoint, request)[0]
