"""Give a code of a pool: everybody another one, the same person the same one for the same thing."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Ask, Coupon, Node, Run, Sentence, Settings, Step


class CouponSettings(Settings):
    """Which pool; templates of later nodes read `data.coupon.code`."""

    pool: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$", title=_l("Pool of codes"), json_schema_extra={"x-suggest": "pool"})
    per_person: int | None = Field(default=None, ge=1, le=1000, title=_l("At most so many for a person"), description=_l("Over all journeys; empty: no limit."))


class GiveCoupon(Node[CouponSettings]):
    """Exits: `next` with a code, `none` where the pool is empty, or the person had enough of it."""

    kind = "coupon"
    title = _l("Give a coupon")
    icon = "ticket"
    group = _l("Changes")
    effects = True
    settings_type = CouponSettings

    def exits(self, settings: CouponSettings) -> Mapping[str, str]:
        """Two."""
        return {"next": _l("a code was given"), "none": _l("no code was left")}

    def step(self, settings: CouponSettings, run: Run) -> Step:
        """Ask once."""
        if not run.asked:
            return Ask(Coupon(settings.pool, settings.per_person))
        if run.answer is False:
            return Advance("none", why={"limit": settings.per_person, "pool": settings.pool})
        return Advance("next" if run.answer else "none", why={"code": run.answer, "pool": settings.pool})

    def summary(self, settings: CouponSettings) -> Sentence:
        """From where."""
        return Sentence(_l("A code of “%(pool)s”"), {"pool": settings.pool})


plugin = GiveCoupon()
