"""What can be done with a call as it stands: the moves that the tables of states have, for whoever shows buttons. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from offhook.pipeline.call import DECIDABLE_ANEW
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS, UNKNOWN_TOO_LONG
from offhook.pipeline.counting import counted
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.story import Story

_WHO = ("caller_not_in_mapping", SEVERAL_CUSTOMERS, UNKNOWN_TOO_LONG)
"""The reasons that a customer takes away."""


@dataclass(frozen=True, slots=True)
class May:
    """`add` a customer, `decide` it again, `retry` what rests, which `risks` to count twice, `rebuild` what was refused."""

    add: bool
    decide: bool
    retry: bool
    risks: bool
    rebuild: bool


def rests(story: Story) -> bool:
    """Whether its conversion waits for a person."""
    return story.conversion is not None and story.conversion.state in RESTING


def may(story: Story, *, rules_hold: bool, can_rebuild: bool) -> May:
    """`rules_hold`: today's can be used; `can_rebuild`: they come to something else, and nothing can have been counted."""
    sent, is_open = story.conversion, story.conversion is None and story.call.state in DECIDABLE_ANEW
    return May(
        add=is_open and story.call.customer_phone is not None and counted(story).reason in _WHO,
        decide=is_open and rules_hold,
        retry=rests(story),
        risks=rests(story) and sent is not None and sent.maybe_sent,
        rebuild=rests(story) and rules_hold and can_rebuild,
    )
