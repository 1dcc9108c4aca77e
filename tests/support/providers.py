"""Providers of OpenID Connect on loopback: a real one of others' making, and one that signs whatever a test wants."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.support.needed import require
from tests.support.waiting import HANGS_AFTER_SECONDS

NPM = Path(__file__).parents[1] / "npm"
CLIENT, SECRET = "offhook", "of-the-tests-alone"
CALLBACK = "/login/oidc/callback"
Claims = Mapping[str, Mapping[str, Any]]


def settings_for(issuer: str, **more: str) -> dict[str, str]:
    known = {
        "OFFHOOK_OIDC_ISSUER": issuer,
        "OFFHOOK_OIDC_CLIENT_ID": CLIENT,
        "OFFHOOK_OIDC_CLIENT_SECRET": SECRET,
        "OFFHOOK_OIDC_DOMAINS": "example.com",
    }
    return known | more


@dataclass
class RealProvider:
    """panva's oidc-provider, in Node.js. Anybody of `accounts` signs in by any password."""

    issuer: str

    def knows(self, accounts: Claims) -> None:
        requests.put(f"{self.issuer}/accounts", json=accounts, timeout=HANGS_AFTER_SECONDS).raise_for_status()

    def sign_in(self, address: str, login: str, browser: requests.Session | None = None) -> str:
        """What a person does there, without JavaScript: the address that the provider sends the browser back to."""
        browser = browser or requests.Session()
        page = browser.get(address, timeout=HANGS_AFTER_SECONDS)
        while True:
            form = re.search(r'action="([^"]+)"', page.text)
            assert form is not None, page.text
            data = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', page.text))
            data |= {"login": login, "password": "any"} if 'name="login"' in page.text else {}
            answer = browser.post(unescape(form[1]), data=data, allow_redirects=False, timeout=HANGS_AFTER_SECONDS)
            while answer.is_redirect:
                goes_to = requests.compat.urljoin(answer.url, answer.headers["Location"])
                if urlsplit(goes_to).path == CALLBACK:
                    return str(goes_to)
                answer = browser.get(goes_to, allow_redirects=False, timeout=HANGS_AFTER_SECONDS)
            page = answer

    def knows_who_it_is(self, browser: requests.Session, address: str) -> bool:
        """Whether nobody is asked who they are whom this browser is sent there with."""
        return 'name="login"' not in browser.get(address, timeout=HANGS_AFTER_SECONDS).text

    def sign_out(self, address: str, browser: requests.Session) -> str:
        """Somebody says yes there: the address that the provider sends the browser back to."""
        page = browser.get(address, timeout=HANGS_AFTER_SECONDS)
        form, secret = (re.search(text, page.text) for text in (r'action="([^"]+)"', r'name="xsrf" value="(\w+)"'))
        assert form is not None and secret is not None, page.text
        said = {"xsrf": secret[1], "logout": "yes"}
        return browser.post(unescape(form[1]), data=said, allow_redirects=False, timeout=HANGS_AFTER_SECONDS).headers[
            "Location"
        ]


@contextmanager
def real_provider(accounts: Claims) -> Iterator[RealProvider]:
    require(shutil.which("node"), "no provider signs anybody in: node is not installed")
    require((NPM / "node_modules" / "oidc-provider").is_dir(), "oidc-provider is missing: npm ci --prefix tests/npm")
    env = {"PATH": os.environ["PATH"], "ACCOUNTS": json.dumps(accounts), "SECRET": SECRET}
    command = ["node", "--no-warnings", "provider.mjs"]
    out, err = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=NPM, env=env, stdout=out, stderr=err, text=True)
    assert process.stdout is not None
    try:
        yield RealProvider(f"http://127.0.0.1:{process.stdout.readline().strip()}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass
class Forger:
    """A provider that answers with whatever it is set up to: `claims` change those of an honest ID token (None takes one away), `key`
    signs it, `answers` replace an answer by its path: (status, body), and `metadata` are more of its configuration.
    """

    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1", "use": "sig"}))
    claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    signs_with: RSAKey | OctKey | None = None
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    issuer: str = ""
    nonce: str = ""
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def be_honest(self) -> None:
        self.claims, self.answers, self.metadata, self.signs_with, self.algorithm = {}, {}, {}, None, "RS256"
        self.asked.clear()
        self.forms.clear()

    def id_token(self) -> str:
        now = int(time.time())
        honest = {"iss": self.issuer, "aud": CLIENT, "sub": "s-1", "iat": now, "exp": now + 300, "nonce": self.nonce}
        honest |= {"email": "ann@example.com", "email_verified": True}
        said = {name: value for name, value in (honest | self.claims).items() if value is not None}
        header = {"alg": self.algorithm, "kid": "1"}
        return jwt.encode(header, said, self.signs_with or self.key, algorithms=[self.algorithm])

    def answer(self, path: str) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        at = self.issuer
        said: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": at,
                "authorization_endpoint": f"{at}/auth",
                "token_endpoint": f"{at}/token",
                "jwks_uri": f"{at}/jwks",
                **self.metadata,
            },
            "/jwks": {"keys": [{"kty": "new"}, self.key.as_dict(private=False)]},
            "/token": {"access_token": "a", "token_type": "Bearer", "id_token": self.id_token()},
        }
        return (200, json.dumps(said[path]).encode()) if path in said else (404, b"")


@contextmanager
def forging_provider() -> Iterator[Forger]:
    forger = Forger()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            forger.forms.append(parse_qs(body))
            self._say()

        def _say(self) -> None:
            forger.asked.append(self.path)
            status, body = forger.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    forger.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield forger
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Visitor:
    """A browser at the dashboard's own half: Flask's client, its cookies, and where it is sent to."""

    client: Any

    def begins(self, goes_to: str = "/setup") -> Any:
        """The answer to the button of the sign-in page."""
        page = self.client.get(f"/login?next={goes_to}").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None
        return self.client.post("/login/oidc", data={"csrf_token": token[1], "next": goes_to})

    def sent_to(self, goes_to: str = "/setup") -> str:
        """The provider's address, by the page that leads there."""
        found = led_to(self.begins(goes_to))
        assert found is not None
        return found

    def leaves(self, path: str = "/logout", **said: str) -> Any:
        """The answer to the button that signs out."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.client.get("/account").text)
        assert token is not None
        return self.client.post(path, data={"csrf_token": token[1], **said})

    def comes_back(self, address: str) -> Any:
        parts = urlsplit(address)
        return self.client.get(f"{parts.path}?{parts.query}")

    @property
    def is_in(self) -> bool:
        return bool(self.client.get("/account").status_code == 200)


def led_to(answer: Any) -> str | None:
    """Where a page leads the browser by itself; None for one that does not."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    return unescape(found[1]) if found else None


def asked_of(address: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
