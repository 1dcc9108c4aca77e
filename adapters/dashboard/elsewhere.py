"""`/login/oidc`: coming in by a provider of OpenID Connect. adapters/oidc asks it, pipeline/single_sign_on.py says who may come in.

The browser goes there from a page of its own, by a refresh without delay and not by a redirect: Chromium holds every redirect that
follows a form to the policy of the form's page, and nobody knows through which addresses a provider leads.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from secrets import compare_digest
from typing import Any, cast

from flask import Blueprint, Response, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.doors import is_too_often_from_here, not_in
from offhook.adapters.dashboard.parts import Elsewhere, parts
from offhook.adapters.dashboard.who import audit, line, local_path, needs, sign_in
from offhook.adapters.oidc.begun import Begun, Failed
from offhook.pipeline.reasons import OF_SIGN_IN
from offhook.pipeline.single_sign_on import Refusal, come_in
from offhook.pipeline.tokens import hashed

log = logging.getLogger("offhook.dashboard")

blueprint = Blueprint("elsewhere", __name__)
_HOW = "single sign-on"
_BEGUN = "oidc"
_LONGEST_CODE = 4096
_BY_THE_BROWSER = ("forged", "code_refused")  # somebody may have tried to cheat
_GIVEN_UP = "You did not sign in at {name}. Begin again, or use your password."
_NOT_DONE = "{name} could not sign you in. Begin again, or use your password."


@blueprint.post("/login/oidc")
@needs(None)
def begin() -> AnyResponse | str:
    """Leads to the provider. What the browser must come back with is in its cookie, which is signed, and nowhere else."""
    known, goes_to = _elsewhere(), local_path(request.form.get("next"))
    if is_too_often_from_here():
        return not_in(429, goes_to, "", "Too many attempts. Wait some minutes and try again.")
    try:
        url, begun = known.provider.begin(_back_to())
    except Failed as error:
        return _failed(error, goes_to)
    session[_BEGUN] = {**asdict(begun), "next": goes_to, "at": parts().clock().isoformat()}
    return render_template("elsewhere.html.jinja", url=url)


@blueprint.get("/login/oidc/callback")
@needs(None)
def back() -> AnyResponse:
    """Where the provider sends the browser back to. Counts only with the state that this browser was sent away with, once."""
    known, kept = _elsewhere(), session.pop(_BEGUN, None)
    goes_to = local_path(kept["next"] if kept else None)
    begun = _begun_of(kept) if kept and _is_ours(kept) else None
    if begun is None:
        return not_in(400, goes_to, "", _in_words("state"))
    try:
        begun.check_issuer(request.args.getlist("iss"))
    except Failed as error:
        return _failed(error, goes_to)
    if "error" in request.args:
        is_given_up = request.args["error"] == "access_denied"
        log.info("oidc_not_signed_in", extra={"error": request.args["error"][:100]})
        return not_in(403, goes_to, "", (_GIVEN_UP if is_given_up else _NOT_DONE).format(name=known.at_start))
    try:
        account = known.provider.account(request.args.get("code", "")[:_LONGEST_CODE], begun, _back_to())
    except Failed as error:
        return _failed(error, goes_to)
    users = parts().ledger.users
    found = come_in(users, account, known.admission, parts().clock(), line)
    if isinstance(found, Refusal):
        someone = users.with_identity(account.identity)
        _refused(found.value, someone.email if someone else "unknown")
        return not_in(403, goes_to, "", _in_words(found.value))
    sign_in(found, _HOW, came_by=account.identity.issuer)
    return redirect(goes_to, 303)


def _elsewhere() -> Elsewhere:
    return parts().elsewhere or abort(404)


def _back_to() -> str:
    """As it is set, and not as a request says: the provider knows it to the letter."""
    return f"{parts().home}{url_for('elsewhere.back')}"


def _begun_of(kept: Mapping[str, Any]) -> Begun | None:
    """None for what a version before has put into the cookie."""
    try:
        return Begun(**{one.name: kept[one.name] for one in fields(Begun)})
    except KeyError:
        return None


def _is_ours(kept: Mapping[str, str]) -> bool:
    """Whether the browser came back with the state of its cookie, in time and for the first time: what was kept of both may have
    been copied. Writes what is not so.
    """
    at, limits = datetime.fromisoformat(kept["at"]), parts().limits
    age = (parts().clock() - at).total_seconds()
    is_same = compare_digest(request.args.get("state", "").encode(), kept["state"].encode())
    over = at - timedelta(seconds=limits.window_seconds)
    is_first = is_same and parts().ledger.tries.count(f"state {hashed(kept['state'])}", at.astimezone(UTC), over) == 1
    if is_first and age <= limits.window_seconds:
        return True
    _refused("too_late" if is_first else "used_already" if is_same else "state")
    return False


def _failed(error: Failed, goes_to: str) -> Response:
    """The sign-in page with what to do now, the reason in the log, and in the audit where somebody may have tried to cheat."""
    log.warning("oidc_failed", extra={"word": error.word, "detail": error.detail})
    if error.word in _BY_THE_BROWSER:
        _refused(error.word)
    status = 400 if error.word in _BY_THE_BROWSER else 504 if error.word == "slow" else 502
    return not_in(status, goes_to, "", _in_words(error.word))


def _refused(word: str, who: str = "unknown") -> None:
    audit("sign-in refused", f"{_HOW}: {word.replace('_', ' ')}", who)


def _in_words(word: str) -> str:
    """What a word of OF_SIGN_IN says to who wants to come in, and what they can do."""
    known = OF_SIGN_IN[word]
    return f"{known.sentences[0]} {known.to_do}".format(name=cast(Elsewhere, parts().elsewhere).at_start)
