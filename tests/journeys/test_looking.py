"""What somebody did and which segments they are in, as a branch asks: live, tried, lived again, replayed, checked and told."""

from __future__ import annotations

import datetime as dt
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import force_locale
from pydantic import ValidationError
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.events.models import HISTORY, LIVE
from crm.events.spec import Happened
from crm.segments.refresh import lapse_due
from journeys import differences, graph, install, lint, looking, publish, story, view, words
from journeys.engine import wake_due
from journeys.node import Count, Look, RunEvent
from journeys.passage import Passage
from journeys.rules import Criterion, Filter
from journeys.simulate import Somebody, tell
from tests.journeys import test_backtest_life, test_backtest_replay
from tests.journeys.test_segments import drain
from tests.makers import track
from tests.segments.test_refresh import CONFIG, happen, make

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
ORDER = "Order Completed"
BUYERS = {"kind": "did", "event": ORDER}


def asking(*criteria: dict[str, Any], wait: str = "2h") -> dict[str, Any]:
    """A journey that waits, then asks."""
    branch = {"kind": "branch", "settings": {"ways": [{"exit": "yes", "when": list(criteria)}]}, "exits": {"yes": "yes", "otherwise": "no"}}
    waits = {"kind": "wait", "settings": {"for": wait}, "exits": {"next": "ask"}}
    ends = {name: {"kind": "stop", "settings": {"reason": name}} for name in ("yes", "no")}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    return {"name": {"en": "Asks"}, "trigger": trigger, "entry": "wait", "nodes": {"wait": waits, "ask": branch} | ends}


def did(**more: Any) -> dict[str, Any]:
    return {"of": "did", "name": ORDER} | more


def order(at: dt.datetime, who: str = "anna", total: int = 10) -> Any:
    return track(ORDER, {"order_id": f"{who}{at}{total}", "total": total, "lines": []}, at=at, user_id=who)


def wake(session: Session, at: dt.datetime) -> None:
    while wake_due(session, at, 1000, CONFIG):
        pass


def ends(session: Session) -> list[str]:
    return list(session.scalars(text("SELECT end_reason FROM runs ORDER BY started_at, id")))


def went(session: Session, now: dt.datetime, drawing: dict[str, Any], *orders: dt.datetime) -> str:
    """How it ended for Anna, who signs up now and orders at these times, after two hours."""
    publish.publish(session, "asks", drawing, now=now - 40 * DAY)
    for at in sorted(at for at in orders if at < now):
        happen(session, at, order(at))
    happen(session, now, track("Signed Up", at=now, user_id="anna"))
    for at in sorted(at for at in orders if at > now):
        happen(session, at, order(at))
    wake(session, now + 3 * HOUR)
    return ends(session)[-1]


@pytest.mark.parametrize(
    ("asked", "orders", "way"),
    [
        (did(), [-HOUR], "no"),
        (did(), [HOUR], "yes"),
        (did(op="at_most", value=0), [-HOUR], "yes"),
        (did(op="at_least", value="2"), [-HOUR, HOUR], "no"),
        (did(op="is", value=2), [HOUR, 1.5 * HOUR], "yes"),
        (did(within="1d"), [-20 * HOUR], "yes"),
        (did(within="1d"), [-24 * HOUR], "no"),
        (did(within="30d", op="at_least", value=2), [-10 * DAY, -3 * HOUR], "yes"),
        (did(where=[{"name": "total", "op": "at_least", "value": 10}]), [HOUR], "yes"),
        (did(where=[{"name": "total", "op": "more_than", "value": 10}]), [HOUR], "no"),
    ],
)
def test_what_was_done_is_counted_since_the_run_began_or_in_a_window(
    session: Session, now: dt.datetime, asked: dict[str, Any], orders: list[dt.timedelta], way: str
) -> None:
    assert went(session, now, asking(asked), *(now + each for each in orders)) == way


def test_what_came_in_late_counts_by_when_it_happened(session: Session, now: dt.datetime) -> None:
    publish.publish(session, "asks", asking(did()), now=now - DAY)
    happen(session, now, track("Signed Up", at=now, user_id="anna"), track("Signed Up", at=now, user_id="bea"))
    happen(session, now + HOUR, order(now - HOUR), order(now + HOUR / 2, "bea"), origin=HISTORY)
    wake(session, now + 3 * HOUR)
    rows = session.execute(text("SELECT i.value, r.end_reason FROM runs r JOIN identities i USING (profile_id)"))
    assert {row.value: row.end_reason for row in rows} == {"anna": "no", "bea": "yes"}


