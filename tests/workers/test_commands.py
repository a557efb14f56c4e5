"""The commands: found by their files, sentences instead of traces."""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
import sys
from argparse import Namespace
from contextlib import nullcontext

import pytest
from sqlalchemy import text

import workers.commands
from crm.core.config import Config
from crm.core.errors import KesherError
from workers import check, manage
from workers.bench import Measure, begin
from workers.commands import key, test
from workers.commands.bench import table

NAMES = [info.name for info in pkgutil.iter_modules(workers.commands.__path__)]


def test_help_names_every_command_and_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit):
        manage.main(["--help"])
    said = capsys.readouterr().out
    assert all(name.rstrip("_") in said for name in NAMES)
    assert "run the product here" in said


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_parser_with_a_home(name, capsys):
    with pytest.raises(SystemExit) as ended:
        manage.main([name.rstrip("_"), "--help"])
    assert ended.value.code == 0
    importlib.import_module(f"workers.commands.{name}")
    assert f"kesher {name.rstrip('_')}" in capsys.readouterr().out


def test_an_unknown_command_lists_those_there_are(capsys):
    with pytest.raises(SystemExit):
        manage.main(["nonsense"])
    assert "'doctor'" in capsys.readouterr().err


def test_an_error_is_one_sentence_and_a_code(monkeypatch, capsys):
    def refuse(_args):
        raise KesherError("This cannot be; do that instead.")

    monkeypatch.setattr("workers.commands.migrate.call", refuse)
    assert manage.main(["migrate"]) == 1
    assert capsys.readouterr().err == "kesher: This cannot be; do that instead.\n"


@pytest.fixture
def config(fresh_url, home) -> Config:
    return Config(home=home, database_url=fresh_url, redis_url="unix:///nowhere/valkey.sock?db=0", smtp_url="", secret_key="x")


def verdicts(config: Config) -> dict[str, check.Verdict]:
    return {one.name: one for one in check.examine(config, check.CHECKS)}


def test_the_doctor_finds_a_healthy_database_healthy(config):
    states = {name: one.state for name, one in verdicts(config).items()}
    assert states.pop("Valkey") == "warn"
    assert states.pop("clock") == "warn"
    assert set(states.values()) == {"ok"}


def test_the_doctor_sees_what_is_wrong(config, now):
    import psycopg

    with psycopg.connect(config.database_url) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.execute(
            "INSERT INTO event_inbox (received_at, source_id, trusted, origin, lane, body) VALUES (%s, 1, true, 'live', 0, '{}')",
            [now - dt.timedelta(minutes=9)],
        )
        connection.execute(f"DROP TABLE event_inbox_{now + dt.timedelta(days=1):%Y%m%d}")
    found = verdicts(config)
    assert (found["migrations"].state, found["partitions"].state, found["inbox"].state) == ("bad", "bad", "warn")
    assert "kesher migrate" in found["migrations"].said


def test_the_doctor_sees_an_altered_consent(config, now):
    import psycopg

    from crm.consent.ledger import seal
    from crm.core.db import engine_for, sessions

    engine = engine_for(config.database_url)
    with sessions(engine)() as session:
        session.execute(
            text(
                "INSERT INTO consent_ledger (address_hash, channel, topic, purpose, action, source, evidence_digest, at)"
                " VALUES ('a', 'email', 'offers', 'marketing', 'refused', 'api', 'd', :now)"
            ),
            {"now": now},
        )
        session.commit()
        assert seal(session) == 1
        session.commit()
    engine.dispose()
    assert verdicts(config)["consent ledger"].state == "ok"
    with psycopg.connect(config.database_url) as connection:  # as an owner of the database could
        connection.execute("ALTER TABLE consent_ledger DISABLE TRIGGER ALL")
        connection.execute("UPDATE consent_ledger SET action = 'granted'")
    assert verdicts(config)["consent ledger"].state == "bad"


def test_the_doctor_without_a_database_has_one_answer():
    config = Config(home=None, database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="", smtp_url="", secret_key="x")
    assert [(one.name, one.state) for one in check.examine(config, check.CHECKS)] == [("PostgreSQL", "bad")]


def test_a_quick_bench_says_that_it_was_quick():
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    lines = table([Measure("accept_single", 4000.0, "events/s", 8000.0, 0.5, at), Measure("idle_memory", 300.0, "MB", None, None, at)], quick=True).splitlines()
    assert "--quick" in lines[0]
    assert "ratio 0.500" in lines[1]
    assert "floor" not in lines[2]


def test_every_check_runs_and_is_told_in_its_turn(monkeypatch, capfd):
    def says(word: str, code: int) -> list[str]:
        return [sys.executable, "-c", f"print({word!r}); raise SystemExit({code})"]

    monkeypatch.setattr(test, "checks", lambda: {"one": says("first", 3), "two": says("second", 0)})
    assert test.call(Namespace(full=False)) == 1
    said = capfd.readouterr().out
    told = [said.index(each) for each in ("── one", "first", "── two", "second", "failed: one")]
    assert told == sorted(told)
    monkeypatch.setattr(test, "checks", lambda: {"two": says("second", 0)})
    assert test.call(Namespace(full=False)) == 0


def test_what_goes_on_in_a_bench_is_said_beside_its_figures(capsys):
    begin("waking 50,000 runs")
    said = capsys.readouterr()
    assert said.out == "", "there stand the figures, as a table or as JSON"
    assert "waking 50,000 runs" in said.err


@pytest.mark.parametrize("new", [True, False])
def test_a_key_for_a_home_that_was_empty_says_so_beside_the_key(new, fresh_url, tmp_path, capsys, monkeypatch):
    config = Config(home=tmp_path, database_url=fresh_url, redis_url="", smtp_url="", secret_key="x")
    if not new:
        (tmp_path / "postgres").mkdir()
    monkeypatch.setattr(key, "opened", lambda _home: nullcontext(config))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert key.call(Namespace(home=tmp_path, source="shop", kind="server")) == 0
    said = capsys.readouterr()
    assert len(said.out.split()) == 1
    assert (str(tmp_path) in said.err and "new one was made" in said.err) == new
    assert said.err.count("\n") == new
