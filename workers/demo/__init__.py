"""An invented Israeli gift shop: a year of its history and today's visitors, through the same doors as the world."""

from __future__ import annotations

from workers.demo.run import main

__all__ = ["main"]
