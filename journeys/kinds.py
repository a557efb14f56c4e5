"""The nodes and triggers there are: the folders are the registry, read once at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.core.plugins import load
from journeys import nodes, triggers
from journeys.node import Node
from journeys.trigger import Trigger

NODES: Mapping[str, Node[Any]] = load(nodes, Node)  # type: ignore[type-abstract]  # an abstract class is what plug-ins are checked against
TRIGGERS: Mapping[str, Trigger[Any]] = load(triggers, Trigger)  # type: ignore[type-abstract]  # the class is only compared with
