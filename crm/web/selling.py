"""Who takes leads and how this company sells, for the pages of sales: read once a request."""

from __future__ import annotations

from flask import g
from flask_babel import gettext as _
from sqlalchemy import select

from crm.core.errors import InvalidError
from crm.core.ids import read_number
from crm.sales import settings
from crm.sales.models import Seller
from crm.sales.settings import SalesSettings
from crm.web.db import db


def sellers() -> dict[int, str]:
    """Those who take leads, by user."""
    if "sellers" not in g:
        g.sellers = {row.user_id: row.name for row in db().execute(select(Seller.user_id, Seller.name).where(Seller.active).order_by(Seller.name))}
    found: dict[int, str] = g.sellers
    return found


def seller(said: str) -> int | None:
    """Who takes leads by what a form says; None where it says nobody. Raises InvalidError of the field `owner`."""
    found = read_number(said)
    if said and found not in sellers():
        raise InvalidError(_("Choose somebody who takes leads."), field="owner")
    return found


def rules() -> SalesSettings:
    """Promises, definitions and rules as they are set."""
    if "sales_rules" not in g:
        g.sales_rules = settings.read(db())
    found: SalesSettings = g.sales_rules
    return found
