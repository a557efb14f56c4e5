"""`kesher up`: run the product here."""

from __future__ import annotations

import argparse

from workers.commands import Subparsers
from workers.install import home_of
from workers.up import Wish, up

DEMO_SCALE = 60.0  # an hour of waiting passes in a minute

DEMO_SCALE = 60.0  # an hour passes in a minute: the first mails are there before one looks away


def add_parser(subparsers: Subparsers) -> None:
    """`up [--host --port --time-scale N --demo]`."""
    parser = subparsers.add_parser("up", help="Run the product here until Ctrl-C.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (default 8000; 0 takes a free one)")
    parser.add_argument("--time-scale", type=float, metavar="N", help="divide waits and other durations by N, for demonstrations (default 1; with --demo 60)")
    parser.add_argument("--demo", action="store_true", help="fill an invented shop and play live traffic")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    scale = args.time_scale if args.time_scale is not None else (DEMO_SCALE if args.demo else 1.0)
    return up(home_of(args.home), Wish(args.host, args.port, scale, args.demo))
