"""Files that people upload, from the bytes to the profiles and back: counted, resumable, cancelled, undone."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from openpyxl import Workbook
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

import workers.uploads
from crm.commerce import computed
from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError, TooLargeError
from crm.events import inbox
from crm.events.importing import guess, load, uploads, wizard
from crm.events.importing.models import WORKING, Upload
from crm.events.importing.wizard import Plan
from crm.events.inbox import NewRow
from crm.events.spec import Call
from crm.messages import templates
from crm.segments import fill, refresh, store
from tests.web import dirty
from workers import pipeline

CONSENT = {"channel": "email", "topic": "offers", "wording": "אני מסכימה לקבל מבצעים", "collected": "טופס בחנות, 2024"}


@pytest.fixture
def made(fresh_url: str) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    found = sessions(engine)
    with found() as session:
        templates.install(session, templates.shipped_templates(), clock.now())
        session.commit()
    yield found
    engine.dispose()


@pytest.fixture
def config(tmp_path: Path, fresh_url: str) -> Config:
    return Config(tmp_path, fresh_url, "", "", "secret")


def upload(made: sessionmaker[Session], config: Config, data: bytes, *, kind: str = "people", consent: dict[str, str] | None = None, **more: object) -> int:
    """Store a file, take every guess as it is, and keep that as the choice."""
    with made() as session:
        row = uploads.keep(session, stream=io.BytesIO(data), name="people.csv", home=config.home, user_id=None, now=clock.now())
        found = uploads.look(row, config.home)
        choices = guess.guess(found.columns, found.sample, kind=kind)
        plan = Plan(kind=kind, choices=choices, as_of=clock.now(), zone="Asia/Jerusalem", currency="ILS", consent=consent, **more)  # type: ignore[arg-type]
        source = load.source(session, name="Imports")
        uploads.choose(session, row, plan=plan, settings={"consent": consent}, source_id=source, now=clock.now())
        session.commit()
        return row.id


def act(made: sessionmaker[Session], config: Config, number: int, to: str, *, drain: bool = True) -> Upload:
    """Ask for a state and let the workers work until they rest."""
    with made() as session:
        uploads.move(session, session.get_one(Upload, number), to=to, now=clock.now())
        session.commit()
    return settle(made, config, number, drain=drain)


def settle(made: sessionmaker[Session], config: Config, number: int, *, drain: bool = True) -> Upload:
    for _ in range(1000):
        with made() as session:
            row = session.get_one(Upload, number)
        if row.status not in WORKING:
            return row
        workers.uploads.work(made, config, seconds=2.0)
        while drain and pipeline.drain(made, config):
            pass
    raise AssertionError(row.status)


def one(made: sessionmaker[Session], query: str) -> object:
    with made() as session:
        return session.scalar(text(query))


def everything(made: sessionmaker[Session]) -> dict[str, object]:
    """What the product knows, ids aside."""
    asked = {
        "people": "SELECT jsonb_agg(jsonb_build_array(name, traits, known, first_seen, last_seen) ORDER BY traits->>'email', name) FROM profiles",
        "identities": "SELECT jsonb_agg(jsonb_build_array(kind, value, verified) ORDER BY kind, value) FROM identities",
        "events": "SELECT count(*) FROM events",
        "orders": "SELECT jsonb_agg(jsonb_build_array(order_id, revenue, items) ORDER BY order_id) FROM orders",
        "carts": "SELECT jsonb_agg(jsonb_build_array(status, value) ORDER BY key) FROM carts",
    }
    return {name: one(made, query) for name, query in asked.items()}


def test_ten_thousand_dirty_rows_give_the_expected_counts(made, config):
    file = dirty.make()
    number = upload(made, config, file.data, consent=CONSENT)
    want, lines = file.expected, file.expected.total()
    taken = want["clean"] + want["noted"] + want["double"]
    checked = act(made, config, number, "checking").counts
    assert one(made, "SELECT count(*) FROM profiles") == 0, "a dry run stores nothing"
    done = act(made, config, number, "running")
    for counts in (checked, done.counts):
        assert counts["read"] == lines
        assert counts["accepted"] == taken
        assert counts["rejected"] == {"no identity": want["nobody"], "unreadable line": want["width"] + want["bytes"]}
        assert counts["left_out"] == {"exact duplicate of an earlier line": want["copies"]}
        assert counts["noted"] == {name: count for name, count in file.noted.items() if count}
    assert done.status == "done"
    assert done.counts["held"] == {}
    assert (checked["known"], checked["new"], checked["apart"]) == (0, one(made, "SELECT count(*) FROM profiles"), 0)
    assert checked["new"] == taken
    assert one(made, "SELECT count(*) FROM events WHERE origin = 'history' AND NOT trusted") == taken
    assert one(made, "SELECT count(*) FROM runs") == one(made, "SELECT count(*) FROM messages") == 0
    said = one(made, "SELECT count(*) FROM consents_current WHERE action = 'granted'")
    assert isinstance(said, int)
    assert said > 1000
    with uploads.rejects(config.home, done).open(encoding="utf-8", newline="") as listed:
        rows = list(csv.DictReader(listed))
    assert sum(row["reason"] != "value left out" for row in rows) == want["nobody"] + want["width"] + want["bytes"]
    assert all(not value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    again = act(made, config, number, "undoing")
    assert again.status == "undone"
    assert again.undone["vanished"] == taken
    for table in ("profiles", "identities", "events", "event_keys", "event_inbox"):
        assert one(made, f"SELECT count(*) FROM {table}") == 0, table
    assert one(made, "SELECT count(*) FROM consents_current WHERE action = 'granted'") == 0


PEOPLE = "email,phone,name,city,points\ndana@example.com,050-5550199,Dana,Haifa,12\nyossi@example.com,,Yossi,Yafo,3\n"
ORDERS = """order no,order date,email,sku,product,price,qty
7,01/02/2026 10:00,dana@example.com,A,Finjan,10.50,2
7,01/02/2026,dana@example.com,B,Cup,5,1
8,03/02/2026,new@example.com,A,Finjan,10.50,1
"""


def live(made: sessionmaker[Session], config: Config, *calls: dict[str, object], source: str = "Shop") -> None:
    """Calls of the present, by a server key."""
    with made() as session:
        number = load.source(session, name=source)
        inbox.append(session, [NewRow(number, trusted=True, origin="live", body=Call(**call)) for call in calls], clock.now())  # type: ignore[arg-type]
        session.commit()
    while pipeline.drain(made, config):
        pass


def test_undoing_leaves_the_product_as_if_the_import_had_never_been(made, config):
    hour = dt.timedelta(hours=1)
    dana = {"email": "dana@example.com", "city": "Eilat", "firstName": "דנה"}
    live(
        made, config,
        {"type": "identify", "message_id": "1", "user_id": "u1", "traits": dana, "timestamp": (clock.now() - hour).isoformat()},
        {"type": "track", "event": "Product Added", "message_id": "2", "user_id": "u1", "properties": {"product_id": "A", "price": 3}},
    )  # fmt: skip
    before = everything(made)
    people, orders = upload(made, config, PEOPLE.encode()), upload(made, config, ORDERS.encode(), kind="orders")
    counts = act(made, config, people, "checking").counts
    assert (counts["known"], counts["new"]) == (1, 1)
    act(made, config, people, "running")
    assert one(made, "SELECT traits->>'city' FROM profiles JOIN identities ON profile_id = id WHERE value = 'u1'") == "Haifa"
    assert act(made, config, orders, "running").counts["accepted"] == 3
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(order_id, revenue) ORDER BY order_id) FROM orders") == [["7", 26.0], ["8", 10.5]]
    live(made, config, {"type": "track", "event": "Page Viewed", "message_id": "3", "user_id": "u1", "context": {"traits": {"phone": "0505550199"}}})
    assert act(made, config, people, "undoing").undone["vanished"] == 1
    assert act(made, config, orders, "undoing").undone["vanished"] == 1
    after = everything(made)
    assert after.pop("events") == 3
    assert one(made, "SELECT count(*) FROM identities WHERE kind = 'phone'") == 1, "the present has said it too"
    for name in ("orders", "carts"):
        assert after[name] == before[name]
    assert one(made, "SELECT traits->>'city' FROM profiles") == "Eilat"
    assert one(made, "SELECT traits ? 'points' FROM profiles") is False
    assert act_again(made, config, people).counts["accepted"] == 2
    assert one(made, "SELECT count(*) FROM profiles") == 2


def test_segments_sizes_and_computed_traits_follow_an_undone_import(made, config):
    with made() as session:
        rule = {"kind": "orders", "of": "revenue", "op": "at_least", "value": 20, "currency": "ILS"}
        store.save(session, slug="big", name="Big", rule=rule, now=clock.now())
        fill.fill(session, clock.now(), config)
        session.commit()
    live(made, config, {"type": "identify", "message_id": "1", "user_id": "u1", "traits": {"email": "dana@example.com"}})
    big = ORDERS.replace("new@example.com,A,Finjan,10.50,1", "new@example.com,A,Finjan,10.50,3")
    orders = upload(made, config, big.encode(), kind="orders")
    act(made, config, orders, "running")
    assert one(made, "SELECT count(*) FROM memberships") == 2
    while computed.work(made, config, clock.now):
        pass
    assert act(made, config, orders, "undoing").undone["vanished"] == 1
    while computed.work(made, config, clock.now):
        pass
    with made() as session:
        refresh.measure_sizes(session, clock.now())
        session.commit()
    assert one(made, "SELECT count(*) FROM memberships") == one(made, "SELECT size FROM segments") == 0
    assert one(made, "SELECT count(*) FROM computed_traits WHERE name = 'revenue'") == 0
    assert one(made, "SELECT array_agg(DISTINCT origin) FROM events WHERE name LIKE 'Segment %'") == ["history"], "an undone import starts nothing"


def test_what_others_told_of_an_order_stays_when_a_file_about_it_is_undone(made, config):
    orders = upload(made, config, ORDERS.encode(), kind="orders")
    act(made, config, orders, "running")
    refund = {
        "type": "track",
        "event": "Order Refunded",
        "message_id": "r",
        "user_id": "clerk",
        "properties": {"order_id": "7", "refund_id": "r1", "amount": 4},
    }
    live(made, config, refund, source="Imports")
    assert one(made, "SELECT refunded FROM orders WHERE order_id = '7'") == 4
    act(made, config, orders, "undoing")
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(order_id, revenue, jsonb_path_query_first(refunds, '$.r1[0]'))) FROM orders") == [["7", 0, "4"]]


def act_again(made: sessionmaker[Session], config: Config, number: int) -> Upload:
    assert upload(made, config, PEOPLE.encode()) == number, "the same bytes are the same upload"
    return act(made, config, number, "running")


def test_the_same_file_again_adds_nothing_and_says_so(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        assert uploads.keep(session, stream=io.BytesIO(PEOPLE.encode()), name="other.csv", home=config.home, user_id=None, now=clock.now()).id == number
    with pytest.raises(InvalidError):
        act(made, config, number, "running")
    assert one(made, "SELECT count(*) FROM events") == 2


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(made, config, monkeypatch):
    monkeypatch.setattr(workers.uploads, "CHUNK", 100)
    number = upload(made, config, ("email\n" + "".join(f"p{n}@example.com\n" for n in range(1000))).encode())
    append, chunks = load.append, []

    def killed(*args: object, **words: object) -> int:
        chunks.append(1)
        if len(chunks) == 4:
            raise KeyboardInterrupt
        return append(*args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        act(made, config, number, "running", drain=False)
    assert one(made, "SELECT done FROM imports") == one(made, "SELECT count(*) FROM event_inbox") == 300
    assert settle(made, config, number).counts["accepted"] == 1000
    assert one(made, "SELECT count(*) FROM events") == one(made, "SELECT count(*) FROM profiles") == 1000


def test_cancelling_stops_between_chunks_and_what_is_in_can_be_undone(made, config, monkeypatch):
    monkeypatch.setattr(workers.uploads, "CHUNK", 50)
    number = upload(made, config, ("email\n" + "".join(f"p{n}@example.com\n" for n in range(1000))).encode())
    with made() as session:
        uploads.move(session, session.get_one(Upload, number), to="running", now=clock.now())
        session.commit()
    append, chunks = load.append, []

    def cancelled_meanwhile(*args: object, **words: object) -> int:
        chunks.append(1)
        added = append(*args, **words)  # type: ignore[arg-type]
        if len(chunks) == 3:
            args[0].execute(text("UPDATE uploads SET status = 'cancelled' WHERE id = :id"), {"id": number})  # type: ignore[attr-defined]
        return added

    monkeypatch.setattr(load, "append", cancelled_meanwhile)
    workers.uploads.work(made, config)
    assert workers.uploads.work(made, config) == 0
    done = one(made, "SELECT done FROM imports")
    assert done == 150, "it stops after the chunk in which somebody cancelled"
    while pipeline.drain(made, config):
        pass
    assert act(made, config, number, "undoing").undone.get("vanished", 0) == done
    assert one(made, "SELECT count(*) FROM profiles") == 0


def test_consent_of_a_file_lifts_no_refusal_and_undoing_takes_back_only_what_it_gave(made, config):
    from crm.consent import ledger  # noqa: PLC0415
    from crm.consent.ledger import Change  # noqa: PLC0415
    from crm.core.crypto import Keys  # noqa: PLC0415

    def said() -> dict[str, str]:
        query = "SELECT e.address, c.action FROM consents_current c JOIN consent_evidence e USING (entry_id) ORDER BY 1"
        with made() as session:
            return {row.address: row.action for row in session.execute(text(query))}

    with made() as session:
        for address, action in (("no@example.com", "refused"), ("yes@example.com", "granted")):
            ledger.record(session, [Change("email", address, "email", "offers", "marketing", action, "form", explicit=True)], Keys("secret"), clock.now())
        session.commit()
    rows = "email,newsletter\nno@example.com,yes\nyes@example.com,yes\nnew@example.com,yes\nleft@example.com,no\nsilent@example.com,\n"
    number = upload(made, config, rows.encode(), consent=CONSENT)
    act(made, config, number, "running")
    want = {"left@example.com": "refused", "new@example.com": "granted", "no@example.com": "refused", "yes@example.com": "granted"}
    assert said() == want
    assert one(made, "SELECT wording FROM consent_ledger ORDER BY id DESC LIMIT 1 OFFSET 1") == CONSENT["wording"]
    assert act(made, config, number, "undoing").undone["consents"] == 1
    assert said() == want | {"new@example.com": "refused"}


def test_a_person_who_was_written_to_stays_when_their_import_is_undone(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        session.execute(text(
            "INSERT INTO messages (id, profile_id, channel, template, version, language, topic, purpose, address, subject, status, attempts, created_at) "
            "SELECT id, id, 'email', 't', 1, 'he', 'offers', 'marketing', 'dana@example.com', 's', 'sent', 1, now() FROM profiles WHERE name = 'Dana'"
        ))  # fmt: skip
        session.commit()
    undone = act(made, config, number, "undoing").undone
    assert (undone["vanished"], undone["kept"]) == (1, 1)
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(name, traits)) FROM profiles") == [["", {}]]


WORKED_OUT = """
WITH dana AS (SELECT id FROM profiles WHERE name = 'Dana'),
journey AS (INSERT INTO journeys (slug, name, status, created_at) VALUES ('back', '{}', 'live', now()) RETURNING id),
wave AS (
    INSERT INTO waves (journey_id, variant_id, kind, at, accepted, currency, opened_at)
    SELECT id, 'a', 'stock', now(), 1, 'ILS', now() FROM journey RETURNING id
),
told AS (INSERT INTO wave_people (wave_id, place, profile_id, because, since) SELECT wave.id, 1, dana.id, 'viewed', now() FROM wave, dana),
dirty AS (INSERT INTO score_dirty (profile_id) SELECT id FROM dana),
scored AS (INSERT INTO scores (profile_id, kind, probability, band, reasons, at) SELECT id, 'lead', 0.5, 'warm', '[]', now() FROM dana),
held AS (INSERT INTO journey_arms (profile_id, journey_id, arm, share, at) SELECT id, 1, 'in', 0, now() FROM dana),
refused AS (INSERT INTO entry_refusals (profile_id, journey_id, key, reason) SELECT id, 1, 'k', 'history' FROM dana)
INSERT INTO alerts (profile_id, user_id, kind, key, at) SELECT id, 1, 'score_jump', 'k', now() FROM dana
"""


def test_what_was_only_worked_out_about_somebody_keeps_nobody(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        session.execute(text(WORKED_OUT))
        session.commit()
    undone = act(made, config, number, "undoing").undone
    assert (undone["vanished"], undone.get("kept", 0)) == (2, 0)
    for table in ("profiles", "wave_people", "score_dirty", "scores", "journey_arms", "entry_refusals", "alerts"):
        assert one(made, f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608


def test_an_undone_file_of_leads_leaves_no_leads(made, config):
    live(made, config, {"type": "identify", "message_id": "1", "user_id": "u1", "traits": {"email": "dana@example.com"}})
    number = upload(made, config, b"Lead Number,Email,Lead Source\n17,dana@example.com,Google\n18,noa@example.com,Fair\n", kind="leads")
    assert act(made, config, number, "running").counts["accepted"] == 2
    assert one(made, "SELECT count(*) FROM leads") == 2
    assert act(made, config, number, "undoing").undone["vanished"] == 1
    assert one(made, "SELECT count(*) FROM leads") == 0
    assert one(made, "SELECT count(*) FROM profiles") == 1


def test_a_workbook_and_a_hebrew_file_of_an_old_program_read_the_same(made, config):
    rows = [
        ["שם", "טלפון", "תאריך לידה", "סכום"],
        ["דנה", "050-5550199", dt.datetime(1985, 3, 7), 12.5],  # noqa: DTZ001  a workbook knows no zones
        ["יוסי", 525550142, "7.4.1990", 3],
        [None, None, None, None],
    ]
    book = Workbook()
    for row in rows:
        book.active.append(row)
    held = io.BytesIO()
    book.save(held)
    old = "שם;טלפון;תאריך לידה;סכום\nדנה;050-5550199;07/03/1985;12.5\nיוסי;0525550142;7.4.90;3\n".encode("cp1255")
    wide = old.decode("cp1255").replace(";", "\t").encode("utf-16")
    query = "SELECT jsonb_agg(traits ORDER BY name) FROM profiles"
    found = []
    for data in (held.getvalue(), old, wide):
        number = upload(made, config, data)
        assert act(made, config, number, "running").counts["accepted"] == 2
        found.append(one(made, query))
        act(made, config, number, "undoing")
    assert found[0] == found[1] == found[2]
    assert found[0] == [
        {"name": "דנה", "phone": "+972505550199", "birthday": "1985-03-07", "סכום": 12.5},
        {"name": "יוסי", "phone": "+972525550142", "birthday": "1990-04-07", "סכום": 3},
    ]


NO_TABLES = (
    *(b"", b"\n\n", b"%PDF-1.7\n1 0 obj", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9),
    *(b"\xd0\xcf\x11\xe0" + bytes(600), b"PK\x03\x04" + bytes(99), b"<html><table>", b'{"a": 1}'),
)


@pytest.mark.parametrize("data", NO_TABLES)
def test_what_is_no_table_is_refused_with_a_sentence_and_leaves_no_file(made, config, data):
    with made() as session, pytest.raises(InvalidError, match=r"\.$"):
        uploads.keep(session, stream=io.BytesIO(data), name="people.xlsx", home=config.home, user_id=None, now=clock.now())
    assert list((config.home / "imports").iterdir()) == []


def test_a_file_beyond_the_limit_is_refused(made, config, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 100)
    with made() as session, pytest.raises(TooLargeError):
        uploads.keep(session, stream=io.BytesIO(PEOPLE.encode() * 9), name="people.csv", home=config.home, user_id=None, now=clock.now())
    assert list((config.home / "imports").iterdir()) == []


def test_the_preview_marks_what_is_wrong_where_it_is(made, config):
    data = "email,birthday,city\ndana@example.com,31/02/1990,Haifa\nnobody,1.2.1990,Yafo\nx,y\n"
    number = upload(made, config, data.encode())
    with made() as session:
        row = session.get_one(Upload, number)
        shown = wizard.preview(uploads.stored(config.home, row), uploads.mapping_of(row), now=clock.now())
    assert [(line.number, line.refused) for line in shown] == [(2, ""), (3, "no identity"), (4, "unreadable line")]
    assert shown[0].problems == {1: "'31/02/1990' is not a date"}
    assert shown[1].cells == ["nobody", "1990-02-01", "Yafo"]
    assert 0 in shown[1].problems


def test_a_choice_that_cannot_work_is_refused_with_the_reason(made, config):
    how = {"format": "csv", "header": True}
    plan = Plan(kind="people", choices=[guess.Choice("name")], as_of=clock.now(), zone="UTC", currency="ILS")
    wrong = [
        plan,
        dataclasses.replace(plan, choices=[guess.Choice("email"), guess.Choice("email")]),
        dataclasses.replace(plan, choices=[guess.Choice("email"), guess.Choice("trait", "Phone")]),
        dataclasses.replace(plan, choices=[guess.Choice("email"), guess.Choice("consent")]),
        dataclasses.replace(plan, choices=[guess.Choice("phone"), guess.Choice("consent")], consent=CONSENT),
        dataclasses.replace(plan, kind="orders", choices=[guess.Choice("email"), guess.Choice("order_id"), guess.Choice("time")]),
        dataclasses.replace(plan, kind="events", choices=[guess.Choice("email"), guess.Choice("time")]),
    ]
    for each in wrong:
        with pytest.raises(InvalidError, match=r"\.$"):
            wizard.build(each, how)


def test_a_month_later_nothing_of_a_file_lies_on_disk(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        assert uploads.tidy(session, config.home, clock.now() + dt.timedelta(days=29)) == 0
        assert uploads.tidy(session, config.home, clock.now() + dt.timedelta(days=31)) == 1
    assert list((config.home / "imports").iterdir()) == []


def test_a_file_that_changed_under_an_import_is_not_counted_on_from_another_line(made, config, monkeypatch):
    monkeypatch.setattr(workers.uploads, "CHUNK", 100)
    number = upload(made, config, ("email\n" + "".join(f"p{n}@example.com\n" for n in range(500))).encode())
    append, chunks = load.append, []

    def killed(*args: object, **words: object) -> int:
        chunks.append(1)
        if len(chunks) == 2:
            raise KeyboardInterrupt
        return append(*args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        act(made, config, number, "running", drain=False)
    with made() as session:
        path = uploads.stored(config.home, session.get_one(Upload, number))
    path.write_text(path.read_text().replace("p3@example.com\n", ""))
    row = settle(made, config, number)
    assert (row.status, row.error) == ("failed", workers.uploads.CHANGED)
    assert act(made, config, number, "undoing").status == "undone"
    assert one(made, "SELECT count(*) FROM profiles") == 0


def test_a_bug_in_one_file_is_shown_and_the_next_file_goes_on(made, config, monkeypatch):
    broken, fine = upload(made, config, PEOPLE.encode()), upload(made, config, ORDERS.encode(), kind="orders")
    check = workers.uploads._STEPS["checking"]

    def fails(job: workers.uploads.Work) -> int:
        if job.upload.id == broken:
            raise ZeroDivisionError
        return check(job)

    monkeypatch.setitem(workers.uploads._STEPS, "checking", fails)
    assert act(made, config, broken, "checking").error == workers.uploads.BROKEN
    assert act(made, config, fine, "checking").status == "checked"


def test_events_take_their_name_from_a_column(made, config):
    rows = "event,date,email,branch\nStore Visited,1.3.2026 10:30,dana@example.com,Haifa\n,2.3.2026,dana@example.com,Yafo\n"
    number = upload(made, config, rows.encode(), kind="events")
    done = act(made, config, number, "running")
    assert done.counts["rejected"] == {"bad value": 1}
    assert one(made, "SELECT name || ' ' || (properties->>'branch') || ' ' || occurred_at FROM events") == "Store Visited Haifa 2026-03-01 08:30:00+00"
