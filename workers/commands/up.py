"""`kesher up`: run the product here."""

from __future__ import annotations

import argparse

from workers.commands import Subparsers
from workers.install import home_of
from workers.up import Wish, up


def add_parser(subparsers: Subparsers) -> None:
    """`up [--host --port --time-scale N --demo]`."""
    parser = subparsers.add_parser("up", help="Run the product here until Ctrl-C.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (default 8000; 0 takes a free one)")
    parser.add_argument("--time-scale", type=float, default=1.0, metavar="N", help="divide waits and other durations by N, for demonstrations")
    parser.add_argument("--demo", action="store_true", help="fill an invented shop and play live traffic")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    return up(home_of(args.home), Wish(args.host, args.port, args.time_scale, args.demo))
