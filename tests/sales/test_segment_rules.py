"""The rules about leads and deals: over everybody, over some, and of one person's values they answer the same; and nothing changes before its due time."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events.spec import Call
from crm.segments import evaluate, tree
from crm.segments.ready import ready_made
from crm.segments.rule import Place
from tests import makers
from tests.segments import reader

PLACE = Place(Keys("secret"))
word = st.sampled_from(["new", "lost", "quote", "sales", "Fair", "a@b.example", "", "ILS", "d1", "d2", "working", 7, True, None])
lead = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["any", "open", "new", "working", "lost"]),
        "owner": st.sampled_from(["nobody", "A@b.example"]),
        "source": st.sampled_from(["fair", "Fair"]),
        "band": st.sampled_from(["hot", "cold"]),
    },
)
deal = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["open", "won", "lost"]),
        "stage": st.sampled_from(["quote", "new"]),
        "pipeline": st.just("sales"),
        "value": st.sampled_from([0, 50, 100.5]),
        "currency": st.just("ILS"),
        "lain": st.sampled_from(["1h", "3d", "30d"]),
    },
)
rule = st.one_of(lead.map(lambda said: {"kind": "lead"} | said), deal.map(lambda said: {"kind": "deal"} | said))
happened = st.lists(
    st.tuples(
        st.sampled_from(["Lead Created", "Lead Status Changed", "Lead Assigned", "Deal Stage Changed", "Deal Won", "Deal Lost"]),
        st.sampled_from([dt.timedelta(minutes=30), dt.timedelta(hours=1), dt.timedelta(days=2), dt.timedelta(days=3), dt.timedelta(days=20)]),
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(("status", "owner", "source", "stage", "pipeline", "currency"), word)
            | {"deal_id": st.sampled_from(["d1", "d2", 7]), "value": st.sampled_from([0, "100", 60, "x", None])},
        ),
        st.booleans(),
    ),
    max_size=7,
)
traits = st.fixed_dictionaries({}, optional={"lead_band": st.sampled_from(["hot", "Cold", 3])})


@settings(max_examples=60)
@given(rule=rule, people=st.lists(st.tuples(traits, happened), min_size=1, max_size=3), later=st.sampled_from([1, 3, 20, 40]))
def test_sql_and_python_agree_and_nothing_changes_before_it_is_due(session: Session, now: dt.datetime, rule: dict[str, Any], people: Any, later: int) -> None:
    with session.begin_nested() as nested:
        parsed = tree.parse(rule)
        ids = [_person(session, now, *one) for one in people]
        future = now + dt.timedelta(days=later)
        for moment in (now, future):
            everybody = evaluate.members(session, parsed, now=moment, place=PLACE) & set(ids)
            some = evaluate.members(session, parsed, now=moment, place=PLACE, ids=ids)
            read = {one for one in ids if tree.read(parsed, reader.person(session, one, place=PLACE), moment)}
            assert everybody == some == read
        made = evaluate.statement(parsed, now=now, place=PLACE, ids=ids)
        then = evaluate.members(session, parsed, now=future, place=PLACE, ids=ids)
        for row in session.execute(text(made.sql), made.values):
            assert (row.profile_id in then) == row.inside or (row.due_at is not None and row.due_at <= future)
        nested.rollback()


@pytest.mark.parametrize(
    ("rule", "forged"),
    [
        ({"kind": "lead", "status": "won"}, ("Lead Status Changed", {"status": "won"})),
        ({"kind": "lead", "owner": "a@b.example"}, ("Lead Assigned", {"owner": "a@b.example"})),
        ({"kind": "deal"}, ("Deal Stage Changed", {"deal_id": "d1"})),
        ({"kind": "deal", "state": "won"}, ("Deal Won", {"deal_id": "d1"})),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_what_a_public_key_says_of_leads_and_deals_is_not_believed(session, now, rule, forged, trusted):
    day = dt.timedelta(days=1)
    one = _person(session, now, {}, [("Lead Created", 2 * day, {}, False), (forged[0], day, forged[1], trusted)])
    parsed = tree.parse(rule)
    assert (one in evaluate.members(session, parsed, now=now, place=PLACE, ids=[one])) == trusted
    assert tree.read(parsed, reader.person(session, one, place=PLACE), now) == trusted


def test_a_contract_about_to_end_is_the_persons_own_or_that_of_the_company_they_buy_for(sales, session, now):
    soon, later = (now + dt.timedelta(days=30)).isoformat(), (now + dt.timedelta(days=300)).isoformat()
    sales.happens(makers.identify({"contract_end": soon, "email": "own@example.com"}, at=now, user_id="own@example.com"))
    for email, role, end, company in (
        ("buyer@example.com", "buyer", soon, "acme"),
        ("viewer@example.com", "viewer", soon, "acme"),
        ("safe@example.com", "buyer", later, "globex"),
    ):
        said = Call(type="group", user_id=email, group_id=company, message_id=email, timestamp=now, traits={"role": role, "contract_end": end})
        sales.happens(makers.identify({"email": email}, at=now, user_id=email), said)
    [rule] = [rule for slug, _, rule in ready_made("ILS") if slug == "contract-ending"]
    inside = evaluate.members(session, tree.parse(rule), now=now, place=PLACE)
    assert inside == {sales.who("own@example.com"), sales.who("buyer@example.com")}


@pytest.mark.parametrize("rule", [{"kind": "lead"}, {"kind": "lead", "owner": "nobody", "source": "fair", "band": "hot"}, {"kind": "deal", "stage": "quote"}])
def test_the_sentence_fits_its_values(rule: dict[str, Any]) -> None:
    sentence = tree.sentence(tree.leaves(tree.parse(rule))[0])
    assert sentence.text % sentence.slots


def _person(session: Session, now: dt.datetime, said: dict[str, Any], events: Any) -> Any:
    one = new_id()
    session.execute(
        text("INSERT INTO profiles (id, bucket, known, traits, first_seen, last_seen) VALUES (:id, 1, true, CAST(:traits AS jsonb), :now, :now)"),
        {"id": one, "traits": dumps(said), "now": now},
    )
    for number, (name, ago, properties, trusted) in enumerate(events):
        session.execute(
            text("""INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities,
                    properties, context, hops) VALUES (:id, :at, :n, :at, 1, :n, 'track', :name, 'live', :trusted, '[]', CAST(:said AS jsonb), '{}', 0)"""),
            {"id": one, "at": now - ago, "n": number, "name": name, "said": dumps(properties), "trusted": trusted},
        )
    return one
