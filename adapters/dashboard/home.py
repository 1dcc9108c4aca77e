"""`/`: the first page that there is, until the overview takes its place."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from offhook.adapters.dashboard.nav import nav_of
from offhook.adapters.dashboard.who import needs, user
from offhook.pipeline.users import Role

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@needs(Role.VIEWER)
def shown() -> Response:
    return redirect(url_for(nav_of(user().role)[0].endpoint), 303)
