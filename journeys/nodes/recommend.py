"""Choose articles to show somebody: later messages find them in the run's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Ask, Node, Recommend, Run, Sentence, Settings, Step


class RecommendSettings(Settings):
    """Templates of later nodes read `data.run.<this node>.products`: name, price, currency, image_url, url."""

    basis: Literal["start", "cart", "viewed", "bought"] = Field(default="start", title=_l("Going on from"))
    many: int = Field(default=3, ge=1, le=12, title=_l("Articles at most"))
    cheaper: bool = Field(default=False, title=_l("Only cheaper ones of the same category"))


WORDS = {
    "start": _l("what goes with the product of the start"),
    "cart": _l("what goes with the cart"),
    "viewed": _l("what goes with what was looked at last"),
    "bought": _l("what goes with what was bought last"),
}
CHEAPER = {
    "start": _l("cheaper than the product of the start"),
    "cart": _l("cheaper than what is in the cart"),
    "viewed": _l("cheaper than what was looked at last"),
    "bought": _l("cheaper than what was bought last"),
}


class RecommendProducts(Node[RecommendSettings]):
    """Only what is in stock and not theirs yet. Exits: `next` with articles, `none` where nothing fits."""

    kind = "recommend"
    title = _l("Recommend products")
    icon = "package"
    group = _l("Ways")
    settings_type = RecommendSettings

    def exits(self, settings: RecommendSettings) -> Mapping[str, str]:
        """Two."""
        return {"next": _l("articles were found"), "none": _l("nothing fits")}

    def step(self, settings: RecommendSettings, run: Run) -> Step:
        """Ask once."""
        if not run.asked:
            return Ask(Recommend(settings.basis, settings.many, settings.cheaper))
        products = run.answer if isinstance(run.answer, list) else []
        brought = {"products": products}
        return Advance("next" if products else "none", why={"articles": [each.get("variant_id") for each in products]}, brings=brought)

    def summary(self, settings: RecommendSettings) -> Sentence:
        """What, from what."""
        return Sentence((CHEAPER if settings.cheaper else WORDS)[settings.basis])


plugin = RecommendProducts()
