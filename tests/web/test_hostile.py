"""Whatever stands in an address, a page or operation answers with a sentence, never with a failure of ours."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from flask import Flask, g
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.web.auth import safe_next
from crm.web.db import db
from crm.web.models import ApiToken
from crm.web.tokens import create_token
from tests.web.conftest import Browser
from tests.web.shop import open_shop
from tests.web.test_pages import PAGES

HUGE = "9" * 30
ODD = ["\x00", "'\"><script>", HUGE, "-1", "\u202e", "a" * 3000]
ARGUMENTS = (
    "q",
    "before",
    "after",
    "cursor",
    "limit",
    "kind",
    "status",
    "source",
    "profile",
    "run",
    "days",
    "reason",
    "who",
    "width",
    "language",
    "next",
    "page",
    "node",
)


def addresses(app: Flask, odd: str) -> Iterator[str]:
    """Every address that takes GET, with this text in each of its places, and as every argument."""
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint == "static":
            continue
        path = re.sub(r"<int:[^>]+>", HUGE, rule.rule)
        path = re.sub(r"<uuid:[^>]+>", "00000000-0000-7000-8000-000000000000", path)
        path = re.sub(r"<[^>]+>", quote(odd, safe=""), path)
        yield path + "?" + "&".join(f"{name}={quote(odd)}" for name in ARGUMENTS)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_no_address_breaks_a_page(session: Session, now: dt.datetime, app: Flask, browser_as: Callable[[str], Browser], odd: str) -> None:
    open_shop(session, now)
    browser = browser_as("admin")
    token = create_token(session, name="t", role="admin")
    session.commit()
    broken = []
    for path in addresses(app, odd):
        answer = browser.get(path, **({"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {}))
        if answer.status_code >= 500:
            broken.append((answer.status_code, path[:80]))
    assert broken == []


def test_a_number_of_five_thousand_digits_is_nobodys_id(app: Flask) -> None:
    """int() itself refuses it, and would be an error of ours."""
    assert app.test_client().get(f"/sources/{'9' * 5000}").status_code == 404


@pytest.mark.parametrize(("code", "status"), [("22003", 400), ("40P01", 503)], ids=["refused", "deadlock"])
def test_what_the_database_refuses_is_a_sentence_to_whoever_may_not_see_everything(
    app: Flask, browser_as: Callable[[str], Browser], code: str, status: int
) -> None:
    """Who asks, and what is hidden from them, was read in the transaction that had just failed: 500 to everybody but admins."""

    def fail(name: str) -> str:
        if name == "program":
            g.token = ApiToken(role="viewer")
        return str(db().execute(text(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{code}'; END $$")))

    app.add_url_rule("/fail/<name>", "fail", fail)
    viewer = browser_as("viewer")
    assert [viewer.get(f"/fail/{name}").status_code for name in ("person", "program")] == [status, status]


@pytest.mark.parametrize("odd", ["²", "9" * 5000])
def test_what_is_no_number_breaks_no_form(browser_as: Callable[[str], Browser], odd: str) -> None:
    admin = browser_as("admin")
    forms = {"/quarantine": "id", "/settings/sales": "escalate_to", "/settings/sales/sellers": "user", "/settings/sending": "weekdays-email"}
    answers = {path: admin.post(path, **{name: odd, "starts": "09:00", "ends": "17:00", "quiet-email": "on"}).status_code for path, name in forms.items()}
    assert {path: status for path, status in answers.items() if status >= 500} == {}
    assert admin.get(f"/imports?before={quote(odd)}").status_code == 200


def test_what_is_no_character_is_not_lost_on_its_way(browser_as: Callable[[str], Browser]) -> None:
    """Checked with it and kept without, a reason of one such character was no reason, and the settings could not be read any more."""
    admin = browser_as("admin")
    assert admin.post("/settings/sales", lost_reasons="\x00", starts="09:00", ends="17:00").status_code == 400
    assert admin.post("/settings/sales/stages", slug="new", name="One").status_code == 400  # a row that was cut in two
    assert admin.get("/settings/sales").status_code == 200


NESTED = '{"a": ' * 300 + "1" + "}" * 300


@pytest.mark.parametrize("value", ['"\\ud800"', "9" * 400, NESTED], ids=["half a character", "digits", "brackets"])
def test_a_body_that_could_not_be_kept_is_refused(session: Session, app: Flask, value: str) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='admin')}", "Content-Type": "application/json"}
    assert app.test_client().post("/api/v1/accounts", data=f'{{"key": "a", "traits": {{"a": {value}}}}}', headers=headers).status_code == 400


@pytest.mark.parametrize(
    "odd", [f"/{a}/shop.example" for a in ("\t", "\x0b", "\x1f", "\x00", "\n", "\\", "", "\x7f", "\r")] + ["\t//x", " /", "https:/x", "//x", "/ /x", None, ""]
)
def test_nobody_is_sent_away_after_signing_in(odd: str | None) -> None:
    assert safe_next(odd) == "/"


def test_a_path_of_ours_is_gone_on_to() -> None:
    assert safe_next("/people?q=דנה&who=all") == "/people?q=דנה&who=all"


EVIL = "\u202e\u2066\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}${7*7}</textarea></title>"
LEADS = "javascript:alert(3)"


def spoil(session: Session) -> None:
    """Every text that events or people at the door can bring, in every table a page shows, becomes an attack."""
    said = {"name": EVIL, "url": LEADS, "link": LEADS, "order_id": EVIL, "path": EVIL, "template": EVIL, "reason": EVIL, "topic": EVIL, EVIL: {EVIL: [EVIL]}}
    line = {"product_id": EVIL, "sku": EVIL, "name": EVIL, "variant": EVIL, "price": "10", "quantity": "2", "url": LEADS, "image_url": LEADS}
    call = {"type": "track", "event": EVIL, "userId": EVIL, "messageId": EVIL, "properties": said, "context": {"traits": {"email": EVIL}}}
    values = {
        "evil": EVIL, "lines": dumps([line]), "said": dumps(said), "call": dumps(call), "link": dumps({"kind": "email", "value": EVIL}),
        "traits": dumps({"city": EVIL, "name": EVIL, "url": LEADS, EVIL: EVIL}), "why": dumps({"said": EVIL, "link": LEADS, "problem": EVIL}),
    }  # fmt: skip
    for statement in SPOIL:
        session.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})


SPOIL = (
    "UPDATE profiles SET name = :evil, traits = traits || CAST(:traits AS jsonb)",
    "UPDATE identities SET value = CAST(:evil AS text) || kind",
    "UPDATE identities SET kind = 'external:' || CAST(:evil AS text) WHERE kind = 'user_id'",
    "UPDATE carts SET key = :evil, items = CAST(:lines AS jsonb)",
    "UPDATE orders SET order_id = :evil, items = CAST(:lines AS jsonb)",
    "UPDATE events SET properties = CAST(:said AS jsonb), message_id = :evil",
    "UPDATE events SET name = :evil WHERE name LIKE 'A name%'",
    "UPDATE event_inbox SET body = :call",
    "UPDATE quarantine SET body = :call, detail = :evil",
    "UPDATE messages SET subject = :evil, address = :evil, provider_id = :evil",
    "UPDATE message_decisions SET detail = CAST(:why AS jsonb)",
    "UPDATE links SET detail = CAST(:link AS jsonb)",
    "UPDATE mailbox SET subject = :evil, recipient = :evil",
    "UPDATE sources SET name = :evil WHERE id > 1",
)


class Tags(HTMLParser):
    """What a browser would make of a page: elements nobody of ours writes, handlers, addresses that run."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if (tag == "script" and not (said.get("src") or "").startswith("/static/")) or said.get("src") == "x":
            self.bad.append(f"<{tag}> {said}")
        for name, value in said.items():
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.bad.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("language", ["en", "he"])
def test_nothing_an_event_brings_becomes_part_of_a_page(
    session: Session, now: dt.datetime, app: Flask, browser_as: Callable[[str], Browser], language: str
) -> None:
    shop = open_shop(session, now)
    spoil(session)
    session.commit()
    browser, seen = browser_as("admin"), 0
    for page in PAGES:
        answer = browser.get(page.format(dana=shop.dana, source=shop.source, mail=shop.mail, template=shop.template, **shop.messages), language)
        assert answer.status_code == 200, (page, answer.text[-500:])
        if "/body" in page or "/source" in page and answer.mimetype == "text/plain":
            continue  # a mail as its reader sees it: in a frame without scripts, or as plain text
        tags = Tags()
        tags.feed(answer.text)
        assert tags.bad == [], page
        seen += EVIL[2:6] in unescape(answer.text)
    assert seen > 10
