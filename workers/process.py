"""What every process of ours does first."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from crm.core import log
from crm.core.config import Config, from_environment
from crm.core.db import engine_for, sessions
from workers.queue import Hints


@dataclass(frozen=True, slots=True)
class Tools:
    """What one process works with; made after a fork, so that no connection is shared."""

    config: Config
    engine: Engine
    sessions: sessionmaker[Session]
    hints: Hints


def tools(config: Config | None = None, *, pool_size: int = 2) -> Tools:
    """Read the settings (from the environment where none are given) and open what is needed."""
    log.configure()
    known = config or from_environment()
    engine = engine_for(known.database_url, pool_size=pool_size)
    return Tools(known, engine, sessions(engine), Hints(known))


def end_with_parent(parent: int | None = None) -> None:
    """Ask Linux to kill this process when its parent dies, however it dies; `parent` is who it was at birth."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        sys.exit("the parent process is gone")