@pytest.mark.parametrize(("op", "buys", "way"), [("is", True, "yes"), ("is", False, "no"), ("is_not", True, "no"), ("is_not", False, "yes")])
def test_who_is_in_a_segment_goes_another_way(session: Session, now: dt.datetime, op: str, buys: bool, way: str) -> None:
    make(session, now - DAY, "buyers", BUYERS)
    orders = [now + HOUR] if buys else []
    assert went(session, now, asking({"of": "segment", "name": "buyers", "op": op}), *orders) == way


def test_rule_and_inputs_are_kept_with_the_step_and_told(app: Flask, session: Session, now: dt.datetime) -> None:
    make(session, now - DAY, "buyers", BUYERS)
    went(session, now, asking(did(within="1d"), {"of": "segment", "name": "buyers"}), now - HOUR)
    row = session.execute(text("SELECT node, round, exit, detail, at FROM run_steps WHERE node = 'ask'")).one()
    assert row.detail["conditions"][0] == {"of": "did", "name": ORDER, "op": "at_least", "value": 1, "within": "1d", "where": []}
    since = (now + 3 * HOUR - DAY).isoformat()
    assert row.detail["looked"] == {"did": [{"event": ORDER, "times": 1, "since": since}], "segments": {"buyers": True}}
    with app.test_request_context():
        with force_locale("en"):
            assert words.why(view.StepRow(*row)) == "Order placed: 1, in the segment “buyers”"
        with force_locale("he"):
            assert "בקהל ”buyers“" in words.why(view.StepRow(*row))


def test_many_runs_are_answered_by_as_many_statements_as_one(session: Session, now: dt.datetime) -> None:
    make(session, now - DAY, "buyers", BUYERS)
    publish.publish(session, "asks", asking(did(), did(name="Product Viewed", within="1d"), {"of": "segment", "name": "buyers"}), now=now - DAY)
    said: list[str] = []
    many: list[int] = []
    event.listen(session.connection(), "before_cursor_execute", lambda *args: said.append(args[2]))
    for round_, people in enumerate((1, 30)):
        at = now + round_ * DAY
        happen(session, at, *(track("Signed Up", at=at, user_id=f"u{n}") for n in range(people)))
        happen(session, at + HOUR, *(order(at + HOUR, f"u{n}") for n in range(people)))
        said.clear()
        wake(session, at + 3 * HOUR)
        many.append(len([each for each in said if "s.place" in each or "memberships" in each]))
    assert many == [3, 3]
    assert ends(session) == ["no"] * 31


def test_both_readers_count_alike(session: Session, now: dt.datetime) -> None:
    chance = random.Random(7)
    for number in range(60):
        at = now - dt.timedelta(minutes=chance.randint(0, 600))
        happen(session, now, order(at, f"u{number % 3}", total=chance.randint(1, 5)))
    rows = session.execute(text("SELECT profile_id, occurred_at, accepted, source_id, name, properties FROM events ORDER BY occurred_at, accepted")).all()
    drawn = graph.parse(asking(did()))
    wheres = [(), (Filter(name="total", op="at_least", value=3),), (Filter(name="total", op="is_not", value=2), Filter(name="nothing", op="missing"))]
    counts = [Count(ORDER, where, since) for where in wheres for since in (None, now - 5 * HOUR, rows[20].occurred_at)]
    asked = [(standing(row, drawn), Look(tuple(counts))) for row in chance.sample(rows, 12)]
    found = looking.answers(session, asked, Keys(CONFIG.secret_key), now)
    for passage, look in asked:
        log = [happened(row) for row in rows if row.profile_id == passage.profile_id]
        assert looking.looked(look, passage.start, log, (), now) == found[passage.id]
    assert len({times for each in found.values() for times in each.counts.values()}) > 5  # type: ignore[attr-defined]  # every answer is a Looked


def standing(row: Any, drawn: graph.Graph) -> Passage:
    start = RunEvent(row.name, row.occurred_at, row.accepted, row.source_id, row.properties)
    return Passage(uuid.uuid4(), row.profile_id, 1, "asks", 1, drawn, "k", "ask", start, row.occurred_at, row.occurred_at)


def happened(row: Any) -> Happened:
    at = row.occurred_at
    return Happened(row.profile_id, at, row.accepted, row.source_id, "track", row.name, LIVE, True, (), row.properties, {}, {}, at)


@pytest.mark.parametrize(
    "plain",
    [
        {"of": "did"},
        did(op="contains"),
        did(value="often"),
        did(value=-1),
        did(within="0s"),
        did(within="400d"),
        did(where=[{"name": "total", "op": "within_last", "value": "1d"}]),
        {"of": "segment", "name": "vip", "op": "more_than", "value": 1},
        {"of": "trait", "name": "city", "value": "Haifa", "within": "1d"},
    ],
)
def test_what_cannot_be_judged_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Criterion.model_validate(plain)


