"""`kesher migrate`: bring the database to this version."""

from __future__ import annotations

import argparse

from crm.core import clock
from crm.core.db import engine_for, sessions
from workers import leaving
from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`migrate`."""
    parser = subparsers.add_parser("migrate", help="Bring the database to this version.")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Opening an installation migrates it; whoever an old backup brought back is forgotten again."""
    with opened(args.home) as config:
        engine = engine_for(config.database_url, pool_size=2)
        again = leaving.restore(sessions(engine), config, clock.now())
        engine.dispose()
        print("The database is at this version.")
    if again:
        print(f"It was an old backup: {again} people who had been erased since were erased again.")
    return 0
