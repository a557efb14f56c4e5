"""`kesher migrate`: bring the database to this version."""

from __future__ import annotations

import argparse

from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`migrate`."""
    parser = subparsers.add_parser("migrate", help="Bring the database to this version.")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Opening an installation migrates it."""
    with opened(args.home):
        print("The database is at this version.")
    return 0
