"""How many events a second the door acknowledges, each on disk first: one a request, and in batches of 50."""

from __future__ import annotations

import base64
import datetime as dt
import multiprocessing
import selectors
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
import psycopg
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.config import Config
from crm.core.db import engine_for
from crm.events import keys
from workers.bench import Measure
from workers.up import running

BATCH = 50
CLIENTS = {1: 256, BATCH: 48}  # connections that each wait for their answer before they send again
SPARE_S = 1.0  # before counting begins: connections open, caches fill
FLOOR_ROWS = 1000  # in one commit
MARK = b"@" * 32  # stands in a request where the unique part goes
SAID_OK = b'{"success": true}'


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator's process is told: where to, what, how many at once, how long (seconds)."""

    host: str
    port: int
    request: bytes
    clients: int
    seconds: float


def run(config: Config, quick: bool) -> list[Measure]:
    """`accept_single` and `accept_batch50` in events/s; floor: COPY of the same rows into a table without index or constraint."""
    engine = engine_for(config.database_url)
    with Session(engine) as session:
        key = keys.create(session, source_name="bench", kind="server")
        session.commit()
    engine.dispose()
    seconds = 4.0 if quick else 10.0  # more would meet the inbox's own limit of a million waiting
    with running(config, ["web"]) as address:
        return [_measure(config, name, _load(address, key, size, seconds), size) for name, size in (("accept_single", 1), ("accept_batch50", BATCH))]


def _load(address: str, key: str, size: int, seconds: float) -> Load:
    url = urlsplit(address)
    return Load(url.hostname or "", url.port or 0, request(key, size), CLIENTS[size], seconds)


def _measure(config: Config, name: str, load: Load, size: int) -> Measure:
    before = _rows(config)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rate, acknowledged = pool.apply(generate, (load,))
    kept = _rows(config) - before
    if kept < acknowledged * size:
        raise RuntimeError(f"{acknowledged * size} events were acknowledged and only {kept} are in the inbox")
    floor = _floor(config, min(kept, int(load.seconds * FLOOR_ROWS * 5)))
    return Measure(name, rate * size, "events/s", floor, rate * size / floor, clock.now())


def _rows(config: Config) -> int:
    with psycopg.connect(config.database_url) as connection:
        (count,) = connection.execute("SELECT count(*) FROM event_inbox").fetchone() or (0,)
        return int(count)


def _floor(config: Config, rows: int) -> float:
    """The same rows by COPY on one connection, a thousand to a commit, into a bare table."""
    columns = "received_at, source_id, trusted, origin, lane, sent_at, body"
    with psycopg.connect(config.database_url) as connection:
        connection.execute("SET timezone = 'UTC'")
        copied = f"COPY (SELECT {columns} FROM event_inbox ORDER BY id DESC LIMIT {rows}) TO STDOUT"  # noqa: S608  our own words
        with connection.cursor().copy(copied) as copy:
            lines = [bytes(line) for line in copy]
        connection.execute(f"CREATE TABLE bench_floor AS SELECT {columns} FROM event_inbox WHERE false")  # noqa: S608  our own fragments
        connection.commit()
        started = time.perf_counter()
        for start in range(0, len(lines), FLOOR_ROWS):
            with connection.cursor().copy(f"COPY bench_floor ({columns}) FROM STDIN") as copy:
                copy.write(b"".join(lines[start : start + FLOOR_ROWS]))
            connection.commit()
        rate = len(lines) / (time.perf_counter() - started)
        connection.execute("DROP TABLE bench_floor")
        return rate


def request(key: str, size: int) -> bytes:
    """One HTTP request with `size` events as a shop's site sends them; MARK stands where each request's own part goes."""
    events = [_event(number) for number in range(size)]
    body = orjson.dumps(events[0] if size == 1 else {"batch": events, "sentAt": dt.datetime.now(dt.UTC).isoformat()})
    head = [
        f"POST /v1/{'track' if size == 1 else 'batch'} HTTP/1.1",
        "Host: bench",
        f"Authorization: Basic {base64.b64encode(f'{key}:'.encode()).decode()}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _event(number: int) -> dict[str, object]:
    product = {"product_id": f"sku-{number}", "name": "ספל מצויר ביד", "price": 49.9, "quantity": 1, "url": f"https://shop.example/p/{number}"}
    page = {"path": f"/p/{number}", "url": f"https://shop.example/p/{number}", "title": "ספלים וכוסות"}
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": f"{MARK.decode()}-{number:03}",
        "anonymousId": str(uuid.UUID(int=number)),
        "timestamp": dt.datetime.now(dt.UTC).isoformat(),
        "properties": product,
        "context": {"page": page, "locale": "he-IL", "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"},
    }


def generate(load: Load) -> tuple[float, int]:
    """Send from many connections at once; the rate of acknowledged requests a second after the warm-up, and how many were acknowledged in all."""
    poll = selectors.DefaultSelector()
    fresh = _fresh(load.request)
    clients = [socket.create_connection((load.host, load.port)) for _ in range(load.clients)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(fresh())
        poll.register(client, selectors.EVENT_READ, bytearray())
    begin = time.perf_counter() + SPARE_S
    end = begin + load.seconds
    in_time, in_all, waiting = 0, 0, load.clients
    while waiting:
        for event, _ in poll.select():
            if not _answered(event.fileobj, event.data):  # type: ignore[arg-type]  # only sockets are watched
                continue
            in_all += 1
            now = time.perf_counter()
            in_time += begin <= now < end
            if now < end:
                event.fileobj.sendall(fresh())  # type: ignore[union-attr]  # only sockets are watched
            else:
                waiting -= 1
    for client in clients:
        client.close()
    return in_time / load.seconds, in_all


def _fresh(template: bytes) -> Callable[[], bytes]:
    """Requests that differ in their messageIds."""
    run_id, count = uuid.uuid4().hex[:16], iter(range(2**60))
    return lambda: template.replace(MARK, b"%b%016d" % (run_id.encode(), next(count)))


def _answered(client: socket.socket, got: bytearray) -> bool:
    """Whether the whole answer is here; anything but a 200 ends the measurement."""
    got += client.recv(65536)
    if not got.endswith(SAID_OK):
        if got and not got.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {bytes(got[:300])!r}")
        return False
    got.clear()
    return True
