"""The past in memory: `Past` without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction, RawCallback, Status
from offhook.pipeline.ports.books import Stored
from offhook.pipeline.ports.past import ListUsed, PastCall, RulesUsed
from offhook.pipeline.rules.held import Held
from tests.fakes.kept import Kept, KeptCall

_DECIDED = ("converted", "skipped", "parked")


class MemoryPast:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def calls_since(self, since: datetime, after: PastCall | None, limit: int) -> Sequence[PastCall]:
        found = [self._past(one) for one in self._kept.calls.values() if one.state in _DECIDED]
        ordered = sorted((one for one in found if one.first_received_at >= since), key=_place)
        return [one for one in ordered if after is None or _place(one) > _place(after)][:limit]

    def waiting(self, at_most: int) -> Collection[CallKey] | None:
        rows = [one.raw for one in self._kept.stored() if one.seq not in self._kept.folded]
        if len(rows) > at_most:
            return None
        sids = {CallKey(raw.account_sid, sid) for raw in rows for sid in (raw.call_sid, raw.parent_call_sid) if sid}
        return sids | {CallKey(key.account_sid, link.root) for key, link in self._kept.links.items() if key in sids}

    def callbacks_of(self, keys: Collection[CallKey]) -> Mapping[CallKey, Sequence[RawCallback]]:
        found: dict[CallKey, list[Stored]] = {}
        for one in self._kept.stored():
            link = self._kept.links.get(one.raw.key)
            if link is not None and (key := CallKey(one.raw.account_sid, link.root)) in keys:
                found.setdefault(key, []).append(one)
        folded = self._kept.folded
        whole = {key: every for key, every in found.items() if {one.seq for one in every} <= folded}
        return {key: [_as_read(one.raw) for one in every] for key, every in whole.items()}

    def count_since(self, since: datetime, at_most: int) -> int:
        found = [one for one in self._kept.calls.values() if one.folded.call.first_received_at >= since]
        return min(len(found), at_most)

    def rules_used(self, limit: int, at: int = 0) -> Sequence[RulesUsed]:
        return [one for one in self._kept.rule_uses[::-1] if not at or one.number <= at][:limit]

    def use_of(self, version: str) -> int | None:
        return next((one.number for one in self._kept.rule_uses[::-1] if one.version == version), None)

    def text_of(self, version: str) -> str | None:
        return self._kept.rules.get(version)

    def held(self, version: str) -> Held | None:
        return self._kept.held.get(version)

    def lists_used(self, version: str) -> Sequence[ListUsed]:
        return [ListUsed(one.file, one.digest, len(one.numbers)) for one in self._kept.lists.get(version, ())]

    def listed(self, digest: str, limit: int) -> Sequence[str]:
        every = (one for lists in self._kept.lists.values() for one in lists)
        return next((sorted(one.numbers)[:limit] for one in every if one.digest == digest), [])

    def _past(self, one: KeptCall) -> PastCall:
        call, root = one.folded.call, one.folded.call.root
        lines = [line for key, line in self._kept.decisions if key == call.key]
        reason = lines[-1].reasons[0].word if lines else ""
        by = (lines[-1].rules_version, lines[-1].rule or "") if lines else ("", "")
        known = (call.key, call.first_received_at, CallState(one.state), reason)
        if root is None:
            return PastCall(*known, Status.UNKNOWN, Direction.UNKNOWN, "", "", None, None, call.final_at, *by)
        ends = (root.status, root.direction, root.from_, root.to)
        return PastCall(*known, *ends, root.duration_seconds, root.ended_at, call.final_at, *by)


def _as_read(raw: RawCallback) -> RawCallback:
    return replace(raw, headers=(), content_type="", target="" if raw.method == "POST" else raw.target)


def _place(one: PastCall) -> tuple[datetime, str, str]:
    return (one.first_received_at, *one.key)
