"""Whether a buyer orders again within 60 days."""

from __future__ import annotations

from crm.core.i18n import _l
from crm.scores.score import Label, Score


class NextOrder(Score):
    """For those who ordered within a year."""

    kind = "next_order"
    title = _l("Orders again within 60 days")
    about = _l("Whoever ordered within a year: another order within 60 days.")
    label = Label(events=("Order Completed",), days=60)
    buyers_only = True
    has_value = True


plugin = NextOrder()
