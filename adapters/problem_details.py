"""What a program is answered when the API does not do what was asked, or is not even asked: problem details (RFC 9457).
Holds no person's data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from offhook.pipeline.reasons import OF_PROBLEMS

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem(Exception):
    """`word` is what a program goes by, `detail` is for a person; `errors` say where in the request what is wrong."""

    status: int
    word: str
    title: str
    detail: str = ""
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> str:
        """As JSON."""
        said = {"type": f"urn:offhook:problem:{self.word}", "title": self.title, "status": self.status}
        more = {"detail": self.detail} if self.detail else {}
        return json.dumps({**said, **more, **({"errors": list(self.errors)} if self.errors else {})}) + "\n"


def problem(
    status: int,
    word: str,
    detail: str = "",
    *,
    which: int = 0,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **names: object,
) -> Problem:
    """One of the table: its title is one of the sentences of its word, filled in."""
    title = OF_PROBLEMS[word].sentences[which].format(**names)
    return Problem(status, word, title, detail, errors, headers or {})


def later(word: str, seconds: int = 1, status: int = 503) -> Problem:
    """It may be asked again after so many seconds."""
    return problem(status, word, headers={"Retry-After": str(seconds)})


def unread(status: int) -> Problem:
    """Of a request of which no more is known than that it cannot be handed to the API."""
    word = _UNREAD[status]
    return problem(status, word, OF_PROBLEMS[word].advice)


_UNREAD = {
    400: "bad-request",
    408: "request-timeout",
    413: "request-entity-too-large",
    414: "uri-too-long",
    417: "expectation-failed",
    431: "header-too-large",
    500: "failed",
    501: "not-implemented",
    503: "unavailable",
}
