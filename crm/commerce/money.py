"""Money as events write it: Decimal, six digits, never float."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from crm.events.sums import number, unit

ZERO = Decimal(0)
_QUANTUM = Decimal("0.000001")


def amount(value: Any) -> Decimal | None:
    """A number or a text of one as Decimal, rounded to six digits; None where it is none or beyond numeric(20,6)."""
    found = number(value)
    return None if found is None else found.quantize(_QUANTUM).normalize() + ZERO


def currency(value: Any, default: str) -> str:
    """Three letters, or the default."""
    return unit(value) or default


def plain(value: Decimal) -> str:
    """`12.50` is kept as `12.5`, `100` as `100`: text that JSON carries without loss."""
    return format(value, "f")
