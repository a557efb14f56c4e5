"""The SMTP channel against a server that misbehaves, and the mail it makes."""

from __future__ import annotations

import datetime as dt
import socket
import uuid
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import SMTP

import pytest

from crm.messages.channel import Channel, Letter, RejectedError, TryLaterError, UncertainError, registry
from crm.messages.channels.email import Email
from crm.messages.mime import assemble, encoded, envelope
from tests.messages.people import shop
from tests.messages.standin import mail_server

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def server():
    with mail_server() as made:
        yield made


def letter(**changes):
    values = {
        "message_id": uuid.uuid4(), "address": "dana@example.com", "language": "he", "topic": "offers", "purpose": "marketing", "subject": "שלום",
        "html": "<p>שלום</p>\n.\n..dots", "text": "שלום\n.\n", "unsubscribe_url": "https://k.example/u/x",
    }  # fmt: skip
    return Letter(**values | changes)


@pytest.mark.parametrize("channel", registry().values(), ids=registry().keys())
class TestEveryChannel:
    """The contract."""

    def test_it_says_what_it_is(self, channel):
        assert isinstance(channel, Channel)
        assert channel.title and channel.event_prefix and channel.address_kinds

    def test_a_provider_out_of_reach_means_later(self, channel):
        with socket.socket() as deaf, pytest.raises(TryLaterError) as raised:
            deaf.bind(("127.0.0.1", 0))  # nobody listens there, nor can anybody else meanwhile
            channel.send(letter(), shop(f"smtp://127.0.0.1:{deaf.getsockname()[1]}"))
        assert raised.value.everything


def test_many_mails_go_over_one_connection(server):
    channel, config = Email(), shop(server.url)
    for _ in range(5):
        channel.send(letter(), config)
    assert (len(server.received), server.connections) == (5, 1)


def test_the_bytes_arrive_as_they_were_written(server):
    Email().send(letter(), shop(server.url))
    [mail] = server.mails()
    parts = [part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart()]
    assert parts == ["שלום\r\n.\r\n", "<p>שלום</p>\r\n.\r\n..dots"]


def test_a_kept_connection_that_died_is_replaced(server):
    channel, config = Email(), shop(server.url)
    channel.send(letter(), config)
    server.hang_up()
    channel.send(letter(), config)
    assert (len(server.received), server.connections) == (2, 2)


@pytest.mark.parametrize(
    ("answers", "error", "everything"),
    [
        ({"RCPT": ["451 4.2.0 greylisted"]}, TryLaterError, False),
        ({"RCPT": ["452 4.5.3 too many"]}, TryLaterError, False),
        ({"END": ["451 4.3.0 try again"]}, TryLaterError, False),
        ({"MAIL": ["421 4.7.0 closing"] * 2}, TryLaterError, True),
        ({"MAIL": ["530 5.7.0 authenticate first"]}, TryLaterError, True),
        ({"MAIL": ["drop"] * 2}, TryLaterError, True),
        ({"RCPT": ["drop"]}, TryLaterError, True),
        ({"DATA": ["drop"]}, TryLaterError, True),
        ({"RCPT": ["silent"]}, TryLaterError, True),
        ({"RCPT": ["550 5.7.1 policy"]}, RejectedError, None),
        ({"DATA": ["554 5.5.1 no valid recipients"]}, RejectedError, None),
        ({"END": ["552 5.3.4 too big"]}, RejectedError, None),
        ({"END": ["keep and drop"]}, UncertainError, None),
        ({"END": ["silent"]}, UncertainError, None),
        ({"END": ["nonsense"]}, UncertainError, None),
    ],
)
def test_every_way_to_fail_is_one_of_three(server, answers, error, everything):
    server.answers |= answers
    url = server.impatient_url if ["silent"] in answers.values() else server.url
    with pytest.raises(error) as raised:
        Email().send(letter(), shop(url))
    if everything is not None:
        assert raised.value.everything is everything


def test_only_an_unknown_mailbox_is_a_bounce(server):
    for said, bounce in (("550 5.1.1 no such user", True), ("550 5.7.1 spam", False), ("552 5.2.2 mailbox full", False)):
        server.answers["RCPT"] = [said]
        with pytest.raises(RejectedError) as raised:
            Email().send(letter(), shop(server.url))
        assert raised.value.bounce is bounce


def test_a_refused_mail_does_not_spoil_the_next(server):
    channel, config = Email(), shop(server.url)
    server.answers["RCPT"] = ["550 5.7.1 no"]
    with pytest.raises(RejectedError):
        channel.send(letter(), config)
    channel.send(letter(address="noa@example.com"), config)
    assert (server.recipients(), server.connections) == (["noa@example.com"], 1)


@pytest.mark.parametrize("nasty", ["שלום\r\nBcc: all@example.com", "Hi\nBcc: all@example.com", "Hi\x0bBcc: x", "Hi\u2028Bcc: x", "a\r\n\r\nbody"])
def test_no_value_can_begin_a_header(nasty):
    made = letter(subject=nasty, unsubscribe_url="https://k.example/u/x>\r\nBcc: y", language="he\r\nX-A: b")
    _, raw = assemble(made, 'No"a\r\nBcc: z <shop@kafe.example>', NOW)
    mail = message_from_bytes(raw)
    assert mail["Bcc"] is None and mail["X-A"] is None
    assert raw.isascii() and max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("subject", ["Plain", "פרסומת: העגלה שלך מחכה, דנה " * 6, "=?utf-8?Q?trick?=", "x" * 900, "🙂" * 60, ""])
def test_a_subject_reads_back_as_written(subject):
    assert str(make_header(decode_header(encoded(subject).replace("\r\n", "")))) == subject.strip()


def test_pythons_own_parser_finds_no_defect():
    _, raw = assemble(letter(), "קפה, ומתנות (בע״מ) <shop@kafe.example>", NOW)
    mail = message_from_bytes(raw, policy=SMTP)
    assert mail.defects == [] and all(part.defects == [] for part in mail.walk())
    assert mail["From"].addresses[0].display_name == "קפה, ומתנות (בע״מ)"
    assert mail["Subject"] == "שלום"


def test_a_receipt_carries_no_list_headers():
    _, raw = assemble(letter(purpose="transactional"), "shop@kafe.example", NOW)
    mail = message_from_bytes(raw)
    assert mail["List-Unsubscribe"] is None and mail["Precedence"] is None and mail["Auto-Submitted"] == "auto-generated"


def test_a_message_id_names_its_message():
    made = letter()
    provider_id, _ = assemble(made, "shop@kafe.example", NOW)
    assert provider_id.startswith(f"<{made.message_id.hex}@")


def test_foreign_domains_travel_in_idna():
    assert envelope("dana@דוגמה.co.il") == "dana@xn--6dbbec0c.co.il"
    with pytest.raises(UnicodeError):
        envelope("דנה@example.com")
