"""Whether what messages say about variants still holds, asked for many at once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import product
from crm.commerce.product import Now
from crm.commerce.products import bought_since


def over(session: Session, wanted: Sequence[tuple[uuid.UUID, Mapping[str, Any]]], *, hold: bool = False) -> list[str | None]:
    """For each (profile, reference; see `product.over`) why it lost its point, None where it did not; in the same order.

    With `hold` stock and price stay as they are until this transaction ends.
    """
    ids = sorted({str(ref["variant_id"]) for _, ref in wanted})
    rows = session.execute(text(_NOW + ("FOR SHARE" if hold else "")), {"ids": ids})
    found = {row.id: Now(row.stock, row.price, row.currency, row.archived) for row in rows}
    bought = bought_since(session, [(profile_id, str(ref["variant_id"]), ref["since"]) for profile_id, ref in wanted])
    return [product.over(ref, found.get(str(ref["variant_id"])), bought=number in bought) for number, (_, ref) in enumerate(wanted)]


_NOW = "SELECT id, stock, price, currency, archived FROM variants WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id "
