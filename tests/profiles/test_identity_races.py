"""Two workers and two marketers on the same people at once: nobody is lost, nothing hangs, the state is the log's."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from crm.commerce import rebuild as commerce_rebuild
from crm.core.db import engine_for, sessions
from crm.core.errors import KesherError
from crm.messages import joining
from crm.profiles import rebuild
from crm.profiles.identify import StaleError
from tests import makers
from tests.makers import accepted, identify, product, track
from tests.profiles.test_undo import World
from tests.waiting import PATIENCE
from workers import pipeline

ROUNDS, TRIES = 25, 50


def calls(world: World, chance: random.Random, n: int):
    user, device, email = chance.choice("1234"), chance.choice("wxyz"), f"{chance.choice('abc')}@example.com"
    at = world.ago(chance.randint(1, 500))
    return chance.choice((
        lambda: identify({"name": f"N{n}", "email": email}, at=at, user_id=user, anonymous_id=device),
        lambda: identify({"email": email}, at=at, anonymous_id=device),
        lambda: track("Product Added", product(f"p{n % 3}"), at=at, anonymous_id=device),
        lambda: track("Order Completed", {"order_id": f"o{n % 9}", "total": "10"}, at=at, email=email),
    ))()  # fmt: skip


def test_joins_and_their_undoing_race_with_two_workers(fresh_url, now):
    engine = engine_for(fresh_url, pool_size=6)
    make = sessions(engine)
    world = World(None, now)
    trouble: list[BaseException] = []

    def persist(act):
        """As a task does: what failed is done again, for ever."""
        for _ in range(TRIES):
            with make() as session:
                try:
                    act(session)
                    session.commit()
                    return
                except (StaleError, OperationalError) as error:
                    trouble.append(error)
        raise AssertionError("it never went through")

    def work(seed):
        chance = random.Random(seed)
        for n in range(ROUNDS):
            batch = [accepted(calls(world, chance, seed * 1000 + n * 10 + k), now) for k in range(5)]
            persist(lambda session, batch=batch: pipeline.run(session, batch, now, makers.config()))

    def decide(seed):
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            persist(lambda session: _decide(session, chance, now))

    known = [accepted(identify({}, at=world.ago(900), user_id=user), now) for user in "1234"]
    persist(lambda session: pipeline.run(session, known, now, makers.config()))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, 1), pool.submit(work, 2), pool.submit(decide, 3), pool.submit(decide, 4)]:
            done.result(PATIENCE)
    with make() as session:
        ids = [row.id for row in makers.profiles(session)]
        assert rebuild.differences(session) == []
        assert commerce_rebuild.differences(session, ids, currency="ILS") == []
        assert session.scalar(text("SELECT count(*) FROM events")) == 4 + 2 * ROUNDS * 5
        assert session.scalar(text("SELECT count(*) FROM links WHERE undoes IS NOT NULL")) > 0
    engine.dispose()


def _decide(session: Session, chance: random.Random, now) -> None:
    people = [row.id for row in makers.profiles(session)]
    links = [edge.id for edge in rebuild.edges(session)]
    session.rollback()
    more = {"by": "Dana", "said": "", "now": now, "currency": "ILS"}
    try:
        if links and chance.random() < 0.5:
            joining.again_if_stale(session, lambda: joining.unmerge(session, chance.choice(links), **more))
        elif len(people) > 1:
            joining.again_if_stale(session, lambda: joining.merge(session, *chance.sample(people, 2), **more))
    except KesherError:
        session.rollback()  # somebody else took it back, or joined them, a moment before