@pytest.mark.parametrize("plain", [{"op": "is"}, {"op": "contains", "value": ""}, {"op": "at_most", "value": "few"}, {"op": "after", "value": "soon"}])
def test_what_is_wrong_with_a_filter_is_said_in_the_language_of_the_page(app: Flask, plain: dict[str, Any]) -> None:
    (found,) = graph.read(asking(did(where=[{"name": "total"} | plain])))[1]
    with app.test_request_context(), force_locale("he"):
        assert not re.search("[a-z]{5}", re.sub("few|soon", "", words.problem(found)["text"].partition(": ")[2]))  # type: ignore[union-attr]  # a problem always has its text


def test_a_try_out_counts_what_was_told_and_follows_segments(now: dt.datetime) -> None:
    def way(criterion: dict[str, Any], *said: Any, inside: frozenset[str] = frozenset()) -> str | None:
        return tell(graph.parse(asking(criterion)), now, [(now, "Signed Up", {}), *said], Somebody(segments=inside)).runs[0].end_reason

    ordered, vip = (now + HOUR, ORDER, {}), {"of": "segment", "name": "vip"}
    assert (way(did()), way(did(), ordered), way(did(value=2), ordered, ordered)) == ("no", "yes", "yes")
    assert (way(vip), way(vip, inside=frozenset({"vip"}))) == ("no", "yes")
    assert way(vip, (now + HOUR, "Segment Entered", {"segment": "vip"})) == "yes"
    assert way(vip, (now + HOUR, "Segment Left", {"segment": "vip"}), inside=frozenset({"vip"})) == "no"


def test_a_story_says_in_which_segments_they_are(now: dt.datetime) -> None:
    drawn = graph.parse(asking({"of": "segment", "name": "vip"}))
    plain = {"name": "a", "start": now, "segments": ["vip"], "events": [{"name": "Signed Up"}], "expect": [], "ends": "yes"}
    assert story.run(drawn, story.Story.model_validate(plain)) == []
    assert story.run(drawn, story.Story.model_validate(plain | {"segments": []})) != []


