"""What the screens say of journeys, in the language of the page."""

from __future__ import annotations

import datetime as dt

import pytest
from flask import Flask
from flask_babel import force_locale

from crm.segments.rule import Sentence
from crm.web import segment_form
from crm.web.isolates import duration
from crm.web.words import event_title
from journeys import words
from journeys.node import Sentence as Told
from journeys.nodes.rate_limit import RateLimit
from journeys.nodes.wait import Wait
from journeys.recurrence import recurrence
from journeys.rules import OPERATORS


@pytest.mark.parametrize(("weeks", "said"), [(1, "שבוע"), (2, "שבועיים"), (10, "10 שבועות")])
def test_weeks_are_words_in_hebrew_too(app: Flask, weeks: int, said: str) -> None:
    with app.test_request_context(), force_locale("he"):
        assert said in duration(dt.timedelta(weeks=weeks))


@pytest.mark.parametrize(
    ("rule", "english", "hebrew"),
    [
        ("FREQ=DAILY", "every day", "כל יום"),
        ("RRULE:FREQ=MONTHLY", "every month", "כל חודש"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "every 2 weeks, on Monday or Thursday", "כל 2 שבועות, ביום שני או יום חמישי"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "every month, on the last Friday", "כל חודש, ביום שישי האחרון"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,-1", "every month, on day 1 or last of the month", "כל חודש, ביום 1 או האחרון בחודש"),
        ("FREQ=MONTHLY;COUNT=1", "every month, once in all", "כל חודש, פעם אחת בסך הכול"),
        ("FREQ=MONTHLY;COUNT=6", "every month, 6 times in all", "כל חודש, 6 פעמים בסך הכול"),
        (
            "FREQ=YEARLY;BYMONTH=11;BYDAY=WE;BYMONTHDAY=21,22,23,24,25,26,27",
            "every year, in November, on Wednesday, on day 21–27 of the month",
            "כל שנה, בחודש נובמבר, ביום רביעי, ביום 21–27 בחודש",
        ),
        ("FREQ=WEEKLY;BYDAY=1MO", "every week, on Monday", "כל שבוע, ביום שני"),
        ("FREQ=YEARLY;BYMONTH=1,13", "every year (FREQ=YEARLY;BYMONTH=1,13)", "כל שנה (FREQ=YEARLY;BYMONTH=1,13)"),
        ("FREQ=MONTHLY;BYMONTHDAY=0,1", "every month (FREQ=MONTHLY;BYMONTHDAY=0,1)", "כל חודש (FREQ=MONTHLY;BYMONTHDAY=0,1)"),
        ("FREQ=DAILY;BYSETPOS=2", "every day (FREQ=DAILY;BYSETPOS=2)", "כל יום (FREQ=DAILY;BYSETPOS=2)"),
    ],
)
def test_a_rule_of_days_says_how_often_in_words(app: Flask, rule: str, english: str, hebrew: str) -> None:
    for language, said in (("en", english), ("he", hebrew)):
        with app.test_request_context(), force_locale(language):
            assert recurrence(rule) == said


def test_values_of_a_sentence_are_words(app: Flask) -> None:
    with app.test_request_context(), force_locale("he"):
        assert words.say(Told("%(channel)s", {"channel": "email"})) == "דוא״ל"
        assert words.say(Told("%(value)s", {"value": True})) == "כן"
        assert "כן" in segment_form.words(Sentence("%(value)s", {"value": True}))
        assert "הזמנות" in segment_form.words(Sentence("%(name)s", {"name": "orders"}))
        assert "דוא״ל" in segment_form.rule_words({"kind": "consent", "topic": "offers", "channel": "email"})


def test_once_is_a_word_and_no_number(app: Flask) -> None:
    asked = [{"of": "did", "name": "Came", "op": op, "value": value} for op in OPERATORS["did"]["enum"] for value in (1, "1")]
    limit = RateLimit().summary(RateLimit.settings_type.model_validate({"limit": 1, "per": "1d"}))
    for language, once in (("en", "once"), ("he", "פעם אחת")):
        with app.test_request_context(), force_locale(language):
            said = [words.criterion(each) for each in asked]
            assert not any("1" in each for each in said), said
            assert sum(once in each for each in said) == len(said) - 2, said  # at least once is: did it
            assert not words.say(limit).startswith("1 ")


def test_one_of_several_segments_is_enough_for_a_wait(app: Flask) -> None:
    for language, said in (("en", "vip or club"), ("he", "vip או club")):
        with app.test_request_context(), force_locale(language):
            wait = Wait()
            assert said in words.say(wait.summary(wait.settings_type.model_validate({"for": "1d", "segments": ["vip", "club"]})))


def test_a_score_s_band_has_its_words_in_the_timeline(app: Flask) -> None:
    with app.test_request_context(), force_locale("he"):
        assert event_title("Score Band Changed") == "הציון עבר לדרגה אחרת"
