"""Which journeys name a segment or a list, for the pages of those."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, render_template
from sqlalchemy import Row, text
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

from crm.core.json import dumps
from crm.segments import store
from crm.web.auth import requires
from crm.web.db import db
from crm.web.i18n import language

bp = Blueprint("journeys_using", __name__, template_folder="templates")
PATHS = {"segment": '$.** ? (@.segment == $slug || @.segments[*] == $slug || (@.of == "segment" && @.name == $slug))', "list": "$.**.list ? (@ == $slug)"}


@bp.get("/journeys/using/<kind>/<slug>")
@requires()
def using(kind: str, slug: str) -> str:
    """A fragment: the journeys whose published form names it."""
    if kind not in PATHS:
        raise NotFound
    return render_template("journeys/using.html", rows=_naming(db(), kind, slug))


def _naming(session: Session, kind: str, slug: str) -> Sequence[Row[tuple[str, str]]]:
    return session.execute(_USING, {"path": PATHS[kind], "vars": dumps({"slug": slug}), "language": language()}).all()


store.named_by.append(lambda session, kind, slug: [row.name for row in _naming(session, kind, slug)])


_USING = text("""
    SELECT j.slug, coalesce(j.name->>:language, j.name->>'en', j.slug) AS name FROM journeys j
    JOIN journey_versions v ON v.journey_id = j.id AND v.number = j.version
    WHERE j.status <> 'stopped' AND jsonb_path_exists(v.graph, CAST(:path AS jsonpath), CAST(:vars AS jsonb)) ORDER BY 2, 1
""")
