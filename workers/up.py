"""`kesher up`: the embedded servers and our own processes, started in order, looked after, stopped in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from crm.core.config import Config
from crm.core.errors import KesherError
from workers.children import Child, preload
from workers.install import RUNNING, config_of, environment_of, held
from workers.servers import Postgres, ServerError, Valkey, die_with_parent

FIRST_LOGIN = "first-login"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ORDER = ("web", "clock", "tasks", "scoring", "mailbox")  # of stopping: first nothing new comes in, then nothing new begins
DEMO = "demo.run"
PATIENCE_S = 60.0
PREPARE_S = 3600.0  # a migration of much data takes its time


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for. Port 0 takes a free one."""

    host: str
    port: int
    time_scale: float
    demo: bool


def up(home: Path, wish: Wish) -> int:
    """Run the product on this home until Ctrl-C or SIGTERM; returns the exit code."""
    _check(wish)
    stopping = _stop_on_signals()
    with held(home), ExitStack() as stack:
        port = free_port(wish.host, wish.port)
        servers = _servers(home)
        for server in servers:
            stack.callback(server.stop)
            server.start()
        mail = stack.enter_context(_mailbox_socket(home))
        config = _settle(home, wish, port, mail, servers)
        stack.callback((home / RUNNING).unlink, missing_ok=True)
        if os.environ.get("DATABASE_URL"):
            _wait_for_database(config.database_url)
        children = _children(config, wish, port, mail)
        preload(["prepare", *(child.name for child in children)])
        _prepare(config)
        _begin(children, stack)
        _look_after(servers, children, stopping, until_healthy=f"http://{_reach(wish.host)}:{port}/health")
        if not stopping:
            _greet(config)
            _look_after(servers, children, stopping)
        print("Stopping …", flush=True)
    return 0


def _check(wish: Wish) -> None:
    smtp = os.environ.get("SMTP_URL", "")
    if wish.time_scale <= 0:
        raise KesherError("--time-scale is a number above 0; 60 makes an hour a minute.")
    if wish.time_scale != 1 and smtp and urlsplit(smtp).hostname not in LOOPBACK:
        raise KesherError("--time-scale is for demonstrations: with SMTP_URL set to a real mail server it is refused. Unset SMTP_URL to use the local mailbox.")


def free_port(host: str, wanted: int) -> int:
    """The port to listen on; a sentence where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            raise KesherError(f"Nothing can listen on {host} port {wanted} ({error.strerror}); choose another with --port.") from error
        return int(probe.getsockname()[1])


def _servers(home: Path) -> list[Postgres | Valkey]:
    wanted: list[Postgres | Valkey] = []
    if not os.environ.get("DATABASE_URL"):
        wanted.append(Postgres(home))
    if not os.environ.get("REDIS_URL"):
        wanted.append(Valkey(home))
    return wanted


def _settle(home: Path, wish: Wish, port: int, mail: socket.socket, servers: Sequence[Postgres | Valkey]) -> Config:
    """Fix the addresses of this start and note them for the other commands."""
    chosen = {"base_url": f"http://{_reach(wish.host)}:{port}", "time_scale": wish.time_scale, "smtp_url": f"smtp://127.0.0.1:{mail.getsockname()[1]}"}
    postgres = next((one for one in servers if isinstance(one, Postgres)), None)
    valkey = next((one for one in servers if isinstance(one, Valkey)), None)
    config = config_of(home, postgres, valkey, **chosen)
    (home / RUNNING).write_text(json.dumps(chosen))
    return config


def _mailbox_socket(home: Path) -> socket.socket:
    """The mailbox listens from now on, on the same port from start to start where nobody else has it.

    It is ours, so that mail which comes while the mailbox restarts waits instead of failing.
    """
    file = home / "mailbox.port"
    for port in (int(file.read_text()) if file.exists() else 1025, 0):
        try:
            listening = socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
        file.write_text(str(listening.getsockname()[1]))
        return listening
    raise KesherError("The mailbox finds no free port on 127.0.0.1.")


def _reach(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  only read, to find ourselves


def _wait_for_database(url: str) -> None:
    import psycopg  # noqa: PLC0415  the embedded server's own start loads it only when it is needed

    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise KesherError(f"DATABASE_URL does not answer: {error}") from error


def _prepare(config: Config) -> None:
    """In a process of its own: this one never opens a connection its children would share."""
    preparing = Child("prepare", environment_of(config), config.home)
    preparing.start()
    if preparing.wait(PREPARE_S):
        raise KesherError(f"The database could not be prepared; see {preparing.log}:\n{preparing.log.read_text()[-2000:]}")


def _begin(children: Sequence[Child], stack: ExitStack) -> None:
    """Start in order; leaving `stack` stops in the same order."""
    for child in reversed(children):
        stack.callback(child.stop)
    for child in children:
        child.start()


def _children(config: Config, wish: Wish, port: int, mail: socket.socket) -> list[Child]:
    environment = environment_of(config)
    left_out = {"mailbox"} if os.environ.get("SMTP_URL") else set()
    names = [*([DEMO] if wish.demo else []), *(name for name in ORDER if name not in left_out)]
    words = {"web": (wish.host, str(port)), "mailbox": (str(mail.fileno()),)}
    return [Child(name, environment, config.home, *words.get(name, ()), once=name == DEMO) for name in names]


def _stop_on_signals() -> list[int]:
    """A list that fills when somebody asks us to stop."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, note)
    return asked


