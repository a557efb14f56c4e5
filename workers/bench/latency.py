"""From an accepted event to the mail server's DATA, on a journey without a wait; and what the whole product weighs when nothing happens."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import multiprocessing
import multiprocessing.queues
import queue
import smtplib
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.consent import ledger
from crm.consent.ledger import GRANTED, Change
from crm.core import clock
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.db import engine_for, sessions
from crm.core.errors import KesherError
from crm.events import inbox, keys
from crm.events.inbox import NewRow
from crm.events.models import LIVE
from crm.events.spec import Call
from crm.messages import templates
from journeys import publish
from workers import pipeline
from workers.bench import Measure
from workers.up import running

RATE = 50  # events/s, each of another person
PATIENCE_S = 20.0  # for the next mail
SETTLE_S = 5.0  # before idle memory is read
BARE = 6  # processes of the product's own that are Python
GRAPH = {
    "name": {"en": "At once"},
    "trigger": {"kind": "event", "settings": {"event": "Product Added", "key": "cart"}},
    "entry": "send",
    "nodes": {
        "send": {"kind": "send", "settings": {"channel": "email", "template": "abandoned_cart", "while_cart_open": True}, "exits": {"next": "end"}},
        "end": {"kind": "stop", "settings": {"reason": "finished"}},
    },
}
PRODUCT = {"product_id": "finjan", "name": "Finjan", "price": "189.00", "quantity": 1, "currency": "ILS"}
Inbox = multiprocessing.queues.Queue  # (recipient, wall clock seconds at DATA)


def run(config: Config, quick: bool) -> list[Measure]:
    """`trigger_to_smtp_p50`, `trigger_to_smtp_p99` (ms) and `idle_memory` (MB, PSS of all processes).

    Floors: a mail handed to the same sink by the standard library; as many bare Python interpreters as the product has processes of its own.
    """
    seconds = 10 if quick else 60
    context = multiprocessing.get_context("spawn")
    got: multiprocessing.queues.Queue[tuple[str, float]] = context.Queue()
    port: multiprocessing.queues.Queue[int] = context.Queue()
    sink = context.Process(target=_sink, args=(got, port), daemon=True)
    sink.start()
    listening = port.get(timeout=30)
    told = dataclasses.replace(config, smtp_url=f"smtp://127.0.0.1:{listening}")
    by_hand = _by_hand(listening)
    for _ in by_hand:
        got.get(timeout=PATIENCE_S)
    key = _prepare(told, RATE * seconds)
    with running(config, ["web", "clock", "tasks", "mailbox"]):
        time.sleep(SETTLE_S)
        memory = weight(config.home)
    with running(told, ["web", "clock", "tasks"]) as address:
        time.sleep(SETTLE_S)
        fired = _fire(address, key, seconds)
        delays = _delays(config, fired, got)
    sink.kill()
    sink.join(10)
    floors, bare, now = _percentiles(by_hand), _bare_processes(), clock.now()
    found = zip(("trigger_to_smtp_p50", "trigger_to_smtp_p99"), _percentiles(delays), floors, strict=True)
    return [
        *(Measure(name, value, "ms", floor, value / floor, now) for name, value, floor in found),
        Measure("idle_memory", memory, "MB", bare, memory / bare, now),
    ]


def _percentiles(delays: Sequence[float]) -> list[float]:
    """The middle one and the slowest hundredth, in ms."""
    return [statistics.quantiles(delays, n=100)[n - 1] * 1000 for n in (50, 99)]


def _by_hand(port: int) -> list[float]:
    """Mails handed to the sink one after the other by the standard library, each over a connection of its own; seconds it takes."""
    took = []
    for number in range(200):
        started = time.perf_counter()
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("floor@example.com", [f"floor{number}@example.com"], "Subject: floor\r\n\r\nfloor\r\n")
        took.append(time.perf_counter() - started)
    return took


def _bare_processes() -> float:
    """PSS in MB of as many Python interpreters as the product runs, each with nothing but the database's driver loaded."""
    bare = [subprocess.Popen([sys.executable, "-c", "import psycopg, time; time.sleep(60)"]) for _ in range(BARE)]  # our own words
    time.sleep(SETTLE_S)
    total = sum(_pss(Path(f"/proc/{one.pid}")) for one in bare)
    for one in bare:
        one.kill()
        one.wait()
    return total / 1024


