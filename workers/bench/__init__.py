"""Measurements: one file per `kesher bench NAME`, each exposing `run(config, quick) -> list[Measure]`.

The command gives it the `Config` of an empty, migrated installation made for the measurement (its own PostgreSQL and Valkey, nothing else
started) and takes it down afterwards. What else a bench needs it starts itself: `workers.up.running(config, ("web", "tasks"), port=…)`.
`quick` asks for smaller data and under a minute.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure, beside the floor measured in the same run (the same work with nothing of ours around it), where there is one.

    `ratio` is value / floor; `at` when it was measured.
    """

    measure: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    at: dt.datetime


def begin(part: str) -> None:
    """Say what goes on in a bench of minutes, beside its figures."""
    print(f"{time.strftime('%H:%M:%S')} {part} …", file=sys.stderr, flush=True)
