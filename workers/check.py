"""What `kesher doctor` looks at on a live installation. Each check reads, never writes, and answers in a sentence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import crm.migrations
from crm.commerce import products, requests
from crm.commerce import rebuild as commerce_rebuild
from crm.consent.ledger import broken_seal
from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.db import engine_for
from crm.profiles import large, rebuild, tombstones
from crm.segments import fill, store
from workers.clock import LEADER_LOCK

LATE = dt.timedelta(minutes=2)
SAMPLE = 100  # people of each sort whose state is rebuilt
MANY = 20_000  # people whose memberships are compared


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer: `ok`, `warn` (look at it) or `bad` (broken), and the sentence."""

    name: str
    state: str
    said: str


@dataclass(frozen=True, slots=True)
class Patient:
    """What a check may look at."""

    config: Config
    session: Session
    now: dt.datetime


Check = Callable[[Patient], Verdict]


def examine(config: Config, checks: Sequence[Check]) -> list[Verdict]:
    """Run the checks in order; without PostgreSQL there is only one answer."""
    engine = engine_for(config.database_url)
    try:
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
            patient = Patient(config, session, clock.now())
            return [Verdict("PostgreSQL", "ok", "it answers"), *(check(patient) for check in checks)]
    except OperationalError as error:
        return [Verdict("PostgreSQL", "bad", f"it does not answer: {error.orig}")]
    finally:
        engine.dispose()


def broker(patient: Patient) -> Verdict:
    """Hints need it; nothing is lost without it."""
    try:
        redis.Redis.from_url(patient.config.redis_url, socket_timeout=2, socket_connect_timeout=2).ping()
    except redis.RedisError as error:
        return Verdict("Valkey", "warn", f"it does not answer ({error}); work waits for it, nothing is lost. Is `kesher up` running?")
    return Verdict("Valkey", "ok", "it answers")


def migrations(patient: Patient) -> Verdict:
    """The database is at the version of the program."""
    heads = sorted(ScriptDirectory(str(Path(crm.migrations.__file__).parent)).get_heads())
    exists = patient.session.scalar(text("SELECT to_regclass('alembic_version')"))
    there = sorted(patient.session.scalars(text("SELECT version_num FROM alembic_version"))) if exists else []
    if there == heads:
        return Verdict("migrations", "ok", f"at {', '.join(heads)}")
    return Verdict("migrations", "bad", f"the database is at {', '.join(there) or 'nothing'}, the program at {', '.join(heads)}: run `kesher migrate`")


def partitions_exist(patient: Patient) -> Verdict:
    """Today, tomorrow and this month."""
    days = [partitions.day_bounds(patient.now + dt.timedelta(days=n))[0] for n in (0, 1)]
    wanted = [*(f"event_inbox_{day:%Y%m%d}" for day in days), f"events_{partitions.month_bounds(patient.now)[0]:%Y%m%d}"]
    there = set(patient.session.scalars(text("SELECT relname FROM pg_class WHERE relname = ANY(:names)"), {"names": wanted}))
    missing = [name for name in wanted if name not in there]
    return Verdict("partitions", "bad", f"missing: {', '.join(missing)}; is the clock running?") if missing else Verdict("partitions", "ok", "they exist")


def clock_leads(patient: Patient) -> Verdict:
    """Somebody holds the leader's lock."""
    held = patient.session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :lock AND granted"), {"lock": LEADER_LOCK})
    return Verdict("clock", "ok", "one leads") if held else Verdict("clock", "warn", "none leads; is `kesher up` running?")


def inbox(patient: Patient) -> Verdict:
    """Accepted events are processed soon."""
    oldest, count = patient.session.execute(text(_PASSED_OVER), {"late": patient.now - LATE}).one()
    if count:
        said = f"{count} accepted events are passed over while later ones are processed, the oldest for {int((patient.now - oldest).total_seconds())} s"
        return Verdict("inbox", "warn", f"{said}: others hold their people, or keep taking them; what does log/tasks.log say of batch_put_back?")
    return _age(patient, "inbox", "SELECT min(received_at), count(*) FROM event_inbox WHERE processed_at IS NULL", "accepted events wait to be processed")


def outbox(patient: Patient) -> Verdict:
    """Due messages go out soon."""
    return _age(patient, "outbox", "SELECT min(due_at), count(*) FROM outbox WHERE due_at <= now() AND lease_until IS NULL", "messages are due")


def wakeups(patient: Patient) -> Verdict:
    """Runs whose wait is over move soon."""
    return _age(patient, "runs", "SELECT min(due_at), count(*) FROM wakeups WHERE due_at <= now()", "runs are due")


def _age(patient: Patient, name: str, query: str, what: str) -> Verdict:
    oldest, count = patient.session.execute(text(query)).one()
    if not count:
        return Verdict(name, "ok", "nothing waits")
    age = patient.now - oldest
    said = f"{count} {what}, the oldest for {max(0, int(age.total_seconds()))} s"
    return Verdict(name, "ok", said) if age < LATE else Verdict(name, "warn", f"{said}; is `kesher up` running, and what does log/tasks.log say?")


def quarantine(patient: Patient) -> Verdict:
    """What could not be taken is for a person to look at."""
    count = patient.session.scalar(text("SELECT count(*) FROM quarantine WHERE replayed_at IS NULL"))
    return Verdict("quarantine", "warn", f"{count} calls wait to be looked at (Settings, Quarantine)") if count else Verdict("quarantine", "ok", "empty")


def broken_plans(patient: Patient) -> Verdict:
    """Journeys that raised."""
    names = list(patient.session.scalars(text("SELECT slug FROM journeys WHERE status = 'broken' ORDER BY slug")))
    return Verdict("journeys", "warn", f"broken: {', '.join(names)}") if names else Verdict("journeys", "ok", "none is broken")


