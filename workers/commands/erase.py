"""`kesher erase`: forget one person everywhere, now."""

from __future__ import annotations

import argparse

from crm.core import clock
from crm.core.db import engine_for, sessions
from crm.core.errors import NotFoundError
from crm.profiles import erasure
from crm.profiles.find import named
from crm.profiles.privacy_models import DONE, Erasure
from workers import leaving
from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`erase PERSON --yes`."""
    parser = subparsers.add_parser("erase", help="Forget one person everywhere: profile, events, messages, files.")
    parser.add_argument("person", help="kind:value, for example email:dana@example.com, or the profile's id")
    parser.add_argument("--yes", action="store_true", help="really do it; without it only what would be erased is named")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Do the whole erasure in this process; a running installation helps along."""
    with opened(args.home) as config:
        engine = engine_for(config.database_url, pool_size=2)
        make = sessions(engine)
        with make() as session:
            found = named(session, args.person)
            if found is None:
                raise NotFoundError(f"Nobody has the identity {args.person}. Write it as kind:value, for example email:dana@example.com.")
            if not args.yes:
                print(f"Profile {found} would be erased for good. To do it: kesher erase {args.person} --yes")
                return 0
            job = erasure.request(session, found, by="command", now=clock.now())
            session.commit()
        number = job.id if job else 0
        while leaving.work(make, config, clock.now):
            pass
        with make() as session:
            done = session.get(Erasure, number)
            print_outcome(done)
        engine.dispose()
    return 0 if done and done.status == DONE else 1


def print_outcome(job: Erasure | None) -> None:
    """What was taken out, table by table."""
    for name, count in sorted((job.counts if job else {}).items()):
        print(f"{count:>9,} {name}")
    print("Erased." if job and job.status == DONE else "Not done yet: a message to this person is on its way. It goes on by itself while `kesher up` runs.")
