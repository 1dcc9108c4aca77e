"""Twilio's side of a call: status callbacks as it makes and signs them. Imports nothing of Offhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from tests.support.waiting import HANGS_AFTER_SECONDS

ACCOUNT_SID = "AC00000000000000000000000000000001"
AUTH_TOKEN = "a-token-for-tests"
PUBLIC_URL = "https://calls.example.test"
PATH = "/twilio/status"
CALLER = "+14155550300"
OURS = "+14155550200"

Pairs = list[tuple[str, str]]
Sign = Callable[[str, Iterable[tuple[str, str]], str], str]
_SHAPES = Path(__file__).parents[1] / "data" / "callbacks.jsonl"


@cache
def shapes() -> Mapping[str, Mapping[str, str]]:
    """The parameters of the recorded callbacks, by the name of the recording."""
    recorded = [json.loads(line) for line in _SHAPES.read_text(encoding="utf-8").splitlines()]
    return {one["id"]: one["params"] for one in recorded}


def new_sid() -> str:
    return f"CA{uuid.uuid4().hex}"


def callback(call_sid: str, status: str = "completed", shape: str = "inbound-completed", **changes: str) -> Pairs:
    """A callback's form, in Twilio's order, about an inbound call of now from CALLER unless `changes` say else."""
    now = format_datetime(datetime.now(UTC))
    fields = {**shapes()[shape], "CallSid": call_sid, "AccountSid": ACCOUNT_SID, "CallStatus": status, "Timestamp": now}
    return list((fields | changes).items())


def sign_by_hmac(url: str, pairs: Iterable[tuple[str, str]], token: str) -> str:
    """https://www.twilio.com/docs/usage/security#validating-requests, with nothing but the standard library."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What Offhook said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Twilio:
    """Sends signed callbacks to a port of this machine, each on a connection of its own."""

    port: int
    sign: Sign = sign_by_hmac
    token: str = AUTH_TOKEN
    public_url: str = PUBLIC_URL

    def send(self, pairs: Pairs) -> Answer:
        """POST a callback. Raises OSError or HTTPException when there is no answer."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": self.sign(self.public_url + PATH, pairs, self.token),
        }
        return self._request("POST", PATH, urlencode(pairs), headers)

    def get(self, path: str) -> Answer:
        return self._request("GET", path, None, {})

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_AFTER_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            by_name = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, by_name, response.read())
        finally:
            connection.close()


class KeptAlive(Twilio):
    """The same on connections that are kept, one a thread, until an answer says that it is the last."""

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        connection = getattr(_kept, "connection", None) or http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=HANGS_AFTER_SECONDS
        )
        _kept.connection = None
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        by_name = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, by_name, response.read())
        if by_name["connection"] == "close":
            connection.close()
        else:
            _kept.connection = connection
        return answer


_kept = threading.local()


def status_of(twilio: Twilio, pairs: Pairs) -> int | None:
    """The status of the answer; None when there was none."""
    try:
        return twilio.send(pairs).status
    except (OSError, http.client.HTTPException):
        return None
