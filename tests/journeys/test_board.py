"""What a process has parsed belongs to the database it was read from."""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from journeys import board, publish


def leaving(reason: str) -> dict[str, object]:
    trigger = {"kind": "event", "settings": {"event": reason}}
    return {"name": {"en": "G"}, "trigger": trigger, "entry": "end", "nodes": {"end": {"kind": "stop", "settings": {"reason": "done"}}}}


def test_two_databases_whose_journeys_have_the_same_number_and_hour_are_told_apart(fresh_url, session, now):
    publish.publish(session, "first", leaving("Came"), now=now)
    one = session.scalar(text("SELECT id FROM journeys"))
    engine = create_engine(fresh_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as other:
        other.execute(text("SELECT setval(pg_get_serial_sequence('journeys', 'id'), :id, false)"), {"id": one})
        publish.publish(other, "second", leaving("Went"), now=now)
        assert other.scalar(text("SELECT id FROM journeys")) == one
        assert (set(board.read(session).starts), set(board.read(other).starts)) == ({"Came"}, {"Went"})
    engine.dispose()
