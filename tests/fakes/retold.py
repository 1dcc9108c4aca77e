"""The stories in memory with what conversions were before they were decided anew, and with counts that end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from offhook.pipeline import story
from offhook.pipeline.story import CallLine, Story
from tests.fakes.stories import MemoryStories


class RetoldStories(MemoryStories):
    def conversion_counts(self) -> Mapping[str, int]:
        return {state: _bounded(count) for state, count in super().conversion_counts().items()}

    def unfinished_count(self) -> int:
        return _bounded(super().unfinished_count())

    def _story(self, call: CallLine) -> Story:
        was = [line for key, line in self._kept.replaced if key == call.key]
        return replace(super()._story(call), replaced=was)


def _bounded(count: int) -> int:
    return min(count, story.COUNTED_UP_TO + 1)