def test_somebody_real_is_tried_with_what_they_did_and_are_in(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    make(session, now - 9 * DAY, "buyers", BUYERS)
    happen(session, now - DAY, order(now - DAY))
    client = signed_in()
    people: list[dict[str, Any]] = [{}, {"who": "anna"}, {"segments": ["buyers"]}]

    def ways(drawing: dict[str, Any]) -> list[str]:
        asked = {"graph": drawing, "start": now.isoformat(), "events": [{"name": "Signed Up"}]}
        return [client.post("/journeys/simulate", json=asked | who).get_json()["runs"][0]["end_reason"] for who in people]

    assert ways(asking(did(within="7d"))) == ["no", "yes", "no"]
    assert ways(asking({"of": "segment", "name": "buyers"})) == ["no", "yes", "yes"]


def test_a_story_kept_from_a_try_out_keeps_the_segments(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    install.install(session, now)
    said = {"name": "mine", "segments": ["vip"], "events": [{"name": "Product Added", "at": now.isoformat()}]}
    told = signed_in().post("/journeys/abandoned_cart/stories", json=said).get_json()["stories"]
    assert [each["segments"] for each in told if each["name"] == "mine"] == [["vip"]]


def test_lived_again_it_counts_what_was_heard_and_reads_memberships_from_the_log(session: Session, now: dt.datetime) -> None:
    make(session, now - 20 * DAY, "buyers", BUYERS | {"within": "3d"})
    for who, at in (("anna", now - 12 * DAY), ("bea", now - 9 * DAY)):  # Anna has left the segment again when she signs up
        happen(session, at, order(at, who))
        drain(session, at)
    lapse(session, now - 8.9 * DAY)
    for who in ("anna", "bea", "cleo"):
        happen(session, now - 8 * DAY, track("Signed Up", at=now - 8 * DAY, user_id=who))
    happen(session, now - 8 * DAY + HOUR, order(now - 8 * DAY + HOUR, "cleo"))
    drain(session, now - 8 * DAY + HOUR)
    ways = {}
    for name, criterion in (("since", did()), ("window", did(within="5d")), ("inside", {"of": "segment", "name": "buyers"})):
        found = test_backtest_life.lived(session, now - 8.5 * DAY, now, asking(criterion))
        ways[name] = {edge: many for edge, many in found["edges"].items() if edge.startswith("ask/")}
    assert ways == {
        "since": {"ask/yes": 1, "ask/otherwise": 2},
        "window": {"ask/yes": 3},
        "inside": {"ask/yes": 2, "ask/otherwise": 1},
    }


def lapse(session: Session, at: dt.datetime) -> None:
    while lapse_due(session, at, 100, CONFIG):
        pass
    drain(session, at)


def test_an_event_that_brings_into_the_segment_and_begins_the_run_is_one_moment(session: Session, now: dt.datetime) -> None:
    make(session, now - 9 * DAY, "new", {"kind": "did", "event": "Signed Up"})
    drawing = asking({"of": "segment", "name": "new"}) | {"entry": "ask"}
    del drawing["nodes"]["wait"]
    publish.publish(session, "asks", drawing, now=now - 8 * DAY)
    happen(session, now - DAY, track("Signed Up", at=now - DAY, user_id="anna"))
    drain(session, now - DAY + dt.timedelta(seconds=1))
    assert ends(session) == ["yes"]
    assert test_backtest_life.lived(session, now - 2 * DAY, now, drawing)["ends"] == {"yes": 1}


def test_a_replay_counts_anew_by_the_order_in_which_we_acted(session: Session, now: dt.datetime) -> None:
    make(session, now - 9 * DAY, "buyers", BUYERS)
    drawing = asking(did(value=2), {"of": "segment", "name": "buyers"})
    publish.publish(session, "waits", drawing, now=now - 8 * DAY)
    at = now - 4 * DAY
    happen(session, at, *(track("Signed Up", at=at, user_id=who) for who in ("a", "b", "c", "d")))
    happen(session, at + HOUR, order(at + HOUR, "a"), order(at + HOUR / 2, "a"), order(at + HOUR, "b"), order(at - HOUR, "c"))
    wake(session, at + 2 * HOUR)
    happen(session, at + 3 * HOUR, order(at + HOUR, "b"), order(at + HOUR / 2, "b", 20))  # too late for what was decided
    assert sorted(ends(session)) == ["no", "no", "no", "yes"]
    assert test_backtest_replay.replayed(session, at - HOUR, now) == (4, [])
    session.execute(text("DELETE FROM events WHERE name = :name AND occurred_at = :at"), {"name": ORDER, "at": at + HOUR / 2})
    same, told = test_backtest_replay.replayed(session, at - HOUR, now)
    assert (same, [each["cause"] for each in told]) == (3, ["facts"])


def test_a_segment_that_is_not_there_and_an_event_that_never_came_are_pointed_out(session: Session, now: dt.datetime) -> None:
    drawing = asking(did(name="Oder Completed"), {"of": "segment", "name": "vpi"})
    found = [(each.level, str(each)) for each in lint.review(session, drawing) if each.node == "ask"]
    assert found == [("warning", "node 'ask': “Oder Completed” has never happened to anybody"), ("warning", "node 'ask': there is no segment “vpi”")]
    make(session, now - DAY, "vpi", BUYERS)
    happen(session, now, track("Oder Completed", at=now, user_id="anna"))
    assert [each for each in lint.review(session, drawing) if each.node == "ask"] == []


def test_a_difference_says_what_is_asked_in_either_language(app: Flask) -> None:
    old = asking(did(value=2, where=[{"name": "total", "op": "more_than", "value": 5}]))
    new = asking(did(within="30d", op="at_most", value=0), {"of": "segment", "name": "vip", "op": "is_not"})
    with app.test_request_context():
        with force_locale("en"):
            (said,) = [each.text for each in differences.differences(old, new)]
            assert "yes, did not do Order placed in the last 30 days; is not in the segment vip" in said
            assert "yes, did Order placed at least 2 times since the run began, where total is more than 5" in said
        with force_locale("he"):
            (said,) = [each.text for each in differences.differences(old, new)]
            assert "לא בקהל vip" in said and "לפחות 2 פעמים מאז תחילת הריצה" in said


def test_a_segment_says_which_journeys_ask_about_it(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    publish.publish(session, "asks", asking({"of": "segment", "name": "vip"}), now=now)
    client = signed_in()
    assert "Asks" in client.get("/journeys/using/segment/vip").get_data(as_text=True)
    assert "Asks" not in client.get("/journeys/using/segment/other").get_data(as_text=True)


def test_a_segment_that_a_journey_asks_about_is_not_deleted(signed_in: Callable[..., FlaskClient], session: Session, now: dt.datetime) -> None:
    make(session, now, "vip", BUYERS)
    publish.publish(session, "asks", asking({"of": "segment", "name": "vip"}), now=now)
    session.commit()
    refused = signed_in().post("/segments/vip/delete")
    assert (refused.status_code, "is used by Asks" in refused.get_data(as_text=True)) == (400, True)
    assert session.scalar(text("SELECT count(*) FROM segments")) == 1
