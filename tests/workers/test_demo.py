"""The invented shop: the same for one seed, believable, and sent through the world's doors."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import pytest

import crm.web
from crm.core.errors import KesherError
from crm.events.address import normalise
from crm.events.importing import mapping, readers
from crm.events.importing.outcomes import Reading, Refused
from crm.events.importing.plan import compile_plan
from workers.demo import calendar, enquiries, fill, pictures, year
from workers.demo.catalogue import CATEGORIES, PRODUCTS
from workers.demo.live import MOST, Player
from workers.demo.people import COUNT, KNOWN, shoppers
from workers.demo.run import wait_for_web
from workers.demo.shelves import Shelves

ANCHOR = dt.date(2026, 11, 22)
BASE = "http://shop.test"


@pytest.fixture(scope="module")
def calls() -> list[dict]:
    return list(year.calls(seed=1, anchor=ANCHOR, base_url=BASE))


def day_of(call: dict) -> dt.date:
    return dt.datetime.fromisoformat(call["timestamp"]).date()


@pytest.mark.parametrize(
    ("year", "autumn", "spring", "lights"),
    [(2025, "2025-09-23", "2025-04-13", "2025-12-15"), (2026, "2026-09-12", "2026-04-02", "2026-12-05"), (2027, "2027-10-02", "2027-04-22", "2027-12-25")],
)
def test_the_hebrew_calendar_is_right(year, autumn, spring, lights):
    assert str(calendar.new_year(year + 3761)) == autumn
    assert str(calendar.passover(year + 3760)) == spring
    assert str(calendar.hanukkah(year + 3761)) == lights


def test_one_seed_gives_one_shop_and_another_gives_another(calls):
    again = list(year.calls(seed=1, anchor=ANCHOR, base_url=BASE))
    assert again == calls
    assert shoppers(2, 60) != shoppers(1, 60)


def test_there_are_two_thousand_people_with_names_in_both_scripts():
    people = shoppers(1, len(PRODUCTS))
    assert (len(people), sum(one.known for one in people)) == (COUNT, KNOWN)
    assert len({one.email for one in people}) == COUNT
    hebrew = [one for one in people if one.language == "he"]
    assert COUNT * 0.7 < len(hebrew) < COUNT * 0.9
    assert all(any("א" <= letter <= "ת" for letter in one.first + one.last) for one in hebrew)
    assert all(normalise("email", one.email) == one.email for one in people)
    assert all(normalise("phone", one.phone) == one.phone for one in people if one.phone)


def test_the_year_rests_on_shabbat_and_peaks_before_the_holidays(calls):
    visits = Counter(day_of(call) for call in calls if call["type"] == "page")
    by_weekday = {weekday: sum(count for day, count in visits.items() if day.weekday() == weekday) for weekday in range(7)}
    assert by_weekday[calendar.SATURDAY] < by_weekday[calendar.FRIDAY] < by_weekday[calendar.SUNDAY]

    def weeks_before(date: dt.date) -> int:
        return sum(visits[date - dt.timedelta(days=n)] for n in range(1, 15))

    assert weeks_before(calendar.new_year(5787)) > 1.4 * weeks_before(dt.date(2026, 8, 10))
    assert weeks_before(calendar.passover(5786)) > 1.4 * weeks_before(dt.date(2026, 2, 15))
    friday = calendar.black_friday(2026)
    assert calendar.demand(friday) > 2 * calendar.demand(friday - dt.timedelta(days=7))


def test_every_call_of_the_year_can_be_imported_and_none_reaches_into_today(calls, tmp_path):
    path = tmp_path / "history.jsonl"
    assert year.write(path, seed=1, anchor=ANCHOR, base_url=BASE) == len(calls)
    chosen = mapping.load("segment")
    reading = Reading(compile_plan(chosen), file_digest=readers.digest(path), now=dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC))
    outcomes = list(reading.outcomes(readers.open_file(path, chosen).lines))
    assert [one for one in outcomes if isinstance(one, Refused)] == []
    assert len({call["messageId"] for call in calls}) == len(calls)
    assert max(day_of(call) for call in calls) < ANCHOR
    named = reading.tally.events
    assert named["Product Viewed"] > named["Product Added"] > named["Order Completed"] > named["Order Refunded"] > 0
    assert 40_000 < len(calls) < 65_000


def test_an_order_adds_up(calls):
    for order in (call["properties"] for call in calls if call.get("event") == "Order Completed"):
        agorot = {name: round(float(order[name]) * 100) for name in ("subtotal", "discount", "shipping", "revenue", "total")}
        assert agorot["subtotal"] == sum(round(float(line["price"]) * 100) * line["quantity"] for line in order["products"])
        assert agorot["revenue"] == agorot["subtotal"] - agorot["discount"]
        assert agorot["total"] == agorot["revenue"] + agorot["shipping"]


def test_every_gift_has_two_names_and_the_picture_that_is_served():
    folder = Path(crm.web.__file__).parent / "static" / "demo"
    assert {product.category for product in PRODUCTS} == set(CATEGORIES)
    assert len({product.sku for product in PRODUCTS}) == len(PRODUCTS) == 60
    for product in PRODUCTS:
        assert product.name("he") != product.name("en")
        assert (folder / f"{product.sku.lower()}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{PRODUCTS[0].sku.lower()}.png").read_bytes() == pictures.draw(PRODUCTS[0])


class Listening:
    """A door that remembers what came through it."""

    base_url = BASE

    def __init__(self) -> None:
        self.calls: list[tuple[bool, dict]] = []
        self.agreed: list[tuple[str, bool]] = []
        self.told: list[dict] = []

    def batch(self, calls, *, server, sent_at):
        self.calls += [(server, {**call, "sentAt": sent_at}) for call in calls]
        return True

    def products(self, items):
        self.told += items
        return True

    def consent(self, address, *, language, granted):
        assert language in {"he", "en"}
        self.agreed.append((address, granted))
        return True


@pytest.fixture
def played() -> tuple[Listening, Player]:
    seconds = [0.0]
    door = Listening()
    player = Player(door, 1, now=lambda: dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds[0]), steady=lambda: seconds[0])
    for _ in range(1200):
        player.step()
        seconds[0] += 0.5
    return door, player


def test_visitors_come_slowly_and_the_first_leave_a_cart_they_may_be_written_about(played):
    door, player = played
    assert 0.6 * 600 / 6 < player._came < 2.0 * 600 / 6
    carts = [call["properties"]["cart_id"] for _, call in door.calls if call.get("event") == "Product Added"]
    first = {cart for cart in carts if cart.rpartition("-")[2] in set("123456")}
    ordered = {call["properties"]["cart_id"] for _, call in door.calls if call.get("event") == "Order Completed"}
    assert len(first) == 6
    assert not first & ordered
    assert ordered
    signed_in = [call["traits"]["email"] for _, call in door.calls if call["type"] == "identify"]
    assert {address for address, _ in door.agreed[:6]} <= set(signed_in)


def test_what_proves_something_is_said_by_the_shops_server(played):
    door, _ = played
    by_server = {call.get("event") or call["type"] for server, call in door.calls if server}
    by_browser = {call.get("event") or call["type"] for server, call in door.calls if not server}
    assert by_server <= {"identify", "Order Completed"}
    assert by_browser == {"page", "Product Viewed", "Product Added", "Checkout Started"}
    assert all(call["timestamp"] == call["sentAt"] for _, call in door.calls)


def test_the_shelves_have_a_past_and_go_on_emptying_and_filling():
    seconds, door = [0.0], Listening()
    shelves = Shelves(door, 1, ANCHOR)
    start = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
    shelves.open(start)
    assert {item["variant_id"] for item in door.told} == {product.sku for product in PRODUCTS}
    past = [call for server, call in door.calls if server]
    assert {call["event"] for call in past} == {"Product Stock Changed", "Product Price Changed", "Back In Stock Requested"}
    assert len({call["messageId"] for call in past}) == len(past)
    assert all(start - dt.timedelta(days=90) < dt.datetime.fromisoformat(call["timestamp"]) < start for call in past)
    asked = {call["properties"]["sku"] for call in past if call["event"] == "Back In Stock Requested"}
    assert asked and asked <= shelves.gone
    assert [call["messageId"] for call in past[:-36]] == [call["messageId"] for call in Shelves(door, 1, ANCHOR)._past]

    player = Player(door, 1, now=lambda: start + dt.timedelta(seconds=seconds[0]), steady=lambda: seconds[0], shelves=shelves)
    door.calls.clear()
    for _ in range(2400):
        player.step()
        seconds[0] += 0.5
    live = Counter(call.get("event") for server, call in door.calls if server)
    assert min(live["Product Stock Changed"], live["Product Price Changed"], live["Order Completed"]) > 0
    told = [call["properties"]["stock"] for _, call in door.calls if call.get("event") == "Product Stock Changed"]
    assert 0 in told and max(told) > 0 and min(told) == 0
    ordered = [call for _, call in door.calls if call.get("event") == "Back In Stock Requested"]
    assert all(call["anonymousId"] for call in ordered)


def test_companies_and_hosts_ask_for_many_gifts_once():
    now = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
    asked = list(enquiries.calls(1, now))
    leads = [call for call in asked if call.get("event") == "Lead Created"]
    assert len(leads) == len({call["userId"] for call in leads}) == enquiries.MANY
    assert 8 < len([call for call in asked if call["type"] == "group"]) < enquiries.MANY
    assert all(now - dt.timedelta(hours=enquiries.HOURS) <= dt.datetime.fromisoformat(call["timestamp"]) <= now for call in asked)
    assert len({call["messageId"] for call in asked}) == len(asked)
    assert [call["messageId"] for call in enquiries.calls(1, now + dt.timedelta(days=1))] == [call["messageId"] for call in asked]
    assert {call["properties"]["source"] for call in leads} == {source for source, _cost in enquiries.SOURCES}


def test_nobody_new_comes_while_too_much_waits():
    player = Player(Listening(), 1, now=lambda: dt.datetime(2026, 11, 22, tzinfo=dt.UTC), steady=lambda: 0.0)
    player.due = [(99.0, n, False, {}) for n in range(MOST)]
    player.step()
    assert player._came == 0


def test_answers_stop_and_go_on_where_they_stopped(tmp_path):
    state = fill.State(seed=1, anchor=str(ANCHOR), imported=True, consents=len(fill.answers(1)) - 5)
    door = Listening()
    fill.consents(door, tmp_path, state)
    assert door.agreed == [(shopper.email, granted) for shopper, granted in fill.answers(1)[-5:]]
    assert not any(granted for _, granted in door.agreed), "the last answers take consent back"
    again = fill.state_of(tmp_path, seed=7, today=ANCHOR + dt.timedelta(days=1))
    assert (again.seed, again.anchor, again.consents) == (1, str(ANCHOR), len(fill.answers(1)))
    fill.consents(door, tmp_path, again)
    assert len(door.agreed) == 5
    assert json.loads((tmp_path / "state.json").read_text())["imported"]


def test_without_a_running_product_the_demo_says_what_to_start():
    with pytest.raises(KesherError, match="kesher up"):
        wait_for_web("http://127.0.0.1:9", patience=0)
