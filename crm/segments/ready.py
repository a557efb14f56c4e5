"""Segments that come ready: where a buyer stands, and who buys much and often."""

from __future__ import annotations

from typing import Any

from crm.core.i18n import _l


def ready_made(currency: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Slug, name and rule of each; sums are in the shop's currency."""
    recent = {"kind": "orders", "of": "last", "op": "within_last", "ago": "90d"}
    old = {"kind": "orders", "of": "last", "op": "longer_ago"}
    often, much = {"kind": "orders", "value": 4, "within": "365d"}, {"kind": "orders", "of": "revenue", "value": 1000, "currency": currency, "within": "365d"}
    return [
        ("buyers-new", _l("New buyers"), {"kind": "orders", "of": "first", "op": "within_last", "ago": "30d"}),
        ("buyers-active", _l("Active buyers"), recent),
        ("buyers-slipping", _l("Slipping away"), {"all": [old | {"ago": "90d"}, {"kind": "orders", "of": "last", "op": "within_last", "ago": "180d"}]}),
        ("buyers-lost", _l("Lost buyers"), old | {"ago": "180d"}),
        ("buyers-best", _l("Best buyers: lately, often and much"), {"all": [recent, often, much]}),
        ("buyers-best-quiet", _l("Best buyers who went quiet"), {"all": [often, much, {"not": recent}]}),
        ("cart-left", _l("Left a cart behind"), {"kind": "cart", "lain": "1h"}),
    ]
