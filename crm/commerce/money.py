"""Money as events write it: Decimal, six digits, never float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

ZERO = Decimal(0)
LIMIT = Decimal(10) ** 13
_QUANTUM = Decimal("0.000001")


def amount(value: Any) -> Decimal | None:
    """A number or a text of one as Decimal, rounded to six digits; None where it is none or beyond numeric(20,6)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number.quantize(_QUANTUM).normalize() + ZERO if number.is_finite() and abs(number) < LIMIT else None


def currency(value: Any, default: str) -> str:
    """Three letters, or the default."""
    return value.upper() if isinstance(value, str) and len(value) == 3 and value.isalpha() and value.isascii() else default


def plain(value: Decimal) -> str:
    """`12.50` is kept as `12.5`, `100` as `100`: text that JSON carries without loss."""
    return format(value, "f")
