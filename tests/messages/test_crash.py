"""kill -9 in the middle of sending: nothing goes out twice, and the numbers add up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

from sqlalchemy import select

from crm.core.clock import now as clock_now
from crm.core.db import engine_for, sessions
from crm.messages.deliver import LEASE, deliver_due, expire_leases
from crm.messages.models import Message, OutboxRow
from tests.messages.people import message, person, shop
from tests.messages.standin import mail_server
from tests.waiting import PATIENCE

COUNT = 150
SENDER = """
import sys
from crm.core.clock import now
from crm.core.db import engine_for, sessions
from crm.messages.deliver import deliver_due
from tests.messages.people import shop
make = sessions(engine_for(sys.argv[1]))
print("ready", flush=True)
while deliver_due(make, shop(sys.argv[2]), now):
    pass
"""


def test_a_killed_sender_leaves_no_message_sent_twice_or_forgotten(fresh_url):
    made = sessions(engine_for(fresh_url))
    began = clock_now()
    with made() as session:
        for _ in range(COUNT):
            message(session, began, person(session, began))
        session.commit()
    with mail_server() as server:
        for kill_at in (20, 70):
            server.answers["END"] = ["250 taken"] * (kill_at - len(server.received) - 1) + ["silent"]  # taken, and killed before it heard so
            child = subprocess.Popen([sys.executable, "-c", SENDER, fresh_url, server.url], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."})
            deadline = time.monotonic() + PATIENCE
            while len(server.received) < kill_at:
                assert child.poll() is None and time.monotonic() < deadline
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
            child.wait()
        with made() as session:
            expire_leases(session, clock_now() + 2 * LEASE)
            session.commit()
        while deliver_due(made, shop(server.url), lambda: clock_now() + 3 * LEASE):
            pass
        received = Counter(server.recipients())
    with made() as session:
        fates = {row.id: (row.status, row.address) for row in session.scalars(select(Message))}
        assert session.scalar(select(OutboxRow)) is None
    assert max(received.values()) == 1
    assert Counter(status for status, _ in fates.values()).total() == COUNT
    assert {status for status, _ in fates.values()} <= {"sent", "unknown"}
    assert "unknown" in {status for status, _ in fates.values()}
    assert {address for status, address in fates.values() if status == "sent"} <= received.keys()
