"""The dashboard: what a person sees in a browser. Shows read models, makes the moves of pipeline/steps.py; decides nothing itself.

How to add a page:

1. `adapters/dashboard/calls.py`: `blueprint = Blueprint("calls", __name__)`, and `@blueprint.get("/calls")` above
   `@needs(Role.VIEWER)` above `def shown() -> str`. A view without `needs` keeps the dashboard from starting. What it asks is in
   `parts()` (parts.py): `parts().reads` reads, with a limit of 3 s and no right to change anything; `parts().ledger` is for steps.
2. `adapters/dashboard/templates/calls.html.jinja`: `{% extends "base.html.jinja" %}`, `{% import "macros.html.jinja" as show with
   context %}`, the blocks `title` and `page`. Macros: figure, verdict, table, empty, older, masked, moment, confirm, chart.
3. One row in `BLUEPRINTS` (app.py); the header's nav shows what NAV (nav.py) names as soon as its endpoint exists.
4. What changes something is a POST by `show.confirm(...)` (it carries the CSRF token), `@needs(Role.OPERATOR)`, writes
   `audit(what, of_what)` (who.py) before it acts, and ends with `flash(...)` and a redirect. Nothing is done by GET: a list that
   leaves in a file changes nothing either, and is a line by `audit_taken(name, filters)`.
5. One row in the table ANSWERS of tests/test_dashboard_doors.py (path, what each role gets), and the path in PAGES of
   tests/test_dashboard_browser.py (axe, console, 360 px); an action has one in tests/test_dashboard_audited.py (its line). The
   words of issue: In Rockerbox, On its way, Unknown caller, Does not count, Needs you.

No inline script, style or handler (the CSP refuses them): classes in static/offhook.css, data attributes in static/offhook.js.
Every page works without JavaScript; htmx makes it quicker where `hx-get`/`hx-post` stand beside a real `href`/`action`.
"""
