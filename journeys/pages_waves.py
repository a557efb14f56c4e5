"""A piece of a product's page: in which waves people were told of it, by which journeys."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask_babel import gettext as _

from crm.core.i18n import _l
from crm.web.auth import requires
from crm.web.db import db
from journeys import waves
from journeys.words import named

bp = Blueprint("waves", __name__, template_folder="templates")
ENDED = {
    "everybody": (_l("everybody was told"), "ok"),
    "sold_out": (_l("sold out"), "warn"),
    "price_rose": (_l("the price rose again"), "warn"),
    "stopped": (_l("the journey was stopped"), ""),
    "again": (_l("came back once more"), ""),
    "dropped": (_l("dropped when the journey was resumed"), ""),
}


@bp.get("/journeys/waves/<path:variant_id>")
@requires()
def of_variant(variant_id: str) -> str:
    """The latest occasions of one variant."""
    found = waves.following(db(), variant_id.replace("\x00", ""))
    return render_template(
        "journeys/waves.html", waves=found, named=lambda names: named(names, ""), ended={key: (_(said), kind) for key, (said, kind) in ENDED.items()}
    )
