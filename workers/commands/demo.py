"""`kesher demo`: fill the invented shop on a running installation, and play today's visitors."""

from __future__ import annotations

import argparse

from workers.commands import Subparsers
from workers.demo.run import SEED, run, wait_for_web
from workers.install import opened
from workers.process import tools


def add_parser(subparsers: Subparsers) -> None:
    """`demo [--seed N] [--seconds S]`."""
    parser = subparsers.add_parser("demo", help="Fill an invented gift shop into a running installation and play its visitors (as `up --demo` does).")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed invents other people")
    parser.add_argument("--seconds", type=float, help="how long to play visitors (default: until Ctrl-C; 0 only fills)")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Fill and play."""
    with opened(args.home) as config:
        wait_for_web(config.base_url, patience=3)
        run(tools(config), seed=args.seed, seconds=args.seconds)
    return 0
