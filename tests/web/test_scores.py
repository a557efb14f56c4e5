"""The score pages: lists, figures with plots, flags, own labels, what a person says against a score; by the roles that may, in both languages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from crm.core import clock
from crm.scores import train
from crm.scores.score import find
from crm.scores.score_models import Score, ScoreCheck, ScoreFlag, ScoreJob, ScoreKind, ScoreLabel, ScorePast
from tests import makers
from tests.scores.makers import column, people, shop
from tests.scores.test_work import settle
from tests.web.conftest import Browser
from workers.due import due


def looked(browser: Browser, path: str) -> str:
    """The page in both languages, small enough; returns the English one."""
    for language in ("he", "en"):
        answer = browser.get(path, language)
        assert answer.status_code == 200, (path, language, answer.text[-900:])
        assert len(answer.data) < 100 * 1024
    return answer.text


@pytest.fixture
def trained(session: Session, now: dt.datetime) -> list[object]:
    """A shop whose lead score was trained and applied."""
    ids = shop(session, people_count=300, now=now)
    session.add(ScoreJob(kind="lead", asked_at=now))
    session.flush()
    settle(session, now)
    return list(ids)


def test_an_installation_of_today_shows_every_score_by_rules(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("viewer")
    page = looked(browser, "/scores")
    assert page.count("Rules by points") == 4
    assert 'href="/scores/new"' not in page
    assert "No version was trained yet" in looked(browser, "/scores/lead")
    assert "Points for what people do" in looked(browser, "/scores/engagement")
    assert "No version was trained yet" in looked(browser, "/scores/churn/card")
    assert browser.get("/scores/nonsense").status_code == 404


def test_a_trained_score_shows_how_good_it_is(browser_as: Callable[[str], Browser], trained: list[object], session: Session, now: dt.datetime) -> None:
    browser = browser_as("marketer")
    assert "Version 1" in looked(browser, "/scores")
    page = looked(browser, "/scores/lead")
    for words in ("Calibration", "Lift by tenth", "ROC", "What moves it", "Won in all"):
        assert words in page
    assert page.count('<svg class="k-chart"') == 3
    assert page.count("Numbers behind it") == 3
    assert "judged on" in page
    card = looked(browser, "/scores/lead/card")
    assert "What it does not know" in card
    assert "Saabas" in card or "Weight times distance" in card
    train.train(session, find(session, "lead"), config=makers.config(), now=now)
    assert "Beside version" in looked(browser, "/scores/lead/card")
    bands = [{"band": "hot", "people": 60, "promised": 0.4, "actual": 0.3, "earlier": True, "broken": False}]
    session.add(ScoreCheck(kind="lead", version_id=1, at=clock.now(), bands=bands, drift=[], alarm=None))
    session.commit()
    assert "Promised by earlier versions" in looked(browser, "/scores/lead")
    fragment = looked(browser, f"/scores/of/{trained[5]}")
    assert "Buys within 30 days" in fragment
    assert "It will happen" in fragment
    assert "It will happen" in looked(browser, f"/scores/of/{trained[5]}?kind=lead&part=wrong")
    browser.post("/scores/lead", page="/scores/lead", act="rules")
    settle(session, dt.datetime.now(dt.UTC))
    assert "Somebody here chose rules" in looked(browser, "/scores/lead")
    assert "points, by rules" in looked(browser, f"/scores/of/{trained[5]}")
    first = session.scalars(select(ScorePast.id).where(ScorePast.profile_id == trained[5], ScorePast.version_id.is_not(None))).one()
    past = f"/scores/of/{trained[5]}/past/{first}"
    assert past in looked(browser, f"/scores/of/{trained[5]}")
    assert "Being worked out" in browser.post(past, page="/scores/lead").text
    assert "score" in due(session, now)
    settle(session, dt.datetime.now(dt.UTC))
    assert "the same number" in looked(browser, past)
    session.execute(update(ScorePast).values(told={"probability": 0.5, "reasons": [], "why": ["team"]}))
    assert "colleagues are counted as they are today" in looked(browser, past)
    assert browser.get(f"/scores/of/{trained[6]}/past/{first}").status_code == 404
    browser.post("/scores/lead", page="/scores/lead", act="apply")
    session.expire_all()
    row = session.get_one(ScoreKind, "lead")
    assert row.apply_at is not None
    assert row.apply_at <= clock.now()
    assert "Everybody is being scored" in browser.get("/scores/lead").text
    browser.post("/scores/lead", page="/scores/lead", act="model")
    session.expire_all()
    assert not session.get_one(ScoreKind, "lead").rules_only


def test_a_salesperson_contradicts_a_score_and_the_next_training_learns_it(
    browser_as: Callable[[str], Browser], trained: list[object], session: Session
) -> None:
    browser = browser_as("sales")
    assert "it will happen" in browser.post(f"/scores/of/{trained[3]}/wrong", page="/account", kind="lead", will="yes").text
    said = session.scalars(select(ScoreLabel)).one()
    assert (said.kind, said.positive, said.version_id) == ("lead", True, session.get_one(Score, (trained[3], "lead")).version_id)
    assert "Take back" in looked(browser, f"/scores/of/{trained[3]}?kind=lead&part=wrong")
    assert "It will not" in browser.post(f"/scores/of/{trained[3]}/wrong", page="/account", kind="lead", will="back").text
    assert session.scalars(select(ScoreLabel)).all() == []
    assert browser.post("/scores/lead", page="/account", act="train").status_code == 403
    assert browser_as("viewer").post(f"/scores/of/{trained[3]}/wrong", kind="lead", will="yes").status_code == 403


def test_a_flagged_column_is_shown_with_its_evidence_and_approved(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    evidence = [
        {"code": "alone", "auc": 0.918}, {"code": "presence", "with": 0.57, "without": 0.21, "filled": 100, "empty": 100},
        {"code": "sure", "values": ["<b>won</b>"], "rate": 0.97, "share": 0.7}, {"code": "late", "share": 0.9, "of": 300},
    ]  # fmt: skip
    session.add(ScoreFlag(kind="lead", feature="trait:Tags", evidence=evidence, found_at=now))
    session.commit()
    browser = browser_as("admin")
    page = looked(browser, "/scores/lead")
    assert "Left out until a person approves" in page
    assert "0.918" in page
    assert "<b>won" not in page
    assert browser.post("/scores/lead", page="/scores/lead", act="approve", feature="trait:Tags").status_code == 302
    session.expire_all()
    assert session.get_one(ScoreFlag, ("lead", "trait:Tags")).approved_at is not None
    assert session.scalars(select(ScoreJob.kind)).all() == ["lead"], "and it is trained anew"
    assert "Being trained" in looked(browser, "/scores/lead")
    assert "It begins in a moment" in browser.get("/scores/lead/job").text
    assert browser.post("/scores/lead", page="/scores/lead", act="approve", feature="trait:none").status_code == 404


def test_a_company_makes_its_own_label(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    people(session, [{"Converted": "1" if n % 3 else "0"} for n in range(30)], at=now)
    column(session, "Converted", "number", now=now)
    session.commit()
    browser = browser_as("marketer")
    assert "Converted (1, 0)" in looked(browser, "/scores/new")
    for goal, wrong in (("event", "Say what counts"), ("deal", "Say what counts"), ("column", "Say what counts")):
        assert wrong in browser.post("/scores/new", page="/scores/new", title="X", goal=goal, event="", stage="", column="Converted", values="").text
    assert "from 1 to 365" in browser.post("/scores/new", page="/scores/new", title="X", goal="event", event="Quote Requested", days="x").text
    nobody = browser.post("/scores/new", page="/scores/new", title="X", goal="column", column="Converted", values="won", days="30").text
    assert "Nobody has such a value in this column" in nobody
    assert session.scalars(select(ScoreKind.kind).where(ScoreKind.label.is_not(None))).all() == []
    answer = browser.post("/scores/new", page="/scores/new", title="Converts <b>", goal="column", column="Converted", values="1, yes", days="30")
    assert answer.location == "/scores/converts_b"
    assert session.get_one(ScoreKind, "converts_b").label["values"] == ["1", "yes"]
    settle(session, now)
    page = looked(browser, "/scores/converts_b")
    assert "Not enough data" in page
    assert re.search(r"<bdi>20</bdi> wins among <bdi>30</bdi>", page)
    looked(browser, "/scores")
    browser.post("/scores/converts_b", page="/scores/converts_b", act="remove")
    assert browser.get("/scores/converts_b").status_code == 404
    assert session.scalar(text("SELECT count(*) FROM score_jobs WHERE kind = 'converts_b'")) == 0


def test_every_notice_is_a_sentence_in_both_languages(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    browser = browser_as("admin")
    session.add(ScoreKind(kind="lead", created_at=now))
    session.commit()
    for notice, words in (
        ({"code": "fallback", "band": "hot", "promised": 0.5, "actual": 0.1}, "Rules by points are in use"),
        ({"code": "drift", "feature": "days_7", "psi": 0.31}, "PSI 0.31"),
        ({"code": "refused", "version": 3}, "no better than rules"),
        ({"code": "broken"}, "cannot be read any more"),
    ):
        session.get_one(ScoreKind, "lead").notice = notice
        session.commit()
        assert words in looked(browser, "/scores/lead")


def test_what_was_a_week_ago_is_told_of_the_same_nature_alone(browser_as: Callable[[str], Browser], session: Session) -> None:
    now = clock.now()
    (dana,) = people(session, [{}], at=now - dt.timedelta(days=30))
    session.add(Score(profile_id=dana, kind="lead", probability=0.2, band="cool", reasons=[], at=now))
    past = ScorePast(profile_id=dana, kind="lead", probability=0.38, band="warm", version_id=5, at=now - dt.timedelta(days=8))
    session.add(past)
    session.commit()
    browser = browser_as("sales")
    assert "a week ago" not in browser.get(f"/leads/{dana}").text, "a chance is not compared with points"
    past.version_id = None
    session.commit()
    assert re.search(r"<small>\D*38\D* a week ago", page := browser.get(f"/leads/{dana}").text), page[-3000:]
    assert "38%" not in re.sub(r"<[^>]*>|\s|[\u2066-\u2069]", "", page)


def test_points_are_no_chance_so_no_money_is_expected_of_them(browser_as: Callable[[str], Browser], session: Session) -> None:
    now = clock.now()
    (dana,) = people(session, [{}], at=now - dt.timedelta(days=30))
    score = Score(profile_id=dana, kind="lead", probability=0.22, band="cool", reasons=[], at=now)
    session.add(score)
    insert = "INSERT INTO leads (profile_id, status, status_at, created_at, open, worth, rank) VALUES (:id, 'new', :now, :now, true, 66, 1)"
    session.execute(text(insert), {"id": dana, "now": now})
    session.commit()
    browser = browser_as("sales")
    for page in ("/leads?view=all", f"/leads/{dana}"):
        assert not re.search(r"(?<!\d)66(?!\d)", re.sub(r"<[^>]*>", "", browser.get(page).text)), page
    assert "points are no chance" in browser.get(f"/leads/{dana}").text
    score.version_id = 5
    session.commit()
    assert re.search(r"(?<!\d)66(?!\d)", re.sub(r"<[^>]*>", "", browser.get("/leads?view=all").text)), "a chance makes money of it"
