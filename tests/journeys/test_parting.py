"""What becomes of runs and messages when a join is taken back."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.messages import joining
from crm.messages.facts import _recent
from crm.profiles import rebuild
from journeys import arms, coupons, past, publish
from journeys.engine import wake_due
from tests.journeys.test_engine import CONFIG, go, minutes, runs, shop
from tests.journeys.test_entry import WAIT, drawing
from tests.makers import identify, product, track

__all__ = ["shop"]


def owner(session: Session, value: str) -> object:
    return session.scalar(text("SELECT profile_id FROM identities WHERE value = :v"), {"v": value})


def join(session: Session, one: object, other: object, now: dt.datetime) -> int:
    joining.merge(session, one, other, by="Dana", said="", now=now, currency="ILS")
    return rebuild.edges(session)[-1].id


def two(session: Session, now: dt.datetime) -> tuple[object, object]:
    go(session, now - minutes(9), identify({"email": "a@example.com"}, at=now - minutes(9), anonymous_id="a"))
    go(session, now - minutes(8), identify({"email": "b@example.com"}, at=now - minutes(8), anonymous_id="b"))
    return owner(session, "a"), owner(session, "b")


def whose(session: Session, table: str) -> list[object]:
    return list(session.scalars(text(f"SELECT DISTINCT profile_id FROM {table}")))


def test_a_run_goes_back_with_its_wakeup_and_steps(session: Session, now: dt.datetime) -> None:
    a, b = two(session, now)
    go(session, now, track("Product Added", product("vase", cart_id="c1"), at=now, anonymous_id="b"))
    link = join(session, a, b, now)
    assert whose(session, "runs") == whose(session, "wakeups") == [a]
    joining.unmerge(session, link, by="Dana", said="", now=now, currency="ILS")
    assert whose(session, "runs") == whose(session, "wakeups") == [b]
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert whose(session, "messages") == whose(session, "run_steps") == [b]


def test_a_run_keeps_its_code_through_a_join(session: Session, now: dt.datetime) -> None:
    gift, again = ({"kind": "coupon", "settings": {"pool": "spring"}, "exits": {"next": after, "none": "end"}} for after in ("wait", "end"))
    publish.publish(session, "gift", drawing({"gift": gift} | WAIT | {"again": again}), now=now)
    coupons.add(session, "spring", ["A", "B"])
    a, b = two(session, now)
    go(session, now, track("Signed Up", at=now, anonymous_id="b"))
    join(session, a, b, now)
    wake_due(session, now + minutes(61), 100, CONFIG)
    codes = session.execute(text("SELECT node, detail->>'code' FROM run_steps WHERE node IN ('gift', 'again') ORDER BY number")).all()
    assert codes == [("gift", "A"), ("again", "A")]
    assert whose(session, "coupons WHERE given_at IS NOT NULL") == [a]


@pytest.mark.parametrize("folded", [False, True])
def test_a_code_goes_back_with_the_run_it_was_given_to(session: Session, now: dt.datetime, folded: bool) -> None:
    a, b = two(session, now)
    go(session, now, track("Product Added", product("vase", cart_id="c1"), at=now, anonymous_id="b"))
    given = "INSERT INTO coupons (pool, code, profile_id, journey_id, key, run_id, given_at) SELECT 'p', 'C', profile_id, journey_id, key, id, now() FROM runs"
    session.execute(text(given))
    if folded:
        session.execute(text("UPDATE runs SET status = 'done', ended_at = :now, due_at = NULL"), {"now": now})
        assert past.fold(session, now + past.KEEP + minutes(1)) == 1
    link = join(session, a, b, now)
    assert whose(session, "coupons") == [a]
    joining.unmerge(session, link, by="Dana", said="", now=now, currency="ILS")
    assert whose(session, "coupons") == [b]


def test_a_run_started_meanwhile_goes_where_its_event_went_with_what_was_not_sent_yet(session: Session, now: dt.datetime) -> None:
    a, b = two(session, now)
    link = join(session, a, b, now)
    go(session, now, track("Product Added", product("vase", cart_id="c1"), at=now, anonymous_id="b"))
    go(session, now, track("Product Added", product("cup", cart_id="c2"), at=now, anonymous_id="a"))
    wake_due(session, now + minutes(61), 100, CONFIG)
    session.execute(text("UPDATE messages SET status = 'sent', sent_at = :at, address = 'b@example.com' WHERE relevant_if->'cart'->>'key' = 'c1'"), {"at": now})
    joining.unmerge(session, link, by="Dana", said="", now=now + minutes(62), currency="ILS")
    runs = dict(session.execute(text("SELECT key, profile_id FROM runs")).all())
    assert runs == {"10:c1": b, "10:c2": a}
    assert dict(session.execute(text("SELECT status, profile_id FROM messages")).all()) == {"sent": a, "queued": a}


def test_what_was_sent_meanwhile_counts_for_both(session: Session, now: dt.datetime) -> None:
    a, b = two(session, now)
    link = join(session, a, b, now)
    go(session, now, track("Product Added", product("vase", cart_id="c1"), at=now, anonymous_id="b"))
    wake_due(session, now + minutes(61), 100, CONFIG)
    session.execute(text("UPDATE messages SET status = 'sent', sent_at = :at, address = 'b@example.com'"), {"at": now})
    joining.unmerge(session, link, by="Dana", said="", now=now + minutes(62), currency="ILS")
    template = session.scalar(text("SELECT template FROM messages"))
    for profile_id in (a, b):
        asked = type("Asked", (), {"profile_id": profile_id, "template": template, "id": profile_id})()
        assert {row[0] for row in _recent(session, [asked], now + minutes(63))} == {"b@example.com"}


def test_pages_too_tell_journeys_of_joins() -> None:
    code = "import workers.web; from crm.profiles.move import on_part; print([hook.__module__ for hook in on_part])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "journeys.moves" in said
    assert "crm.commerce.computed" in said


def of_one_cart(session: Session, now: dt.datetime) -> tuple[object, object, int]:
    """Two people who left the same cart lie, joined: the younger run has given way."""
    a, b = two(session, now)
    for device, ago in (("a", 6), ("b", 5)):
        go(session, now, track("Product Added", product("vase", cart_id="c1"), at=now - minutes(ago), anonymous_id=device))
    link = join(session, a, b, now)
    assert runs(session) == [("active", None), ("done", "merged")]
    return a, b, link


@pytest.mark.parametrize(("after", "left"), [(62, "dropped"), (-1, "queued")])
def test_an_order_told_by_the_other_device_takes_back_what_waits_of_a_run_already_over(session: Session, now: dt.datetime, after: int, left: str) -> None:
    a, b = two(session, now)
    go(session, now, track("Product Added", product("vase"), at=now, anonymous_id="a"))
    wake_due(session, now + minutes(61), 100, CONFIG)
    assert runs(session) == [("done", "finished")]
    bought = now + minutes(after)
    go(session, now + minutes(62), track("Order Completed", {"order_id": "1", "total": 10, "currency": "ILS"}, at=bought, anonymous_id="b"))
    join(session, a, b, now + minutes(63))
    assert session.execute(text("SELECT status, reason FROM messages")).one() == (left, "exit:Order Completed" if left == "dropped" else None)


def part(session: Session, link: int, now: dt.datetime) -> None:
    joining.unmerge(session, link, by="Dana", said="", now=now, currency="ILS")


def test_a_run_that_gave_way_lives_again(session: Session, now: dt.datetime) -> None:
    a, b, link = of_one_cart(session, now)
    part(session, link, now + minutes(1))
    assert runs(session) == [("active", None), ("active", None)]
    assert set(session.execute(text("SELECT key, profile_id FROM runs")).all()) == {("10:c1", a), ("10:c1", b)}
    wake_due(session, now + minutes(70), 100, CONFIG)
    assert set(whose(session, "messages")) == {a, b}


def test_a_run_that_gave_way_stays_over_where_its_end_came_meanwhile(session: Session, now: dt.datetime) -> None:
    _, _, link = of_one_cart(session, now)
    go(session, now + minutes(1), track("Order Completed", {"order_id": "1", "cart_id": "c1"}, at=now + minutes(1), anonymous_id="b"))
    part(session, link, now + minutes(2))
    assert {end for _, end in runs(session)} == {"exit:Order Completed"}


def test_a_run_whose_time_is_long_over_does_not_live_again(session: Session, now: dt.datetime) -> None:
    _, _, link = of_one_cart(session, now)
    part(session, link, now + minutes(60 * 30))
    assert ("done", "merged") in runs(session)


def test_joined_again_the_same_run_gives_way_again(session: Session, now: dt.datetime) -> None:
    a, b, link = of_one_cart(session, now)
    part(session, link, now + minutes(1))
    join(session, a, b, now + minutes(2))
    assert runs(session) == [("active", None), ("done", "merged")]


def drew(session: Session, now: dt.datetime, drawn: dict[object, str]) -> None:
    arms._keep(session, [(who, 1, arm, 5000) for who, arm in drawn.items()], now)


def test_arms_that_a_join_mixed_are_what_each_drew_again(session: Session, now: dt.datetime) -> None:
    a, b = two(session, now)
    drew(session, now, {a: "out", b: "in"})
    link = join(session, a, b, now)
    assert session.execute(text("SELECT profile_id, arm FROM journey_arms")).all() == [(a, "mixed")]
    part(session, link, now)
    assert set(session.execute(text("SELECT profile_id, arm FROM journey_arms")).all()) == {(a, "out"), (b, "in")}


def test_an_arm_only_one_drew_goes_back_alone(session: Session, now: dt.datetime) -> None:
    a, b = two(session, now)
    drew(session, now, {b: "out"})
    link = join(session, a, b, now)
    assert session.execute(text("SELECT profile_id, arm FROM journey_arms")).all() == [(a, "out")]
    part(session, link, now)
    assert session.execute(text("SELECT profile_id, arm FROM journey_arms")).all() == [(b, "out")]
