"""The waiting time of a cart journey as a choice on its page. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from crm.core.clock import parse_duration
from journeys.changes import plain
from journeys.graph import Graph
from journeys.nodes.wait import WaitSettings

WAITS: Mapping[str, dt.timedelta] = {each: parse_duration(each) for each in ("5m", "30m", "1h", "3h", "1d")}


def cart_wait(graph: Graph) -> str | None:
    """The first wait that counts from the cart's last change."""
    waits = (name for name, spot in graph.nodes.items() if isinstance(spot.settings, WaitSettings) and spot.settings.counting_from == "cart")
    return next(waits, None)


def waits(graph: Graph) -> tuple[dt.timedelta, Mapping[str, dt.timedelta]] | None:
    """The time set now, and those to choose from; None where no wait is about a cart."""
    node = cart_wait(graph)
    settings = graph.nodes[node].settings if node else None
    return (settings.duration, WAITS) if isinstance(settings, WaitSettings) else None


def with_wait(graph: Graph, node: str, wanted: str) -> dict[str, Any]:
    """The drawing with that wait changed."""
    drawing = plain(graph.drawing.model_dump(by_alias=True, mode="json"))
    drawing["nodes"][node]["settings"]["for"] = wanted
    return drawing
