"""Segments in the browser: the list, the builder step by step, who is in and why."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.segments import lists, seen, store, tree
from crm.segments.ready import ready_made
from crm.web import show
from crm.web.segment_form import STARTS
from crm.web.tokens import create_token
from tests import makers
from tests.segments.test_refresh import happen, settle
from tests.web.conftest import Browser
from workers import pipeline

CONFIG = makers.config(secret_key="secret")
BUYERS = {"all": [{"kind": "did", "event": "Order Completed", "within": "30d", "where": [{"name": "city", "value": "Haifa"}]}]}


@pytest.fixture
def noa(browser_as: Callable[[str], Browser]) -> Browser:
    return browser_as("marketer")


def tree_of(page: str) -> object:
    found = re.search(r'name="tree" value="([^"]*)"', page)
    assert found, page[-2000:]
    return json.loads(html.unescape(found[1]))


def step(noa: Browser, rule: object, do: str, **fields: str) -> str:
    answer = noa.post("/segments/build", tree=json.dumps(rule), do=do, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def test_a_segment_is_built_step_by_step_and_saved(session: Session, now: dt.datetime, noa: Browser) -> None:
    pipeline.run(session, [makers.accepted(makers.track("Order Completed", {"order_id": "1", "city": "haifa"}, at=now, user_id="dana"), now)], now, CONFIG)
    session.commit()
    opened = step(noa, {"all": []}, "add::did")
    assert "is-edit" in opened and 'value="Order Completed"' in opened
    filled = {
        "f.event": "Order Completed",
        "f.op": "at_least",
        "f.value": "1",
        "f.of": "count",
        "f.within": "30d",
        "f.where.0.name": "city",
        "f.where.0.op": "is",
    }
    applied = step(noa, tree_of(opened), "apply:0", **filled, **{"f.where.0.value": "Haifa"})
    assert tree.write(tree.parse(tree_of(applied))) == BUYERS
    counted = noa.post("/segments/count", tree=json.dumps(BUYERS))
    assert '<div class="k-stat-value"><bdi>1</bdi>' in counted.text and 'href="/people/' in counted.text
    assert noa.post("/segments/save", tree=json.dumps(BUYERS), name="Haifa buyers", slug="").status_code == 302
    settle(session, now)
    assert session.scalar(text("SELECT size FROM segments WHERE slug = 'haifa-buyers'")) == 1
    profile = session.scalar(text("SELECT profile_id FROM memberships"))
    assert "Haifa buyers" in noa.get(f"/segments/of/{profile}").text
    why = noa.get(f"/segments/haifa-buyers/why?profile={profile}").text
    assert "satisfies it" in why and "would have to stop holding" in why
    assert "within: 30d" in noa.get("/segments/haifa-buyers.yaml").text


def test_rules_are_nested_negated_and_removed(noa: Browser) -> None:
    rule = {"all": [{"kind": "bucket", "percent": 10}, {"kind": "trait", "name": "city", "op": "exists"}]}
    nested = tree_of(step(noa, rule, "nest:1"))
    assert nested == {"all": [{"kind": "bucket", "percent": 10}, {"any": [{"kind": "trait", "name": "city", "op": "exists"}]}]}
    assert tree_of(step(noa, nested, "not:1")) == {"all": [rule["all"][0], {"not": {"any": [rule["all"][1]]}}]}
    assert tree_of(step(noa, rule, "remove:0")) == {"all": [rule["all"][1]]}
    assert tree_of(step(noa, rule, "mode:")) == {"any": rule["all"]}


def test_every_form_can_be_opened_and_applied_as_it_is(session: Session, now: dt.datetime, noa: Browser) -> None:
    happen(session, now, *(makers.track("Chair Sat", {"wood": "oak"}, at=now, user_id=f"u{n}") for n in range(3)))
    seen.gather(session, now)
    lists.create(session, slug="fair", name="Fair", now=now)
    store.save(session, slug="some", name="Some", rule=BUYERS, now=now)
    session.commit()
    for kind in tree.kinds():
        opened = step(noa, {"all": []}, f"add::{kind}")
        assert "is-edit" in opened, kind
        filled = dict(re.findall(r'<input class="form-control" id="[^"]*" name="(f\.[^"]+)" value="([^"]*)"', opened))
        for name, options in re.findall(r'<select class="form-select" id="[^"]*" name="(f\.[^"]+)".*?>(.*?)</select>', opened, re.DOTALL):
            chosen = re.search(r'value="([^"]*)" selected', options)
            filled[name] = chosen[1] if chosen else ""
        applied = step(noa, tree_of(opened), "apply:0", **{name: html.unescape(value) for name, value in filled.items()})
        assert "is-edit" not in applied, (kind, applied[:600])
        before, after = (json.dumps(tree.write(tree.parse(tree_of(page)))).replace('"', "") for page in (opened, applied))
        assert before == after, kind
    offered = noa.post("/segments/seen", kind="did", **{"f.event": "Chair Sat", "f.where.0.name": "wood"}).text
    assert '<datalist id="seen-where"><option value="wood">' in offered
    assert '<datalist id="seen-where-0"><option value="oak">' in offered


def test_the_count_follows_a_form_that_is_not_applied_yet(session: Session, now: dt.datetime, noa: Browser) -> None:
    happen(session, now, makers.track("Chair Sat", {}, at=now, user_id="u1"), makers.track("Table Laid", {}, at=now, user_id="u2"))
    session.commit()
    rule = json.dumps({"all": [{"kind": "did", "event": "Nothing"}]})
    assert '<div class="k-stat-value"><bdi>0</bdi>' in noa.post("/segments/count", tree=rule).text
    filled = {"at": "0", "kind": "did", "f.event": "Chair Sat"}
    assert '<div class="k-stat-value"><bdi>1</bdi>' in noa.post("/segments/count", tree=rule, **filled).text
    assert "In the last: 'soon' is not a duration" in html.unescape(noa.post("/segments/count", tree=rule, **filled | {"f.within": "soon"}).text)


def test_what_is_typed_and_not_applied_is_saved_and_survives_the_next_step(session: Session, noa: Browser) -> None:
    ten = {"all": [{"kind": "bucket", "percent": 10}]}
    typed = {"at": "0", "kind": "bucket", "f.percent": "50"}
    assert 'name="at" value="0"' in step(noa, ten, "edit:0")
    assert tree_of(step(noa, ten, "close:0", **typed)) == ten
    assert tree_of(step(noa, ten, "add::trait", **typed))["all"][0] == {"kind": "bucket", "percent": 50}  # type: ignore[index]  a JSON object
    wrong = noa.post("/segments/save", tree=json.dumps(ten), name="Half", slug="", **typed | {"f.percent": "half of them"})
    assert (wrong.status_code, tree_of(wrong.text)) == (400, ten)
    assert 'value="Half"' in wrong.text and 'value="half of them"' in wrong.text
    assert 'id="f-percent-e" role="alert"' in wrong.text, "said where it is wrong, not a screen above"
    nowhere = {"all": [{"kind": "in_segment", "segment": "none"}]}
    unknown = noa.post("/segments/save", tree=json.dumps(nowhere), name="Half", slug="")
    assert (unknown.status_code, tree_of(unknown.text)) == (400, nowhere)
    assert 'value="Half"' in unknown.text and "there is no segment" in unknown.text
    assert noa.post("/segments/save", tree=json.dumps(ten), name="Half", slug="", **typed).status_code == 302
    assert session.scalar(text("SELECT rule FROM segments WHERE slug = 'half'")) == {"all": [{"kind": "bucket", "percent": 50}]}


def test_more_than_four_filters_survive_the_form(noa: Browser) -> None:
    where = [{"name": f"p{n}", "value": "x"} for n in range(6)]
    opened = step(noa, {"all": [{"kind": "did", "event": "X", "where": where}]}, "edit:0")
    assert 'name="f.where.6.name"' in opened
    filled = {f"f.where.{n}.{part}": value for n, row in enumerate(where) for part, value in (row | {"op": "is"}).items()}
    assert tree_of(step(noa, tree_of(opened), "apply:0", **{"f.event": "X"}, **filled)) == {
        "all": [{"kind": "did", "event": "X", "where": [{**one, "op": "is"} for one in where]}]
    }


def test_a_wrong_value_is_said_and_changes_nothing(noa: Browser) -> None:
    rule = {"all": [{"kind": "trait", "name": "age"}]} | {"all": [{"kind": "trait", "name": "age", "op": "exists"}]}
    answer = step(noa, rule, "apply:0", **{"f.name": "age", "f.op": "at_least", "f.value": "old"})
    assert "compares numbers" in html.unescape(answer)
    assert tree_of(answer) == rule
    assert "no rule" in html.unescape(step(noa, rule, "yaml:", yaml="kind: magic"))
    noa.post("/account", name="Noa", language="he")
    assert "משווים מספרים" in step(noa, rule, "apply:0", **{"f.name": "age", "f.op": "at_least", "f.value": "old"})
    assert "אין כלל" in step(noa, rule, "yaml:", yaml="kind: magic")
    for torn in ("[" * 5_000, "value: 2026-02-30", "value: " + "9" * 5_000):
        assert tree_of(step(noa, rule, "yaml:", yaml=torn)) == rule
    assert tree_of(step(noa, rule, "yaml:", yaml="{kind: trait, name: born, op: before, value: 2026-01-31}"))["value"] == "2026-01-31"  # type: ignore[index]  a JSON object


@pytest.mark.parametrize(
    "where",
    [{"do": "edit:²"}, {"do": f"edit:{'9' * 5000}"}, {"do": "apply:"}, {"do": "mode:0"}] + [{"kind": "bucket", "at": at} for at in ("x", "0.0", "0.", ".")],
)
def test_a_place_that_is_not_there_is_refused_with_a_sentence(noa: Browser, where: dict[str, str]) -> None:
    answer = noa.post("/segments/build", tree=json.dumps({"all": [{"kind": "bucket", "percent": 10}]}), **{"do": "add::trait"} | where)
    assert answer.status_code < 500


@pytest.mark.parametrize("language", ["en", "he"])
def test_every_kind_and_every_ready_made_segment_is_a_sentence(session: Session, now: dt.datetime, noa: Browser, language: str) -> None:
    for slug, name, rule in ready_made("ILS"):
        store.save(session, slug=slug, name=name, rule=rule, now=now)
    lists.create(session, slug="fair", name="Fair", now=now)
    named = STARTS | {"in_segment": {"segment": "cart-left"}, "colleagues": {"segment": "cart-left"}, "in_list": {"list": "fair"}}
    every = {"any": [{"kind": kind} | named.get(kind, {}) for kind in tree.kinds()]}
    store.save(session, slug="every", name="Every", rule=every, now=now)
    session.commit()
    settle(session, now)
    for page in ("/segments", "/segments/every", "/segments/new", "/segments/buyers-best", "/segments/every/why", "/segments/every/why?q=nobody"):
        answer = noa.get(page, language)
        assert answer.status_code == 200, answer.text[-1500:]
        assert "%(" not in answer.text, page
    assert ">Every<" in noa.get("/segments/cart-left", language).text, "used by"
    shown = noa.get("/segments/every", language).text
    assert shown.count('class="k-rule"') == len(tree.kinds())


def test_a_rule_says_all_that_it_asks(noa: Browser) -> None:
    each = {"kind": "did", "event": "Product Added", "of": "sum", "prop": "price", "per": "cart_id", "value": 100, "since": "2024-01-31"}
    said = re.sub("<[^>]+>", "", html.unescape(step(noa, {"all": [each]}, "close:")))
    assert "sum of price over Product added to the cart since 31 Jan 2024 for one cart_id is at least 100" in said
    ago = {"kind": "did", "event": "Order Completed", "within": "45d"}
    noa.post("/account", name="Noa", language="he")
    for within, words in (("45d", "45 ימים"), ("1h", "שעה אחת")):
        assert words in html.unescape(step(noa, {"all": [ago | {"within": within}]}, "close:"))


def test_a_size_counted_once_is_level() -> None:
    assert 'points="0.0,2.0 300.0,2.0"' in show.spark([11]), "no wedge that falls to nothing"


def test_a_rule_that_cannot_be_read_any_more_is_shown_with_why(session: Session, now: dt.datetime, noa: Browser) -> None:
    store.save(session, slug="old", name="Old", rule={"all": [{"kind": "bucket", "percent": 5}]}, now=now)
    session.execute(text("""UPDATE segments SET rule = '{"all": [{"kind": "gone"}]}', status = 'broken'"""))
    session.commit()
    shown = noa.get("/segments/old")
    assert (shown.status_code, "there is no rule &#39;gone&#39;" in shown.text) == (200, True)


def test_who_only_looks_cannot_change(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    store.save(session, slug="some", name="Some", rule=BUYERS, now=now)
    session.commit()
    viewer = browser_as("viewer")
    assert viewer.get("/segments/some").status_code == 200
    assert "Save segment" not in viewer.get("/segments/some").text
    assert viewer.get("/segments/new").status_code == 403
    assert viewer.post("/segments/save", tree=json.dumps(BUYERS), name="x").status_code == 403


def test_the_api_saves_lists_and_names_members(app: Flask, session: Session, now: dt.datetime) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='marketer')}"}
    client = app.test_client()
    pipeline.run(session, [makers.accepted(makers.track("Order Completed", {"order_id": "1", "city": "haifa"}, at=now, user_id="dana"), now)], now, CONFIG)
    made = client.post("/api/v1/segments", json={"slug": "buyers", "name": "Buyers", "rule": BUYERS}, headers=headers)
    assert made.status_code == 200, made.text
    settle(session, now)
    session.commit()
    assert [one["slug"] for one in client.get("/api/v1/segments", headers=headers).json["items"]] == ["buyers"]
    assert len(client.get("/api/v1/segments/buyers/members", headers=headers).json["items"]) == 1
    refused = client.post("/api/v1/segments", json={"slug": "bad", "name": "Bad", "rule": {"all": [{"kind": "did"}]}}, headers=headers)
    assert (refused.status_code, "rule.all[0].event" in refused.json["error"]) == (400, True)
    assert client.get("/api/v1/segments/none/members", headers=headers).status_code == 404
    for body in (json.dumps({"slug": "x", "name": "\0", "rule": BUYERS}), "[" * 100_000):
        assert client.post("/api/v1/segments", data=body, content_type="application/json", headers=headers).status_code == 400
