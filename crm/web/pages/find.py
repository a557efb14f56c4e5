"""Ctrl-K: profiles and pages by the beginning of their words."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from crm.profiles.search import search
from crm.web.auth import requires
from crm.web.db import db
from crm.web.navigation import pages

bp = Blueprint("find", __name__)
PEOPLE = 7


@bp.get("/find")
@requires()
def find() -> str:
    """The palette's results for what was typed; without words, the pages."""
    words = request.args.get("q", "").strip()[:200]
    people = search(db(), words, limit=PEOPLE, who="all").rows if words else []
    places = [page for page in pages() if words.casefold() in page.label.casefold()]
    return render_template("found.html", words=words, people=people, places=places)
