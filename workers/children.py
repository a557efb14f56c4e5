"""Our processes: forked from one that has loaded everything, restarted with back-off when they die, stopped in order.

A fork shares what was loaded: five processes then cost little more memory than one, and start in a moment.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from setproctitle import setproctitle

from workers.servers import die_with_parent

STEADY_S = 30.0  # a process that ran this long is forgiven its earlier falls
LONGEST_REST_S = 15.0
LOG_SIZE = 10 << 20  # a larger log is put aside once, at the start
LOADED = (  # what our modules load only once they run, and every process would load again
    "alembic.command",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.worker.consumer",
    "granian.server.mp",
    "kombu.transport.redis",
    "sqlalchemy.dialects.postgresql.psycopg",
)


def preload(names: Sequence[str]) -> None:
    """Load what these processes run, and tell the garbage collector to leave it alone, so that its pages stay shared."""
    for module in (*LOADED, *(f"workers.{name}" for name in names)):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


class Child:
    """One process of ours, running `workers.<name>.main()`; what it writes goes to `<home>/log/<name>.log`.

    Only a process with a single thread may start one.
    """

    def __init__(self, name: str, environment: Mapping[str, str], home: Path, *words: str, once: bool = False) -> None:
        self.name, self._environment, self._words, self._once = name, environment, words, once  # `once`: it may end by itself when it is done
        self.log = home / "log" / f"{name}.log"
        self.pid = 0  # 0 while it does not run
        self.code: int | None = None
        self._falls, self._started, self._due = 0, 0.0, 0.0

    def start(self) -> None:
        """Start it; it ends when we do, however we end, and gets no Ctrl-C from the terminal but ours."""
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_SIZE:
            self.log.replace(self.log.with_suffix(".old"))
        sys.stdout.flush()
        sys.stderr.flush()
        self._started, self.code, parent = time.monotonic(), None, os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(parent)

    def _become(self, parent: int) -> None:
        """In the child. It never returns: the parent's open contexts are not ours to close."""
        code = 1
        try:
            self._detach(parent)
            importlib.import_module(f"workers.{self.name}").main(*self._words)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001  a process that fell says why, and is started again
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _detach(self, parent: int) -> None:
        os.setsid()
        die_with_parent()
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sign, signal.default_int_handler if sign == signal.SIGINT else signal.SIG_DFL)
        if os.getppid() != parent:
            os._exit(1)
        out, nothing = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), os.open(os.devnull, os.O_RDONLY)
        for here, there in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(here, there)
        setproctitle(f"kesher: {self.name}")
        os.environ.clear()
        os.environ.update(self._environment)

    def poll(self) -> int | None:
        """None while it runs, else how it ended, as `subprocess` says it."""
        if self.pid:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.pid, self.code = 0, os.waitstatus_to_exitcode(status)
        return self.code

    def look_after(self) -> str | None:
        """Start it again if it fell and its rest is over; returns a sentence to show where something happened."""
        if (code := self.poll()) is None or (code == 0 and self._once):
            return None
        now = time.monotonic()
        if self._due == 0.0:
            self._falls = 0 if now - self._started > STEADY_S else self._falls + 1
            rest = min(LONGEST_REST_S, 0.5 * 2 ** (self._falls - 1)) if self._falls else 0.0
            self._due = now + rest
            return f"{self.name} stopped ({_how(code)}); it starts again{f' in {rest:.0f} s' if rest >= 1 else ''}; see {self.log}"
        if now >= self._due:
            self._due = 0.0
            self.start()
        return None

    def stop(self, patience: float = 20.0) -> None:
        """Ask it to end, insist after `patience` seconds."""
        self.wait(patience, ask=True)

    def wait(self, patience: float, *, ask: bool = False) -> int | None:
        """How it ended; None where nothing was started. Past `patience` seconds it is killed."""
        if not self.pid:
            return self.code
        if ask:
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self.poll() is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
        return self.code


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
