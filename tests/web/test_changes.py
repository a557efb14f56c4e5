"""The log of changes speaks the page's language: what was done, to what, with which details."""

from __future__ import annotations

import ast
import re
import uuid
from collections.abc import Callable, Iterator

from flask import Flask
from sqlalchemy.orm import Session

from crm.messages import retention
from crm.messages.sending import SendingSettings
from crm.scores.feature_list import BUILT_IN
from crm.web import change_words
from crm.web.change_words import action_word, change_detail, change_subject
from crm.web.models import AuditEntry, User
from crm.web.pages.imports import said as imports
from tests.web.conftest import ROOT, Browser

WRITTEN = {"audit", "_note", "_saved"}  # what writes an entry down
CHOSEN = {  # codes that are put together of what somebody asked for
    "list.": ("removed", "added"),
    "score.": ("train", "apply", "rules", "model", "approve", "disapprove", "remove"),
    "journey.": ("pause", "resume", "stop", "retry"),
    "webhook.": ("key", "rotate", "remove"),
}
CODE = re.compile(r"[a-z]+\.[a-z_]+")


def actions() -> Iterator[str]:
    """Every action that a page or a process writes down."""
    for path in (path for package in ("crm", "journeys", "workers") for path in (ROOT / package).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) not in WRITTEN:
                continue
            for part in (node for value in [*call.args[:1], *(one.value for one in call.keywords if one.arg == "action")] for node in ast.walk(value)):
                if isinstance(part, ast.JoinedStr):
                    start = part.values[0]
                    assert isinstance(start, ast.Constant)
                    yield from (f"{start.value}{end}" for end in CHOSEN[start.value])
                elif isinstance(part, ast.Constant) and isinstance(part.value, str) and CODE.fullmatch(part.value):
                    yield part.value


def latin(text: str) -> list[str]:
    return re.findall(r"[A-Za-z][A-Za-z_]+", re.sub("<[^>]*>|…[0-9a-f]{12}|SMS", " ", text))


def test_everything_that_is_written_down_has_words() -> None:
    found = {*actions(), *imports.AUDITED.values()}
    assert len(found) > 60
    assert found - change_words.ACTIONS.keys() == set()


def test_details_are_told_in_hebrew(app: Flask) -> None:
    rules = {"quiet": {"email": {"starts": 1260, "ends": 480}, "sms": {"starts": 0, "ends": 60}}, "rest": {}, "caps": {"": {"day": 2}, "sms": {"week": 5}}}
    some = str(uuid.uuid4())
    details: dict[str, dict[str, object]] = {
        "sending.changed": SendingSettings.model_validate(rules).model_dump(mode="json"),
        "retention.changed": retention.as_detail(dict.fromkeys(retention.KINDS, 30)),
        "retention.swept": {"days": "30", "rows": "12"},
        "fields.changed": {"sales": "email, revenue", "viewer": "phone"},
        "identity.limits": {"email": "5", "anonymous_id": "100"},
        "identity.blocked": {"kind": "phone"},
        "key.created": {"kind": "server", "ends_with": "1234"},
        "list.added": {"addresses": 3, "unknown": 1, "upload": 5, "people": 2, "more": True},
        "people.joined": {"from": [some, some], "said": "אותו אדם", "suggested": True},
        "people.parted": {"link": "7", "from": some, "said": ""},
        "score.created": {"events": ["Order Completed"], "stage": None, "column": "עיר", "values": [], "days": 30, "happens": False},
        "score.wrong": {"kind": "lead", "will": True},
        "score.approve": {"feature": BUILT_IN[0].name},
        "source.settings": {"cart_url": "", "allowed_origins": [], "consent_map": {"שיווק": {"channel": "email", "topic": "מבצעים"}}},
        "user.role": {"role": "marketer"},
        "coupons.added": {"codes": 5, "low": "2"},
        "profile.exported": {"by": "link"},
        "import.uploaded": {"bytes": 1024},
        "import.started": {"import": 3},
    }
    with app.test_request_context(headers={"Accept-Language": "he"}):
        told = {action: change_detail(action, detail) for action, detail in details.items()}
        assert {action: latin(text) for action, text in told.items() if latin(text)} == {}
        assert all(latin(action_word(action)) in ([], ["API"], ["webhook"]) for action in change_words.ACTIONS)
        assert "21:00" in told["sending.changed"] and "יום ב׳" in told["sending.changed"]
        assert f'href="/people/{some}"' in told["people.joined"]
        assert change_detail("user.role", {"role": "", "kind": None}) == ""
        assert change_detail("odd", {"odd": "<b>"}) == '<bdi dir="ltr">odd</bdi>: <bdi>&lt;b&gt;</bdi>'
        assert not latin(change_subject("retention.swept", "inbox")) and change_subject("sales.settings", "settings") == ""
        assert "גרסה" in change_subject("journey.publish", "cart 3") and "<b>" not in change_subject("journey.story", "cart <b>")


def test_the_page_names_who_got_leads(browser_as: Callable[[str], Browser], people: dict[str, User], session: Session) -> None:
    session.add(AuditEntry(action="leads.given", subject="leads", detail={"people": 4, "to": [people["sales"].id, people["admin"].id]}))
    session.add(AuditEntry(action="api POST /consents", subject="", detail={"token": "till"}))
    session.commit()
    page = browser_as("admin").get("/settings/changes", "he").text
    said = " ".join(re.sub("<[^>]*>", " ", page[page.index("<tbody>") :]).split())
    assert "לידים נמסרו לאנשי המכירות" in said and "Sales , Admin" in said and "leads" not in said
    assert "ה־API הסכמה או סירוב נרשמו, דרך ה־API עם המפתח till" in said and said.count("שורת הפקודה") == 1
