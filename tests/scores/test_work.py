"""The scoring process's steps: trainings that are asked for, rounds, comparisons, and falling back to rules."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from dataclasses import replace
from typing import Any, cast

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from crm.scores import apply, check, dirty, jobs, read, work
from crm.scores.score import Asked, find
from crm.scores.score_models import Score, ScoreCheck, ScoreFlag, ScoreJob, ScoreKind, ScoreVersion
from tests import makers
from tests.scores.makers import column, happened, own_score, people, shop
from workers import pipeline
from workers.due import due


class Sessions:
    """Sessions within the test's own transaction."""

    def __init__(self, session: Session) -> None:
        self.connection = session.connection()

    def __call__(self) -> Session:
        return Session(self.connection, expire_on_commit=False, join_transaction_mode="create_savepoint")


def settle(session: Session, now: dt.datetime) -> int:
    """Steps until nothing is left."""
    steps = 0
    while work.step(Sessions(session), makers.config(), lambda: now):
        steps += 1
        assert steps < 50
    session.expire_all()
    return steps


def test_asked_for_once_trained_and_everybody_scored(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    jobs.schedule(session, now, "Asia/Jerusalem")
    assert jobs.ask(session, "lead", user_id=None, now=now)
    assert not jobs.ask(session, "lead", user_id=None, now=now), "one is enough"
    settle(session, now)
    job = session.scalars(select(ScoreJob)).one()
    assert (job.status, job.said) == ("done", {"code": "champion", "version": 1})
    assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = 'lead' AND version_id IS NOT NULL")) == 300
    assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = 'engagement'")) == 300
    assert session.get_one(ScoreKind, "lead").apply_at == jobs.next_night(now, "Asia/Jerusalem")


def test_too_little_is_said_and_rules_stand_in(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=20, now=now)
    jobs.ask(session, "lead", user_id=None, now=now)
    settle(session, now)
    assert session.get_one(ScoreKind, "lead").notice["code"] == "not_enough"
    assert set(session.scalars(text("SELECT version_id FROM scores WHERE kind = 'lead'"))) == {None}


def test_an_event_is_answered_by_the_next_step(session: Session, now: dt.datetime) -> None:
    (dana,) = people(session, [{}], at=now - dt.timedelta(days=9))
    happened(session, [(dana, "Checkout Started", now - dt.timedelta(seconds=n), {}) for n in range(1, 7)])
    dirty.mark(session, {dana})
    settle(session, now)
    assert session.get_one(Score, (dana, "engagement")).band == "hot"
    assert session.scalar(text("SELECT count(*) FROM score_dirty")) == 0


def test_what_comes_in_by_the_pipeline_is_answered_by_the_next_step(session: Session, now: dt.datetime) -> None:
    calls = [makers.track("Checkout Started", user_id="u1", at=now - dt.timedelta(seconds=n)) for n in range(1, 7)]
    pipeline.run(session, [makers.accepted(call, now) for call in calls], now, makers.config())
    assert "score" in due(session, now)
    settle(session, now)
    assert session.scalars(select(Score.band).where(Score.kind == "engagement")).all() == ["hot"]


def test_those_who_never_rest_do_not_keep_a_training_waiting(session: Session, now: dt.datetime) -> None:
    ids = people(session, [{}, {}], at=now)
    jobs.ask(session, "engagement", user_id=None, now=now)
    dirty.mark(session, ids)
    assert work.step(Sessions(session), makers.config(), lambda: now)
    session.expire_all()
    assert session.scalar(text("SELECT count(*) FROM score_dirty")) == 0
    assert session.scalars(select(ScoreJob.status)).all() == ["failed"], "it was taken in the same step; there is nothing to train by rules"


def test_broken_promises_put_the_rules_in_place_until_a_new_version_is_trained(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    jobs.ask(session, "lead", user_id=None, now=now)
    settle(session, now)
    then = now - dt.timedelta(days=31)
    session.execute(update(ScoreVersion).values(trained_at=then))
    session.execute(text("UPDATE score_history SET at = :then, probability = 0.9, band = 'hot' WHERE kind = 'lead'"), {"then": then})
    row = jobs.row_of(session, "lead", now)
    made = check.compare(session, find(session, "lead"), config=makers.config(), now=now)
    assert made is not None
    assert made.alarm == "promises"
    assert made.bands[0]["people"] == 300
    work.react(session, row, made, now)
    assert row.rules_only
    assert row.notice["code"] == "fallback"
    settle(session, now)
    row = session.get_one(ScoreKind, "lead")
    assert not row.rules_only, "the training it asked for made a champion again"
    assert row.notice is None


def unreadable(session: Session, now: dt.datetime) -> ScoreVersion:
    """A champion that no longer loads."""
    serving = {"prepared": {}, "calibration": [1, 0], "bands": [0.5, 0.3, 0.1], "raises": {}, "spread": []}
    made = ScoreVersion(
        kind="lead", number=1, state="champion", algorithm="trees", label={}, features=[{"name": "days_7", "type": "number", "categories": []}],
        model=b"of another age", serving=serving, metrics={}, flags=[], rows=1, wins=1, trained_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def test_a_champion_that_cannot_be_read_stops_no_other_score(session: Session, now: dt.datetime) -> None:
    ids = people(session, [{}, {}], at=now - dt.timedelta(days=2))
    jobs.schedule(session, now, "Asia/Jerusalem")
    unreadable(session, now)
    dirty.mark(session, ids)
    settle(session, now)
    row = session.get_one(ScoreKind, "lead")
    assert (row.rules_only, row.notice) == (True, {"code": "broken"})
    assert session.scalars(select(ScoreJob.kind)).all() == ["lead"], "a new one is trained"
    assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = 'engagement'")) == 2
    assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = 'lead' AND version_id IS NULL")) == 2


def test_a_champion_that_cannot_be_read_stops_neither_rounds_nor_comparisons(session: Session, now: dt.datetime) -> None:
    people(session, [{}, {}], at=now - dt.timedelta(days=2))
    jobs.schedule(session, now, "Asia/Jerusalem")
    version = unreadable(session, now)
    version.features = [{"name": "gone_since", "type": "number", "categories": []}]
    session.execute(update(ScoreKind).values(check_at=now, rules_only=True, notice={"code": "by_hand"}).where(ScoreKind.kind == "lead"))
    settle(session, now)
    assert session.get_one(ScoreKind, "lead").notice == {"code": "by_hand"}, "what a person chose stays"
    assert session.scalar(text("SELECT count(*) FROM score_kinds WHERE check_at <= :now"), {"now": now}) == 0
    assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = 'engagement'")) == 2


def test_a_model_that_raises_gives_way_to_rules_and_stops_no_other_score(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = people(session, [{}, {}], at=now - dt.timedelta(days=2))
    jobs.schedule(session, now, "Asia/Jerusalem")
    good = apply.by_rules()
    raising = replace(good, version_id=7, fitted=cast("Any", object()))

    def serving(own: Session, score: Asked) -> apply.Model:
        return raising if score.kind == "lead" and not own.get_one(ScoreKind, "lead").rules_only else good

    monkeypatch.setattr(apply, "serving_model", serving)
    dirty.mark(session, ids)
    settle(session, now)
    assert session.get_one(ScoreKind, "lead").notice == {"code": "broken"}
    for kind in ("lead", "engagement"):
        assert session.scalar(text("SELECT count(*) FROM scores WHERE kind = :kind AND version_id IS NULL"), {"kind": kind}) == 2


def test_rules_that_raise_are_said_and_stop_no_other_score(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = people(session, [{}, {}], at=now - dt.timedelta(days=2))
    jobs.schedule(session, now, "Asia/Jerusalem")
    good, wrong = apply.by_rules(), replace(apply.by_rules(), cuts=())
    monkeypatch.setattr(apply, "serving_model", lambda _session, score: wrong if score.kind == "lead" else good)
    dirty.mark(session, ids)
    settle(session, now)
    assert session.get_one(ScoreKind, "lead").notice == {"code": "raises"}
    assert session.execute(text("SELECT kind, count(*) FROM scores WHERE kind IN ('lead', 'engagement') GROUP BY 1")).all() == [("engagement", 2)]
    monkeypatch.setattr(apply, "serving_model", lambda _session, _score: good)
    later = now + dt.timedelta(days=1, hours=2)
    settle(session, later)
    assert session.get_one(ScoreKind, "lead").notice is None


def test_a_score_whose_file_is_gone_stops_no_other_round(session: Session, now: dt.datetime) -> None:
    people(session, [{}], at=now)
    session.add(ScoreKind(kind="a_gone_one", created_at=now, apply_at=now))
    session.add(ScoreKind(kind="engagement", created_at=now, apply_at=now))
    session.flush()
    settle(session, now)
    assert session.scalars(select(Score.kind)).all() == ["engagement"]


def test_people_who_are_not_as_they_were_raise_the_alarm(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=300, now=now)
    jobs.ask(session, "lead", user_id=None, now=now)
    settle(session, now)
    assert session.scalars(select(ScoreCheck)).all() == []
    later = now + dt.timedelta(days=7)
    happened(session, [(one, "Product Viewed", later - dt.timedelta(hours=n), {"category": "tea"}) for one in ids for n in range(1, 13)])
    made = check.compare(session, find(session, "lead"), config=makers.config(), now=later)
    assert made is not None
    assert made.alarm == "drift"
    assert made.drift[0]["psi"] > 0.25


def test_a_person_takes_the_model_out_of_use_and_training_does_not_bring_it_back(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    jobs.use_rules(session, "lead", rules=True, now=now)
    jobs.ask(session, "lead", user_id=None, now=now)
    settle(session, now)
    assert session.get_one(ScoreKind, "lead").rules_only
    assert set(session.scalars(text("SELECT version_id FROM scores WHERE kind = 'lead'"))) == {None}


def test_only_the_scoring_process_loads_scikit_learn_and_only_with_its_first_task() -> None:
    script = "import sys, workers.web, workers.tasks, workers.clock, workers.scoring; print('sklearn' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_what_was_flagged_stays_for_a_person_to_approve_where_no_column_is_left(session: Session, now: dt.datetime) -> None:
    people(session, [{"won": n % 3 // 2, "paid": n % 3 // 2} for n in range(400)], at=now)
    column(session, "paid", "number", now=now)
    own_score(session, "wins", column_="won", values=["1"], now=now)
    jobs.ask(session, "wins", user_id=None, now=now)
    settle(session, now)
    job = session.scalars(select(ScoreJob)).one()
    assert job.status == "failed"
    assert "No column is left" in job.said["text"]
    assert session.scalars(select(ScoreFlag.feature)).all() == ["trait:paid"]
    read.approve(session, "wins", "trait:paid", yes=True, user_id=None, now=now)
    settle(session, now)
    assert [one["name"] for one in session.scalars(select(ScoreVersion)).one().features] == ["trait:paid"], "what a person approved is learned from"


def test_a_version_that_is_refused_does_not_forget_that_a_person_chose_rules(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.use_rules(session, "lead", rules=True, now=now)
    monkeypatch.setattr(work.train, "train", lambda *_args, **_more: ScoreVersion(kind="lead", number=2, state="refused"))
    work.train_now(session, find(session, "lead"), config=makers.config(), now=now)
    assert session.get_one(ScoreKind, "lead").notice == {"code": "by_hand"}


def test_rounds_that_are_waited_for_are_alone_and_rank_anew(session: Session, now: dt.datetime) -> None:
    ids = people(session, [{}, {}], at=now - dt.timedelta(days=2))
    jobs.row_of(session, "engagement", now)
    held, heard = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :lock AND objid = 0 AND pid = pg_backend_pid()", []

    def after(inner: Session, whose: list[uuid.UUID], _now: dt.datetime) -> None:
        assert inner.scalar(text(held), {"lock": work.LOCK}), "no step of the scoring process goes on beside it"
        heard.extend(whose)

    work.rounds(Sessions(session), makers.config(), lambda: now, after)  # type: ignore[arg-type]  # as everywhere here
    assert sorted(heard) == sorted(ids)