def weight(home: Path) -> float:
    """PSS in MB of every process whose environment or command names this home."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or str(home).encode() not in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes() + _parent(folder):
                continue
            total += _pss(folder)
        except (OSError, StopIteration):
            continue
    return total / 1024


def _pss(folder: Path) -> int:
    """kB of one process."""
    return next(int(line.split()[1]) for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))


def _parent(folder: Path) -> bytes:
    """The command of a process's parent: PostgreSQL's own children name their database, not its folder."""
    number = (folder / "stat").read_text().rpartition(")")[2].split()[1]
    return Path(f"/proc/{number}/cmdline").read_bytes()


def _prepare(config: Config, people: int) -> str:
    engine = engine_for(config.database_url)
    maker = sessions(engine)
    now = clock.now()
    with maker() as session:
        key = keys.create(session, source_name="bench", kind="server")
        templates.install(session, templates.shipped_templates(), now)
        publish.publish(session, "bench", GRAPH, now=now)
        said = [Change("email", _address(n), "email", "offers", "marketing", GRANTED, "bench", True, "w", {"ip": "192.0.2.1"}) for n in range(people)]
        ledger.record(session, said, Keys(config.secret_key), now)
        calls = [Call(type="identify", user_id=f"u{n}", message_id=f"i{n}", traits={"email": _address(n), "language": "he"}) for n in range(people)]
        inbox.append(session, [NewRow(10, trusted=True, origin=LIVE, body=call) for call in calls], now)
        session.commit()
    _drain(config, maker)
    engine.dispose()
    return key


def _drain(config: Config, maker: sessionmaker[Session]) -> None:
    while pipeline.drain(maker, config):
        pass


def _address(number: int) -> str:
    return f"p{number}@example.com"


def _fire(address: str, key: str, seconds: int) -> dict[str, float]:
    """Send one event every 20 ms over a kept connection; recipient -> when its 200 came."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 0, timeout=30)
    headers = {"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode(), "Content-Type": "application/json"}
    fired, started = {}, time.monotonic()
    for n in range(RATE * seconds):
        time.sleep(max(0.0, started + n / RATE - time.monotonic()))
        connection.request("POST", "/v1/track", orjson.dumps({"event": "Product Added", "userId": f"u{n}", "properties": PRODUCT}), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise KesherError(f"the door answered {answer.status}")
        fired[_address(n)] = time.time()
    return fired


def _delays(config: Config, fired: dict[str, float], got: Inbox[tuple[str, float]]) -> Sequence[float]:
    delays: list[float] = []
    for _ in fired:
        try:
            recipient, at = got.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise KesherError(f"{len(delays)} of {len(fired)} mails came; messages: {_fates(config)}") from None
        delays.append(max(0.0, at - fired[recipient]))
    return delays


def _fates(config: Config) -> str:
    engine = engine_for(config.database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT status, reason, count(*) FROM messages GROUP BY 1, 2")).all()
    engine.dispose()
    return ", ".join(f"{count} {status} {reason or ''}".strip() for status, reason, count in rows)


def _sink(got: Inbox[tuple[str, float]], port: Inbox[int]) -> None:
    asyncio.run(_serve(got, port))


async def _serve(got: Inbox[tuple[str, float]], port: Inbox[int]) -> None:
    """An SMTP server that takes everything and notes when DATA began."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            if word == b"RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            if word == b"DATA":
                got.put((recipient, time.time()))
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 22)
    port.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()
