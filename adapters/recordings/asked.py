"""What rules ask of customers' columns and of parameters, under pseudonyms: what they keep apart stays apart, and no more.

Of all values for which the rules come to the same one text is written; a rule asks for the texts of those that are as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from offhook.adapters.recordings.format import RecordingError
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.conditions import Conditions
from offhook.pipeline.rules.limits import USUAL
from offhook.pipeline.rules.matching import ValueTest
from offhook.pipeline.rules.results import Number, Own
from offhook.pipeline.rules.templates import OF_CUSTOMER, names_in

Asked = Mapping[str, tuple[ValueTest, ...]]
"""What is asked of each name; nothing of one that only a template names."""


def columns_asked(rules: Rules) -> Asked:
    """The columns of the customers that these rules look at, and those that stand in what is sent."""
    named = [name.removeprefix(OF_CUSTOMER) for name in _in_templates(rules) if name.startswith(OF_CUSTOMER)]
    only_sent: Asked = dict.fromkeys(named, ())
    return {**only_sent, **_asked(each.customer for each in _conditions(rules))}


def params_asked(rules: Rules) -> Asked:
    """The parameters that these rules look at by name."""
    return _asked(each.params for each in _conditions(rules))


def every_own(rules: Rules) -> list[Rules | Number | Own]:
    """All that may say what is sent."""
    return [rules, *rules.numbers.values(), *(rule.own for rule in rules.blocks if rule.own)]


def _conditions(rules: Rules) -> list[Conditions]:
    return [rules, *(rule.when for rule in rules.blocks)]


def _asked(every: Iterable[Mapping[str, ValueTest] | None]) -> Asked:
    found: dict[str, dict[ValueTest, None]] = {}
    for tests in every:
        for name, test in (tests or {}).items():
            found.setdefault(name, {})[test] = None
    return {name: tuple(tests) for name, tests in found.items()}


def _in_templates(rules: Rules) -> Iterator[str]:
    texts = [rules.order_id]
    for own in every_own(rules):
        texts += [value for value in (own.revenue, *own.extra.values()) if isinstance(value, str)]
    return (name for text in texts for name in sorted(names_in(text)))


@dataclass
class Covers:
    """The texts that stand for values, as far as values were met. `token` makes a text's pseudonym, without a blank."""

    asked: Asked
    token: Callable[[str], str]
    _met: dict[str, dict[str, tuple[bool, ...]]] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.asked

    @property
    def deciding(self) -> list[str]:
        """The names on whose values a decision hangs."""
        return [name for name, tests in self.asked.items() if tests]

    def cover(self, name: str, value: str, shown: str = "") -> str:
        """What stands for this value: `shown`, where it has a pseudonym already. Raises RecordingError where another value,
        which the rules keep apart from this one, is shown as the same."""
        comes_to = tuple(test.holds(value) for test in self.asked[name])
        text = shown or self._text(name, "".join("ny"[held] for held in comes_to))
        if self._met.setdefault(name, {}).setdefault(text, comes_to) != comes_to:
            problem = f"two values of {name} that the rules keep apart are shown as the same"
            raise RecordingError(
                "--rules", f"{problem}. Leave --rules out; whoever replays it may name rules of their own."
            )
        return text

    def that_are(self, name: str, test: ValueTest) -> list[str]:
        """What stands for the values that are as asked; a text that stands for none where none was met. Raises RecordingError
        for too many."""
        place = self.asked[name].index(test)
        found = sorted(text for text, comes_to in self._met.get(name, {}).items() if comes_to[place])
        if len(found) > USUAL.listed:  # of whoever replays it the limit is not known: it is the usual one
            problem = f"{len(found)} values of {name} are as one rule asks, and a rule can list {USUAL.listed}"
            raise RecordingError("--rules", f"{problem}; export fewer calls at a time (--since, --call).")
        return found or [self._text(name, "none")]

    def _text(self, name: str, which: str) -> str:
        marked = f"{name}\0{which}"
        return f"value-{self.token(marked)}"
