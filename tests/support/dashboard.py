"""A running dashboard for tests: a real gunicorn, a user of each role, and a client that is signed in as each. Started once a run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import requests

from offhook.adapters.ledger.store import SqlLedger
from offhook.adapters.passwords import hash_of
from offhook.pipeline.users import AuditLine, Role, User, new_user_id
from offhook.settings import given
from tests.support.processes import Web, environment
from tests.support.waiting import HANGS_AFTER_SECONDS

PASSWORD = "a short walk by the sea"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def add_user(ledger: SqlLedger, email: str, role: Role, password: str | None = PASSWORD) -> User:
    """A user, straight into the ledger."""
    now = ledger.clock()
    made = User(new_user_id(), email, role, None if password is None else hash_of(password), now)
    assert ledger.users.add(made, AuditLine(now, "test", "user added", email, "test"))
    return made


@dataclass
class Client:
    """A browser's half of HTTP: cookies, and the CSRF token of the form that it has seen last."""

    url: str
    http: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def get(self, path: str) -> requests.Response:
        answer = self.http.get(self.url + path, allow_redirects=False, timeout=HANGS_AFTER_SECONDS)
        found = _TOKEN.search(answer.text)
        self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, token: str | None = None, /, **fields: str) -> requests.Response:
        data = {"csrf_token": self.token if token is None else token, **fields}
        return self.http.post(self.url + path, data=data, allow_redirects=False, timeout=HANGS_AFTER_SECONDS)

    def sign_in(self, email: str, password: str = PASSWORD, goes_to: str = "/") -> requests.Response:
        self.get("/login")
        answer = self.post("/login", email=email, password=password, next=goes_to)
        self.get("/account")  # for a token of the new session
        return answer

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.http.cookies.items())


class Site:
    """Its address is `url`; `role(...)` is signed in as viewer@, operator@ and admin@example.com, once for all tests."""

    def __init__(self, database_url: str, folder: Path, **changes: str) -> None:
        self.ledger = SqlLedger(given({"DATABASE_URL": database_url}).database_url)
        for role in Role:
            add_user(self.ledger, f"{role.value}@example.com", role)
        known = {
            "PUBLIC_URL": "http://127.0.0.1",
            "OFFHOOK_PAGE_THREADS": "12",
            "OFFHOOK_SIGN_IN_ADDRESS_TRIES": "100000",
        }
        self.web = Web(environment(database_url, **(known | changes)), folder)
        self.url = f"http://127.0.0.1:{self.web.port}"
        self._clients: dict[Role, Client] = {}

    def anybody(self) -> Client:
        """A new browser, not signed in."""
        return Client(self.url)

    def role(self, role: Role) -> Client:
        """The one browser of this role."""
        if role not in self._clients:
            made = self.anybody()
            assert made.sign_in(f"{role.value}@example.com").status_code == 303
            self._clients[role] = made
        return self._clients[role]

    def close(self) -> None:
        self.web.kill()
        self.ledger.close()
