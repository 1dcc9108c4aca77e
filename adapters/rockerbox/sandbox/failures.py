"""How the sandbox fails on command: the script, its little language, and whose turn it is. Pure but for its random numbers.

    script     = step { (";" | newline) step }
    step       = [ N "x" ] behaviour { modifier }
    behaviour  = "ok" | STATUS | "timeout" | "reset" | "close" | "close after headers" | "drip" | "latency" SECONDS
    modifier   = "retry-after" SECONDS | "latency" SECONDS | "kept" | "p=" P | "with probability" P

A step without a probability serves the next request, or the next N, and is then used up; steps take their turn in the
order they stand in. Those with one serve each request that is left, with that probability, for ever (`500 p=1`: always).
Whatever no step takes is answered as usual.
"""

from __future__ import annotations

import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

MAX_SCRIPT_CHARS = 10_000
MAX_STEPS = 100
MAX_TIMES = 1_000_000
MAX_LATENCY_SECONDS = 600
MAX_RETRY_AFTER_SECONDS = 1_000_000
EXAMPLE = "3x 429 retry-after 2; 500 p=0.1"


class ScriptError(ValueError):
    """A script that cannot be read. The message names the step and says what to write instead."""


class Kind(StrEnum):
    """What happens to a request. See `_PROMISING` for which of them keep the event."""

    OK = "ok"
    STATUS = "status"
    TIMEOUT = "timeout"
    RESET = "reset"
    CLOSE = "close"
    CLOSE_AFTER_HEADERS = "close after headers"
    DRIP = "drip"


