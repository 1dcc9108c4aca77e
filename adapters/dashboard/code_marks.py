"""Texts that are written for a terminal, as a page shows them: what stands between backticks is code, all else is text."""

from __future__ import annotations

from markupsafe import Markup


def with_code(text: str) -> Markup:
    """The text, safe for a page whatever it holds. A backtick without a second one stays as it is."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:
        return Markup("{}").format(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if at % 2 else piece for at, piece in enumerate(pieces)
    )
