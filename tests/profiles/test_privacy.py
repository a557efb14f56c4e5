"""A person can leave: everywhere, in one go, even through a crash, and no import or backup brings them back."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from crm.consent import ledger, suppression
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.events import inbox
from crm.events.inbox import NewRow
from crm.events.models import HISTORY, LIVE
from crm.profiles import erasure, privacy, remains, tombstones
from crm.profiles.find import find, named
from crm.profiles.privacy_models import ASKED, DONE, WAITING
from crm.profiles.search import search
from tests import makers
from tests.makers import identify, product, track
from tests.profiles.life import DANA, KEYS, a_life, accept, leave, order
from workers import leaving, pipeline

KILLED_AT = 20  # commits: some chunks of the events are gone, the next one is not committed


def everything_about(make: sessionmaker[Session], who: privacy.Subject) -> dict[str, Any]:
    with make() as session:
        return {name: rows for name, rows in privacy.export(session, who, KEYS, dt.datetime.now(dt.UTC))["tables"].items() if name != "erasures"}


def dump(engine: Engine) -> str:
    """Every value of every table as text, hashes aside."""
    with engine.connect() as connection:
        names = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        return "\n".join(str(row) for name in names for row in connection.execute(text(f'SELECT t::text FROM "{name}" t')))


def test_the_export_holds_every_trace_of_a_person_and_of_nobody_else(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        who = privacy.subject(session, dana)
        assert who is not None
        known = privacy.export(session, who, KEYS, now)
    assert {"profiles", "identities", "events", "event_inbox", "orders", "carts", "mailbox", "quarantine", "consent_evidence", "consent_ledger"} <= known[
        "tables"
    ].keys()
    assert {(one["kind"], one["value"]) for one in known["identities"]} == {
        ("email", DANA), ("phone", "+972505550142"), ("user_id", "10482"), ("anonymous_id", "browser-dana"),
    }  # fmt: skip
    assert len(known["tables"]["events"]) == 5
    assert len(known["tables"]["event_inbox"]) == 6  # the retry's text too
    assert "omri" not in str(known).lower()


def test_after_an_erasure_no_table_and_no_file_knows_the_person(make: sessionmaker[Session], config: Config, now: dt.datetime, engine_here: Engine) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        who = privacy.subject(session, dana)
    assert who is not None
    done = leave(make, config, dana, now)
    assert (done.status, done.identities) == (DONE, [])
    assert done.counts["events"] == 5
    assert everything_about(make, who).keys() <= {"consent_ledger", "consents_current", "suppressions"}
    everywhere = dump(engine_here)
    for trace in (DANA, "505550142", "5550142", "10482", "browser-dana", "Dana", "203.0.113.9"):
        assert trace not in everywhere, trace
    assert "omri@example.com" in everywhere
    left = (config.home / "imports" / "orders.rejected.csv").read_text()
    assert left == 'line,reason,detail,row\n2,bad,x,"omri@example.com"\n'
    with make() as session:
        assert search(session, "dana", who="all").rows == []
        assert [row.name for row in search(session, "omri").rows] == ["Omri"]
        assert ledger.broken_seal(session) is None


@pytest.mark.parametrize(
    ("call", "theirs"),
    [
        ({"properties": {"to": "Dana@Example.com"}}, True),
        ({"properties": {"said": "call me on 050-555-0142"}}, True),
        ({"properties": {"to": "dana@example.com"}, "userId": "omri"}, False),
        ({"properties": {"basket": 10482}}, False),
    ],
)
def test_a_held_call_that_names_nobody_is_theirs_whose_address_is_in_it(call: dict[str, Any], theirs: bool) -> None:
    known = remains.Words.of([uuid.uuid4()], [("email", "dana@example.com"), ("phone", "+972505550142"), ("user_id", "10482")])
    assert known.mean(json.dumps({"type": "track", "event": "Mail Wished"} | call)) == theirs


def test_uploaded_files_lose_the_person_too_but_not_while_they_are_read(
    make: sessionmaker[Session], config: Config, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana = a_life(make, config, now)
    folder = config.home / "imports"
    for name, address in (("a.xlsx", DANA), ("b.xlsx", "omri@example.com")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as book:
            book.writestr("xl/sharedStrings.xml", f"<sst><si><t>{address}</t></si></sst>")
    monkeypatch.setattr(erasure, "_READING", "SELECT true")
    assert leave(make, config, dana, now).status == "running"
    assert (folder / "a.xlsx").exists()
    monkeypatch.undo()
    while leaving.work(make, config, lambda: now + erasure.AGAIN):
        pass
    assert sorted(file.name for file in folder.iterdir()) == ["b.xlsx", "orders.rejected.csv"]


def test_a_workbook_damaged_in_the_middle_keeps_nobody_here(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    broken = config.home / "imports" / "broken.xlsx"
    with zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", "<sst>" + "".join(f"<si><t>{n}</t></si>" for n in range(999)) + "</sst>")
    whole = bytearray(broken.read_bytes())
    whole[len(whole) // 4 : len(whole) // 4 + 99] = b"\xff" * 99
    broken.write_bytes(whole)
    assert leave(make, config, dana, now).status == DONE
    assert not broken.exists()


def test_an_erasure_that_raises_says_why_and_the_others_go_on(
    make: sessionmaker[Session], config: Config, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        omri = find(session, "email", "omri@example.com")
        assert omri is not None
        for who in (dana, omri):
            erasure.request(session, who, by="test", now=now)
        session.commit()

    def fails_for_dana(session: Session, who: privacy.Subject, *_: Any) -> None:
        session.execute(text("SELECT 1 / :n"), {"n": int(who.id != dana)})

    with monkeypatch.context() as broken:
        broken.setattr(leaving, "FORGET", (fails_for_dana,))
        while leaving.work(make, config, lambda: now):
            pass
    states = text("SELECT status, problem FROM erasures ORDER BY id")
    with make() as session:
        assert session.execute(states).all() == [(WAITING, "DivisionByZero: division by zero"), (DONE, None)]
        assert find(session, "email", DANA) == dana
    while leaving.work(make, config, lambda: now + erasure.LATER):
        pass
    with make() as session:
        assert session.execute(states).all() == [(DONE, None)] * 2
        assert find(session, "email", DANA) is None


def test_an_import_does_not_bring_the_erased_back_but_they_may_come_themselves(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    leave(make, config, dana, now)
    later = now + dt.timedelta(hours=1)
    accept(make, config, [identify({"email": DANA, "city": "Haifa"}, at=now - dt.timedelta(days=300), user_id="10482")], later, origin=HISTORY, source="old")
    accept(make, config, [track("Product Viewed", product("cup"), at=now - dt.timedelta(hours=1), email=DANA)], later)  # from before, arrived late
    with make() as session:
        assert find(session, "email", DANA) is None
        assert session.scalar(text("SELECT sum(dropped) FROM tombstones")) == 2
        assert session.scalar(text("SELECT count(*) FROM event_inbox WHERE body LIKE :it"), {"it": f"%{DANA}%"}) == 0
    accept(make, config, [identify({"email": DANA}, at=later, user_id="10482")], later)
    with make() as session:
        again = find(session, "email", DANA)
        assert again not in {None, dana}
        assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :id"), {"id": again}) == 1
        hashed = KEYS.address_hash("email", DANA)
        assert suppression.reasons(session, [hashed], channel="email") == {hashed: {"erased"}}
        assert ledger.current(session, [(hashed, "email", "offers")]) == {(hashed, "email", "offers"): "refused"}


def test_what_kesher_says_about_an_erased_profile_makes_no_new_one(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    leave(make, config, dana, now)
    with make() as session:
        count = session.scalar(text("SELECT count(*) FROM profiles"))
        inbox.append(session, [inbox.system_event("Email Opened", dana, {}, cause=None, hops=0)], now)
        session.commit()
    while pipeline.drain(make, config, lambda: now + dt.timedelta(seconds=1)):
        pass
    with make() as session:
        assert session.scalar(text("SELECT count(*) FROM profiles")) == count


def test_a_call_that_waits_while_the_person_leaves_is_gone_too(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        source_id = makers.source(session)
        inbox.append(session, [NewRow(source_id, True, LIVE, order("79", now, email=DANA))], now)
        session.commit()
    done = leave(make, config, dana, now)
    assert done.counts["event_inbox"] == 2  # the waiting one, and the retry that never became an event
    assert pipeline.drain(make, config, lambda: now) == 0
    with make() as session:
        assert find(session, "email", DANA) is None


def test_an_erasure_killed_in_the_middle_goes_on(make: sessionmaker[Session], config: Config, now: dt.datetime, fresh_url: str) -> None:
    dana = a_life(make, config, now)
    many = [track("Page Viewed", {"n": n}, at=now - dt.timedelta(minutes=n + 1), user_id="10482", message_id=f"v{n}") for n in range(300)]
    accept(make, config, many, now)
    with make() as session:
        erasure.request(session, dana, by="test", now=now)
        session.commit()
    script = textwrap.dedent(f"""
        import datetime as dt, os, signal
        from pathlib import Path
        from sqlalchemy import event
        from sqlalchemy.orm import Session
        from crm.core.db import engine_for, sessions
        from crm.profiles import erasure
        from tests import makers
        from workers import leaving

        erasure.CHUNK = 40
        config = makers.config(home=Path({str(config.home)!r}))
        commits = []

        @event.listens_for(Session, "before_commit")
        def die_in_the_middle(session):
            commits.append(1)
            if len(commits) == {KILLED_AT}:
                os.kill(os.getpid(), signal.SIGKILL)

        make = sessions(engine_for({fresh_url!r}))
        while leaving.work(make, config, lambda: dt.datetime.fromisoformat({now.isoformat()!r})):
            pass
    """)
    ended = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."}, check=False)
    assert ended.returncode == -signal.SIGKILL
    with make() as session:
        job = session.scalars(text("SELECT status FROM erasures")).one()
        left = session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :id"), {"id": dana})
    assert (job, bool(left)) == ("running", True)
    while leaving.work(make, config, lambda: now):
        pass
    with make() as session:
        assert session.scalars(text("SELECT status FROM erasures")).one() == DONE
        assert session.scalar(text("SELECT count(*) FROM events WHERE profile_id = :id"), {"id": dana}) == 0
        assert session.scalar(text("SELECT CAST(counts->>'events' AS int) FROM erasures")) == 305


def test_a_restored_backup_is_told_who_left(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:  # what a backup from before the erasure would hold: everything but the tombstones
        who = privacy.subject(session, dana)
    assert who is not None
    (config.home / tombstones.LIST).write_text("2026-01-01T00:00:00+00:00 cut of")  # a full disk; the erasure is tried again
    tombstones.write_list(config.home, tombstones.hashes_of(KEYS, who.ids, who.identities), now)
    (config.home / tombstones.LIST).open("a").write("2026-01-01T00:00:00+00:00 cut of")
    with make() as session:
        assert len(tombstones.unknown(session, config.home)) == 5
    assert leaving.restore(make, config, now) == 1
    with make() as session:
        assert find(session, "email", DANA) is None
        assert find(session, "email", "omri@example.com") is not None
        assert tombstones.unknown(session, config.home) == {}
    assert leaving.restore(make, config, now) == 0


def test_nothing_is_served_while_somebody_the_backup_brought_back_cannot_be_taken_out(
    make: sessionmaker[Session], config: Config, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(session: Session, *_: Any) -> None:
        session.execute(text("SELECT 1 / 0"))

    dana = a_life(make, config, now)
    with make() as session:
        who = privacy.subject(session, dana)
    assert who is not None
    tombstones.write_list(config.home, tombstones.hashes_of(KEYS, who.ids, who.identities), now)
    monkeypatch.setattr(leaving, "FORGET", (fails,))
    with pytest.raises(RuntimeError, match="cannot be taken out: DivisionByZero"):
        leaving.restore(make, config, now)


def test_who_came_back_by_themselves_survives_the_next_restart(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    leave(make, config, dana, now)
    accept(make, config, [identify({"email": DANA}, at=now + dt.timedelta(hours=1), user_id="10482")], now + dt.timedelta(hours=1))
    with make() as session:
        session.execute(text("DELETE FROM tombstones"))  # even where the list has to be read anew
        session.commit()
    assert leaving.restore(make, config, now + dt.timedelta(hours=2)) == 0
    with make() as session:
        assert find(session, "email", DANA) is not None


def test_a_request_by_link_waits_for_a_person_and_two_requests_are_one(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        asked = erasure.request(session, dana, by="link", now=now, confirmed=False)
        again = erasure.request(session, dana, by="link", now=now, confirmed=False)
        assert asked is not None
        assert again is not None
        assert (asked.id, asked.status) == (again.id, ASKED)
        session.commit()
    assert leaving.work(make, config, lambda: now) == 0
    with make() as session:
        confirmed = erasure.request(session, dana, by="user:1", now=now)
        assert confirmed is not None
        assert (confirmed.id, confirmed.status) == (asked.id, WAITING)
        assert erasure.request(session, uuid.uuid4(), by="test", now=now) is None


def test_people_are_named_in_any_spelling(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        for said in (f"email: {DANA.upper()} ", "phone:0505550142", "user_id:10482", str(dana)):
            assert named(session, said) == dana, said
        assert named(session, "email:nobody@example.com") is None
        assert named(session, "nonsense") is None


def test_a_batch_costs_nothing_more_where_nobody_left(session: Session, now: dt.datetime) -> None:
    batch = [makers.accepted(identify({"email": DANA}, at=now), now)]
    assert tombstones.living(session, batch, KEYS) is batch


def test_the_keys_of_tombstones_are_their_own() -> None:
    hashed = tombstones.hash_of(KEYS.derive("erased"), "email", DANA)
    assert hashed != KEYS.address_hash("email", DANA)
    assert hashed != tombstones.hash_of(Keys("other").derive("erased"), "email", DANA)


def test_a_shared_device_is_not_the_person(now: dt.datetime) -> None:
    call = makers.accepted(track("Page Viewed", {}, at=now, anonymous_id="tablet", user_id="2"), now)
    assert tombstones._said(replace(call)) == [("user_id", "2")]
