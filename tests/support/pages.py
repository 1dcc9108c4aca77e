"""Pages of docs/ that are made from tables of the program: `.venv/bin/python -m tests.support.pages` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from offhook.pipeline import reasons
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.between import BETWEEN
from offhook.pipeline.rules.conditions import ALWAYS, CONDITIONS
from offhook.pipeline.rules.results import RESULTS
from offhook.pipeline.rules.templates import ALIASES, FIELDS

DOCS = Path(__file__).parents[2] / "docs"

_RULES = """# What counts, and what is sent of it

`offhook.toml` says it; `offhook.toml.example` shows how, and `flask rules check` names the line of every mistake and reads the
rules back in English. This page is made from the tables that the program goes by (`.venv/bin/python -m tests.support.pages`).

## Conditions

A call counts when all of them hold and one customer has the number. Those without a key are always asked.
The reason is the word of a call that does not count for it: [reasons.md](reasons.md) has what can be done.
"""
_BLOCKS = """
## Rules in their order

A block `[[rule]]` has a `name`, conditions under `when` (all of the above, each asked only where it is written) and one result:
`convert = true`, or a table of what is sent otherwise (`action`, `revenue`, `time`, `extra`), or `skip = "a_reason"` with a word of
your own. The first block whose conditions all hold decides; what the file says outside of its blocks is the last rule.

```toml
[[rule]]
name = "Night calls"
when.hours = ["22:00-06:00"]
skip = "at_night"

[[rule]]
name = "Customers of the gold tier"
when = { customer = { tier = "gold" }, min_talk_seconds = 20 }
convert = { action = "gold_call", revenue = "{customer.value}", time = "answered" }
```

Where nobody knows whether a condition holds (no leg and no detection says who answered), it fails;
`when_unknown = "holds"` in a block, or for the whole file, lets it hold. A block that hangs on the customer's row alone waits until
the caller is known. `[groups]` names sets of tracked numbers (`tv = ["+14155550100", "+14155550101"]`) for `tracked_numbers`.
`[ours]` lists the numbers of your own people (`numbers = [...]`): where one of these, a browser phone or a SIP phone is at one end
of a call, the customer is whom its answered leg reached, and the call counts as one that you placed. A call that one of your
tracked numbers (listed, or named in a rule) forwards to another counts once.

`flask rules backtest --file new.toml` says what other rules would have made of your calls, `flask rules apply` decides skipped and
waiting calls anew after you have seen what changes, `flask rules schema` prints a JSON schema for your editor. The text of every set
of rules that was used is kept, with the defaults that held where it says nothing and the numbers of the files that it names in
`callers_in`: `flask rules show --version VERSION` prints that of a decision, `flask rules show --use NUMBER` that of a time in which
they held.

## Calls that belong together
"""
_RESULTS = """
## Results

What Rockerbox is sent of a call that counts. A tracked number may have its own in its block `[[numbers]]`, beside its
`number` and a `label` for it, and a rule in its `convert`, which goes before the number's.
"""
_TEMPLATES = """
## Fields of templates

What may stand in braces, in `order_id` and in the values of `extra`; beside these every parameter of Twilio's by its own name,
as `{CallerCountry}`, and every further column of the customer's row, as `{customer.tier}`. `{{` and `}}` are braces that are meant.
"""
_REASONS = """# Reasons

