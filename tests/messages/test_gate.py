"""The gate as a function of values."""

from __future__ import annotations

import datetime as dt

import pytest

from crm.messages.gate import CHAIN, REASONS, Drop, Facts, Hold, Send, decide

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
GOOD = {"purpose": "marketing", "address": "dana@example.com", "consent": "granted", "relevant": True}


def asked(**changes):
    return decide(Facts(**GOOD | changes))[0]


def test_a_person_who_agreed_gets_what_still_matters():
    assert asked() == Send()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"address": None}, "no_address"),
        ({"suppressions": frozenset({"erased"})}, "erased"),
        ({"suppressions": frozenset({"bounce"})}, "bounce"),
        ({"suppressions": frozenset({"complaint"})}, "complaint"),
        ({"suppressions": frozenset({"unsubscribed"})}, "unsubscribed"),
        ({"consent": None}, "no_consent"),
        ({"consent": "refused"}, "consent_refused"),
        ({"paused": True}, "marketing_paused"),
        ({"relevant": False}, "no_longer_relevant"),
        ({"repeats": True}, "duplicate"),
    ],
)
def test_each_objection_has_its_reason(changes, reason):
    assert asked(**changes) == Drop(reason)
    assert reason in REASONS


@pytest.mark.parametrize("reason", ["erased", "bounce", "complaint"])
def test_what_stops_everything_stops_receipts_too(reason):
    assert asked(purpose="transactional", suppressions=frozenset({reason})) == Drop(reason)


def test_unsubscribing_from_marketing_leaves_receipts():
    assert asked(purpose="transactional", consent="refused", suppressions=frozenset({"unsubscribed"})) == Send()


def test_who_is_left_alone_gets_receipts():
    assert asked(purpose="transactional", paused=True) == Send()


def test_the_first_objection_decides():
    answer, question = decide(Facts("marketing", "a@b.example", frozenset({"bounce"}), None, False, True))
    assert (answer, question) == (Drop("bounce"), "not_suppressed")


def test_a_further_question_is_one_more_function():
    night = Hold(NOW, "quiet_hours")
    assert decide(Facts(**GOOD), (*CHAIN, lambda facts: night))[0] == night
