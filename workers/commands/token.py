"""`kesher token create`: a bearer token for the API."""

from __future__ import annotations

import argparse

from sqlalchemy.orm import Session

from crm.core.crypto import digest, new_secret
from crm.core.db import engine_for
from crm.web.models import ROLES, ApiToken
from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`token create --role ROLE [--name NAME]`."""
    parser = subparsers.add_parser("token", help="Make a bearer token for /api/v1.")
    create = parser.add_subparsers(metavar="ACTION", required=True).add_parser("create", help="Make a token and print it.")
    create.add_argument("--role", choices=ROLES, required=True)
    create.add_argument("--name", default="command line", help="what it is for, to find it again on a screen")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Print the token, alone, so that a script can take it."""
    secret = new_secret("kt")
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        session.add(ApiToken(name=args.name, role=args.role, digest=digest(secret)))
        session.commit()
    print(secret)
    return 0