def _look_after(servers: Sequence[Postgres | Valkey], children: Sequence[Child], stopping: list[int], *, until_healthy: str = "") -> None:
    """Restart what falls, until asked to stop or until that address answers."""
    deadline = time.monotonic() + PATIENCE_S
    while not stopping:
        for server in servers:
            _revive(server)
        for child in children:
            if said := child.look_after():
                print(said, file=sys.stderr, flush=True)
        if until_healthy and is_healthy(until_healthy):
            return
        if until_healthy and time.monotonic() > deadline:
            raise KesherError(f"The web process did not answer within {PATIENCE_S:.0f} s; see {children[0].log}")
        time.sleep(0.05 if until_healthy else 0.2)


def _revive(server: Postgres | Valkey) -> None:
    if server.process is None or server.process.poll() is None:
        return
    name = type(server).__name__
    print(f"{name} stopped (exit code {server.process.returncode}); it starts again", file=sys.stderr, flush=True)
    try:
        server.start()
    except ServerError as error:
        print(str(error), file=sys.stderr, flush=True)
        time.sleep(1)


def is_healthy(address: str) -> bool:
    """Whether the product answers there."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310  our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _greet(config: Config) -> None:
    print(f"Kesher is ready: {config.base_url}", flush=True)
    if config.smtp_url.startswith("smtp://127.0.0.1") and not os.environ.get("SMTP_URL"):
        print(f"Mail is kept, not sent: {config.base_url}/mailbox", flush=True)
    login = config.home / FIRST_LOGIN
    if login.exists():
        email, password = login.read_text().split()
        login.unlink()
        print(f"First login: {email}  password: {password}  (shown only now)", flush=True)


@contextmanager
def running(config: Config, names: Sequence[str], *, port: int = 0, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """These processes (`web`, `clock`, `tasks`, `mailbox`) on settings whose servers run already; gives the web's address.

    For benches and tests, which may have threads: a process in between forks them. `settings` are more environment variables.
    """
    chosen = free_port("127.0.0.1", port)
    command = [sys.executable, "-m", "workers.up", str(config.home), str(chosen), *names]
    family = subprocess.Popen(command, env={**environment_of(config), **(settings or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        if family.stdout is None or not family.stdout.readline():
            raise KesherError(f"The processes {', '.join(names)} did not start; see {config.home / 'log'}")
        yield f"http://127.0.0.1:{chosen}"
    finally:
        family.terminate()
        family.wait(60)


def main() -> int:
    """`python -m workers.up HOME PORT NAME…`: these processes alone, with the settings of the environment; says `ready`."""
    home, port, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    stopping = _stop_on_signals()
    die_with_parent()
    preload(names)
    children = [Child(name, os.environ.copy(), home, *(("127.0.0.1", port) if name == "web" else ())) for name in ORDER if name in names]
    with ExitStack() as stack:
        _begin(children, stack)
        if "web" in names:
            _look_after([], children, stopping, until_healthy=f"http://127.0.0.1:{port}/health")
        print("ready", flush=True)
        _look_after([], children, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
