"""`kesher import FILE --source NAME --mapping MAP.yaml`: bring in what happened before Kesher was there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError
from crm.core.json import dumps
from crm.events.importing import mapping
from workers.commands import Subparsers
from workers.importing import Job, Summary, dry_run, import_file
from workers.install import home_of, opened


def add_parser(subparsers: Subparsers) -> None:
    """`import FILE --source NAME --mapping MAP [--dry-run] [--rejects FILE] [--again] [--no-wait]`."""
    parser = subparsers.add_parser("import", help="Bring in events of the past from a CSV, JSON Lines or Parquet file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--source", required=True, help="the name of the source the events belong to; made where there is none")
    parser.add_argument("--mapping", required=True, help=f"a YAML file, or one of: {', '.join(mapping.shipped())}")
    parser.add_argument("--dry-run", action="store_true", help="read and count, store nothing")
    parser.add_argument("--rejects", type=Path, help="where to write rejected lines with their reasons (CSV; default: in the home's folder `imports`)")
    parser.add_argument("--again", action="store_true", help="read a file once more that was imported before; what is known is not taken twice")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as everything is in the inbox")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Import, showing how far it is; then say what came of it."""
    if not args.file.is_file():
        raise InvalidError(f"There is no file {args.file}.")
    chosen = mapping.load(args.mapping)
    if args.dry_run:
        with _bar() as bar:
            print_summary(dry_run(Job(args.file, args.source, chosen, args.rejects), _Shown(bar).report), dry=True)
        return 0
    rejects = args.rejects or home_of(args.home) / "imports" / f"{args.file.name}.rejected.csv"
    job = Job(args.file, args.source, chosen, rejects, again=args.again, wait=not args.no_wait)
    with opened(args.home) as config, _bar() as bar:
        engine = engine_for(config.database_url, pool_size=2)
        found = import_file(sessions(engine), config, job, _Shown(bar).report)
        engine.dispose()
    print_summary(found)
    return 0


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4)


class _Rate(ProgressColumn):
    """How much a second."""

    def render(self, task: Task) -> Text:
        """Megabytes for files, rows else."""
        speed = task.finished_speed or task.speed or 0.0
        return Text(f"{speed / 1e6:,.1f} MB/s" if task.fields["bytes"] else f"{speed:,.0f} rows/s")


class _Shown:
    """One bar for each stage, made when it begins."""

    def __init__(self, bar: Progress) -> None:
        self.bar, self.tasks = bar, dict[str, TaskID]()

    def report(self, stage: str, done: int, total: int, unit: str) -> None:
        """How far a stage is."""
        if stage not in self.tasks:
            self.tasks[stage] = self.bar.add_task(stage.capitalize(), bytes=unit == "bytes")
        self.bar.update(self.tasks[stage], completed=done, total=total)


def print_summary(found: Summary, *, dry: bool = False) -> None:
    """Counts and reasons, one a line."""
    if found.finished_before:
        print(f"This file was imported on {found.finished_before:%Y-%m-%d %H:%M} UTC; nothing was added. To read it once more: --again. It held:")
    for line in summary_lines(found, dry=dry):
        print(line)
    for call in found.samples:
        print("for example:", dumps(msgspec.to_builtins(call)))


def summary_lines(found: Summary, *, dry: bool) -> Iterator[str]:
    """The words of a summary."""
    tally = found.tally
    rate = f" in {found.seconds:.1f} s ({tally.read / found.seconds:,.0f} a second)" if found.seconds else ""
    yield f"{tally.read:>12,} lines read{rate}"
    yield f"{tally.accepted:>12,} lines accepted" + (f", {tally.accepted - tally.outside:,} of them inside the window" if tally.outside else "")
    yield from (f"{count:>12,} left out: {reason}" for reason, count in tally.left_out.most_common())
    yield from (f"{count:>12,} rejected: {reason}" for reason, count in tally.rejected.most_common())
    yield from (f"{count:>12,} events {name}" for name, count in tally.events.most_common())
    if found.resumed_at:
        yield f"{found.resumed_at:>12,} events were in already when this reading began (it goes on where it stopped)"
    if not found.finished_before:
        yield f"{found.new:>12,} events {'would be appended' if dry else 'appended now; those known from before are not taken twice'}"
    yield from (f"{count:>12,} calls in quarantine: {reason} (see Sources)" for reason, count in found.held.items())
    if found.rejects and tally.rejected:
        yield f"rejected lines: {found.rejects}"
