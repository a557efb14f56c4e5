"""The sales pages: everybody may look, those who sell act, and everything works without a script."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from html import unescape

import pytest
from sqlalchemy import event, insert, select, text

from crm.commerce.computed_models import ComputedTrait
from crm.core import clock
from crm.core.ids import new_id
from crm.messages.models import Message
from crm.profiles import accounts
from crm.profiles.models import Profile
from crm.sales import deals, settings
from crm.sales.deal_models import Deal
from crm.sales.models import Alert, Lead, SavedFilter, Seller, Task
from crm.segments.models import Segment
from crm.web.pages import leads
from crm.web.phrases import event_detail
from tests.scores.makers import own_score
from tests.web.sales_shop import open_lead

PAGES = (
    "/leads",
    "/leads?view=all",
    "/leads?view=nobody&sort=due",
    "/tasks",
    "/tasks?view=all",
    "/tasks?view=role",
    "/deals",
    "/deals/report",
    "/leads/sources",
    "/alerts",
)


@pytest.fixture
def shop(session, people):
    return open_lead(session, people["sales"])


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "he"])
def test_pages_show_in_both_languages(shop, browser_as, path, language):
    answer = browser_as("sales").get(path, language)
    assert answer.status_code == 200
    assert len(answer.data) < 100_000


def test_empty_pages_say_what_to_do_first(browser_as):
    browser = browser_as("sales")
    assert "Lead Created" in browser.get("/leads").text
    assert "No deal yet" in browser.get("/deals").text
    assert "Nothing to do" in browser.get("/tasks").text


def test_whoever_has_no_lead_is_led_to_those_that_nobody_has(shop, browser_as, session):
    session.execute(text("UPDATE leads SET owner_id = NULL"))
    session.commit()
    page = browser_as("sales").get("/leads").text
    assert "1 lead is on the list of nobody." in page
    assert 'class="btn btn-primary" href="/leads?view=nobody"' in page
    assert "Nobody takes leads yet" not in page, "somebody does"


def test_the_queue_opens_on_the_best_lead_with_everything_about_it(shop, browser_as, session):
    session.merge(ComputedTrait(profile_id=shop.dana, name="preferred_hour", value=23, events=7, computed_at=clock.now()))
    session.commit()
    page = browser_as("sales").get("/leads").text
    said = ("דנה אברהמי", "Answer due", "best reached", "17:00–18:00", "Usually active 23:00", "Place in the queue", "What happened", "tel:+972505550142")
    for words in (*said, "Open cart"):
        assert words in page


def test_in_hebrew_too_an_answer_that_is_overdue_is_no_order_to_answer_before_a_moment(shop, browser_as, session):
    session.execute(text("UPDATE leads SET owner_id = NULL, answer_by = now() - interval '5 minutes'"))
    session.commit()
    page = re.sub(r"<[^>]+>", "", browser_as("sales").get("/leads?view=all", "he").text)
    assert page.count("מועד המענה: לפני") == 2 and "· אף אחד" in page


def test_the_queue_asks_the_database_for_what_it_shows_alone(shop, browser_as, session):
    browser, asked = browser_as("sales"), []
    browser.get("/leads")
    event.listen(session.connection(), "before_cursor_execute", lambda *said: asked.append(said[2]))
    browser.get("/leads")
    assert not any("FROM orders WHERE" in one or "FROM links" in one for one in asked), "those of the whole profile; what is bought in a year is shown"
    assert 10 < len(asked) <= 31


def test_a_lead_alone_is_answered_to_a_script(shop, browser_as):
    page = browser_as("sales").get(f"/leads/{shop.dana}", HTTP_HX_TARGET="x", **{"HX-Target": "lead"}).text
    assert "<html" not in page
    assert "דנה אברהמי" in page


def test_a_viewer_looks_and_does_not_touch(shop, browser_as):
    browser = browser_as("viewer")
    assert "Log call" not in browser.get(f"/leads/{shop.dana}").text
    assert browser.post(f"/leads/{shop.dana}/call", outcome="reached").status_code == 403
    assert browser.get("/settings/sales").status_code == 403


def test_a_call_is_logged_and_the_next_action_planned(shop, browser_as, session):
    browser = browser_as("sales")
    answer = browser.post(f"/leads/{shop.dana}/call?view=all", outcome="reached", note="wants 60", when="tomorrow", then="mail")
    assert answer.location == f"/leads/{shop.dana}?view=all"
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.profile_id) == ("mail", shop.dana)
    assert session.get(Lead, shop.dana, populate_existing=True).status == "working"
    assert "1 of 40 today" in re.sub(r"<[^>]+>", "", browser.get("/leads").text)


def test_the_timeline_says_how_a_call_ended_and_what_became_of_the_lead(shop, session, browser_as):
    said = {
        "Call Logged": {"outcome": "reached", "note": "wants 60 boxes"},
        "Lead Status Changed": {"status": "qualified", "reason": "answered"},
        "Lead Assigned": {"owner_id": 3, "owner": "yossi@shop.example"},
        "Task Done": {"title": "First contact", "outcome": "reached"},
        "Deal Stage Changed": {"stage": "quote", "stage_name": "Quote sent"},
        "Deal Lost": {"reason": "Price"},
    }
    shown = {"שיחה": "נענתה: wants 60 boxes", "Status": "כשיר", "Owner": "yossi@shop.example", "Task": "פנייה ראשונה", "Stage": "נשלחה הצעה", "Lost": "מחיר"}
    browser = browser_as("sales")
    with browser.client.application.test_request_context(headers={"Accept-Language": "he"}):
        found = [str(event_detail(name, about)) for name, about in said.items()]
    assert [words in one for one, words in zip(found, shown.values(), strict=True)] == [True] * len(said), found


def test_a_call_is_taken_back_from_wherever_one_is_by_now(shop, browser_as, session):
    browser = browser_as("sales")
    browser.post(f"/leads/{shop.dana}/call", outcome="not_interested")
    assert session.get(Lead, shop.dana, populate_existing=True).status == "lost"
    assert "Take back the call with" in browser.get("/leads?view=all").text
    assert browser.post("/leads/undo?view=all").location == f"/leads/{shop.dana}?view=all"
    assert session.get(Lead, shop.dana, populate_existing=True).status == "new"
    assert "Take back the call with" not in browser.get("/leads?view=all").text
    assert "0 of 40 today" in re.sub(r"<[^>]+>", "", browser.get("/leads").text)
    assert browser.post("/leads/undo").status_code == 404


def test_without_a_time_nothing_is_planned_and_it_says_so(shop, browser_as, session):
    browser = browser_as("sales")
    browser.post(f"/leads/{shop.dana}/next", kind="call")
    assert "Choose when" in browser.get("/leads").text
    assert session.scalars(select(Task)).all() == []


def test_later_puts_the_lead_off(shop, browser_as, session):
    sales = browser_as("sales")
    sales.post(f"/leads/{shop.dana}/later", at="2031-01-01T09:00")
    for never in ("0001-01-01T00:00", "9999-12-31T23:59"):
        assert sales.post(f"/leads/{shop.dana}/later", at=never).status_code == 400
    lead = session.get(Lead, shop.dana, populate_existing=True)
    assert lead.next_at is not None and lead.next_at.year == 2031


def test_a_mail_is_asked_for_and_the_gates_word_shown(shop, browser_as, session):
    offered = re.search(r'<select[^>]*id="mail-template".*?</select>', browser_as("sales").get(f"/leads/{shop.dana}").text, re.S)
    assert offered is not None
    assert "lead_thanks" in offered[0]
    for brought in ("abandoned_cart", "sales_alert", "my_data", "nps_survey", "back_in_stock"):
        assert f'"{brought}"' not in offered[0], "nothing that only a journey can fill in"
    sales = browser_as("sales")
    sales.client.environ_base["HTTP_HX_TARGET"] = "lead"
    assert sales.post(f"/leads/{shop.dana}/mail", template="abandoned_cart").headers["HX-Trigger"] != "lead-done", "asked for is not done"
    made = session.scalars(select(Message).where(Message.profile_id == shop.dana, Message.node.is_(None))).all()
    asked = [one for one in made if one.journey is None]
    assert [one.status for one in asked] == ["queued"]
    session.execute(text("UPDATE messages SET status = 'dropped', reason = 'no_consent' WHERE id = :id"), {"id": asked[0].id})
    session.commit()
    assert "never agreed" in browser_as("sales").get(f"/leads/mail/{asked[0].id}").text
    fate = f'hx-get="/leads/mail/{asked[0].id}"'
    assert fate in browser_as("sales").get(f"/leads/{shop.dana}").text, "whoever comes back sees that it was held back"
    session.execute(text("UPDATE messages SET status = 'sent' WHERE id = :id"), {"id": asked[0].id})
    session.commit()
    assert fate not in browser_as("sales").get(f"/leads/{shop.dana}").text


def test_a_view_of_the_list_is_kept_and_forgotten(shop, browser_as, session):
    browser = browser_as("sales")
    browser.post("/leads/filters?view=all&source=fair", name="the fair")
    kept = session.scalars(select(SavedFilter)).one()
    assert kept.query == "view=all&source=fair"
    assert "the fair" in browser.get("/leads").text
    browser.post("/leads/filters", forget=kept.id)
    assert "the fair" not in browser.get("/leads").text


def test_owner_and_status_change_by_hand(shop, browser_as, session, people):
    browser = browser_as("admin")
    browser.post(f"/leads/{shop.dana}/status", status="qualified")
    browser.post(f"/leads/{shop.dana}/owner", owner="")
    lead = session.get(Lead, shop.dana, populate_existing=True)
    assert (lead.status, lead.owner_id) == ("qualified", None)


def test_leads_of_nobody_are_given_together_and_taken_back(shop, browser_as, session, people):
    browser, yossi = browser_as("sales"), people["sales"].id
    browser.post(f"/leads/{shop.dana}/owner", owner="")
    assert "Give 1 lead to sellers" in browser.get("/leads?view=nobody").text
    assert "Give 1 lead to sellers" not in browser_as("viewer").get("/leads?view=nobody").text
    assert browser.post("/leads/share?view=nobody", people="999").status_code == 400
    answer = browser.post("/leads/share?view=nobody&source=fair", people=yossi, most="5")
    assert answer.location == "/leads?view=nobody&source=fair"
    assert session.get(Lead, shop.dana, populate_existing=True).owner_id == yossi
    assert "1 lead given." in (page := browser.get("/leads?view=nobody").text)
    assert "Take back the 1 lead given" in page
    browser.post("/leads/share/undo?view=nobody")
    assert session.get(Lead, shop.dana, populate_existing=True).owner_id is None
    assert browser.post("/leads/share/undo").status_code == 404


def test_a_lead_nobody_has_is_taken_by_whoever_asks_first(shop, browser_as, session, people):
    browser, admin = browser_as("sales"), browser_as("admin")
    browser.post(f"/leads/{shop.dana}/owner", owner="")
    assert "Take it" in browser.get(f"/leads/{shop.dana}").text
    assert admin.post(f"/leads/{shop.dana}/take").status_code == 403
    assert browser.post(f"/leads/{shop.dana}/take?view=nobody").status_code == 302
    assert "Take it" not in browser.get(f"/leads/{shop.dana}").text
    session.execute(insert(Seller).values(user_id=people["admin"].id, name="Admin", email="admin@shop.example"))
    answer = admin.post(f"/leads/{shop.dana}/take")
    assert (answer.status_code, "Somebody was faster" in answer.text) == (400, True)


@pytest.mark.parametrize("left", [{"act": "out"}, {"act": "role", "role": "viewer"}])
def test_nobody_has_the_leads_of_somebody_who_left(shop, browser_as, session, people, left):
    browser_as("admin").post(f"/settings/users/{people['sales'].id}", **left)
    lead, seller = (session.get(kind, one, populate_existing=True) for kind, one in ((Lead, shop.dana), (Seller, people["sales"].id)))
    assert (lead.owner_id, seller.active) == (None, False)
    assert str(shop.dana) in browser_as("admin").get("/leads?view=nobody").text


def test_a_lead_of_somebody_who_takes_none_any_more_is_not_said_to_be_nobodys(shop, browser_as, session):
    session.execute(text("UPDATE sellers SET active = false"))
    session.commit()
    for role in ("viewer", "admin"):
        assert browser_as(role).get("/leads?view=all").text.count("who had it before") == 2  # in the list, and beside the lead


def test_a_page_far_down_is_there_again_with_the_lead_opened_on_it(shop, browser_as, session, people, monkeypatch):
    monkeypatch.setattr(leads, "PAGE", 1)
    now, other = clock.now(), new_id()
    session.execute(insert(Profile).values(id=other, bucket=1, first_seen=now, last_seen=now))
    session.execute(insert(Lead).values(profile_id=other, status_at=now, created_at=now, owner_id=people["sales"].id, source="fair", rank=-9))
    session.commit()
    browser = browser_as("sales")
    more = re.search(r'hx-get="(/leads/more[^"]+)"', browser.get("/leads?source=fair").text)[1]
    row = re.search(r'hx-get="(/leads/[^"]+)"', browser.get(unescape(more)).text)[1]
    page = browser.get(unescape(row)).text
    assert re.findall(r'data-lead="([^"]+)"', page) == re.findall(r'data-lead="([^"]+)"[^>]* aria-current="true"', page) == [str(other)]
    assert '<a class="btn k-lead-more" href="/leads?source=fair">First page</a>' in page


def test_a_company_s_page_names_the_roles_nobody_fills_and_who_sells_to_it(shop, browser_as, session, people):
    acme = accounts.save(session, key="acme", name="Acme", domain=None, parent=None, traits={}, now=clock.now())
    accounts.set_member(session, account_id=acme.id, profile_id=shop.dana, role="buyer", now=clock.now())
    session.execute(insert(Seller).values(user_id=people["admin"].id, name="Admin", email="admin@shop.example"))
    session.commit()
    browser, path = browser_as("sales"), f"/leads/buying/{acme.id}"
    page = browser.get(path).text
    assert ("No approver engaged" in page, "No payer engaged" in page, "No buyer engaged" in page, "checked" in page) == (True, True, False, False)
    browser.post(path, owners=[people["admin"].id, people["sales"].id])
    assert browser.get(path).text.count("checked") == 2
    assert browser.post(path, owners="9" * 30).status_code == 400


@pytest.mark.parametrize("owner", ["999", "²", "9" * 30])
def test_only_somebody_who_takes_leads_becomes_an_owner(shop, browser_as, session, people, owner):
    browser = browser_as("sales")
    assert browser.post(f"/leads/{shop.dana}/owner", owner=f"{people['sales'].id:09}{owner}").status_code == 400
    assert browser.post(f"/leads/{shop.dana}/owner", owner=owner).status_code == 400
    assert browser.post("/deals/new", person=shop.dana, title="One", currency="ILS", owner=owner).status_code == 400
    assert session.get(Lead, shop.dana, populate_existing=True).owner_id == people["sales"].id


def test_marketing_reads_what_sales_agreed_to_take_and_how_often_it_answered_in_time(shop, browser_as, session):
    browser, now = browser_as("marketer"), clock.now()
    assert browser.get("/leads/agreed").text == ""
    settings.save(session, {"mql": "ready", "sql": "gone", "answer_minutes": 90}, now)
    session.execute(insert(Segment).values(slug="ready", name="Ready to talk", rule={"all": []}, created_at=now, changed_at=now))
    row = {"status_at": now, "created_at": now, "mql_at": now - dt.timedelta(days=3)}
    fates = [  # promised until, answered after, status
        (-2, -3, "won"),
        (-2, -1, "qualified"),
        (-2, None, "new"),
        (2, None, "new"),
        (2, -1, "working"),
        (None, None, "new"),
    ]
    for due, answer, status in fates:
        one = new_id()
        session.execute(insert(Profile).values(id=one, bucket=1, first_seen=now, last_seen=now))
        at = [now + dt.timedelta(hours=hours) if hours is not None else None for hours in (due, answer)]
        session.execute(insert(Lead).values(profile_id=one, status=status, answer_by=at[0], answered_at=at[1], source="mql", **row))
    session.commit()
    shown = " ".join(re.sub(r"<[^>]+>", " ", browser.get("/leads/agreed").text).split())
    for words in ("Ready to talk", "90 working minutes", "6 · 2 qualified, 1 won", "50% · 2 of 4 that were due"):
        assert words in shown
    assert browser.get("/leads/agreed?segment=ready").text and not browser.get("/leads/agreed?segment=other").text
    assert "50%" in browser.get("/leads/sources").text
    for page in ("/leads/sources", "/segments", "/segments/ready"):
        assert 'hx-get="/leads/agreed' in browser.get(page).text


def test_settings_are_kept_and_who_sells_is_set(shop, browser_as, session, people):
    browser = browser_as("admin")
    assert browser.get("/settings/sales").status_code == 200
    form = {
        "weekdays": ["0", "1"],
        "starts": "08:30",
        "ends": "17:00",
        "rule-0": "language",
        "rule-1": "round_robin",
        "hot_pages": "/b2b",
        "lost_reasons": "Price",
    }
    browser.post("/settings/sales", answer_minutes="30", escalate_minutes="10", half_life_days="7", typical="450", score="lead", off_duty="wait", **form)
    kept = settings.read(session)
    assert (kept.answer_minutes, kept.starts, [rule.kind for rule in kept.rules], kept.hot_pages) == (30, 510, ["language", "round_robin"], ("/b2b",))
    browser.post(
        "/settings/sales/sellers", user=people["admin"].id, per_day="20", most_open="50", languages=["he"], weekdays=["0"], starts="09:00", ends="12:00"
    )
    made = session.get(Seller, people["admin"].id)
    assert made is not None
    assert (made.per_day, made.languages, made.ends) == (20, ["he"], 720)


def test_a_rate_is_set_counts_and_goes(shop, browser_as, session):
    browser, today = browser_as("admin"), clock.now().date()
    browser.post("/deals/new", person=shop.dana, title="Abroad", currency="USD", amount="100")
    assert "No rate is set" in browser.get(f"/deals/{session.scalars(select(Deal.id)).one()}").text
    assert "$100" in browser.get(f"/leads/{shop.dana}").text
    assert browser.post("/settings/sales/rates", currency="usd", rate="3.7", day=today).status_code == 302
    assert "from" in browser.get("/settings/sales").text
    assert "₪370" in browser.get(f"/leads/{shop.dana}").text
    assert "₪370" in browser.get("/deals").text
    assert "₪370" in browser.get(f"/deals/{session.scalars(select(Deal.id)).one()}").text
    for mistake in ({"currency": "ILS"}, {"rate": "-1"}, {"rate": "much"}, {"day": "soon"}):
        assert browser.post("/settings/sales/rates", **{"currency": "EUR", "rate": "4", "day": today} | mistake).status_code == 400
    browser.post("/settings/sales/rates", currency="USD", day=today, act="drop")
    assert "$100" in browser.get("/deals").text


def test_a_stage_with_deals_stays(shop, browser_as, session):
    browser = browser_as("admin")
    deals.open_deal(session, deals.NewDeal(shop.dana, "One", "ILS"), by=deals.By(), now=clock.now())
    session.commit()
    left = {"pipeline": "sales", "slug": ["need", "quote", ""], "name": ["Need", "Quote", "Trial"], "goal": ["", "", ""], "days": ["5", "5", "5"]}
    assert browser.post("/settings/sales/stages", probability=["10", "50", "60"], **left).status_code == 400
    left = {name: ["new", *value] if isinstance(value, list) else value for name, value in left.items()} | {"days": ["5"] * 4}
    browser.post("/settings/sales/stages", probability=["5", "10", "50", "60"], **left)
    assert [one.name for one in deals.stages(session)] == ["new", "Need", "Quote", "Trial"]


def test_alerts_show_until_they_are_seen(shop, browser_as, session, people):
    session.execute(
        insert(Alert).values(user_id=people["sales"].id, kind="hot_page", profile_id=shop.dana, detail={"page": "/pricing"}, key="k", at=clock.now())
    )
    session.commit()
    browser = browser_as("sales")
    assert "1 new alert" in browser.get("/alerts").text
    browser.post("/alerts/seen")
    assert "0 new alerts" in browser.get("/alerts").text


def test_somebody_unknown_is_a_sentence(shop, browser_as):
    assert browser_as("sales").get(f"/leads/{uuid.uuid4()}").status_code == 404


def test_a_score_of_the_companys_own_is_offered_as_it_is_written(browser_as, session):
    own_score(session, "half", column_="status", values=["won"], now=clock.now())
    session.execute(text("UPDATE score_kinds SET title = '50% <i>sure</i>' WHERE kind = 'half'"))
    session.commit()
    page = browser_as("admin").get("/settings/sales")
    assert page.status_code == 200
    assert "50% &lt;i&gt;sure&lt;/i&gt;" in page.text and "<i>sure" not in page.text
