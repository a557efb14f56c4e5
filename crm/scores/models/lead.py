"""Whether somebody buys, or a deal with them is won, within 30 days."""

from __future__ import annotations

from crm.core.i18n import _l
from crm.scores.score import Label, Score


class Lead(Score):
    """For everybody known: whom to call first."""

    kind = "lead"
    title = _l("Buys within 30 days")
    about = _l("Everybody known: an order, or a deal won, within 30 days.")
    label = Label(events=("Order Completed", "Deal Won"), days=30)
    has_value = True


plugin = Lead()