# The sender gets to see the first line of an ordinary answer, so the event must be there.
_PROMISING = frozenset({Kind.OK, Kind.CLOSE_AFTER_HEADERS, Kind.DRIP})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script. Waits are seconds. `kept` is the word in the script; ask `keeps` whether the event is kept."""

    kind: Kind = Kind.OK
    status: int = 200
    times: int = 1
    probability: Decimal | None = None
    retry_after_seconds: int | None = None
    latency_seconds: Decimal = Decimal(0)
    kept: bool = False

    @property
    def keeps(self) -> bool:
        """True when the event is kept before this happens: where a 2xx is promised, or the script says `kept`."""
        promised = self.kind in _PROMISING or (self.kind is Kind.STATUS and 200 <= self.status < 300)
        return self.kept or promised

    @property
    def name(self) -> str:
        """The behaviour alone, for counting and for the log: `429`, `close after headers`."""
        return str(self.status) if self.kind is Kind.STATUS else str(self.kind)

    def __str__(self) -> str:
        words = [f"{self.times}x"] if self.times > 1 else []
        words.append(self.name)
        words += [f"retry-after {self.retry_after_seconds}"] if self.retry_after_seconds is not None else []
        words += [f"latency {self.latency_seconds:f}"] if self.latency_seconds else []
        words += ["kept"] if self.kept else []
        words += [f"p={self.probability:f}"] if self.probability is not None else []
        return " ".join(words)


AS_USUAL = Step()


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in their order; `str()` gives a text that reads back as the same script."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Script:
        """A text as a script; an empty one is one without steps. Raises ScriptError and nothing else."""
        if len(text) > MAX_SCRIPT_CHARS:
            raise ScriptError(f"the script is longer than {MAX_SCRIPT_CHARS} characters; shorten it, e.g. 3x 500")
        parts = [part.split() for part in re.split(r"[;\n]", text.lower())]
        steps = tuple(_step(number, words) for number, words in enumerate(filter(None, parts), 1))
        if len(steps) > MAX_STEPS:
            raise ScriptError(f"the script has {len(steps)} steps; give at most {MAX_STEPS}")
        total = sum(step.probability or Decimal(0) for step in steps)
        if total > 1:
            raise ScriptError(f"the probabilities add up to {total:f}; lower them to 1 in all")
        return cls(steps)

    def __str__(self) -> str:
        return "; ".join(str(step) for step in self.steps)


def _step(number: int, words: list[str]) -> Step:
    """One step. `words` is not empty."""
    try:
        times, rest = _times(words)
        step = _behaviour(rest)
        while rest:
            step = _modified(step, rest)
    except ValueError as error:
        raise ScriptError(
            f"step {number} ({' '.join(words)[:80]!r}): {error}. A script reads like: {EXAMPLE}"
        ) from None
    if step.probability is not None and times:
        raise ScriptError(
            f"step {number} ({' '.join(words)[:80]!r}): give a number of times or a probability, not both"
        )
    return replace(step, times=times or 1)


def _times(words: list[str]) -> tuple[int, list[str]]:
    """How often (0 where it is not said), and the words that follow."""
    joined = re.fullmatch(r"([0-9]+)x", words[0])
    apart = len(words) > 1 and words[1] == "x" and words[0].isdecimal()
    if not joined and not apart:
        return 0, list(words)
    return int(_number(joined[1] if joined else words[0], "times", MAX_TIMES, at_least=1)), words[1 if joined else 2 :]


def _behaviour(words: list[str]) -> Step:
    """The behaviour that the words begin with; takes it off them."""
    if not words:
        raise ValueError("say what shall happen after the number of times")
    if words[0] == "latency":
        return AS_USUAL
    word = words.pop(0)
    if re.fullmatch("[2-5][0-9][0-9]", word):
        return Step(Kind.STATUS, int(word))
    if word == "close" and words[:1] == ["after"]:
        _expect(words, "after", "headers")
        return Step(Kind.CLOSE_AFTER_HEADERS)
    if word not in _WORDS:
        raise ValueError(
            f"{word[:40]!r} is no behaviour; write {', '.join(_WORDS)}, latency S, or a status of 200 to 599"
        )
    return Step(Kind(word))


_WORDS = tuple(str(kind) for kind in Kind if kind not in (Kind.STATUS, Kind.CLOSE_AFTER_HEADERS))


def _modified(step: Step, words: list[str]) -> Step:
    """The step with the modifier that the words begin with; takes it off them."""
    word = words.pop(0)
    if word.startswith("p="):
        return _once(step, "probability", _probability(word.removeprefix("p=")))
    if word not in _MODIFIERS:
        raise ValueError(f"{word[:40]!r} is not understood; after the behaviour come {', '.join(_MODIFIERS)} or p=0.1")
    return _MODIFIERS[word](step, words)


def _with(step: Step, words: list[str]) -> Step:
    _expect(words, "probability")
    return _once(step, "probability", _probability(_next(words, "a probability")))


def _retry_after(step: Step, words: list[str]) -> Step:
    if step.kind is not Kind.STATUS:
        raise ValueError("retry-after needs a status to go with, e.g. 429 retry-after 2")
    seconds = _number(_next(words, "seconds"), "retry-after", MAX_RETRY_AFTER_SECONDS)
    if seconds != int(seconds):
        raise ValueError("retry-after is in whole seconds")
    return _once(step, "retry_after_seconds", int(seconds))


def _latency(step: Step, words: list[str]) -> Step:
    return _once(step, "latency_seconds", _number(_next(words, "seconds"), "latency", MAX_LATENCY_SECONDS))


def _kept(step: Step, _: list[str]) -> Step:
    return _once(step, "kept", True)


_MODIFIERS: dict[str, Callable[[Step, list[str]], Step]] = {
    "retry-after": _retry_after,
    "latency": _latency,
    "kept": _kept,
    "with": _with,
}


def _once(step: Step, name: str, value: Decimal | int | bool) -> Step:
    if getattr(step, name) != getattr(AS_USUAL, name):
        raise ValueError(f"{name.removesuffix('_seconds')} is there twice; leave one out")
    return replace(step, **{name: value})  # type: ignore[arg-type]  # each caller gives the field's own type


def _next(words: list[str], what: str) -> str:
    if not words:
        raise ValueError(f"{what} must follow at the end")
    return words.pop(0)


def _expect(words: list[str], *expected: str) -> None:
    for word in expected:
        if _next(words, repr(word)) != word:
            raise ValueError(f"{word!r} is expected here")


def _number(text: str, what: str, most: int, *, at_least: int = 0) -> Decimal:
    number = Decimal(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) else None
    if number is None or not at_least <= number <= most:
        raise ValueError(f"{what} must be a number from {at_least} to {most}, not {text[:40]!r}")
    return number


def _probability(text: str) -> Decimal:
    number = _number(text, "a probability", 1)
    if not number:
        raise ValueError("a probability of 0 never happens; leave the step out")
    return number


class Player:
    """Whose turn it is. The same script and seed give the same turns, request by request. Safe for threads."""

    def __init__(self, script: Script, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._queue = deque(step for step in script.steps if step.probability is None)
        self._standing = tuple(step for step in script.steps if step.probability is not None)

    def next(self) -> Step:
        """What happens to the next request."""
        with self._lock:
            if not self._queue:
                return self._drawn()
            step = self._queue.popleft()
            if step.times > 1:
                self._queue.appendleft(replace(step, times=step.times - 1))
            return step

    def _drawn(self) -> Step:
        """One draw a request, so that each step has exactly its probability."""
        if not self._standing:
            return AS_USUAL
        draw = self._random.random()
        for step, below in _shares(self._standing):
            if draw < below:
                return step
        return AS_USUAL

    def left(self) -> Script:
        """What has not been used up."""
        with self._lock:
            return Script((*self._queue, *self._standing))


def _shares(steps: tuple[Step, ...]) -> Iterator[tuple[Step, Decimal]]:
    below = Decimal(0)
    for step in steps:
        below += step.probability or Decimal(0)
        yield step, below
