"""Which calls a person means: by CallSid, the caller's number, email or customer id, or the order id. Shows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offhook.adapters.commands.context import Offhook
from offhook.adapters.commands.named_call import call_sid, typed
from offhook.pipeline.phone import caller
from offhook.pipeline.story import CallLine

_MOST_NUMBERS = 20  # of one customer


def numbers_of(service: Offhook, name: str) -> Sequence[str]:
    """The numbers by which this customer's calls are known: a number is itself, an email or a customer id is looked up."""
    words = typed(name)
    phone = caller(words, service.settings.default_country).number
    found = service.ledger.stories.phones_of(words, _MOST_NUMBERS)
    return list(dict.fromkeys([*([phone] if phone else []), *found]))


def calls_named(service: Offhook, name: str, most: int) -> list[CallLine]:
    """The calls that a name may mean, each once, the newest first; up to `most`. Of several kinds all are given: what one
    takes for an order id may be a customer's id as well.
    """
    stories, sid = service.ledger.stories, call_sid(name)
    if sid is not None:
        return [story.call for story in stories.of_call(sid)]
    found = [line for phone in numbers_of(service, name) for line in stories.calls_of(phone, most)]
    return _newest([*found, *stories.with_order_id(typed(name), most)])[:most]


def _newest(found: Iterable[CallLine]) -> list[CallLine]:
    once = {line.key: line for line in found}
    return sorted(once.values(), key=lambda line: line.first_received_at, reverse=True)