Every word that Offhook gives as a reason, in its log, in the ledger and in `flask explain`, with its sentence and
what can be done. A `*` stands for the rest of a word. This page is made from the table that the program goes by
(`.venv/bin/python -m tests.support.pages`).
"""
_OF_ATTEMPTS = """\
These are also the reason of a conversion after its last attempt. What becomes of it depends on what the attempt came to, and
stands here as it usually is; `flask explain` goes by the attempt. A status that OFFHOOK_MAYBE_SENT_STATUSES
names may have arrived, whatever is said of it here; one that it leaves out did not arrive, if it is known.
"""
_OF_REFUSALS = """\
`check` in the log's `callback_forged`, `callback_unreadable`, `callbacks_refused`, `callback_too_large`, `callback_broken_off`
and `request_refused`.
"""
_OF_THE_DATABASE = """\
`database` in the answer of `/readyz`, `word` in the log's `not_ready` and `database_cut_off`.
"""
_OF_THE_BACKLOG = """\
`reasons` in the answer of `/readyz` where its status is `behind`.
"""
_OF_PROBLEMS = """\
The last part of `type` in what the API answers (RFC 9457): `urn:offhook:problem:not-held`. The sentence is its `title`.
"""
_OF_IMPORTS = """\
`reason` in the file of rejected rows, and in what `flask customers import` says at its end.
"""
_OF_LOOK_UPS = """\
Where OFFHOOK_LOOKUPS names sources: why one of them did not say who calls, in the log, in `flask explain` and in what
`flask customers lookup` shows. The call waits, and the source is asked again by itself.
"""
_OF_SIGN_IN = """\
`word` in the log's `oidc_failed` and `oidc_not_signed_out`, and in the audit's lines `sign-in refused`, where it is written with
spaces. {name} is the provider's, by OFFHOOK_OIDC_NAME.
"""


def rules_page() -> str:
    """What a file of rules may say."""
    default = Rules()
    conditions = [
        (f"`{key}`", one.explained, one.kind.in_words(), _written(key, default), f"`{one.reason}`")
        for key, one in CONDITIONS.items()
    ]
    conditions += [("-", one.explained, "-", "-", f"`{one.reason}`") for one in ALWAYS]
    results = (
        (f"`{key}`", one.explained, one.kind.in_words(), _written(key, default), "yes" if one.of_number else "no")
        for key, one in RESULTS.items()
    )
    between = ((f"`{key}`", one.explained, one.kind.in_words(), _written(key, default)) for key, one in BETWEEN.items())
    others = {other: name for name, other in ALIASES.items()}
    names = (
        (f"`{name}`", explained, f"`{others[name]}`" if name in others else "") for name, explained in FIELDS.items()
    )
    return "".join(
        [
            f"{_RULES}\n{_table(('Key', 'What it asks', 'Its value is', 'Default', 'Reason'), conditions)}",
            f"{_BLOCKS}\n{_table(('Key', 'What it is', 'Its value is', 'Default'), between)}",
            f"{_RESULTS}\n{_table(('Key', 'What it is', 'Its value is', 'Default', 'Of a number'), results)}",
            f"{_TEMPLATES}\n{_table(('Field', 'What it is', 'In a list also'), names)}",
        ]
    )


def reasons_page() -> str:
    """Every reason, with those together that are said alike."""
    return "".join(
        [
            f"{_REASONS}\n## Why a call counts or does not\n\n{_words(reasons.OF_DECISIONS)}",
            f"\n## Why a conversion stands where it stands\n\n{_words(reasons.OF_CONVERSIONS)}",
            f"\n## What an attempt came to\n\n{_OF_ATTEMPTS}\n{_words(reasons.OF_ATTEMPTS)}",
            f"\n## Why a request was refused\n\n{_OF_REFUSALS}\n{_words(reasons.OF_REFUSALS)}",
            f"\n## What is wrong with the database\n\n{_OF_THE_DATABASE}\n{_words(reasons.OF_THE_DATABASE)}",
            f"\n## What is late\n\n{_OF_THE_BACKLOG}\n{_words(reasons.OF_THE_BACKLOG)}",
            f"\n## Why the API does not do what was asked\n\n{_OF_PROBLEMS}\n{_words(reasons.OF_PROBLEMS)}",
            f"\n## Why a row of a list was not used\n\n{_OF_IMPORTS}\n{_words(reasons.OF_IMPORTS)}",
            f"\n## Why a source did not say who calls\n\n{_OF_LOOK_UPS}\n{_words(reasons.OF_LOOK_UPS)}",
            f"\n## Why nobody comes in by single sign-on\n\n{_OF_SIGN_IN}\n{_words(reasons.OF_SIGN_IN)}",
        ]
    )


def _words(table: Mapping[str, reasons.Known]) -> str:
    alike: dict[reasons.Known, list[str]] = {}
    for word, known in table.items():
        alike.setdefault(known, []).append(f"`{word}`")
    rows = ((", ".join(words), " / ".join(known.sentences), known.remedy() or "-") for known, words in alike.items())
    return _table(("Word", "What it says", "What can be done"), rows)


def _written(key: str, default: Rules) -> str:
    said = getattr(default, key)
    value: Any = None if said is None else SETTINGS[key].kind.plain(said)
    return "-" if value is None or value == {} else f"`{json.dumps(value)}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    """No cell holds a tag: <Number> is meant as it stands."""
    return text.replace("|", "\\|").replace("<", "&lt;")


PAGES = {"rules.md": rules_page, "reasons.md": reasons_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
