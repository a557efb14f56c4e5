"""The local mailbox: an SMTP server that keeps what it gets in the table `mailbox` and sends nothing on."""

from __future__ import annotations

import asyncio
import email
import email.policy
import signal
import socket
from urllib.parse import urlsplit

import structlog
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Conversation
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from workers.models import Mail
from workers.process import tools

log = structlog.get_logger()


class Keeper:
    """aiosmtpd's handler: a message is taken only once it is committed."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    async def handle_DATA(self, _server: SMTP, _conversation: Conversation, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        """Answers 250 after the commit, 451 where the database does not take it."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._keep, envelope)
        except SQLAlchemyError as error:
            log.warning("mail_not_kept", error=str(error))
            return "451 4.3.0 The mailbox cannot keep this message now; try again later"
        return "250 2.0.0 Kept"

    def _keep(self, envelope: Envelope) -> None:
        raw = envelope.original_content or b""
        subject = subject_of(raw)
        with self._sessions() as session:
            session.add_all(
                Mail(received_at=clock.now(), sender=envelope.mail_from or "", recipient=recipient, subject=subject, raw=raw) for recipient in envelope.rcpt_tos
            )
            session.commit()


def subject_of(raw: bytes) -> str:
    """The decoded subject, without the NUL character PostgreSQL refuses."""
    return str(email.message_from_bytes(raw, policy=email.policy.default)["subject"] or "").replace("\0", "")


class PatientSMTP(SMTP):
    """Takes longer lines than the RFC's 998: what a mail program makes of them is not ours to judge."""

    line_length_limit = 1 << 16


async def serve(listening: socket.socket, sessions: sessionmaker[Session]) -> asyncio.Server:
    """Answer there; returns the running server."""
    keeper = Keeper(sessions)
    return await asyncio.get_running_loop().create_server(
        lambda: PatientSMTP(keeper, hostname="mailbox.kesher.localhost", enable_SMTPUTF8=True, data_size_limit=32 << 20), sock=listening
    )


async def _run(inherited: str) -> None:
    ours = tools()
    address = urlsplit(ours.config.smtp_url)
    listening = socket.socket(fileno=int(inherited)) if inherited else socket.create_server((address.hostname or "127.0.0.1", address.port or 1025))
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    server = await serve(listening, ours.sessions)
    async with server:
        await stop.wait()


def main(inherited: str = "") -> None:
    """Run until told to stop, on the inherited listening socket of that number, else on the address of SMTP_URL."""
    asyncio.run(_run(inherited))
