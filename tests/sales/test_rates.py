"""Other currencies count at the rate of their day; without one they stand beside, never in, another sum."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import text

from crm.commerce import rates
from crm.core.errors import InvalidError
from crm.sales import board, bought, deals, forecast, queue, rank, settings
from crm.sales.models import Lead
from crm.sales.queue import Filters
from crm.scores import apply
from tests import makers
from tests.makers import track

DAY = dt.timedelta(days=1)


@pytest.fixture
def dana(sales):
    sales.lead(source="fair", at=sales.now - DAY)
    return sales.who("dana@example.com")


def opened(sales, who, amount, currency, *, at=None, **said):
    new = deals.NewDeal(who, "Boxes", currency, Decimal(amount), stage="quote", **said)
    made = deals.open_deal(sales.session, new, by=deals.By(1), now=at or sales.now)
    assert made is not None
    return made


def test_the_latest_rate_up_to_a_day_counts(session, now):
    rates.put(session, "usd", "3.5", day=now.date() - 10 * DAY, shop="ILS")
    rates.put(session, "USD", "3.9", day=now.date(), shop="ILS")
    rates.put(session, "USD", "3.7", day=now.date(), shop="ILS")
    rates.put(session, "VND", "1,234.5", day=now.date(), shop="ILS")
    assert rates.at(session, now.date())["VND"] == Decimal("1234.5")
    found = [rates.at(session, now.date() + days * DAY).get("USD") for days in (-11, -1, 0, 9)]
    assert found == [None, Decimal("3.5"), Decimal("3.7"), Decimal("3.7")]


@pytest.mark.parametrize(
    ("currency", "rate"), [("ILS", "1"), ("dollar", "3"), ("USD", "0"), ("USD", "-3"), ("USD", "inf"), ("USD", "1e12"), ("USD", "much"), ("USD", "3,7")]
)
def test_what_is_no_rate_is_refused(session, now, currency, rate):
    with pytest.raises(InvalidError):
        rates.put(session, currency, rate, day=now.date(), shop="ILS")


def test_sums_without_a_rate_stand_beside(session, now):
    rates.put(session, "USD", "3.7", day=now.date(), shop="ILS")
    sums = [(Decimal(10), "USD"), (Decimal(5), "ILS"), (Decimal(7), "EUR"), (Decimal(1), "EUR")]
    assert rates.total(session, sums, day=now.date(), shop="ILS") == [(Decimal(42), "ILS"), (Decimal(8), "EUR")]


def test_board_and_forecast_count_in_the_shops_currency_what_has_a_rate(sales, session, dana):
    rates.put(session, "USD", "4", day=sales.now.date(), shop="ILS")
    for amount, currency in ((1000, "ILS"), (300, "USD"), (100, "EUR")):
        opened(sales, dana, amount, currency, closes_on=dt.date(2031, 5, 20))
    column = next(one for one in board.board(session, "sales", owner=None, shop="ILS", now=sales.now) if one.count)
    assert column.sums == [("ILS", Decimal(2200)), ("EUR", Decimal(100))]
    assert [card.currency for card in column.cards] == ["USD", "ILS", "EUR"]
    coming = forecast.coming(session, board.pipelines(session)[0].id, shop="ILS", now=sales.now)
    assert [(one.currency, one.deals, one.amount, one.weighted) for one in coming] == [("ILS", 2, 2200, 1100), ("EUR", 1, 100, 50)]


def test_a_rate_that_moved_makes_no_forecast_wrong(sales, session, dana):
    month = (sales.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - DAY).replace(day=1)
    rates.put(session, "USD", "4", day=month.date() - 60 * DAY, shop="ILS")
    rates.put(session, "USD", "2", day=month.date() + 5 * DAY, shop="ILS")
    deal = opened(sales, dana, 100, "USD", at=month - DAY, closes_on=month.date() + 9 * DAY)
    session.execute(text("UPDATE stages SET probability = 1"))
    deals.close(session, deal.id, won=True, by=deals.By(1), now=month + 9 * DAY)
    pipeline = board.pipelines(session)[0].id
    past = forecast.past(session, pipeline, shop="ILS", zone="UTC", now=sales.now)
    assert [(one.currency, one.forecast, one.won, one.error) for one in past] == [("ILS", 400, 400, 0)]
    assert [(one.currency, one.amount) for one in forecast.by_source(session, pipeline, shop="ILS", since=month)] == [("ILS", 200)]


def test_a_lead_is_worth_what_its_deals_and_score_say_in_the_shops_currency(sales, session, dana):
    def worth():
        rank.refresh(session, profile_ids=[dana], shop="ILS", now=sales.now)
        session.expire_all()
        return session.get(Lead, dana).worth

    score = """INSERT INTO scores (profile_id, kind, probability, band, expected_value, currency, reasons, at)
        VALUES (:id, 'lead', .5, 'warm', 80, 'USD', '[]', :now)"""
    session.execute(text(score), {"id": dana, "now": sales.now})
    assert worth() == settings.read(session).typical / 2, "no rate: by the chance and a usual sale"
    rates.put(session, "USD", "4", day=sales.now.date(), shop="ILS")
    assert worth() == 320
    opened(sales, dana, 100, "EUR")
    assert worth() == 320
    opened(sales, dana, 100, "USD")
    opened(sales, dana, 50, "ILS")
    assert worth() == 225


def test_points_are_no_money_in_the_list_where_the_only_deal_has_no_rate(sales, session, dana):
    points = "INSERT INTO scores (profile_id, kind, probability, band, reasons, at) VALUES (:id, 'lead', .5, 'warm', '[]', :now)"
    session.execute(text(points), {"id": dana, "now": sales.now})
    opened(sales, dana, 100, "EUR")

    def shown():
        rank.refresh(session, profile_ids=[dana], shop="ILS", now=sales.now)
        return [row.worth for row in queue.page(session, Filters("all"), shop="ILS", now=sales.now).rows]

    assert shown() == [None]
    rates.put(session, "EUR", "4", day=sales.now.date() + DAY, shop="ILS")
    assert shown() == [None]
    rates.put(session, "EUR", "4", day=sales.now.date(), shop="ILS")
    assert shown() == [200]


def test_what_leads_cost_is_added_up_at_the_rate_of_their_day(sales, session):
    rates.put(session, "USD", "4", day=sales.now.date() - 9 * DAY, shop="ILS")
    for number, currency in enumerate(("ILS", "USD", "EUR")):
        sales.lead(f"p{number}@example.com", source="fair", cost=10, currency=currency)
    rows = board.sources(session, shop="ILS", since=sales.now - DAY, now=sales.now)
    assert {(row.leads, row.cost, row.currency) for row in rows} == {(2, 50, "ILS"), (1, 10, "EUR")}


def test_orders_count_at_the_rate_of_their_day_and_without_one_stand_beside(sales, dana):
    for place, (currency, revenue, days) in enumerate((("ILS", 100, 1), ("USD", 50, 9), ("USD", 50, 40), ("EUR", 7, 2))):
        order = {"order_id": f"o{place}", "revenue": revenue, "currency": currency}
        sales.happens(track("Order Completed", order, at=sales.now - days * DAY, user_id="dana@example.com", email="dana@example.com"), origin="history")
    rates.put(sales.session, "USD", "4", day=sales.now.date() - 10 * DAY, shop="ILS")
    rates.put(sales.session, "USD", "3", day=sales.now.date() - 50 * DAY, shop="ILS")
    rates.put(sales.session, "USD", "9", day=sales.now.date(), shop="ILS")
    found = bought.within_a_year(sales.session, dana, shop="ILS", zone="Asia/Jerusalem", now=sales.now)
    assert [(float(one.amount), one.currency, one.orders) for one in found] == [(450, "ILS", 3), (7, "EUR", 1)]
    assert apply.shop_of(sales.session, makers.config(), sales.now).worth == 150, "the euro has no rate, and is no part of what an order brings"
