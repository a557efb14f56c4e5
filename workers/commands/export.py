"""`kesher export`: everything about one person, as JSON or as a page to read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import workers.migrate  # noqa: F401  every table registers
from crm.core import clock
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.errors import NotFoundError
from crm.core.json import dumps
from crm.profiles import privacy
from crm.profiles.find import named
from crm.web.app import create_app
from crm.web.person_file import readable
from workers.commands import Subparsers
from workers.install import opened


def add_parser(subparsers: Subparsers) -> None:
    """`export PERSON [--format json|html] [--language he|en] [--out FILE]`."""
    parser = subparsers.add_parser("export", help="Write down everything about one person.")
    parser.add_argument("person", help="kind:value, for example email:dana@example.com, or the profile's id")
    parser.add_argument("--format", choices=("json", "html"), default="json")
    parser.add_argument("--language", choices=("he", "en"), default="he")
    parser.add_argument("--out", type=Path, help="a file; else standard output")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """The file is readable by its owner only."""
    with opened(args.home) as config:
        engine = engine_for(config.database_url, pool_size=2)
        make = sessions(engine)
        with make() as session:
            found = named(session, args.person)
            who = privacy.subject(session, found) if found else None
            if who is None:
                raise NotFoundError(f"Nobody has the identity {args.person}. Write it as kind:value, for example email:dana@example.com.")
            known = privacy.export(session, who, Keys(config.secret_key), clock.now())
        if args.format == "html":
            app = create_app(config, make)
            with app.test_request_context("/", headers={"Accept-Language": args.language}):
                text = readable(known, args.language)
        else:
            text = dumps(known) + "\n"
        engine.dispose()
    if args.out:
        args.out.touch(mode=0o600)
        args.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0
