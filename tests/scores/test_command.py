"""`kesher scores`: trained, applied and told of on a terminal, with an exit code."""

from __future__ import annotations

import datetime as dt
from argparse import Namespace
from contextlib import nullcontext

import pytest
from sqlalchemy import text

from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError, NotFoundError
from crm.scores.score_models import Score, ScoreFlag
from tests import makers
from tests.scores.makers import happened, shop
from workers.commands import scores

LEAD = "INSERT INTO leads (profile_id, status, status_at, created_at, open, worth, rank) VALUES (:id, 'new', :now, :now, true, 0, 0)"

EVIDENCE = [{"code": "late", "share": 0.9, "of": 300}, {"code": "sure", "values": ["won"], "rate": 0.97, "share": 0.7}]


def test_a_score_is_trained_applied_and_told_of(fresh_url: str, now: dt.datetime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = makers.config(database_url=fresh_url)
    monkeypatch.setattr(scores, "opened", lambda _home: nullcontext(config))
    with sessions(engine_for(fresh_url))() as session:
        ids = shop(session, people_count=300, now=now)
        session.execute(text(LEAD), {"id": ids[0], "now": now})
        session.add(ScoreFlag(kind="churn", feature="trait:Tags", evidence=EVIDENCE, found_at=now))
        session.commit()

    def called(action: object, kind: str | None) -> tuple[int, str]:
        return action(Namespace(home=None, kind=kind)), capsys.readouterr().out  # type: ignore[operator]  # one of the four

    with pytest.raises(InvalidError, match="less than two windows"):
        called(scores.learn, "churn")
    code, said = called(scores.learn, "lead")
    assert code == 0
    assert "Version 1 of lead is the champion" in said
    assert "300 people" in called(scores.score, "lead")[1]
    code, said = called(scores.tell, None)
    assert code == 0
    assert "engagement: Engagement" in said
    assert "left out: trait:Tags\n    For 90% of 300 winners it was told only after they had won.\n    70% of all wins have the values won" in said
    assert "judged on 300 rows" in said
    assert "no alarm" in called(scores.judge, "lead")[1]
    with sessions(engine_for(fresh_url))() as session:
        assert session.scalar(text("SELECT rank FROM leads")) != 0, "whose score was written is ranked anew"
        kept = session.get_one(Score, (ids[0], "lead"))
        happened(session, [(ids[0], "Order Completed", kept.at + dt.timedelta(seconds=1), {"revenue": 1})])
        session.commit()
    asked = {"home": None, "kind": "lead", "who": str(ids[0]), "at": None, "version": None}
    assert scores.account(Namespace(**asked)) == 0
    said = capsys.readouterr().out
    assert said.count(f"{kept.probability:.6f} ({kept.band})") == 2
    assert f"{kept.reasons[0]['points']:+.1f}  {kept.reasons[0]['feature']}" in said
    with sessions(engine_for(fresh_url))() as session:
        session.execute(text("UPDATE scores SET probability = probability + 0.1"))
        session.commit()
    assert scores.account(Namespace(**asked)) == 1
    assert "not the same: Some of this person’s events of that time are no longer in the log." in capsys.readouterr().out
    with pytest.raises(NotFoundError):
        scores.account(Namespace(**asked | {"version": 9}))
    with pytest.raises(NotFoundError):
        called(scores.learn, "nonsense")
