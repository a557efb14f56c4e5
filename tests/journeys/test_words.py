"""What the screens say of journeys, in the language of the page."""

from __future__ import annotations

import datetime as dt

import pytest
from flask import Flask
from flask_babel import force_locale

from crm.segments.rule import Sentence
from crm.web import segment_form
from crm.web.words import event_title
from journeys import words
from journeys.node import Sentence as Told


@pytest.mark.parametrize(("weeks", "said"), [(1, "שבוע"), (2, "שבועיים"), (10, "10 שבועות")])
def test_weeks_are_words_in_hebrew_too(app: Flask, weeks: int, said: str) -> None:
    with app.test_request_context(), force_locale("he"):
        assert said in words.duration(dt.timedelta(weeks=weeks))


def test_a_rule_of_days_says_how_often(app: Flask) -> None:
    with app.test_request_context(), force_locale("he"):
        assert words.recurrence("FREQ=DAILY") == "כל יום"
        assert words.recurrence("FREQ=YEARLY;BYMONTH=5") == "כל שנה (FREQ=YEARLY;BYMONTH=5)"
        assert words.recurrence("RRULE:FREQ=MONTHLY") == "כל חודש"


def test_values_of_a_sentence_are_words(app: Flask) -> None:
    with app.test_request_context(), force_locale("he"):
        assert words.say(Told("%(channel)s", {"channel": "email"})) == "דוא״ל"
        assert words.say(Told("%(value)s", {"value": True})) == "כן"
        assert "כן" in segment_form.words(Sentence("%(value)s", {"value": True}))
        assert "הזמנות" in segment_form.words(Sentence("%(name)s", {"name": "orders"}))
        assert "דוא״ל" in segment_form.rule_words({"kind": "consent", "topic": "offers", "channel": "email"})


def test_a_score_s_band_has_its_words_in_the_timeline(app: Flask) -> None:
    with app.test_request_context(), force_locale("he"):
        assert event_title("Score Band Changed") == "הציון עבר לדרגה אחרת"
