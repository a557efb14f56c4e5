"""The door: a raw WSGI callable that takes tracking calls and answers 200 only once they are on disk."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.core.errors import ForbiddenError, InvalidError, KesherError, NotFoundError, TooLargeError, UnauthorizedError
from crm.events.batcher import Batcher, UnavailableError, escaped
from crm.events.keys import Door, KeyRing
from crm.events.models import LIVE
from crm.events.pressure import LEAST_DISK, MOST_WAITING, Pressure
from crm.events.source import Held, Parsed, Row
from crm.events.sources import segment
from crm.events.spec import MAX_BATCH

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

OK = b'{"success": true}'
GZIP = b"\x1f\x8b"
DRAINED, PIECE = 4 * MAX_BATCH, 64 * 1024  # bytes
RETRY_AFTER = "5"  # seconds
STATUS = {
    400: "400 Bad Request", 401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found", 405: "405 Method Not Allowed",
    413: "413 Content Too Large", 503: "503 Service Unavailable",
}  # fmt: skip
ENDPOINTS = {f"/v1/{name}": kind for name, kind in segment.ENDPOINTS.items()}
_NULL = b"\\N"

log = structlog.get_logger()


class WrongMethodError(KesherError):
    """This address takes POST."""

    status = 405


class Intake:
    """Segment's HTTP tracking API under `/v1/`. `on_accepted` is called soon after commits, at most every 50 ms, from a side thread."""

    def __init__(
        self,
        config: Config,
        session_factory: sessionmaker[Session],
        *,
        on_accepted: Callable[[], object] | None = None,
        most_waiting: int = MOST_WAITING,
        least_disk: float = LEAST_DISK,
    ) -> None:
        self._keys = KeyRing(session_factory)
        self._pressure = Pressure(config.home, session_factory, most_waiting=most_waiting, least_disk=least_disk)
        self._batcher = Batcher(config.database_url, session_factory, on_accepted)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; whatever it holds, never with a 5xx but 503."""
        origin = environ.get("HTTP_ORIGIN", "")
        if environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("204 No Content", [*_cors(origin), *_PREFLIGHT])
            return [b""]
        try:
            self._take(environ, origin)
        except KesherError as error:
            _drain(environ)
            return _refuse(start_response, error, origin)
        except SQLAlchemyError as error:
            log.warning("intake_database_failed", error=str(error))
            return _refuse(start_response, UnavailableError("The database does not answer; send the call again."), origin)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(OK))), *(_cors(origin) if origin else ())])
        return [OK]

    def _take(self, environ: WSGIEnvironment, origin: str) -> None:
        kind = ENDPOINTS.get(environ["PATH_INFO"].rstrip("/"))
        if kind is None:
            raise NotFoundError(f"No such address; POST to one of {', '.join(sorted(ENDPOINTS))}.")
        if environ["REQUEST_METHOD"] != "POST":
            raise WrongMethodError("This address takes POST.")
        if refusal := self._pressure.refusal():
            raise UnavailableError(refusal)
        in_header = basic_key(environ.get("HTTP_AUTHORIZATION", ""))
        door = self._door(in_header, origin) if in_header else None
        opened = segment.open_body(kind, read_body(environ, segment.limit(kind)))
        if door is None:
            door = self._door(opened.content.write_key or "", origin)
        self._keep(door, segment.parse(opened, door.digest))

    def _door(self, key: str, origin: str) -> Door:
        door = self._keys.find(key)
        if door is None:
            raise UnauthorizedError("The write key is missing or unknown; send it by Basic authentication or as `writeKey`.")
        if origin and door.allowed_origins and origin.lower() not in door.allowed_origins:
            raise ForbiddenError(f"The source does not take calls from {origin[:200]}; add it to the source's allowed origins.")
        return door

    def _keep(self, door: Door, parsed: Parsed) -> None:
        received = dt.datetime.now(dt.UTC).isoformat().encode()
        stem = b"%b\t%d\t%b\t%b\t" % (received, door.source_id, b"t" if door.trusted else b"f", LIVE.encode())
        if parsed.rows or parsed.held:
            self._batcher.submit(_lines(stem, parsed.rows), _held_lines(stem, parsed.held))


def read_body(environ: WSGIEnvironment, limit: int) -> bytes:
    """The request's body, unpacked where it is gzip, never holding more than `limit` bytes of it; TooLargeError beyond."""
    said = environ.get("CONTENT_LENGTH") or ""
    if said.isdecimal() and int(said[:20]) > limit:
        raise _too_large(limit)
    body = _read(environ, limit + 1)
    if body.startswith(GZIP):  # JSON never starts so, and some clients forget to say it
        body = _gunzip(body, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _read(environ: WSGIEnvironment, most: int) -> bytes:
    """A chunked body comes in pieces of any size."""
    stream = environ["wsgi.input"]
    body: bytes = stream.read(most)
    while len(body) < most and (piece := stream.read(most - len(body))):
        body += piece
    return body


def _drain(environ: WSGIEnvironment) -> None:
    """Read what is left of a refused body: a caller still sending would meet a closed connection instead of the answer."""
    left = DRAINED
    while left > 0 and (piece := environ["wsgi.input"].read(PIECE)):
        left -= len(piece)


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Unpacks at most one byte more than the limit, so that a bomb costs nothing."""
    unpacker = zlib.decompressobj(31)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InvalidError(f"The body is not valid gzip: {error}.") from error
    if len(body) <= limit and not unpacker.eof:
        raise InvalidError("The gzip body ends too early.")
    return body


def basic_key(authorization: str) -> str:
    """The write key in a Basic `Authorization` header (the name; the password is empty); "" where there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def _lines(stem: bytes, rows: Iterable[Row]) -> bytes:
    return b"".join([b"%b%d\t%b\t%b\n" % (stem, row.lane, _time(row.sent_at), escaped(row.body)) for row in rows])


def _held_lines(stem: bytes, held: Iterable[Held]) -> bytes:
    return b"".join([b"%b%b\t%b\t%b\t%b\n" % (stem, _time(one.sent_at), one.reason.encode(), escaped(one.detail.encode()), escaped(one.body)) for one in held])


def _time(moment: dt.datetime | None) -> bytes:
    return _NULL if moment is None else moment.isoformat().encode()


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than {limit} bytes.")


def _refuse(start_response: StartResponse, error: KesherError, origin: str) -> list[bytes]:
    body = orjson.dumps({"success": False, "error": str(error)})
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *_cors(origin)]
    if isinstance(error, UnavailableError):
        headers.append(("Retry-After", RETRY_AFTER))
    if isinstance(error, WrongMethodError):
        headers.append(("Allow", "POST, OPTIONS"))
    start_response(STATUS[error.status], headers)
    return [body]


_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding"),
    ("Access-Control-Max-Age", "86400"),
]


def _cors(origin: str) -> list[tuple[str, str]]:
    """A page of any origin may call; which ones a source takes is checked with its key, which a preflight does not carry."""
    if not origin:
        return []
    return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"), ("Vary", "Origin")]
