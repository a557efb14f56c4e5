"""One HTTP call to the world outside: bounded in time and size, to the address that was checked and no other. No redirect is followed."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

MAX_ANSWER = 16 * 1024  # bytes of an answer that are read
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotAllowedError(Exception):
    """This address may not be called: its name is wrong, or it lies in our own network."""


class NoAnswerError(Exception):
    """Out of reach, too slow, or not HTTP; calling again may help."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; `text` is at most MAX_ANSWER bytes of it, `whole` says whether that is all."""

    status: int
    headers: Mapping[str, str]
    text: bytes
    whole: bool

    def wait(self, now: dt.datetime) -> dt.timedelta | None:
        """How long we were asked to wait (RFC 9110, 10.2.3: seconds or a date), at most a day."""
        said = self.headers.get("retry-after", "").strip()
        try:
            if said.isascii() and said.isdigit():
                return dt.timedelta(seconds=min(int(said), 86_400))
            return min(max(parsedate_to_datetime(said) - now, dt.timedelta(0)), dt.timedelta(days=1)) if said else None
        except (ValueError, TypeError, OverflowError):  # int() reads so many digits and no more
            return None


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, private: bool) -> Reply:
    """POST and read the answer. Raises NotAllowedError before anything is sent, NoAnswerError where no whole answer came in time."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotAllowedError(f"this is no address: {error}") from error
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise NotAllowedError("the address must begin with http:// or https://, and name no user")
    connection = _Pinned(host, port or (443 if parts.scheme == "https" else 80), _resolve(host, private=private), timeout_s, parts.scheme == "https")
    watch = threading.Timer(timeout_s, connection.cut)  # a server that sends a byte a second never trips a socket's own time-out
    watch.daemon = True
    watch.start()
    try:
        target = parts.path or "/"
        connection.request("POST", f"{target}?{parts.query}" if parts.query else target, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read(MAX_ANSWER + 1)
        if connection.was_cut:
            raise NoAnswerError(f"no whole answer within {timeout_s:g} seconds")
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text[:MAX_ANSWER], len(text) <= MAX_ANSWER)
    except ssl.SSLCertVerificationError as error:
        raise NoAnswerError(f"the certificate of {host} cannot be trusted: {error.verify_message.rstrip('.')}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        said = f"no answer within {timeout_s:g} seconds" if connection.was_cut or isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        raise NoAnswerError(said) from error
    finally:
        watch.cancel()
        connection.close()


def forbidden(host: str) -> bool:
    """Whether a name is known and leads into our own network; of one that is not known yet nothing is said."""
    try:
        _resolve(host, private=False)
    except NotAllowedError:
        return True
    except NoAnswerError:
        return False
    return False


def is_public(address: Address) -> bool:
    """Whether it is an address of the open Internet, also where an IPv6 address wraps an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _resolve(host: str, *, private: bool) -> str:
    """The address that will be called. Every address of the name must be allowed: which one is taken is the resolver's whim."""
    try:
        found = [ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise NoAnswerError(f"{host} is not known: {error}") from error
    if not private and not all(is_public(address) for address in found):
        raise NotAllowedError(f"{host} lies in our own network; an administrator may allow that in the endpoint's settings")
    return str(found[0])


class _Pinned(http.client.HTTPConnection):
    """A connection to an address already checked, so that no second look-up can lead elsewhere; TLS still asks for the name."""

    def __init__(self, host: str, port: int, address: str, timeout_s: float, tls: bool) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._address, self._tls = address, tls
        self._line: socket.socket | None = None  # ours to cut: the connection forgets it once an answer has begun
        self.was_cut = False

    def connect(self) -> None:
        """To the address; with TLS for the name."""
        self.sock = self._line = socket.create_connection((self._address, self.port), self.timeout)
        if self._tls:
            wrapped = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self._line = wrapped
            wrapped.do_handshake()

    def cut(self) -> None:
        """End it from another thread."""
        self.was_cut = True
        try:
            if self._line is not None:
                self._line.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
