"""`kesher journeys`: journeys as files: list, export, import, check, and test their stories."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for
from crm.core.errors import InvalidError, NotFoundError
from journeys import changes, coupons, drafts, files, graph, lint, lint_audience, publish, stories, story, view
from journeys.models import Journey
from workers import backtesting
from workers.commands import Subparsers
from workers.install import opened, there


def add_parser(subparsers: Subparsers) -> None:
    """`journeys list | export SLUG | import FILE | check FILE | diff SLUG FILE | coupons POOL FILE | backtest SLUG | test [FILE …]`."""
    actions = subparsers.add_parser("journeys", help="Journeys as files.").add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="Every journey with its state.").set_defaults(call=show)
    export = actions.add_parser("export", help="Print a published journey as YAML.")
    export.add_argument("slug")
    export.add_argument("--version", type=int, help="an older version")
    export.add_argument("--stories", action="store_true", help="print its stories instead, for tests/SLUG.yaml beside the file")
    export.set_defaults(call=write)
    take = actions.add_parser("import", help="Read a YAML file as a draft; --publish makes it live.")
    take.add_argument("file", type=Path)
    take.add_argument("--slug", help="which journey (default: the file's name)")
    take.add_argument("--publish", action="store_true")
    take.add_argument("--move", choices=("old", "same", "exit"), default="old", help="what becomes of people on nodes that changed")
    take.set_defaults(call=read)
    check = actions.add_parser("check", help="Say what is wrong with a YAML file; where there is an installation, also by what and whom it has.")
    check.add_argument("file", type=Path, nargs="+")
    check.add_argument("--alone", action="store_true", help="look at the file alone, though there is an installation")
    check.set_defaults(call=judge)
    compare = actions.add_parser("diff", help="What a YAML file, or a version, says differently from the published journey or from another version.")
    compare.add_argument("slug")
    compare.add_argument("file", type=Path, nargs="?")
    compare.add_argument("--from", dest="before", type=int, help="compare with this version (default: the published one)")
    compare.add_argument("--to", dest="after", type=int, help="a version instead of a file (default: the published one)")
    compare.set_defaults(call=differ)
    codes = actions.add_parser("coupons", help="Put codes, one a line, into a pool that coupon nodes draw from.")
    codes.add_argument("pool")
    codes.add_argument("file", type=Path)
    codes.set_defaults(call=fill)
    again = actions.add_parser("backtest", help="What a journey would have done in a period; --replay: whether its runs of then can be told from the log.")
    backtesting.add_arguments(again)
    again.set_defaults(call=backtesting.call)
    test = actions.add_parser("test", help="Run the stories beside journeys: tests/NAME.yaml for NAME.yaml; needs no installation.")
    test.add_argument("file", type=Path, nargs="*", help="journey files (default: the recipes that come with Kesher)")
    test.set_defaults(call=tell)


def show(args: argparse.Namespace) -> int:
    """One line each."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        for row in view.journeys(session, now=clock.now()):
            print(f"{row.slug:32} {row.status:8} version {row.version or '-'}  runs now {row.active_runs}")
    return 0


