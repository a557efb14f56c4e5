"""Deals move along their pipeline; what they will bring, and how wrong that was before, follows from the stage log."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import event, text

from crm.core.errors import InvalidError, NotFoundError
from crm.sales import board, buying, deals, forecast
from crm.sales.deals import By, NewDeal
from tests import makers

ME = By(user_id=1)


@pytest.fixture
def dana(sales):
    sales.lead(source="fair", at=sales.now - dt.timedelta(hours=1))
    return sales.who("dana@example.com")


def opened(sales, who, amount=1000, *, at=None, stage="", closes_on=None, title="Boxes"):
    return deals.open_deal(sales.session, NewDeal(who, title, "ILS", Decimal(amount), stage=stage, closes_on=closes_on), by=ME, now=at or sales.now)


def test_a_deal_brings_owner_source_and_company_of_its_lead(sales, session, dana):
    session.execute(text("UPDATE leads SET owner_id = 7"))
    deal = opened(sales, dana)
    assert (deal.owner_id, deal.source, deal.status) == (7, "fair", "open")


def test_every_move_is_kept_and_said(sales, session, dana):
    deal = opened(sales, dana)
    deals.move(session, deal.id, to="quote", by=ME, now=sales.now)
    deals.move(session, deal.id, to="quote", by=ME, now=sales.now)
    deals.close(session, deal.id, won=True, by=ME, now=sales.now)
    deals.close(session, deal.id, won=True, by=ME, now=sales.now)
    sales.works()
    assert [move.status for move in deals.moves(session, deal.id)] == ["open", "open", "won"]
    assert [said["was"] for said in sales.events("Deal Stage Changed")] == [None, "new"]
    assert len(sales.events("Deal Won")) == 1
    assert sales.of("dana@example.com").status == "won"


def test_a_deal_is_changed_as_it_stands_not_as_it_was_read_before_its_lock(sales, session, dana):
    deal = opened(sales, dana)
    session.flush()
    session.execute(text("UPDATE deals SET status = 'won', closed_at = :now WHERE id = :id"), {"now": sales.now, "id": deal.id})  # as another request leaves it
    deals.move(session, deal.id, to="quote", by=ME, now=sales.now)
    session.expire_all()
    assert (deal.status, deal.closed_at) == ("open", None)


def test_lost_needs_a_reason_and_a_stage_must_exist(sales, session, dana):
    deal = opened(sales, dana)
    with pytest.raises(InvalidError, match="why it was lost"):
        deals.close(session, deal.id, won=False, by=ME, now=sales.now)
    with pytest.raises(NotFoundError):
        deals.move(session, deal.id, to="nowhere", by=ME, now=sales.now)


def test_the_board_shows_the_largest_first_with_sums(sales, session, dana):
    opened(sales, dana, 100)
    opened(sales, dana, 900, at=sales.now - dt.timedelta(days=30))
    [first, *_] = board.board(session, "sales", owner=None, shop="ILS", now=sales.now)
    assert [card.amount for card in first.cards] == [900, 100]
    assert (first.count, first.sums) == (2, [("ILS", Decimal(1000))])
    assert [card.late for card in first.cards] == [True, False]
    assert board.board(session, "sales", owner=99, shop="ILS", now=sales.now)[0].count == 0


def test_the_forecast_weighs_each_deal_by_its_stage(sales, session, dana):
    day = dt.date(2031, 5, 20)
    opened(sales, dana, 1000, stage="quote", closes_on=day)
    opened(sales, dana, 1000, stage="terms", closes_on=day)
    pipeline = board.pipelines(session)[0]
    [coming] = forecast.coming(session, pipeline.id, shop="ILS", now=sales.now)
    assert (coming.month, coming.amount, coming.weighted) == (dt.date(2031, 5, 1), 2000, 1300)


def test_the_past_forecast_is_what_stood_on_the_months_first_day(sales, session, dana):
    now = dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC)
    april, may = dt.datetime(2026, 4, 15, tzinfo=dt.UTC), dt.datetime(2026, 5, 10, tzinfo=dt.UTC)
    won = opened(sales, dana, 1000, at=april, stage="quote", closes_on=dt.date(2026, 5, 20))
    lost = opened(sales, dana, 400, at=april, stage="terms", closes_on=dt.date(2026, 5, 25))
    opened(sales, dana, 9000, at=may, stage="terms", closes_on=dt.date(2026, 5, 30))  # not there on the first
    deals.close(session, won.id, won=True, by=ME, now=may)
    deals.close(session, lost.id, won=False, reason="Price", by=ME, now=may)
    pipeline = board.pipelines(session)[0]
    [past] = forecast.past(session, pipeline.id, shop="ILS", zone="UTC", now=now)
    assert (past.month, past.forecast, past.won, past.error) == (dt.date(2026, 5, 1), 820, 1000, pytest.approx(-0.18))
    assert forecast.mean_error([past]) == pytest.approx(0.18)
    log = {one.name: (one.came, one.lost) for one in forecast.stage_log(session, pipeline.id, since=april)}
    assert log["Terms agreed"] == (2, 1)
    closed = forecast.closed(session, pipeline.id, since=april)
    assert (closed.won, closed.lost, closed.median_days) == (1, 1, 25)
    assert forecast.lost_reasons(session, pipeline.id, since=april) == [("Price", 1)]
    assert [(one.source, one.won, one.lost) for one in forecast.by_source(session, pipeline.id, shop="ILS", since=april)] == [("fair", 1, 1)]


def test_leads_by_source_say_what_one_cost(sales, session):
    for number in range(4):
        sales.lead(f"p{number}@example.com", source="fair", cost=10, currency="ILS")
    [row] = board.sources(session, shop="ILS", since=sales.now - dt.timedelta(days=1), now=sales.now)
    assert (row.source, row.leads, row.cost, row.per_lead) == ("fair", 4, 40, 10)


def test_a_company_without_an_approver_says_so_and_scores_lower(sales, session):
    group = {"name": "Acme", "role": "buyer"}
    for who, role in (("a", "buyer"), ("b", "payer")):
        sales.happens(makers.Call(type="group", user_id=who, group_id="acme", traits=group | {"role": role}, timestamp=sales.now.isoformat()))
    account = session.execute(text("SELECT id FROM accounts")).scalar()
    ids = session.scalars(text("SELECT profile_id FROM account_members ORDER BY role")).all()
    for one in ids:
        session.execute(
            text("INSERT INTO scores (profile_id, kind, probability, band, reasons, at) VALUES (:i, 'lead', 0.5, 'warm', '[]', :now)"),
            {"i": one, "now": sales.now},
        )
    found = buying.group(session, account, now=sales.now)
    assert (found.missing, found.silent, found.covered, found.chance) == (["approver"], [], 2, pytest.approx(0.75 * 0.75))
    late = buying.group(session, account, now=sales.now + dt.timedelta(days=60))
    assert (late.silent, late.chance) == (["buyer", "payer"], None)
    buying.set_owners(session, account, [3, 4])
    assert buying.group(session, account, now=sales.now).owners == [3, 4]


def test_somebody_at_many_companies_costs_no_more_questions_than_at_one(sales, session):
    asked: list[str] = []
    counts = []
    for turn, company in enumerate(("acme", "bolt", "corp"), 1):
        said = {"name": company, "role": "buyer"}
        sales.happens(makers.Call(type="group", user_id="a", group_id=company, traits=said, timestamp=(sales.now - dt.timedelta(hours=9 - turn)).isoformat()))
        who = session.scalars(text("SELECT DISTINCT profile_id FROM account_members")).one()
        if turn == 1:
            event.listen(session.connection(), "before_cursor_execute", lambda *args: asked.append(args[2]))
        asked.clear()
        found = buying.of_profile(session, who, now=sales.now)
        counts.append(len(asked))
    assert ([one.name for one in found], counts[0], counts[2]) == (["acme", "bolt", "corp"], 4, 4)


def test_what_journeys_ask_of_many_is_done_in_as_many_questions_as_for_one(sales, session):
    people = [sales.lead(f"p{n}@example.com", at=sales.now).profile_id for n in range(6)]

    def asks(some, act):
        asked = []
        count = lambda *said: asked.append(said[2])  # noqa: E731  one name for one expression
        event.listen(session.connection(), "before_cursor_execute", count)
        wishes = [deals.Asked(who, act, f"{act}:{who}", title="Boxes", currency="ILS", stage="quote" if act == "move" else "") for who in some]
        assert deals.apply(session, wishes, now=sales.now) == {}
        event.remove(session.connection(), "before_cursor_execute", count)
        return len(asked)

    assert asks(people[1:], "open") <= asks(people[:1], "open") + 1
    assert asks(people[1:], "move") <= asks(people[:1], "move") + 1
    assert asks(people, "won") < 12
    assert session.scalars(text("SELECT status FROM deals")).all() == ["won"] * 6


def test_two_wishes_for_one_person_follow_each_other_and_a_wrong_one_is_named(sales, session, dana):
    both = [
        deals.Asked(dana, "open", "a", title="Boxes", currency="ILS"),
        deals.Asked(dana, "move", "b", stage="quote"),
        deals.Asked(dana, "move", "c", stage="no"),
    ]
    assert deals.apply(session, both, now=sales.now).keys() == {"c"}
    assert session.scalar(text("SELECT s.slug FROM deals d JOIN stages s ON s.id = d.stage_id")) == "quote"
