"""`kesher scores ACTION`: train a score, score everybody, say how good it is."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.errors import KesherError, NotFoundError
from crm.core.i18n import _l
from crm.profiles import find as people
from crm.scores import again, check, jobs, words, work
from crm.scores.score import Asked, asked, find
from crm.scores.score_models import BANDS, Score, ScoreCheck, ScoreFlag, ScoreKind, ScoreVersion
from workers.commands import Subparsers
from workers.install import opened
from workers.scoring import ranking


def add_parser(subparsers: Subparsers) -> None:
    """`scores train KIND | apply [KIND] | report [KIND] | check KIND | explain KIND WHO`."""
    parser = subparsers.add_parser("scores", help="Train scores, score everybody, say how good they are.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    train = actions.add_parser("train", help="Learn a new version of a score now.")
    train.add_argument("kind")
    train.set_defaults(call=learn)
    apply = actions.add_parser("apply", help="Score everybody now.")
    apply.add_argument("kind", nargs="?", help="which score (default: all)")
    apply.set_defaults(call=score)
    report = actions.add_parser("report", help="What each score predicts, how good it is, what was left out.")
    report.add_argument("kind", nargs="?", help="which score (default: all)")
    report.set_defaults(call=tell)
    compare = actions.add_parser("check", help="Compare what was promised with what happened, and the features with those of training.")
    compare.add_argument("kind")
    compare.set_defaults(call=judge)
    explain = actions.add_parser("explain", help="Give somebody's score of a moment again, from its version and the log as it was then.")
    explain.add_argument("kind")
    explain.add_argument("who", help="kind:value (email:dana@example.com) or the id of a profile")
    explain.add_argument("--at", type=dt.datetime.fromisoformat, help="a moment, for example 2026-03-01T10:00 (default: now)")
    explain.add_argument("--version", type=int, help="let this version speak instead of the one that did")
    explain.set_defaults(call=account)


def learn(args: argparse.Namespace) -> int:
    """Exit code 1 where nothing could be learned."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        one, began = find(session, args.kind), time.monotonic()
        try:
            said = work.train_now(session, one, config=config, now=clock.now(), report=lambda stage: print(f"… {stage}", flush=True))
        finally:
            session.commit()  # what was flagged stays, whatever came of it
        if said["code"] == "not_enough":
            print(f"Not enough data: {said['wins']} wins of {said['rows']}; {said['least_wins']} of {said['least_rows']} are needed. Rules are used.")
            return 1
        print(f"Version {said['version']} of {one.kind} is the {said['code']}, after {time.monotonic() - began:.1f} s.")
        _tell(session, one)
    return 0


def score(args: argparse.Namespace) -> int:
    """How many were scored, and how fast."""
    with opened(args.home) as config:
        began = time.monotonic()
        maker = sessions(engine_for(config.database_url))
        with maker() as session:
            now = clock.now()
            jobs.schedule(session, now, config.timezone)
            for one in [find(session, args.kind)] if args.kind else asked(session).values():
                jobs.row_of(session, one.kind, now).apply_at = now
            session.commit()
        work.rounds(maker, config, clock.now, ranking(config.currency))
        with maker() as session:
            for kind, count in session.execute(select(Score.kind, func.count()).group_by(Score.kind).order_by(Score.kind)):
                print(f"{kind:16} {count:>10,} people")
        print(f"{time.monotonic() - began:.1f} s")
    return 0


def tell(args: argparse.Namespace) -> int:
    """For a terminal."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        for one in [find(session, args.kind)] if args.kind else asked(session).values():
            _tell(session, one)
    return 0


def judge(args: argparse.Namespace) -> int:
    """Exit code 1 on an alarm."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        made = _compared(session, find(session, args.kind), config)
        session.commit()
        for band in made.bands:
            print(f"{band['band']:6} {band['people']:>8,} people   promised {band['promised']:.3f}   happened {band['actual']:.3f}")
        for each in made.drift[:5]:
            print(f"PSI {each['psi']:.3f}   {each['feature']}")
        print(f"alarm: {made.alarm}" if made.alarm else "no alarm")
        return 1 if made.alarm else 0


