"""`/products`: what the shop sells, told in batches; how each stands now."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, ValidationError, WithJsonSchema, field_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.commerce.product_models import Variant
from crm.core.errors import NotFoundError
from crm.core.json import dumps
from crm.core.paging import Page
from crm.events import inbox
from crm.events.goods import LONGEST, UPDATED
from crm.events.models import LIVE, SYSTEM_SOURCE
from crm.events.spec import Call
from crm.web.api.operation import Items, Paged, Wanted, blueprint, items, operation
from crm.web.auth import MAKERS

bp = blueprint("products")
MOST = 1_000  # in one batch


class ProductItem(Wanted):
    """One variant. What is left out stays as it was."""

    variant_id: str = Field(min_length=1, max_length=LONGEST, description="What your events call it: their `variant_id`, else `sku`, else `product_id`.")
    product_id: str | None = Field(None, min_length=1, max_length=LONGEST, description="What its variants have in common.")
    name: str | None = Field(None, max_length=500)
    variant: str | None = Field(None, max_length=200, description="What tells it from the product's other variants: a size, a colour.")
    category: str | None = Field(None, max_length=200)
    brand: str | None = Field(None, max_length=200)
    url: str | None = Field(None, max_length=2000)
    pictures: list[str] | None = Field(None, max_length=20, description="Addresses; the first is shown in messages.")
    price: Decimal | None = Field(None, ge=0, lt=10**13, decimal_places=6, description="Of one piece, as text or number.")
    currency: str | None = Field(None, pattern="^[A-Za-z]{3}$", description="ISO 4217; the shop's own where left out.")
    stock: int | None = Field(None, ge=0, le=2_000_000_000, description="Pieces there are; null: not counted.")
    archived: bool | None = Field(None, description="No longer sold.")
    version: int | None = Field(None, ge=0, lt=2**62, description="Your own number, which only grows: an item with a lower one than known changes nothing.")

    @field_validator("url", "pictures")
    @classmethod
    def _web(cls, value: Any) -> Any:
        for each in [value] if isinstance(value, str) else value or ():
            if not each.startswith(("https://", "http://")):
                raise ValueError(f"{each[:80]!r} is no web address; write https://…")
        return value


Batch = Annotated[list[Any], WithJsonSchema({"type": "array", "minItems": 1, "maxItems": MOST, "items": ProductItem.model_json_schema()})]


class NewProducts(Wanted):
    products: Batch = Field(min_length=1, max_length=MOST)


@dataclass(frozen=True, slots=True)
class ItemProblem:
    """Why one item was not taken; the others were."""

    index: int
    variant_id: str | None
    error: str


@dataclass(frozen=True, slots=True)
class Taken:
    """How many items are on their way, which are older than what is known, and which could not be read."""

    accepted: int
    older: list[str]
    errors: list[ItemProblem]


@dataclass(frozen=True, slots=True)
class VariantView:
    """A variant as it stands."""

    variant_id: str
    product_id: str
    name: str
    variant: str
    category: str
    brand: str
    url: str
    pictures: list[str]
    price: Decimal | None
    currency: str
    stock: int | None
    archived: bool
    version: int | None
    changed_at: dt.datetime | None


class ProductsWanted(Paged):
    cursor: str | None = Field(None, max_length=LONGEST, description="The `next` of the page before.")


@operation(bp, "/products", answer=Taken, body=NewProducts, roles=MAKERS, summary="Make or change variants, up to 1,000 at once; each item stands for itself")
def save_products(session: Session, *, body: NewProducts, now: dt.datetime) -> Taken:
    read, errors = _read(body.products)
    known = {row.id: row.version for row in session.execute(select(Variant.id, Variant.version).where(Variant.id.in_([one.variant_id for one in read])))}
    older = [one for one in read if one.version is not None and (before := known.get(one.variant_id)) is not None and one.version < before]
    fresh = [one for one in read if one not in older]
    inbox.append(session, [_said(one) for one in fresh], now)
    return Taken(len(fresh), [one.variant_id for one in older], errors)


@operation(bp, "/products", answer=Items[VariantView], query=ProductsWanted, summary="Variants by id, with price and stock")
def product_list(session: Session, *, query: ProductsWanted, now: dt.datetime) -> Items[VariantView]:
    wanted = select(Variant).where(Variant.id > (query.cursor or "")).order_by(Variant.id).limit(query.limit + 1)
    rows = [_view(row) for row in session.scalars(wanted)]
    shown = rows[: query.limit]
    return items(Page(shown, shown[-1].variant_id if len(rows) > query.limit else None))


@operation(bp, "/products/<path:variant_id>", answer=VariantView, finds=True, summary="One variant")
def one_product(session: Session, *, variant_id: str, now: dt.datetime) -> VariantView:
    row = session.get(Variant, variant_id.replace("\x00", ""))
    if row is None:
        raise NotFoundError("There is no variant of this id. List them with `GET /api/v1/products`.")
    return _view(row)


def _read(products: Sequence[Any]) -> tuple[list[ProductItem], list[ItemProblem]]:
    read, errors = [], []
    for index, plain in enumerate(products):
        try:
            read.append(ProductItem.model_validate(_texts(plain)))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            named = plain.get("variant_id") if isinstance(plain, dict) else None
            errors.append(ItemProblem(index, None if named is None else str(named)[:LONGEST], f"{place or 'the item'}: {first['msg']}"))
    return read, errors


def _texts(plain: Any) -> Any:
    """Shops send their ids as numbers, too; NUL, which no text of ours may hold, is left out as in events."""
    if not isinstance(plain, dict):
        return plain
    ids = {name: str(plain[name]) for name in ("variant_id", "product_id") if isinstance(plain.get(name), int) and not isinstance(plain[name], bool)}
    clean = {name: value.replace("\x00", "") for name, value in plain.items() if isinstance(value, str)}
    return plain | clean | ids


def _said(item: ProductItem) -> inbox.NewRow:
    properties = item.model_dump(exclude_unset=True, mode="json")
    number = uuid.uuid4().hex
    if item.version is not None:  # the same item again is the same event
        number = f"product:{hashlib.sha256(dumps(properties).encode()).hexdigest()[:40]}"
    call = Call(type="track", event=UPDATED, message_id=number, properties=properties)
    return inbox.NewRow(SYSTEM_SOURCE, trusted=True, origin=LIVE, body=call)


def _view(row: Variant) -> VariantView:
    return VariantView(
        row.id, row.product_id, row.name, row.variety, row.category, row.brand, row.url, row.pictures, row.price, row.currency, row.stock, row.archived,
        row.version, row.changed_at,
    )  # fmt: skip
