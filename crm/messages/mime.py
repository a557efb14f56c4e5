"""A mail as bytes, assembled by hand: the parts that never change are encoded once."""

from __future__ import annotations

import base64
import datetime as dt
import re
from email.utils import format_datetime
from functools import lru_cache

from crm.messages.channel import Letter

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_WORD = 45  # bytes that fit into one encoded word of 75 characters
_LONG = 200  # a line may have 998 characters; past this it is folded


def assemble(letter: Letter, sender: str, now: dt.datetime) -> tuple[str, bytes]:
    """The Message-ID and the whole mail, CRLF line ends, ASCII only (RFC 5322, 2045–2047, 8058)."""
    boundary = f"=_{letter.message_id.hex}"
    provider_id = f"<{letter.message_id.hex}@{_domain(name_and_address(sender)[1])}>"
    head = [
        _fixed(sender, letter.topic, letter.purpose, letter.language),
        f"To: {one_line(letter.address)}",
        f"Subject: {encoded(letter.subject)}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: {provider_id}",
        *_unsubscribe(letter),
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
    ]
    body = "".join(_part(boundary, kind, text) for kind, text in (("plain", letter.text), ("html", letter.html)) if text)
    return provider_id, ("\r\n".join(head) + "\r\n\r\n" + body + f"--{boundary}--\r\n").encode("ascii", "replace")


@lru_cache(maxsize=256)
def _fixed(sender: str, topic: str, purpose: str, language: str) -> str:
    """The header lines that are the same for every mail of a sender, topic, purpose and language."""
    name, address = name_and_address(sender)
    domain = _domain(address)
    lines = [f"From: {phrase(name)} <{one_line(address)}>" if name else f"From: {one_line(address)}", "MIME-Version: 1.0", "Auto-Submitted: auto-generated"]
    lines.append(f"Content-Language: {one_line(language)}")
    if purpose == "marketing":
        lines += [f"List-Id: <{re.sub('[^a-z0-9-]+', '-', topic.lower()) or 'mail'}.{domain}>", "Precedence: bulk"]
    return "\r\n".join(lines)


def _domain(address: str) -> str:
    return address.rpartition("@")[2] or "localhost"


def _unsubscribe(letter: Letter) -> list[str]:
    if letter.purpose != "marketing":
        return []
    return [f"List-Unsubscribe: <{one_line(letter.unsubscribe_url)}>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]


def name_and_address(sender: str) -> tuple[str, str]:
    """`Shop & Sons, Ltd <hello@shop.example>` taken apart; the name may hold any marks, quoted or not."""
    name, bracket, rest = sender.rpartition("<")
    return (name.strip().strip('"').strip(), rest.rstrip("> \t")) if bracket else ("", sender.strip())


def one_line(text: str) -> str:
    """Text that cannot begin another header: every run of control characters and line ends is one space."""
    return _CONTROL.sub(" ", text).strip()


@lru_cache(maxsize=4096)
def encoded(text: str) -> str:
    """A header's words (RFC 2047): short plain ASCII as it is, everything else in folded encoded words."""
    text = one_line(text)
    if text.isascii() and "=?" not in text and len(text) < _LONG:
        return text
    words: list[bytes] = [b""]
    for character in text:
        piece = character.encode("utf-8", "replace")
        if len(words[-1]) + len(piece) > _WORD:
            words.append(b"")
        words[-1] += piece
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word).decode()}?=" for word in words)


def phrase(name: str) -> str:
    """A name before an address: quoted where it holds marks that mean something there."""
    words = encoded(name)
    return '"' + re.sub(r'(["\\])', r"\\\1", words) + '"' if re.search(r'[",<>@:;()\[\]\\.]', words) and not words.startswith("=?") else words


def _part(boundary: str, kind: str, text: str) -> str:
    body = base64.encodebytes(text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")).decode("ascii").replace("\n", "\r\n")
    return f"--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"


def envelope(address: str) -> str:
    """An address as SMTP takes it without SMTPUTF8: the domain in IDNA; a local part beyond ASCII is a UnicodeError."""
    local, _, domain = one_line(address).rpartition("@")
    local.encode("ascii")
    return f"{local}@{domain.encode('idna').decode('ascii') if not domain.isascii() else domain}"
