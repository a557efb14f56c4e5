"""The product as a new user meets it: `./kesher up` on an empty home, real HTTP, real SMTP, processes killed on the way."""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.serving import free_port
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
SCALE = 450  # an hour's wait takes eight seconds
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills processes by /proc")


class Shop:
    """A running Kesher, and the shop that talks to it over HTTP."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        self.process = self._kesher("up", "--home", str(home), "--port", str(port), "--time-scale", str(SCALE), stdout=(home / "up.out").open("w"))
        until(lambda: "is ready" in (home / "up.out").read_text())
        self.key = self._said("key", "create", "--source", "shop", "--home", str(home))
        self.token = self._said("token", "create", "--role", "admin", "--home", str(home))

    def _kesher(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "workers.manage", *args], cwd=ROOT, text=True, **options)

    def _said(self, *args: str) -> str:
        """The secret a command prints: its longest word."""
        out = self._kesher(*args, stdout=subprocess.PIPE).communicate(timeout=PATIENCE)[0]
        return max(out.split(), key=len)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def call(self, kind: str, **body: Any) -> None:
        """One call of the tracking API; a 2xx or an assertion."""
        request = urllib.request.Request(
            f"{self.url}/v1/{kind}", json.dumps(body).encode(), {"Authorization": "Basic " + b64encode(f"{self.key}:".encode()).decode()}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200

    def added(self, product: str, price: float, **who: str) -> None:
        self.call("track", event="Product Added", **who, properties={"product_id": product, "name": product, "price": price, "quantity": 1, "currency": "ILS"})

    def api(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers), timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def consent(self, address: str) -> None:
        said = {"channel": "email", "address": address, "topic": "offers", "action": "granted", "wording": "checkout-2026", "source": "form"}
        self.api("consents", said | {"proof": {"ip": "192.0.2.1", "url": "https://shop.example/checkout"}})

    def mails(self, to: str) -> list[email.message.EmailMessage]:
        rows = self.rows("SELECT raw FROM mailbox WHERE recipient = %s ORDER BY id", to)
        return [email.message_from_bytes(raw, policy=email.policy.default) for (raw,) in rows]

    def rows(self, statement: str, *params: Any) -> list[Any]:
        password = (self.home / "postgres.password").read_text()
        with psycopg.connect(f"postgresql://kesher:{password}@/kesher?host={self.home / 'run'}") as connection:
            return connection.execute(statement, params or None).fetchall()

    def runs_of(self, address: str) -> list[tuple[str, str]]:
        return self.rows(
            "SELECT r.status, r.end_reason FROM runs r JOIN identities i USING (profile_id) WHERE i.kind = 'email' AND i.value = %s ORDER BY r.started_at",
            address,
        )

    def still_to_come(self, address: str) -> list[tuple[int, int]]:
        """Messages, sent or waiting, and what would wake a run of this person."""
        whose = "profile_id = (SELECT profile_id FROM identities WHERE kind = 'email' AND value = %s)"
        return self.rows(f"SELECT (SELECT count(*) FROM messages WHERE {whose}), (SELECT count(*) FROM wakeups WHERE {whose})", address, address)


def until(true: Callable[[], Any]) -> Any:
    """Wait for something to come true; an assertion when it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(prefix="ks-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        opened = Shop(home, free_port())
        yield opened
        assert opened.stop() == 0


def post(url: str, body: bytes = b"") -> int:
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=PATIENCE) as answer:
        return int(answer.status)


def links(mail: Any) -> list[str]:
    return re.findall(r'href="([^"]+)"', mail.get_body(("html",)).get_content().replace("&amp;", "&"))


