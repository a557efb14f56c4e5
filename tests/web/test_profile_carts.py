"""What lies in a cart is shown whatever the shop said of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sqlalchemy import update
from sqlalchemy.orm import Session

from crm.commerce.models import Cart
from tests.web.conftest import Browser
from tests.web.shop import open_shop


def test_a_product_without_a_name_or_sku_is_shown_by_its_id(session: Session, browser_as: Callable[[str], Browser]):
    shop = open_shop(session, dt.datetime.now(dt.UTC))
    session.execute(update(Cart).values(items=[{"product_id": "p-nameless", "quantity": "1"}]))
    session.commit()

    page = browser_as("admin").get(f"/people/{shop.dana}")

    assert page.status_code == 200
    assert "p-nameless" in page.text


def test_a_cart_that_expired_is_shown_as_such(session: Session, browser_as: Callable[[str], Browser]):
    shop = open_shop(session, dt.datetime.now(dt.UTC))
    session.execute(update(Cart).values(status="expired"))
    session.commit()

    page = browser_as("admin").get(f"/people/{shop.dana}")

    assert page.status_code == 200
    assert "Expired" in page.text
