"""Pools of codes: put in, given, used; low stock is told, and a person gets no more than is allowed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from sqlalchemy import text

from journeys import coupons, publish
from tests.makers import accepted, config, track
from workers import pipeline

CONFIG = config()


def giving(**settings: Any) -> dict[str, Any]:
    code = {"kind": "coupon", "settings": {"pool": "spring"} | settings, "exits": {"next": "yes", "none": "no"}}
    ends = {name: {"kind": "stop", "settings": {"reason": name}} for name in ("yes", "no")}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    return {"name": {"en": "G"}, "trigger": trigger, "entry": "code", "nodes": {"code": code} | ends}


def sign_up(session, now, *who):
    pipeline.run(session, [accepted(track("Signed Up", at=now, user_id=each), now) for each in who], now, CONFIG)


def ends(session) -> list[str]:
    return sorted(session.scalars(text("SELECT end_reason FROM runs")))


def test_a_person_gets_no_more_codes_than_allowed(session, now):
    coupons.add(session, "spring", [f"C{n}" for n in range(9)])
    publish.publish(session, "give", giving(per_person=2), now=now)
    sign_up(session, now, "dana", "dana", "dana", "noa")
    sign_up(session, now, "dana")
    assert ends(session) == ["no", "no", "yes", "yes", "yes"]
    assert session.scalar(text("SELECT count(*) FROM coupons WHERE given_at IS NOT NULL")) == 3
    assert {"limit": 2, "pool": "spring"} in session.scalars(text("SELECT detail FROM run_steps WHERE exit = 'none'")).all()


def test_the_limit_counts_over_journeys(session, now):
    coupons.add(session, "spring", ["A", "B"])
    publish.publish(session, "give", giving(per_person=1), now=now)
    publish.publish(session, "too", giving(per_person=1) | {"name": {"en": "H"}}, now=now)
    sign_up(session, now, "dana")
    assert ends(session) == ["no", "yes"]


def test_a_code_an_order_names_is_used(session, now):
    coupons.add(session, "spring", ["A1", "A2"])
    publish.publish(session, "give", giving(), now=now)
    sign_up(session, now, "dana")
    code = session.scalar(text("SELECT code FROM coupons WHERE given_at IS NOT NULL"))
    order = {"order_id": "1", "total": 5, "currency": "ILS", "coupon": code}
    pipeline.run(session, [accepted(track("Order Completed", order, at=now, user_id="dana"), now)], now, CONFIG)
    assert [(pool.free, pool.given, pool.used) for pool in coupons.pools(session, now)] == [(1, 1, 1)]


def test_a_pool_runs_low_below_what_was_set(session, now):
    coupons.add(session, "spring", ["A", "B", "C"])
    coupons.keep(session, "spring", low=3)
    assert not coupons.pools(session, now)[0].runs_low
    coupons.keep(session, "spring", low=4)
    assert coupons.pools(session, now)[0].runs_low


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("A\nB\n\nC", ["A", "B", "C"]),
        ("code,value\nX1,10\nX2,20\n", ["X1", "X2"]),
        ("id;x\n", ["id;x"]),
        ("number,קוד\n1,א1\n", ["א1"]),
        ('"A,1"\n', ["A,1"]),
        ("", []),
    ],
)
def test_a_file_s_codes(content, codes):
    assert coupons.read(content) == codes


def test_codes_are_put_in_on_the_screen_and_low_stock_is_told(session, now, signed_in):
    browser = signed_in("marketer")
    form = {"pool": "summer", "low": "10", "codes": "A\nB", "file": (io.BytesIO("\ufeffcode\nC\nB\n".encode()), "codes.csv")}
    browser.post("/coupons", data=form, content_type="multipart/form-data")
    assert [(pool.name, pool.free, pool.low) for pool in coupons.pools(session, now)] == [("summer", 3, 10)]
    page = browser.get("/coupons").get_data(as_text=True)
    assert "runs low" in page
    assert "run low" in browser.get("/journeys").get_data(as_text=True)


@pytest.mark.parametrize("form", [{"pool": "Summer!"}, {"pool": "a", "low": "-1"}, {"pool": "a", "codes": "x" * 101}, {"pool": "a", "low": "٣"}])
def test_what_cannot_be_kept_is_said(session, now, signed_in, form):
    browser = signed_in("marketer")
    page = browser.post("/coupons", data=form).get_data(as_text=True)
    assert coupons.pools(session, now) == []
    assert 'role="alert"' in page


def test_a_viewer_puts_nothing_in(session, signed_in):
    assert signed_in("viewer").post("/coupons", data={"pool": "a", "codes": "A"}).status_code == 403


def test_codes_that_are_refused_stay_in_the_form(session, now, signed_in):
    answer = signed_in("marketer").post("/coupons", data={"pool": "Spring Sale", "low": "5", "codes": "A1\nA2"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert all(each in page for each in ('value="Spring Sale"', 'value="5"', ">A1\nA2</textarea>", 'aria-describedby="pool-e"', 'id="pool-e"'))
    assert coupons.pools(session, now) == []
