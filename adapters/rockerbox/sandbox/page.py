"""The sandbox's page: what was kept and ignored, for eyes. One self-contained document; everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape

from offhook.adapters.rockerbox.sandbox.journal import Event, Journal, Summary, Verdict

EVENTS = 100  # on the page; all that are kept stand in /events.json
HOURS = 48
MAX_CELL_CHARS = 120
MAX_BODY_CHARS = 2_000
REFRESH_SECONDS = 3

_TITLES = {
    Verdict.COUNTED: ("Counted", "the first of its key"),
    Verdict.DUPLICATE: ("Duplicate", "ignored, an earlier one won"),
    Verdict.NOT_COUNTED: ("Not counted", "a field of the key is missing"),
    Verdict.INVALID: ("Invalid", "refused, with reasons"),
}


def page(journal: Journal, script: str, *, paused: bool) -> str:
    """The whole document. `script` is what the failure script has left; `paused` leaves the refreshing out."""
    summary = journal.summary()
    refresh = "" if paused else f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
    link = '<a href="/">Refresh again</a>' if paused else '<a href="/?paused">Pause</a>'
    state = "Paused." if paused else f"Refreshes every {REFRESH_SECONDS} s."
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{refresh}
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{summary.counts[Verdict.COUNTED]} counted &middot; Sandbox Rockerbox</title><style>{_STYLE}</style></head>
<body><header><div><h1>Sandbox Rockerbox</h1>
<p>Takes <code>POST /webhook/data?advertiser=ID</code>, forwards nothing. Key: <code>{_safe(str(journal.key))}</code></p></div>
<form method="post" action="/reset"><span>{state} {link} &middot; <a href="/events.json">JSON</a></span>
<button>Clear all</button></form></header>
<main>{_tiles(summary)}{_failures(summary, script)}{_hours(summary, journal.key.day)}{_events(journal.events(EVENTS))}</main>
</body></html>"""


def _safe(text: str, limit: int = MAX_CELL_CHARS) -> str:
    return escape(text if len(text) <= limit else text[:limit] + "\N{HORIZONTAL ELLIPSIS}")


def _tiles(summary: Summary) -> str:
    tiles = "".join(
        f'<div class="tile {verdict}"><dt>{title}</dt><dd><b>{summary.counts[verdict]:,}</b><span>{what}</span></dd></div>'
        for verdict, (title, what) in _TITLES.items()
    )
    return f'<h2 class="unseen">Events by verdict</h2><dl class="tiles">{tiles}</dl>'


def _failures(summary: Summary, script: str) -> str:
    lost = ", ".join(f"{count:,} &times; {_safe(why)}" for why, count in sorted(summary.not_kept.items()))
    parts = [f"<p><strong>Failing on command:</strong> <code>{_safe(script, 400)}</code></p>"] if script else []
    parts += [f"<p><strong>Answered without keeping:</strong> {lost}</p>"] if lost else []
    return f'<section class="note">{"".join(parts)}</section>' if parts else ""


