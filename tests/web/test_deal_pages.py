"""A deal's page and its forms: opened, changed, lost for a reason, and nothing typed is lost."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from crm.sales import deals
from crm.sales.deal_models import Deal
from tests.web.sales_shop import open_lead


@pytest.fixture
def shop(session, people):
    return open_lead(session, people["sales"])


def test_a_deal_of_somebody_who_left_is_shown_and_closed(shop, browser_as, session):
    browser = browser_as("sales")
    browser.post("/deals/new", person=shop.dana, title="One", currency="ILS")
    deal = session.scalars(select(Deal)).one()
    session.execute(text("UPDATE deals SET profile_id = gen_random_uuid()"))
    assert "Without a name" in browser.get(f"/deals/{deal.id}").text
    assert browser.post(f"/deals/{deal.id}", title="Two", currency="?").status_code == 400
    assert browser.post(f"/deals/{deal.id}/stage", stage="lost", reason="Price").status_code == 302


def test_a_deal_keeps_an_owner_who_takes_no_leads_any_more(shop, browser_as, session, people):
    browser, yossi = browser_as("sales"), people["sales"].id
    browser.post("/deals/new", person=shop.dana, title="One", currency="ILS", owner=yossi)
    session.execute(text("UPDATE sellers SET active = false"))
    deal = session.scalars(select(Deal)).one()
    assert f'<option value="{yossi}" selected>' in browser.get(f"/deals/{deal.id}").text
    assert browser.post(f"/deals/{deal.id}", title="Two", currency="ILS", owner=yossi).status_code == 302
    session.refresh(deal)
    assert (deal.title, deal.owner_id) == ("Two", yossi)


def test_a_deal_is_opened_moved_and_lost_for_a_reason(shop, browser_as, session):
    browser = browser_as("sales")
    assert browser.get(f"/deals/new?person={shop.dana}").status_code == 200
    answer = browser.post("/deals/new", person=shop.dana, title="60 boxes", currency="ILS", item=["Box", "Logo"], quantity=["60", "1"], price=["68", "220"])
    deal = session.scalars(select(Deal)).one()
    assert answer.location == f"/deals/{deal.id}"
    assert (deal.amount, deal.source) == (4300, "fair")
    browser.post(f"/deals/{deal.id}/stage?who=mine", stage="quote")
    answer = browser.post(f"/deals/{deal.id}/stage", stage="lost", reason=" ")
    assert (answer.status_code, 'id="reason-e" role="alert"' in answer.text, "60 boxes" in answer.text) == (400, True, True)
    session.refresh(deal)
    assert deal.status == "open"
    browser.post(f"/deals/{deal.id}/stage", stage="lost", reason="Price")
    session.refresh(deal)
    assert (deal.status, deal.lost_reason, len(deals.moves(session, deal.id))) == ("lost", "Price", 3)
    assert "Price" in browser.get("/deals/report").text
    assert browser.get(f"/deals/{deal.id}").status_code == 200


TYPED = {"title": "Sixty boxes", "currency": "ILS", "item": ["Box", ""], "quantity": ["60", ""], "price": ["68", ""], "closes_on": "2026-12-01"}


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"item": ["", ""], "amount": "99999999999999999999"}, "is no number of this kind"),
        ({"price": ["68 each", ""]}, "is no number of this kind"),
        ({"price": ["9999999999", ""], "quantity": ["9999999999", ""]}, "more than a deal can hold"),
        ({"currency": "shekel"}, "three letters"),
        ({"closes_on": "soon"}, "This is no day"),
    ],
)
def test_a_mistake_in_a_deal_s_form_loses_nothing_that_was_typed(shop, browser_as, session, mistake, said):
    browser = browser_as("sales")
    form = TYPED | mistake
    kept = [form["title"], *(mistake.get("price") or [mistake.get("amount", "Sixty")])[:1]]
    answer = browser.post("/deals/new", person=shop.dana, **form)
    assert (answer.status_code, said in answer.text, [one for one in kept if one not in answer.text]) == (400, True, [])
    assert session.scalars(select(Deal)).all() == []
    browser.post("/deals/new", person=shop.dana, title="One", currency="ILS")
    deal = session.scalars(select(Deal)).one()
    answer = browser.post(f"/deals/{deal.id}", **form)
    assert (answer.status_code, said in answer.text, [one for one in kept if one not in answer.text]) == (400, True, [])
    session.refresh(deal)
    assert deal.title == "One"
