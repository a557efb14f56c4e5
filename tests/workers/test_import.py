"""An import against the real database: counted once for ever, resumable, folded to the end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

import workers.importing
from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.errors import InvalidError
from crm.events.importing import mapping
from crm.messages import templates
from journeys import install
from tests.killing import die_after
from tests.waiting import PATIENCE
from workers.importing import Job, dry_run, import_file

ORDERS = """
columns: {no: text, who: text, price: money, at: time}
time: at
identities: {user_id: "{who}"}
events:
  - event: Order Completed
    group_by: [no]
    properties: {order_id: "{no}", currency: ILS, revenue: {sum: "{price}"}}
"""
LINES = 300  # two lines an order
STOPS_ON_THE_WAY = """
CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN new; END $$;
CREATE TRIGGER stops BEFORE UPDATE ON imports FOR EACH ROW WHEN (old.done > 0) EXECUTE FUNCTION wait_at_the_gate()
"""


def quiet(*_: object) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def made(fresh_url) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture
def config(tmp_path, fresh_url) -> Config:
    return Config(tmp_path, fresh_url, "", "", "secret")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text("no,who,price,at\n" + "".join(f"{n // 2},p{n % 7 if n % 2 == 0 else 'x'},1.10,2025-05-01\n" for n in range(LINES)))
    return path


def job(file: Path, rules: str = ORDERS, **more: object) -> Job:
    return Job(file, "Old shop", mapping.parse(rules), file.with_suffix(".rejected.csv"), **more)


def one(made: sessionmaker[Session], query: str) -> object:
    with made() as session:
        return session.scalar(text(query))


def test_what_is_imported_is_history_and_is_folded(made, config, file):
    found = import_file(made, config, job(file), quiet)
    assert found.new == LINES // 2
    assert found.held == {}
    assert one(made, "SELECT count(*) FROM events WHERE origin = 'history' AND trusted") == LINES // 2
    assert one(made, "SELECT sum(revenue) FROM orders") == LINES * 11 / 10
    assert one(made, "SELECT count(*) FROM event_keys WHERE NOT forever") == 0
    assert one(made, "SELECT counts->>'accepted' FROM imports WHERE finished_at IS NOT NULL") == str(LINES)


def test_importing_again_adds_nothing_even_when_all_is_read_anew(made, config, file):
    import_file(made, config, job(file), quiet)
    second = import_file(made, config, job(file), quiet)
    assert second.finished_before is not None
    assert second.tally.accepted == LINES, "the old counts are shown"
    third = import_file(made, config, job(file, again=True), quiet)
    assert (third.new, third.tally.accepted) == (0, LINES)
    other_words = import_file(made, config, job(file, ORDERS + "title: the same orders\n"), quiet)
    assert other_words.new == 0
    assert one(made, "SELECT count(*) FROM events") == LINES // 2


def test_a_killed_import_goes_on_where_it_stopped(made, config, file, monkeypatch):
    monkeypatch.setattr(workers.importing, "CHUNK", 20)
    die_after(monkeypatch, chunks=3)
    with pytest.raises(KeyboardInterrupt):
        import_file(made, config, job(file), quiet)
    assert one(made, "SELECT done FROM imports") == 60
    found = import_file(made, config, job(file), quiet)
    assert (found.resumed_at, found.new, found.tally.accepted) == (60, LINES // 2 - 60, LINES)
    assert one(made, "SELECT count(*) FROM events") == LINES // 2


def test_kill_9_in_the_middle_of_the_command_loses_and_doubles_nothing(made, tmp_path, fresh_url):
    lines = 40_000
    file, rules = tmp_path / "visits.csv", tmp_path / "visits.yaml"
    file.write_text("who,at\n" + "".join(f"p{n % 50},2025-05-01T00:00:{n % 60:02}\n" for n in range(lines)) + ",2025-05-01\n")
    rules.write_text('columns: {who: text, at: time}\ntime: at\nidentities: {user_id: "{who}"}\nevents: [{event: Visited}]\n')
    command = [sys.executable, "-m", "workers.manage", "import", str(file), "--source", "Old shop", "--mapping", str(rules), "--home", str(tmp_path)]
    environment = {**os.environ, "DATABASE_URL": fresh_url, "PYTHONPATH": str(Path(workers.importing.__file__).parent.parent)}
    with psycopg.connect(fresh_url, autocommit=True) as gate:
        gate.execute(STOPS_ON_THE_WAY)
        gate.execute("SELECT pg_advisory_lock(7)")
        with subprocess.Popen([*command, "--no-wait"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + PATIENCE
            while not one(made, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = 7)"):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.01)
            process.kill()
    with made() as session:
        session.execute(text("DROP TRIGGER stops ON imports"))
        session.commit()
    done = one(made, "SELECT done FROM imports")
    assert isinstance(done, int)
    assert 0 < done < lines
    assert one(made, "SELECT count(*) FROM event_inbox") == done, "the progress and the rows are one transaction"
    again = subprocess.run([*command, "--no-wait"], env=environment, capture_output=True, text=True, check=True)
    assert f"{done:,} events were in already" in again.stdout
    assert "1 rejected: no identity" in again.stdout
    assert one(made, "SELECT count(*) FROM event_inbox") == lines
    assert one(made, "SELECT count(DISTINCT body) FROM event_inbox") == lines


def test_an_import_helps_to_empty_a_full_inbox(made, config, file, monkeypatch):
    monkeypatch.setattr(workers.importing, "CHUNK", 20)
    monkeypatch.setattr(workers.importing, "ROOM", 30)
    import_file(made, config, job(file, wait=False), quiet)
    assert one(made, "SELECT count(*) FROM event_inbox WHERE processed_at IS NULL") <= 50
    assert one(made, "SELECT count(*) FROM events") >= LINES // 2 - 50


def test_rejected_lines_are_written_down_with_their_reasons(made, config, file):
    with file.open("a") as out:
        out.write("900,,1,2025-05-01\n901,p,cheap,2025-05-01\n")
    import_file(made, config, job(file), quiet)
    with file.with_suffix(".rejected.csv").open() as rejected:
        rows = list(csv.DictReader(rejected))
    assert [(row["line"], row["reason"]) for row in rows] == [(str(LINES + 2), "no identity"), (str(LINES + 3), "bad value")]
    assert "'cheap' is not an amount" in rows[1]["detail"]


def test_a_dry_run_counts_and_needs_no_database(file):
    found = dry_run(job(file), quiet)
    assert (found.new, found.tally.accepted, len(found.samples)) == (LINES // 2, LINES, 3)


@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="the whole data sets through the pipeline: KESHER_TEST_FULL=1")
def test_both_real_data_sets_while_the_recipe_is_live(made, config):
    shared = Path(os.environ.get("KESHER_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    files = {"online_retail": shared / "online_retail/online_retail.parquet", "taobao_clickstream": shared / "taobao_clickstream/UserBehavior.csv"}
    if not all(path.exists() for path in files.values()):
        pytest.skip(f"{shared} is not here; set KESHER_SHARED_DATA")
    with made() as session:
        templates.install(session, templates.shipped_templates(), clock.now())
        assert install.install(session, clock.now()) == ["abandoned_cart"]
        session.commit()
    for again in (False, True):
        for name, path in files.items():
            found = import_file(made, config, Job(path, name, mapping.load(name), again=again), quiet)
            assert found.held == {}
            assert not (again and found.new)
    retail = "SELECT {} FROM events e JOIN sources s ON s.id = e.source_id AND s.name = 'online_retail' WHERE e.name = 'Order Completed'"
    assert one(made, retail.format("count(*)")) == 18_532
    assert one(made, retail.format("count(DISTINCT profile_id)")) == 4_338
    assert str(one(made, "SELECT round(sum(o.revenue), 2) FROM orders o JOIN sources s ON s.id = o.source_id AND s.name = 'online_retail'")) == "8911407.90"
    taobao = "SELECT count(*) FROM events e JOIN sources s ON s.id = e.source_id AND s.name = 'taobao_clickstream'"
    assert one(made, taobao) == 84_475
    assert one(made, f"{taobao} WHERE occurred_at >= '2017-11-25+08' AND occurred_at < '2017-12-04+08'") == 84_440
    assert one(made, "SELECT count(*) FROM runs") == one(made, "SELECT count(*) FROM messages") == 0


def test_a_file_that_is_no_csv_is_refused_with_a_sentence(made, config, tmp_path, fresh_url) -> None:
    broken = tmp_path / "photo.csv"
    broken.write_bytes(b"\x89PNG\r\xff\xfe\r\n\x1a\n" * 50)
    with pytest.raises(InvalidError, match="is not CSV"):
        import_file(made, config, Job(broken, "shop", mapping.parse(ORDERS), tmp_path / "r.csv"), quiet)
