"""What held by rules, the defaults with it: a later release may have others, and a decision is traced back years later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.pipeline.rules import Rules, said
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.version import VERSION


@dataclass(frozen=True, slots=True)
class Held:
    """`settings` is all that a file may say outside of its blocks, said or not, as JSON knows it; `sentences` are the rules as
    the Offhook of this version read them back.
    """

    offhook: str
    settings: Mapping[str, Any]
    sentences: Sequence[str]


def held(rules: Rules) -> Held:
    return Held(VERSION, said(rules), in_english(rules).splitlines())
