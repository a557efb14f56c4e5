"""The processes `kesher up` looks after: started, restarted with back-off when they die, stopped in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from workers.servers import die_with_parent

STEADY_S = 30.0  # a process that ran this long is forgiven its earlier falls
LONGEST_REST_S = 15.0
LOG_SIZE = 10 << 20  # a larger log is put aside once, at the start


class Child:
    """One process of ours, run as a module; what it writes goes to `<home>/log/<name>.log`."""

    def __init__(self, name: str, environment: Mapping[str, str], home: Path, *words: str) -> None:
        self.name, self._environment = name, environment
        self._command = [sys.executable, "-m", f"workers.{name}", *words]
        self.log = home / "log" / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._falls, self._started, self._due = 0, 0.0, 0.0

    def start(self) -> None:
        """Start it; it is interrupted when we die, and gets no Ctrl-C from the terminal but ours."""
        self.log.parent.mkdir(exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_SIZE:
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self._command, env=dict(self._environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  the child execs at once; only the main thread starts processes
            )  # fmt: skip
        self._started = time.monotonic()

    def look_after(self) -> str | None:
        """Start it again if it fell and its rest is over; returns a sentence to show where something happened."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        now = time.monotonic()
        if self._due == 0.0:
            self._falls = 0 if now - self._started > STEADY_S else self._falls + 1
            rest = min(LONGEST_REST_S, 0.5 * 2 ** max(0, self._falls - 1)) if self._falls else 0.0
            self._due = now + rest
            return f"{self.name} stopped ({_how(code)}); it starts again{f' in {rest:.0f} s' if rest >= 1 else ''}; see {self.log}"
        if now >= self._due:
            self._due = 0.0
            self.start()
        return None

    def stop(self, patience: float = 20.0) -> None:
        """Ask it to end, insist after `patience` seconds."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
