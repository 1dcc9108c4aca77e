"""An explanation in a reader's words: the same on a page and in a terminal, without a hash and without a program's word."""

from __future__ import annotations

import re
from dataclasses import replace

from offhook.pipeline import reasons
from offhook.pipeline.explanation import Difference, Explanation
from offhook.pipeline.words import reason_in_words, word_of


def headline(found: Explanation) -> str:
    """The verdict in one sentence."""
    return said(found.sentence, found)


def said(text: str, found: Explanation) -> str:
    """A sentence without the hashes of the rules that it names, and its words in brackets as a reader has them."""
    for version in {one.rules_version for one in found.decisions}:
        text = without_version(text, version)
    return _IN_BRACKETS.sub(lambda word: _in_brackets(word[1]), text)


def without_version(text: str, version: str) -> str:
    """A sentence without the hash of the rules that it names: nobody can read anything from that."""
    return text.replace(f" {version}", "") if version else text


_IN_BRACKETS = re.compile(r"\(([a-z]+(?:_[a-z0-9]+)*)\)")


def _in_brackets(word: str) -> str:
    """What a rule is called stays as it is, whatever its name looks like."""
    is_ours = any(reasons.known(word, within) for within in (reasons.REASONS, reasons.OF_LOOK_UPS))
    return f"({reason_in_words(word).replace('Rockerbox answered', 'it answered')})" if is_ours else f"({word})"


def differences(found: Explanation) -> list[Difference]:
    """What would be otherwise today."""
    return [_in_words(one) for one in found.today.differences]


def _in_words(one: Difference) -> Difference:
    what, say = _WHAT.get(one.what, (one.what, str))
    then, now = (None if value is None else say(value) for value in (one.then, one.now))
    return replace(one, what=what, then=then, now=now)


def _label(value: str) -> str:
    return word_of(value).label


def _reasons(value: str) -> str:
    return ", ".join(map(reason_in_words, value.split(", ")))


_WHAT = {"verdict": ("Outcome", _label), "reasons": ("Why", _reasons)}
