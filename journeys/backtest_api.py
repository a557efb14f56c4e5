"""`/backtests` of the API: what a journey would have done, and whether runs of then can be told from the log."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.web.api.operation import Items, Wanted, blueprint, operation
from journeys import backtest, drafts
from journeys.backtest_models import Backtest
from journeys.zones import Instant

bp = blueprint("backtests")
MAKERS = ("admin", "marketer")


@dataclass(frozen=True, slots=True)
class BacktestView:
    """A backtest: where it stands (`done` of `total` people), and its report once it is done. Reasons are codes."""

    id: int
    kind: str
    version: int | None
    since: dt.datetime
    until: dt.datetime
    settings: Mapping[str, Any]
    status: str
    done: int
    total: int
    error: str
    created_at: dt.datetime
    created_by: str | None
    ended_at: dt.datetime | None
    report: Mapping[str, Any]


class Asked(Wanted):
    """A period, what to find out, and of which drawing."""

    since: Instant
    until: Instant
    kind: Literal["what_if", "replay"] = Field("what_if", description="`replay` decides the runs of then anew and lists every difference.")
    draft: bool = Field(False, description="The draft instead of the published version.")
    too_many: int = Field(backtest.TOO_MANY, ge=1, le=100, description="More messages a day to one person than this are told as collisions.")
    consent: Literal["then", "now"] = "then"
    beside: bool = Field(True, description="Let the other live journeys play too, to see whom they meet.")


class Nothing(Wanted):
    """No more is needed."""


class Price(Wanted):
    """What one message costs; null takes the price away."""

    channel: str = Field(pattern="^[a-z][a-z0-9_]{0,39}$")
    price: Decimal | None = Field(ge=0, max_digits=20, decimal_places=6)
    currency: str = Field(pattern="^[A-Z]{3}$")


@dataclass(frozen=True, slots=True)
class PriceView:
    """What one message over a channel costs."""

    channel: str
    price: str
    currency: str


@operation(
    bp, "/journeys/<slug>/backtests", answer=BacktestView, body=Asked, roles=MAKERS, summary="Ask what a journey would have done in a period", finds=True
)
def ask(session: Session, *, slug: str, body: Asked, now: dt.datetime) -> BacktestView:
    """It runs on the workers; look at `status`."""
    chosen = {"too_many": body.too_many, "consent": body.consent, "beside": body.beside}
    row = backtest.ask(session, slug, kind=body.kind, period=(body.since, body.until), settings=chosen, now=now, by="API", draft=body.draft)
    return _view(row)


@operation(bp, "/journeys/<slug>/backtests", answer=Items[BacktestView], roles=MAKERS, summary="The latest backtests of a journey, newest first", finds=True)
def backtests(session: Session, *, slug: str, now: dt.datetime) -> Items[BacktestView]:
    """Twenty at most."""
    del now
    return Items(items=[_view(row) for row in backtest.latest(session, drafts.find(session, slug))])


@operation(bp, "/backtests/<number>", answer=BacktestView, roles=MAKERS, summary="One backtest with its report", finds=True)
def one_backtest(session: Session, *, number: str, now: dt.datetime) -> BacktestView:
    """That one."""
    del now
    return _view(_row(session, number))


@operation(bp, "/backtests/<number>/cancel", answer=BacktestView, body=Nothing, roles=MAKERS, summary="Stop a backtest where it is", finds=True)
def cancel(session: Session, *, number: str, body: Nothing, now: dt.datetime) -> BacktestView:
    """One that is over stays as it is."""
    del body
    row = _row(session, number)
    backtest.cancel(session, row.id, now)
    session.refresh(row)
    return _view(row)


@operation(bp, "/channel-prices", answer=Items[PriceView], roles=MAKERS, summary="What a message costs, by channel")
def channel_prices(session: Session, *, now: dt.datetime) -> Items[PriceView]:
    """Those that are set."""
    del now
    return Items(items=[PriceView(channel, f"{price:f}", currency) for channel, (price, currency) in sorted(backtest.prices(session).items())])


@operation(bp, "/channel-prices", answer=Items[PriceView], body=Price, roles=MAKERS, summary="Say what a message over a channel costs")
def set_channel_price(session: Session, *, body: Price, now: dt.datetime) -> Items[PriceView]:
    """All prices afterwards."""
    backtest.set_price(session, body.channel, body.price, body.currency)
    return channel_prices(session, now=now)


def _row(session: Session, number: str) -> Backtest:
    row = session.get(Backtest, int(number)) if re.fullmatch(r"[0-9]{1,10}", number) and int(number) <= backtest.LAST else None
    if row is None:
        raise NotFoundError("There is no backtest with this number. `GET /api/v1/journeys/<slug>/backtests` lists those of a journey.")
    return row


def _view(row: Backtest) -> BacktestView:
    done, total = backtest.progress(row)
    return BacktestView(row.id, row.kind, row.version, row.from_at, row.to_at, row.settings, row.status, done, total, row.error, row.created_at, row.created_by,
                        row.ended_at, row.report)  # fmt: skip
