"""The list of what an import did not take, as a file a person opens in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crm.core.json import dumps
from crm.events.importing.outcomes import Noted, Outcome, Refused

LEFT_OUT = "value left out"  # the line was taken without it
_RUNS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for a formula


class Rejects:
    """A CSV of line, reason, detail and the line as it was; written anew on every reading, readable to its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Rejects:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)
        self.file = self.path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.writer.writerow(["line", "reason", "detail", "row"])
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def through(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Pass outcomes on, writing down refused lines and values that were left out."""
        for outcome in outcomes:
            if isinstance(outcome, Refused | Noted):
                reason = outcome.reason if isinstance(outcome, Refused) else LEFT_OUT
                detail = f"{outcome.column}: {outcome.detail}" if isinstance(outcome, Noted) else outcome.detail
                self.writer.writerow([outcome.line, reason, harmless(detail), harmless(_row(outcome.raw))])
            yield outcome


def harmless(text: str) -> str:
    """Text that a spreadsheet will not calculate."""
    return f"'{text}" if text.startswith(_RUNS) else text


def _row(raw: Any) -> str:
    return raw if isinstance(raw, str) else dumps(raw)
