"""Whatever happens in whatever order, live state is the state that log and links say."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm.events.spec import Call
from crm.profiles import rebuild
from crm.segments import lists
from tests import makers
from tests.makers import accepted, identify, product, track
from tests.profiles.test_undo import World
from workers import pipeline

DEVICES, USERS, EMAILS = ("x", "y", "z"), ("1", "2", "3"), ("a@example.com", "b@example.com", "c@example.com")
SAID = "SELECT profile_id, properties->>'groupId' AS key FROM events WHERE type = 'group' GROUP BY 1, 2 ORDER BY 1, 2"
MEMBERS = "SELECT m.profile_id, a.key FROM account_members m JOIN accounts a ON a.id = m.account_id ORDER BY 1, 2"


def maybe(values):
    return st.none() | st.sampled_from(values)


class Identities(RuleBasedStateMachine):
    """What may happen to people, in any order; what must hold after each."""

    engine: Engine
    now: dt.datetime

    def __init__(self):
        super().__init__()
        self.connection = self.engine.connect()
        self.outer = self.connection.begin()
        self.session = Session(self.connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
        self.world = World(self.session, self.now)
        self.calls = self.born = 0
        self.ids = patch("crm.profiles.people.new_id", self.next_id)  # so that who is older is not chance
        self.ids.start()

    def next_id(self, _ms):
        self.born += 1
        return uuid.UUID(int=self.born)

    def teardown(self):
        self.ids.stop()
        self.session.close()
        self.outer.rollback()
        self.connection.close()

    def call(self, minutes, device, user, email, what):
        who = {"anonymous_id": device, "user_id": user}
        who = {key: value for key, value in who.items() if value} or {"anonymous_id": "x"}
        at = self.now - dt.timedelta(minutes=minutes)
        self.calls += 1
        if what == "identify":
            return identify({"name": f"N{self.calls}"} | ({"email": email} if email else {}), at=at, **who)
        more = {"email": email} if email else {}
        if what == "company":
            return Call(type="group", group_id=f"g{self.calls % 2}", timestamp=at.isoformat(), context={"traits": more} if more else None, **who)
        if what == "order":
            return track("Order Completed", {"order_id": f"o{self.calls % 4}", "total": "10"}, at=at, **who, **more)
        return track("Product Added", product(f"p{self.calls % 3}"), at=at, **who, **more)

    @rule(
        calls=st.lists(
            st.tuples(st.integers(1, 500), maybe(DEVICES), maybe(USERS), maybe(EMAILS), st.sampled_from(("identify", "cart", "order", "company"))),
            min_size=1,
            max_size=4,
        ),
        trusted=st.booleans(),
    )
    def batch(self, calls, trusted):
        pipeline.run(self.session, [accepted(self.call(*each), self.now, trusted=trusted) for each in calls], self.now, makers.config())

    @rule(seed=st.integers(0, 1_000))
    def merge(self, seed):
        if len(people := [row.id for row in makers.profiles(self.session)]) > 1:
            self.world.merge(*random.Random(seed).sample(people, 2))

    @rule(seed=st.integers(0, 1_000))
    def unmerge(self, seed):
        if links := self.world.links():
            self.world.unmerge(random.Random(seed).choice(links))

    @rule(seed=st.integers(0, 1_000), on=st.booleans())
    def put_on_a_list(self, seed, on):
        if people := [row.id for row in makers.profiles(self.session)]:
            lists.create(self.session, slug="vip", name="VIP", now=self.now)
            (lists.add if on else lists.remove)(self.session, "vip", [random.Random(seed).choice(people)], now=self.now)

    @invariant()
    def companies_are_what_events_said(self):
        said = self.session.execute(text(SAID)).all()
        assert self.session.execute(text(MEMBERS)).all() == said

    @invariant()
    def every_row_is_with_whom_its_first_owner_went_to(self):
        led = rebuild.roots(rebuild.edges(self.session))
        for first, owner in self.session.execute(text("SELECT coalesce(given_id, profile_id), profile_id FROM list_members")):
            assert led.get(first, first) == owner

    @invariant()
    def live_is_rebuilt(self):
        assert self.world.differences() == []


def test_live_state_is_the_state_of_log_and_links(engine, now):
    here = type("Here", (Identities,), {"engine": engine, "now": now})
    run_state_machine_as_test(here, settings=settings(max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)))
