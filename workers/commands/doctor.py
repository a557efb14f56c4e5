"""`kesher doctor`: is this installation well? Every check, its answer, and what to do where it is bad."""

from __future__ import annotations

import argparse

from workers.check import CHECKS, Verdict, examine
from workers.commands import Subparsers
from workers.install import opened

MARKS = {"ok": "ok     ", "warn": "look   ", "bad": "BROKEN "}


def add_parser(subparsers: Subparsers) -> None:
    """`doctor`."""
    parser = subparsers.add_parser("doctor", help="Check a live installation.")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Exit code 1 where something is broken."""
    with opened(args.home, migrated=False) as config:
        verdicts: list[Verdict] = examine(config, CHECKS)
    for one in verdicts:
        print(f"{MARKS[one.state]}{one.name}: {one.said}")
    return 1 if any(one.state == "bad" for one in verdicts) else 0
