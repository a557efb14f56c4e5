"""How much somebody does, in points that fade: works from the first day."""

from __future__ import annotations

from crm.core.i18n import _l
from crm.scores.score import Score


class Engagement(Score):
    """Rules, for everybody known; never a chance of anything."""

    kind = "engagement"
    title = _l("Engagement")
    about = _l("Everybody known: points for what they do, half of them gone after two weeks.")


plugin = Engagement()
