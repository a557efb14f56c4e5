"""Companies come from group calls and orders; people have parts in several; joins and their undoing keep the parts right."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.events.spec import Call
from crm.profiles import accounts
from crm.profiles.account_models import Account
from crm.profiles.find import find
from tests import makers
from tests.makers import accepted, identify, track
from tests.profiles.test_undo import World
from workers import pipeline

CONFIG = makers.config()


def group(key: str, traits: dict[str, Any] | None = None, *, at: dt.datetime, who: str = "dana", **more: Any) -> Call:
    return Call(type="group", group_id=key, traits=traits or {}, timestamp=at.isoformat(), **{"user_id": who} | more)


def happen(session: Session, now: dt.datetime, *calls: Call, trusted: bool = True) -> None:
    for call in calls:
        pipeline.run(session, [accepted(call, now, trusted=trusted)], now, CONFIG)


def account(session: Session, key: str) -> Account:
    session.expire_all()
    return session.query(Account).filter_by(key=key).one()


def parts(session: Session, who: str) -> dict[str, str]:
    profile_id = find(session, "user_id", who)
    assert profile_id is not None
    return {one.key: member.role for one, member in accounts.of_profile(session, profile_id)}


def test_a_group_call_makes_the_company_and_the_part_in_it(session: Session, now: dt.datetime) -> None:
    traits = {"name": "Acme Ltd", "website": "https://www.Acme.co.il/about", "price_list": "B", "contract_end": "2027-01-31", "role": "approver"}
    happen(session, now, group("acme", traits, at=now), group("beta", {"name": "Beta"}, at=now))
    found = account(session, "acme")
    assert (found.name, found.domain, found.traits) == ("Acme Ltd", "acme.co.il", {"price_list": "B", "contract_end": "2027-01-31"})
    assert parts(session, "dana") == {"acme": "approver", "beta": "member"}


def test_an_order_names_the_buyers_company(session: Session, now: dt.datetime) -> None:
    said: list[Any] = [{"id": "c-7", "name": "Gimel"}, "Dalet"]
    happen(session, now, *(track("Order Completed", {"order_id": str(n), "company": one}, at=now, user_id="dana") for n, one in enumerate(said)))
    happen(session, now, track("Order Completed", {"order_id": "9", "company": None, "total": "5"}, at=now, user_id="omri"))
    assert parts(session, "dana") == {"c-7": "buyer", "Dalet": "buyer"}
    assert account(session, "c-7").name == "Gimel"
    assert parts(session, "omri") == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_latest_word_by_event_time_counts_in_any_order(session: Session, now: dt.datetime, order: tuple[int, ...]) -> None:
    calls = [
        group("acme", {"name": "Old", "terms": "30", "seats": 5, "role": "viewer"}, at=now - dt.timedelta(days=3)),
        group("acme", {"name": "New", "terms": "60", "role": "buyer"}, at=now - dt.timedelta(days=2)),
        group("acme", {"seats": None}, at=now - dt.timedelta(days=1)),
    ]
    happen(session, now, *(calls[n] for n in order))
    found = account(session, "acme")
    assert (found.name, found.traits) == ("New", {"terms": "60"})
    assert parts(session, "dana") == {"acme": "member"}  # the last call names no other
    assert session.scalar(text("SELECT since FROM account_members")) == now - dt.timedelta(days=3)


def test_companies_stand_one_above_another_and_never_in_a_circle(session: Session, now: dt.datetime) -> None:
    happen(
        session, now, group("shop", {"parent": "chain"}, at=now), group("chain", {"parent": "holding"}, at=now), group("holding", {"parent": "shop"}, at=now)
    )
    shop, chain, holding = (account(session, key) for key in ("shop", "chain", "holding"))
    assert accounts.above(session, shop.id) == [shop.id, chain.id, holding.id]
    assert holding.parent_id is None
    with pytest.raises(InvalidError, match="circle"):
        accounts.save(session, key="holding", name=None, domain=None, parent="shop", traits={}, now=now)
    with pytest.raises(InvalidError, match="circle"):
        accounts.save(session, key="holding", name=None, domain=None, parent="holding", traits={}, now=now)


def test_a_public_key_changes_no_company(session: Session, now: dt.datetime) -> None:
    happen(session, now, group("acme", {"name": "Acme", "price_list": "B"}, at=now - dt.timedelta(hours=1)))
    happen(session, now, group("acme", {"name": "Hacked", "price_list": "free"}, at=now, who="omri"), trusted=False)
    found = account(session, "acme")
    assert (found.name, found.traits) == ("Acme", {"price_list": "B"})


def test_a_role_set_by_hand_stays(session: Session, now: dt.datetime) -> None:
    happen(session, now, group("acme", at=now - dt.timedelta(days=1)))
    dana = find(session, "user_id", "dana")
    assert dana is not None
    accounts.set_member(session, account_id=account(session, "acme").id, profile_id=dana, role="payer", now=now)
    happen(session, now, group("acme", {"role": "viewer"}, at=now))
    assert parts(session, "dana") == {"acme": "payer"}
    with pytest.raises(InvalidError):
        accounts.set_member(session, account_id=account(session, "acme").id, profile_id=dana, role="king", now=now)
    assert accounts.remove_member(session, account_id=account(session, "acme").id, profile_id=dana, now=now)
    assert parts(session, "dana") == {}


def test_who_was_taken_out_stays_out_until_something_later_brings_them_in(session: Session, now: dt.datetime) -> None:
    happen(session, now, group("acme", {"role": "buyer"}, at=now - dt.timedelta(days=1)), group("beta", at=now - dt.timedelta(days=1)))
    dana, acme = find(session, "user_id", "dana"), account(session, "acme").id
    assert dana is not None
    assert accounts.remove_member(session, account_id=acme, profile_id=dana, now=now)
    happen(session, now, Call(type="group", group_id="gamma", anonymous_id="b1", timestamp=now.isoformat()))
    happen(session, now, identify({}, at=now, user_id="dana", anonymous_id="b1"))
    assert parts(session, "dana") == {"beta": "member", "gamma": "member"}, "a join counts their parts anew"
    later = now + dt.timedelta(hours=1)
    happen(session, later, group("acme", {"role": "viewer"}, at=later))
    was = session.scalars(text("SELECT since FROM account_members WHERE account_id = :acme"), {"acme": acme}).one()
    accounts.refold(session, [dana])
    assert parts(session, "dana")["acme"] == "viewer"
    assert session.scalars(text("SELECT since FROM account_members WHERE account_id = :acme"), {"acme": acme}).one() == was == later


def test_a_join_brings_both_sets_of_parts_together(session: Session, now: dt.datetime) -> None:
    early = now - dt.timedelta(days=2)
    anonymous = Call(type="group", group_id="acme", traits={"role": "viewer"}, anonymous_id="b1", timestamp=early.isoformat())
    happen(session, now, anonymous, group("acme", {"role": "buyer"}, at=now - dt.timedelta(days=1)), group("beta", at=now))
    gone = session.scalars(text("SELECT profile_id FROM identities WHERE kind = 'anonymous_id'")).one()
    accounts.set_member(session, account_id=account(session, "beta").id, profile_id=gone, role="approver", now=now)
    happen(session, now, identify({}, at=now, user_id="dana", anonymous_id="b1"))
    assert parts(session, "dana") == {"acme": "buyer", "beta": "approver"}
    assert session.scalar(text("SELECT count(*) FROM account_members WHERE profile_id = :gone"), {"gone": gone}) == 0
    assert session.scalar(text("SELECT min(since) FROM account_members")) == early


def test_a_rebuild_gives_the_same_parts(session: Session, now: dt.datetime) -> None:
    happen(session, now, group("acme", {"role": "buyer"}, at=now), group("beta", at=now), group("acme", at=now, who="omri"))
    before = {who: parts(session, who) for who in ("dana", "omri")}
    ids: list[uuid.UUID] = list(session.scalars(text("SELECT id FROM profiles")))
    accounts.refold(session, ids)
    assert {who: parts(session, who) for who in ("dana", "omri")} == before


def test_a_role_given_by_hand_goes_back_with_whom_it_was_given_to(session: Session, now: dt.datetime) -> None:
    happen(session, now, group("acme", {"role": "buyer"}, at=now, who="dana"), group("acme", at=now, who="omri"), group("beta", at=now, who="noa"))
    people = {who: find(session, "user_id", who) for who in ("dana", "omri")}
    for key, who, role in (("acme", "omri", "payer"), ("beta", "omri", "approver"), ("acme", "dana", "viewer")):
        profile_id = people[who]
        assert profile_id is not None
        accounts.set_member(session, account_id=account(session, key).id, profile_id=profile_id, role=role, now=now)
    before = {who: parts(session, who) for who in people}
    world = World(session, now)
    both = world.merge(*people.values())
    assert parts(session, "omri")["beta"] == "approver"
    accounts.set_member(session, account_id=account(session, "acme").id, profile_id=both, role="owner", now=now + dt.timedelta(hours=1))
    assert parts(session, "dana") == {"acme": "owner", "beta": "approver"}
    world.unmerge(world.links()[0])
    kept, other = ("dana", "omri") if people["dana"] == both else ("omri", "dana")
    assert parts(session, other) == before[other]
    assert parts(session, kept) == before[kept] | {"acme": "owner"}


def test_the_company_above_is_the_latest_that_was_named(session: Session, now: dt.datetime) -> None:
    day = dt.timedelta(days=1)
    happen(session, now, group("shop", {"parent": "chain"}, at=now - day), group("shop", {"parent": "seller"}, at=now - 3 * day))
    assert account(session, "shop").parent_id == account(session, "chain").id
    accounts.put_on_top(session, account(session, "shop"), now)
    happen(session, now, group("shop", {"parent": "chain"}, at=now - day / 2))
    assert account(session, "shop").parent_id is None


@pytest.mark.parametrize("key", ["", "  ", None, True, {"a": 1}])
def test_a_group_without_a_name_is_no_company(session: Session, now: dt.datetime, key: Any) -> None:
    event = Call(type="group", group_id=key if isinstance(key, str) else None, user_id="dana", timestamp=now.isoformat())
    happen(session, now, event)
    assert session.scalar(text("SELECT count(*) FROM accounts")) == 0
