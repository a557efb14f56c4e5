"""The mailbox: what was answered with 250 is kept, what cannot be kept is answered with 451."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from crm.core.db import engine_for
from tests.waiting import PATIENCE
from workers.mailbox import serve
from workers.models import Mail


@contextmanager
def listening(sessions: sessionmaker[Session]) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(socket.create_server(("127.0.0.1", 0)), sessions), loop).result(PATIENCE)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def letter(subject: str, body: str = "שלום") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "shop@example.com", "dana@example.com", subject
    made.set_content(body)
    return made


@pytest.fixture
def sessions(fresh_url) -> Iterator[sessionmaker[Session]]:
    engine = engine_for(fresh_url)
    yield sessionmaker(engine)
    engine.dispose()


def test_a_hebrew_mail_is_kept_whole_once_for_each_recipient(sessions):
    with listening(sessions) as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(letter("העגלה שלך מחכה"), to_addrs=["dana@example.com", "noa@example.com"])
    with sessions() as session:
        kept = session.scalars(select(Mail).order_by(Mail.recipient)).all()
    assert [(mail.sender, mail.recipient, mail.subject) for mail in kept] == [
        ("shop@example.com", "dana@example.com", "העגלה שלך מחכה"),
        ("shop@example.com", "noa@example.com", "העגלה שלך מחכה"),
    ]
    assert b"From: shop@example.com" in kept[0].raw


def test_lines_of_any_length_are_taken(sessions):
    with listening(sessions) as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"Subject: long\r\n\r\n" + b"x" * 20_000 + b"\r\n")
    with sessions() as session:
        assert len(session.scalars(select(Mail.raw)).one()) > 20_000


def test_a_database_that_is_away_means_try_later():
    away = sessionmaker(engine_for("postgresql://nobody@127.0.0.1:1/none"))
    with listening(away) as port, smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.send_message(letter("lost?"))
    assert refused.value.smtp_code == 451
