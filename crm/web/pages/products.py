"""Products: what is sold, how much of it there is, who waits for it, what was lost while there was none."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask_babel import gettext as _

from crm.analytics import products_view
from crm.core import clock
from crm.core.errors import NotFoundError
from crm.core.i18n import _l
from crm.web.auth import requires
from crm.web.db import db
from crm.web.step_chart import steps

bp = Blueprint("products", __name__, url_prefix="/products")
PAGE = 50
STATES = {"all": _l("All"), "out": _l("Sold out"), "wanted": _l("Waited for"), "archived": _l("No longer sold")}
SORTS = {"wanted": _l("Most waited for"), "stock": _l("Least in stock"), "name": _l("By name")}


@bp.get("")
@requires()
def index() -> str:
    """The list."""
    words, after = request.args.get("q", "").strip()[:200], request.args.get("after")
    state = request.args.get("state", "all")
    sort = request.args.get("sort", "wanted")
    state, sort = (state if state in STATES else "all"), (sort if sort in SORTS else "wanted")
    page = products_view.products(db(), words, state, sort, now=clock.now(), after=after, limit=PAGE)  # type: ignore[arg-type]  # both were looked up among the known words above
    return render_template("products.html", page=page, words=words, state=state, sort=sort, after=after, states=STATES, sorts=SORTS)


@bp.get("/<path:variant_id>")
@requires()
def one(variant_id: str) -> str:
    """One variant."""
    found = products_view.product(db(), variant_id, clock.now())
    if found is None:
        raise NotFoundError(_("There is no such product."))
    return render_template("product.html", product=found, v=found.row, steps=steps)
