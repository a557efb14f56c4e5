"""Who comes in and who leaves: by what happens, by time, by joins; once, and as events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.segments import fill, refresh, store, tree
from crm.segments.rule import Clause
from tests import makers
from workers import pipeline

CONFIG = makers.config()
BOMB: dict[str, Any] = {"kind": "bucket", "percent": 5}
for _layer in range(18):  # 4 to the power of 18 rules, as YAML writes them in 19 lines
    BOMB = {"all": [BOMB] * 4}
BUYERS = {"kind": "did", "event": "Order Completed", "within": "30d"}


def happen(session: Session, now: dt.datetime, *calls: Any, origin: str = "live") -> None:
    pipeline.run(session, [makers.accepted(call, now, origin=origin) for call in calls], now, CONFIG)


def make(session: Session, now: dt.datetime, slug: str, rule: dict[str, Any]) -> None:
    store.save(session, slug=slug, name=slug, rule=rule, now=now)
    settle(session, now)


def settle(session: Session, now: dt.datetime) -> None:
    """Find the members of every segment that waits for it."""
    while fill.fill(session, now, CONFIG):
        pass


def members(session: Session, slug: str) -> int:
    found = session.scalar(text("SELECT count(*) FROM memberships m JOIN segments s ON s.id = m.segment_id WHERE slug = :slug"), {"slug": slug})
    return int(found or 0)


def told(session: Session) -> list[tuple[str, str, int, str]]:
    rows = session.execute(
        text("""SELECT body::jsonb ->> 'event', body::jsonb #>> '{properties,segment}', hops, origin FROM event_inbox
                WHERE source_id = 1 AND body LIKE '%Segment %' ORDER BY id""")
    )
    return [tuple(row) for row in rows]


def order(at: dt.datetime, number: str, **who: Any) -> Any:
    return makers.track("Order Completed", {"order_id": number, "total": 50, "currency": "ILS"}, at=at, **who)


def test_an_event_brings_a_person_in_and_time_lets_them_go(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    happen(session, now, order(now, "o1", user_id="dana"))
    assert members(session, "buyers") == 1
    assert refresh.lapse_due(session, now + dt.timedelta(days=29), 100, CONFIG) == 0
    assert refresh.lapse_due(session, now + dt.timedelta(days=30), 100, CONFIG) == 1
    assert members(session, "buyers") == 0
    assert told(session) == [("Segment Entered", "buyers", 1, "live"), ("Segment Left", "buyers", 1, "live")]


def test_a_new_segment_fills_silently(session: Session, now: dt.datetime) -> None:
    happen(session, now, order(now, "o1", user_id="dana"), makers.track("Page Viewed", at=now, user_id="noa"))
    make(session, now, "buyers", BUYERS)
    make(session, now, "others", {"not": BUYERS})
    assert (members(session, "buyers"), members(session, "others")) == (1, 1)
    assert told(session) == []


def test_who_is_born_without_having_done_it_belongs_to_those_who_did_not(session: Session, now: dt.datetime) -> None:
    make(session, now, "others", {"not": BUYERS})
    happen(session, now, makers.track("Page Viewed", at=now, anonymous_id="a1"))
    assert members(session, "others") == 1


def test_history_enters_as_history(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    happen(session, now, order(now - dt.timedelta(days=1), "o1", user_id="dana"), origin="history")
    assert told(session) == [("Segment Entered", "buyers", 1, "history")]


def test_a_nested_segment_follows_the_one_it_names_in_the_same_batch(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    make(session, now, "haifa-buyers", {"all": [{"kind": "in_segment", "segment": "buyers"}, {"kind": "trait", "name": "city", "value": "haifa"}]})
    happen(session, now, makers.identify({"city": "Haifa"}, at=now, user_id="dana"), order(now, "o1", user_id="dana"))
    assert members(session, "haifa-buyers") == 1
    refresh.lapse_due(session, now + dt.timedelta(days=31), 100, CONFIG)
    assert members(session, "haifa-buyers") == 0


def test_a_join_keeps_one_membership_with_the_earlier_since_and_is_looked_at_again(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    make(session, now, "shy", {"kind": "did", "event": "Order Completed", "op": "exactly", "value": 1})
    happen(session, now - dt.timedelta(hours=1), order(now - dt.timedelta(hours=2), "o1", anonymous_id="a1"))
    happen(session, now, order(now - dt.timedelta(minutes=5), "o2", user_id="dana"))
    happen(session, now, makers.identify({}, at=now, user_id="dana", anonymous_id="a1"))
    assert (members(session, "buyers"), members(session, "shy")) == (1, 0)
    assert session.scalar(text("SELECT min(since) FROM memberships")) == now - dt.timedelta(hours=1)


def test_what_happens_while_a_segment_is_filled_is_looked_at_afterwards(session: Session, now: dt.datetime) -> None:
    store.save(session, slug="buyers", name="Buyers", rule=BUYERS, now=now)
    happen(session, now, order(now, "o1", user_id="dana"))
    assert members(session, "buyers") == 0
    settle(session, now)
    assert refresh.lapse_due(session, now, 100, CONFIG) == 1
    assert members(session, "buyers") == 1


def test_a_rebuild_changes_nothing_and_sizes_add_up(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    happen(session, now, order(now, "o1", user_id="dana"), order(now, "o2", user_id="noa"), makers.track("Page Viewed", at=now, user_id="x"))
    refresh.measure_sizes(session, now)
    assert store.find(session, "buyers").size == 2
    [loaded] = store.load(session, "live")
    assert fill.rebuild(session, loaded, now, CONFIG) == (0, 0)


def test_two_members_who_become_one_count_once(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    happen(session, now, order(now, "o1", anonymous_id="phone"), order(now, "o2", user_id="dana"), order(now, "o3", user_id="noa"))
    happen(session, now, makers.identify(at=now, user_id="dana", anonymous_id="phone"))
    while refresh.lapse_due(session, now, 100, CONFIG):
        pass
    refresh.measure_sizes(session, now)
    assert members(session, "buyers") == store.find(session, "buyers").size == 2
    assert session.scalar(text("SELECT size FROM segment_sizes")) == 2


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "trait", "nme": "city"}, "rule.name"),
        ({"all": [{"kind": "did", "event": "X", "colour": 1}]}, "rule.all[0].colour: there is no such setting"),
        ({"all": [{"kind": "magic"}]}, "rule.all[0].kind"),
        ({"kind": "trait", "name": "city", "op": "contains", "value": 5}, "“contains” looks for text"),
        ({"kind": "trait", "name": "age", "op": "at_least", "value": "old"}, "compares numbers"),
        ({"kind": "trait", "name": "city", "op": "matches", "value": "(a+)+$"}, "rule.op"),
        ({"kind": "did", "event": 5}, "rule.event"),
        (
            {"any": [{"kind": "did", "event": "X", "where": [{"name": "size", "op": "at_least", "value": "big"}]}]},
            "rule.any[0].where.0: this compares numbers",
        ),
        ({"kind": "did", "event": "X", "where": [{"name": "at", "op": "within_last", "value": "3d"}]}, "limit an event by its window"),
        ({"kind": "anniversary", "name": "birthday", "start": 3, "end": 1}, "the days must run forward"),
        ({"kind": "geography", "of": "planet", "value": "Mars"}, "rule.of"),
        ({"kind": "account", "name": "size", "op": "at_least", "value": "large"}, "compares numbers"),
        ({"kind": "colleagues", "segment": "none"}, "there is no segment 'none'"),
        ({"kind": "colleagues", "segment": "bad"}, "circle"),
        ({"kind": "in_list", "list": "none"}, "there is no list 'none'"),
        ({"kind": "rfm", "money_from": 5, "money_to": 1}, "from the smaller fifth"),
        ({"kind": "journey", "did": "inside", "value": 2}, "held out of it is not counted"),
        ({"kind": "sequence", "first": "A", "then": "B", "never": True, "apart": "3d", "within": "1d"}, "make the window longer"),
        ({"kind": "in_segment", "segment": "none"}, "there is no segment 'none'"),
        ({"kind": "in_segment", "segment": "bad"}, "circle"),
        ({"kind": "did", "event": "X", "within": "99999999999999d"}, "rule.within: write a duration between 1s and 3660d"),
        ({"kind": "did", "event": "X", "within": 0}, "rule.within: write a duration, for example 30d"),
        ({"kind": "trait", "name": "x", "op": "within_last", "value": "99999999999999w"}, "is not a duration"),
        ({"kind": "bucket", "percent": float("nan")}, "rule.percent"),
        ({"kind": "trait", "name": "x", "value": float("inf")}, "rule.value: expected a text, a number, or true or false"),
        ({"kind": "trait", "name": "x", "value": ["a"]}, "rule.value: expected a text, a number, or true or false"),
        ({"kind": "trait", "name": "x", "value": 10**400}, "rule.value: a number so large cannot be kept"),
        ({"kind": "trait", "name": "x\0y", "value": 1}, "rule.name: there is a character in it that cannot be kept"),
        ({"any": [{"kind": "did", "event": "X", "where": [{"name": "y", "value": "\ud800"}]}]}, "rule.any[0].where.0.value: there is a character"),
        ({"kind": "did", "event": "X", "since": "2026-02-01", "until": "2026-01-01"}, "the dates must run forward"),
        ({"kind": "did", "event": "X", "since": "0001-01-01"}, "rule.since"),
        ({"kind": "geography", "value": " , "}, "name at least one"),
        ({"all": [], 1: "x", "b": "y"}, "beside all there may be nothing else"),
        ({"all": [[]]}, "rule.all[0]: expected a rule or a group, got a list"),
        ({"all": [{"any": []}] * 10_000}, "more than 1000 rules and groups"),
        (BOMB, "more than 1000 rules and groups"),
        ([BOMB], "got a list"),
    ],
)
def test_a_bad_rule_is_refused_with_the_place(session: Session, now: dt.datetime, rule: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidError) as refused:
        store.save(session, slug="bad", name="Bad", rule=rule, now=now)
    assert says in str(refused.value)


@pytest.mark.parametrize("raises", ["1 / (p.bucket * 0) > 0", "length(repeat('x', 1100000000 + p.bucket)) > 0"])
def test_a_rule_that_raises_breaks_alone(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch, raises: str) -> None:
    make(session, now, "buyers", BUYERS)
    make(session, now, "bad", {"kind": "did", "event": "Order Completed", "op": "at_most", "value": 7})
    rule = store._tree(session.scalar(text("SELECT rule::text FROM segments WHERE slug = 'bad'"))).rule
    right = rule.sql
    monkeypatch.setattr(rule, "sql", lambda settings, query: Clause(raises) if settings.op == "at_most" else right(settings, query))
    happen(session, now, order(now, "o1", user_id="dana"))
    assert statuses(session) == {"bad": "broken", "buyers": "live"}
    assert members(session, "buyers") == 1


def test_a_stored_rule_that_cannot_be_read_any_more_breaks_alone_and_can_be_mended(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", BUYERS)
    make(session, now, "old", {"kind": "did", "event": "Product Viewed"})
    session.execute(text("""UPDATE segments SET rule = '{"kind": "gone"}' WHERE slug = 'old'"""))
    happen(session, now, order(now, "o1", user_id="dana"))
    assert statuses(session) == {"buyers": "live", "old": "broken"}
    assert members(session, "buyers") == 1
    assert "there is no rule 'gone'" in str(session.scalar(text("SELECT problem FROM segments WHERE slug = 'old'")))
    make(session, now, "buyers", {"not": BUYERS})
    session.expire_all()
    make(session, now, "old", BUYERS)
    assert statuses(session) == {"buyers": "live", "old": "live"}


def test_one_statement_asks_only_so_many_rules(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, right = [], refresh.together

    def together(trees: dict[int, tree.Tree], **about: Any) -> Any:
        sizes.append(sum(len(tree.leaves(one)) for one in trees.values()))
        return right(trees, **about)

    for n in range(3):
        make(session, now, f"s{n}", {"any": [BUYERS] * 40})
    monkeypatch.setattr(refresh, "together", together)
    happen(session, now, order(now, "o1", user_id="dana"))
    assert sizes == [80, 40]
    assert [members(session, f"s{n}") for n in range(3)] == [1, 1, 1]


def statuses(session: Session) -> dict[str, str]:
    return {slug: status for slug, status in session.execute(text("SELECT slug, status FROM segments ORDER BY slug"))}  # noqa: C416  rows are no pairs to mypy


def test_segments_that_name_each_other_in_layers_are_each_found_anew_once(session: Session, now: dt.datetime) -> None:
    layers: list[list[dict[str, str]]] = [[]]
    for layer in range(8):
        for side in "ab":
            store.save(session, slug=f"s{layer}{side}", name="s", rule={"any": layers[-1] or [{"kind": "bucket", "percent": 5}]}, now=now)
        layers.append([{"kind": "in_segment", "segment": f"s{layer}{side}"} for side in "ab"])
    store.save(session, slug="s0a", name="s", rule={"kind": "bucket", "percent": 7}, now=now)
    assert dict(session.execute(text("SELECT fillings, count(*) FROM segments GROUP BY 1")).all()) == {0: 1, 1: 15}  # type: ignore[arg-type]  rows are pairs


def test_segments_do_not_name_each_other_without_end(session: Session, now: dt.datetime) -> None:
    rule: dict[str, Any] = {"kind": "bucket", "percent": 5}
    for n in range(21):
        store.save(session, slug=f"s{n}", name="s", rule=rule, now=now)
        rule = {"kind": "in_segment", "segment": f"s{n}"}
    with pytest.raises(InvalidError, match="more than 20 deep"):
        store.save(session, slug="s21", name="s", rule=rule, now=now)
