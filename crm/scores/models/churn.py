"""Whether a buyer stays away for 90 days."""

from __future__ import annotations

from crm.core.i18n import _l
from crm.scores.score import Label, Score


class Churn(Score):
    """For those who ordered within a year."""

    kind = "churn"
    title = _l("Stays away for 90 days")
    about = _l("Whoever ordered within a year: no further order within 90 days.")
    label = Label(events=("Order Completed",), days=90, happens=False)
    buyers_only = True


plugin = Churn()
