"""What every batch is worked on under."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python's cycle collector rest: a batch makes hundreds of thousands of objects and hardly a cycle, and would be walked again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
