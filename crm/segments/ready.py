"""Segments that come ready: where a buyer stands, and who buys much and often."""

from __future__ import annotations

from typing import Any

from crm.core.i18n import _l

STAGES = {
    "visitor": _l("Lifecycle: visitors"), "first_order": _l("Lifecycle: first order"), "repeat": _l("Lifecycle: second order"), "loyal": _l("Lifecycle: loyal"),
    "at_risk": _l("Lifecycle: at risk"), "lost": _l("Lifecycle: lost"),
}  # fmt: skip
RFM: dict[str, tuple[str, dict[str, int]]] = {
    "champions": (_l("RFM: champions"), {"recency_from": 4, "frequency_from": 4, "money_from": 4}),
    "loyal": (_l("RFM: buy often"), {"recency_from": 3, "frequency_from": 4}),
    "promising": (_l("RFM: new and promising"), {"recency_from": 4, "frequency_to": 2}),
    "big-spenders": (_l("RFM: spend most"), {"money_from": 5}),
    "cannot-lose": (_l("RFM: not to be lost"), {"recency_to": 2, "frequency_from": 4, "money_from": 4}),
    "asleep": (_l("RFM: asleep"), {"recency_to": 2, "frequency_to": 2}),
}


def ready_made(currency: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Slug, name and rule of each; sums are in the shop's currency."""
    recent = {"kind": "orders", "of": "last", "op": "within_last", "ago": "90d"}
    old = {"kind": "orders", "of": "last", "op": "longer_ago"}
    ending = {"name": "contract_end", "op": "within_next", "value": "60d"}
    often, much = {"kind": "orders", "value": 4, "within": "365d"}, {"kind": "orders", "of": "revenue", "value": 1000, "currency": currency, "within": "365d"}
    return [
        ("buyers-new", _l("New buyers"), {"kind": "orders", "of": "first", "op": "within_last", "ago": "30d"}),
        ("buyers-active", _l("Active buyers"), recent),
        ("buyers-slipping", _l("Slipping away"), {"all": [old | {"ago": "90d"}, {"kind": "orders", "of": "last", "op": "within_last", "ago": "180d"}]}),
        ("buyers-lost", _l("Lost buyers"), old | {"ago": "180d"}),
        ("buyers-best", _l("Best buyers: lately, often and much"), {"all": [recent, often, much]}),
        ("buyers-best-quiet", _l("Best buyers who went quiet"), {"all": [often, much, {"not": recent}]}),
        *((f"lifecycle-{stage.replace('_', '-')}", name, {"kind": "computed", "name": "lifecycle", "value": stage}) for stage, name in STAGES.items()),
        *((f"rfm-{slug}", name, {"kind": "rfm"} | fifths) for slug, (name, fifths) in RFM.items()),
        ("offers-email", _l("May get offers by e-mail"), {"kind": "consent", "topic": "offers"}),
        ("cart-left", _l("Left a cart behind"), {"kind": "cart", "lain": "1h"}),
        ("contract-ending", _l("Contract ends within sixty days"), {"any": [{"kind": "trait"} | ending, {"kind": "account", "role": "buyer"} | ending]}),
    ]
