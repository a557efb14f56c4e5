"""Every page, in both languages, for each role that may see it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from crm.web.models import ROLES
from tests.web.conftest import Browser
from tests.web.shop import Shop, open_shop

ALL, MAKERS, ADMIN = set(ROLES), {"admin", "marketer"}, {"admin"}
PAGES = {
    "/": ALL,
    "/home/pulse": ALL,
    "/home/feed": ALL,
    "/people": ALL,
    "/people?q=דנה": ALL,
    "/people?q=0142": ALL,
    "/people?q=nobody": ALL,
    "/people/{dana}": ALL,
    "/people/{dana}?kind=orders": ALL,
    "/people/{dana}/timeline": ALL,
    "/messages": ALL,
    "/messages?status=dropped&days=7&profile={dana}": ALL,
    "/messages?status=held&journey=nothing": ALL,
    "/messages/{held}": ALL,
    "/messages/{unknown}": ALL,
    "/templates": ALL,
    "/templates/{template}": ALL,
    "/templates/{template}?profile={dana}&language=en&width=text": ALL,
    "/templates/{template}?q=dana&width=desktop": ALL,
    "/templates/{template}/body?language=he": ALL,
    "/find?q=dana": ALL,
    "/account": ALL,
    "/sources": MAKERS,
    "/sources/{source}": MAKERS,
    "/sources/{source}/live": MAKERS,
    "/imports": MAKERS,
    "/quarantine": MAKERS,
    "/mailbox": MAKERS,
    "/mailbox/{mail}": MAKERS,
    "/mailbox/{mail}?width=headers": MAKERS,
    "/mailbox/{mail}?width=text": MAKERS,
    "/mailbox/{mail}/body": MAKERS,
    "/mailbox/{mail}/source": MAKERS,
    "/accounts": ALL,
    "/accounts?q=acme": ALL,
    "/settings/traits": MAKERS,
    "/settings/privacy": ADMIN,
    "/settings/changes?what=views": ADMIN,
    "/settings/users": ADMIN,
    "/settings/tokens": ADMIN,
    "/settings/changes": ADMIN,
}
LARGEST = 100 * 1024


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    return open_shop(session, now)


def address(page: str, shop: Shop) -> str:
    return page.format(dana=shop.dana, source=shop.source, mail=shop.mail, template=shop.template, **shop.messages)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_sees_its_pages_in_both_languages_and_no_other(shop: Shop, browser_as: Callable[[str], Browser], role: str) -> None:
    browser = browser_as(role)
    for page, roles in PAGES.items():
        for language in ("en", "he"):
            answer = browser.get(address(page, shop), language)
            assert answer.status_code == (200 if role in roles else 403), (page, language, answer.text[-800:])
            assert len(answer.data) < LARGEST, page
            if answer.text.startswith("<!doctype html>\n"):
                assert f'lang="{language}"' in answer.text, page
                assert "<script>" not in answer.text, page


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_sign_in(browser: Browser, shop: Shop, page: str) -> None:
    answer = browser.get(address(page, shop))
    assert answer.status_code == 302
    assert answer.location.startswith("/sign-in?next=") or page == "/"


def test_an_empty_installation_says_what_to_do_first(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    for page in (page for page in PAGES if "{" not in page):
        assert browser.get(page).status_code == 200, page
    assert "To the sources" in browser.get("/people").text
    assert 'href="/imports"' in browser_as("marketer").get("/home/pulse").text, "and not only how to connect a shop"
    assert 'href="/imports"' not in browser_as("viewer").get("/home/pulse").text


def test_only_what_a_role_may_open_is_in_its_navigation(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    assert 'href="/sources"' not in browser_as("sales").get("/").text
    assert 'href="/sources"' in browser_as("marketer").get("/").text
    assert 'href="/settings/users"' not in browser_as("marketer").get("/sources").text


def test_people_page_by_keyset(session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    from sqlalchemy import insert

    from crm.core.ids import new_id
    from crm.profiles.models import Profile

    rows = [
        {"id": new_id(), "bucket": 1, "known": True, "name": f"person {n:03}", "first_seen": now, "last_seen": now - dt.timedelta(minutes=n)}
        for n in range(120)
    ]
    session.execute(insert(Profile), rows)
    session.commit()
    browser, seen, path = browser_as("viewer"), set(), "/people"
    for _page in range(3):
        text = browser.get(path).text
        found = set(__import__("re").findall(r"person \d+", text))
        assert not found & seen
        seen |= found
        older = __import__("re").search(r'rel="next" href="([^"]+)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == 120
    assert not path


def test_an_id_of_somebody_joined_leads_to_who_they_are_now(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    from sqlalchemy import select

    from crm.profiles.models import Profile

    old = session.scalar(select(Profile.id).where(Profile.merged_into == shop.dana))
    assert browser_as("viewer").get(f"/people/{old}").location == f"/people/{shop.dana}"


def test_a_message_opens_as_a_drawer_or_as_a_page(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("viewer")
    path = f"/messages/{shop.messages['dropped']}"
    assert browser.get(path).text.startswith("<!doctype")
    drawer = browser.get(path, **{"HX-Request": "true", "HX-Target": "drawer"}).text
    assert not drawer.startswith("<!doctype")
    assert "the cart was ordered or emptied" in drawer


def test_a_mail_is_shown_where_it_can_do_nothing(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    answer = browser_as("admin").get(f"/mailbox/{shop.mail}/body")
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy


def test_what_came_in_is_never_markup(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    text = browser_as("admin").get("/quarantine").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text


def test_unknown_people_and_messages_are_404_with_a_sentence(browser_as: Callable[[str], Browser]) -> None:
    browser, nobody = browser_as("viewer"), "00000000-0000-7000-8000-000000000000"
    for path in (f"/people/{nobody}", f"/messages/{nobody}", "/templates/none", "/nowhere"):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert "Log line" in answer.text


def test_a_page_that_did_not_work_leads_back_to_where_one_came_from_and_nowhere_else(browser_as: Callable[[str], Browser]) -> None:
    browser, back = browser_as("viewer"), "Back to the page before"
    here = "http://localhost"
    for path, status in (("/people/none", 404), ("/settings/users", 403)):
        answer = browser.get(path, Referer=f"{here}/people?q=dana&page=2")
        assert answer.status_code == status
        assert back in answer.text and 'href="/people?q=dana&amp;page=2"' in answer.text
    for elsewhere in ("", "https://evil.example/people", "http://localhost.evil.example/", f"{here}//evil.example", f"{here}/nowhere", "http://[", f"{here}/"):
        answer = browser.get("/nowhere", Referer=elsewhere)
        assert answer.status_code == 404, elsewhere
        assert back not in answer.text and "evil" not in answer.text, elsewhere
