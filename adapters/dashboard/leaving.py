"""Where a browser goes whose session has ended: to the sign-in page, and to the provider first where it came by single sign-on."""

from __future__ import annotations

import logging

from flask import Response, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from offhook.adapters.dashboard.parts import parts
from offhook.adapters.oidc.begun import Failed

log = logging.getLogger("offhook.dashboard")


def leave(came_by: str) -> AnyResponse:
    """`came_by` is the issuer that the session came by, "" for none. The provider's address is its own, and that of the way back
    is set: nothing of the request is in either. As for signing in, the browser goes there from a page of its own.
    """
    known, sign_in = parts().elsewhere, url_for("doors.login")
    if known is None or not known.signs_out or not came_by:
        return redirect(sign_in, 303)
    try:
        url = known.provider.address_to_leave(came_by, f"{parts().home}{sign_in}")
    except Failed as error:
        log.warning("oidc_not_signed_out", extra={"word": error.word, "detail": error.detail})
        flash(f"You are signed out here. {known.at_start} could not be asked to sign you out there, too.", "bad")
        return redirect(sign_in, 303)
    return Response(render_template("leaving.html.jinja", url=url)) if url else redirect(sign_in, 303)
