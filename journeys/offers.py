"""Answers to runs that ask what to offer: found for many at once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy.orm import Session

from crm.commerce.cart import cart_id
from crm.commerce.carts import carts_at
from crm.commerce.recommend import Wanted, recommend
from crm.events.goods import key_of
from journeys.node import Recommend
from journeys.passage import Passage

TRIED = {  # what a trial shows
    "variant_id": "article", "product_id": "article", "name": "Article", "variant": "", "category": "", "brand": "", "price": "90", "currency": "ILS",
    "image_url": "", "url": "",
}  # fmt: skip


def answers(session: Session, asked: Sequence[tuple[Passage, Recommend]], now: dt.datetime) -> dict[uuid.UUID, object]:
    """run -> articles as events carry them; an empty list where nothing fits."""
    of_carts = [passage for passage, question in asked if question.basis == "cart"]
    refs = [(p.profile_id, {"source_id": p.start.source_id, "key": cart_id(dict(p.start.properties)), "at": p.start.occurred_at.isoformat()}) for p in of_carts]
    carts = dict(zip((p.id for p in of_carts), carts_at(session, refs) if refs else (), strict=True))
    wanted = []
    for passage, question in asked:
        cart = carts.get(passage.id)
        items = list(cart.items.values()) if cart else []
        seeds = items if question.basis == "cart" else [passage.start.properties] if question.basis == "start" else []
        start = tuple(dict.fromkeys(key for each in seeds if (key := key_of(each))))
        wanted.append(Wanted(passage.profile_id, question.basis, question.many, question.cheaper, start))
    found = recommend(session, wanted, now)
    return {passage.id: products for (passage, _), products in zip(asked, found, strict=True)}
