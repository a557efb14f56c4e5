"""The folder is the registry: one file per kind."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Protocol, TypeVar


class Plugin(Protocol):
    """What every plug-in has: the kind under which it is stored."""

    kind: str


P = TypeVar("P", bound=Plugin)


def load(folder: ModuleType, expected: type[P]) -> Mapping[str, P]:
    """Import every module in `folder` and index its `plugin` by `kind`; a wrong one fails the start."""
    found: dict[str, P] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        plugin = importlib.import_module(f"{folder.__name__}.{info.name}").plugin
        if not isinstance(plugin, expected):
            raise TypeError(f"{info.name}: expected a {expected.__name__}, got {plugin!r}")
        if plugin.kind != info.name:
            raise ValueError(f"{info.name}.py calls itself {plugin.kind!r}")
        found[plugin.kind] = plugin
    return MappingProxyType(found)
