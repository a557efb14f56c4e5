"""One installation on disk: where its home is, its secret, how its servers are reached by commands beside `kesher up`."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from crm.core import clock
from crm.core.config import Config, from_environment
from crm.core.errors import KesherError
from workers.servers import Postgres, Valkey

RUNNING = "running.json"  # what `kesher up` chose: addresses of web and mail


class HomeBusyError(KesherError):
    """Another process holds this home; the text says what to do."""


def home_of(given: Path | None) -> Path:
    """The folder that `--home`, KESHER_HOME or custom names; made where it is missing."""
    home = (given or Path(os.environ.get("KESHER_HOME") or _usual_home())).expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o755 if os.geteuid() == 0 else 0o700)  # as root PostgreSQL is another user, who must get in
    except OSError as error:
        raise KesherError(f"The home {home} cannot be made ({error.strerror}); choose another with --home.") from error
    return home


def _usual_home() -> str:
    if os.geteuid() == 0:
        return "/var/lib/kesher"
    return os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "kesher")


def secret_of(home: Path) -> str:
    """KESHER_SECRET_KEY, else the home's own, drawn once and readable by its owner only."""
    if given := os.environ.get("KESHER_SECRET_KEY"):
        return given
    file = home / "secret.key"
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(48))
    return file.read_text()


def write_secret(file: Path, text: str) -> None:
    """A file nobody else can read, from its first byte on; it appears whole or not at all."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    part.replace(file)


def config_of(home: Path, postgres: Postgres | None = None, valkey: Valkey | None = None, **chosen: Any) -> Config:
    """The settings of a home: the environment first, then what `kesher up` chose (or `chosen`), then the embedded servers."""
    file = home / RUNNING
    known = {**(json.loads(file.read_text()) if file.exists() else {}), **chosen}
    defaults: dict[str, str] = {
        "DATABASE_URL": "" if os.environ.get("DATABASE_URL") else (postgres or Postgres(home)).url,
        "REDIS_URL": (valkey or Valkey(home)).url,
        "SMTP_URL": known.get("smtp_url", "smtp://127.0.0.1:1025"),
        "KESHER_BASE_URL": known.get("base_url", "http://127.0.0.1:8000"),
        "KESHER_TIME_SCALE": str(known.get("time_scale", 1)),
    }
    given = {key: value for key, value in os.environ.items() if value}
    return from_environment({**defaults, **given, "KESHER_HOME": str(home), "KESHER_SECRET_KEY": secret_of(home)})


def environment_of(config: Config) -> Mapping[str, str]:
    """What a child process needs to read the same settings."""
    ours = {
        "KESHER_HOME": str(config.home),
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "SMTP_URL": config.smtp_url,
        "KESHER_SECRET_KEY": config.secret_key,
        "KESHER_BASE_URL": config.base_url,
        "KESHER_TIME_SCALE": str(config.time_scale),
        "MALLOC_ARENA_MAX": "2",  # threads share heaps: a third less memory
        "PYTHONUNBUFFERED": "1",
    }
    root = Path(__file__).parent.parent
    if (root / "hatch_build.py").exists():  # a checkout: children may be started from any folder
        ours["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **ours}


@contextmanager
def held(home: Path) -> Iterator[IO[str]]:
    """Be the only one that runs servers on this home."""
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise HomeBusyError(f"Kesher already runs on {home} (process {lock.read().strip() or 'unknown'}); stop it, or choose another --home.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def there(given: Path | None) -> bool:
    """Whether there is an installation already: a server that is named, or a home with data. Makes nothing."""
    home = Path(given or os.environ.get("KESHER_HOME") or _usual_home()).expanduser()
    return bool(os.environ.get("DATABASE_URL")) or (home / "postgres").exists()


@contextmanager
def opened(given: Path | None, *, migrated: bool = True) -> Iterator[Config]:
    """The settings of an installation whose PostgreSQL answers: the running one's, or started for this one command."""
    home = home_of(given)
    with ExitStack() as stack:
        postgres = None
        if not os.environ.get("DATABASE_URL"):
            try:
                stack.enter_context(held(home))
            except HomeBusyError:
                pass  # `kesher up` runs there: its servers are ours too
            else:
                postgres = Postgres(home)
                stack.callback(postgres.stop)
                postgres.start()
        config = config_of(home, postgres)
        if migrated:
            prepare_database(config)
        yield config


@contextmanager
def scratch() -> Iterator[Config]:
    """An empty, migrated installation in a folder of its own, gone afterwards; its servers are the embedded ones."""
    home = Path(tempfile.mkdtemp(prefix="kb-"))
    home.chmod(0o755)  # as root PostgreSQL runs as another user, who must reach it
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        postgres, valkey = Postgres(home), Valkey(home)
        for server in (postgres, valkey):
            stack.callback(server.stop)
            server.start()
        config = from_environment({
            "KESHER_HOME": str(home),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SMTP_URL": "smtp://127.0.0.1:1025",
            "KESHER_SECRET_KEY": secrets.token_urlsafe(32),
        })  # fmt: skip
        prepare_database(config)
        yield config


def prepare_database(config: Config) -> None:
    """Migrate, once PostgreSQL answers."""
    from crm.core.db import engine_for  # noqa: PLC0415  the supervisor, which lives as long as the product, stays without SQLAlchemy
    from workers.migrate import migrate  # noqa: PLC0415  as above

    engine = engine_for(config.database_url)
    try:
        migrate(engine, clock.now())
    finally:
        engine.dispose()
