"""`kesher key create`: a write key for a source of events."""

from __future__ import annotations

import argparse
import sys

from sqlalchemy.orm import Session

from crm.core.db import engine_for
from crm.events import keys
from workers.commands import Subparsers
from workers.install import opened, there


def add_parser(subparsers: Subparsers) -> None:
    """`key create --source NAME [--kind browser|server]`."""
    parser = subparsers.add_parser("key", help="Make a write key for a source of events.")
    create = parser.add_subparsers(metavar="ACTION", required=True).add_parser("create", help="Make a key and print it.")
    create.add_argument("--source", required=True, metavar="NAME", help="where the events come from; made where it is new")
    create.add_argument("--kind", choices=("browser", "server"), default="server", help="a browser key is public and proves nothing")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Print the key, alone, so that a script can take it."""
    new = not there(args.home)
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        secret = keys.create(session, source_name=args.source, kind=args.kind)
        session.commit()
    if new:
        print(f"{config.home} held no installation; a new one was made there. A Kesher that runs elsewhere does not know this key.", file=sys.stderr)
    print(secret)
    return 0