def write(args: argparse.Namespace) -> int:
    """To standard output."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        journey = drafts.find(session, args.slug)
        kept = stories.kept(session, journey.id)
        stored = view.graph_of(session, journey.id, args.version or journey.version or 0)
    if stored is None:
        raise NotFoundError(f"{args.slug} has no such version; publish it first")
    print(stories.to_yaml(kept) if args.stories else files.to_yaml(stored), end="")
    return 0


def read(args: argparse.Namespace) -> int:
    """As a draft, or live."""
    drawing, slug, now = _drawing(args.file), args.slug or args.file.stem, clock.now()
    told = args.file.parent / "tests" / args.file.name
    beside = story.read(told) if told.exists() else []
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        if args.publish:
            _refuse(lint.review(session, drawing))
            done = publish.publish_moving(session, slug, drawing, choice=publish.Choice(args.move), now=now, by="command line")
            print(f"{slug} is live as version {done.version}; runs moved {done.moved}, ended {done.ended}.")
        else:
            known = {row.slug for row in view.journeys(session, now=now)}
            journey = drafts.find(session, slug) if slug in known else drafts.create(session, recipe=None, name={"en": slug}, now=now, by="command line")
            draft = drafts.load(session, journey, now)
            kept = drafts.save(session, journey, (drawing, draft.layout), revision=draft.revision, now=now, by="command line")
            slug = journey.slug
            print(f"{journey.slug} is a draft (revision {kept.revision}); look at it under /journeys/{journey.slug}/edit.")
        stories.keep(session, drafts.find(session, slug).id, beside)
        session.commit()
    return 0


def judge(args: argparse.Namespace) -> int:
    """Exit code 1 where a file may not be published."""
    if args.alone or not there(args.home):
        return _judged((file, _by_itself(file)) for file in args.file)
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        return _judged((file, _by_installation(session, config, file)) for file in args.file)


def _judged(files_found: Iterable[tuple[Path, Sequence[graph.Problem]]]) -> int:
    bad = 0
    for file, found in files_found:
        for each in found:
            print(f"{file}: {each.level}: {each}{f' ({each.example % each.values if each.values else each.example})' if each.example else ''}")
        bad += any(each.level == "error" for each in found)
        if not found:
            print(f"{file}: nothing to mend")
    return 1 if bad else 0


def _by_itself(file: Path) -> Sequence[graph.Problem]:
    drawn, problems = graph.read(_drawing(file))
    return [*problems, *(lint.surprises(drawn) if drawn and not problems else ())]


def _by_installation(session: Session, config: Config, file: Path) -> Sequence[graph.Problem]:
    """Also what it names that is not there, and what it would mean for the people who are."""
    drawing = _drawing(file)
    drawn, problems = graph.read(drawing)
    return [*lint.review(session, drawing), *(lint_audience.review(session, drawn, config, clock.now(), slug=file.stem) if drawn and not problems else ())]


def differ(args: argparse.Namespace) -> int:
    """Lines of difference."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        journey = drafts.find(session, args.slug)
        after = _drawing(args.file) if args.file else _version(session, journey, args.after)
        lines = changes.diff(_version(session, journey, args.before), after)
    print("\n".join(lines) or "no difference")
    return 0


def _version(session: Session, journey: Journey, number: int | None) -> dict[str, object]:
    stored = view.graph_of(session, journey.id, number or journey.version or 0)
    if stored is None and number:
        raise NotFoundError(f"{journey.slug} has no version {number}")
    return stored or {}


def fill(args: argparse.Namespace) -> int:
    """How many were new, how many are left."""
    try:
        lines = args.file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidError(f"{args.file} cannot be read: {error.strerror}") from error
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        added = coupons.add(session, args.pool, lines)
        found = next(each for each in [*coupons.pools(session, clock.now()), coupons.Pool(args.pool)] if each.name == args.pool)
        session.commit()
    print(f"{added} codes added to {args.pool}; {found.free} free, {found.given} given.")
    return 0


def tell(args: argparse.Namespace) -> int:
    """Exit code 1 where a story came out otherwise, or a journey has none."""
    failed = told = 0
    for file in args.file or sorted(files.RECIPES.glob("*.yaml")):
        drawn = graph.parse(_drawing(file))
        for each in story.read(file.parent / "tests" / file.name):
            problems = story.run(drawn, each, file.stem)
            told, failed = told + 1, failed + bool(problems)
            print(f"{'FAILED' if problems else 'ok    '} {file.stem}: {each.name}")
            print(*(f"         {problem}\n" for problem in problems), sep="", end="")
    print(f"{told - failed} of {told} stories hold.")
    return 1 if failed else 0


def _drawing(file: Path) -> dict[str, object]:
    try:
        return files.from_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidError(f"{file} cannot be read: {error.strerror}") from error


def _refuse(problems: list[graph.Problem]) -> None:
    wrong = [str(each) for each in problems if each.level == "error"]
    if wrong:
        raise InvalidError("not published: " + "; ".join(wrong))
