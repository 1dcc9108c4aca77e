"""Rules for the benches of deciding: fifty blocks with two or three conditions each, and the one rule without any.

Of each kind of condition there are some: numbers, seconds of talk, hours and days, area codes, further columns of the
customer, a parameter by pattern, the caller's history. They are such that most calls go through all of them to the last rule.
"""

from __future__ import annotations

ONE = "min_duration_seconds = 10\n"
BLOCKS = 50
_KINDS = (
    'tracked_numbers = ["+1415555{number:04}"], min_talk_seconds = {length}',
    'hours = ["0{hour}:00-0{hour}:30"], days = ["sat", "sun"], answered_by_person = true',
    'customer = {{ tier = "tier {number}" }}, min_talk_seconds = {length}',
    "params = {{ CallerCity = {{ matches = '^(NORTH|SOUTH) TOWN {number}$' }} }}, min_duration_seconds = {length}",
    "first_call = true, max_talk_seconds = {short}, answered_by_person = true",
    'area_codes = ["{area}"], no_conversion_within = "{days}d", min_talk_seconds = {length}',
    'customer = {{ orders = {{ at_least = {number} }} }}, statuses = ["completed"], hours = ["09:00-17:30"]',
    'countries = ["GB", "DE"], min_duration_seconds = {length}, no_conversion_within = "{days}d"',
    'withheld = true, tracked_numbers = ["+1415555{number:04}", "+1415556{number:04}"]',
    'directions = ["outbound-api"], min_talk_seconds = {length}, params = {{ StirVerstat = "TN-Validation-Passed-A" }}',
)


def fifty() -> str:
    """The text of a file with fifty blocks before the one rule."""
    return "\n".join(['time_zone = "America/New_York"', ONE, *map(_block, range(BLOCKS))])


def looking_back() -> str:
    """The same, before them one that never matches, and of which nobody knows without the earlier calls of the customer."""
    when = 'first_call = false, no_conversion_within = "999d", min_duration_seconds = 10'
    return fifty().replace(
        "[[rule]]", f'[[rule]]\nname = "looks back"\nwhen = {{ {when} }}\nskip = "never"\n[[rule]]', 1
    )


def _block(place: int) -> str:
    known = {
        "number": 1000 + place,
        "length": 20 + place,
        "short": 1 + place % 9,
        "hour": 1 + place % 8,
        "area": 300 + place,
        "days": 1 + place,
    }
    when = _KINDS[place % len(_KINDS)].format(**known)
    becomes = f'skip = "rule_{place}"' if place % 2 else f'convert = {{ action = "action {place}" }}'
    return f'[[rule]]\nname = "rule {place}"\nwhen = {{ {when} }}\n{becomes}\n'
