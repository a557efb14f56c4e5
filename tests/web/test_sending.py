"""The page Sending rules, and what other pages say about what waits."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.messages import sending
from crm.messages.sending import Cap, Quiet, Rest, SendingSettings
from crm.web.models import AuditEntry
from tests.web.conftest import Browser
from tests.web.shop import Shop, open_shop

FORM = {
    "quiet-email": "on", "starts-email": "21:30", "ends-email": "08:00", "weekdays-email": ["0", "6"],
    "rest": "on", "place": "haifa", "candles": "30", "day-": "2", "week-": "", "day-email": "", "week-email": "5", "patience": "4",
}  # fmt: skip


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    return open_shop(session, now)


def test_what_is_saved_is_what_the_gate_reads(shop: Shop, session: Session, browser_as: Callable[[str], Browser]) -> None:
    admin = browser_as("admin")
    assert admin.post("/settings/sending", **FORM).location == "/settings/sending"
    assert sending.read(session) == SendingSettings(
        quiet={"email": Quiet(starts=1290, ends=480, weekdays=(0, 6))}, rest=Rest(place="haifa", candles=30),
        caps={"": Cap(day=2), "email": Cap(week=5)}, patience=4,
    )  # fmt: skip
    assert session.query(AuditEntry).filter_by(action="sending.changed").count() == 1
    page = admin.get("/settings/sending").text
    assert 'value="21:30"' in page and '<option value="haifa" selected' in page


def test_everything_is_off_until_somebody_sets_it_and_can_be_again(shop: Shop, session: Session, browser_as: Callable[[str], Browser]) -> None:
    admin = browser_as("admin")
    assert "goes at once" in admin.get("/settings/sending").text
    admin.post("/settings/sending", **FORM)
    plain = {"patience": "3", "starts-email": "21:00", "ends-email": "08:00", "place": "jerusalem", "candles": "40"}
    admin.post("/settings/sending", **plain)
    assert sending.read(session) == SendingSettings()


def test_examples_say_what_it_means_for_the_next_friday_night(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    admin = browser_as("admin")
    admin.post("/settings/sending", **(FORM | {"weekdays-email": []}))
    page = admin.get("/settings/sending").text
    assert "An e-mail due" in page and ", 20:10" in page and "Shabbat or a holiday; it goes after nightfall." in page


@pytest.mark.parametrize(
    "wrong", [{"starts-email": "08:00"}, {"starts-email": "soon"}, {"place": "atlantis"}, {"candles": "x"}, {"day-": "0"}, {"patience": "99"}]
)
def test_what_means_nothing_is_refused_with_a_sentence(shop: Shop, session: Session, browser_as: Callable[[str], Browser], wrong: dict[str, str]) -> None:
    answer = browser_as("admin").post("/settings/sending", **(FORM | wrong))
    field, value = next(iter(wrong.items()))
    fields = re.findall(r"<(?:input|select)[^>]*>", answer.text)
    assert [re.search(r'name="([^"]*)"', each)[1] for each in fields if "aria-invalid" in each] == [field]
    assert answer.status_code == 400 and f'id="{field}-e" role="alert"' in answer.text
    assert field == "place" or any(f'name="{field}"' in each and f'value="{value}"' in each for each in fields)
    assert all(each in answer.text for each in ('name="week-email" type="number" inputmode="numeric" min="1" max="1000" value="5"', 'value="6" checked'))
    assert sending.read(session) == SendingSettings()


def test_only_an_admin_sets_them(shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    assert browser_as("marketer").get("/settings/sending").status_code == 403
    assert browser_as("marketer").post("/settings/sending", **FORM).status_code == 403


def test_a_held_message_says_why_and_until_when(shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    session.execute(text("UPDATE messages SET status = 'held', reason = 'shabbat' WHERE id = :id"), {"id": shop.messages["held"]})
    detail = '{"question": "good_moment", "until": "2030-01-05T15:31:00+00:00"}'
    values = {"id": shop.messages["held"], "detail": detail, "now": now}
    session.execute(text("""
        INSERT INTO message_decisions (profile_id, message_id, stage, answer, reason, detail, at)
        SELECT profile_id, id, 'cheap', 'hold', 'shabbat', CAST(:detail AS jsonb), :now FROM messages WHERE id = :id
    """), values)  # fmt: skip
    page = browser_as("admin").get(f"/messages/{shop.messages['held']}").text
    assert "Shabbat or a holiday; it goes after nightfall." in page and "It is asked again" in page and "17:31" in page


def test_a_preview_says_when_it_would_go(shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    admin, address = browser_as("admin"), f"/templates/{shop.template}?profile={shop.dana}"
    assert "If it came due now" not in admin.get(address).text
    local = now.astimezone(dt.timezone(dt.timedelta(hours=2)))
    start = (local.hour * 60 + 1320) % 1440
    sending.save(session, {"quiet": {"email": {"starts": start, "ends": (start + 360) % 1440}}}, now)
    session.execute(text("UPDATE templates SET purpose = 'marketing'"))
    assert "If it came due now" in admin.get(address).text
