"""The web process and the only composition root: tracking calls to the raw intake, everything else to Flask."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from crm.events.intake import Intake
from crm.web.app import create_app
from journeys.pages import bp as journeys
from workers.process import Tools, end_with_parent, tools

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WORKERS = 2
THREADS = 64  # of one worker: so many requests may wait for a commit at once
WAITING = 512  # requests of one worker; the kernel holds what comes beyond
POOL = 8  # database connections of one web worker's pages (and as many again in a rush); the intake has its own


def build() -> WSGIApplication:
    """The application of one granian worker, from the environment."""
    end_with_parent()
    return application(tools(pool_size=POOL))


def application(ours: Tools) -> WSGIApplication:
    """Flask costs 180 µs a request, so tracking calls never meet it."""
    intake = Intake(ours.config, ours.sessions, on_accepted=lambda: ours.hints.hint("drain"))
    pages = create_app(ours.config, ours.sessions, blueprints=[journeys]).wsgi_app
    health = health_of(ours.sessions)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if path.startswith("/v1/"):
            return intake(environ, start_response)
        if path == "/health":
            return health(environ, start_response)
        return pages(environ, start_response)

    return choose


def health_of(sessions: sessionmaker[Session]) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """200 while the database answers, else 503."""

    def answer(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            with sessions() as session:
                session.execute(text("SELECT 1"))
            status, body = "200 OK", b'{"status": "ok"}'
        except SQLAlchemyError:
            status, body = "503 Service Unavailable", b'{"status": "the database does not answer"}'
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [body]

    return answer


def main() -> None:
    """Serve on the host and port given as words. What is imported here is shared by the workers, which are forked."""
    host, port = sys.argv[1], int(sys.argv[2])
    Granian(
        "workers.web:build",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=WORKERS,
        blocking_threads=THREADS,
        backpressure=WAITING,
        backlog=2048,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
    ).serve()


if __name__ == "__main__":
    main()
