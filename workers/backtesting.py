"""`kesher journeys backtest`: ask for one, work at it here (beside the workers, where they run), and print what came out."""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError, KesherError
from journeys import backtest
from journeys.backtest_models import WORKING, Backtest
from workers.install import opened

LOOK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A journey, a period, what to find out."""
    parser.add_argument("slug")
    parser.add_argument("--from", dest="since", type=dt.date.fromisoformat, required=True, metavar="YYYY-MM-DD", help="the first day")
    parser.add_argument("--to", dest="until", type=dt.date.fromisoformat, metavar="YYYY-MM-DD", help="the last day (default: today)")
    parser.add_argument("--draft", action="store_true", help="the draft instead of the published version")
    parser.add_argument("--replay", action="store_true", help="decide the runs of then anew and list every difference")
    parser.add_argument("--consent", choices=("then", "now"), default="then")
    parser.add_argument("--too-many", type=int, default=backtest.TOO_MANY, help="more messages a day than this are collisions (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="that work at it here (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def call(args: argparse.Namespace) -> int:
    """Exit code 1 where it failed, or a replay found differences."""
    with opened(args.home) as config:
        row = _lived(config, args)
    if row.status != "done":
        raise KesherError(row.error or f"the backtest is {row.status}")
    print(orjson.dumps(row.report, option=orjson.OPT_INDENT_2).decode() if args.json else "\n".join(lines(row.kind, row.report)))
    return 1 if row.kind == "replay" and row.report["same"] != row.report["runs"] else 0


def _lived(config: Config, args: argparse.Namespace) -> Backtest:
    zone, until = ZoneInfo(config.timezone), args.until or clock.now().astimezone(ZoneInfo(config.timezone)).date()
    since, end = (dt.datetime.combine(day, dt.time(), zone) for day in (args.since, until + dt.timedelta(days=1)))
    if not 1 <= args.processes <= 64:
        raise InvalidError("--processes is a number from 1 to 64")
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    with maker() as session:
        asked = backtest.ask(session, args.slug, kind="replay" if args.replay else "what_if", period=(since, end), now=clock.now(), by="command line",
                             settings={"too_many": args.too_many, "consent": args.consent}, draft=args.draft)  # fmt: skip
        session.commit()
    workers = [multiprocessing.get_context("spawn").Process(target=_work, args=(config,)) for _ in range(args.processes)]
    for worker in workers:
        worker.start()
    try:
        while True:
            with maker() as session:
                row = session.get_one(Backtest, asked.id)
            if row.status not in WORKING:
                return row
            done, total = backtest.progress(row)
            if not any(worker.is_alive() for worker in workers):
                backtest.work(maker, config, alone=False)  # one was killed: its part goes on here
            print(f"\r{done} of {total} people", end="", file=sys.stderr, flush=True)
            time.sleep(LOOK_S)
    finally:
        print(file=sys.stderr)
        for worker in workers:
            worker.terminate()
        engine.dispose()


def _work(config: Config) -> None:
    """Until nothing is left; the workers of a running installation may have the last part."""
    maker = sessions(engine_for(config.database_url))
    while backtest.work(maker, config, alone=False):
        pass


def lines(kind: str, report: Mapping[str, Any]) -> Iterator[str]:
    """The report as text."""
    if kind == "replay":
        yield f"runs {report['runs']}, the same way {report['same']}"
        yield from (f"  {cause}: {count}" for cause, count in report["causes"].items())
        yield from (f"    run {each['run'] or '-'} {each['cause']}: then {each['then']}, now {each['now']}" for each in report["differences"])
        return
    yield f"people {report['entrants']} of {report['people']}, runs {report['started']}, messages {report['sent']}, held back {sum(report['held'].values())}"
    for title in ("nodes", "edges", "ends", "standing", "refused", "held"):
        yield title
        yield from (f"  {name:40} {count:>10}" for name, count in report[title].items())
    yield from (f"{each['messages']} by {each['channel']} cost {each['total']} {each['currency']}" for each in report["cost"] if each["total"] is not None)
    crowded = report["collisions"]
    yield f"people with more than {crowded['too_many']} messages on a day: {crowded.get('people', 0)} ({crowded['with']})"
