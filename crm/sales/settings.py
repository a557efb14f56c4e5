"""How this company sells, as one value: who hands over what, how fast an answer is promised, how leads are shared out."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.sales.hours import Hours

RULES = {
    "account_owner": _l("To whoever looks after their company"),
    "territory": _l("By territory: city or country"),
    "language": _l("By language"),
    "capacity": _l("To whoever has most room"),
    "round_robin": _l("In turn"),
}
RuleKind = Literal["account_owner", "territory", "language", "capacity", "round_robin"]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """What it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AssignRule(Strict):
    """One way to find an owner. `sources` narrows it to leads from there, `people` to these users; empty means all."""

    kind: RuleKind
    sources: tuple[Word, ...] = ()
    people: tuple[int, ...] = ()


class SalesSettings(Strict):
    """Everything the settings page asks."""

    score: str = Field(default="lead", max_length=60)  # the kind whose chance orders the queue
    typical: Decimal = Field(default=Decimal(300), ge=0, le=10**12)  # what a sale is usually worth in the shop's currency, where nothing says more
    mql: str = Field(default="", max_length=100)  # the segment that marketing hands over
    sql: str = Field(default="", max_length=100)  # the segment that sales calls qualified
    answer_minutes: int = Field(default=60, ge=1, le=43_200)  # working minutes until a new lead is answered
    escalate_minutes: int = Field(default=30, ge=0, le=43_200)  # past due until the next one up hears of it
    escalate_to: int | None = None
    reassign_late: bool = False  # what stays late goes to somebody else
    weekdays: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (6, 0, 1, 2, 3)
    starts: int = Field(default=540, ge=0, le=1440)
    ends: int = Field(default=1080, ge=0, le=1440)
    off_duty: Literal["give", "wait"] = "give"
    half_life_days: int = Field(default=14, ge=1, le=365)
    hot_pages: tuple[Word, ...] = ("/pricing", "/quote", "/contact")
    alert_mail: bool = True
    order_wins: bool = True  # an order of a lead without an open deal is a sale
    lost_reasons: tuple[Word, ...] = (_l("Price"), _l("Bought elsewhere"), _l("No need any more"), _l("No answer"), _l("Wrong person"))
    rules: tuple[AssignRule, ...] = (AssignRule(kind="account_owner"), AssignRule(kind="language"), AssignRule(kind="round_robin"))

    def hours(self, zone: str) -> Hours:
        """When this company works."""
        return Hours(self.weekdays, self.starts, self.ends, zone)

    @property
    def answer_within(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.answer_minutes)


def read(session: Session) -> SalesSettings:
    """As they are kept, or the defaults."""
    value = session.scalar(text("SELECT value FROM sales_settings WHERE id = 1"))
    return SalesSettings.model_validate(value) if value else SalesSettings()


def save(session: Session, value: object, now: dt.datetime) -> SalesSettings:
    """Keep them; InvalidError names the field that is wrong."""
    try:
        made = SalesSettings.model_validate(value)
    except ValidationError as error:
        one = error.errors()[0]
        raise InvalidError(f"{'.'.join(map(str, one['loc']))}: {one['msg']}") from error
    session.execute(text(_SAVE), {"value": dumps(made.model_dump(mode="json")), "now": now})
    return made


_SAVE = """
INSERT INTO sales_settings (id, value, changed_at) VALUES (1, CAST(:value AS jsonb), :now)
ON CONFLICT (id) DO UPDATE SET (value, changed_at) = (excluded.value, excluded.changed_at)
"""
