"""Events about what a shop sells: they happen to a variant, not to a person, and only a server's word counts."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

UPDATED, STOCK, PRICE = "Product Updated", "Product Stock Changed", "Product Price Changed"
NAMES = frozenset({UPDATED, STOCK, PRICE})
LONGEST = 200  # characters of a variant's id


def key_of(properties: Mapping[str, Any]) -> str | None:
    """What an event calls a variant: its `variant_id`, else its `sku`, else its `product_id`."""
    for name in ("variant_id", "sku", "product_id"):
        value = properties.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()[:LONGEST]
    return None


def variant_of(name: str, properties: Mapping[str, Any] | None) -> str | None:
    """The variant an event of this name tells of; None where it is no word about goods, or about none in particular."""
    return key_of(properties or {}) if name in NAMES else None


def log_id(variant_id: str) -> uuid.UUID:
    """Under what the log keeps a variant's events, in the place of a profile."""
    return uuid.UUID(bytes=hashlib.sha256(f"variant:{variant_id}".encode()).digest()[:16])
