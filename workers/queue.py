"""Celery as a hint: "there is something to do", never what to do. The rows are the truth; the clock finds what a lost hint misses."""

from __future__ import annotations

import time
from typing import Literal

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from crm.core.config import Config

Name = Literal["drain", "wake", "deliver", "erase", "import", "compute", "segments", "join", "sales", "call", "waves", "backtest", "score"]
NAMES: tuple[Name, ...] = ("drain", "wake", "deliver", "erase", "import", "compute", "segments", "join", "sales", "call", "waves", "backtest", "score")
PENDING_MS = 2000  # a hint that no worker took by then is sent again by whoever has one
REST_S = 1.0  # after the broker failed, leave it alone this long: a web thread must not wait for it again and again

log = structlog.get_logger()
app = Celery("kesher")
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    task_routes={"kesher.score": {"queue": "scores"}},  # for the process that alone loads what training needs
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 60,  # more than the longest task; a task takes about a second
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,  # kombu's own 10 would make it 100 s
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
    },
)


class Hints:
    """Sends hints of one process. A hint that is already on its way is not sent again."""

    def __init__(self, config: Config) -> None:
        connect(config)
        self._valkey = redis.Redis.from_url(config.redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._resting_until = 0.0

    def hint(self, name: Name) -> bool:
        """Tell the workers; True when a task was sent. A broker that is down is logged, never raised."""
        if time.monotonic() < self._resting_until:
            return False
        try:
            if not self._valkey.set(f"kesher:hint:{name}", 1, nx=True, px=PENDING_MS):
                return False
            app.send_task(f"kesher.{name}")
        except (redis.RedisError, OperationalError, OSError) as error:
            self._resting_until = time.monotonic() + REST_S
            log.warning("hint_not_sent", hint=name, error=str(error))
            return False
        return True

    def taken(self, name: Name) -> None:
        """A worker begins: what is committed from here on needs a hint of its own."""
        try:
            self._valkey.delete(f"kesher:hint:{name}")
        except redis.RedisError as error:
            log.warning("hint_not_cleared", hint=name, error=str(error))


def connect(config: Config) -> None:
    """Point this process's Celery at the broker; once, since Celery keeps the connections of its first."""
    app.conf.broker_url = broker_url(config.redis_url)


def broker_url(url: str) -> str:
    """kombu has its own way to write a socket's address."""
    scheme, _, rest = url.partition("://")
    if scheme != "unix":
        return url
    path, _, query = rest.partition("?")
    database = next((value for key, _, value in (part.partition("=") for part in query.split("&")) if key == "db"), "0")
    return f"redis+socket://{path}?virtual_host={database}"
