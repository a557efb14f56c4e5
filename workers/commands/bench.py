"""`kesher bench NAME`: measure this machine on an installation made for it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence

import orjson

import workers.bench
from workers.bench import Measure
from workers.commands import Subparsers
from workers.install import scratch


def add_parser(subparsers: Subparsers) -> None:
    """`bench NAME [--quick] [--json]`."""
    parser = subparsers.add_parser("bench", help="Measure how fast this machine does the product's work.")
    parser.add_argument("name", choices=sorted(info.name for info in pkgutil.iter_modules(workers.bench.__path__)))
    parser.add_argument("--quick", action="store_true", help="smaller data, under a minute")
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Make an empty installation, run the bench, print what it found."""
    bench = importlib.import_module(f"workers.bench.{args.name}")
    with scratch() as config:
        found: list[Measure] = bench.run(config, args.quick)
    print(orjson.dumps([dataclasses.asdict(one) for one in found]).decode() if args.json else table(found, quick=args.quick))
    return 0


def table(found: Sequence[Measure], *, quick: bool) -> str:
    """The measures as aligned text."""
    lines = ["smaller data (--quick): compare only with other quick runs"] if quick else []
    for one in found:
        floor = f"   floor {one.floor:,.1f} {one.unit}, ratio {one.ratio:.3f}" if one.floor is not None and one.ratio is not None else ""
        lines.append(f"{one.measure:<24} {one.value:>14,.1f} {one.unit}{floor}")
    return "\n".join(lines)