def account(args: argparse.Namespace) -> int:
    """Exit code 1 where the number is not the one that was kept."""
    with opened(args.home) as config, Session(engine_for(config.database_url)) as session:
        one, who = find(session, args.kind), people.named(session, args.who)
        if who is None:
            raise NotFoundError(_l("There is no such profile. It may have been erased."))
        at = clock.now() if args.at is None else args.at if args.at.tzinfo else args.at.replace(tzinfo=ZoneInfo(config.timezone))
        said = again.spoken(session, who, one.kind, at=at)
        own = args.version is None
        version = said.version_id if own else again.version_of(session, one.kind, args.version)
        found = again.by(session, one, said, version_id=version, config=config) if not own else again.again(session, one, said, config=config)
        print(f"{one.kind} of {who}, as given at {said.at.isoformat()}: {said.probability:.6f} ({said.band})")
        print(f"  {'again' if own else f'version {args.version}'}: {found.probability:.6f} ({found.band})")
        for reason in found.reasons:
            print(f"  {reason['points']:+.1f}  {reason['feature']}: {'missing' if reason['value'] is None else reason['value']}")
        for code in found.why:
            print(f"  not the same: {words.AGAIN[code]}")
        return 1 if found.why else 0


def _compared(session: Session, one: Asked, config: Config) -> ScoreCheck:
    now = clock.now()
    made = check.compare(session, one, config=config, now=now)
    if made is None:
        raise KesherError(f"{one.kind} has no model in use; train it first: kesher scores train {one.kind}")
    work.react(session, jobs.row_of(session, one.kind, now), made, now)
    return made


def _tell(session: Session, one: Asked) -> None:
    row = session.get(ScoreKind, one.kind)
    version = session.scalar(select(ScoreVersion).where(ScoreVersion.kind == one.kind).order_by(ScoreVersion.number.desc()).limit(1))
    print(f"{one.kind}: {one.title}{' (rules in use)' if row and row.rules_only else ''}")
    if row and row.notice:
        print(f"  notice: {', '.join(f'{name} {value}' for name, value in row.notice.items())}")
    counts = dict(session.execute(select(Score.band, func.count()).where(Score.kind == one.kind).group_by(Score.band)).all())
    print("  " + ", ".join(f"{band} {counts.get(band, 0):,}" for band in BANDS))
    for flag in session.scalars(select(ScoreFlag).where(ScoreFlag.kind == one.kind).order_by(ScoreFlag.feature)):
        print(f"  {'approved' if flag.approved_at else 'left out'}: {flag.feature}")
        for said in flag.evidence:
            print(f"    {words.evidence(said) % _plain(said)}")
    if version is None:
        print("  by rules: no version was trained")
        return
    judged = version.metrics["judged"]
    print(f"  version {version.number} ({version.state}, {version.algorithm}), judged on {judged['rows']:,} rows, {judged['wins']:,} wins")
    for name, each in version.metrics["measures"].items():
        rules = f"   rules {each['rules']:.3f}" if "rules" in each else ""
        print(f"  {name:8} {each['value']:.3f}  ({each['low']:.3f}–{each['high']:.3f}){rules}")
    if beside := version.metrics.get("against"):
        print(f"  beside version {beside['version']} on the same {beside['rows']:,} rows: Brier {beside['ours']:.4f}, that one {beside['brier']:.4f}")
    for refused in version.metrics["refused"]:
        print(f"  not used: {refused['feature']} {words.REFUSED[refused['code']]}")


def _plain(said: dict[str, Any]) -> dict[str, str]:
    """Figures of evidence for a terminal: shares in percent."""
    shares = {name: f"{value:.0%}" for name, value in said.items() if isinstance(value, float) and name != "auc"}
    return {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in said.items()} | shares
