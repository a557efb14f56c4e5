"""A mail server at the network's edge: keeps what it gets, and refuses, limits, stays silent or hangs up where told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import Message
from typing import BinaryIO

PATIENCE = 60  # seconds a sender waits for a word


class MailServer:
    """`answers` holds replies by verb (`MAIL`, `RCPT`, `DATA`, `END`), used up one by one; `drop` hangs up there, `silent` says nothing.

    `impatient_url` is for whoever tests silence: a busy machine is silent for a while too.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.received: list[tuple[str, str, bytes]] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self.listener.getsockname()[1]}?timeout={PATIENCE}"
        self.impatient_url = self.url.replace(f"={PATIENCE}", "=2")
        self.lines: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def mails(self) -> list[Message]:
        return [message_from_bytes(raw) for _, _, raw in self.received]

    def recipients(self) -> list[str]:
        return [to for _, to, _ in self.received]

    def hang_up(self) -> None:
        for line in self.lines:
            with suppress(OSError):  # the other side was first
                line.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.lines.append(line)
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        sender, to, reader = "", "", line.makefile("rb")
        try:
            line.sendall(b"220 standin\r\n")
            while (said := reader.readline()) != b"":
                verb = said[:4].strip().upper().decode()
                if verb == "QUIT":
                    return
                sender = said.decode().partition("<")[2].partition(">")[0] if verb == "MAIL" else sender
                to = said.decode().partition("<")[2].partition(">")[0] if verb == "RCPT" else to
                answer = self._answer(line, verb, "354 go ahead" if verb == "DATA" else "250 ok")
                if "drop" in answer:
                    return
                if not answer.startswith("354"):
                    continue
                raw = _until_the_dot(reader)
                if raw is None:
                    return
                if (self.answers.get("END") or ["250"])[0].startswith(("250", "keep", "silent")):
                    self.received.append((sender, to, raw))
                if "drop" in self._answer(line, "END", "250 taken"):
                    return
        except OSError:
            return
        finally:
            line.close()

    def _answer(self, line: socket.socket, verb: str, usual: str) -> str:
        said = self.answers[verb].pop(0) if self.answers.get(verb) else usual
        if "drop" in said:
            line.shutdown(socket.SHUT_RDWR)
        elif said != "silent":
            line.sendall(said.encode() + b"\r\n")
        return said


def _until_the_dot(reader: BinaryIO) -> bytes | None:
    """A mail as it was written; None where the sender died before its end."""
    raw = b""
    while (said := reader.readline()) != b".\r\n":
        if said == b"":
            return None
        raw += said
    return raw.replace(b"\r\n..", b"\r\n.")


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    try:
        yield server
    finally:
        server.listener.close()
        server.hang_up()
