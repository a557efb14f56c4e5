"""`kesher user create`: somebody who may sign in."""

from __future__ import annotations

import argparse
import secrets

from sqlalchemy.orm import Session

from crm.core.db import engine_for
from crm.web.models import ROLES
from crm.web.users import create_user
from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`user create --email --role [--name --password]`."""
    parser = subparsers.add_parser("user", help="Add somebody who may sign in.")
    create = parser.add_subparsers(metavar="ACTION", required=True).add_parser("create", help="Add a user and print the password.")
    create.add_argument("--email", required=True)
    create.add_argument("--role", choices=ROLES, default="admin")
    create.add_argument("--name", default="")
    create.add_argument("--password", default="", help="at least ten characters; drawn and printed where it is not given")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Add the user."""
    password = args.password or secrets.token_urlsafe(12)
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        create_user(session, email=args.email, name=args.name, role=args.role, password=password)
        session.commit()
    print(f"{args.email} may sign in as {args.role}." + ("" if args.password else f" Password: {password}  (shown only now)"))
    return 0
