"""Who saw whom: one entry for a look at a person, whichever page, fragment or operation showed them."""

from __future__ import annotations

import uuid

from flask import Flask, Response, g, request
from flask import session as cookie
from flask_login import current_user

from crm.core import clock
from crm.profiles.timeline import follow
from crm.web import users
from crm.web.db import db

ONE = 300  # seconds: a page and all that it loads of one person, and loads again, is one look
KEPT = 10  # people whom one browser remembers to have looked at


def install(app: Flask) -> None:
    """Whatever shows a person is noted, once it has been put together and before it leaves."""
    app.after_request(_noted)


def at(*profile_ids: uuid.UUID) -> None:
    """This answer shows these people. Whom the address of a page names need not be said; nobody says that the page notes its look itself."""
    g.looked = {*g.get("looked", ()), *profile_ids}


def _noted(response: Response) -> Response:
    named = (request.view_args or {}).get("profile_id") if request.method == "GET" else None
    looked = g.looked if "looked" in g else {named} if named else ()
    if looked and response.status_code == 200 and ("token" in g or current_user.is_authenticated):
        _write({str(one) for one in looked})
    return response


def _write(looked: set[str]) -> None:
    """What a view did not commit is rolled back first, as ever. A browser's memory is signed and its user's own: it holds nothing that was not noted."""
    now, token = int(clock.now().timestamp()), g.get("token")
    lately = {} if token else {one: since for one, since in cookie.get("looked", {}).items() if since > now - ONE}
    if not (fresh := sorted(looked - lately.keys())):
        return
    db().rollback()
    for owner in {owner for one in fresh if (owner := follow(db(), uuid.UUID(one)))}:
        detail = {"token": token.name} if token else {}
        users.audit(db(), user_id=None if token else current_user.user_id, action="profile.viewed", subject=str(owner), detail=detail)
    db().commit()
    if not token:
        cookie["looked"] = dict([*lately.items(), *((one, now) for one in fresh)][-KEPT:])