def _hours(summary: Summary, day: str) -> str:
    if not summary.hours:
        return ""
    shown = sorted(summary.hours.items(), reverse=True)[:HOURS]
    most = max(sum(counts.values()) for _, counts in shown)
    rows = "".join(_hour(hour, counts, most) for hour, counts in shown)
    heads = "".join(f'<th scope="col" class="number">{title}</th>' for title, _ in _TITLES.values())
    return (
        f'<section><h2>By UTC hour <small>of the {day}</small></h2><div class="scroll"><table><thead><tr>'
        f'<th scope="col">Hour</th>{heads}<td class="wide"></td></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _hour(hour: datetime, counts: Mapping[Verdict, int], most: int) -> str:
    numbers = "".join(_number(counts.get(verdict, 0)) for verdict in Verdict)
    bars = "".join(
        f'<i class="{verdict}" style="width:{100 * counts[verdict] / most:.2f}%"></i>'
        for verdict in Verdict
        if counts.get(verdict)
    )
    return (
        f'<tr><th scope="row">{hour:%Y-%m-%d %H}:00</th>{numbers}'
        f'<td class="wide" aria-hidden="true"><div class="bar">{bars}</div></td></tr>'
    )


def _number(count: int) -> str:
    return f'<td class="number{"" if count else " none"}">{count:,}</td>'


def _events(events: list[Event]) -> str:
    if not events:
        return '<section class="empty"><h2>Nothing yet</h2><p>The first conversion will show up here.</p></section>'
    heads = ("#", "Arrived (UTC)", "Verdict", "Action", "Customer", "Order", "Answer", "Body")
    columns = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(_row(event) for event in reversed(events))
    return (
        f"<section><h2>The last {len(events):,} events <small>newest first</small></h2>"
        f'<div class="scroll"><table class="events"><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _row(event: Event) -> str:
    fields = event.fields
    customer = [str(fields[name]) for name in ("email", "customer_id") if fields.get(name)]
    why = "".join(f"<small>{_safe(reason)}</small>" for reason in event.reasons)
    verdict = f'<span class="tag {event.verdict}">{_TITLES[event.verdict][0]}</span>{why}'
    cells = (
        f"{event.number}",
        f'<time datetime="{event.arrived_at.isoformat()}">{event.arrived_at:%m-%d %H:%M:%S}</time>',
        verdict,
        _safe(str(fields.get("action", ""))),
        _lines(customer),
        f"<code>{_safe(str(fields.get('order_id', '')))}</code>",
        _safe(event.answered),
        f"<code>{_safe(event.body, MAX_BODY_CHARS)}</code>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(_safe(text) for text in texts)


_STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1a1f2b;--soft:#5b6475;--line:#e1e5ec;--link:#1f55c4;
--counted:#15803d;--duplicate:#a16207;--not_counted:#7c3aed;--invalid:#c02626}
@media(prefers-color-scheme:dark){:root{--paper:#11141a;--card:#191e27;--ink:#e7eaf0;--soft:#9aa4b5;--line:#2b323f;
--link:#8db4ff;--counted:#4ade80;--duplicate:#facc15;--not_counted:#c4a5ff;--invalid:#ff8585}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:88rem;padding:1.75rem 1.5rem 4rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1rem;margin:0 0 .75rem}
h2 small,header p,header span,.tile span,td small{color:var(--soft);font-weight:400}p{margin:.15rem 0}a{color:var(--link)}
code{font:.86em/1.45 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
header,form{display:flex;flex-wrap:wrap;gap:.75rem 1.25rem;align-items:center;justify-content:space-between}
button{font:inherit;color:inherit;
background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.3rem .9rem;cursor:pointer}
button:hover{border-color:var(--soft)}:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:1rem;margin:1.5rem 0}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.25rem}
section{margin:1rem 0}.tile{border-top:3px solid var(--mark)}.tile dt{font-weight:600}.tile dd{margin:0}
.tile b{display:block;font-size:2rem;line-height:1.3;font-variant-numeric:tabular-nums}.tile span{font-size:.87em}
.counted{--mark:var(--counted)}.duplicate{--mark:var(--duplicate)}.not_counted{--mark:var(--not_counted)}.invalid{--mark:var(--invalid)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.45rem .75rem .45rem 0;border-top:1px solid var(--line)}
thead th,thead td{border:0;color:var(--soft);font-size:.87em;font-weight:600;white-space:nowrap}
tbody th{font-weight:400;white-space:nowrap}th.number,td.number{text-align:right;font-variant-numeric:tabular-nums}
td.none{color:var(--soft)}
.wide{width:45%;padding-left:.75rem}.bar{display:flex;gap:2px;height:.8rem;margin-top:.3rem}
.bar i{background:var(--mark);border-radius:2px;min-width:2px}
.events td:last-child{min-width:20rem;color:var(--soft)}td small{display:block;max-width:19rem}time{white-space:nowrap}
.tag{white-space:nowrap;color:var(--mark);font-weight:600}.tag::before{content:"";display:inline-block;width:.55rem;height:.55rem;
border-radius:50%;background:var(--mark);margin-right:.45rem}
.empty{text-align:center;padding:3rem 1rem;color:var(--soft)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
"""
