"""Where the text of each set of rules is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from offhook.pipeline.rules import Rules


class RuleTexts(Protocol):
    """The whole text of each set of rules, to which a decision is traced years later."""

    def keep_rules(self, rules: Rules, now: datetime) -> None:
        """Keep the text of rules under their version, what holds by them where it says nothing, and the numbers of the files
        that they name, where these are not kept yet; and note that they hold from now on, where others did. Raises
        LedgerUnavailable."""

    def kept_rules(self, version: str) -> str | None:
        """The text that was kept under a version; None where none was. Raises LedgerUnavailable."""
