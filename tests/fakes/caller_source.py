"""A source in memory: `CallerSource` without another system."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from offhook.pipeline.look_up import Answer, Found, Later, NotThere


class MemorySource:
    """Knows the `people` of numbers. While there is `trouble`, it cannot say. `asked` are the numbers, in order."""

    def __init__(self, people: Mapping[str, Sequence[Found]] | None = None, name: str = "crm") -> None:
        self.name = name
        self.people: dict[str, Sequence[Found]] = dict(people or {})
        self.trouble: Later | None = None
        self.asked: list[str] = []
        self.is_closed = False
        self._guard = threading.Lock()

    def find(self, phone: str, /) -> Answer:
        with self._guard:
            self.asked.append(phone)
        if self.trouble is not None:
            return self.trouble
        named = [one for one in self.people.get(phone, ()) if one.email or one.customer_id]
        if len(named) > 1:
            return Found(None, None, people=len(named), others=tuple((one.email, one.customer_id) for one in named))
        return named[0] if named else NotThere()

    def close(self) -> None:
        self.is_closed = True
