"""Three pieces come back and ten people wait: who is told, when, and who is not."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from crm.events.spec import Call
from journeys import publish, waves
from journeys.why import why_not
from tests.journeys.shelf import WAITING, Shop, ask, live, look, minutes, sold_out
from tests.makers import track

__all__ = ["sold_out"]


def test_three_pieces_come_back_and_ten_wait(shop: Shop) -> None:
    live(shop)
    ask(shop, *WAITING)
    shop.later(60)
    shop.stock(3)
    shop.waves()
    assert shop.deliver() == ["p0", "p1", "p2"]

    shop.later(20)  # the second wave is not due yet
    shop.waves()
    assert shop.deliver() == []

    shop.tell(track("Order Completed", {"order_id": "1", "products": [{"sku": "vase", "price": "90", "quantity": 1}]}, at=shop.now, user_id="p0"))
    shop.tell(track("Order Completed", {"order_id": "2", "products": [{"sku": "vase", "price": "90", "quantity": 1}]}, at=shop.now, user_id="p3"))
    shop.stock(1)
    shop.later(11)
    shop.waves()
    assert shop.deliver() == ["p4"]  # one piece, one person; p3 has bought one meanwhile
    assert shop.passed_over() == [("p3", "bought")]

    shop.stock(0)
    shop.later(31)
    shop.waves()
    assert (shop.deliver(), shop.ended()) == ([], ["sold_out"])


def test_who_was_told_waits_no_more_and_a_second_restock_tells_only_the_others(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    shop.stock(1)
    shop.waves()
    assert shop.deliver() == ["p0"]
    shop.stock(0)
    shop.later(60)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p1"]
    assert shop.ended() == ["again", "everybody"]


def test_who_looked_while_there_was_none_comes_after_who_asked(shop: Shop) -> None:
    live(shop, viewed=True)
    look(shop, "p5", "p6")
    ask(shop, "p1")
    shop.later(60)
    shop.stock(2)
    shop.waves()
    assert shop.deliver() == ["p1", "p5"]


def test_who_looked_while_it_was_there_is_left_alone(shop: Shop) -> None:
    live(shop, viewed=True)
    shop.stock(4)
    look(shop, "p5")
    shop.later(1)
    shop.stock(0)
    shop.later(10)
    look(shop, "p6")
    shop.later(10)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p6"]


def test_who_searched_for_it_while_there_was_none_may_be_told(shop: Shop) -> None:
    live(shop, searched=True)
    said = {"sku": "vase", "name": "Blue vase", "price": "90", "currency": "ILS"}
    shop.tell(Call(type="track", event="Product Updated", timestamp=shop.now.isoformat(), properties=said))
    shop.later(5)
    for who, words in (("p3", "BLUE va"), ("p4", "red"), ("p5", "va")):
        shop.tell(track("Products Searched", {"query": words}, at=shop.now, user_id=who))
    shop.later(5)
    shop.stock(4)
    shop.waves()
    assert shop.deliver() == ["p3"]


def test_by_value_the_best_customers_come_first(shop: Shop) -> None:
    live(shop, order="value")
    ask(shop, "p0", "p1", "p2")
    for who, total in (("p1", "50"), ("p2", "900")):
        shop.tell(track("Order Completed", {"order_id": who, "revenue": total, "products": [{"sku": "cup"}]}, at=shop.now, user_id=who))
    shop.later(60)
    shop.stock(2)
    shop.waves()
    assert shop.deliver() == ["p1", "p2"]


def test_a_wish_taken_back_loses_its_place(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1", "p2")
    shop.later(60)
    shop.stock(1)
    shop.waves()
    shop.tell(track("Back In Stock Cancelled", {"sku": "vase"}, at=shop.now, user_id="p1"))
    shop.later(31)
    shop.waves()
    assert shop.deliver() == ["p0", "p2"]
    assert shop.passed_over() == [("p1", "taken_back")]


def test_a_paused_journey_keeps_its_waves_and_a_stopped_one_ends_them(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    shop.stock(1)
    publish.pause(shop.session, "back", now=shop.now)
    shop.waves()
    assert shop.queued() == 0
    publish.resume(shop.session, "back", now=shop.now)
    shop.later(2)
    shop.waves()
    assert shop.queued() == 1
    publish.stop(shop.session, "back", now=shop.now)
    shop.later(31)
    shop.waves()
    assert shop.ended() == ["stopped"]


@pytest.mark.parametrize(("how", "told", "ended"), [("catch_up", 1, None), ("drop", 0, "dropped")])
def test_what_comes_back_during_a_pause_is_told_after_it(shop: Shop, how: str, told: int, ended: str | None) -> None:
    live(shop)
    ask(shop, "p0", "p1")
    shop.later(60)
    publish.pause(shop.session, "back", now=shop.now)
    shop.stock(1)
    shop.waves()
    shop.later(3 * 24 * 60)
    publish.resume(shop.session, "back", now=shop.now, how=how)
    shop.waves()
    assert (shop.queued(), shop.ended()) == (told, [ended])


def test_a_wave_of_many_goes_out_in_parts_and_counts_as_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "AT_ONCE", 2)
    live(shop)
    ask(shop, *WAITING)
    shop.later(60)
    shop.stock(5)
    for _ in range(4):
        shop.waves()
    assert shop.deliver() == ["p0", "p1", "p2", "p3", "p4"]
    shop.later(31)
    for _ in range(4):
        shop.waves()
    assert (shop.deliver(), shop.ended()) == (["p5", "p6", "p7", "p8", "p9"], ["everybody"])


def test_history_and_old_news_tell_nobody(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0")
    shop.later(60 * 30)
    old = (shop.now - minutes(60 * 25)).isoformat()
    shop.tell(Call(type="track", event="Product Stock Changed", timestamp=old, properties={"sku": "vase", "stock": 3}))
    shop.waves()
    assert shop.queued() == 0


def test_nobody_is_told_twice_whatever_runs_twice(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0")
    shop.later(60)
    shop.stock(3)
    shop.waves()
    shop.session.execute(text("UPDATE waves SET next_at = opened_at, ended = NULL"))
    shop.waves()
    assert shop.deliver() == ["p0"]


def test_why_somebody_was_not_told_yet_or_not_at_all(shop: Shop) -> None:
    live(shop)
    ask(shop, "p0", "p1", "p2")
    shop.later(60)
    shop.stock(1)
    shop.waves()

    def why(who: str) -> str:
        profile = shop.session.scalar(text("SELECT profile_id FROM identities WHERE kind = 'user_id' AND value = :who"), {"who": who})
        return next(iter(each.text % each.values for each in why_not(shop.session, "back", profile, shop.now)))

    assert why("p1") == "Waits at place 2 in the waves of “vase”."
    assert why("p5").startswith("No product the profile asked for")
    shop.tell(track("Order Completed", {"order_id": "9", "products": [{"sku": "vase"}]}, at=shop.now, user_id="p1"))
    shop.stock(0)
    shop.later(31)
    shop.waves()
    assert "bought it meanwhile" in why("p1")
    assert "ended at place 3" in why("p2")
