"""`kesher up` as a person meets it: an empty home, a second start, falls, the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SETTINGS = ("DATABASE_URL", "REDIS_URL", "SMTP_URL", "KESHER_HOME", "KESHER_SECRET_KEY", "KESHER_BASE_URL", "KESHER_TIME_SCALE")
STATIONS = ("web", "clock", "tasks", "scoring", "mailbox")


class Up:
    """One `kesher up` and what it printed."""

    def __init__(self, process: subprocess.Popen[bytes], printed: Path) -> None:
        self.process, self._printed = process, printed

    @property
    def printed(self) -> str:
        return self._printed.read_text()

    @property
    def address(self) -> str:
        return re.search(r"Kesher is ready: (\S+)", self.printed)[1]

    def ready(self) -> bool:
        return "Kesher is ready" in self.printed or self.process.poll() is not None

    def child(self, station: str) -> int:
        """The process of one station, by the home it writes to and its name."""
        titles = {"web": "granian", "tasks": "celeryd: celery@", "scoring": "celeryd: scoring@", "clock": "kesher: clock", "mailbox": "kesher: mailbox"}
        found = [pid for pid in children_of(self.process.pid) if titles[station] in title(pid) or title(pid) == f"kesher: {station}"]
        return found[0] if found else 0


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def children_of(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent(int(entry.name)) == pid]


def family_of(pid: int) -> set[int]:
    found = {pid}
    for child in children_of(pid):
        found |= family_of(child)
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: set[int]) -> bool:
    return not any(map(runs, pids))


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=20) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextmanager
def up(home: Path, *words: str, settings: dict[str, str] | None = None) -> Iterator[Up]:
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    printed = home.with_suffix(f".{time.monotonic_ns()}")
    command = [sys.executable, "-m", "workers.manage", "up", "--home", str(home), "--port", "0", *words]
    with printed.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env={**environment, **(settings or {})}, stdout=out, stderr=out, start_new_session=True)
    made = Up(process, printed)
    try:
        until(made.ready)
        yield made
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
        printed.unlink()


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kt-"))
    folder.chmod(0o755)
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


def run(*words: str, settings: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS} | (settings or {})
    return subprocess.run(
        [sys.executable, "-m", "workers.manage", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_an_empty_home_becomes_a_running_product_that_ends_cleanly_and_starts_again(place):
    with up(place) as first:
        assert healthy(first.address), first.printed
        login = re.search(r"First login: (\S+)  password: (\S+)", first.printed)
        assert login and len(login[2]) >= 12
        assert oct((place / "secret.key").stat().st_mode & 0o777) == "0o600"
        family = family_of(first.process.pid)
        assert len(family) > 8
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(PATIENCE) == 0
        assert until(lambda: gone(family))
        assert not (place / "running.json").exists()
    made = (place / "postgres" / "PG_VERSION").stat().st_mtime_ns
    with up(place) as second:
        assert healthy(second.address)
        assert "First login" not in second.printed
        assert made == (place / "postgres" / "PG_VERSION").stat().st_mtime_ns, "what took long the first time is not done again"


def test_whatever_is_killed_comes_back_and_nothing_is_orphaned(place):
    with up(place) as running:
        address = running.address
        for station in STATIONS:
            assert until(lambda station=station: running.child(station)), running.printed  # Celery takes its name a while after it started
            old = running.child(station)
            os.kill(old, signal.SIGKILL)
            assert until(lambda station=station, old=old: running.child(station) not in (0, old)), running.printed
            assert until(lambda station=station: f"{station} stopped (killed by SIGKILL); it starts again" in running.printed), running.printed
        assert until(lambda: healthy(address)), running.printed
        for worker in children_of(running.child("web")):
            os.kill(worker, signal.SIGKILL)
        assert until(lambda: healthy(address)), running.printed
        postgres = next(pid for pid in children_of(running.process.pid) if "postgres" in title(pid))
        os.kill(postgres, signal.SIGKILL)
        assert until(lambda: "Postgres stopped" in running.printed and healthy(address)), running.printed
        family = family_of(running.process.pid)
        running.process.kill()
        running.process.wait()
        assert until(lambda: gone(family - {running.process.pid})), [title(pid) for pid in family]


def test_commands_work_beside_the_running_product_and_without_it(place):
    with up(place, "--time-scale", "60") as running:
        assert json.loads((place / "running.json").read_text())["time_scale"] == 60
        key = run("key", "create", "--source", "shop", "--home", str(place))
        assert key.returncode == 0, key.stderr
        call = urllib.request.Request(
            f"{running.address}/v1/track",
            data=json.dumps({"writeKey": key.stdout.strip(), "anonymousId": "a", "event": "Seen"}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(call, timeout=PATIENCE) as answer:
            assert answer.status == 200
        again = run("up", "--home", str(place), "--port", "0")
        assert again.returncode == 1
        assert "already runs on" in again.stderr
        assert until(lambda: all(map(run("doctor", "--home", str(place)).stdout.__contains__, ("one leads", "inbox: nothing waits"))))
    token = run("token", "create", "--role", "viewer", "--home", str(place))
    assert token.stdout.startswith("kt_"), token.stderr
    user = run("user", "create", "--email", "noa@example.com", "--role", "marketer", "--home", str(place))
    assert "noa@example.com may sign in as marketer" in user.stdout, user.stderr
    alone = run("doctor", "--home", str(place))
    assert "Valkey: it does not answer" in alone.stdout


def test_a_port_that_is_taken_is_a_sentence(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = run("up", "--home", str(place), "--port", str(taken.getsockname()[1]))
    assert said.returncode == 1
    assert "choose another with --port" in said.stderr
    assert "Traceback" not in said.stderr


def test_time_never_runs_faster_where_real_mail_could_go_out(place):
    said = run("up", "--home", str(place), "--port", "0", "--time-scale", "60", settings={"SMTP_URL": "smtp://mail.example.com"})
    assert said.returncode == 1
    assert "refused" in said.stderr
