"""What a public key says never contradicts what the shop's own systems said."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import pytest
from sqlalchemy import text

from crm.commerce import rebuild
from crm.events.models import HISTORY
from crm.events.spec import BROWSER as BROWSER_KEY
from crm.events.spec import IMPORTED, trust_of
from tests import makers
from tests.makers import accepted, track
from workers import pipeline

SHOP, BROWSER, FILE = {"trusted": True}, {"trusted": False}, {"trusted": True, "origin": HISTORY}


@pytest.fixture
def say(session, now):
    """Run calls, each (name, properties, minutes ago, user, how), one by one or in another order than they were accepted."""

    def run(*calls, order=None):
        batch = [accepted(track(name, more, at=now - dt.timedelta(minutes=ago), user_id=user), now, **how) for name, more, ago, user, how in calls]
        for number in order or range(len(batch)):
            pipeline.run(session, [batch[number]], now, makers.config())

    return run


def the_order(session):
    """Revenue, refunded, whether it stands, and whose it is."""
    found = session.execute(
        text(
            "SELECT revenue, refunded, cancelled_at IS NULL AS stands, i.value AS whose FROM orders o"
            " JOIN identities i ON i.profile_id = o.profile_id AND i.kind = 'user_id'"
        )
    ).one()
    return found.revenue, found.refunded, found.stands, found.whose


def reported(revenue, ago, how, user="dana", name="Order Completed"):
    return name, {"order_id": "o1", "revenue": revenue}, ago, user, how


def refunded(amount, ago, how, key="r1", user="dana"):
    return "Order Refunded", {"order_id": "o1", "refund_id": key} | ({"amount": amount} if amount else {}), ago, user, how


def cancelled(ago, how):
    return "Order Cancelled", {"order_id": "o1"}, ago, "dana", how


def test_a_browser_s_newer_report_refund_and_cancellation_change_nothing_the_shop_said(session, say):
    say(reported(100, 9, SHOP), reported(1, 8, BROWSER, name="Order Updated"), refunded(None, 7, BROWSER), cancelled(6, BROWSER), refunded(30, 5, SHOP, "r2"))
    assert the_order(session) == (100, 30, True, "dana")


def test_what_a_browser_said_first_gives_way(session, say):
    say(reported(1, 9, BROWSER), refunded(None, 8, BROWSER), cancelled(7, BROWSER))
    assert the_order(session) == (1, 1, False, "dana")
    say(reported(100, 99, SHOP))
    assert the_order(session) == (100, 0, True, "dana")


def test_where_only_browsers_speak_they_are_believed(session, say):
    say(reported(50, 9, BROWSER), refunded(20, 8, BROWSER))
    assert the_order(session) == (50, 20, True, "dana")


def test_a_back_office_s_refund_counts_on_an_order_only_the_site_told_of(session, say):
    say(reported(50, 9, BROWSER), refunded(20, 8, SHOP))
    assert the_order(session) == (50, 20, True, "dana")


def test_an_order_guessed_in_advance_goes_to_whom_the_shop_names(session, say, now):
    say(reported(1, 9, BROWSER, user="mallory"), reported(100, 8, SHOP, user="dana"))
    assert the_order(session) == (100, 0, True, "dana")
    ids = [row.id for row in makers.profiles(session)]
    assert rebuild.differences(session, ids, currency="ILS") == []


def test_a_file_s_word_gives_way_to_the_live_system_and_adds_refunds_of_its_own(session, say):
    say(reported(100, 9, SHOP), reported(70, 5, FILE), refunded(10, 4, FILE, "r9"))
    assert the_order(session) == (100, 10, True, "dana")


def test_a_refund_said_twice_counts_as_the_shop_said_it_last(session, say):
    say(reported(100, 9, SHOP), refunded(10, 8, SHOP), refunded(15, 7, SHOP), refunded(99, 6, FILE))
    assert the_order(session) == (100, 15, True, "dana")


def test_an_uploaded_file_is_told_from_a_replayed_call_by_its_cause():
    assert trust_of(trusted=False, origin=HISTORY, cause="import:3") == IMPORTED
    assert trust_of(trusted=False, origin=HISTORY, cause=None) == BROWSER_KEY


SAID = (
    reported(1, 9, BROWSER), reported(100, 8, SHOP), reported(70, 3, FILE), refunded(None, 7, BROWSER), refunded(20, 6, SHOP, "r2"),
    refunded(25, 5, SHOP, "r2"), cancelled(4, BROWSER),
)  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(SAID))))[::211])
def test_the_order_of_processing_does_not_matter(session, say, order):
    say(*SAID, order=order)
    assert the_order(session) == (100, Decimal(25), True, "dana")
    assert session.scalar(text("SELECT ordered_at = max(occurred_at) FILTER (WHERE properties->>'revenue' = '100') FROM orders, events GROUP BY ordered_at"))
    assert rebuild.differences(session, [row.id for row in makers.profiles(session)], currency="ILS") == []