def landing(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def test_a_visitor_who_leaves_gets_the_mail_in_hebrew_and_can_come_back_and_unsubscribe(shop: Shop) -> None:
    shop.call("page", anonymousId="v1", name="Home")
    shop.added("finjan", 189.0, anonymousId="v1")
    shop.call("identify", anonymousId="v1", userId="u1", traits={"email": "dana@example.com", "name": "דנה", "language": "he"})
    shop.consent("dana@example.com")
    [mail] = until(lambda: shop.mails("dana@example.com"))
    assert "פרסומת" in mail["Subject"]
    body = mail.get_body(("html",)).get_content()
    assert 'dir="rtl"' in body
    assert "finjan" in body
    pages = [landing(link) for link in links(mail) if "/u/" not in link]
    assert any("finjan" in page for page in pages), f"no link of {links(mail)} restores the cart"
    address = re.search(r"<(http[^>]+)>", mail["List-Unsubscribe"])
    assert address
    landing(address[1])  # a GET only shows a page
    assert [row["action"] for row in shop.api("consents?address=dana@example.com")["consents"]] == ["granted"]
    assert post(address[1], b"List-Unsubscribe=One-Click") == 200
    shop.call("track", event="Order Completed", userId="u1", properties={"order_id": "A1", "revenue": 189, "currency": "ILS"})
    shop.added("cup", 40.0, userId="u1")
    until(lambda: len(shop.runs_of("dana@example.com")) == 2 and all(status == "done" for status, _ in shop.runs_of("dana@example.com")))
    held = until(
        lambda: shop.rows("SELECT reason FROM messages m JOIN identities i USING (profile_id) WHERE i.value = 'dana@example.com' AND m.status = 'dropped'")
    )
    assert len(held) == 1
    assert len(shop.mails("dana@example.com")) == 1


def test_who_orders_in_time_gets_nothing(shop: Shop) -> None:
    shop.consent("early@example.com")
    shop.call("identify", anonymousId="v2", userId="u2", traits={"email": "early@example.com"})
    shop.added("pot", 99.0, anonymousId="v2")
    shop.call("track", event="Order Completed", userId="u2", properties={"order_id": "A2", "revenue": 99, "currency": "ILS"})
    [(status, reason)] = until(lambda: [r for r in shop.runs_of("early@example.com") if r[0] == "done"])
    assert "Order Completed" in reason
    assert shop.still_to_come("early@example.com") == [(0, 0)]
    assert shop.mails("early@example.com") == []


def test_a_known_person_on_a_new_device_who_orders_on_the_old_gets_nothing(shop: Shop) -> None:
    shop.consent("two@example.com")
    shop.call("identify", anonymousId="old", userId="u3", traits={"email": "two@example.com"})
    shop.added("halva", 30.0, anonymousId="new")
    shop.call("identify", anonymousId="new", userId="u3")
    shop.call("track", event="Order Completed", anonymousId="old", properties={"order_id": "A3", "revenue": 30, "currency": "ILS"})
    until(lambda: [r for r in shop.runs_of("two@example.com") if r[0] == "done"])
    assert shop.still_to_come("two@example.com") == [(0, 0)]
    assert shop.mails("two@example.com") == []


def test_without_consent_nothing_goes_and_the_reason_is_kept(shop: Shop) -> None:
    shop.call("identify", anonymousId="v4", userId="u4", traits={"email": "never@example.com"})
    shop.added("cup", 30.0, userId="u4")
    [(reason,)] = until(
        lambda: shop.rows("SELECT m.reason FROM messages m JOIN identities i USING (profile_id) WHERE i.value = 'never@example.com' AND m.status = 'dropped'")
    )
    assert "consent" in reason
    assert shop.mails("never@example.com") == []


def test_killing_workers_in_the_middle_changes_no_count(shop: Shop) -> None:
    people = 60 if os.environ.get("KESHER_TEST_FULL") is None else 600
    for n in range(people):
        shop.consent(f"p{n}@example.com")
    killed = 0
    for n in range(people):
        shop.call("identify", anonymousId=f"k{n}", userId=f"k{n}", traits={"email": f"p{n}@example.com", "language": "en"})
        shop.added("cup", 30.0, anonymousId=f"k{n}")
        if n % 20 == 10:
            killed += kill_workers(shop)
    assert killed
    until(lambda: shop.rows(DECIDED)[0][0] == people)
    [(mails, addresses)] = shop.rows("SELECT count(*), count(DISTINCT recipient) FROM mailbox WHERE recipient LIKE 'p%@example.com'")
    [(unknown,)] = shop.rows("SELECT count(*) FROM messages WHERE status = 'unknown'")
    assert mails == addresses, "somebody got two"
    assert people - unknown <= mails <= people
    assert shop.rows("SELECT count(*) FROM quarantine")[0][0] == 0
    assert shop.rows("SELECT count(*) FROM events WHERE name = 'Product Added' AND identities::text LIKE '%\"k%'")[0][0] == people


DECIDED = """
SELECT count(*) FROM messages m JOIN identities i USING (profile_id)
WHERE i.kind = 'email' AND i.value LIKE 'p%@example.com' AND m.status IN ('sent', 'unknown')
"""


def kill_workers(shop: Shop) -> int:
    """`kill -9` every Celery process of this installation."""
    killed = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words, env = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if (b"kesher: tasks" in words or b"celery" in words.lower()) and str(shop.home).encode() in env + words:
            os.kill(int(folder.name), signal.SIGKILL)
            killed += 1
    return killed
