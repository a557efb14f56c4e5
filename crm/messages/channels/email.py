"""E-mail over SMTP, one kept connection per thread."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import smtplib
import ssl
import threading
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from crm.core.clock import now as clock_now
from crm.core.config import Config
from crm.core.i18n import _l
from crm.messages.channel import Channel, Letter, RejectedError, TryLaterError, UncertainError
from crm.messages.mime import assemble, envelope, name_and_address, one_line

OK_FINAL, GO_AHEAD, SERVICE_CLOSING, MAILBOX_GONE = 250, 354, 421, 550
AUTH_CODES = (530, 534, 535, 538)  # our credentials are wrong; no message is to blame
NO_SUCH_ADDRESS = re.compile(r"\b5\.(1\.(1|2|3|6|10)|2\.1)\b")  # RFC 3463: unknown or disabled mailbox, bad domain
IDLE = dt.timedelta(seconds=20)  # servers hang up on idle clients; asked whether it lives after this long


@dataclass(slots=True)
class _Line:
    url: str
    smtp: smtplib.SMTP
    used_at: dt.datetime


class Email(Channel):
    """`SMTP_URL`: `smtp://name:password@host:port?starttls=1&timeout=10` or `smtps://…`."""

    kind = "email"
    title = _l("E-mail")
    address_kinds: ClassVar[tuple[str, ...]] = ("email",)
    event_prefix = "Email"

    def __init__(self) -> None:
        self._kept = threading.local()

    def send(self, letter: Letter, config: Config) -> str:
        """Returns the Message-ID. Only a break after the body began to flow is uncertain."""
        now = clock_now()
        provider_id, mail = assemble(letter, config.mail_from, now)
        try:
            sender, recipient = envelope(name_and_address(config.mail_from)[1]), envelope(letter.address)
        except UnicodeError as error:
            raise RejectedError("the address has letters that this mail server cannot take") from error
        line = self._line(config.smtp_url, now)
        try:
            line = self._begin(line, config.smtp_url, sender, now)
            _expect(line.smtp, *line.smtp.rcpt(recipient))
            _expect(line.smtp, *line.smtp.docmd("DATA"), good=(GO_AHEAD,))
        except (OSError, smtplib.SMTPException) as error:
            self._hang_up()
            raise TryLaterError(f"the mail server broke off: {_words(error)}", everything=True) from error
        except TryLaterError as error:
            if error.everything:
                self._hang_up()
            raise
        self._hand_over(line, mail)
        line.used_at = now
        return provider_id

    def _begin(self, line: _Line, url: str, sender: str, now: dt.datetime) -> _Line:
        """MAIL FROM; a kept connection that has died meanwhile is replaced once, for nothing was handed over yet."""
        try:
            code, said = line.smtp.mail(sender)
        except (OSError, smtplib.SMTPServerDisconnected):
            self._hang_up()
            line = self._line(url, now)
            code, said = line.smtp.mail(sender)
        if code == SERVICE_CLOSING and line.used_at != now:
            self._hang_up()
            line = self._line(url, now)
            code, said = line.smtp.mail(sender)
        _expect(line.smtp, code, said)
        return line

    def _hand_over(self, line: _Line, mail: bytes) -> None:
        try:
            line.smtp.send(_dots(mail) + b".\r\n")
            code, said = line.smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self._hang_up()
            raise UncertainError(f"the mail server broke off after the message was handed over: {_words(error)}") from error
        if code < 200:  # not an answer to what we handed over
            self._hang_up()
            raise UncertainError(f"the mail server gave no clear answer: {code} {one_line(said.decode('utf-8', 'replace'))}"[:500])
        if code == SERVICE_CLOSING:
            self._hang_up()
        _expect(line.smtp, code, said, good=(OK_FINAL,))

    def _line(self, url: str, now: dt.datetime) -> _Line:
        line: _Line | None = getattr(self._kept, "line", None)
        if line is not None and line.url == url and (now - line.used_at < IDLE or _alive(line.smtp)):
            return line
        self._hang_up()
        try:
            line = _Line(url, _connect(url), now)
        except smtplib.SMTPAuthenticationError as error:
            raise TryLaterError(f"the mail server does not take our name and password: {_words(error)}", everything=True) from error
        except (OSError, smtplib.SMTPException) as error:
            raise TryLaterError(f"the mail server is out of reach: {_words(error)}", everything=True) from error
        self._kept.line = line
        return line

    def _hang_up(self) -> None:
        line: _Line | None = getattr(self._kept, "line", None)
        self._kept.line = None
        if line is not None:
            line.smtp.close()


def _connect(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    host, timeout = parts.hostname or "127.0.0.1", float(options.get("timeout", "10"))
    name = options.get("helo")
    if parts.scheme == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, local_hostname=name, timeout=timeout, context=ssl.create_default_context())
    else:
        smtp = smtplib.SMTP(host, parts.port or 25, local_hostname=name, timeout=timeout)
    try:
        smtp.ehlo_or_helo_if_needed()
        if options.get("starttls", "0").lower() in {"1", "true", "yes", "required"}:
            smtp.starttls(context=ssl.create_default_context())
        if parts.username:
            smtp.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        smtp.close()
        raise
    return smtp


def _alive(smtp: smtplib.SMTP) -> bool:
    try:
        return smtp.noop()[0] == OK_FINAL
    except (OSError, smtplib.SMTPException):
        return False


def _expect(smtp: smtplib.SMTP, code: int, said: bytes, *, good: tuple[int, ...] = (250, 251, 252)) -> None:
    """Raise what a reply code means (RFC 5321 §4.2): 4xx later, 5xx never."""
    if code in good:
        return
    words = f"{code} {one_line(said.decode('utf-8', 'replace'))}"[:500]
    if code == SERVICE_CLOSING or code in AUTH_CODES or code < 0:
        raise TryLaterError(words, everything=True)
    with contextlib.suppress(OSError, smtplib.SMTPException):
        smtp.rset()  # otherwise the next message would inherit this one's envelope; a dead line shows itself at the next MAIL
    if 400 <= code < 500:
        raise TryLaterError(words)
    raise RejectedError(words, bounce=code >= MAILBOX_GONE and NO_SUCH_ADDRESS.search(words) is not None)


def _dots(mail: bytes) -> bytes:
    """A line that begins with a dot gets another (RFC 5321 §4.5.2); the mail already ends its lines with CRLF."""
    return mail.replace(b"\r\n.", b"\r\n..")


def _words(error: BaseException) -> str:
    return one_line(str(error))[:300] or type(error).__name__


plugin = Email()
