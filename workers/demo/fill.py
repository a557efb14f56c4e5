"""The shop's past: a year through the import door, what people agreed to through the API. A second time adds nothing."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import structlog
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.events.importing import mapping
from workers.demo import year
from workers.demo.catalogue import PRODUCTS
from workers.demo.door import SHOP, Door
from workers.demo.people import KNOWN, Shopper, shoppers
from workers.importing import Job, import_file

REFUSE = 0.07  # of those who once agreed
SAVE_EVERY = 20

log = structlog.get_logger()


@dataclass(slots=True)
class State:
    """Where the filling stands. `anchor`: the first day that is not history."""

    seed: int
    anchor: str
    imported: bool = False
    consents: int = 0  # answers given


def state_of(folder: Path, *, seed: int, today: dt.date) -> State:
    """As an earlier start left it, else the beginning."""
    file = folder / "state.json"
    return State(**json.loads(file.read_text())) if file.exists() else State(seed, today.isoformat())


def save(folder: Path, state: State) -> None:
    """Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "state.part"
    part.write_text(json.dumps(asdict(state)))
    part.replace(folder / "state.json")


def history(sessions: sessionmaker[Session], config: Config, folder: Path, state: State) -> None:
    """Import the year before the anchor; a killed import goes on where it stopped."""
    if state.imported:
        return
    save(folder, state)
    file = folder / "history.jsonl"
    if not file.exists():
        year.write(file, seed=state.seed, anchor=dt.date.fromisoformat(state.anchor), base_url=config.base_url)
    job = Job(file, SHOP, mapping.load("segment"), folder / "rejected.csv")
    found = import_file(sessions, config, job, lambda *_: None)
    log.info("demo_history", **found.tally.as_dict(), new=found.new, seconds=round(found.seconds, 1))
    state.imported = True
    save(folder, state)


def answers(seed: int) -> list[tuple[Shopper, bool]]:
    """Who agreed to offers, and who of them took it back later, in the order they said so."""
    chance = Random(f"answers {seed}")
    agreed = [shopper for shopper in shoppers(seed, len(PRODUCTS))[:KNOWN] if shopper.consents]
    return [(shopper, True) for shopper in agreed] + [(shopper, False) for shopper in agreed if chance.random() < REFUSE]


def consents(door: Door, folder: Path, state: State) -> None:
    """Give the answers that were not given yet."""
    for number, (shopper, granted) in enumerate(answers(state.seed)[state.consents :], state.consents + 1):
        door.consent(shopper.email, language=shopper.language, granted=granted)
        state.consents = number
        if number % SAVE_EVERY == 0:
            save(folder, state)
    save(folder, state)
