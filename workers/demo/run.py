"""The demo from its beginning: wait for the web process, import the year, then visitors and consents side by side."""

from __future__ import annotations

import threading
import time
import urllib.request
from datetime import date, datetime
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.errors import KesherError
from journeys import files
from journeys.publish import publish
from workers.demo import enquiries, fill
from workers.demo.door import Door, secrets_of
from workers.demo.live import Player
from workers.demo.shelves import Shelves
from workers.demo.year import ZONE
from workers.process import Tools, tools

SEED = 1
BACK = "back_in_stock"
PATIENCE_S = 120.0

log = structlog.get_logger()


def main() -> None:
    """As `kesher up --demo` starts it."""
    run(tools())


def run(ours: Tools, *, seed: int = SEED, seconds: float | None = None) -> None:
    """Fill what is not filled yet and play for so many seconds, or for ever."""
    wait_for_web(ours.config.base_url)
    folder = ours.config.home / "demo"
    folder.mkdir(exist_ok=True)
    state = fill.state_of(folder, seed=seed, today=_today())
    door = Door(ours.config.base_url, secrets_of(ours.config, ours.sessions))
    fill.history(ours.sessions, ours.config, folder, state)
    threading.Thread(target=_consents, args=(door, folder, state), name="consents", daemon=True).start()
    shelves = Shelves(door, state.seed, date.fromisoformat(state.anchor))
    shelves.open(clock.now())
    door.batch(list(enquiries.calls(state.seed, clock.now())), server=True, sent_at=clock.now().isoformat())
    with ours.sessions() as session:
        begin(session, clock.now())
        session.commit()
    Player(door, state.seed, clock.now, shelves=shelves).play(seconds)


def begin(session: Session, now: datetime) -> None:
    """The shop's own journey for what is back on the shelf, unless somebody has one by that name."""
    if not session.scalar(text("SELECT EXISTS (SELECT FROM journeys WHERE slug = :slug)"), {"slug": BACK}):
        publish(session, BACK, files.recipes()[BACK], now=now, by="demo")


def _consents(door: Door, folder: Path, state: fill.State) -> None:
    before = state.consents
    fill.consents(door, folder, state)
    log.info("demo_consents", given=state.consents - before)


def _today() -> date:
    return clock.now().astimezone(ZONE).date()


def wait_for_web(base_url: str, patience: float = PATIENCE_S) -> None:
    """Until the pages answer; a sentence where they do not."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"{base_url}/health", timeout=5):  # noqa: S310  our own address
                return
        except OSError:
            if time.monotonic() > deadline:
                raise KesherError(f"Nothing answers at {base_url}. Start the product first: kesher up.") from None
            time.sleep(0.3)
