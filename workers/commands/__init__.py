"""The `kesher` command: one file per sub-command, named as it is typed (`import_.py` is `kesher import`).

Each exposes `add_parser(subparsers)`, which adds its own parser and sets `call`::

    def add_parser(subparsers: Subparsers) -> None:
        parser = subparsers.add_parser("migrate", help="Bring the database to this version.")
        parser.set_defaults(call=call)

    def call(args: argparse.Namespace) -> int:
        with opened(args.home) as config:     # workers.install: servers up, settings read, database migrated
            ...
        return 0                              # the exit code; a KesherError becomes one sentence on stderr and code 1

Only the module of the command that was typed is imported (all of them for `kesher --help`), so a command costs the others nothing.
`--home` is given to every command.
"""

from __future__ import annotations

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
