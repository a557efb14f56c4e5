"""The web process and the only composition root: tracking calls to the raw intake, everything else to Flask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

import workers.migrate  # every table registers: an export walks them all
import workers.pipeline  # noqa: F401  whoever must hear of joins registers: a page joins and parts people too
from crm.events.intake import Intake
from crm.web.app import create_app
from journeys.api import bp as journeys_api
from journeys.backtest_api import bp as backtests_api
from journeys.pages import bp as journeys_pages
from workers.mailbox_pages import bp as mailbox_pages
from workers.process import Tools, end_with_parent, tools
from workers.queue import NAMES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WORKERS = 2
THREADS = 64  # of one worker: so many requests may wait for a commit at once
WAITING = 512  # requests of one worker; the kernel holds what comes beyond
POOL = 8  # database connections of one web worker's pages (and as many again in a rush); the intake has its own


_built: list[WSGIApplication] = []


def build() -> WSGIApplication:
    """The application of one granian worker: the one `main` made before the fork, which has opened no connection yet."""
    end_with_parent()
    return _built[0] if _built else application(tools(pool_size=POOL))


def application(ours: Tools) -> WSGIApplication:
    """Flask costs 180 µs a request, so tracking calls never meet it."""
    intake = Intake(ours.config, ours.sessions, on_accepted=lambda: ours.hints.hint("drain"))
    ours.sessions.configure(info={"hint": {name: partial(ours.hints.hint, name) for name in NAMES}})  # what a page commits is done at once
    pages = create_app(ours.config, ours.sessions, blueprints=[journeys_pages, journeys_api, backtests_api, mailbox_pages]).wsgi_app
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


def main(host: str, port: str) -> None:
    """Serve there. What is loaded and built here is shared by the workers, which are forked."""
    _built.append(application(tools(pool_size=POOL)))
    Granian(
        "workers.web:build",
        factory=True,
        address=host,
        port=int(port),
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