def unknown_messages(patient: Patient) -> Verdict:
    """Messages nobody knows the fate of."""
    count = patient.session.scalar(text("SELECT count(*) FROM messages WHERE status = 'unknown'"))
    return Verdict("messages", "warn", f"{count} have an unknown outcome (Messages)") if count else Verdict("messages", "ok", "every outcome is known")


def large_joins(patient: Patient) -> Verdict:
    """Joins that raised an error and were set aside."""
    count = len(large.failed(patient.session))
    said = f"{count} joins of profiles with very many events, or undoings of such, failed and wait for somebody to ask again (People, Held by guards)"
    return Verdict("joins", "warn", said) if count else Verdict("joins", "ok", "none failed")


def consent_chain(patient: Patient) -> Verdict:
    """Nobody altered the consent ledger."""
    broken = broken_seal(patient.session)
    if broken is None:
        return Verdict("consent ledger", "ok", "the chain of hashes is intact")
    return Verdict("consent ledger", "bad", f"entry {broken} is not what was sealed: somebody altered the ledger; compare with a backup")


def erasures(patient: Patient) -> Verdict:
    """Who left is gone: every request gets done, and no backup brought anybody back."""
    if missing := tombstones.unknown(patient.session, patient.config.home):
        return Verdict("erasures", "bad", f"{len(missing)} erased identities are unknown to this database, so it is an old backup: run `kesher migrate`")
    oldest, count = patient.session.execute(text("SELECT min(asked_at), count(*) FROM erasures WHERE status IN ('waiting', 'running')")).one()
    if count and patient.now - oldest > dt.timedelta(hours=1):
        return Verdict("erasures", "warn", f"{count} are not done, the oldest asked for at {oldest:%Y-%m-%d %H:%M}; is `kesher up` running?")
    return Verdict("erasures", "ok", f"{count} under way" if count else "nobody waits")


def people_from_log(patient: Patient) -> Verdict:
    """P4 for a sample: who was joined last and who was seen last are what log and links say, with their carts and orders."""
    snapshot = patient.session.connection().engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(snapshot) as session:
        ids = list(session.scalars(text(_SAMPLE), {"some": SAMPLE}))
        told = rebuild.differences(session, ids) + commerce_rebuild.differences(session, ids, currency=patient.config.currency)
        told += requests.differences(session, ids)
    if not told:
        return Verdict("people", "ok", f"{len(ids)} looked at are what the log says")
    return Verdict("people", "bad", f"{len(told)} differences from the log among {len(ids)} people, the first: {told[0]}")


def segments_from_rules(patient: Patient) -> Verdict:
    """Who is in each live segment is who its rule names, among people from a place drawn by chance on."""
    session = patient.session
    low = session.scalar(text("SELECT id FROM profiles TABLESAMPLE SYSTEM (1) LIMIT 1")) or fill.FIRST
    high = session.scalar(text("SELECT id FROM profiles WHERE id > :low ORDER BY id OFFSET :some LIMIT 1"), {"low": low, "some": MANY}) or fill.LAST
    live = store.load(session, "live")
    counts = {one.slug: fill.differences(session, one, patient.now, patient.config, span=(low, high)) for one in live}
    wrong = [f"{slug} ({count})" for slug, count in sorted(counts.items()) if count]
    if wrong:
        said = f"{len(wrong)} of {len(live)} hold other people than their rules name: {', '.join(wrong[:5])}; press “Find its members anew” on their pages"
        return Verdict("segments", "bad", said)
    if broken := list(session.scalars(text("SELECT slug FROM segments WHERE status = 'broken' ORDER BY slug"))):
        return Verdict("segments", "warn", f"broken: {', '.join(broken[:5])}; their pages say why, change the rule and save it")
    return Verdict("segments", "ok", f"{len(live)} hold whom their rules name")


def products_from_log(patient: Patient) -> Verdict:
    """The same for what is sold: variants that changed last, with their stock and prices, are what the log says."""
    snapshot = patient.session.connection().engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(snapshot) as session:
        ids = list(session.scalars(text("SELECT id FROM variants WHERE changed_at IS NOT NULL ORDER BY changed_at DESC LIMIT :some"), {"some": SAMPLE}))
        told = products.differences(session, ids, currency=patient.config.currency)
    if not told:
        return Verdict("products", "ok", f"{len(ids)} looked at are what the log says")
    return Verdict("products", "bad", f"{len(told)} differences from the log among {len(ids)} variants, the first: {told[0]}")


_PASSED_OVER = """
WITH newest AS (SELECT id, processed_at FROM event_inbox ORDER BY id DESC LIMIT 1000)
SELECT min(received_at), count(*) FROM event_inbox
WHERE processed_at IS NULL AND received_at < :late AND id < (SELECT max(id) FROM newest WHERE processed_at IS NOT NULL)
"""
_SAMPLE = """
SELECT id FROM (
    (SELECT coalesce(p.merged_into, p.id) AS id FROM links l JOIN profiles p ON p.id = l.into_id ORDER BY l.id DESC LIMIT :some)
    UNION (SELECT id FROM profiles WHERE merged_into IS NULL AND known ORDER BY last_seen DESC LIMIT :some)
) both_kinds
"""
CHECKS: Sequence[Check] = (
    broker, migrations, partitions_exist, clock_leads, inbox, outbox,
    wakeups, quarantine, broken_plans, unknown_messages, large_joins, consent_chain, people_from_log, products_from_log, segments_from_rules, erasures,
)  # fmt: skip
