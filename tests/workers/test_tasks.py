"""What the worker processes do when they are told that there is work."""

from __future__ import annotations

import workers.scoring
import workers.tasks  # noqa: F401  their tasks register
from workers.queue import NAMES, app


def test_every_hint_is_one_that_a_worker_follows() -> None:
    app.finalize()
    assert {name for name in app.tasks if name.startswith("kesher.")} == {f"kesher.{name}" for name in NAMES}
