"""A webhook is not called behind a certificate that cannot be trusted: the call says why, waits, and is made once it is mended."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from tests.journeys.standin import WebServer
from tests.journeys.test_webhook import begin, call, calls, drain, ended, minutes

DAY = dt.timedelta(days=1)
WRONG = {
    "self_signed": "the certificate of localhost cannot be trusted: self-signed certificate",
    "other_host": "the certificate of localhost cannot be trusted: Hostname mismatch, certificate is not valid for 'localhost'",
    "expired": "the certificate of localhost cannot be trusted: certificate has expired",
}


def certificate(name: str, until: dt.datetime, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None) -> tuple[bytes, x509.Certificate]:
    """A certificate with its key, as a server reads them; signed by itself where nobody else is named."""
    key = ec.generate_private_key(ec.SECP256R1()) if by or name == "localhost" else CA_KEY
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(by[0].subject if by else subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(until - 100 * DAY).not_valid_after(until)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=key is CA_KEY, path_length=None), critical=True)
    signed = made.sign(by[1] if by else key, hashes.SHA256())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(serialization.Encoding.PEM) + secret, signed


CA_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """Makes what a server shows; only what our own authority signed is trusted."""
    today = dt.datetime.now(dt.UTC)  # the library that judges certificates looks at the real clock
    _, root = certificate("Kesher tests", today + 50 * DAY)
    (tmp_path / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def shown(kind: str) -> ssl.SSLContext:
        until = today - DAY if kind == "expired" else today + 50 * DAY
        name = "shop.example" if kind == "other_host" else "localhost"
        pem, _ = certificate(name, until, None if kind == "self_signed" else (root, CA_KEY))
        (tmp_path / "server.pem").write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        return context

    return shown


@pytest.fixture
def make(session: Session, server: WebServer, now: dt.datetime) -> sessionmaker[Session]:
    return begin(session, f"https://localhost:{server.url.rpartition(':')[2]}/hooks", now)


def behind(server: WebServer, context: ssl.SSLContext) -> None:
    """Let the server speak TLS from now on."""
    plain = socket.socket(fileno=server.server.socket.detach())
    server.server.socket = context.wrap_socket(plain, server_side=True)


@pytest.mark.parametrize("kind", WRONG)
def test_nothing_is_told_to_a_server_whose_certificate_is_wrong_until_it_is_right(session, make, server, now, show, kind):  # noqa: PLR0917  fixtures
    behind(server, show(kind))
    assert call(make, now) == 1
    assert (server.received, calls(session)) == ([], [("waiting", 1)])
    assert session.scalar(text("SELECT said FROM webhook_calls")).startswith(WRONG[kind])
    behind(server, show("good"))
    assert call(make, now + minutes(1)) == 1
    assert (len(server.received), calls(session)) == (1, [("answered", 2)])


def test_a_certificate_that_stays_wrong_ends_the_call_as_silence_does(session, make, server, now, show):
    behind(server, show("expired"))
    for minute in (0, 1, 5, 20, 40, 59):
        call(make, now + minutes(minute))
    drain(make, now + minutes(59.5))
    assert (server.received, ended(session)) == ([], "sorry")
    assert calls(session) == [("failed", 6)]
    assert "tried 6 times" in session.scalar(text("SELECT said FROM webhook_calls"))
