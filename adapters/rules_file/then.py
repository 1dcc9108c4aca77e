"""Rules of the past, read once more from the text that was kept of them."""

from __future__ import annotations

from collections.abc import Callable

from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.limits import USUAL, RuleLimits


def rules_of_then(
    kept: Callable[[str], str | None], region: str, limits: RuleLimits = USUAL
) -> Callable[[str], Rules | None]:
    """Gives the rules of a version as far as they say what is sent: the files of numbers that they name are taken for empty,
    as they may be gone. None where no text was kept, or where it says something else today.
    """

    def read(version: str) -> Rules | None:
        text = kept(version)
        if text is None:
            return None
        try:
            found = parse(text, region=region, listed=lambda _file: (), limits=limits)
        except RulesError:
            return None
        return found if found.lists or found.version == version else None

    return read
