"""Files that people upload, from the bytes to the profiles and back: counted, resumable, cancelled, undone."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import zipfile

import pytest
from openpyxl import Workbook
from sqlalchemy import text

import workers.uploads
from crm.core import clock
from crm.core.errors import InvalidError, TooLargeError
from crm.events.importing import guess, load, uploads, wizard, workbook
from crm.events.importing.models import Upload
from crm.events.importing.wizard import Plan
from tests.killing import die_after
from tests.web import dirty
from tests.web.imports.filing import CONSENT, ORDERS, PEOPLE, act, one, settle, upload
from workers import pipeline


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
    die_after(monkeypatch, chunks=3)
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
        added = append(*args, **words)
        if len(chunks) == 3:
            args[0].execute(text("UPDATE uploads SET status = 'cancelled' WHERE id = :id"), {"id": number})
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


def test_a_workbook_damaged_in_the_middle_is_said_to_be(tmp_path):
    book, path = Workbook(), tmp_path / "damaged.xlsx"
    for n in range(3_000):
        book.active.append([f"p{n}@example.com", n * 7919 % 3001])
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet1.xml")
    whole, middle = bytearray(path.read_bytes()), sheet.header_offset + sheet.compress_size // 2
    whole[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(whole)
    with pytest.raises(InvalidError, match="damaged in the middle"):
        list(workbook.rows(path))


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
    *(
        b"\xd0\xcf\x11\xe0" + bytes(600),
        b"PK\x03\x04" + bytes(99),
        b"<html><table>",
        b'{"a": 1}',
        b"a," * 100_000 + b"\n",
    ),  # the last would be a page of a hundred thousand fields
)


@pytest.mark.parametrize("data", NO_TABLES, ids=lambda data: repr(data[:12]))
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
    die_after(monkeypatch, chunks=1)
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
