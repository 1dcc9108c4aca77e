"""Rules of the past, read once more from the text that was kept of them, and what held by them where it says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.adapters.rules_file.toml import NotToml
from offhook.adapters.rules_file.toml import read as read_toml
from offhook.pipeline.ports.past import ListUsed
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.held import Held
from offhook.pipeline.rules.kinds import NumberList
from offhook.pipeline.rules.limits import USUAL, RuleLimits


def rules_of_then(
    kept: Callable[[str], str | None],
    region: str,
    limits: RuleLimits = USUAL,
    lists_used: Callable[[str], Sequence[ListUsed]] = lambda _version: (),
) -> Callable[[str], Rules | None]:
    """Gives the rules of a version as far as they say what is sent, and how they read: without the numbers of the files that
    they name, which may be gone; `lists_used` says how many these were. None where no text was kept, or where it says
    something else today.
    """

    def read(version: str) -> Rules | None:
        text = kept(version)
        if text is None:
            return None
        lists = {one.file: NumberList.of_then(one.file, one.digest, one.count) for one in lists_used(version)}
        try:
            found = parse(
                text, region=region, listed=lambda file: lists.get(file, NumberList.of_then(file)), limits=limits
            )
        except RulesError:
            return None
        return found if found.lists or found.version == version else None

    return read


def unsaid(text: str, held: Held) -> list[str]:
    """The defaults that held where the text says nothing, a line of TOML each."""
    try:
        written = set(read_toml(text.removeprefix("\ufeff")))
    except (NotToml, RecursionError):
        written = set()
    defaults = ((key, value) for key, value in held.settings.items() if key not in written and value not in (None, {}))
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in defaults]
